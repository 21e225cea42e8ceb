/*
 * A profile: strings, mappings, functions, locations, stacks, links and label sets, each
 * interned once and named by a 32-bit id, and sheets. A sheet has the samples of one source
 * (CPU time, allocations, …): they count (stack, link, labels) in the sheet's value columns,
 * at the sheet's period. A profile begins with sheet 0, which has no columns yet.
 *
 * Columns are numbered through all sheets in the order in which they are added, and no two are
 * of one type and unit: "the column cpu" needs no sheet. A sample has 0 in those of other
 * sheets. With one sheet a column's number is its place among a sample's values.
 *
 * Owned by whoever created it and not locked: one thread at a time. Knows nothing of wire
 * formats, runtimes or sampling. Ids are dense, start at 1 in order of first use, and id 0 is
 * the zero value of every table ("" / no mapping / no function / empty stack / no link / no
 * labels), as pprof and OTLP both want it. Ids of one profile mean nothing in another.
 *
 * Memory is drawn from an optional budget. When that is spent, the intern functions return 0,
 * with -ENOMEM remembered in profile_error(), until the next profile_add(), which counts its
 * sample on the synthetic stack "[overflow]" of its sheet. That is made at creation so that it
 * always has room: the totals of each sheet are right whatever happens. What was interned
 * before is still found, so known stacks go on being counted. A caller that keeps ids (token ->
 * location) must not keep the 0 of a refusal.
 */
#ifndef CPROF_PROFILE_PROFILE_H
#define CPROF_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/runtime.h" /* enum cprof_frame_type */

#define PROFILE_SHEETS_MAX 16       /* of one profile */
#define PROFILE_MAX_VALUES 16       /* value columns (sample types) of all its sheets */
#define PROFILE_MAX_ATTRIBUTES 4096 /* of each kind: attributes are a list, not a table */
#define PROFILE_OVERFLOW "[overflow]"
/* The label of samples that are kept apart by time: their Unix time, a number in ns. */
#define PROFILE_TIME "cprof.time"

typedef uint32_t profile_id; /* an index into one table of one profile */

struct profile;

struct profile_value_type {
    profile_id type; /* strings: "samples", "cpu" */
    profile_id unit; /* "count", "nanoseconds" */
};

/* What pprof's tools need not look up any more, where a file said so: its has_… flags. */
enum profile_symbols {
    PROFILE_SYMBOLS_TOLD = 1, /* the others mean something; else the locations tell */
    PROFILE_HAS_FUNCTIONS = 2,
    PROFILE_HAS_FILENAMES = 4,
    PROFILE_HAS_LINES = 8,
    PROFILE_HAS_INLINED = 16,
    PROFILE_HAS_ALL = 30,
};

/* The first is the program's own where a file said so, as pprof's do. */
struct profile_mapping {
    uint64_t start, limit, file_offset; /* limit is exclusive */
    profile_id filename;
    profile_id build_id; /* GNU build id, lower-case hex */
    profile_id htlhash;  /* process.executable.build_id.htlhash, lower-case hex */
    uint32_t symbols;    /* of enum profile_symbols */
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
    profile_id other_type;            /* the word of a type that is none of those; else 0 */
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

/* Sorted by key (as bytes). profile_labels() sees to it that keys are unique; pprof's files may
 * have several values of one. */
struct profile_label_set {
    uint32_t count;
    const struct profile_label *labels;
};

struct profile_sample {
    profile_id stack, link, labels;
    uint32_t sheet;
    const int64_t *values; /* of the sheet's columns, in their order; see profile_value() */
};

/* What one look stands for: 10,000,000 nanoseconds of CPU time. */
struct profile_period {
    struct profile_value_type type;
    int64_t value; /* in the unit of the type; 0 = unknown */
};

/* What stands once in a profile. Strings are ids; keep it consistent through the setters. */
struct profile_header {
    uint64_t time_ns;        /* start, Unix time */
    uint64_t duration_ns;    /* wall time covered */
    profile_id default_type; /* pprof's default_sample_type */
    profile_id doc_url, drop_frames, keep_frames;
    uint8_t profile_id[16]; /* all zero = none */
    profile_id scope_name, scope_version;
    profile_id program; /* the path of the process's executable; 0 = not known */
};

/* Creation. NULL: out of memory. */
struct profile *profile_new(struct budget *budget);
void profile_free(struct profile *profile);
/* An empty profile with the value types, header, attributes and comments of `model`. */
struct profile *profile_new_like(const struct profile *model, struct budget *budget);
/* The same with one of its sheets alone. */
struct profile *profile_new_like_sheet(const struct profile *model, size_t sheet);
/* As profile_new_like() for a profile that holds nothing yet. 0 or -ENOMEM. */
int profile_adopt(struct profile *profile, const struct profile *model);
void profile_adopt_header(struct profile *profile, const struct profile *model);

/* From now on profile_merge() and what reads into it refuse (-EXDEV, with nothing added) what
 * is of a process with other attributes, which would be lost: profile_merge_apart() takes it.
 */
void profile_guard_resource(struct profile *profile);
bool profile_guards_resource(const struct profile *profile);

/* From now on it holds no more than that, whatever the budget has left. 0: no such bound. */
void profile_bound(struct profile *profile, size_t bytes);

/* Sticky: 0, or -ENOMEM once an intern function had no room. */
int profile_error(const struct profile *profile);
size_t profile_memory(const struct profile *profile); /* bytes held */

/* Sheets. Returns the number of a new one without columns, or -ENOMEM, or -ENOSPC past
 * PROFILE_SHEETS_MAX. */
int profile_add_sheet(struct profile *profile);
size_t profile_sheet_count(const struct profile *profile);
struct profile_period *profile_period(struct profile *profile, size_t sheet);
const struct profile_period *profile_period_const(const struct profile *profile, size_t sheet);
void profile_set_period(struct profile *profile, size_t sheet, const char *type,
                        const char *unit, int64_t value);
/* The period of a sheet of another profile. */
void profile_adopt_period(struct profile *profile, size_t sheet, const struct profile *model,
                          size_t of);

/* Value columns. Adding one to a sheet with samples gives them 0 in it. 0, -ENOMEM, -EEXIST
 * where any sheet has it, or -ENOSPC past PROFILE_MAX_VALUES. */
int profile_add_value_type(struct profile *profile, size_t sheet, const char *type,
                           const char *unit);
size_t profile_value_count(const struct profile *profile);
struct profile_value_type profile_value_type(const struct profile *profile, size_t column);
size_t profile_column_sheet(const struct profile *profile, size_t column);
/* Its type ("cpu") and its unit ("nanoseconds") as text. */
const char *profile_type(const struct profile *profile, size_t column);
const char *profile_unit(const struct profile *profile, size_t column);
/* From now on the column is in that unit: its values are multiplied. 0 or -ENOMEM. */
int profile_rescale(struct profile *profile, size_t column, const char *unit, int64_t factor);
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
/* The same, but different values of one key are all kept. */
profile_id profile_all_labels(struct profile *p, const struct profile_label *labels,
                              size_t count);

/* Adds `values`, one for each column of the sheet, to its sample (stack, link, labels), making
 * that if needed. Returns 0, or -ENOMEM after having counted the values on the "[overflow]"
 * stack without link and labels. Sums stop at the ends of int64_t. */
int profile_add(struct profile *p, size_t sheet, profile_id stack, profile_id link,
                profile_id labels, const int64_t *values);

/* The samples of a sheet go. 0 or -ENOMEM. */
int profile_clear_sheet(struct profile *p, size_t sheet);

/* The stack "[overflow]", for what the caller has no room for itself. */
profile_id profile_overflow_stack(const struct profile *p);

/* The same of values for all columns, by their numbers: each sheet gets its own, if any of them
 * is not 0; where all are 0, the sheet of `column` does. */
int profile_add_row(struct profile *p, size_t column, profile_id stack, profile_id link,
                    profile_id labels, const int64_t *values);

/* As profile_stack() of each, up to PROFILE_BATCH of them, sooner than one by one where the
 * profile is large (table_fetch()). */
#define PROFILE_BATCH 64
void profile_stacks(struct profile *p, const struct profile_stack *stacks, size_t count,
                    profile_id *ids);

/* Rows whose stacks are not interned yet. */
struct profile_entry {
    struct profile_stack stack;
    profile_id link, labels;
    int64_t values[PROFILE_MAX_VALUES];
};

/* Interns the stacks and adds the rows, sooner than one by one where the profile is large
 * (table_fetch()). Any number of them. As profile_add_row(), but what has no room takes up to
 * PROFILE_BATCH of them to the "[overflow]" stack with it. */
int profile_add_entries(struct profile *p, size_t column, const struct profile_entry *entries,
                        size_t count);

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
/* Of all sheets, one after another. */
struct profile_sample profile_get_sample(const struct profile *p, size_t index);
/* The sheet's samples begin there; those of the sheet behind the last at their count. */
size_t profile_first_sample(const struct profile *p, size_t sheet);
/* The sample's value in any column. */
int64_t profile_value(const struct profile *p, const struct profile_sample *sample,
                      size_t column);

/* The samples as rows, in which those of several sheets with equal stack, link and labels are
 * one: true with the values by column, or false for a sample that is in an earlier row. */
bool profile_get_row(const struct profile *p, size_t index, struct profile_sample *sample,
                     int64_t values[PROFILE_MAX_VALUES]);

/* The longest lists there are, for those who copy them: frames of a stack, lines of a location,
 * labels of a set. */
struct profile_extent {
    size_t depth, lines, labels;
};
struct profile_extent profile_extent(const struct profile *p);

/* The text of label `key` in a set ("thread.name"), or NULL. Numbers are not text. */
const char *profile_label_text(const struct profile *p, profile_id labels, const char *key);

#endif
