// The header of an export, read and checked: what train_many_models would accept as a definition, and
// types and collations that this database has.
#pragma once

#include "pg/server.h"
#include "registry/key_text.h"

#include "core/codec/linear_model.h"
#include "core/forecasters/method.h"

namespace many::transfer {

struct ImportHeader {
    char* model_set;
    int32 version;
    int64 models;
    int64 failures;
    // the definition
    char* source;
    int n_keys;
    char** partition_by;
    char* target;
    int n_given_features;  // -1: every usable column
    char** given_features;
    char* algorithm;
    char* time_column;  // or nullptr
    Jsonb* options;
    Jsonb* tags;
    // the columns as the training used them
    registry::KeyColumn* keys;
    char** key_collations;  // as given; empty: none
    int n_features;
    char** features;
    Oid* feature_types;
    bool* categorical;  // per feature
    core::Algorithm algorithm_code;
    bool forecasts;  // the algorithm is a forecaster, and what algorithm_code says does not matter
    core::ForecastMethod method;
    Oid time_type;  // of the time column of forecasters; InvalidOid for others
    // facts of the run that made the version
    Jsonb* run;
};

// The part of line 1. Everything is allocated in the current context.
ImportHeader* read_header(const char* part, Size length);

// Raises 42804 or 22023 unless the header's partition columns are those of the set (name, and base
// type of its latest version as the caller sees it). Needs an SPI connection.
void require_same_keys(const ImportHeader* header, const char* model_set, char** partition_by,
                       int n_keys);

}  // namespace many::transfer
