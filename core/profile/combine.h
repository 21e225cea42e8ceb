/*
 * Whole-profile operations. None changes its inputs except the named target.
 *
 * Merge is associative and commutative up to the order of ids: the same samples with the same
 * values come out, whatever the order of going in. Value columns are matched by type and
 * unit; a column that one side lacks counts 0 there. The merged time is the earliest start,
 * the duration runs to the latest end; a period that differs becomes 0 (unknown). Attributes
 * stay where both sides say the same (what then stands once is true of every sample);
 * comments add up. A blank target (no columns, samples, attributes) takes over all of that.
 *
 * cprof's own metrics are attributes that tell of the time covered instead: the numbers
 * "cprof.samples", "cprof.bytes_sent", … (struct cprof_stats). A profile of several
 * intervals has, of
 *   - counts (samples…, timer_overruns, profiles_…, bytes_sent, collector_cpu_ns): the sum;
 *   - levels (threads, stacks, memory_bytes) and handler_ns_max: the highest;
 *   - handler_ns_mean: the mean, weighted by cprof.samples (here alone the order of merging
 *     may show, by a nanosecond of rounding).
 * A side that lacks one has nothing to add to it.
 */
#ifndef CPROF_PROFILE_COMBINE_H
#define CPROF_PROFILE_COMBINE_H

#include "profile/profile.h"

/* Adds every sample of `source` to `target`. 0; -EOVERFLOW when what had no room was counted as
 * "[overflow]"; with nothing added -ENOSPC (too many value types) or -ENOMEM. Comments past
 * PROFILE_MAX_ATTRIBUTES are left out. */
int profile_merge(struct profile *target, const struct profile *source);

/* How reading into a profile begins: as profile_merge() of a `head` that has columns and all
 * that stands once, but no samples yet; column[i] is the target's for the head's column i. */
int profile_merge_head(struct profile *target, const struct profile *head,
                       size_t column[PROFILE_MAX_VALUES]);

/* The same, and each sample of `source` gets the label `key` with that text, but for those that
 * have one of that key: what came from where is told apart in the sum. */
int profile_merge_labelled(struct profile *target, const struct profile *source,
                           const char *key, const char *text);

/* Is the attribute one of cprof's own metrics, which merging adds up? */
bool profile_is_metric(const struct profile *p, const struct profile_label *attribute);

/* What the command's --span, --trace, --label, --thread select; a NULL field selects all. */
struct profile_filter {
    const char *trace_id; /* lower-case hex, 32 digits */
    const char *span_id;  /* 16 digits */
    /* A sample's, or else the process's ("service.version"). A key alone: any value; numbers
     * as digits. */
    const char *label_key, *label_value;
    const char *thread; /* thread.name */
};

/* A new profile with the samples that match all of the filter; NULL: out of memory. */
struct profile *profile_select(const struct profile *source,
                               const struct profile_filter *filter);

/* A new profile with the samples from number `first` up to, not including, `last`. The slices
 * of a profile add up to it: the metrics stand in the one that begins at 0 only. Without a
 * profile_id. NULL: out of memory. */
struct profile *profile_slice(const struct profile *source, size_t first, size_t last);

/* A copy that holds nothing but what its samples reach, in canonical order: two profiles
 * with the same content give byte-identical encodings afterwards. Columns in counts stand
 * first, as every producer of pprof has them. NULL: out of memory. */
struct profile *profile_compact(const struct profile *source);

#endif
