/* Tables: the rules that compilers, linkers and people write, and bytes that nobody should. */
#include <errno.h>
#include <gnu/libc-version.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unwind/arch.h"
#include "unwind/listing.h"
#include "unwind/modules.h"
#include "unwind/table.h"

/* The unwind information of the module with this address, copied. */
static struct unwind_source source_of(uintptr_t address)
{
    struct listing listing;
    struct unwind_source source = {.start = 0};
    assert_int_equal(listing_new(&listing, false), 0);
    for (size_t i = 0; i < listing.count; i++) {
        const struct mapping *mapping = &listing.mappings[i];
        if (address - mapping->start >= mapping->limit - mapping->start)
            continue;
        size_t size = mapping->unwind_limit - mapping->unwind;
        void *bytes = malloc(size);
        assert_int_equal(listing_copy_unwind(mapping, bytes), 0);
        source = (struct unwind_source){
            .start = mapping->start,
            .limit = mapping->limit,
            .bytes = {.bytes = bytes, .size = size, .address = mapping->unwind},
            .header = mapping->header,
        };
    }
    listing_free(&listing);
    assert_non_null(source.bytes.bytes);
    return source;
}

static uint8_t *bytes_of(const struct unwind_source *source)
{
    return (uint8_t *)(uintptr_t)source->bytes.bytes;
}

static void free_source(struct unwind_source *source)
{
    free(bytes_of(source));
}

static struct unwind_source libc_source(void)
{
    return source_of((uintptr_t)gnu_get_libc_version);
}

static struct unwind_table *compiled(const struct unwind_source *source)
{
    struct unwind_table *table;
    assert_int_equal(unwind_table_new(source, SIZE_MAX, NULL, &table), 0);
    return table;
}

#ifdef __x86_64__
/* A function as an assembler would be fed it; each nop stands for a row. */
__asm__(".text\n"
        ".globl cfi_sample\n"
        "cfi_sample:\n"
        ".cfi_startproc\n"
        "nop\n"
        ".cfi_def_cfa_offset 24\n"
        ".cfi_offset %rbp, -16\n"
        ".cfi_offset %rbx, -24\n"
        "nop\n"
        ".cfi_def_cfa_register %rbp\n"
        ".cfi_remember_state\n"
        "nop\n"
        ".cfi_def_cfa %r10, 0\n"
        ".cfi_escape 0x10,0x06,0x02,0x76,0x00\n" /* rbp is at rbp + 0 */
        "nop\n"
        ".cfi_escape 0x0f,0x03,0x76,0x78,0x06\n" /* the CFA is the word at rbp - 8 */
        "nop\n"
        ".cfi_restore_state\n"
        ".cfi_restore %rbx\n"
        "nop\n"
        ".cfi_escape 0x0f,0x06,0x77,0x98,0x01,0x06,0x23,0x08\n" /* *(rsp + 152) + 8 */
        "nop\n"
        ".cfi_escape 0x0f,0x02,0x30,0x31\n" /* an expression that is none of ours */
        "nop\n"
        ".cfi_def_cfa %rsp, 8\n"
        ".cfi_undefined %rip\n"
        "nop\n"
        ".cfi_endproc\n"
        ".globl signal_sample\n"
        "signal_sample:\n"
        ".cfi_startproc\n"
        ".cfi_signal_frame\n"
        "nop\n"
        ".cfi_endproc\n");
extern const char cfi_sample[];
extern const char signal_sample[];

static const struct unwind_rule none = {.cfa_kind = CFA_NONE};
static const struct unwind_table *own_table;

static struct unwind_rule rule_at(const char *pc)
{
    const struct unwind_rule *rule = unwind_table_find(own_table, (uintptr_t)pc);
    return rule ? *rule : none;
}

static void assert_saved(struct saved_register saved, enum saved_kind kind, int offset)
{
    assert_int_equal(saved.kind, kind);
    assert_int_equal(saved.offset, offset);
}

static void assert_cfa(struct unwind_rule rule, enum cfa_kind kind, int reg, int offset,
                       int extra)
{
    assert_int_equal(rule.cfa_kind, kind);
    assert_int_equal(rule.cfa_reg, reg);
    assert_int_equal(rule.cfa_offset, offset);
    assert_int_equal(rule.cfa_extra, extra);
}

static void rules_say_what_the_assembler_was_told(void **state)
{
    struct unwind_source source = source_of((uintptr_t)cfi_sample);
    struct unwind_table *table = compiled(&source);
    (void)state;
    own_table = table;
    assert_cfa(rule_at(cfi_sample), CFA_REGISTER, ARCH_DWARF_SP, 8, 0);
    assert_saved(rule_at(cfi_sample).ra, SAVED_AT_CFA, -8);
    assert_saved(rule_at(cfi_sample).fp, SAVED_SAME, 0);
    assert_cfa(rule_at(cfi_sample + 1), CFA_REGISTER, ARCH_DWARF_SP, 24, 0);
    assert_saved(rule_at(cfi_sample + 1).fp, SAVED_AT_CFA, -16);
    assert_saved(rule_at(cfi_sample + 1).base, SAVED_AT_CFA, -24);
    assert_cfa(rule_at(cfi_sample + 2), CFA_REGISTER, ARCH_DWARF_FP, 24, 0);
    assert_cfa(rule_at(cfi_sample + 3), CFA_REGISTER, 10, 0, 0);
    assert_saved(rule_at(cfi_sample + 3).fp, SAVED_AT, 0);
    assert_int_equal(rule_at(cfi_sample + 3).fp.reg, ARCH_DWARF_FP);
    assert_cfa(rule_at(cfi_sample + 4), CFA_DEREFERENCE, ARCH_DWARF_FP, -8, 0);
    assert_cfa(rule_at(cfi_sample + 5), CFA_REGISTER, ARCH_DWARF_FP, 24, 0);
    assert_saved(rule_at(cfi_sample + 5).fp, SAVED_AT_CFA, -16);
    assert_saved(rule_at(cfi_sample + 5).base, SAVED_SAME, 0);
    assert_cfa(rule_at(cfi_sample + 6), CFA_DEREFERENCE, ARCH_DWARF_SP, 152, 8);
    assert_cfa(rule_at(cfi_sample + 7), CFA_BEYOND, 0, 0, 0);
    assert_saved(rule_at(cfi_sample + 8).ra, SAVED_LOST, 0);
    assert_int_equal(rule_at(signal_sample).cfa_kind, CFA_SIGNAL);
    unwind_table_free(table, NULL);
    free_source(&source);
}

static void stubs_of_a_plt_have_their_own_rule(void **state)
{
    struct unwind_source source = libc_source();
    struct unwind_table *table = compiled(&source);
    size_t found = 0;
    (void)state;
    for (size_t i = 0; i < table->rule_count; i++)
        if (table->rules[i].cfa_kind == CFA_PLT) {
            assert_cfa(table->rules[i], CFA_PLT, ARCH_DWARF_SP, 8, 11);
            found++;
        }
    assert_int_equal(found, 1);
    unwind_table_free(table, NULL);
    free_source(&source);
}
#endif

static void table_is_sorted_and_small(void **state)
{
    struct unwind_source source = libc_source();
    struct unwind_table *table = compiled(&source);
    (void)state;
    assert_true(table->rows > 1000);
    assert_true(table->bytes < table->rows * (ARCH_LINK_REGISTER ? 9 : 8));
    for (size_t i = 1; i < table->rows; i++) {
        assert_true(table->offsets[i] > table->offsets[i - 1]);
        assert_int_not_equal(table->numbers[i], table->numbers[i - 1]);
        assert_true(table->numbers[i] < table->rule_count);
    }
    for (size_t i = 0; i < table->rows; i++) {
        const struct unwind_rule *rule =
            unwind_table_find(table, table->start + table->offsets[i]);
        assert_ptr_equal(rule, table->numbers[i] ? &table->rules[table->numbers[i]] : NULL);
    }
    assert_null(unwind_table_find(table, table->start - 1));
    assert_null(unwind_table_find(table, table->start + table->span));
    unwind_table_free(table, NULL);
    free_source(&source);
}

static void scanning_finds_what_the_index_lists(void **state)
{
    enum { COUNT_ENCODING = 2, OMIT = 0xff };
    struct unwind_source source = libc_source();
    struct unwind_table *indexed = compiled(&source);
    (void)state;
    bytes_of(&source)[source.header - source.bytes.address + COUNT_ENCODING] = OMIT;
    struct unwind_table *scanned = compiled(&source);
    assert_int_equal(indexed->rows, scanned->rows);
    assert_memory_equal(indexed->offsets, scanned->offsets, indexed->rows * sizeof(uint32_t));
    unwind_table_free(indexed, NULL);
    unwind_table_free(scanned, NULL);
    free_source(&source);
}

static void table_that_is_too_large_takes_nothing_from_the_budget(void **state)
{
    struct unwind_source source = libc_source();
    struct unwind_table *table;
    struct budget budget;
    (void)state;
    budget_init(&budget, 10000);
    assert_int_equal(unwind_table_new(&source, 5000, &budget, &table), -ENOMEM);
    assert_int_equal(unwind_table_new(&source, SIZE_MAX, &budget, &table), -ENOMEM);
    assert_int_equal(budget_used(&budget), 0);
    free_source(&source);
}

static void broken_bytes_never_crash_the_compiler(void **state)
{
    struct unwind_source whole = libc_source();
    struct unwind_source source = whole;
    uint32_t seed = 12345;
    (void)state;
    uint8_t *bytes = malloc(whole.bytes.size);
    source.bytes.bytes = bytes;
    for (unsigned round = 0; round < 60; round++) {
        memcpy(bytes, whole.bytes.bytes, whole.bytes.size);
        for (unsigned i = 0; i < 20u << (round % 12); i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[(seed >> 4) % whole.bytes.size] = (uint8_t)(seed >> 24);
        }
        source.bytes.size = round % 3 ? whole.bytes.size : (seed >> 2) % whole.bytes.size;
        struct unwind_table *table;
        if (unwind_table_new(&source, SIZE_MAX, NULL, &table) == 0)
            unwind_table_free(table, NULL);
    }
    free(bytes);
    free_source(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __x86_64__
        cmocka_unit_test(rules_say_what_the_assembler_was_told),
        cmocka_unit_test(stubs_of_a_plt_have_their_own_rule),
#endif
        cmocka_unit_test(table_is_sorted_and_small),
        cmocka_unit_test(scanning_finds_what_the_index_lists),
        cmocka_unit_test(table_that_is_too_large_takes_nothing_from_the_budget),
        cmocka_unit_test(broken_bytes_never_crash_the_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
