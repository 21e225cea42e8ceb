#include "symbol/function_cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 16

void function_cache_init(struct function_cache *cache, struct budget *budget)
{
    *cache = (struct function_cache){.budget = budget};
}

void function_cache_free(struct function_cache *cache)
{
    budget_give(cache->budget, cache->capacity * sizeof *cache->functions);
    free(cache->functions);
    function_cache_init(cache, cache->budget);
}

/* How many functions start at or below a vaddr. */
static size_t at_or_below(const struct function_cache *cache, uint64_t vaddr)
{
    size_t low = 0, high = cache->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cache->functions[middle].range.start <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct cached_function *function_cache_find(const struct function_cache *cache,
                                                  uint64_t vaddr)
{
    size_t below = at_or_below(cache, vaddr);
    const struct cached_function *function = below ? &cache->functions[below - 1] : NULL;
    return function && code_range_holds(&function->range, vaddr) ? function : NULL;
}

static bool make_room(struct function_cache *cache)
{
    if (cache->count < cache->capacity)
        return true;
    size_t size = sizeof *cache->functions, old = cache->capacity;
    size_t capacity = old ? old * 2 : FIRST_CAPACITY;
    if (!budget_take(cache->budget, (capacity - old) * size))
        return false;
    struct cached_function *functions = realloc(cache->functions, capacity * size);
    if (!functions) {
        budget_give(cache->budget, (capacity - old) * size);
        return false;
    }
    cache->functions = functions;
    cache->capacity = capacity;
    return true;
}

void function_cache_add(struct function_cache *cache, const struct cached_function *function)
{
    if (!make_room(cache))
        return;
    size_t at = at_or_below(cache, function->range.start);
    struct cached_function *slot = &cache->functions[at];
    memmove(slot + 1, slot, (cache->count - at) * sizeof *slot);
    *slot = *function;
    cache->count++;
}
