#include "pg/server.h"

#include "pg/session_settings.h"

namespace many::pg {

namespace {

// Of the connection or of one statement, or none of a background worker's business.
constexpr const char* kLeftOut[] = {"role",
                                    "session_authorization",
                                    "client_encoding",
                                    "client_min_messages",
                                    "application_name",
                                    "seed",
                                    "transaction_isolation",
                                    "transaction_read_only",
                                    "transaction_deferrable",
                                    "default_transaction_isolation",
                                    "default_transaction_read_only",
                                    "default_transaction_deferrable",
                                    "statement_timeout",
                                    "transaction_timeout",
                                    "idle_in_transaction_session_timeout",
                                    "idle_session_timeout"};

bool is_taken(const struct config_generic* setting) {
    if (setting->context != PGC_USERSET && setting->context != PGC_SUSET) return false;
    if (setting->source <= PGC_S_ARGV || setting->source == PGC_S_OVERRIDE) return false;
    for (const char* name : kLeftOut)
        if (strcmp(setting->name, name) == 0) return false;
    return true;
}

// A name that no extension has claimed yet is anyone's to set.
GucContext setting_context(const char* name) {
    int n = 0;
    struct config_generic** settings = all_settings(&n);
    for (int i = 0; i < n; i++)
        if (pg_strcasecmp(settings[i]->name, name) == 0) return settings[i]->context;
    return PGC_USERSET;
}

// nullptr: none.
const char* value_of(struct config_generic* setting) {
    switch (setting->vartype) {
        case PGC_BOOL:
            return *((struct config_bool*)setting)->variable ? "on" : "off";
        case PGC_INT:
            return psprintf("%d", *((struct config_int*)setting)->variable);
        case PGC_REAL:
            return psprintf("%.17g", *((struct config_real*)setting)->variable);
        case PGC_STRING:
            return *((struct config_string*)setting)->variable;
        case PGC_ENUM: {
            auto* item = (struct config_enum*)setting;
            return config_enum_lookup_by_value(item, *item->variable);
        }
    }
    return nullptr;
}

void push_string(JsonbParseState** state, JsonbIteratorToken token, const char* text) {
    JsonbValue value;
    value.type = jbvString;
    value.val.string.val = (char*)text;
    value.val.string.len = (int)strlen(text);
    (void)pushJsonbValue(state, token, &value);
}

}  // namespace

Datum session_settings() {
    JsonbParseState* state = nullptr;
    int n = 0;
    struct config_generic** settings = all_settings(&n);
    (void)pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (int i = 0; i < n; i++) {
        const char* value = is_taken(settings[i]) ? value_of(settings[i]) : nullptr;
        if (value == nullptr) continue;
        push_string(&state, WJB_KEY, settings[i]->name);
        push_string(&state, WJB_VALUE, value);
    }
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

void apply_session_settings(Jsonb* settings) {
    JsonbIterator* iterator = JsonbIteratorInit(&settings->root);
    JsonbValue value;
    char* name = nullptr;
    for (;;) {
        const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, true);
        if (token == WJB_DONE) break;
        if (token == WJB_KEY) name = pnstrdup(value.val.string.val, (Size)value.val.string.len);
        if (token != WJB_VALUE || value.type != jbvString) continue;
        const GucContext needed = setting_context(name);
        if (needed == PGC_SUSET && !superuser()) continue;
        (void)set_config_option(name, pnstrdup(value.val.string.val, (Size)value.val.string.len),
                                needed, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
    }
}

}  // namespace many::pg
