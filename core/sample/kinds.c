#include "sample/kinds.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { SLOTS = 2 * KINDS_MAX, OVERFLOW = SLOTS + 1 };

/* Open addressing, half full at most; a slot that is taken stays as it is. */
static _Atomic(char *) slots[SLOTS];
static _Atomic uint32_t taken;

static char *copy_of(const char *text, size_t length)
{
    char *copy = atomic_load(&taken) < KINDS_MAX ? malloc(length + 1) : NULL;
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* Is it in that slot from now on? */
static bool settle(uint32_t slot, const char *text, size_t length)
{
    char *there = atomic_load_explicit(&slots[slot], memory_order_acquire);
    if (there == NULL) {
        char *copy = copy_of(text, length);
        if (copy == NULL)
            return false;
        if (atomic_compare_exchange_strong(&slots[slot], &there, copy)) {
            atomic_fetch_add(&taken, 1);
            return true;
        }
        free(copy);
    }
    return strncmp(there, text, length) == 0 && there[length] == '\0';
}

uint32_t cprof_kind(const char *text)
{
    size_t length = strnlen(text, KINDS_TEXT);
    uint32_t slot = (uint32_t)hash_bytes(text, length) % SLOTS;
    for (unsigned i = 0; i < SLOTS; i++, slot = (slot + 1) % SLOTS) {
        if (settle(slot, text, length))
            return slot + 1;
        if (atomic_load(&slots[slot]) == NULL)
            break;
    }
    return OVERFLOW;
}

const char *kinds_text(uint32_t kind)
{
    if (kind == OVERFLOW)
        return "[overflow]";
    return kind > 0 && kind <= SLOTS ? atomic_load(&slots[kind - 1]) : NULL;
}
