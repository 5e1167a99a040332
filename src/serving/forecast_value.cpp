#include "serving/forecast_value.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/learners/forecast_trainer.h"
#include "pg/forecast_options.h"
#include "wall/wall.h"

namespace many::serving {

struct ForecastHandle {
    core::ForecastModel* model;
    std::vector<double>* numbers;
    std::vector<int64>* times;
    std::vector<unsigned char>* flags;
    std::vector<unsigned char>* encoded;
    char zone_name[64];
    core::TimeZoneMap zone;
};

namespace {

void destroy_handle(void* argument) {
    auto* handle = static_cast<ForecastHandle*>(argument);
    delete handle->model;
    delete handle->numbers;
    delete handle->times;
    delete handle->flags;
    delete handle->encoded;
}

// Calls `read` with the decoded model.
template <class Read>
void with_model(const ModelBytes& bytes, Read read) {
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            core::ForecastModel model;
            core::decode_forecast_model(bytes.data, bytes.length, model);
            read(model);
        }))
        wall::raise_wall_error(&error);
}

}  // namespace

ForecastHandle* make_forecast_handle(MemoryContext context) {
    auto* handle =
        static_cast<ForecastHandle*>(MemoryContextAllocZero(context, sizeof(ForecastHandle)));
    auto* callback = static_cast<MemoryContextCallback*>(
        MemoryContextAllocZero(context, sizeof(MemoryContextCallback)));
    callback->func = destroy_handle;
    callback->arg = handle;
    MemoryContextRegisterResetCallback(context, callback);
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            handle->model = new core::ForecastModel;
            handle->numbers = new std::vector<double>;
            handle->times = new std::vector<int64>;
            handle->flags = new std::vector<unsigned char>;
            handle->encoded = new std::vector<unsigned char>;
        }))
        wall::raise_wall_error(&error);
    return handle;
}

const core::ForecastModel* decode_forecast(ForecastHandle* handle, const char* data, Size length) {
    wall::WallError error;
    if (!wall::across_wall(&error,
                           [&] { core::decode_forecast_model(data, length, *handle->model); }))
        wall::raise_wall_error(&error);
    const char* zone = handle->model->zone.c_str();
    if (strcmp(zone, handle->zone_name) != 0) {
        strlcpy(handle->zone_name, zone, sizeof handle->zone_name);
        handle->zone = pg::time_zone_map(handle->zone_name);
    }
    return handle->model;
}

core::TimeZoneMap forecast_zone(const ForecastHandle* handle) {
    return handle->zone;
}

int64 forecast_time(const ForecastHandle* handle, int64 step) {
    return core::time_at(handle->model->grid, handle->model->n - 1 + step, handle->zone);
}

bool move_forecast(ForecastHandle* handle, const double* values, Size n,
                   const unsigned char** bytes, Size* length) {
    bool moved = false;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            moved = core::move_forward(*handle->model, handle->zone, {values, n}, {});
            if (moved) core::encode_forecast_model(*handle->model, *handle->encoded);
        }))
        wall::raise_wall_error(&error);
    if (!moved) return false;
    *bytes = handle->encoded->data();
    *length = handle->encoded->size();
    return true;
}

int forecast_default_horizon(const ForecastHandle* handle) {
    return core::default_horizon(handle->model->grid.type, handle->model->grid.step);
}

void make_forecast(ForecastHandle* handle, int n, const ForecastSpread& spread,
                   const double* future, int n_features, ForecastRows* rows) {
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            const auto h = static_cast<std::size_t>(n);
            const auto n_quantiles = static_cast<std::size_t>(spread.n_quantiles);
            handle->numbers->assign((3 + n_quantiles) * h, NAN);
            handle->flags->assign(h, 0);
            handle->times->resize(h);
            double* at = handle->numbers->data();
            const core::ForecastSteps steps = {{at, h},
                                               {at + h, h},
                                               {at + 2 * h, h},
                                               {handle->flags->data(), h},
                                               {spread.quantiles, n_quantiles},
                                               {at + 3 * h, n_quantiles * h}};
            const double levels[] = {spread.level};
            const std::span<const double> x(future, h * static_cast<std::size_t>(n_features));
            if (core::forecast_model(*handle->model, handle->zone, x, levels, steps) !=
                core::ForecastStatus::ok) {
                std::fill(steps.mean.begin(), steps.mean.end(), NAN);
                std::fill(steps.flags.begin(), steps.flags.end(), core::kForecastNotFinite);
            }
            for (std::size_t i = 0; i < h; ++i)
                (*handle->times)[i] = forecast_time(handle, static_cast<int64>(i) + 1);
            *rows = {n,
                     at,
                     at + h,
                     at + 2 * h,
                     handle->flags->data(),
                     handle->times->data(),
                     spread.n_quantiles,
                     at + 3 * h};
        }))
        wall::raise_wall_error(&error);
}

bool make_fitted(ForecastHandle* handle, const double* y, double* fitted) {
    const core::ForecastModel& model = *handle->model;
    if (model.n_features > 0 || model.calendar) return false;
    bool made = false;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            core::SeriesData data;
            data.y = {y, static_cast<std::size_t>(model.n)};
            data.season_lengths = model.season_lengths;
            made = core::fitted_values(model, data, *handle->numbers) &&
                   handle->numbers->size() == data.y.size();
            if (made) std::copy(handle->numbers->begin(), handle->numbers->end(), fitted);
        }))
        wall::raise_wall_error(&error);
    return made;
}

const char* forecast_algorithm(const ModelBytes& bytes) {
    core::ForecastMethod method = core::ForecastMethod::none;
    with_model(bytes, [&](const core::ForecastModel& model) { method = model.asked; });
    return core::method_name(method);
}

core::SplitMetrics forecast_metrics(const ModelBytes& bytes, core::ForecastSplit split,
                                    double* mase) {
    core::SplitMetrics result{};
    with_model(bytes, [&](const core::ForecastModel& model) {
        const core::StepMetrics& m = model.total[static_cast<int>(split)];
        result = {m.n, m.rmse, m.mae, m.mape, m.smape, m.r2, m.bias};
        *mase = m.mase;
    });
    return result;
}

double forecast_spread(const ModelBytes& bytes) {
    double spread = 0;
    with_model(bytes,
               [&](const core::ForecastModel& model) { spread = model.largest - model.smallest; });
    return std::isfinite(spread) ? spread : 0;
}

bool forecast_statistic(const ModelBytes& bytes, const char* name, double* value) {
    bool known = true;
    with_model(bytes, [&](const core::ForecastModel& model) {
        const core::FitSummary& fit = model.members.front().summary();
        const bool single = model.members.size() == 1;
        const double none = NAN;
        const auto is = [name](const char* other) { return strcmp(name, other) == 0; };
        if (is("n_rows"))
            *value = static_cast<double>(model.n - model.n_filled);
        else if (is("n_parameters"))
            *value = single ? fit.n_parameters : none;
        else if (is("sigma"))
            *value = single ? std::sqrt(fit.sigma2) : none;
        else if (is("log_likelihood"))
            *value = single ? fit.log_likelihood : none;
        else if (is("aic"))
            *value = single ? fit.aic : none;
        else if (is("aicc"))
            *value = single ? fit.aicc : none;
        else if (is("bic"))
            *value = single ? fit.bic : none;
        else if (is("r2"))
            *value = model.total[static_cast<int>(core::ForecastSplit::train)].r2;
        else if (is("df_residual") || is("adj_r2") || is("deviance") || is("condition_number") ||
                 is("lambda") || is("alpha") || is("rank"))
            *value = none;
        else
            known = false;
    });
    return known;
}

}  // namespace many::serving
