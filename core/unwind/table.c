#include "unwind/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_RULES = UINT16_MAX,
    RULE_BUCKETS = 1024,
    ROW_BYTES = sizeof(uint32_t) + sizeof(uint16_t),
};

/* An entry of .eh_frame by the pc at which it begins. */
struct entry_place {
    uint64_t pc;
    uint64_t offset; /* in the section */
};

struct entry_list {
    struct entry_place *places;
    size_t count, capacity;
    bool sorted;
};

struct unwind_builder {
    struct unwind_source source;
    struct unwind_part part; /* what the table is of: here all of the code, or less */
    struct entry_list list;
    size_t done; /* entries of the list */
    size_t max_rows;
    uint32_t *offsets;
    uint16_t *numbers;
    size_t rows, row_capacity;
    struct unwind_rule *rules;
    uint16_t *next_rule; /* chains of rules with the same hash */
    size_t rule_count, rule_capacity;
    uint16_t buckets[RULE_BUCKETS]; /* 0: empty; rule 0 is in no chain */
    uint64_t covered;               /* the end of the entry before, for telling gaps */
    int error;
};

/* Grows an array of `size`-byte items to hold at least one more. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    void *grown = realloc(*items, wanted * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

/* ---- which entries there are, in the order of their code ---- */

static int list_add(struct entry_list *list, uint64_t pc, uint64_t offset)
{
    if (!grow((void **)&list->places, list->count, &list->capacity, sizeof(*list->places)))
        return -ENOMEM;
    if (list->count > 0 && pc < list->places[list->count - 1].pc)
        list->sorted = false;
    list->places[list->count++] = (struct entry_place){.pc = pc, .offset = offset};
    return 0;
}

/* From the linker's search table, which is sorted already. */
static int list_from_index(struct entry_list *list, const struct cfi_index *index,
                           const struct cfi_section *section)
{
    const uint8_t *pairs = section->bytes + (index->pairs - section->address);
    int error = 0;
    for (size_t i = 0; i < index->count && error == 0; i++) {
        struct cfi_pair pair;
        memcpy(&pair, pairs + i * sizeof(pair), sizeof(pair));
        uint64_t entry = index->base + (uint64_t)(int64_t)pair.entry - section->address;
        if (entry < section->size)
            error = list_add(list, index->base + (uint64_t)(int64_t)pair.pc, entry);
    }
    return error;
}

/* Does all of the search table lie in the section? */
static bool has_index(const struct cfi_section *section, const struct cfi_index *index)
{
    uint64_t offset = index->pairs - section->address;
    return index->pairs != 0 && offset < section->size &&
           index->count <= (section->size - offset) / sizeof(struct cfi_pair);
}

static int list_by_scanning(struct entry_list *list, uint64_t first,
                            const struct cfi_section *section)
{
    int error = 0;
    size_t offset = (size_t)first;
    for (size_t at = offset; error == 0; at = offset) {
        bool is_entry;
        struct cfi_entry entry;
        if (!cfi_next(section, &offset, &is_entry))
            break;
        if (is_entry && cfi_entry_read(section, at, section, &entry) == 0)
            error = list_add(list, entry.start, at);
    }
    return error;
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = ((const struct entry_place *)a)->pc;
    uint64_t right = ((const struct entry_place *)b)->pc;
    return (left > right) - (left < right);
}

static int list_entries(struct entry_list *list, const struct unwind_source *source)
{
    const struct cfi_section *section = &source->bytes;
    struct cfi_index index;
    int error = cfi_index_read(section, source->header, &index);
    if (error != 0)
        return error;
    if (index.eh_frame - section->address >= section->size)
        return -EINVAL;
    *list = (struct entry_list){.sorted = true};
    if (has_index(section, &index))
        error = list_from_index(list, &index, section);
    else
        error = list_by_scanning(list, index.eh_frame - section->address, section);
    if (error == 0 && !list->sorted)
        qsort(list->places, list->count, sizeof(*list->places), compare_places);
    return error;
}

/* ---- rows ---- */

static uint32_t rule_hash(const struct unwind_rule *rule)
{
    uint32_t words[sizeof(*rule) / sizeof(uint32_t)];
    uint32_t hash = 0;
    memcpy(words, rule, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        hash = (hash ^ words[i]) * 0x9e3779b1u;
    return hash >> 16;
}

/* The number of a rule, new or known. A module with more rules than numbers (none is known)
 * has "no rule" for the rest. */
static uint16_t rule_number(struct unwind_builder *builder, const struct unwind_rule *rule)
{
    if (rule->cfa_kind == CFA_NONE)
        return 0;
    uint16_t *head = &builder->buckets[rule_hash(rule) % RULE_BUCKETS];
    for (uint16_t i = *head; i != 0; i = builder->next_rule[i])
        if (memcmp(&builder->rules[i], rule, sizeof(*rule)) == 0)
            return i;
    if (builder->rule_count == MAX_RULES)
        return 0;
    size_t capacity = builder->rule_capacity;
    if (!grow((void **)&builder->rules, builder->rule_count, &capacity, sizeof(*rule)) ||
        !grow((void **)&builder->next_rule, builder->rule_count, &builder->rule_capacity,
              sizeof(*builder->next_rule))) {
        builder->error = -ENOMEM;
        return 0;
    }
    uint16_t number = (uint16_t)builder->rule_count++;
    builder->rules[number] = *rule;
    builder->next_rule[number] = *head;
    *head = number;
    return number;
}

static void add_row(struct unwind_builder *builder, uint32_t offset, uint16_t number)
{
    size_t last = builder->rows - 1;
    if (builder->rows > 0 && offset <= builder->offsets[last]) {
        if (offset == builder->offsets[last])
            builder->numbers[last] = number;
        return;
    }
    if (builder->rows > 0 && builder->numbers[last] == number)
        return;
    size_t capacity = builder->row_capacity;
    if (builder->rows == builder->max_rows ||
        !grow((void **)&builder->offsets, builder->rows, &capacity, sizeof(uint32_t)) ||
        !grow((void **)&builder->numbers, builder->rows, &builder->row_capacity,
              sizeof(uint16_t))) {
        builder->error = -ENOMEM;
        return;
    }
    builder->offsets[builder->rows] = offset;
    builder->numbers[builder->rows++] = number;
}

/* What begins before the part holds from the part's begin on. */
static uint32_t offset_of(const struct unwind_builder *builder, uint64_t pc)
{
    return pc > builder->part.start ? (uint32_t)(pc - builder->part.start) : 0;
}

static void add_rule_row(void *closure, uint64_t pc, const struct unwind_rule *rule)
{
    struct unwind_builder *builder = closure;
    if (builder->error == 0 && pc < builder->part.limit)
        add_row(builder, offset_of(builder, pc), rule_number(builder, rule));
}

/* Ends the entry before where it ended, unless the next one follows at once. Even the padding
 * between functions is kept apart: the walker tells by it whether a return address follows
 * a call. */
static void close_gap(struct unwind_builder *builder, uint64_t next)
{
    if (next > builder->covered && builder->covered < builder->part.limit)
        add_row(builder, offset_of(builder, builder->covered), 0);
}

static void add_entry(struct unwind_builder *builder, const struct cfi_entry *entry)
{
    if (entry->start < builder->covered || entry->limit > builder->part.code_limit)
        return; /* not our code, or claimed by an entry before */
    close_gap(builder, entry->start);
    cfi_entry_rows(entry, add_rule_row, builder);
    builder->covered = entry->limit;
}

static void add_place(struct unwind_builder *builder, const struct entry_place *place)
{
    const struct cfi_section *bytes = &builder->source.bytes;
    struct cfi_entry entry;
    if (cfi_entry_read(bytes, (size_t)place->offset, bytes, &entry) == 0)
        add_entry(builder, &entry);
}

/* ---- the finished table ---- */

static size_t page_count(const struct unwind_part *part)
{
    return ((part->limit - part->start - 1) >> UNWIND_PAGE_SHIFT) + 1;
}

static void fill_pages(uint32_t *pages, size_t count, const uint32_t *offsets, size_t rows)
{
    size_t row = 0;
    for (size_t page = 0; page <= count; page++) {
        while (row < rows && (offsets[row] >> UNWIND_PAGE_SHIFT) < page)
            row++;
        pages[page] = (uint32_t)row;
    }
}

/* Packs everything into one allocation that the budget knows. */
int unwind_builder_finish(const struct unwind_builder *builder, struct budget *budget,
                          struct unwind_table **out)
{
    const struct unwind_part *part = &builder->part;
    size_t pages = page_count(part);
    size_t bytes = sizeof(**out) + builder->rule_count * sizeof(struct unwind_rule) +
                   (pages + 1) * sizeof(uint32_t) + builder->rows * ROW_BYTES;
    if (!budget_take(budget, bytes))
        return -ENOMEM;
    struct unwind_table *table = malloc(bytes);
    if (!table) {
        budget_give(budget, bytes);
        return -ENOMEM;
    }
    /* All of these are 4-aligned but the last, which wants 2. */
    struct unwind_rule *rules = (struct unwind_rule *)(table + 1);
    uint32_t *page_rows = (uint32_t *)(rules + builder->rule_count);
    uint32_t *offsets = page_rows + pages + 1;
    uint16_t *numbers = (uint16_t *)(offsets + builder->rows);
    memcpy(rules, builder->rules, builder->rule_count * sizeof(*rules));
    memcpy(offsets, builder->offsets, builder->rows * sizeof(*offsets));
    memcpy(numbers, builder->numbers, builder->rows * sizeof(*numbers));
    fill_pages(page_rows, pages, offsets, builder->rows);
    *table = (struct unwind_table){
        .start = part->start,
        .span = part->limit - part->start,
        .rows = builder->rows,
        .rule_count = builder->rule_count,
        .bytes = bytes,
        .rules = rules,
        .pages = page_rows,
        .offsets = offsets,
        .numbers = numbers,
    };
    *out = table;
    return 0;
}

/* ---- the whole ---- */

/* Rule 0 is "no rule", and holds until the first entry begins. */
static int begin(struct unwind_builder *builder)
{
    static const struct unwind_rule none = {.cfa_kind = CFA_NONE};
    if (!grow((void **)&builder->rules, 0, &(size_t){0}, sizeof(none)) ||
        !grow((void **)&builder->next_rule, 0, &builder->rule_capacity, sizeof(uint16_t)))
        return -ENOMEM;
    builder->rules[0] = none;
    builder->rule_count = 1;
    builder->covered = builder->part.code;
    add_row(builder, 0, 0);
    return builder->error;
}

int unwind_builder_new(const struct unwind_source *source, size_t limit,
                       struct unwind_builder **out)
{
    if (source->limit <= source->start || source->limit - source->start > UINT32_MAX)
        return -EINVAL;
    struct unwind_builder *builder = calloc(1, sizeof(*builder));
    if (!builder)
        return -ENOMEM;
    builder->source = *source;
    builder->part = (struct unwind_part){.start = source->start,
                                         .limit = source->limit,
                                         .code = source->start,
                                         .code_limit = source->limit};
    builder->max_rows = limit / ROW_BYTES;
    int error = list_entries(&builder->list, source);
    if (error == 0)
        error = builder->list.count == 0 ? -EINVAL : begin(builder);
    if (error == 0)
        *out = builder;
    else
        unwind_builder_free(builder);
    return error;
}

int unwind_builder_run(struct unwind_builder *builder, size_t entries)
{
    const struct entry_list *list = &builder->list;
    size_t left = list->count - builder->done;
    size_t end = builder->done + (entries < left ? entries : left);
    while (builder->done < end && builder->error == 0)
        add_place(builder, &list->places[builder->done++]);
    if (builder->error == 0 && builder->done < list->count)
        return 1;
    close_gap(builder, builder->source.limit);
    return builder->error;
}

void unwind_builder_free(struct unwind_builder *builder)
{
    if (!builder)
        return;
    free(builder->list.places);
    free(builder->offsets);
    free(builder->numbers);
    free(builder->rules);
    free(builder->next_rule);
    free(builder);
}

int unwind_table_new(const struct unwind_source *source, size_t limit, struct budget *budget,
                     struct unwind_table **table)
{
    struct unwind_builder *builder = NULL;
    int error = unwind_builder_new(source, limit, &builder);
    if (error == 0)
        error = unwind_builder_run(builder, SIZE_MAX);
    if (error == 0)
        error = unwind_builder_finish(builder, budget, table);
    unwind_builder_free(builder);
    return error;
}

/* A builder of what needs no list of entries. */
static struct unwind_builder *part_builder(const struct unwind_part *part)
{
    struct unwind_builder *builder = calloc(1, sizeof(*builder));
    if (!builder)
        return NULL;
    builder->part = *part;
    builder->max_rows = SIZE_MAX;
    return builder;
}

static int build_part(struct unwind_builder *builder, struct entries *entries)
{
    const struct unwind_part *part = &builder->part;
    struct cfi_entry entry;
    int status = begin(builder);
    if (status == 0)
        status = entries_seek(entries, part->start);
    if (status != 0)
        return status;
    while (builder->error == 0 && (status = entries_next(entries, part->limit, &entry)) > 0)
        add_entry(builder, &entry);
    close_gap(builder, part->limit);
    return status < 0 ? status : builder->error;
}

int unwind_part_new(struct entries *entries, const struct unwind_part *part,
                    struct budget *budget, struct unwind_table **table)
{
    struct unwind_builder *builder = part_builder(part);
    if (!builder)
        return -ENOMEM;
    int error = build_part(builder, entries);
    if (error == 0)
        error = unwind_builder_finish(builder, budget, table);
    unwind_builder_free(builder);
    return error;
}

int unwind_entry_new(const struct cfi_entry *entry, struct budget *budget,
                     struct unwind_table **table)
{
    if (entry->limit <= entry->start || entry->limit - entry->start > UINT32_MAX)
        return -EINVAL;
    const struct unwind_part part = {.start = (uintptr_t)entry->start,
                                     .limit = (uintptr_t)entry->limit,
                                     .code = (uintptr_t)entry->start,
                                     .code_limit = (uintptr_t)entry->limit};
    struct unwind_builder *builder = part_builder(&part);
    if (!builder)
        return -ENOMEM;
    int error = begin(builder);
    if (error == 0) {
        add_entry(builder, entry);
        error = builder->error;
    }
    if (error == 0)
        error = unwind_builder_finish(builder, budget, table);
    unwind_builder_free(builder);
    return error;
}

void unwind_table_free(struct unwind_table *table, struct budget *budget)
{
    if (!table)
        return;
    budget_give(budget, table->bytes);
    free(table);
}
