/*
 * Gathers samples into the profile of the running interval: turns each record into a stack
 * (stacks.h) and counts it by stack, link, labels (labelling.h) and thread.
 *
 * Belongs to the collector's thread. What has no room in the budget, of which an interval may
 * take half, is counted on "[overflow]".
 */
#ifndef CPROF_COLLECT_GATHER_H
#define CPROF_COLLECT_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "collect/blocks.h"
#include "collect/naming.h"
#include "collect/stacks.h"
#include "cprof/cprof.h"
#include "look/wait.h"
#include "profile/profile.h"
#include "sample/record.h"
#include "sample/threads.h"
#include "source/source.h"

/* Borrowed for the gatherer's life. */
struct gather_config {
    struct budget *budget;
    struct budget *spare; /* for gather_cut(); outlives all that it has made; may be NULL */
    const struct cprof_runtime *runtime; /* may be NULL */
    const struct profile *model;         /* value types, resource, period of every profile */
    const struct cprof_pair *labels;     /* on every sample */
    size_t label_count;
    bool thread_labels; /* thread.id and thread.name too */
    bool timestamps;    /* each sample on its own, with its time (PROFILE_TIME) */
    const struct source_set *sources;
    size_t max_frames;
    struct blocks
        *blocks; /* that live already, in the child of a fork; it is emptied. NULL: none */
    const char *library_directory; /* for rewalk.h, both */
    _Atomic size_t *copies;
};

/* Weights of samples since gather_new(). */
struct gather_counts {
    uint64_t samples, truncated, failed;
    uint64_t unlinked;         /* without the span that was active: it was not to be read */
    uint64_t unlabelled;       /* under labels="[overflow]" */
    uint64_t looks, looks_cut; /* placed; of these without their root */
    uint64_t blocked;          /* no samples, but CPU time of threads that block our signal */
    uint64_t alloc_bytes;      /* what the samples of allocations stand for */
    uint64_t heap_bytes;       /* what the blocks stand for that live now */
};

struct gather;

struct gather *gather_new(const struct gather_config *config); /* NULL: out of memory */
void gather_free(struct gather *gather);

/* In the child of a fork: the blocks of one that is going to be freed. */
void gather_yield_blocks(struct gather *gather, struct blocks *blocks);

/* Adds a record of the thread to the running profile. 0; 1: it met native code that no module
 * of the map covers. -EAGAIN: not added, because the runtime will
 * know a frame's name later; never when `may_wait` is false: it counts as failed then. */
int gather_add(struct gather *gather, const struct thread_view *thread,
               const struct record *record, const struct module_map *map, bool may_wait);

/* Adds expiries that were due and never came, as a thread has ended: where it was last, or
 * under "[not sampled]" if that is not known in this interval. */
void gather_add_owed(struct gather *gather, const struct thread_view *thread, uint32_t weight);

/* Adds expiries of a thread that blocks our signal: under "[signals blocked]". */
void gather_add_blocked(struct gather *gather, const struct thread_view *thread,
                        uint32_t weight);

/* Where a thread waits, from a look's record, is in *where from now on, for this interval. 0,
 * or -EAGAIN as gather_add(). */
int gather_place(struct gather *gather, const struct record *record, const struct wait *wait,
                 const struct module_map *map, bool may_wait, struct thread_last *where);

/* Adds time that a thread waited there; NULL: nobody knows where. If that is at a native lock
 * it is a wait of `lock` too, or so many `times`. */
void gather_add_waited(struct gather *gather, const struct thread_view *thread,
                       const struct thread_last *where, uint32_t weight, uint32_t times);

/* Time that a thread waited there for a native lock is blamed on its holder, who slept here;
 * NULL: he ran, and is blamed where he was last sampled in this interval. */
void gather_add_blame(struct gather *gather, const struct thread_last *where,
                      const struct thread_view *holder, const struct thread_last *here,
                      uint32_t weight);

/* Where tasks wait, from the record of one, is in *where from now on, for this interval; and
 * the time that they waited there, which is none of the threads' and counts as off-CPU time
 * only. */
void gather_place_task(struct gather *gather, const struct record *record,
                       const struct module_map *map, struct thread_last *where);
void gather_add_task_waited(struct gather *gather, const struct thread_last *where,
                            uint32_t weight);

/* Adds time for which it could have run and had no CPU: where it was last sampled. */
void gather_add_delayed(struct gather *gather, const struct thread_view *thread,
                        uint32_t weight);

/* For a survey (survey.h): a record's stack, good until the next one; what the dictionary says
 * of an interpreter frame of it, false: there is none; what a thread that sleeps there
 * or a task that is suspended there waits for, as its runtime knows; the running profile, to
 * read, and its serial. */
struct stack gather_stack(struct gather *gather, const struct record *record,
                          const struct module_map *map);
bool gather_frame(const struct gather *gather, const struct record *record, size_t index,
                  struct cprof_function *function);
enum cprof_wait gather_waits_for(const struct gather *gather, const struct record *record,
                                 const struct stack *stack);
enum cprof_wait gather_task_waits_for(const struct gather *gather, const struct record *record);
const struct profile *gather_running(const struct gather *gather, uint64_t *interval);
const struct gather_config *gather_settings(const struct gather *gather);

/* Once a tick: the handlers may copy stacks again (rewalk.h). */
void gather_tick(struct gather *gather);

/* What names the frames, for the collector to look after. */
struct naming *gather_naming(struct gather *gather);

/* Ends the interval: the profile so far becomes the caller's, a fresh one begins. NULL when
 * there is no memory for a fresh one: the old one goes on. */
struct profile *gather_close(struct gather *gather);

/* The same with all samples, whether or not the turn of their event loop has ended (held.h). So
 * do the next two. */
struct profile *gather_flush(struct gather *gather);

/* The same for what can't wait until there is memory: the fresh one draws from what is spare
 * where more is left of that. */
struct profile *gather_cut(struct gather *gather);

/* Ends the last interval, for which no memory is needed. Nothing may be added any more. */
struct profile *gather_end(struct gather *gather);

void gather_count(const struct gather *gather, struct gather_counts *counts);
size_t gather_stacks(const struct gather *gather); /* unique ones in the running profile */

#endif
