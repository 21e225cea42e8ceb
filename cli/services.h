/*
 * Which services a store (CPROF_STORE_DIR) holds, each with the time that it has of them. Names
 * stand in the digests of its files: a month of many services takes a moment.
 */
#ifndef CPROF_CLI_SERVICES_H
#define CPROF_CLI_SERVICES_H

#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

#define SERVICES_MOST 1000 /* that are listed */

struct services {
    size_t count;
    struct held_service {
        char *name; /* owned; "": without a name */
        uint64_t from, to;
    } list[SERVICES_MOST]; /* by name */
};

/* NULL with a line in `error`; the caller frees. */
struct services *services_of(const char *folder, char error[FORMAT_ERROR_SIZE]);
void services_free(struct services *services);

#endif
