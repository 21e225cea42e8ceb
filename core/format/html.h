/*
 * The flame graph page with what other formats don't have: links to the source, and two
 * profiles that are compared. The plain page of one is `format_html`.
 */
#ifndef CPROF_FORMAT_HTML_H
#define CPROF_FORMAT_HTML_H

#include <stdbool.h>

#include "format/format.h"

/* The label of samples that are levels as they were before those of the profile: the page shows
 * them of the times that they are of, and reading it back leaves them out. */
#define HTML_PAST "cprof.past"

/* Source files that are at hand while the page is made. */
struct html_sources {
    /* A line from 1 on, without its end, and its length; NULL: there is no such file or line.
     * Valid until the next call. The lines of a file are asked for one after another. */
    const char *(*line)(void *closure, const char *file, int64_t line, size_t *length);
    void *closure;
};

/* How the page begins, and where its links lead. */
struct html_options {
    const char *source_url;      /* with {file} and {line} in it; NULL = no links */
    const char *source_root;     /* {file} is the path below it; NULL = the whole path */
    bool all_native;             /* the interpreter's own frames show (profile/fold.h) */
    const char *name;            /* what to call it where no service is named; NULL = nothing */
    struct html_sources sources; /* `line` NULL = the page has no source in it */
};

struct html_side {
    const char *name;     /* of the file */
    uint64_t duration_ns; /* wall time; 0 = not known */
    double weight;        /* samples of one observation (profile/pair.h) */
};

struct html_comparison {
    const char *type;       /* of the value: "cpu" */
    const char *service;    /* NULL = not known */
    const char *normalized; /* to a "second" of wall time, each side's "total", or "none" */
    struct html_side base, new;
};

/* `pair` is profile_pair()'s; no options: NULL. 0 or -errno. */
int html_write_comparison(const struct profile *pair, const struct html_comparison *comparison,
                          const struct html_options *options, struct buffer *out);
int html_write_page(const struct profile *profile, const struct html_options *options,
                    struct buffer *out);

#endif
