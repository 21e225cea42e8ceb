/*
 * The profiles that cprof serve lists: files, URLs, and what lies in folders right now. Nothing
 * that is not on the list is read.
 */
#ifndef CPROF_CLI_SHELF_H
#define CPROF_CLI_SHELF_H

#include <stddef.h>

#define SHELF_MOST 2000 /* that are listed */

struct shelf {
    char *paths[SHELF_MOST]; /* owned */
    size_t count;
};

/* What the sources have now; NULL: out of memory. */
struct shelf *shelf_make(char *const *sources, size_t count);
void shelf_free(struct shelf *shelf);

/* The file of that name, if it is on the list. */
char *shelf_find(const struct shelf *shelf, const char *path);

#endif
