/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/generated.h"

#include "base/hash.h"
#include "cprof/readable.h"
#include "unwind/table.h"

static const struct generated_function *function_at(const struct generated_set *set,
                                                    uintptr_t pc)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->functions[middle]->start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    const struct generated_function *function = low > 0 ? set->functions[low - 1] : NULL;
    return function && pc < function->limit ? function : NULL;
}

/* Is the code still the one that the table was made for? */
static bool is_same(const struct generated_function *function, struct mapped_scratch *scratch)
{
    uint8_t *bytes = scratch->fetched.entry;
    size_t size = generated_proof_size(function->start, function->limit);
    return cprof_read_all(bytes, function->start, size) &&
           hash_bytes(bytes, size) == function->proof;
}

const struct generated_function *generated_find(const struct generated_set *set,
                                                struct mapped_scratch *scratch, uintptr_t pc,
                                                struct unwind_rule *rule)
{
    const struct generated_function *function = set ? function_at(set, pc) : NULL;
    const struct unwind_rule *found =
        function && is_same(function, scratch) ? unwind_table_find(function->table, pc) : NULL;
    if (!found)
        return NULL;
    *rule = *found;
    return function;
}

void generated_meet(struct generated_met *met, uintptr_t pc)
{
    if (!met)
        return;
    _Atomic uintptr_t *place = &met->pcs[(pc ^ pc >> 8) % GENERATED_MET];
    if (atomic_load_explicit(place, memory_order_relaxed) == pc)
        return;
    atomic_store_explicit(place, pc, memory_order_relaxed);
    atomic_store_explicit(&met->any, true, memory_order_release);
}
