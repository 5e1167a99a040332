// CES against values of R's smooth 4.5.0, ces(AirPassengers, h = 12, holdout = TRUE), with its
// backcasting. Its start of the seasons of partial and full is another decomposition: there only the
// likelihood is compared, and partial's is that of a local maximum.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/forecasters/ces.h"
#include "unit/forecasters/reference_support.h"

namespace many::core {
namespace {

CesFit fit_of(CesForm form) {
    std::vector<double> y = test::reference_series().at("AirPassengers").y;
    y.resize(132);
    CesOptions options;
    options.start = CesOptions::Start::backcast;
    CesWorkspace workspace;
    CesFit fit;
    EXPECT_EQ(fit_ces({y, 12}, form, options, {}, workspace, fit), ForecastStatus::ok);
    return fit;
}

TEST(CesReference, simple_is_that_of_r) {
    MANY_NEED_SHARED_DATA();
    const CesFit fit = fit_of(CesForm::simple);
    EXPECT_NEAR(fit.summary.log_likelihood, -574.8146562904259, 1e-6);
    EXPECT_EQ(fit.summary.n_parameters, 3);
    EXPECT_NEAR(fit.summary.aicc, 1155.8168125808518, 1e-6);
    EXPECT_NEAR(fit.parameters.a0, 2.032004589948998, 2e-5);
    EXPECT_NEAR(fit.parameters.a1, 1.191463946849845, 2e-5);
    std::vector<double> mean(3), variance(3);
    ASSERT_EQ(forecast_ces(fit, {mean, variance}), ForecastStatus::ok);
    EXPECT_NEAR(mean[0], 393.95440607371813, 5e-3);
    EXPECT_NEAR(mean[1], 371.4474377515293, 5e-3);
    EXPECT_NEAR(mean[2], 427.7534583318765, 5e-3);
}

TEST(CesReference, seasonal_forms_are_as_likely_as_those_of_r) {
    MANY_NEED_SHARED_DATA();
    const CesFit partial = fit_of(CesForm::partial), full = fit_of(CesForm::full);
    EXPECT_GT(partial.summary.log_likelihood, -538.1575283179362);
    EXPECT_NEAR(full.summary.log_likelihood, -498.20324846620167, 0.1);
    EXPECT_EQ(partial.summary.n_parameters, 4);
    EXPECT_EQ(full.summary.n_parameters, 5);
    EXPECT_NEAR(full.summary.aicc, 1006.8826874085938, 0.2);
}

// Its parameters and states of a step: what it foresees next (fitted values of the same output).
TEST(CesReference, steps_are_those_of_r) {
    CesState state;
    state.level = 216.82204872449898;
    state.potential = 157.7904746002478;
    state.seasonal = {-99.83592163293532};
    state.seasonal_potential = {-28.496353745206115};
    const CesParameters p{1.36808728518781, 1.008280164688396, 1.833826841115537,
                          1.115399779106881};
    std::vector<double> fitted(1);
    ASSERT_EQ(filter_ces(CesForm::full, p, std::vector<double>{112}, state, fitted, {}),
              ForecastStatus::ok);
    EXPECT_NEAR(fitted[0], 116.98612709156366, 1e-9);
}

}  // namespace
}  // namespace many::core
