// The SQL type many_models.model: input, output, and what can be read from one value.
#include "core/codec/linear_model.h"
#include "core/learners/linear.h"
#include "pg/learner_options.h"
#include "pg/server.h"
#include "serving/forecast_value.h"
#include "serving/model_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>

extern "C" {
#include "access/detoast.h"
#include "libpq/pqformat.h"
}

namespace many::serving {

namespace {

[[noreturn]] void raise_choice(const char* argument, const char* value, const char* valid) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for %s: \"%s\"", argument, value),
                    errhint("Valid values are %s.", valid)));
    pg_unreachable();
}

struct NamedValue {
    const char* name;
    double value;
};

constexpr const char* kStatistics =
    "\"n_rows\", \"n_parameters\", \"df_residual\", \"sigma\", \"r2\", \"adj_r2\", "
    "\"log_likelihood\", \"aic\", \"aicc\", \"bic\", \"deviance\", \"condition_number\", "
    "\"lambda\", \"alpha\", \"rank\"";

core::ForecastSplit split_of(const char* name) {
    if (strcmp(name, "train") == 0) return core::ForecastSplit::train;
    if (strcmp(name, "holdout") == 0) return core::ForecastSplit::holdout;
    if (strcmp(name, "cv") == 0) return core::ForecastSplit::cv;
    raise_choice("split", name, "\"train\", \"holdout\", \"cv\"");
}

Datum float8_or_null(FunctionCallInfo fcinfo, double value) {
    if (std::isnan(value)) PG_RETURN_NULL();
    PG_RETURN_FLOAT8(value);
}

}  // namespace

}  // namespace many::serving

using namespace many;
using namespace many::serving;

extern "C" {

PG_FUNCTION_INFO_V1(many_model_in);
PG_FUNCTION_INFO_V1(many_model_out);
PG_FUNCTION_INFO_V1(many_model_recv);
PG_FUNCTION_INFO_V1(many_model_send);
PG_FUNCTION_INFO_V1(many_model_check);
PG_FUNCTION_INFO_V1(many_model_error);
PG_FUNCTION_INFO_V1(many_model_algorithm);
PG_FUNCTION_INFO_V1(many_model_bytes);
PG_FUNCTION_INFO_V1(many_model_metric);
PG_FUNCTION_INFO_V1(many_model_statistic);

Datum many_model_in(PG_FUNCTION_ARGS) {
    const char* text = PG_GETARG_CSTRING(0);
    const Size n = strlen(text);
    if (n < 2 || text[0] != '\\' || text[1] != 'x')
        ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                        errmsg("invalid input syntax for type %s", "many_models.model"),
                        errhint("A model is written as \\x and hexadecimal digits.")));
    auto* value = static_cast<struct varlena*>(palloc((n - 2) / 2 + 1 + VARHDRSZ));
    const uint64 length = hex_decode(text + 2, n - 2, VARDATA(value));
    SET_VARSIZE(value, VARHDRSZ + length);
    core::LinearModelView view;
    (void)check_any_model(VARDATA(value), length, &view);
    PG_RETURN_POINTER(value);
}

Datum many_model_out(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    (void)open_any_model(PG_GETARG_DATUM(0), &bytes, &view);
    char* text = static_cast<char*>(palloc(2 * bytes.length + 3));
    text[0] = '\\';
    text[1] = 'x';
    text[2 + hex_encode(bytes.data, bytes.length, text + 2)] = '\0';
    PG_RETURN_CSTRING(text);
}

Datum many_model_recv(PG_FUNCTION_ARGS) {
    StringInfo message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const int length = message->len - message->cursor;
    auto* value = static_cast<struct varlena*>(palloc(static_cast<Size>(length) + VARHDRSZ));
    SET_VARSIZE(value, static_cast<Size>(length) + VARHDRSZ);
    pq_copymsgbytes(message, VARDATA(value), length);
    core::LinearModelView view;
    (void)check_any_model(VARDATA(value), static_cast<Size>(length), &view);
    PG_RETURN_POINTER(value);
}

Datum many_model_send(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    (void)open_any_model(PG_GETARG_DATUM(0), &bytes, &view);
    PG_RETURN_DATUM(
        make_model_value(reinterpret_cast<const unsigned char*>(bytes.data), bytes.length));
}

Datum many_model_check(PG_FUNCTION_ARGS) {
    const auto* value = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
    const char* data = VARDATA_ANY(value);
    const Size length = VARSIZE_ANY_EXHDR(value);
    ModelError stored;
    if (read_model_error(data, length, &stored)) PG_RETURN_BOOL(true);
    wall::WallError error;
    const bool intact = wall::across_wall(&error, [&] {
        if (core::is_forecast_model(data, length)) {
            core::ForecastModel model;
            core::decode_forecast_model(data, length, model);
        } else {
            (void)core::LinearModelView::open(data, length, core::LinearModelView::Check::checksum);
        }
    });
    if (!intact && error.kind != wall::WallKind::invalid_data &&
        error.kind != wall::WallKind::unsupported)
        wall::raise_wall_error(&error);
    PG_RETURN_BOOL(intact);
}

Datum many_model_error(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    if (open_any_model(PG_GETARG_DATUM(0), &bytes, &view) != ModelKind::error) PG_RETURN_NULL();
    ModelError error;
    if (!read_model_error(bytes.data, bytes.length, &error)) PG_RETURN_NULL();
    PG_RETURN_TEXT_P(
        cstring_to_text_with_len(error.message, static_cast<int>(error.message_length)));
}

Datum many_model_algorithm(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    switch (open_any_model(PG_GETARG_DATUM(0), &bytes, &view)) {
        case ModelKind::linear:
            PG_RETURN_TEXT_P(cstring_to_text(pg::algorithm_name(view.algorithm())));
        case ModelKind::forecast:
            PG_RETURN_TEXT_P(cstring_to_text(forecast_algorithm(bytes)));
        case ModelKind::error:
            break;
    }
    PG_RETURN_NULL();
}

Datum many_model_bytes(PG_FUNCTION_ARGS) {
    // The size of the value as such: no need to read it.
    PG_RETURN_INT32(static_cast<int32>(toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ));
}

Datum many_model_metric(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    const ModelKind kind = open_any_model(PG_GETARG_DATUM(0), &bytes, &view);
    if (kind == ModelKind::error) PG_RETURN_NULL();
    const char* split = text_to_cstring(PG_GETARG_TEXT_PP(1));
    const char* metric = text_to_cstring(PG_GETARG_TEXT_PP(2));
    core::SplitMetrics m{};
    double mase = NAN;
    if (kind == ModelKind::forecast)
        m = forecast_metrics(bytes, split_of(split), &mase);
    else if (split_of(split) == core::ForecastSplit::train)
        m = view.train();
    else if (split_of(split) == core::ForecastSplit::holdout)
        m = view.holdout();
    else
        m = view.cv();
    const NamedValue values[] = {{"n_rows", m.n_rows}, {"rmse", m.rmse},   {"mae", m.mae},
                                 {"mape", m.mape},     {"smape", m.smape}, {"r2", m.r2},
                                 {"bias", m.bias},     {"mase", mase}};
    for (const NamedValue& entry : values) {
        if (strcmp(entry.name, metric) != 0) continue;
        if (!(m.n_rows > 0)) PG_RETURN_NULL();
        return float8_or_null(fcinfo, entry.value);
    }
    raise_choice("metric", metric,
                 "\"n_rows\", \"rmse\", \"mae\", \"mape\", \"smape\", \"r2\", \"bias\", "
                 "\"mase\"");
}

Datum many_model_statistic(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    const ModelKind kind = open_any_model(PG_GETARG_DATUM(0), &bytes, &view);
    if (kind == ModelKind::error) PG_RETURN_NULL();
    const char* name = text_to_cstring(PG_GETARG_TEXT_PP(1));
    if (kind == ModelKind::forecast) {
        double value = NAN;
        if (!forecast_statistic(bytes, name, &value)) raise_choice("name", name, kStatistics);
        return float8_or_null(fcinfo, value);
    }
    const core::FitStatistics s = core::fit_statistics(view.n_rows(), view.df_residual(),
                                                       view.rss(), view.r2(), view.has_intercept());
    const NamedValue values[] = {
        {"n_rows", view.n_rows()},
        {"n_parameters", s.n_parameters},
        {"df_residual", view.df_residual()},
        {"sigma", view.sigma()},
        {"r2", s.r2},
        {"adj_r2", s.adj_r2},
        {"log_likelihood", s.log_likelihood},
        {"aic", s.aic},
        {"bic", s.bic},
        {"deviance", s.deviance},
        {"condition_number", view.condition_number()},
        {"lambda", view.lambda()},
        {"alpha", view.alpha()},
        {"rank", static_cast<double>(view.rank())},
    };
    for (const NamedValue& entry : values)
        if (strcmp(entry.name, name) == 0) return float8_or_null(fcinfo, entry.value);
    if (strcmp(name, "aicc") == 0) PG_RETURN_NULL();
    raise_choice("name", name, kStatistics);
}

}  // extern "C"
