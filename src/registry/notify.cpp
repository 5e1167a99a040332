#include "registry/notify.h"

#include "pg/settings.h"

extern "C" {
#include "commands/async.h"
#include "utils/json.h"
}

namespace many::registry {

namespace {

constexpr const char* kChannel = "many_models";
constexpr int kPayloadLimit = BLCKSZ - NAMEDATALEN - 128;  // as in async.c
constexpr Size kMaxEventName = NAMEDATALEN - 1;

char* payload_of(const char* event, const char* model_set, const char* fields) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"event\": ");
    escape_json(&json, event);
    appendStringInfoString(&json, ", \"model_set\": ");
    escape_json(&json, model_set);
    if (fields != nullptr && fields[0] != '\0') appendStringInfo(&json, ", %s", fields);
    appendStringInfoChar(&json, '}');
    return json.data;
}

}  // namespace

void notify_event(const char* event, const char* model_set, const char* fields) {
    if (!many_notify) return;
    const char* payload = payload_of(event, model_set, fields);
    if (strlen(payload) >= kPayloadLimit)
        payload = payload_of(event, model_set, "\"truncated\": true");
    Async_Notify(kChannel, payload);
}

void notify_run(const RunEvent* run) {
    if (!many_notify) return;
    const char* version = run->version > 0 ? psprintf("%d", run->version) : "null";
    const char* which = psprintf("\"run_id\": " INT64_FORMAT ", \"kind\": \"%s\", \"version\": %s",
                                 run->run_id, run->kind, version);
    notify_event("run_finished", run->model_set,
                 psprintf("%s, \"groups\": " INT64_FORMAT ", \"rows\": " INT64_FORMAT
                          ", \"failed\": " INT64_FORMAT,
                          which, run->groups, run->rows, run->failed));
    const double fraction =
        run->failed_of > 0 ? static_cast<double>(run->failed) / static_cast<double>(run->failed_of)
                           : 0;
    if (fraction <= many_notify_failed_fraction) return;
    notify_event(
        "failed_fraction", run->model_set,
        psprintf("%s, \"failed\": " INT64_FORMAT ", \"of\": " INT64_FORMAT
                 ", \"fraction\": %.6g, \"threshold\": %.6g",
                 which, run->failed, run->failed_of, fraction, many_notify_failed_fraction));
}

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_notify_event);

// notify_event(event, model_set, details jsonb)
Datum many_notify_event(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    char* event = text_to_cstring(PG_GETARG_TEXT_PP(0));
    char* model_set = text_to_cstring(PG_GETARG_TEXT_PP(1));
    Jsonb* details = PG_GETARG_JSONB_P(2);
    if (strlen(event) > registry::kMaxEventName || strlen(model_set) > NAMEDATALEN)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the names of an event and its model set have at most %d bytes",
                               NAMEDATALEN - 1)));
    if (!JB_ROOT_IS_OBJECT(details))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("details must be a JSON object")));
    char* json = JsonbToCString(nullptr, &details->root, VARSIZE(details));
    json[strlen(json) - 1] = '\0';  // without its braces
    registry::notify_event(event, model_set, json + 1);
    PG_RETURN_VOID();
}
}
