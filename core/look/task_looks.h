/*
 * Looks at the tasks of event loops that wait: what they wait for, and for how long. Their time
 * is time beside that of threads, whose sum is exact; of tasks each look counts the time since
 * the one before where it finds them, so that what lives for less than that is seen by chance,
 * in proportion.
 *
 * Nothing but copies of the runtime's memory is read (cprof/asleep.h), and no lock is taken.
 * Where the process has not run since the tasks were read they wait where they did, and are not
 * read again.
 *
 * Reading them may cost TASK_LOOKS_SHARE of the process's CPU time, and a thousandth of one CPU
 * besides; more is waited for, and the next look counts more. One look reads TASKS_A_LOOK tasks
 * at most: those behind are not counted, which is said once.
 *
 * Belongs to the collector's thread. The places of the tasks, a hundred bytes each that
 * differs, are drawn from the budget; tasks for which there is no room are not counted.
 */
#ifndef CPROF_LOOK_TASK_LOOKS_H
#define CPROF_LOOK_TASK_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/asleep.h"
#include "sample/record.h"
#include "sample/thread.h"

#define TASK_LOOKS_SHARE 200 /* 0.5 % */
#define TASKS_A_LOOK 10000

struct task_looks_receiver {
    void *closure;
    /* Tasks wait at the place that is in *where from now on, for this interval. */
    void (*place)(void *closure, const struct record *record, struct thread_last *where);
    /* They have waited there, all together, for so long, which is not 0. */
    void (*waited)(void *closure, const struct thread_last *where, uint32_t microseconds);
};

struct task_looks_counts {
    uint64_t taken;  /* looks that read the tasks */
    uint64_t cut;    /* of these with some left out: there were too many, or no memory */
    uint64_t tasks;  /* that were seen waiting by them */
    uint64_t cpu_ns; /* what they took */
};

struct task_looks_config {
    struct budget *budget;
    const struct cprof_asleep *asleep; /* whose tasks() is not NULL */
    uint64_t period_ns;                /* between two looks, on average */
    const struct task_looks_receiver *receiver;
};

struct task_looks;

struct task_looks *task_looks_new(const struct task_looks_config *config); /* NULL: no memory */
void task_looks_free(struct task_looks *looks);                            /* NULL is allowed */

/* When the next look is due: CLOCK_MONOTONIC. */
uint64_t task_looks_due(const struct task_looks *looks);

void task_looks_round(struct task_looks *looks);

/* The interval is about to end: all that has been waited until now is counted, where tasks were
 * seen last. */
void task_looks_settle(struct task_looks *looks);

void task_looks_count(const struct task_looks *looks, struct task_looks_counts *counts);

#endif
