#include "collect/recall.h"

#include <string.h>

#include "base/hash.h"

/* Two words at once, each on its own: a multiplication takes longer than all else here. */
struct mixer {
    uint64_t even, odd;
};

static inline void mix(struct mixer *mixer, uint64_t a, uint64_t b)
{
    mixer->even = (mixer->even ^ a) * 0x9fb21c651e98df25ULL;
    mixer->even ^= mixer->even >> 32;
    mixer->odd = (mixer->odd ^ b) * 0xff51afd7ed558ccdULL;
    mixer->odd ^= mixer->odd >> 32;
}

static uint64_t place_of(const struct cprof_frame *frame, uint64_t sp)
{
    bool special = frame->stack == CPROF_STACK_INHERIT || frame->stack == CPROF_STACK_BOUNDARY;
    return special ? frame->stack : frame->stack - sp;
}

uint64_t recall_key(const struct record *record)
{
    if (record->stack_size != 0)
        return 0;
    const struct native_frame *native = record_native(record);
    const struct cprof_frame *frames = record_frames(record);
    struct mixer mixer = {.even = record->native_count, .odd = record->frame_count};
    for (size_t i = 0; i < record->native_count; i++)
        mix(&mixer, native[i].pc, native[i].cfa - record->sp);
    for (size_t i = 0; i < record->frame_count; i++) {
        mix(&mixer, frames[i].token, frames[i].position);
        mix(&mixer, place_of(&frames[i], record->sp), i);
    }
    mix(&mixer, record->native_end | (uint64_t)record->source << 8, record->frames_complete);
    uint64_t key = hash_combine(mixer.even, mixer.odd);
    return key | (key == 0);
}

const struct recalled *recall_find(struct recall *recall, uint64_t names, uint64_t key)
{
    if (recall->names != names)
        recall_forget(recall);
    recall->names = names;
    const struct recalled *place = &recall->places[key & (RECALLED - 1)];
    return key != 0 && place->key == key ? place : NULL;
}

void recall_keep(struct recall *recall, const struct recalled *stack)
{
    recall->places[stack->key & (RECALLED - 1)] = *stack;
}

void recall_forget(struct recall *recall)
{
    memset(recall->places, 0, sizeof recall->places);
}
