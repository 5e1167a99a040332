// The result of scoring one row, as it travels from a parallel worker to the leader: the content of
// a many_models.score value. Fixed part, unaligned, followed by the text of an unseen level.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/codec/linear_model.h"

namespace many::serving {

struct PackedScore {
    static constexpr unsigned kBytes =
        3 + 3 * sizeof(double) + sizeof(std::int64_t) + sizeof(std::int32_t);
    static constexpr unsigned kMaxText = 80;  // short enough for a one-byte varlena header

    core::Score score;
    std::int64_t model_id = 0;  // undefined with ScoreCode::no_model, as is the version
    std::int32_t version = 0;

    void pack(char* to) const noexcept {
        to[0] = static_cast<char>(score.code);
        std::memcpy(to + 1, &score.feature, 2);
        std::memcpy(to + 3, &score.prediction, sizeof(double));
        std::memcpy(to + 11, &score.lower, sizeof(double));
        std::memcpy(to + 19, &score.upper, sizeof(double));
        std::memcpy(to + 27, &model_id, sizeof model_id);
        std::memcpy(to + 35, &version, sizeof version);
    }
    static PackedScore unpack(const char* from) noexcept {
        PackedScore packed;
        packed.score.code = static_cast<core::ScoreCode>(static_cast<unsigned char>(from[0]));
        std::memcpy(&packed.score.feature, from + 1, 2);
        std::memcpy(&packed.score.prediction, from + 3, sizeof(double));
        std::memcpy(&packed.score.lower, from + 11, sizeof(double));
        std::memcpy(&packed.score.upper, from + 19, sizeof(double));
        std::memcpy(&packed.model_id, from + 27, sizeof packed.model_id);
        std::memcpy(&packed.version, from + 35, sizeof packed.version);
        return packed;
    }
};

// Whether the prediction of a score may be used.
inline bool is_usable(core::ScoreCode code) noexcept {
    return code == core::ScoreCode::ok || code == core::ScoreCode::imputed ||
           code == core::ScoreCode::without_season || code == core::ScoreCode::naive_instead ||
           code == core::ScoreCode::explosive;
}

}  // namespace many::serving
