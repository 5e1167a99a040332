// Whether a model that came from elsewhere may be one that training made.
//
// LinearModelView::open proves that the bytes are whole and safe to read: their checksum says that
// they did not change by accident, not that they mean something. This looks at what they say.
#pragma once

#include "core/codec/linear_model.h"

namespace many::core {

// What is wrong with the values of an opened model, or nullptr. Cost O(bytes).
[[nodiscard]] const char* model_defect(const LinearModelView& model) noexcept;

}  // namespace many::core
