#include "sample/pauses.h"

#include <stdatomic.h>

#include "base/clock.h"

struct counters {
    _Atomic uint32_t kind; /* 0: free */
    _Atomic uint64_t collections, wall_ns, cpu_ns;
};

static struct counters total, series[PAUSES_SERIES];

static _Atomic unsigned life; /* of the counts: what began in another has no end in this one */

/* A collection within another is part of its pause. */
static CPROF_THREAD_LOCAL struct {
    unsigned life, depth;
    uint64_t wall_ns, cpu_ns;
} begun;

static void add(struct counters *to, uint64_t collections, uint64_t wall_ns, uint64_t cpu_ns)
{
    atomic_fetch_add_explicit(&to->collections, collections, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->wall_ns, wall_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->cpu_ns, cpu_ns, memory_order_relaxed);
}

static struct counters *series_of(uint32_t kind)
{
    for (size_t i = 0; i < PAUSES_SERIES; i++) {
        uint32_t there = 0;
        if (atomic_compare_exchange_strong(&series[i].kind, &there, kind) || there == kind)
            return &series[i];
    }
    return NULL;
}

void cprof_gc_begin(void)
{
    if (begun.life != atomic_load(&life))
        begun.depth = 0;
    begun.life = atomic_load(&life);
    if (begun.depth++ > 0)
        return;
    begun.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    begun.wall_ns = clock_ns(CLOCK_MONOTONIC);
}

void cprof_gc_end(uint32_t kind, unsigned collections, const struct cprof_registers *caller)
{
    if (begun.depth == 0 || begun.life != atomic_load(&life))
        return; /* it was under way when the hooks came */
    bool outermost = --begun.depth == 0;
    uint64_t wall_ns = 0, cpu_ns = 0;
    if (outermost) {
        wall_ns = clock_ns(CLOCK_MONOTONIC) - begun.wall_ns;
        cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun.cpu_ns;
    }
    struct counters *counters = series_of(kind);
    add(&total, collections, wall_ns, cpu_ns);
    if (counters != NULL)
        add(counters, collections, wall_ns, cpu_ns);
    uint64_t period = outermost ? cprof_due(CPROF_EVENT_GC, 1) : 0;
    if (period != 0)
        cprof_take_kind(CPROF_EVENT_GC, period, wall_ns, kind, caller);
}

static void clear(struct counters *counters)
{
    atomic_store(&counters->kind, 0);
    atomic_store(&counters->collections, 0);
    atomic_store(&counters->wall_ns, 0);
    atomic_store(&counters->cpu_ns, 0);
}

void pauses_reset(void)
{
    atomic_fetch_add(&life, 1);
    clear(&total);
    for (size_t i = 0; i < PAUSES_SERIES; i++)
        clear(&series[i]);
}

static struct pauses read_one(struct counters *counters)
{
    return (struct pauses){.kind = atomic_load(&counters->kind),
                           .collections = atomic_load(&counters->collections),
                           .wall_ns = atomic_load(&counters->wall_ns),
                           .cpu_ns = atomic_load(&counters->cpu_ns)};
}

struct pauses pauses_total(void)
{
    return read_one(&total);
}

size_t pauses_read(struct pauses into[PAUSES_SERIES])
{
    size_t count = 0;
    while (count < PAUSES_SERIES && atomic_load(&series[count].kind) != 0) {
        into[count] = read_one(&series[count]);
        count++;
    }
    return count;
}
