/*
 * Whole-profile operations. None changes its inputs except the named target.
 *
 * Merge is associative and commutative up to the order of ids: the same samples with the same
 * values come out, whatever the order of going in. Value columns are matched by type and
 * unit; units of one kind (us, ns) become the finer one, but in a profile that has both. A
 * column that one side lacks counts 0 there. A sheet goes to the sheet that has one of its
 * columns; one that shares no column stays a sheet of its own; columns that the target has in
 * several sheets are counted in these. The merged time is the earliest start, the duration
 * runs to the latest end; a sheet's period that differs becomes 0 (unknown). Attributes stay
 * where both sides say the same (what then stands once is true of every sample); comments add
 * up. A blank target (no columns, samples, attributes) takes over all of that.
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

#include "profile/clamp.h"
#include "profile/profile.h"

/* Adds every sample of `source` to `target`. 0; -EOVERFLOW when what had no room was counted as
 * "[overflow]"; with nothing added -ENOSPC (too many value types) or -ENOMEM. Comments past
 * PROFILE_MAX_ATTRIBUTES are left out. */
int profile_merge(struct profile *target, const struct profile *source);

/* The same where the source is of the same process at a later time: of levels, which stand at
 * one moment (measures.h), the later holds. */
int profile_merge_later(struct profile *target, const struct profile *source);

/* Has it columns of levels? */
bool profile_has_levels(const struct profile *p);

/* A new profile with these alone, and without the metrics; or with all but these. NULL: out of
 * memory. */
struct profile *profile_part(const struct profile *source, bool levels);

/* Where the values of a column go in another profile, and what they are multiplied by there. */
struct profile_place {
    size_t column;
    int64_t factor;
};

static inline void profile_put(int64_t values[PROFILE_MAX_VALUES], struct profile_place place,
                               int64_t value)
{
    values[place.column] = clamp_multiply(value, place.factor);
}

/* How reading into a profile begins: as profile_merge() of a `head` that has columns and all
 * that stands once, but no samples yet; places[i] is the target's for the head's column i. */
int profile_merge_head(struct profile *target, const struct profile *head,
                       struct profile_place places[PROFILE_MAX_VALUES]);

/* The same, and each sample of `source` gets the label `key` with that text, but for those that
 * have one of that key: what came from where is told apart in the sum. */
int profile_merge_labelled(struct profile *target, const struct profile *source,
                           const char *key, const char *text);

/* The same where the two are of different processes: attributes of the resource that not both
 * have, or not with one value, become labels of their samples, but for those that have one of
 * that key. So profiles of two services can still be told apart in the sum. `*target` may be
 * another profile afterwards. -E2BIG with nothing added: over PROFILE_MAX_EXTRA of them. */
#define PROFILE_MAX_EXTRA 256
int profile_merge_apart(struct profile **target, const struct profile *source);

/* The same of a `head` that has columns and all that stands once, but no samples yet: as
 * profile_merge_head(), and `extra` is what labels of the target its samples are to get. */
struct profile_extra {
    struct profile_label labels[PROFILE_MAX_EXTRA];
    size_t count;
};
int profile_merge_apart_head(struct profile **target, const struct profile *head,
                             struct profile_place places[PROFILE_MAX_VALUES],
                             struct profile_extra *extra);

/* Does the target stay as it is then, but for what stands once: the same profile, its columns
 * in the same units? */
bool profile_merges_in_place(const struct profile *target, const struct profile *head);

/* Is the attribute one of cprof's own metrics, which merging adds up? */
bool profile_is_metric(const struct profile *p, const struct profile_label *attribute);
void profile_remove_metrics(struct profile *p);

/* A label of a sample, or else of the process ("service.version"): one of that value, numbers
 * as digits; NULL: any. Or one that is not so (`unlike`). */
struct profile_label_match {
    const char *key, *value;
    bool unlike;
};

#define PROFILE_FILTER_LABELS 16

/* What the command's --span, --trace, --label, --thread select; a NULL field selects all. A
 * sample has to match all labels. */
struct profile_filter {
    const char *trace_id; /* lower-case hex, 32 digits */
    const char *span_id;  /* 16 digits */
    const char *thread;   /* thread.name */
    struct profile_label_match labels[PROFILE_FILTER_LABELS];
    size_t label_count;
};

/* Adds one. False: there are too many. */
bool profile_filter_label(struct profile_filter *filter, struct profile_label_match match);

/* Does it select anything less than all? */
bool profile_filter_narrows(const struct profile_filter *filter);

/* A new profile with the samples that match all of the filter; NULL: out of memory. */
struct profile *profile_select(const struct profile *source,
                               const struct profile_filter *filter);

/* A new profile with the samples from number `first` up to, not including, `last`. The slices
 * of a profile add up to it: the metrics stand in the one that begins at 0 only. Without a
 * profile_id. NULL: out of memory. */
struct profile *profile_slice(const struct profile *source, size_t first, size_t last);

/* A new profile without the resource's attributes and the labels of those keys; what they told
 * apart adds up. NULL: out of memory. */
struct profile_keys {
    const char *const *list;
    size_t count;
};
struct profile *profile_without(const struct profile *source, const struct profile_keys *keys);
bool profile_keys_have(const struct profile_keys *keys, const char *key); /* NULL: no keys */

/* Names for code that has none, as somebody found them. */
#define PROFILE_NAMING_LINES 16
struct profile_naming {
    void *closure;
    /* Is this a location of the source that is to be named? One with lines keeps them where no
     * name is found. */
    bool (*nameless)(void *closure, const struct profile_location *location);
    /* The lines of such a location, their functions interned in `to`, up to
     * PROFILE_NAMING_LINES; their number. */
    uint32_t (*name)(void *closure, const struct profile_location *location, struct profile *to,
                     struct profile_line *lines);
    /* Has the mapping of the source been looked into? What it says of its symbols ends then. */
    bool (*knows)(void *closure, profile_id mapping);
};

/* A new profile with those names; NULL: out of memory. */
struct profile *profile_name(const struct profile *source, const struct profile_naming *naming);

/* A copy that holds nothing but what its samples reach, in canonical order: two profiles
 * with the same content give byte-identical encodings afterwards. Columns in counts stand
 * first, as every producer of pprof has them. NULL: out of memory. */
struct profile *profile_compact(const struct profile *source);

#endif
