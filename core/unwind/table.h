/*
 * A compiled unwind table: which rule holds at which pc of a module, or of a part of it.
 * Immutable once made, so signal handlers read it without locks; looking up is a page index and
 * a short binary search over bare offsets, and calls nothing.
 *
 * A row is six bytes: the offset at which a rule begins to hold, and the rule's number. A
 * module has tens of thousands of rows but only some hundred different rules.
 */
#ifndef CPROF_UNWIND_TABLE_H
#define CPROF_UNWIND_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "unwind/cfi.h"
#include "unwind/entries.h"

/* Code is indexed by pages of 256 bytes, which hold some five rows: a search step is a load
 * that waits for the one before, so the index is what makes a walk fast. */
enum { UNWIND_PAGE_SHIFT = 8 };

struct unwind_table {
    uintptr_t start; /* the first address of the code covered */
    uintptr_t span;  /* its length; below 4 GiB */
    size_t rows;
    size_t rule_count;
    size_t bytes;                    /* of this whole table, one allocation */
    const struct unwind_rule *rules; /* rules[0] is "no rule" */
    const uint32_t *pages;   /* for every page of the code, and one past it, how many rows
                                begin before it */
    const uint32_t *offsets; /* ascending; offsets[0] is 0 */
    const uint16_t *numbers; /* of the rules, beside `offsets` */
};

/* Where a module's unwind information lies. */
struct unwind_source {
    uintptr_t start, limit;   /* of the module's code */
    struct cfi_section bytes; /* a copy of .eh_frame_hdr and .eh_frame, however they lie */
    uint64_t header;          /* the address of .eh_frame_hdr within it */
};

/* [collector] A table in the making: a large module's takes some tenths of a second, so it is
 * compiled a few thousand entries at a time. What the source points to must outlive it. */
struct unwind_builder;

/* 0; -EINVAL when there is nothing to compile; -ENOMEM. */
int unwind_builder_new(const struct unwind_source *source, size_t limit,
                       struct unwind_builder **builder);

/* Compiles at most so many entries more. 1: there are more; 0: that was all; -ENOMEM when the
 * table would be larger than `limit` bytes. */
int unwind_builder_run(struct unwind_builder *builder, size_t entries);

/* The table, after unwind_builder_run() returned 0. -ENOMEM when the budget has no room. */
int unwind_builder_finish(const struct unwind_builder *builder, struct budget *budget,
                          struct unwind_table **table);
void unwind_builder_free(struct unwind_builder *builder);

/* [collector] All of that at once. */
int unwind_table_new(const struct unwind_source *source, size_t limit, struct budget *budget,
                     struct unwind_table **table);

/* [collector] The table of the code [start, limit), which is part of the module's code
 * [code, code_limit). 0; -EFAULT when its entries can't be read; -ENOMEM. */
struct unwind_part {
    uintptr_t start, limit;
    uintptr_t code, code_limit;
};

int unwind_part_new(struct entries *entries, const struct unwind_part *part,
                    struct budget *budget, struct unwind_table **table);

/* [collector] The table of the code that one entry describes. */
int unwind_entry_new(const struct cfi_entry *entry, struct budget *budget,
                     struct unwind_table **table);

void unwind_table_free(struct unwind_table *table, struct budget *budget);

/* [handler] The rule that holds at an address, or NULL. */
static inline const struct unwind_rule *unwind_table_find(const struct unwind_table *table,
                                                          uintptr_t address)
{
    uintptr_t offset = address - table->start;
    if (offset >= table->span)
        return NULL;
    uintptr_t page = offset >> UNWIND_PAGE_SHIFT;
    /* The last row at or before the offset: one of the page's, or the last one before it. */
    size_t base = table->pages[page] ? table->pages[page] - 1 : 0;
    size_t count = table->pages[page + 1] - base;
    while (count > 1) {
        size_t half = count / 2;
        base = table->offsets[base + half] <= offset ? base + half : base;
        count -= half;
    }
    const struct unwind_rule *rule = &table->rules[table->numbers[base]];
    return rule->cfa_kind == CFA_NONE ? NULL : rule;
}

#endif
