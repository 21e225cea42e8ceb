/*
 * What code is mapped right now, as the loader and the kernel tell it: the raw material of a
 * module snapshot. Collector only. A listing belongs to its caller and lives for one refresh.
 */
#ifndef CPROF_UNWIND_LISTING_H
#define CPROF_UNWIND_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/mapped.h"

/* How often the loader has added and removed objects. */
struct loader_state {
    unsigned long long additions, removals;
};

struct mapping {
    uintptr_t start, limit;         /* the executable segment(s) */
    bool solid;                     /* one segment, without holes, and readable */
    bool foreign;                   /* of a file that the loader does not know: of another
                                       namespace (dlmopen), or just being loaded */
    uintptr_t bias;                 /* runtime address - address in the file */
    uintptr_t shift;                /* as in struct module */
    uint64_t file_offset;           /* of start */
    uintptr_t header;               /* address of .eh_frame_hdr; 0: none that we can use */
    uintptr_t unwind, unwind_limit; /* the memory that holds it and .eh_frame */
    uintptr_t pairs;                /* the search table in it, wholly there; 0: none */
    size_t pair_count;
    uint8_t head[MAPPED_HEAD]; /* of .eh_frame_hdr */
    bool stays;           /* can't be unloaded: the program, its loader, the C library, vDSO */
    uint64_t fingerprint; /* of the place, program headers, notes and name: tells an object
                             from another that was loaded in its place */
    size_t path;          /* offset in the listing's text */
};

struct listing {
    struct mapping *mappings; /* in the loader's order, the program first */
    size_t count, capacity;
    char *text; /* paths, each ended by a zero */
    size_t text_used, text_capacity;
    bool overflow; /* something did not fit: once more with more room */
    struct loader_state loader;
};

void loader_state_read(struct loader_state *state);

/* Lists the loader's objects and, if asked to, the executable mappings that belong to none.
 * 0 or a negative errno; nothing to free in that case. */
int listing_new(struct listing *listing, bool with_unknown);
void listing_free(struct listing *listing);

/* Both read the unwind information of a listed object. -ESTALE when the object is no longer
 * there, else 0 or the errno of reading its memory.
 *
 * All of it to `to`, which has room for it. */
int listing_copy_unwind(const struct mapping *mapping, void *to);

/* The pivots of its search table (mapped.h). */
int listing_copy_pivots(const struct mapping *mapping, int32_t *pivots);

#endif
