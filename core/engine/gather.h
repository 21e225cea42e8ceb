/*
 * Gathers samples into the profile of the running interval: weaves each record's two stacks,
 * naming the frames, and counts it by stack, link, labels and thread.
 *
 * Belongs to the collector's thread. A stack deeper than max_frames keeps its innermost
 * frames; it and one whose root could not be reached end in the frame "[truncated]". What has
 * no room in the budget, of which an interval may take half, is counted on "[overflow]".
 *
 * An interval keeps the first 1,024 distinct sets of the runtime's labels apart. The samples of
 * all others carry labels="[overflow]" in place of theirs, and are counted.
 */
#ifndef CPROF_ENGINE_GATHER_H
#define CPROF_ENGINE_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/cprof.h"
#include "engine/naming.h"
#include "profile/profile.h"
#include "sample/record.h"
#include "sample/threads.h"

/* Borrowed for the gatherer's life. */
struct gather_config {
    struct budget *budget;
    const struct cprof_runtime *runtime; /* may be NULL */
    const struct profile *model;         /* value types, resource, period of every profile */
    const struct cprof_pair *labels;     /* on every sample */
    size_t label_count;
    uint64_t period_ns;
    size_t max_frames;
    const char *library_directory; /* for rewalk.h, both */
    _Atomic size_t *copies;
};

/* Weights of samples since gather_new(). */
struct gather_counts {
    uint64_t samples, truncated, failed;
    uint64_t unlinked;   /* without the span that was active: it was not to be read */
    uint64_t unlabelled; /* under labels="[overflow]" */
};

struct gather;

struct gather *gather_new(const struct gather_config *config); /* NULL: out of memory */
void gather_free(struct gather *gather);

/* Adds a record of the thread to the running profile. 0; 1: it met native code that no module
 * of the map covers. -EAGAIN: not added, because the
 * runtime will know a frame's name later; never when `patient` is false: it counts as failed
 * then. */
int gather_add(struct gather *gather, const struct thread_view *thread,
               const struct record *record, const struct module_map *map, bool patient);

/* Once a tick: the handlers may copy stacks again (rewalk.h). */
void gather_tick(struct gather *gather);

/* What names the frames, for the collector to look after. */
struct naming *gather_naming(struct gather *gather);

/* Ends the interval: the profile so far becomes the caller's, a fresh one begins. NULL when
 * there is no memory for a fresh one: the old one goes on. */
struct profile *gather_close(struct gather *gather);

/* Ends the last interval, for which no memory is needed. Nothing may be added any more. */
struct profile *gather_end(struct gather *gather);

void gather_count(const struct gather *gather, struct gather_counts *counts);
size_t gather_stacks(const struct gather *gather); /* unique ones in the running profile */

#endif
