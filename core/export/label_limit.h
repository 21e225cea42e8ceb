/*
 * Which attributes and labels are left off for a server that takes only so many names a series,
 * as Pyroscope does over OTLP (30). What that limit is nobody knows before the server refuses a
 * profile, so it is learnt from its words; from then on what tells least is left off, in this
 * order: the thread's id, what other names say again, the thread's name, what else describes
 * the process, labels of samples, what says which service it is. service.name stays.
 *
 * Begins as {0}. Owned by one sink; not locked.
 */
#ifndef CPROF_EXPORT_LABEL_LIMIT_H
#define CPROF_EXPORT_LABEL_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "export/answer.h"
#include "profile/profile.h"

/* Names that are left off; a profile that needs more is refused. */
#define LABEL_LIMIT_MOST 64

struct label_limit {
    char *left_off[LABEL_LIMIT_MOST]; /* owned */
    size_t count, most;               /* names left off; names that the server takes */
};

/* A profile was refused with those numbers: leaves off as many names more. False: there are no
 * such numbers, or no more names. */
bool label_limit_learn(struct label_limit *limit, const struct profile *profile,
                       const struct label_names *names);

/* The profile without them, to be freed. NULL: out of memory. */
struct profile *label_limit_apply(const struct label_limit *limit,
                                  const struct profile *profile);

/* "the server takes 30 label names a series: 1 is left off from now on: thread.id" */
void label_limit_tell(const struct label_limit *limit, char *text, size_t size);

void label_limit_free(struct label_limit *limit);

#endif
