/*
 * Memory of this process as a thread that does not own it reads it: page by page, as it is
 * asked for, copied with a system call that fails where a load would crash (cprof/readable.h).
 * What a sleeping thread's stack and objects hold may be freed or unmapped at any moment, as
 * the thread may go on; glibc's guard pages can't even be seen in /proc/self/maps.
 *
 * A copy may be of a moment when things changed. Who looks at a thread proves afterwards that
 * it has not run meanwhile, or throws away what was read.
 *
 * COPIED_PAGES are kept at a time, each in the place of its address: what is read later takes
 * the place of what was read before. 256 KiB, that belong to one thread, which walks with them;
 * zero-initialised.
 */
#ifndef CPROF_UNWIND_COPIED_H
#define CPROF_UNWIND_COPIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    COPIED_PAGES = 64,   /* a power of two */
    COPIED_PAGE = 4096,  /* bytes; a part of a page where those are larger */
    COPIED_AT_ONCE = 8,  /* pages that copied_begin() fetches at most */
    COPIED_LEARNT = 256, /* a power of two */
    COPIED_PIECE = 1024, /* bytes of copied_piece() at most */
};

/* Where a function had its frame pointer: see search_frame.h. */
struct learnt_frame {
    uintptr_t pc;       /* of the frame; 0: none */
    uintptr_t distance; /* frame pointer - stack pointer */
    uintptr_t caller;   /* where it returned to then */
    uint64_t serial;    /* of the snapshot of modules */
};

struct copied {
    long reader;                  /* the thread that reads: its number */
    uintptr_t page[COPIED_PAGES]; /* the address of what is in each place; 0: nothing */
    uintptr_t lacking;            /* the page that was asked for last in vain; 0: none was */
    uintptr_t first;              /* the page that copied_begin() began with, */
    size_t below;                 /* of which so many bytes were not fetched, */
    size_t needed;                /* and of the pages from there on, those that were read */
    size_t wanted;                /* at once; outlives copied_begin() */
    unsigned fewer;               /* how often fewer were needed */
    uint8_t bytes[COPIED_PAGES][COPIED_PAGE];
    uint64_t piece[COPIED_PIECE / sizeof(uint64_t)];
    struct learnt_frame learnt[COPIED_LEARNT]; /* outlives copied_begin() */
};

/* Forgets every page. Those from `sp` on are fetched at once, as many as others needed of late.
 * By the thread that reads until the next call. */
void copied_begin(struct copied *copied, uintptr_t sp);

/* Copies [from, from + size). False: not all of it can be read. */
bool copied_read(struct copied *copied, uintptr_t from, void *to, size_t size);

/* The same of at most COPIED_PIECE bytes, to a place of its own that is good until the next
 * call. NULL: can't be read. */
const void *copied_piece(struct copied *copied, uintptr_t from, size_t size);

static inline struct learnt_frame *copied_learnt(struct copied *copied, uintptr_t pc)
{
    return &copied->learnt[(pc ^ pc >> 8) % COPIED_LEARNT];
}

#endif
