/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/mapped.h"

#include <string.h>

#include "cprof/readable.h"

enum { FIRST_FETCH = 512 }; /* of an entry: holds nearly all of them */

/* Up to `size` bytes of the mapped memory from `address` on, as a section. */
static bool fetch_section(const struct mapped_unwind *mapped, uint64_t address, uint8_t *to,
                          size_t size, struct cfi_section *section)
{
    if (address < mapped->start || address >= mapped->limit)
        return false;
    size_t there = mapped->limit - (uintptr_t)address;
    *section = (struct cfi_section){
        .bytes = to, .size = size < there ? size : there, .address = address};
    return cprof_read_all(to, (uintptr_t)address, section->size);
}

/* The last of `count` ascending numbers, `stride` apart, that is at most `wanted`; 0 if none
 * is. */
static size_t last_at_most(const int32_t *numbers, size_t stride, size_t count, int64_t wanted)
{
    size_t base = 0;
    while (count > 1) {
        size_t half = count / 2;
        base = numbers[(base + half) * stride] <= wanted ? base + half : base;
        count -= half;
    }
    return base;
}

/* The same of the pivots where they lie in memory; SIZE_MAX when they can't be read. */
static size_t last_pivot_at_most(const struct mapped_unwind *mapped, int64_t wanted)
{
    size_t base = 0;
    size_t count = mapped_pivot_count(mapped->count);
    while (count > 1) {
        size_t half = count / 2;
        size_t pair = (base + half) * MAPPED_STRIDE;
        int32_t pivot;
        if (!cprof_read_all(&pivot, mapped->pairs + pair * sizeof(struct cfi_pair),
                            sizeof(pivot)))
            return SIZE_MAX;
        base = pivot <= wanted ? base + half : base;
        count -= half;
    }
    return base;
}

size_t mapped_part(const struct mapped_unwind *mapped, uintptr_t pc)
{
    int64_t wanted = (int64_t)(pc - mapped->base);
    const int32_t *pivots = atomic_load_explicit(&mapped->pivots, memory_order_acquire);
    return pivots ? last_at_most(pivots, 1, mapped_pivot_count(mapped->count), wanted)
                  : last_pivot_at_most(mapped, wanted);
}

/* Where the entry that may cover pc lies; 0: nowhere. */
static uint64_t find_entry(const struct mapped_unwind *mapped, struct cfi_pair *pairs,
                           uintptr_t pc)
{
    int64_t wanted = (int64_t)(pc - mapped->base);
    size_t part = mapped_part(mapped, pc);
    if (part == SIZE_MAX)
        return 0;
    size_t first = part * MAPPED_STRIDE;
    size_t count =
        mapped->count - first < MAPPED_STRIDE ? mapped->count - first : MAPPED_STRIDE;
    if (!cprof_read_all(pairs, mapped->pairs + first * sizeof(*pairs), count * sizeof(*pairs)))
        return 0;
    size_t stride = sizeof(*pairs) / sizeof(pairs->pc);
    const struct cfi_pair *pair = &pairs[last_at_most(&pairs->pc, stride, count, wanted)];
    return pair->pc <= wanted ? mapped->base + (uint64_t)(int64_t)pair->entry : 0;
}

/* The entry's bytes, and the common information's. */
static bool read_entry(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                       uint64_t address, struct cfi_entry *entry)
{
    struct cfi_section section;
    struct cfi_section common;
    uint8_t *bytes = scratch->fetched.entry;
    if (!fetch_section(mapped, address, bytes, FIRST_FETCH, &section))
        return false;
    uint64_t common_address = cfi_common_address(&section, 0);
    if (common_address == 0) { /* longer than that, perhaps */
        if (!fetch_section(mapped, address, bytes, MAPPED_ENTRY_MAX, &section))
            return false;
        common_address = cfi_common_address(&section, 0);
    }
    return fetch_section(mapped, common_address, scratch->common, MAPPED_COMMON_MAX, &common) &&
           cfi_entry_read(&section, 0, &common, entry) == 0;
}

struct search {
    uintptr_t pc;
    struct unwind_rule rule;
};

static void look_at_row(void *closure, uint64_t pc, const struct unwind_rule *rule)
{
    struct search *search = closure;
    if (pc <= search->pc)
        search->rule = *rule;
}

/* The entry that covers pc. */
static bool entry_at(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                     uintptr_t pc, struct cfi_entry *entry)
{
    uint64_t address = mapped->count ? find_entry(mapped, scratch->fetched.pairs, pc) : 0;
    return address != 0 && read_entry(mapped, scratch, address, entry) && pc >= entry->start &&
           pc < entry->limit;
}

bool mapped_find(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                 uintptr_t pc, struct unwind_rule *rule)
{
    struct cfi_entry entry;
    struct search search = {.pc = pc, .rule = {.cfa_kind = CFA_NONE}};
    if (entry_at(mapped, scratch, pc, &entry))
        cfi_entry_rows(&entry, look_at_row, &search);
    *rule = search.rule;
    return rule->cfa_kind != CFA_NONE;
}

uintptr_t mapped_function(const struct mapped_unwind *mapped, struct mapped_scratch *scratch,
                          uintptr_t pc)
{
    struct cfi_entry entry;
    return entry_at(mapped, scratch, pc, &entry) ? (uintptr_t)entry.start : 0;
}

bool mapped_holds(const struct mapped_unwind *mapped)
{
    uint8_t head[MAPPED_HEAD];
    return cprof_read_all(head, mapped->base, sizeof(head)) &&
           memcmp(head, mapped->head, sizeof(head)) == 0;
}
