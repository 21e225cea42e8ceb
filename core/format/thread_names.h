/*
 * The threads of samples, for formats that have a list of samples for each: by what the labels
 * thread.name and thread.id tell. Borrows the profile, which must not change. One encoder.
 */
#ifndef CPROF_FORMAT_THREAD_NAMES_H
#define CPROF_FORMAT_THREAD_NAMES_H

#include "format/names.h"

struct thread_name {
    const char *name; /* "thread" where none is given */
    int64_t id;       /* 0 where none is given */
};

struct thread_names {
    struct names texts; /* number i + 1: "worker (12)", thread i as one text */
    struct thread_name *list;
    uint32_t count;
    uint32_t *thread_of; /* by sample less the first */
};

/* Of the samples from number `first` up to, not including, `end`. False: out of memory. To be
 * freed in any case. */
bool thread_names_init(struct thread_names *threads, const struct profile *profile,
                       size_t first, size_t end);
void thread_names_free(struct thread_names *threads);

#endif
