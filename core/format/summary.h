/*
 * What is printed first of a profile: which value it is about, how much of it there is,
 * over how long, in how many threads. The command's tables and the flame graph page agree
 * because both ask here. Pure functions.
 */
#ifndef CPROF_FORMAT_SUMMARY_H
#define CPROF_FORMAT_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

struct profile_summary {
    size_t column;       /* the value shown when nobody chose one */
    int64_t samples;     /* of "samples" beside that column; else how many there are */
    size_t threads;      /* thread.id labels by process, else thread.name; 0 = not known */
    const char *service; /* service.name of the resource; NULL = not known, or several */
    size_t services;     /* distinct service.name labels; 0 or 1: see `service` */
};

/* The profile's own default type, else "cpu", else its last column, as pprof does it. 0 for a
 * profile without columns. */
size_t profile_default_column(const struct profile *profile);

/* service.name of the resource, or NULL. */
const char *profile_service(const struct profile *profile);

/* 0 or -ENOMEM. */
int profile_summarize(const struct profile *profile, struct profile_summary *summary);

#endif
