// Options of one forecasting method, and of candidates, as users write them in jsonb; those of the series
// and of the run are in forecast_options.h, whose functions call these. Callers' mistakes are raised as
// 22023 with the key, the value and what is valid.
#pragma once

#include "core/learners/forecast_trainer.h"
#include "pg/learner_options.h"
#include "pg/server.h"

namespace many::pg {

// Whether the method has the option; whether some method has it; those of a method, for hints.
bool takes_option(core::ForecastMethod method, const char* key);
bool is_method_option(const char* key);
const char* method_option_keys(core::ForecastMethod method);

// An option of one method; false when the method has no such option.
bool set_method_option(core::MethodSpec* m, const char* key, const JsonbValue* value);
void read_candidates(core::ForecastSpec* spec, const JsonbValue* value);

// An option that the method has not: of others, or of none.
[[noreturn]] void raise_not_taken(const char* shown, const char* key, core::ForecastMethod method,
                                  const char* valid);

// Index of a string among `words`, n of them; raises with `valid` when there is none.
int choose_word(const char* key, const JsonbValue* value, const char* const* words, int n,
                const char* valid);
// Reads an array of whole numbers, or a number alone where `alone`; returns their count.
int whole_numbers(const char* key, const JsonbValue* value, bool alone, int low, int high, int most,
                  int* to, const char* valid);

}  // namespace many::pg
