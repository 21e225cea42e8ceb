/* GDB's list of compiled objects: what is registered has its name, and whatever the list holds
 * does no harm. The list is this program's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jit_list_of_test.h"
#include "modules_of_test.h"
#include "symbol/elf.h"
#include "symbol/jit_objects.h"
#include "symbol/symbolizer.h"

/* An object of one function in one section, as a compiler makes it. */
struct object {
    Elf64_Ehdr header;
    Elf64_Shdr sections[4]; /* none, code, symbols, their names */
    Elf64_Sym symbols[2];
    char names[64];
};

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

static void make(struct object *object, uintptr_t address, uint64_t offset, uint64_t size,
                 const char *name)
{
    *object = (struct object){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
                   .e_type = ET_REL,
                   .e_machine = MACHINE,
                   .e_shoff = offsetof(struct object, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 4},
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_type = SHT_NOBITS, .sh_addr = address, .sh_size = offset + size},
                     {.sh_type = SHT_SYMTAB,
                      .sh_offset = offsetof(struct object, symbols),
                      .sh_size = sizeof object->symbols,
                      .sh_link = 3},
                     {.sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct object, names),
                      .sh_size = sizeof object->names}},
        .symbols = {{0},
                    {.st_name = 1,
                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                     .st_shndx = 1,
                     .st_value = offset,
                     .st_size = size}}};
    strncpy(object->names + 1, name, sizeof object->names - 2);
}

static void add(struct jit_entry *entry, const struct object *object)
{
    *entry = (struct jit_entry){
        .next = __jit_debug_descriptor.first, .object = object, .size = sizeof *object};
    __jit_debug_descriptor.first = entry;
}

/* ---- the map: this program ---- */

static struct module program;
static char path[PATH_MAX];
static const struct module *const modules[] = {&program};
static const struct module_map map = {.count = 1, .serial = 1, .modules = modules};
static struct jit_objects objects;
static struct budget budget;

static int begin(void **state)
{
    (void)state;
    budget_init(&budget, 1 << 20);
    jit_objects_init(&objects, &budget);
    __jit_debug_descriptor.first = NULL;
    __jit_debug_descriptor.version = 1;
    return module_of((const void *)(uintptr_t)make, &program, path) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    jit_objects_free(&objects);
    return budget_used(&budget) == 0 ? 0 : -1;
}

static void assert_name(uintptr_t address, const char *expected)
{
    const char *name = jit_objects_find(&objects, &map, address);
    if (expected == NULL)
        assert_null(name);
    else
        assert_string_equal(name != NULL ? name : "(none)", expected);
}

static void what_is_registered_has_its_name(void **state)
{
    (void)state;
    struct object object;
    struct jit_entry entry;
    assert_name(0x5000, NULL);
    make(&object, 0x4000, 0x800, 0x900, "compiled");
    add(&entry, &object);
    assert_name(0x4800, "compiled");
    assert_name(0x50ff, "compiled");
    assert_name(0x47ff, NULL);
    assert_name(0x5100, NULL);
}

static void of_code_that_is_used_again_the_later_name_counts(void **state)
{
    (void)state;
    struct object object[3];
    struct jit_entry entry[3];
    make(&object[0], 0x4000, 0, 0x1000, "first");
    make(&object[1], 0x4000, 0x100, 0x200, "within");
    make(&object[2], 0x4000, 0, 0x1000, "again");
    add(&entry[0], &object[0]);
    assert_name(0x4180, "first");
    add(&entry[1], &object[1]);
    assert_name(0x4180, "within");
    assert_name(0x4300, "first");
    add(&entry[2], &object[2]);
    assert_name(0x4180, "again");
}

/* The newest of before is gone: all that is there is read anew. */
static void what_is_registered_no_more_is_forgotten(void **state)
{
    (void)state;
    struct object object[3];
    struct jit_entry entry[3];
    make(&object[0], 0x4000, 0, 0x100, "stays");
    make(&object[1], 0x5000, 0, 0x100, "goes");
    make(&object[2], 0x6000, 0, 0x100, "comes");
    add(&entry[0], &object[0]);
    add(&entry[1], &object[1]);
    assert_name(0x5000, "goes");
    __jit_debug_descriptor.first = &entry[0];
    add(&entry[2], &object[2]);
    assert_name(0x6000, "comes");
    assert_name(0x4000, "stays");
    assert_name(0x5000, NULL);
}

static void a_list_that_makes_no_sense_does_no_harm(void **state)
{
    (void)state;
    struct object good, bad;
    struct jit_entry entry[4];
    make(&good, 0x4000, 0, 0x100, "good");
    add(&entry[0], &good);
    add(&entry[1], (const struct object *)8); /* memory that is not there */
    make(&bad, 0x5000, 0, 0x100, "bad");
    add(&entry[2], &bad);
    entry[2].size = UINT64_MAX;
    assert_name(0x4010, "good");
    assert_name(0x5010, NULL);
    entry[0].next = &entry[2]; /* a circle */
    make(&bad, 0x5000, 0, 0x100, "bad");
    add(&entry[3], &bad);
    assert_name(0x4010, "good");
    entry[3].next = (struct jit_entry *)8;
    __jit_debug_descriptor.first = &entry[3];
    assert_name(0x7000, NULL);
    __jit_debug_descriptor.first = (struct jit_entry *)8;
    assert_name(0x7000, NULL);
    __jit_debug_descriptor.version = 2;
    assert_name(0x7000, NULL);
}

/* Each byte of an object is damaged once. */
static void a_damaged_object_does_no_harm(void **state)
{
    (void)state;
    struct object object;
    struct jit_entry entry[2];
    for (size_t at = 0; at < sizeof object; at++) {
        make(&object, 0x4000, 0, 0x100, "damaged");
        ((unsigned char *)&object)[at] ^= 0xff;
        __jit_debug_descriptor.first = NULL;
        add(&entry[at % 2], &object);
        (void)jit_objects_find(&objects, &map, 0x4000);
    }
    make(&object, 0x4000, 0, 0x100, "whole");
    __jit_debug_descriptor.first = NULL;
    add(&entry[sizeof object % 2], &object);
    assert_name(0x4000, "whole");
}

static void past_the_budget_later_functions_are_not_known(void **state)
{
    (void)state;
    static struct object object[4096];
    static struct jit_entry entry[4096];
    for (size_t i = 0; i < 4096; i++) {
        make(&object[i], 0x100000 + i * 0x1000, 0, 0x1000, "one_of_many_functions");
        add(&entry[i], &object[i]);
    }
    budget.limit = 64 << 10;
    assert_name(0x100000, "one_of_many_functions");
    assert_name(0x100000 + 4095 * 0x1000, NULL);
    assert_true(budget_used(&budget) <= budget.limit);
}

/* As numba calls its functions, and what wraps them. */
static void names_are_readable_and_without_hashes(void **state)
{
    static const char *const names[][2] = {
        {"_ZN8__main__5outerB2v1B4hashEx", "__main__::outer(long long)"},
        {"cfunc._ZN8__main__5outerB2v1Ex", "cfunc.__main__::outer(long long)"},
        {"entry._Z", "entry._Z"},
        {"nrt_incref", "nrt_incref"},
    };
    enum { NAMES = sizeof names / sizeof *names };
    struct object object[NAMES];
    struct jit_entry entry[NAMES];
    struct symbolizer *symbolizer = symbolizer_new(&budget);
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        struct symbol symbol = {.count = 1};
        make(&object[i], 0x4000 + i * 0x1000, 0, 0x1000, names[i][0]);
        add(&entry[i], &object[i]);
        symbolizer_add_registered(symbolizer, &map, NULL, 0x4000 + i * 0x1000, &symbol);
        assert_string_equal(symbol.lines[0].name, names[i][1]);
    }
    symbolizer_free(symbolizer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_registered_has_its_name),
        TEST(of_code_that_is_used_again_the_later_name_counts),
        TEST(what_is_registered_no_more_is_forgotten),
        TEST(a_list_that_makes_no_sense_does_no_harm),
        TEST(a_damaged_object_does_no_harm),
        TEST(names_are_readable_and_without_hashes),
        TEST(past_the_budget_later_functions_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
