// Whether a fit is one that its method could have made: sizes that belong together, states that are
// finite, parameters in their range. What comes from elsewhere (an import) is checked by it, and so is
// each new fit, so that what is stored can be read again.
#pragma once

#include "core/forecasters/method.h"

namespace many::core {

// What is wrong, or nullptr. Cost O(values).
[[nodiscard]] const char* fit_defect(const MethodFit& fit);

}  // namespace many::core
