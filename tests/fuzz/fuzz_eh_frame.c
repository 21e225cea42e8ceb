/*
 * Unwind information with any contents. Seeds: the two sections of any library,
 *   objcopy -O binary -j .eh_frame_hdr -j .eh_frame libm.so.6 seed
 */
#include <stdlib.h>

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
    return 0;
}
