/*
 * What a store holds of a span of time. Reads beside the processes that write: while the folder
 * is listed nobody tends it; a file that goes while it is to be read is looked for again in
 * what took its place.
 *
 * Everything in the folder is untrusted: a damaged file is told, left out, and left where it
 * is. No state; any thread, which alone sees the visitor; of many files the next one is read
 * meanwhile by a thread of its own (ahead.h), which ends with the call.
 */
#ifndef CPROF_STORE_READ_H
#define CPROF_STORE_READ_H

#include "format/block.h"

struct store_range {
    const char *service; /* NULL: all */
    uint64_t from, to;   /* Unix times in ns */
};

/* Does an interval belong to a range? Where more than half of it lies in the range, or it
 * covers more than half of the range: of two ranges that follow each other, to one. */
bool store_belongs(const struct store_range *range, uint64_t from, uint64_t to);

struct store_visitor {
    void *closure;
    /* Takes an interval, and owns it from then on. What is not 0 ends the reading. */
    int (*take)(void *closure, struct profile *interval);
    /* NULL, or as a block's (block.h): intervals are added up, and take() gets levels alone. */
    int (*into)(void *closure, const struct profile *head, struct block_target *target);
    void (*damaged)(void *closure, const char *line);
    /* The folder has changed: what was taken so far comes again. */
    void (*again)(void *closure);
};

/* Shows the visitor each interval that belongs to the range. 0; what take() or into() returned;
 * or a negative errno with a line in `error`: -ENOENT: no such folder. */
int store_read(const char *folder, const struct store_range *range,
               const struct store_visitor *visitor, char error[FORMAT_ERROR_SIZE]);

/* How much there was when: an interval of a block's digest (format/digest.h). Texts are valid
 * until the call returns. */
struct store_mark {
    const char *service, *type, *unit;
    uint64_t from, to;
    int64_t total;
    size_t bytes; /* its share of its file */
};

/* Shows a mark of each interval that touches the range, without unpacking what has a digest: a
 * month of a service takes a moment. Damaged files are passed over, and `again` begins anew, as
 * above. 0 or a negative errno with a line in `error`. */
struct store_survey {
    void *closure;
    void (*mark)(void *closure, const struct store_mark *mark);
    void (*again)(void *closure);
};
int store_survey(const char *folder, const struct store_range *range,
                 const struct store_survey *survey, char error[FORMAT_ERROR_SIZE]);

/* What the folder has of a service (NULL: of all): *from and *to are 0 where it has nothing. */
int store_extent(const char *folder, const char *service, uint64_t *from, uint64_t *to,
                 char error[FORMAT_ERROR_SIZE]);

#endif
