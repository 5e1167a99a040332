// The method mstl: seasons by MSTL (stl.h), the series without them by exponential smoothing.
//
// The adjusted series is forecast by the ETS form without season of the least AICc; the last cycle
// of each season is repeated (Bandara, Hyndman & Bergmeir 2021; R's stlf). Seasons that do not fit
// into the series twice are left out; without any, mstl is that ETS. The variance is that of the
// adjusted series: the seasons are taken for known.
#pragma once

#include "core/forecasters/method.h"

namespace many::core {

// Statuses as choose_ets'; overflow also where the decomposition is not finite.
[[nodiscard]] ForecastStatus fit_mstl(std::span<const double> y,
                                      std::span<const int> season_lengths,
                                      const EtsOptions& options, const StopSignal& stop,
                                      EtsWorkspace& workspace, MstlFit& out);

[[nodiscard]] ForecastStatus forecast_mstl(const MstlFit& fit, const ForecastOut& out);

// Adds the seasons of the steps 1, 2, ..
void add_seasons(const MstlFit& fit, std::span<double> values) noexcept;

// The adjusted series moves its state by the new values less their seasons, which stay.
[[nodiscard]] bool update_mstl(MstlFit& fit, std::span<const double> y);

// The fit's series less its seasons, by the decomposition that the fit was made of. False: overflow.
[[nodiscard]] bool adjust_mstl(std::span<const double> y, std::span<const int> season_lengths,
                               std::vector<double>& adjusted, MstlFit* out);

}  // namespace many::core
