#include "linetable.h"

#include <stdbool.h>

#include <patchlevel.h>

#if PY_VERSION_HEX < 0x030B0000

/* Pairs of bytes: the length of a range of bytecode, and the signed step of its line from the
 * line before; -128 marks a range that has no line. */
int64_t linetable_line(const uint8_t *table, size_t size, int first_line, uint32_t offset)
{
    int64_t line = first_line;
    uint32_t end = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        const int8_t step = (int8_t)table[i + 1];
        end += table[i];
        if (step != -128)
            line += step;
        if (offset < end)
            return step == -128 ? 0 : line;
    }
    return 0;
}

#else

/* The kinds of entry, in bits 3 to 6 of its first byte (Objects/locations.md of CPython). The
 * others, 0 to 9, stay on the line and differ in their columns only. */
enum {
    ENTRY_SAME_LINE = 10, /* 10, 11, 12: that many lines on */
    ENTRY_NO_COLUMNS = 13,
    ENTRY_LONG = 14,
    ENTRY_NO_LINE = 15,
};

/* A signed number of 6-bit groups, lowest first, sign in the lowest bit. */
static int64_t read_signed(const uint8_t *table, size_t size, size_t at)
{
    uint64_t value = 0;
    unsigned shift = 0;

    for (; at < size && shift < 60; at++, shift += 6) {
        value |= (uint64_t)(table[at] & 63) << shift;
        if ((table[at] & 64) == 0)
            break;
    }
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

int64_t linetable_line(const uint8_t *table, size_t size, int first_line, uint32_t offset)
{
    int64_t line = first_line;
    uint32_t end = 0;

    for (size_t i = 0; i < size;) {
        const unsigned kind = table[i] >> 3 & 15;

        end += ((table[i] & 7u) + 1) * 2;
        if (kind == ENTRY_NO_COLUMNS || kind == ENTRY_LONG)
            line += read_signed(table, size, i + 1);
        else if (kind >= ENTRY_SAME_LINE && kind < ENTRY_NO_COLUMNS)
            line += kind - ENTRY_SAME_LINE;
        if (offset < end)
            return kind == ENTRY_NO_LINE ? 0 : line;
        /* Only the first byte of an entry has its top bit set. */
        do
            i++;
        while (i < size && (table[i] & 128) == 0);
    }
    return 0;
}

#endif
