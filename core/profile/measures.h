/*
 * The measures that are known: what a value column of some type and unit is called, by whom,
 * and whether it is a level or a flow. One table for those who write profiles and those who
 * read them; docs/formats.md shows it to users. Constant: for every thread.
 */
#ifndef CPROF_PROFILE_MEASURES_H
#define CPROF_PROFILE_MEASURES_H

#include <stdbool.h>
#include <stddef.h>

#include "profile/profile.h"

struct measure {
    const char *type;   /* "cpu"; with a '*' behind it, what begins so */
    const char *unit;   /* "nanoseconds"; NULL: other profilers', in any */
    const char *source; /* whose column it is, as CPROF_TYPES spells it; NULL: no source's */
    const char *words;  /* for people; NULL: the type says it */
    const char *series; /* what Pyroscope and Parca call the profile; NULL: nothing */
    const char *page;   /* Go's /debug/pprof/PAGE that has it; NULL: none */
    bool level;         /* it stands at one moment, and does not come by the second */
};

/* The rows, one after another; NULL past the last. */
const struct measure *measure_at(size_t row);
/* The row of a type, in whatever unit; NULL: not known. */
const struct measure *measure_find(const char *type);

bool measure_is_level(const char *type);
/* What people call it. */
const char *measure_words(const char *type);

/* The name of a sheet's series: of its columns the one that stands last in the table. */
const char *measure_series(const struct profile *p, size_t sheet);

/* Is it the name of a source, of this version or not? */
bool measure_is_source(const char *name, size_t length);
/* "cpu, offcpu, …", for people. */
void measure_sources(char *list, size_t size);

/* Gives a sheet without columns those of a source, in their order, and its period. 0 or what
 * profile_add_value_type() gave. */
int measure_fill_sheet(struct profile *p, size_t sheet, const char *source, int64_t period);

#endif
