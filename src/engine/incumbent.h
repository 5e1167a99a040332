// The models in production that a training compares its candidates with.
//
// The session describes them once (layers, and for each promoted run where its features stand among
// those of the new run); every process of the fit phase then looks a group's model up by an index of
// the repository, which costs a few microseconds a group. Where a type's text does not stand for its
// value (collations that ignore case, types of extensions), keys have no canonical hash: then a
// process reads all keys once and finds them by the type's own hash.
//
// No privilege is checked here: who trains a set owns it. A model that is damaged, or whose features
// the new run does not have, is not compared with.
#pragma once

#include "engine/key_image.h"
#include "engine/train_spec.h"

namespace many::engine {

struct Incumbent {
    int64 model_id;
    core::Rival rival;
    char* bytes;  // the model
};

// Appends the description to `blob`, to be shared with the run's processes; nothing is appended when
// no production model can be compared with. Returns the promotion in force. Needs an SPI connection.
int64 describe_incumbents(const TrainPlan* plan, StringInfo blob);

struct Incumbents;
// nullptr when the run has none. Lives in `context`.
Incumbents* open_incumbents(RunSegment* segment, MemoryContext context);
void close_incumbents(Incumbents* incumbents);

// The model of the group, in the current memory context; nullptr when there is none to compare with.
Incumbent* find_incumbent(Incumbents* incumbents, KeyCodec* codec, uint64 hash, const char* key);
void free_incumbent(Incumbent* incumbent);

}  // namespace many::engine
