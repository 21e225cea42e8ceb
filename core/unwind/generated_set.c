#include "unwind/generated_set.h"

#include <stdlib.h>

#include "base/hash.h"
#include "cprof/readable.h"
#include "unwind/prologue.h"
#include "unwind/table.h"

/* ---- functions ---- */

static bool find_entry(const struct cfi_section *section, uintptr_t pc, struct cfi_entry *entry)
{
    bool is_entry;
    size_t offset = 0;
    for (size_t at = 0; cfi_next(section, &offset, &is_entry); at = offset)
        if (is_entry && cfi_entry_read(section, at, section, entry) == 0 &&
            pc >= entry->start && pc < entry->limit)
            return true;
    return false;
}

/* The first bytes of a function. 0: they can't be read. */
static size_t read_code(uintptr_t start, uintptr_t limit, uint8_t bytes[GENERATED_PROOF])
{
    size_t size = generated_proof_size(start, limit);
    return cprof_read_all(bytes, start, size) ? size : 0;
}

static bool is_there(const struct generated_function *function)
{
    uint8_t bytes[GENERATED_PROOF];
    size_t size = read_code(function->start, function->limit, bytes);
    return size > 0 && hash_bytes(bytes, size) == function->proof;
}

/* A function of which only the bounds are known. */
static bool guess_entry(const struct generated_source *source, uint8_t *says,
                        struct cfi_entry *entry)
{
    uint8_t code[GENERATED_PROOF];
    if (source->pc < source->start || source->pc >= source->limit)
        return false;
    size_t size = read_code(source->start, source->limit, code);
    return size > 0 && prologue_read(source->start, source->limit, code,
                                     size < PROLOGUE_MAX ? size : PROLOGUE_MAX, says, entry);
}

static struct generated_function *keep(const struct generated_function *function,
                                       struct budget *budget)
{
    struct generated_function *kept = NULL;
    if (budget_take(budget, sizeof *kept)) {
        kept = malloc(sizeof *kept);
        if (!kept)
            budget_give(budget, sizeof *kept);
    }
    if (kept)
        *kept = *function;
    else
        unwind_table_free(function->table, budget);
    return kept;
}

struct generated_function *generated_function_new(const struct generated_source *source,
                                                  struct budget *budget)
{
    uint8_t bytes[GENERATED_PROOF];
    uint8_t says[PROLOGUE_SAYS];
    struct cfi_entry entry;
    bool guessed = !find_entry(&source->eh_frame, source->pc, &entry);
    if (guessed && !guess_entry(source, says, &entry))
        return NULL;
    struct generated_function function = {.start = (uintptr_t)entry.start,
                                          .limit = (uintptr_t)entry.limit,
                                          .guessed = guessed,
                                          .references = 1};
    size_t size = read_code(function.start, function.limit, bytes);
    function.proof = hash_bytes(bytes, size);
    if (size == 0 || unwind_entry_new(&entry, budget, &function.table) != 0)
        return NULL;
    return keep(&function, budget);
}

void generated_function_release(struct generated_function *function, struct budget *budget)
{
    if (--function->references > 0)
        return;
    unwind_table_free(function->table, budget);
    budget_give(budget, sizeof *function);
    free(function);
}

/* ---- sets ---- */

static size_t set_bytes(size_t count)
{
    return sizeof(struct generated_set) + count * sizeof(struct generated_function *);
}

static bool overlaps(const struct generated_function *one, const struct generated_function *two)
{
    return one->start < two->limit && two->start < one->limit;
}

/* Later ones take the place of those that they overlap. */
static void add(struct generated_set *set, struct generated_function *function)
{
    for (size_t i = 0; i < set->count; i++)
        if (overlaps(set->functions[i], function))
            return;
    function->references++;
    set->functions[set->count++] = function;
}

static int by_start(const void *left, const void *right)
{
    uintptr_t a = (*(struct generated_function *const *)left)->start;
    uintptr_t b = (*(struct generated_function *const *)right)->start;
    return (a > b) - (a < b);
}

struct generated_set *generated_set_new(const struct generated_set *old,
                                        struct generated_function *const *functions,
                                        size_t count, struct budget *budget)
{
    size_t kept = old && old->count + count <= GENERATED_MAX ? old->count : 0;
    if (!budget_take(budget, set_bytes(kept + count)))
        return NULL;
    struct generated_set *set = malloc(set_bytes(kept + count));
    if (!set) {
        budget_give(budget, set_bytes(kept + count));
        return NULL;
    }
    *set = (struct generated_set){.references = 1};
    for (size_t i = count; i-- > 0;)
        add(set, functions[i]);
    for (size_t i = 0; i < kept; i++)
        if (is_there(old->functions[i]))
            add(set, old->functions[i]);
    budget_give(budget, set_bytes(kept + count) - set_bytes(set->count));
    qsort(set->functions, set->count, sizeof(struct generated_function *), by_start);
    return set;
}

void generated_set_release(struct generated_set *set, struct budget *budget)
{
    if (!set || --set->references > 0)
        return;
    for (size_t i = 0; i < set->count; i++)
        generated_function_release(set->functions[i], budget);
    budget_give(budget, set_bytes(set->count));
    free(set);
}
