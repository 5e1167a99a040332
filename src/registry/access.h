// Who may do what with a model set: its owner everything, other roles what they were granted.
//
// Every privilege includes read. A grant of read or score may be narrowed to keys, and then counts
// for the groups whose partition key contains one of them. What SQL sees is decided by the policies
// of sql/25_access.sql; here is the same for code: functions that ask before they act.
//
// A session keeps what it has read of grants, by role and set, until the server's invalidation
// messages say that grants, sets, runs, roles or memberships changed. Grants are read as the latest
// commit left them, in REPEATABLE READ too: a right that was taken away is gone, whatever the
// transaction's snapshot. (A process in parallel mode has the query's snapshot.)
#pragma once

#include "pg/server.h"
#include "registry/registry.h"

namespace many::registry {

// In the order of the names in access.cpp.
enum class Privilege : uint8 { read, score, train, promote };
inline constexpr int kPrivileges = 4;

const char* privilege_name(Privilege privilege);
// Raises 22023 for a text that is none.
Privilege privilege_from_text(const char* text);

// Whether the current role has the privilege on the set, if only for some keys. False when there is
// no such set.
bool has_privilege(const char* model_set, Privilege privilege);
// The same; raises 42501 where not.
void require_privilege(const ModelSet* set, Privilege privilege);
// By name, for a set that the caller can see; 42704 when there is none.
void require_privilege(const char* model_set, Privilege privilege);

// Whether the current role has it on all groups.
bool has_whole_set(const char* model_set, Privilege privilege);
// Whether the current role has it on a group, given its partition key as it is stored.
bool key_is_granted(const char* model_set, Privilege privilege, Jsonb* partition_key);

// Deletes grants of a name that a set has just been made for: a set that was dropped under REPEATABLE
// READ may have left some. For the registry's owner, with an SPI connection.
void clear_grants(const char* model_set);

// Tells every session, at commit, to read grants and owners anew.
void announce_access_changed();

}  // namespace many::registry
