#include "symbol/known.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 16

void known_init(struct known *known, struct budget *budget)
{
    *known = (struct known){.budget = budget};
}

void known_free(struct known *known)
{
    budget_give(known->budget, known->capacity * sizeof *known->functions);
    free(known->functions);
    known_init(known, known->budget);
}

/* How many functions start at or below a vaddr. */
static size_t at_or_below(const struct known *known, uint64_t vaddr)
{
    size_t low = 0, high = known->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (known->functions[middle].range.start <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct known_function *known_find(const struct known *known, uint64_t vaddr)
{
    size_t below = at_or_below(known, vaddr);
    const struct known_function *function = below ? &known->functions[below - 1] : NULL;
    return function && code_range_holds(&function->range, vaddr) ? function : NULL;
}

static bool make_room(struct known *known)
{
    if (known->count < known->capacity)
        return true;
    size_t size = sizeof *known->functions, old = known->capacity;
    size_t capacity = old ? old * 2 : FIRST_CAPACITY;
    if (!budget_take(known->budget, (capacity - old) * size))
        return false;
    struct known_function *functions = realloc(known->functions, capacity * size);
    if (!functions) {
        budget_give(known->budget, (capacity - old) * size);
        return false;
    }
    known->functions = functions;
    known->capacity = capacity;
    return true;
}

void known_add(struct known *known, const struct known_function *function)
{
    if (!make_room(known))
        return;
    size_t at = at_or_below(known, function->range.start);
    struct known_function *slot = &known->functions[at];
    memmove(slot + 1, slot, (known->count - at) * sizeof *slot);
    *slot = *function;
    known->count++;
}
