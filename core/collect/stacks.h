/*
 * From a record to one stack: its two lists of frames are named (naming.h) and woven (weave.h).
 *
 * Belongs to the collector's thread. A stack deeper than max_frames keeps its innermost frames;
 * it and one whose root could not be reached end in the frame "[truncated]".
 */
#ifndef CPROF_COLLECT_STACKS_H
#define CPROF_COLLECT_STACKS_H

#include <stdbool.h>
#include <stddef.h>

#include "collect/naming.h"
#include "collect/rewalk.h"
#include "collect/weave.h"
#include "profile/profile.h"
#include "sample/record.h"
#include "unwind/modules.h"

/* Room for the work at one record, and what helps with it. */
struct stacks {
    struct naming *naming; /* borrowed */
    struct rewalk rewalk;
    size_t max_frames;
    /* max_frames of each kind. */
    struct name *native_names, *frame_names;
    uintptr_t *native_starts, *frame_starts;
    enum cprof_role *roles;
    uint16_t *scratch;
    struct woven *woven;
    profile_id *locations; /* and a chore, and the truncated root */
};

/* One record's stack. */
struct stack {
    profile_id *locations; /* of the dictionary, innermost first; good until the next one */
    size_t depth;
    bool truncated; /* the root is missing */
    bool failed;    /* a frame has no name */
    bool later;     /* … yet */
    bool passing;   /* a frame may have another name the next time */
    bool missed;    /* native code that no module covers */
};

/* False: out of memory; to be freed all the same. `directory` and `copies` as rewalk_init(). */
bool stacks_init(struct stacks *stacks, struct naming *naming, size_t max_frames,
                 const char *directory, _Atomic size_t *copies);
void stacks_free(struct stacks *stacks);

struct stack stacks_of(struct stacks *stacks, const struct record *record,
                       const struct module_map *map);

#endif
