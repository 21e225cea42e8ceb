/*
 * The flame graph page with what other formats don't have: links to the source, and two
 * profiles that are compared. The plain page of one is `format_html`.
 */
#ifndef CPROF_FORMAT_HTML_H
#define CPROF_FORMAT_HTML_H

#include <stdbool.h>

#include "format/format.h"

/* Where the page's links lead. */
struct html_source {
    const char *url;  /* with {file} and {line} in it; NULL = no links */
    const char *root; /* {file} is the path below it; NULL = the whole path */
};

struct html_side {
    const char *name;     /* of the file */
    uint64_t duration_ns; /* wall time; 0 = not told */
};

struct html_comparison {
    const char *type;    /* of the value: "cpu" */
    const char *service; /* NULL = not told */
    bool per_second;     /* normalised to wall time; else to each side's total */
    struct html_side base, new;
};

/* `pair` is profile_pair()'s. 0 or -errno. */
int html_write_comparison(const struct profile *pair, const struct html_comparison *comparison,
                          const struct html_source *source, struct buffer *out);
int html_write_page(const struct profile *profile, const struct html_source *source,
                    struct buffer *out);

#endif
