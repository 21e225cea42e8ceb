/* Handler code: runs inside malloc and free. See live.h. */
#include "sample/live.h"

#include "base/hash.h"

#define BUCKET 8 /* slots */

/* In the lowest bits of a slot, which an address leaves free. */
enum { STATE_BITS = 7, LISTED = 1, FREED = 2 };

_Atomic uint8_t cprof_live_filter[CPROF_LIVE_FILTER];

static struct {
    _Atomic(_Atomic uintptr_t *) slots;
    _Atomic size_t count; /* of slots; 0: closed */
    _Atomic size_t used;
    _Atomic uint8_t shift;
    _Atomic uint64_t random, freed, unlisted;
} live;

/* ---- the filter ---- */

static _Atomic uint8_t *filter_of(uintptr_t address)
{
    return &cprof_live_filter[address >> 4 & (CPROF_LIVE_FILTER - 1)];
}

/* A count that has reached its end stays there. */
static void filter_add(uintptr_t address, int by)
{
    _Atomic uint8_t *count = filter_of(address);
    uint8_t now = atomic_load_explicit(count, memory_order_relaxed);
    while (now != UINT8_MAX && !atomic_compare_exchange_weak(count, &now, (uint8_t)(now + by)))
        ;
}

/* ---- slots ---- */

/* The two buckets of an address. */
static _Atomic uintptr_t *bucket_of(uintptr_t address, size_t slots, int choice)
{
    uint64_t hash = hash_u64(address);
    size_t bucket = (size_t)(choice == 0 ? hash : hash >> 32) & (slots / BUCKET - 1);
    return atomic_load_explicit(&live.slots, memory_order_acquire) + bucket * BUCKET;
}

/* NULL: it is not listed. */
static _Atomic uintptr_t *find_listed(uintptr_t address, size_t slots)
{
    for (int choice = 0; choice < 2; choice++) {
        _Atomic uintptr_t *bucket = bucket_of(address, slots, choice);
        for (size_t i = 0; i < BUCKET; i++)
            if (atomic_load_explicit(&bucket[i], memory_order_relaxed) == (address | LISTED))
                return &bucket[i];
    }
    return NULL;
}

static bool mark_freed(uintptr_t address, size_t slots)
{
    _Atomic uintptr_t *slot = find_listed(address, slots);
    uintptr_t seen = address | LISTED;
    return slot != NULL && atomic_compare_exchange_strong(slot, &seen, address | FREED);
}

static void remove_address(uintptr_t address)
{
    size_t slots = atomic_load_explicit(&live.count, memory_order_acquire);
    if (slots == 0 || !mark_freed(address, slots))
        return;
    filter_add(address, -1);
    atomic_fetch_add_explicit(&live.freed, 1, memory_order_relaxed);
}

void cprof_freed_now(const void *block)
{
    remove_address((uintptr_t)block & ~(uintptr_t)STATE_BITS);
}

bool cprof_lists_blocks(void)
{
    return atomic_load_explicit(&live.count, memory_order_relaxed) != 0;
}

bool cprof_is_listed(const void *block)
{
    uintptr_t address = (uintptr_t)block & ~(uintptr_t)STATE_BITS;
    size_t slots = atomic_load_explicit(&live.count, memory_order_acquire);
    return cprof_was_taken(block) && slots != 0 && find_listed(address, slots) != NULL;
}

/* The number + 1 of an empty slot that is the address's now. */
static uint32_t fill_slot(uintptr_t address, size_t slots)
{
    for (int choice = 0; choice < 2; choice++) {
        _Atomic uintptr_t *bucket = bucket_of(address, slots, choice);
        for (size_t i = 0; i < BUCKET; i++) {
            uintptr_t empty = 0;
            if (atomic_load_explicit(&bucket[i], memory_order_relaxed) == 0 &&
                atomic_compare_exchange_strong(&bucket[i], &empty, address | LISTED))
                return (uint32_t)(&bucket[i] - atomic_load(&live.slots)) + 1;
        }
    }
    return 0;
}

/* One of 2^shift. */
static bool is_left_out(uint8_t shift)
{
    if (shift == 0)
        return false;
    uint64_t random = atomic_fetch_add_explicit(&live.random, UINT64_C(0x9e3779b97f4a7c15),
                                                memory_order_relaxed);
    return (hash_u64(random) & ((UINT64_C(1) << shift) - 1)) != 0;
}

struct live_place live_add(const void *block)
{
    uintptr_t address = (uintptr_t)block & ~(uintptr_t)STATE_BITS;
    size_t slots = atomic_load_explicit(&live.count, memory_order_acquire);
    struct live_place place = {.shift =
                                   atomic_load_explicit(&live.shift, memory_order_relaxed)};
    if (address == 0 || slots == 0)
        return place;
    if (cprof_was_taken(block))
        remove_address(address);
    if (is_left_out(place.shift))
        return place;
    filter_add(address, 1);
    if (atomic_load_explicit(&live.used, memory_order_relaxed) < slots / 2)
        place.block = fill_slot(address, slots);
    if (place.block != 0) {
        atomic_fetch_add_explicit(&live.used, 1, memory_order_relaxed);
    } else {
        filter_add(address, -1);
        atomic_fetch_add_explicit(&live.unlisted, 1, memory_order_relaxed);
    }
    return place;
}

/* ---- the collector's ---- */

static _Atomic uintptr_t *slot_at(size_t slot)
{
    return atomic_load_explicit(&live.slots, memory_order_relaxed) + slot;
}

enum live_state live_state(size_t slot)
{
    uintptr_t word = atomic_load(slot_at(slot));
    return word == 0 ? LIVE_EMPTY : (word & STATE_BITS) == LISTED ? LIVE_LISTED : LIVE_FREED;
}

void live_empty(size_t slot)
{
    uintptr_t word = atomic_exchange(slot_at(slot), 0);
    if ((word & STATE_BITS) == LISTED)
        filter_add(word & ~(uintptr_t)STATE_BITS, -1);
    if (word != 0)
        atomic_fetch_sub_explicit(&live.used, 1, memory_order_relaxed);
}

size_t live_count(void)
{
    return atomic_load_explicit(&live.used, memory_order_relaxed);
}

size_t live_slots(void)
{
    return atomic_load_explicit(&live.count, memory_order_relaxed);
}

void live_recount(void)
{
    size_t used = 0;
    for (size_t slot = 0; slot < live_slots(); slot++)
        used += live_state(slot) != LIVE_EMPTY;
    atomic_store(&live.used, used);
}

uint64_t live_freed(void)
{
    return atomic_load_explicit(&live.freed, memory_order_relaxed);
}

uint64_t live_unlisted(void)
{
    return atomic_load_explicit(&live.unlisted, memory_order_relaxed);
}

void live_thin(uint8_t shift)
{
    atomic_store_explicit(&live.shift, shift, memory_order_relaxed);
}

/* ---- its life ---- */

void live_open(_Atomic uintptr_t *slots, size_t count)
{
    for (size_t i = 0; i < CPROF_LIVE_FILTER; i++)
        atomic_store_explicit(&cprof_live_filter[i], 0, memory_order_relaxed);
    atomic_store(&live.slots, slots);
    atomic_store(&live.used, 0);
    atomic_store(&live.shift, 0);
    atomic_store(&live.freed, 0);
    atomic_store(&live.unlisted, 0);
    atomic_store(&live.count, count);
}

void live_close(void)
{
    atomic_store(&live.count, 0);
    for (size_t i = 0; i < CPROF_LIVE_FILTER; i++)
        atomic_store_explicit(&cprof_live_filter[i], 0, memory_order_relaxed);
}
