#include "symbol/kernel_names.h"

#include <string.h>

#include "base/hash.h"

/* Processors that have 64-bit addresses use none with this beginning. */
#define FIRST ((uintptr_t)0x8000000000000000)
#define SLOTS (2 * KERNEL_NAMES_MAX)

/* By number, from 1; and by hash the numbers, 0: free. */
static char names[KERNEL_NAMES_MAX + 1][KERNEL_NAME_SIZE];
static uint16_t slots[SLOTS];
static uint16_t count;

static bool is_name(uint16_t number, const char *name, size_t length)
{
    return strlen(names[number]) == length && memcmp(names[number], name, length) == 0;
}

uintptr_t kernel_name_address(const char *name, size_t length)
{
    length = length < KERNEL_NAME_SIZE - 1 ? length : KERNEL_NAME_SIZE - 1;
    size_t slot = hash_bytes(name, length) & (SLOTS - 1);
    for (; slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1))
        if (is_name(slots[slot], name, length))
            return FIRST + slots[slot];
    if (count == KERNEL_NAMES_MAX)
        return FIRST;
    memcpy(names[count + 1], name, length);
    slots[slot] = ++count;
    return FIRST + count;
}

const char *kernel_name_at(uintptr_t address)
{
    return address >= FIRST && address - FIRST <= count ? names[address - FIRST] : NULL;
}
