/*
 * Pauses of the garbage collector, as a runtime's hooks tell of them (cprof_gc_begin(),
 * cprof_gc_end() in cprof/sample.h): how many, how long by the clock and how much CPU time of
 * the thread that collects, by cause and generation.
 *
 * Threads count, anybody reads. There is room for PAUSES_SERIES causes and generations; what
 * comes after them is only in the totals.
 */
#ifndef CPROF_SAMPLE_PAUSES_H
#define CPROF_SAMPLE_PAUSES_H

#include <stddef.h>
#include <stdint.h>

#include "cprof/sample.h"

enum { PAUSES_SERIES = 32 };

struct pauses {
    uint32_t kind;        /* cause and generation, as PAUSES_SEPARATOR has them in its text */
    uint64_t collections; /* as the runtime counts them: of one there may be several pauses */
    uint64_t wall_ns, cpu_ns;
};

/* Stands between cause and generation. */
#define PAUSES_SEPARATOR '/'

/* [start] Counts from nothing. */
void pauses_reset(void);

struct pauses pauses_total(void);
size_t pauses_read(struct pauses series[PAUSES_SERIES]);

#endif
