/* A stretch of a file's addresses for which one answer holds: what finds the answer narrows it.
 */
#ifndef CPROF_SYMBOL_RANGE_H
#define CPROF_SYMBOL_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct code_range {
    uint64_t start, limit; /* vaddr: [start, limit) */
};

#define CODE_RANGE_ALL ((struct code_range){.start = 0, .limit = UINT64_MAX})

static inline void code_range_narrow(struct code_range *range, uint64_t start, uint64_t limit)
{
    if (range->start < start)
        range->start = start;
    if (range->limit > limit)
        range->limit = limit;
}

static inline bool code_range_holds(const struct code_range *range, uint64_t vaddr)
{
    return range->start <= vaddr && vaddr < range->limit;
}

#endif
