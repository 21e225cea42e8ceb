#include "cprof/addresses.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/hash.h"

#define SIZE_MIN 256

static size_t home_of(const struct cprof_addresses *set, uintptr_t address)
{
    return (size_t)hash_u64(address) & (set->size - 1);
}

/* Where it is, or would be. */
static size_t slot_of(const struct cprof_addresses *set, uintptr_t address)
{
    size_t at = home_of(set, address);
    while (set->slots[at] != address && set->slots[at] != 0)
        at = (at + 1) & (set->size - 1);
    return at;
}

static bool grow(struct cprof_addresses *set)
{
    const struct cprof_addresses old = *set;
    const size_t size = old.size == 0 ? SIZE_MIN : 2 * old.size;
    uintptr_t *slots = size <= 2 * CPROF_ADDRESSES_MAX ? calloc(size, sizeof *slots) : NULL;
    if (slots == NULL)
        return false;
    set->slots = slots;
    set->size = size;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i] != 0)
            slots[slot_of(set, old.slots[i])] = old.slots[i];
    free(old.slots);
    return true;
}

void cprof_addresses_add(struct cprof_addresses *set, uintptr_t address)
{
    pthread_mutex_lock(&set->lock);
    if (address != 0 && (2 * (set->count + 1) <= set->size || grow(set))) {
        size_t slot = slot_of(set, address);
        set->count += set->slots[slot] == 0;
        set->slots[slot] = address;
    }
    pthread_mutex_unlock(&set->lock);
}

/* Those behind it that its slot had driven away move up. */
static void close_gap(struct cprof_addresses *set, size_t gap)
{
    const size_t mask = set->size - 1;
    for (size_t at = (gap + 1) & mask; set->slots[at] != 0; at = (at + 1) & mask) {
        size_t home = home_of(set, set->slots[at]);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        set->slots[gap] = set->slots[at];
        set->slots[at] = 0;
        gap = at;
    }
}

void cprof_addresses_remove(struct cprof_addresses *set, uintptr_t address)
{
    pthread_mutex_lock(&set->lock);
    size_t slot = set->size > 0 && address != 0 ? slot_of(set, address) : 0;
    if (set->size > 0 && address != 0 && set->slots[slot] == address) {
        set->slots[slot] = 0;
        set->count--;
        close_gap(set, slot);
    }
    pthread_mutex_unlock(&set->lock);
}

size_t cprof_addresses_count(struct cprof_addresses *set)
{
    pthread_mutex_lock(&set->lock);
    size_t count = set->count;
    pthread_mutex_unlock(&set->lock);
    return count;
}

uintptr_t *cprof_addresses_copy(struct cprof_addresses *set, size_t *count)
{
    *count = 0;
    pthread_mutex_lock(&set->lock);
    uintptr_t *copy = set->count > 0 ? malloc(set->count * sizeof *copy) : NULL;
    for (size_t i = 0; copy != NULL && i < set->size; i++)
        if (set->slots[i] != 0)
            copy[(*count)++] = set->slots[i];
    pthread_mutex_unlock(&set->lock);
    return copy;
}

void cprof_addresses_lock(struct cprof_addresses *set)
{
    pthread_mutex_lock(&set->lock);
}

void cprof_addresses_unlock(struct cprof_addresses *set)
{
    pthread_mutex_unlock(&set->lock);
}
