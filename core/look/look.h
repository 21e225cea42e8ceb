/*
 * A look: where another thread sleeps and what for, found out without waking it. The kernel's
 * word for pc and stack pointer (kernel.h), the native walk from there (unwind/walk.h), the
 * runtime's frames, span and labels (cprof/asleep.h), all through copies of the thread's
 * memory; then its CPU clock once more. If that has not moved, nothing ran, and what was read
 * is of one moment.
 *
 * Where the kernel does not say pc and stack pointer, the runtime's frames are all that is
 * seen, for those that do not lie on the native stack: the thread sleeps (its state), for what
 * the kernel's function says, and the clock is the proof as before.
 *
 * One thread at a time may use a looker.
 */
#ifndef CPROF_LOOK_LOOK_H
#define CPROF_LOOK_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/runtime.h"
#include "look/wait.h"
#include "sample/record.h"
#include "sample/threads.h"
#include "unwind/modules.h"

struct looker_config {
    struct budget *budget;
    const struct cprof_runtime *runtime; /* may be NULL */
    bool native;                         /* keep native frames */
    bool kernel;                         /* the kernel's functions before them */
    size_t max_frames;                   /* of each kind */
};

struct looker;

/* NULL: no memory. Some 300 KiB and the room of a record, from the budget. */
struct looker *looker_new(const struct looker_config *config);
void looker_free(struct looker *looker);

enum look_end {
    LOOK_TAKEN,
    LOOK_RUNNING, /* it does not sleep */
    LOOK_TORN,    /* it ran meanwhile */
    LOOK_GONE,    /* it has ended */
    LOOK_REFUSED, /* the kernel does not say where it sleeps */
};

/* `cpu_ns` is the thread's CPU clock just before; `kept` as in struct cprof_sleeper. When it is
 * taken, *record (good until the next look) is the sample, without a weight, and *wait what it
 * waits for. */
enum look_end look_take(struct looker *looker, const struct module_map *map,
                        const struct thread_view *thread, uint64_t cpu_ns, uintptr_t *kept,
                        const struct record **record, struct wait *wait);

/* 0, or a negative errno: the kernel does not say where threads sleep. */
int look_is_possible(void);

/* The same of looks that see this runtime's frames alone. */
int look_is_possible_without_stack(const struct cprof_runtime *runtime);

#endif
