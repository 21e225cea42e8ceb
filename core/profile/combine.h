/*
 * Whole-profile operations. None changes its inputs except the named target.
 *
 * Merge is associative and commutative up to the order of ids: the same samples with the same
 * values come out, whatever the order of going in. Value columns are matched by type and
 * unit; a column that one side lacks counts 0 there. The merged time is the earliest start,
 * the duration runs to the latest end; a period that differs becomes 0 (unknown). Attributes
 * stay where both sides say the same (what then stands once is true of every sample);
 * comments add up. A blank target (no columns, samples, attributes) takes over all of that.
 */
#ifndef CPROF_PROFILE_COMBINE_H
#define CPROF_PROFILE_COMBINE_H

#include "profile/profile.h"

/* Adds every sample of `source` to `target`. 0; -ENOSPC (too many value types) with nothing
 * added; -ENOMEM with nothing added or, when profile_error(target) says so, with what had no
 * room counted as "[overflow]". */
int profile_merge(struct profile *target, const struct profile *source);

/* What the command's --span, --trace, --label, --thread select; a NULL field selects all. */
struct profile_filter {
    const char *trace_id;                /* lower-case hex, 32 digits */
    const char *span_id;                 /* 16 digits */
    const char *label_key, *label_value; /* a key alone: any value; numbers as digits */
    const char *thread;                  /* thread.name */
};

/* A new profile with the samples that match all of the filter; NULL: out of memory. */
struct profile *profile_select(const struct profile *source,
                               const struct profile_filter *filter);

/* A copy that holds nothing but what its samples reach, in canonical order: two profiles
 * with the same content give byte-identical encodings afterwards. Columns in counts stand
 * first, as every producer of pprof has them. NULL: out of memory. */
struct profile *profile_compact(const struct profile *source);

#endif
