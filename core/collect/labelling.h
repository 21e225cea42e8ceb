/*
 * The labels of samples: the thread's identity, what it waits for, what the runtime says of the
 * context, and what the user puts on all of them, as label sets of the running profile. The
 * first one to set a key wins, in this order.
 *
 * Belongs to the collector's thread. An interval keeps the first 1,024 distinct sets of the
 * runtime's labels apart. The samples of all others carry labels="[overflow]" in place of
 * theirs. Sets that were made are found again by thread, runtime's number and wait.
 */
#ifndef CPROF_COLLECT_LABELLING_H
#define CPROF_COLLECT_LABELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/cprof.h"
#include "cprof/runtime.h"
#include "look/waits.h"
#include "profile/profile.h"
#include "sample/threads.h"

#define LABELLING_CACHED 1024 /* a power of two */
#define LABELLING_MAX_SETS 1024
#define LABELLING_MAX_LABELS 64 /* of one sample */

/* Borrowed. */
struct labelling_config {
    const struct cprof_runtime *runtime; /* may be NULL */
    const struct cprof_pair *labels;     /* on every sample */
    size_t label_count;
    bool thread_labels; /* thread.id and thread.name too */
};

/* In place of a wait: a sample's kind, as its source's label. */
#define LABELLING_KIND(source, kind) (UINT32_C(1) << 31 | (uint32_t)(source) << 16 | (kind))

/* The label set made for a thread's identity, a runtime's label set and a wait. */
struct labelled {
    uint64_t identity;
    uint32_t label_set, wait;
    bool overflow; /* the runtime's labels are not among them */
    profile_id id; /* in the running profile; 0: the slot is empty */
};

/* All zero but for the configuration: as after labelling_forget(). */
struct labelling {
    struct labelling_config config;
    struct waits waits; /* of the running interval */
    struct labelled cache[LABELLING_CACHED];
    /* The contents of the runtime's label sets in the running interval, by hash. */
    size_t set_count;
    uint64_t set_hashes[2 * LABELLING_MAX_SETS]; /* open addressing; 0: free */
};

/* Another profile is going to run. */
void labelling_forget(struct labelling *labelling);

/* The labels of a sample of the thread, or of no thread (NULL); good until the next call.
 * `label_set` is the runtime's, and `wait` one of the waits, or LABELLING_KIND(); 0: none. */
const struct labelled *labelling_of(struct labelling *labelling, struct profile *profile,
                                    const struct thread_view *thread, uint32_t label_set,
                                    uint32_t wait);

/* A label set of the profile with one label more, which takes none of the others' place. */
profile_id labelling_with(struct profile *profile, profile_id labels,
                          struct profile_label label);

#endif
