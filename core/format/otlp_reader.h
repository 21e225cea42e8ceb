/*
 * What the parts of OTLP's reader share: the tables of one message's dictionary, read into the
 * profile that all is added to, and what is known across resources and Profiles.
 * otlp_dictionary.c fills the tables, otlp_resources.c tells what resources have for
 * themselves, otlp_head.c reads what stands once in a Profile, otlp_samples.c its samples;
 * otlp_read.c goes through the messages of an input. One thread at a time; files are untrusted:
 * whatever is wrong with one is 0 against a negative errno, with one line in `error`.
 */
#ifndef CPROF_FORMAT_OTLP_READER_H
#define CPROF_FORMAT_OTLP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/row.h"
#include "profile/combine.h"
#include "profile/profile.h"
#include "profiles.pb-c.h"

/*
 * The resources of one input. An attribute that all of them have stands once in the profile;
 * what only some have, or not with the same value, would be lost so: each sample gets it as a
 * label.
 */
struct otlp_resources {
    struct profile *interner; /* an attribute is a set of one label */
    uint32_t *had_by;         /* by that set: how many resources have it */
    uint32_t *last;           /* of those the last, so that each counts once */
    size_t room;
    uint32_t count; /* resources that have samples */
};

/* A row of the attribute table: a label, or several of one key. */
struct otlp_attribute {
    struct profile_label label;
    struct profile_label *more; /* owned; NULL: it is the one */
    size_t more_count;
};

struct otlp_reader {
    struct otlp_resources *resources;
    const Otlp__ResourceProfiles *resource; /* read last */
    struct profile_label *own;              /* what it has for itself */
    size_t own_count;
    const Otlp__ProfilesData *in;
    const Otlp__ProfilesDictionary *dictionary;
    struct profile *p; /* the sum */
    char *error;
    bool has_cpu;     /* a Profile gives cpu/nanoseconds itself */
    bool counts_time; /* the one at hand counts CPU time beside its samples */
    /* In the sum, for each column of the Profile's sheet; its own is at `at`. */
    struct profile_place places[PROFILE_MAX_VALUES];
    size_t at;
    const Otlp__ScopeProfiles *scope; /* of the Profile read last */
    const Otlp__Profile *last;
    const Otlp__Profile *first; /* of its sheet */
    size_t joined;              /* others since: each is compared with the first */
    /* By row of the dictionary's tables: */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links;
    struct otlp_attribute *attributes;
    struct row lists;
    size_t times; /* samples that are kept apart by time so far */
};

/* Room for the tables of r->dictionary; false: out of memory. Freed in either case. */
bool otlp_reader_init(struct otlp_reader *r);
void otlp_reader_free(struct otlp_reader *r);

/* Is the index one of a table of so many? `what` names the table's rows to people. */
int otlp_check(struct otlp_reader *r, int32_t index, size_t count, const char *what);

/* The dictionary, or of it no more than the strings. */
int otlp_read_dictionary(struct otlp_reader *r);
int otlp_read_strings(struct otlp_reader *r);

int otlp_read_string(struct otlp_reader *r, int32_t index, profile_id *id);
profile_id otlp_intern_text(struct otlp_reader *r, const ProtobufCBinaryData *text);

/* An attribute that stands by itself. *label has neither text nor number where the value is a
 * list or a map. */
int otlp_read_attribute(struct otlp_reader *r, const Otlp__KeyValue *in,
                        struct profile_label *label);

/* Counts what one more resource has, before any is read. */
int otlp_count_attributes(struct otlp_reader *r, const Otlp__Resource *in);

/* Fills r->own: what the resource has that not all have. */
int otlp_read_own_attributes(struct otlp_reader *r, const Otlp__Resource *in);

/* What stands once in a Profile: `once` gets it, and the sum. Sets where the samples' values
 * go. */
int otlp_read_head(struct otlp_reader *r, const Otlp__ResourceProfiles *resource,
                   const Otlp__ScopeProfiles *scope, const Otlp__Profile *in,
                   struct profile *once);
bool otlp_is_type(struct otlp_reader *r, const Otlp__ValueType *type, const char *name,
                  const char *unit);

int otlp_read_samples(struct otlp_reader *r, const Otlp__Profile *in);

#endif
