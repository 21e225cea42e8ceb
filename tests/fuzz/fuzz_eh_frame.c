/*
 * Unwind information with any contents. Seeds: the two sections of any library,
 *   objcopy -O binary -j .eh_frame_hdr -j .eh_frame libm.so.6 seed
 */
#include <stdlib.h>
#include <string.h>

#include "unwind/mapped.h"
#include "unwind/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every table that comes out must be safe to search, as a handler does. */
static void search(const struct unwind_table *table)
{
    for (size_t i = 0; i < table->rows; i++) {
        const struct unwind_rule *rule =
            unwind_table_find(table, table->start + table->offsets[i]);
        if (rule && (rule < table->rules || rule >= table->rules + table->rule_count))
            abort();
        if (i > 0 && table->offsets[i] <= table->offsets[i - 1])
            abort();
    }
}

/* The same bytes where they lie, as if the loader had mapped them. */
static void look_up(const uint8_t *data, size_t size)
{
    static struct mapped_scratch scratch;
    int32_t pivots[64];
    const struct cfi_section section = {
        .bytes = data, .size = size, .address = (uintptr_t)data};
    struct cfi_index index;
    if (cfi_index_read(&section, section.address, &index) != 0 || index.count == 0 ||
        index.pairs < section.address || index.pairs - section.address > size ||
        index.count > (size - (index.pairs - section.address)) / sizeof(struct cfi_pair) ||
        mapped_pivot_count(index.count) > sizeof(pivots) / sizeof(pivots[0]))
        return;
    const uint8_t *pairs = data + (index.pairs - section.address);
    for (size_t i = 0; i < index.count; i += MAPPED_STRIDE)
        memcpy(&pivots[i / MAPPED_STRIDE], pairs + i * sizeof(struct cfi_pair),
               sizeof(pivots[0]));
    struct mapped_unwind mapped = {.start = (uintptr_t)data,
                                   .limit = (uintptr_t)data + size,
                                   .base = section.address,
                                   .pairs = (uintptr_t)index.pairs,
                                   .count = index.count};
    for (size_t i = 0; i < 2 * index.count; i++) {
        struct cfi_pair pair;
        if (i == index.count) /* once more, with the pivots */
            mapped.pivots = pivots;
        memcpy(&pair, pairs + i % index.count * sizeof(pair), sizeof(pair));
        struct unwind_rule rule;
        mapped_find(&mapped, &scratch, mapped.base + (uintptr_t)(intptr_t)pair.pc + i % 8,
                    &rule);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uintptr_t code = 0x10000;
    static const uintptr_t header = 0x100000;
    const struct unwind_source source = {
        .start = code,
        .limit = header + (1 << 20),
        .bytes = {.bytes = data, .size = size, .address = header},
        .header = header,
    };
    struct unwind_table *table;
    if (unwind_table_new(&source, 16 << 20, NULL, &table) == 0) {
        search(table);
        unwind_table_free(table, NULL);
    }
    look_up(data, size);
    return 0;
}
