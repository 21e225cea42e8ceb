/*
 * A call graph out of a profile's stacks, for formats that keep nothing else (callgrind's,
 * pstats'): what each frame took itself, what each function took with all that it called, and
 * what passed from callers to callees. A function or a call that is several times on one stack
 * counts once for it.
 *
 * Values are those of all columns of a sheet, the one of the default column. Borrows the
 * profile, which must not change. One encoder.
 */
#ifndef CPROF_FORMAT_CALL_SUMS_H
#define CPROF_FORMAT_CALL_SUMS_H

#include "format/frames.h"
#include "format/pair_map.h"

struct call_sums {
    const struct profile *profile;
    struct frame_table frames;
    size_t sheet, width;   /* its columns */
    int64_t *self;         /* by frame; `width` each, as are these */
    int64_t *whole;        /* by function */
    struct pair_map calls; /* the caller, by frame or by function, and the callee's function */
    int64_t *passed;       /* by call */
    int64_t *passed_self;  /* what of it the callee took itself */
    uint32_t *first_frame; /* by function; one more at the end */
    uint32_t *seen_function; /* the last stack that it is on, from 1; 0: it is on none */
    /* While it is made: */
    uint32_t *path, *seen_call;
    uint32_t call_room;
};

/* Callers are told apart by the line that calls, or not. 0 or -errno; to be freed in any case.
 */
int call_sums_init(struct call_sums *sums, const struct profile *profile, bool by_line);
void call_sums_free(struct call_sums *sums);

#endif
