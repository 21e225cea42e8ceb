/*
 * What `cprof advise` knows: costly habits of programs, by the frames that show them. One table
 * of data; advice.h looks for what is in it.
 *
 * A frame is meant by a pattern NAME@FILE, in which "*" stands for anything: the function's
 * name (Cart.total, Cart#total), and the path of its file or of its module. Without @FILE the
 * file does not matter. Several stand with "|" between them.
 *
 * A threshold is far above what a healthy program has: a rule that cries wolf is worse than
 * none.
 */
#ifndef CPROF_CLI_RULES_H
#define CPROF_CLI_RULES_H

#include <stdbool.h>
#include <stddef.h>

#define RULES_MOST 64 /* a rule is a bit */

/* In which frames a rule looks; those of no known type count for each. */
enum rule_frames {
    RULE_PYTHON = 1,
    RULE_RUBY = 2,
    RULE_JS = 4,
    RULE_NATIVE = 8,
    RULE_ANY = 15,
};

/* What is measured, and held against the threshold. */
enum rule_measure {
    RULE_SHARE,  /* the part of all CPU time that has such a frame in its stack */
    RULE_SPANS,  /* the part of all spans that have a sample with such a frame */
    RULE_REPEAT, /* the spans with such a frame in one trace */
    RULE_LABEL,  /* the value of the samples with `label`, as a part of all CPU time */
    RULE_COLUMN, /* the value, as a part of all CPU time */
    RULE_RATE,   /* the value per second of wall time */
};

struct rule {
    const char *name;   /* "regex-compiled" */
    const char *title;  /* what is the matter */
    const char *remedy; /* what to do */
    unsigned in;        /* of enum rule_frames */
    const char *frames; /* patterns; NULL: any stack */
    const char *excuse; /* patterns: fine below one of these; NULL: never */
    const char *behind; /* a rule that says more: not what that counts; NULL: none does */
    bool in_request;    /* only in a span, or below what serves a request */
    enum rule_measure measure;
    const char *value;                   /* the column; NULL: CPU time */
    const char *label_key, *label_value; /* of RULE_LABEL */
    double threshold;
};

extern const struct rule rules[];
extern const size_t rule_count;

/* Patterns of what serves a request, in the frameworks that are known. */
extern const char rule_handlers[];

/* Does a frame match one of the patterns? `file` and `module` may be "". */
bool rule_matches(const char *patterns, const char *name, const char *file, const char *module);

#endif
