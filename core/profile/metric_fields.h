/*
 * cprof's own figures as profiles carry them, each with METRIC_PREFIX before its name: those of
 * stats() and some that only profiles have. X(field, kind), as CPROF_STATS_FIELDS.
 */
#ifndef CPROF_PROFILE_METRIC_FIELDS_H
#define CPROF_PROFILE_METRIC_FIELDS_H

#include "cprof/cprof.h"

#define METRIC_PREFIX "cprof."

/* clang-format off */
#define PROFILE_ONLY_FIELDS(X)                                                                  \
    X(samples_unlinked, COUNT)   /* without the span that was active: it was not to be read */  \
    X(samples_unlabelled, COUNT) /* under labels="[overflow]" */                                \
    X(samples_blocked, COUNT)    /* of "[signals blocked]" */                                   \
    X(looks, COUNT)              /* at threads that sleep, with a walk */                       \
    X(looks_unmoved, COUNT)      /* at those that slept on where they were */                   \
    X(looks_cut, COUNT)          /* whose stack's root is missing */                            \
    X(looks_torn, COUNT)         /* thrown away: the thread ran meanwhile */                    \
    X(looks_refused, COUNT)      /* the kernel did not say where the thread sleeps */           \
    X(looks_skipped, COUNT)      /* rounds left out, as they would have cost too much */        \
    X(looks_without_room, COUNT) /* at threads for which there was no memory */                 \
    X(looks_cpu_ns, COUNT)       /* CPU time of looks */                                        \
    X(task_looks, COUNT)         /* at the tasks of event loops, that read them */              \
    X(task_looks_cut, COUNT)     /* of these with tasks left out: too many, or no memory */     \
    X(task_looks_cpu_ns, COUNT)  /* CPU time of these */                                        \
    X(threads_unsampled, LEVEL)  /* for which no timer was to be had */

/* Only of those who ask for kernel frames. */
#define KERNEL_FIELDS(X)                                                                        \
    X(threads_without_kernel, LEVEL) /* whose CPU samples can't have them */
/* clang-format on */

#define METRIC_FIELDS(X) CPROF_STATS_FIELDS(X) PROFILE_ONLY_FIELDS(X)

#endif
