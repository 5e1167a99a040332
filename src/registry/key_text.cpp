// Partition keys as jsonb and as a hash: see key_text.h. Only plain data: everything may raise.
#include "registry/key_text.h"

#include <cmath>

#include "pg/settings.h"

extern "C" {
#include "access/transam.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "utils/inet.h"
#include "utils/uuid.h"
}

namespace many::registry {

namespace {

bool is_reg_type(Oid type) {
    switch (type) {
        case REGPROCOID:
        case REGPROCEDUREOID:
        case REGOPEROID:
        case REGOPERATOROID:
        case REGCLASSOID:
        case REGTYPEOID:
        case REGROLEOID:
        case REGNAMESPACEOID:
        case REGCONFIGOID:
        case REGDICTIONARYOID:
        case REGCOLLATIONOID:
            return true;
        default:
            return false;
    }
}

bool text_is_canonical(const KeyColumn* column) {
    switch (column->base_type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
        case BOOLOID:
        case UUIDOID:
        case DATEOID:
        case TIMEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
        case NUMERICOID:
        case FLOAT4OID:
        case FLOAT8OID:
        case BYTEAOID:
        case INETOID:
        case CIDROID:
        case MACADDROID:
        case MACADDR8OID:
        case CHAROID:
            return true;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
            return !OidIsValid(column->collation) ||
                   get_collation_isdeterministic(column->collation);
        default:
            return type_is_enum(column->base_type);
    }
}

// Under settings that make every output function's text independent of the session's.
char* output_under_fixed_settings(KeyColumn* column, Datum value) {
    static const char* const settings[][2] = {
        {"DateStyle", "ISO"},
        {"IntervalStyle", "postgres"},
        {"TimeZone", "UTC"},
        {"bytea_output", "hex"},
        {"extra_float_digits", "3"},
        {"lc_monetary", "C"},
        {"search_path", "pg_catalog, pg_temp"},
    };
    const int level = NewGUCNestLevel();
    for (const auto& setting : settings) pg::set_local(setting[0], setting[1]);
    char* text = OutputFunctionCall(&column->output, value);
    AtEOXact_GUC(true, level);
    return text;
}

char* date_text(DateADT date) {
    char* text = static_cast<char*>(palloc(MAXDATELEN + 1));
    if (DATE_NOT_FINITE(date)) {
        EncodeSpecialDate(date, text);
        return text;
    }
    struct pg_tm tm = {};
    j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
    EncodeDateOnly(&tm, USE_ISO_DATES, text);
    return text;
}

char* timestamp_text(Timestamp timestamp, bool with_zone) {
    char* text = static_cast<char*>(palloc(MAXDATELEN + 1));
    if (TIMESTAMP_NOT_FINITE(timestamp)) {
        EncodeSpecialTimestamp(timestamp, text);
        return text;
    }
    struct pg_tm tm = {};
    fsec_t fsec;
    if (timestamp2tm(timestamp, nullptr, &tm, &fsec, nullptr, nullptr) != 0)
        ereport(ERROR,
                (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
    tm.tm_isdst = 0;
    EncodeDateTime(&tm, fsec, with_zone, 0, nullptr, USE_ISO_DATES, text);
    return text;
}

char* float_text(double number, bool single) {
    char* text = static_cast<char*>(palloc(DOUBLE_SHORTEST_DECIMAL_LEN + 8));
    if (std::isnan(number)) return strcpy(text, "NaN");
    if (std::isinf(number)) return strcpy(text, number > 0 ? "Infinity" : "-Infinity");
    number += 0.0;  // -0 is 0
    if (single)
        float_to_shortest_decimal_buf(static_cast<float>(number), text);
    else
        double_to_shortest_decimal_buf(number, text);
    return text;
}

char* bytea_text(Datum value) {
    const bytea* bytes = DatumGetByteaPP(value);
    const Size n = VARSIZE_ANY_EXHDR(bytes);
    char* text = static_cast<char*>(palloc(2 * n + 3));
    text[0] = '\\';
    text[1] = 'x';
    text[2 + hex_encode(VARDATA_ANY(bytes), n, text + 2)] = '\0';
    return text;
}

// The text form: the same under any settings, read back by the type's input function.
char* value_text(KeyColumn* column, Datum value, uint32* length) {
    char* result;
    switch (column->base_type) {
        case INT2OID:
            result = static_cast<char*>(palloc(8));
            pg_itoa(DatumGetInt16(value), result);
            break;
        case INT4OID:
            result = static_cast<char*>(palloc(12));
            pg_ltoa(DatumGetInt32(value), result);
            break;
        case INT8OID:
            result = static_cast<char*>(palloc(MAXINT8LEN + 1));
            pg_lltoa(DatumGetInt64(value), result);
            break;
        case OIDOID:
            result = static_cast<char*>(palloc(MAXINT8LEN + 1));
            pg_lltoa(static_cast<int64>(DatumGetObjectId(value)), result);
            break;
        case BOOLOID:
            result = pstrdup(DatumGetBool(value) ? "true" : "false");
            break;
        case DATEOID:
            result = date_text(DatumGetDateADT(value));
            break;
        case TIMESTAMPOID:
            result = timestamp_text(DatumGetTimestamp(value), false);
            break;
        case TIMESTAMPTZOID:
            result = timestamp_text(DatumGetTimestampTz(value), true);
            break;
        case NUMERICOID:
            result = DatumGetCString(
                DirectFunctionCall1(numeric_out, DirectFunctionCall1(numeric_trim_scale, value)));
            break;
        case FLOAT4OID:
            result = float_text(DatumGetFloat4(value), true);
            break;
        case FLOAT8OID:
            result = float_text(DatumGetFloat8(value), false);
            break;
        case BYTEAOID:
            result = bytea_text(value);
            break;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID: {
            const text* packed = DatumGetTextPP(value);
            uint32 n = static_cast<uint32>(VARSIZE_ANY_EXHDR(packed));
            if (column->base_type == BPCHAROID)
                while (n > 0 && VARDATA_ANY(packed)[n - 1] == ' ') --n;
            *length = n;
            return const_cast<char*>(VARDATA_ANY(packed));
        }
        default:
            if (is_reg_type(column->base_type)) {
                result = static_cast<char*>(palloc(MAXINT8LEN + 1));
                pg_lltoa(static_cast<int64>(DatumGetObjectId(value)), result);
            } else if (column->text_is_canonical) {
                result = OutputFunctionCall(&column->output, value);
            } else {
                result = output_under_fixed_settings(column, value);
            }
    }
    *length = static_cast<uint32>(strlen(result));
    return result;
}

bool is_json_number(const KeyColumn* column, const char* text) {
    switch (column->base_type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
            return true;
        case NUMERICOID:
        case FLOAT4OID:
        case FLOAT8OID:
            return text[0] != 'N' && text[0] != 'I' && text[1] != 'I';
        default:
            return is_reg_type(column->base_type);
    }
}

void add_bytes(uint64* hash, const char* bytes, uint32 length) {  // FNV-1a
    uint64 h = *hash;
    for (uint32 i = 0; i < length; ++i)
        h = (h ^ static_cast<unsigned char>(bytes[i])) * UINT64CONST(0x100000001b3);
    *hash = h;
}

char* column_list(const KeyColumn* columns, int n) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < n; ++i)
        appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : ", ", columns[i].name);
    return list.data;
}

Datum parse_value(const KeyColumn* column, const JsonbValue* value) {
    char* text = nullptr;
    switch (value->type) {
        case jbvString:
            text = pnstrdup(value->val.string.val, value->val.string.len);
            break;
        case jbvNumeric:
            text = DatumGetCString(DirectFunctionCall1(
                numeric_out,
                DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(value->val.numeric))));
            break;
        case jbvBool:
            text = pstrdup(value->val.boolean ? "true" : "false");
            break;
        default:
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("the key's value for column \"%s\" is not a plain value", column->name),
                     errhint("Write it as a string, a number, true, false or null.")));
    }
    Oid input;
    Oid parameter;
    getTypeInputInfo(column->base_type, &input, &parameter);
    return OidInputFunctionCall(input, text, parameter, -1);
}

}  // namespace

bool key_type_runs_code(Oid base_type) {
    const Oid element = get_element_type(base_type);
    if (OidIsValid(element))
        return get_typtype(element) == TYPTYPE_DOMAIN || key_type_runs_code(element);
    switch (get_typtype(base_type)) {
        case TYPTYPE_COMPOSITE:
        case TYPTYPE_PSEUDO:
            return true;
        case TYPTYPE_MULTIRANGE:
            return key_type_runs_code(get_multirange_range(base_type));
        case TYPTYPE_RANGE: {
            const Oid subtype = get_range_subtype(base_type);
            return get_typtype(subtype) == TYPTYPE_DOMAIN || key_type_runs_code(subtype);
        }
        default:
            return false;
    }
}

void key_column_init(KeyColumn* column, const char* name, Oid type, Oid collation) {
    *column = KeyColumn{};
    column->name = name;
    column->type = type;
    column->base_type = getBaseType(type);
    if (key_type_runs_code(column->base_type))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("column \"%s\" of type %s cannot be a partition column", name,
                               format_type_be(type)),
                        errdetail("Reading such a value may run functions of whoever made the "
                                  "type.")));
    column->collation = collation;
    get_typlenbyvalalign(column->base_type, &column->typlen, &column->typbyval, &column->typalign);
    TypeCacheEntry* entry =
        lookup_type_cache(column->base_type, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_PROC);
    if (!OidIsValid(entry->eq_opr_finfo.fn_oid) || !OidIsValid(entry->hash_proc))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                        errmsg("column \"%s\" of type %s cannot be a partition column", name,
                               format_type_be(type)),
                        errdetail("The type has no %s.", OidIsValid(entry->eq_opr_finfo.fn_oid)
                                                             ? "hash function"
                                                             : "equality operator")));
    fmgr_info(entry->eq_opr_finfo.fn_oid, &column->equal);
    Oid output;
    bool is_varlena;
    getTypeOutputInfo(column->base_type, &output, &is_varlena);
    fmgr_info(output, &column->output);
    column->text_is_canonical = text_is_canonical(column);
}

Jsonb* key_to_jsonb(KeyColumn* columns, int n, const Datum* values, const bool* nulls) {
    JsonbParseState* state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (int i = 0; i < n; ++i) {
        JsonbValue name;
        name.type = jbvString;
        name.val.string.val = const_cast<char*>(columns[i].name);
        name.val.string.len = static_cast<int>(strlen(columns[i].name));
        pushJsonbValue(&state, WJB_KEY, &name);
        JsonbValue value;
        if (nulls[i]) {
            value.type = jbvNull;
        } else if (columns[i].base_type == BOOLOID) {
            value.type = jbvBool;
            value.val.boolean = DatumGetBool(values[i]);
        } else {
            uint32 length;
            char* text = value_text(&columns[i], values[i], &length);
            if (is_json_number(&columns[i], text)) {
                value.type = jbvNumeric;
                value.val.numeric = DatumGetNumeric(
                    DirectFunctionCall3(numeric_in, CStringGetDatum(text),
                                        ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
            } else {
                value.type = jbvString;
                value.val.string.val = text;
                value.val.string.len = static_cast<int>(length);
            }
        }
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

int64 key_hash(KeyColumn* columns, int n, const Datum* values, const bool* nulls) {
    uint64 hash = UINT64CONST(0xcbf29ce484222325);
    for (int i = 0; i < n; ++i) {
        if (!columns[i].text_is_canonical) continue;
        const char marker = nulls[i] ? 0 : 1;
        add_bytes(&hash, &marker, 1);
        if (nulls[i]) continue;
        uint32 length;
        char* text = value_text(&columns[i], values[i], &length);
        if (GetDatabaseEncoding() != PG_SQL_ASCII && GetDatabaseEncoding() != PG_UTF8) {
            char* utf8 = pg_server_to_any(text, static_cast<int>(length), PG_UTF8);
            if (utf8 != text) {
                text = utf8;
                length = static_cast<uint32>(strlen(utf8));
            }
        }
        add_bytes(&hash, text, length);
        const char end = '\0';
        add_bytes(&hash, &end, 1);
    }
    hash ^= hash >> 33;  // the finaliser of MurmurHash3
    hash *= UINT64CONST(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    return static_cast<int64>(hash);
}

void key_from_jsonb(KeyColumn* columns, int n, Jsonb* key, Datum* values, bool* nulls) {
    if (!JB_ROOT_IS_OBJECT(key))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the key must be a JSON object"),
                 errhint("Its columns are %s.", column_list(columns, n))));
    for (int i = 0; i < n; ++i) {
        JsonbValue space;
        const JsonbValue* value = getKeyJsonValueFromContainer(
            &key->root, columns[i].name, static_cast<int>(strlen(columns[i].name)), &space);
        if (value == nullptr)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("the key has no value for column \"%s\"", columns[i].name),
                            errhint("The key's columns are %s.", column_list(columns, n))));
        nulls[i] = value->type == jbvNull;
        values[i] = nulls[i] ? Datum(0) : parse_value(&columns[i], value);
    }
    if (JB_ROOT_COUNT(key) != static_cast<uint32>(n)) require_key_columns(columns, n, key);
}

bool key_value_from_jsonb(const KeyColumn* column, Jsonb* key, Datum* value) {
    JsonbValue space;
    const JsonbValue* item =
        JB_ROOT_IS_OBJECT(key)
            ? getKeyJsonValueFromContainer(&key->root, column->name,
                                           static_cast<int>(strlen(column->name)), &space)
            : nullptr;
    if (item == nullptr || item->type == jbvNull) return false;
    *value = parse_value(column, item);
    return true;
}

char* key_value_sql(const char* key, const char* column, Oid type) {
    const Oid base = getBaseType(type);
    const char* name = format_type_extended(base, -1, FORMAT_TYPE_FORCE_QUALIFY);
    if (base < FirstNormalObjectId)
        return psprintf("(%s OPERATOR(pg_catalog.->>) %s)::%s", key, quote_literal_cstr(column),
                        name);
    return psprintf("many_models.key_value(%s, %s, NULL::%s)", key, quote_literal_cstr(column),
                    name);
}

void require_key_columns(const KeyColumn* columns, int n, Jsonb* key) {
    JsonbIterator* iterator = JsonbIteratorInit(&key->root);
    JsonbValue name;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE) {
        if (token != WJB_KEY) continue;
        bool known = false;
        for (int i = 0; i < n && !known; ++i)
            known = strlen(columns[i].name) == static_cast<size_t>(name.val.string.len) &&
                    memcmp(columns[i].name, name.val.string.val, name.val.string.len) == 0;
        if (!known)
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("the key's column \"%s\" is not a partition column",
                            pnstrdup(name.val.string.val, name.val.string.len)),
                     n == 0 ? errhint("The model set has one model: the key is {}.")
                            : errhint("The key's columns are %s.", column_list(columns, n))));
    }
}

bool keys_equal(KeyColumn* columns, int n, const Datum* a, const bool* a_null, const Datum* b,
                const bool* b_null) {
    for (int i = 0; i < n; ++i) {
        if (a_null[i] || b_null[i]) {
            if (a_null[i] != b_null[i]) return false;
            continue;
        }
        if (!DatumGetBool(FunctionCall2Coll(&columns[i].equal, columns[i].collation, a[i], b[i])))
            return false;
    }
    return true;
}

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_key_value);

// key_value(partition_key, column_name, of_type)
Datum many_key_value(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    auto* column = static_cast<registry::KeyColumn*>(fcinfo->flinfo->fn_extra);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) PG_RETURN_NULL();
    if (column == nullptr) {
        const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
        column = static_cast<registry::KeyColumn*>(palloc(sizeof(registry::KeyColumn)));
        registry::key_column_init(column, "", get_fn_expr_argtype(fcinfo->flinfo, 2), InvalidOid);
        fcinfo->flinfo->fn_extra = column;
        MemoryContextSwitchTo(old);
    }
    Datum value;
    column->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
    if (!registry::key_value_from_jsonb(column, PG_GETARG_JSONB_P(0), &value)) PG_RETURN_NULL();
    PG_RETURN_DATUM(value);
}

}  // extern "C"
