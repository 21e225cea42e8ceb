#include "unwind/entries.h"

#include <errno.h>
#include <string.h>

#include "cprof/readable.h"

enum {
    ENTRY_LEAST = 512,  /* holds nearly every entry, */
    ENTRIES_SOME = 2048 /* and this those of a part */
};

void entries_open(struct entries *entries, const struct mapped_unwind *mapped)
{
    entries->mapped = mapped;
    entries->next = 0;
    entries->pairs.size = entries->entry.size = entries->common.size = 0;
}

static bool holds(const struct entries_window *window, uintptr_t address, size_t size)
{
    uintptr_t offset = address - window->address;
    return offset <= window->size && size <= window->size - offset;
}

/* The bytes from an address on: at least so many, if the mapped memory has them; where they are
 * fetched, up to `most`, for what follows. 1; 0: it is not in there; -EFAULT: it can't be read,
 * as the module may have gone. */
static int look_at(struct entries *entries, struct entries_window *window, uint64_t address,
                   size_t least, size_t most, struct cfi_section *section)
{
    const struct mapped_unwind *mapped = entries->mapped;
    if (address < mapped->start || address >= mapped->limit)
        return 0;
    size_t there = mapped->limit - (uintptr_t)address;
    if (!holds(window, (uintptr_t)address, least < there ? least : there)) {
        size_t size = there < most ? there : most;
        window->size = 0;
        if (!cprof_read_all(window->bytes, (uintptr_t)address, size))
            return -EFAULT;
        window->address = (uintptr_t)address;
        window->size = size;
    }
    size_t offset = (uintptr_t)address - window->address;
    *section = (struct cfi_section){
        .bytes = window->bytes + offset, .size = window->size - offset, .address = address};
    return 1;
}

static bool read_pair(struct entries *entries, size_t number, struct cfi_pair *pair)
{
    struct cfi_section section;
    if (look_at(entries, &entries->pairs, entries->mapped->pairs + number * sizeof(*pair),
                sizeof(*pair), MAPPED_ENTRY_MAX, &section) <= 0 ||
        section.size < sizeof(*pair))
        return false;
    memcpy(pair, section.bytes, sizeof(*pair));
    return true;
}

int entries_seek(struct entries *entries, uintptr_t pc)
{
    const struct mapped_unwind *mapped = entries->mapped;
    int64_t wanted = (int64_t)(pc - mapped->base);
    size_t part = mapped_part(mapped, pc);
    if (part == SIZE_MAX)
        return -EFAULT;
    size_t base = part * MAPPED_STRIDE;
    size_t count = mapped->count - base < MAPPED_STRIDE ? mapped->count - base : MAPPED_STRIDE;
    struct cfi_pair pair;
    struct cfi_section section; /* all of them, with one fetch */
    if (look_at(entries, &entries->pairs, mapped->pairs + base * sizeof(pair),
                count * sizeof(pair), MAPPED_ENTRY_MAX, &section) <= 0)
        return -EFAULT;
    while (count > 1) {
        size_t half = count / 2;
        if (!read_pair(entries, base + half, &pair))
            return -EFAULT;
        base = pair.pc <= wanted ? base + half : base;
        count -= half;
    }
    entries->next = base;
    return 0;
}

/* 1; 0 when it makes no sense, or is longer than any that a look-up would find; -EFAULT. */
static int read_entry(struct entries *entries, uint64_t address, struct cfi_entry *entry)
{
    struct cfi_section section, common;
    int found = look_at(entries, &entries->entry, address, ENTRY_LEAST, ENTRIES_SOME, &section);
    if (found <= 0)
        return found;
    uint64_t common_address = cfi_common_address(&section, 0);
    if (common_address == 0) {
        found = look_at(entries, &entries->entry, address, MAPPED_ENTRY_MAX, MAPPED_ENTRY_MAX,
                        &section);
        if (found <= 0)
            return found;
        common_address = cfi_common_address(&section, 0);
    }
    found = look_at(entries, &entries->common, common_address, MAPPED_COMMON_MAX,
                    MAPPED_COMMON_MAX, &common);
    return found <= 0 ? found : cfi_entry_read(&section, 0, &common, entry) == 0;
}

int entries_next(struct entries *entries, uintptr_t limit, struct cfi_entry *entry)
{
    const struct mapped_unwind *mapped = entries->mapped;
    int64_t end = (int64_t)(limit - mapped->base);
    while (entries->next < mapped->count) {
        struct cfi_pair pair;
        if (!read_pair(entries, entries->next, &pair))
            return -EFAULT;
        if (pair.pc >= end)
            return 0;
        entries->next++;
        int found = read_entry(entries, mapped->base + (uint64_t)(int64_t)pair.entry, entry);
        if (found != 0)
            return found;
    }
    return 0;
}
