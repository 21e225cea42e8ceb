/*
 * A module's unwind information where the loader mapped it: which rule holds at one pc, for
 * walks through code whose table (table.h) is not compiled yet, or has no room.
 *
 * Signal-safe: mapped.c is handler code. The mapping may vanish at any moment, and its file
 * may be cut off under it, so nothing of it is touched: bytes are fetched with a system call
 * that fails where a load would crash, into the thread's scratch memory, and read by the same
 * decoder as the compiler's. A look-up takes three such calls, some 2 µs; before there are
 * pivots up to ten more. Where no such call is to be had (cprof/readable.h), nothing is found,
 * as in a module without unwind information.
 */
#ifndef CPROF_UNWIND_MAPPED_H
#define CPROF_UNWIND_MAPPED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/cfi.h"

enum {
    /* Bytes of an entry that can be looked up; node has some 5 KiB. */
    MAPPED_ENTRY_MAX = 6 << 10,
    /* Pairs from one pivot to the next: as many as go into the same room. */
    MAPPED_STRIDE = MAPPED_ENTRY_MAX / sizeof(struct cfi_pair),
    MAPPED_COMMON_MAX = 256, /* of common information; usually some 20 */
    MAPPED_HEAD = 12,        /* of .eh_frame_hdr: where .eh_frame is, how many pairs */
};

/* Where it lies. The search table's pivots are copied, so that one fetch finds the place. Each
 * comes from a page of its own: the collector reads them, and look-ups do without until then.
 */
struct mapped_unwind {
    uintptr_t start, limit;          /* the memory that holds .eh_frame_hdr and .eh_frame */
    uintptr_t base;                  /* of .eh_frame_hdr: what its pairs are relative to */
    uintptr_t pairs;                 /* its search table */
    size_t count;                    /* of pairs; 0: no look-ups */
    _Atomic(const int32_t *) pivots; /* the pc of every MAPPED_STRIDE-th; NULL: not read yet */
    uint8_t head[MAPPED_HEAD];       /* the first bytes at `base` */
};

static inline size_t mapped_pivot_count(size_t pairs)
{
    return (pairs + MAPPED_STRIDE - 1) / MAPPED_STRIDE;
}

/* One thread's memory for look-ups. */
struct mapped_scratch {
    union {
        struct cfi_pair pairs[MAPPED_STRIDE];
        uint8_t entry[MAPPED_ENTRY_MAX];
    } fetched;
    uint8_t common[MAPPED_COMMON_MAX];
};

/* [handler, collector] Which part of the search table, between two pivots, has the pair of a
 * pc; SIZE_MAX: it can't be read. */
size_t mapped_part(const struct mapped_unwind *mapped, uintptr_t pc);

/* [handler] The rule that holds at pc. False: none. */
bool mapped_find(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                 uintptr_t pc, struct unwind_rule *rule);

/* [handler] Where the function around pc begins, or that part of it that has an entry of its
 * own; 0: no entry covers it. */
uintptr_t mapped_function(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                          uintptr_t pc);

/* [handler] Is it still the same unwind information? Another module in its place has other
 * sizes. */
bool mapped_holds(const struct mapped_unwind *mapped);

#endif
