// The settings of a session, to be taken over by another process that goes on for it.
#pragma once

#include "pg/server.h"

namespace many::pg {

// {"name": "value", ...}: what the session, its role or its database set, of settings that a session
// may set; placeholders of applications ("app.tenant") too. Left out is what belongs to the
// connection or to one statement: roles, encoding, transaction modes, timeouts of statements.
Datum session_settings();

// Sets them in this session. Settings for superusers are taken over only if the current role is one.
void apply_session_settings(Jsonb* settings);

}  // namespace many::pg
