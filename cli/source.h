/*
 * Lines of a source file, for people to read beside their cost. The file's name comes from a
 * profile that anybody may have written: it is a path of the machine that was profiled, and
 * what it leads to here is read as text of at most SOURCE_MOST bytes, or not at all.
 *
 * It is looked for below a folder, where one is given: as the whole path, then without its
 * first parts, one after another (/app/shop/main.py in "checkout": checkout/app/shop/main.py,
 * checkout/shop/main.py, checkout/main.py); then as it stands.
 */
#ifndef CPROF_CLI_SOURCE_H
#define CPROF_CLI_SOURCE_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define SOURCE_MOST (16U << 20) /* bytes; a larger file is not source */

struct source {
    char path[PATH_MAX]; /* where it was found */
    time_t changed;
    char *text;
    size_t size;
    size_t *starts; /* of lines, from line 1 at [0]; one more entry at the end */
    int64_t count;
};

/* `folder` may be NULL. 0, -ENOENT or another reason; on failure there is nothing to free. */
int source_open(struct source *source, const char *file, const char *folder);
void source_free(struct source *source);

/* A line from 1 on without its end, and its length; NULL: the file has none of the number. */
const char *source_line(const struct source *source, int64_t line, size_t *length);

#endif
