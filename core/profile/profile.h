/*
 * A profile: strings, mappings, functions, locations, stacks, links and label sets, each
 * interned once and named by a 32-bit id, and samples that count (stack, link, labels).
 *
 * Owned by whoever created it and not locked: one thread at a time. Knows nothing of wire
 * formats, runtimes or sampling. Ids are dense, start at 1 in order of first use, and id 0 is
 * the zero value of every table ("" / no mapping / no function / empty stack / no link / no
 * labels), as pprof and OTLP both want it. Ids of one profile mean nothing in another.
 *
 * Memory is drawn from an optional budget. When that is spent, the intern functions return 0,
 * with -ENOMEM remembered in profile_error(), until the next profile_add(), which counts its
 * sample on the synthetic stack "[overflow]". That is made at creation so that it always has
 * room: the totals of a profile are right whatever happens. What was interned before is still
 * found, so known stacks go on being counted. A caller that keeps ids (token -> location) must
 * not keep the 0 of a refusal.
 */
#ifndef CPROF_PROFILE_PROFILE_H
#define CPROF_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/runtime.h" /* enum cprof_frame_type */

#define PROFILE_MAX_VALUES 8        /* value columns (sample types) of one profile */
#define PROFILE_MAX_ATTRIBUTES 4096 /* of each kind: attributes are a list, not a table */
#define PROFILE_OVERFLOW "[overflow]"

typedef uint32_t profile_id; /* an index into one table of one profile */

struct profile;

struct profile_value_type {
    profile_id type; /* strings: "samples", "cpu" */
    profile_id unit; /* "count", "nanoseconds" */
};

struct profile_mapping {
    uint64_t start, limit, file_offset; /* limit is exclusive */
    profile_id filename;
    profile_id build_id; /* GNU build id, lower-case hex */
    profile_id htlhash;  /* process.executable.build_id.htlhash, lower-case hex */
};

struct profile_function {
    profile_id name, system_name, filename;
    int64_t start_line;
};

struct profile_line {
    profile_id function;
    int64_t line, column;
};

struct profile_location {
    profile_id mapping;
    uint64_t address;
    enum cprof_frame_type type;
    bool folded;                      /* pprof's is_folded */
    uint32_t line_count;              /* > 1: inlined; the last line is the outermost caller */
    const struct profile_line *lines; /* owned by the profile once interned */
};

struct profile_stack {
    uint32_t depth;
    const profile_id *locations; /* leaf first */
};

struct profile_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct profile_label {
    profile_id key;
    profile_id text; /* the value when it is a string; 0 with `is_number` */
    int64_t number;
    profile_id unit; /* of a number; 0 = none */
    bool is_number;
};

/* Sorted by key (as bytes), keys unique: profile_labels() sees to both. */
struct profile_label_set {
    uint32_t count;
    const struct profile_label *labels;
};

struct profile_sample {
    profile_id stack, link, labels;
    const int64_t *values; /* profile_value_count() of them */
};

/* What stands once in a profile. Strings are ids; keep it consistent through the setters. */
struct profile_header {
    uint64_t time_ns;     /* start, Unix time */
    uint64_t duration_ns; /* wall time covered */
    struct profile_value_type period_type;
    int64_t period;          /* in the unit of period_type; 0 = unknown */
    profile_id default_type; /* pprof's default_sample_type */
    profile_id doc_url, drop_frames, keep_frames;
    uint8_t profile_id[16]; /* all zero = none */
    profile_id scope_name, scope_version;
};

/* Creation. NULL: out of memory. */
struct profile *profile_new(struct budget *budget);
void profile_free(struct profile *profile);
/* An empty profile with the value types, header, attributes and comments of `model`. */
struct profile *profile_new_like(const struct profile *model, struct budget *budget);
/* The same for a profile that holds nothing yet. 0 or -ENOMEM. */
int profile_adopt(struct profile *profile, const struct profile *model);
void profile_adopt_header(struct profile *profile, const struct profile *model);

/* From now on it holds no more than that, whatever the budget has left. 0: no such bound. */
void profile_bound(struct profile *profile, size_t bytes);

/* Sticky: 0, or -ENOMEM once an intern function had no room. */
int profile_error(const struct profile *profile);
size_t profile_memory(const struct profile *profile); /* bytes held */

/* Value columns. Adding one after samples exist gives them 0 in it. 0, -ENOMEM, -EEXIST, or
 * -ENOSPC past PROFILE_MAX_VALUES. */
int profile_add_value_type(struct profile *profile, const char *type, const char *unit);
size_t profile_value_count(const struct profile *profile);
struct profile_value_type profile_value_type(const struct profile *profile, size_t column);
/* Its type ("cpu") and its unit ("nanoseconds") as text. */
const char *profile_type(const struct profile *profile, size_t column);
const char *profile_unit(const struct profile *profile, size_t column);
/* The column of that type ("cpu"), or -1. */
int profile_value_column(const struct profile *profile, const char *type);

struct profile_header *profile_header(struct profile *profile);
const struct profile_header *profile_header_const(const struct profile *profile);

/* Attributes of the process (OTLP resource, inline) and of the profile itself (self-metrics,
 * labels of the whole profile); pprof writes both as comments. Setting a key again replaces.
 * Comments are free lines of text without a key; the same line twice is kept once.
 * 0, -ENOMEM, or -ENOSPC past PROFILE_MAX_ATTRIBUTES. */
enum profile_attributes { PROFILE_RESOURCE, PROFILE_ATTRIBUTES, PROFILE_COMMENTS };
int profile_set_text(struct profile *p, enum profile_attributes which, const char *key,
                     const char *value);
int profile_set_number(struct profile *p, enum profile_attributes which, const char *key,
                       int64_t value);
void profile_remove_attribute(struct profile *p, enum profile_attributes which, size_t index);
size_t profile_attribute_count(const struct profile *p, enum profile_attributes which);
const struct profile_label *profile_attribute(const struct profile *p,
                                              enum profile_attributes which, size_t index);

/* Interning: equal content gives an equal id. The argument is copied. Zero content is id 0,
 * but for locations: an empty one has a row of its own, so that a stack never holds a 0.
 * Of labels with equal keys the last wins. */
profile_id profile_string(struct profile *p, const char *text);
profile_id profile_string_n(struct profile *p, const char *text, size_t length);
profile_id profile_mapping(struct profile *p, const struct profile_mapping *mapping);
profile_id profile_function(struct profile *p, const struct profile_function *function);
profile_id profile_location(struct profile *p, const struct profile_location *location);
profile_id profile_stack(struct profile *p, const profile_id *locations, size_t depth);
profile_id profile_link(struct profile *p, const struct profile_link *link);
profile_id profile_labels(struct profile *p, const struct profile_label *labels, size_t count);

/* Adds `values` to the sample (stack, link, labels), making it if needed. Returns 0, or
 * -ENOMEM after having counted the values on the "[overflow]" stack without link and labels.
 * Sums stop at the ends of int64_t. */
int profile_add(struct profile *p, profile_id stack, profile_id link, profile_id labels,
                const int64_t *values);

/* Samples whose stacks are not interned yet. */
struct profile_entry {
    struct profile_stack stack;
    profile_id link, labels;
    int64_t values[PROFILE_MAX_VALUES];
};

/* Interns the stacks and adds the samples, sooner than one by one where the profile is large
 * (table_fetch()). Any number of them. As profile_add(), but what has no room takes up to
 * PROFILE_BATCH of them to the "[overflow]" stack with it. */
#define PROFILE_BATCH 64
int profile_add_entries(struct profile *p, const struct profile_entry *entries, size_t count);

/* Reading. Counts include entry 0; pointers live until the next change of that table. */
size_t profile_string_count(const struct profile *p);
size_t profile_mapping_count(const struct profile *p);
size_t profile_function_count(const struct profile *p);
size_t profile_location_count(const struct profile *p);
size_t profile_stack_count(const struct profile *p);
size_t profile_link_count(const struct profile *p);
size_t profile_label_set_count(const struct profile *p);
size_t profile_sample_count(const struct profile *p); /* samples have no entry 0 */

const char *profile_text(const struct profile *p, profile_id id); /* NUL-terminated */
size_t profile_text_length(const struct profile *p, profile_id id);
const struct profile_mapping *profile_get_mapping(const struct profile *p, profile_id id);
const struct profile_function *profile_get_function(const struct profile *p, profile_id id);
const struct profile_location *profile_get_location(const struct profile *p, profile_id id);
struct profile_stack profile_get_stack(const struct profile *p, profile_id id);
const struct profile_link *profile_get_link(const struct profile *p, profile_id id);
struct profile_label_set profile_get_labels(const struct profile *p, profile_id id);
struct profile_sample profile_get_sample(const struct profile *p, size_t index);

/* The longest lists there are, for those who copy them: frames of a stack, lines of a location,
 * labels of a set. */
struct profile_extent {
    size_t depth, lines, labels;
};
struct profile_extent profile_extent(const struct profile *p);

/* The text of label `key` in a set ("thread.name"), or NULL. Numbers are not text. */
const char *profile_label_text(const struct profile *p, profile_id labels, const char *key);

#endif
