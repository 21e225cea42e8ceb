/* The module snapshot: what it finds, what it shares, when it lets go. */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "unwind/entries.h"
#include "unwind/modules.h"
#include "unwind/table.h"
#include "compile_all.h"

static struct modules_reader reader;

static struct modules_reader *readers(void *closure, size_t index)
{
    (void)closure;
    return index == 0 ? &reader : NULL;
}

static struct modules *refreshed(struct budget *budget)
{
    struct modules *modules = modules_new(budget);
    assert_non_null(modules);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    compile_all(modules);
    return modules;
}

static const struct module *at(const struct modules *modules, const void *address)
{
    return module_find(modules_current(modules), (uintptr_t)address);
}

static void *open_plugin(void)
{
    void *plugin = dlopen(PLUGIN, RTLD_NOW);
    if (!plugin)
        fail_msg("%s", dlerror());
    return plugin;
}

static void program_libraries_and_vdso_have_tables(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    const struct module *program = at(modules, (const void *)(uintptr_t)open_plugin);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    const struct module *vdso = at(modules, (const void *)getauxval(AT_SYSINFO_EHDR));
    assert_non_null(program);
    assert_non_null(module_table(program, (uintptr_t)open_plugin));
    assert_non_null(strstr(program->path, "unwind_modules_test"));
    assert_non_null(libc);
    assert_non_null(module_table(libc, (uintptr_t)gnu_get_libc_version));
    assert_non_null(strstr(libc->path, "libc.so"));
    assert_non_null(vdso);
    assert_non_null(module_table(vdso, vdso->start));
    assert_string_equal(vdso->path, "[vdso]");
    assert_int_equal(modules_without_table(modules), 0);
    modules_free(modules);
}

static void only_parts_that_were_met_are_compiled(void **state)
{
    (void)state;
    uintptr_t met = (uintptr_t)gnu_get_libc_version;
    struct modules *modules = modules_new(NULL);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    const struct module *program = at(modules, (const void *)(uintptr_t)open_plugin);
    assert_false(modules_compile(modules));
    assert_false(module_compiled(libc));
    module_meet(libc, met);
    assert_false(modules_compile(modules)); /* that was all */
    assert_non_null(module_table(libc, met));
    assert_non_null(unwind_table_find(module_table(libc, met), met));
    size_t compiled = 0;
    for (uintptr_t pc = libc->start; pc < libc->limit; pc += 1u << libc->part_shift)
        compiled += module_table(libc, pc) != NULL;
    assert_int_equal(compiled, 1);
    assert_false(module_compiled(program));
    module_meet(libc, met); /* again */
    assert_false(modules_compile(modules));
    meet_all(libc);
    assert_true(modules_compile(modules)); /* libc has more parts than one slice takes */
    modules_free(modules);
}

/* Its search table has been fetched, then the module goes: that is no code without rules. */
static void entries_that_are_gone_are_told_from_none(void **state)
{
    (void)state;
    enum { SIZE = 1 << 16 };
    unsigned char *memory =
        mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory, SIZE / 2, PROT_READ | PROT_WRITE), 0);
    const struct cfi_pair pair = {.pc = -SIZE, .entry = SIZE / 2 + 16};
    memcpy(memory + 16, &pair, sizeof(pair));
    const struct mapped_unwind mapped = {.start = (uintptr_t)memory,
                                         .limit = (uintptr_t)memory + SIZE,
                                         .base = (uintptr_t)memory,
                                         .pairs = (uintptr_t)memory + 16,
                                         .count = 1};
    static struct entries entries;
    struct cfi_entry entry;
    entries_open(&entries, &mapped);
    assert_int_equal(entries_seek(&entries, (uintptr_t)memory), 0);
    assert_int_equal(entries_next(&entries, (uintptr_t)memory, &entry), -EFAULT);
    assert_int_equal(mprotect(memory, SIZE, PROT_READ), 0); /* there, but zeros: nonsense */
    entries_open(&entries, &mapped);
    assert_int_equal(entries_seek(&entries, (uintptr_t)memory), 0);
    assert_int_equal(entries_next(&entries, (uintptr_t)memory, &entry), 0);
    munmap(memory, SIZE);
}

static void module_may_go_while_its_table_is_being_compiled(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    struct modules *modules = modules_new(&budget);
    void *plugin = open_plugin();
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    meet_all(at(modules, (const void *)(uintptr_t)gnu_get_libc_version));
    assert_true(modules_compile(modules)); /* libc has begun */
    meet_all(at(modules, dlsym(plugin, "plugin_call")));
    dlclose(plugin); /* before its turn */
    while (modules_compile(modules))
        ;
    assert_int_equal(modules_without_table(modules), 1);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    assert_int_equal(modules_without_table(modules), 0);
    meet_all(at(modules, (const void *)(uintptr_t)open_plugin));
    modules_compile(modules);
    modules_free(modules); /* perhaps amid a module */
    assert_int_equal(budget_used(&budget), 0);
}

static void check_look_up(const struct module *module, uintptr_t pc)
{
    static struct mapped_scratch scratch;
    const struct unwind_rule *rule = unwind_table_find(module_table(module, pc), pc);
    struct unwind_rule found;
    assert_int_equal(mapped_find(&module->mapped, &scratch, pc, &found), rule != NULL);
    if (rule)
        assert_memory_equal(rule, &found, sizeof(*rule));
}

static void check_look_ups(const struct module *libc)
{
    size_t part = (size_t)1 << libc->part_shift;
    size_t rows = 0;
    for (uintptr_t pc = libc->start; pc < libc->limit; pc += part) {
        const struct unwind_table *table = module_table(libc, pc);
        rows += table->rows;
        for (size_t i = 0; i < table->rows; i++)
            check_look_up(libc, table->start + table->offsets[i]);
        check_look_up(libc, table->start + table->span - 1);
    }
    assert_true(rows > 10000);
}

static void look_ups_agree_with_the_table_in_every_row(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    assert_null(atomic_load(&libc->mapped.pivots));
    check_look_ups(libc);
    assert_int_equal(modules_refresh(modules, readers, NULL), 0);
    assert_non_null(atomic_load(&libc->mapped.pivots));
    check_look_ups(libc);
    modules_free(modules);
}

static void look_ups_in_a_mapping_that_is_gone_find_nothing(void **state)
{
    (void)state;
    static struct mapped_scratch scratch;
    struct modules *modules = modules_new(NULL);
    void *plugin = open_plugin();
    uintptr_t function = (uintptr_t)dlsym(plugin, "plugin_call");
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    const struct module *module = at(modules, (const void *)function);
    struct unwind_rule rule;
    assert_true(mapped_find(&module->mapped, &scratch, function, &rule));
    dlclose(plugin);
    errno = 77;
    assert_false(mapped_find(&module->mapped, &scratch, function, &rule));
    assert_int_equal(errno, 77);
    modules_free(modules);
}

static void modules_are_sorted_and_apart(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    const struct module_map *map = modules_current(modules);
    for (size_t i = 0; i < map->count; i++) {
        assert_true(map->modules[i]->start < map->modules[i]->limit);
        assert_int_equal(map->starts[i], map->modules[i]->start);
        if (i > 0)
            assert_true(map->modules[i - 1]->limit <= map->modules[i]->start);
        assert_ptr_equal(module_find(map, map->modules[i]->limit - 1), map->modules[i]);
    }
    assert_null(module_find(map, 1));
    assert_null(module_find(map, UINTPTR_MAX));
    modules_free(modules);
}

static void nothing_is_published_when_nothing_changed(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    const struct module_map *before = modules_current(modules);
    assert_int_equal(modules_refresh(modules, readers, NULL), 0);
    assert_ptr_equal(modules_current(modules), before);
    modules_free(modules);
}

static void library_comes_and_goes_while_others_stay_the_same(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    void *plugin = open_plugin();
    void *function = dlsym(plugin, "plugin_call");
    assert_null(at(modules, function));
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    assert_non_null(at(modules, function));
    assert_true(at(modules, function)->mapped.count > 0);
    assert_false(module_compiled(at(modules, function)));
    compile_all(modules);
    assert_non_null(module_table(at(modules, function), (uintptr_t)function));
    assert_ptr_equal(at(modules, (const void *)(uintptr_t)gnu_get_libc_version), libc);
    dlclose(plugin);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    assert_null(at(modules, function));
    modules_free(modules);
}

static void library_loaded_again_is_another_module(void **state)
{
    (void)state;
    struct modules *modules = modules_new(NULL);
    uint64_t serials[2];
    for (size_t i = 0; i < 2; i++) {
        void *plugin = open_plugin();
        assert_int_equal(modules_refresh(modules, readers, NULL), 1);
        serials[i] = at(modules, dlsym(plugin, "plugin_call"))->serial;
        dlclose(plugin);
        assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    }
    assert_true(serials[1] > serials[0]);
    modules_free(modules);
}

static void library_loaded_by_a_relative_path_has_its_whole_path(void **state)
{
    (void)state;
    char before[4096], folder[4096], relative[4096], whole[4096];
    const char *name = strrchr(PLUGIN, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - PLUGIN), PLUGIN);
    snprintf(relative, sizeof relative, "./%s", name);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    void *plugin = dlopen(relative, RTLD_NOW);
    assert_int_equal(chdir(before), 0); /* where it is not */
    assert_non_null(plugin);
    struct modules *modules = refreshed(NULL);
    const struct module *module = at(modules, dlsym(plugin, "plugin_call"));
    assert_non_null(module);
    assert_non_null(realpath(PLUGIN, whole));
    assert_string_equal(module->path, whole);
    modules_free(modules);
    dlclose(plugin);
}

static void snapshot_lives_while_a_reader_holds_it(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    void *plugin = open_plugin();
    uintptr_t function = (uintptr_t)dlsym(plugin, "plugin_call");
    struct modules *modules = refreshed(&budget);
    const struct module_map *held = modules_enter(modules, &reader);
    dlclose(plugin);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    size_t used = budget_used(&budget);
    const struct module *module = module_find(held, function);
    assert_non_null(module);
    assert_non_null(unwind_table_find(module_table(module, function), function));
    modules_leave(&reader);
    assert_int_equal(modules_refresh(modules, readers, NULL), 0);
    assert_true(budget_used(&budget) < used);
    modules_free(modules);
}

static void budget_gets_every_byte_back(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 32 << 20);
    struct modules *modules = refreshed(&budget);
    assert_true(budget_used(&budget) > 50000);
    modules_free(modules);
    assert_int_equal(budget_used(&budget), 0);
}

static void
code_for_which_the_budget_has_no_room_is_there_without_table_and_counted(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 300000); /* half of it is less than libc's tables */
    struct modules *modules = refreshed(&budget);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    assert_non_null(libc);
    assert_null(module_table(libc, libc->limit - 1));
    uintptr_t program = (uintptr_t)open_plugin;
    assert_non_null(module_table(at(modules, (const void *)program), program));
    assert_true(budget_used(&budget) <= 150000);
    assert_true(modules_without_table(modules) >= 1);
    modules_free(modules);
}

static void code_without_a_file_is_found_after_a_miss(void **state)
{
    (void)state;
    struct modules *modules = refreshed(NULL);
    void *code = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(code != MAP_FAILED);
    assert_int_equal(modules_refresh(modules, readers, NULL), 0);
    modules_miss(modules);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    const struct module *module = at(modules, code);
    assert_non_null(module);
    assert_string_equal(module->path, "");
    assert_false(module_compiled(module));
    assert_int_equal(modules_without_table(modules), 0);
    modules_miss(modules); /* again, but within the same second */
    munmap(code, 8192);
    assert_int_equal(modules_refresh(modules, readers, NULL), 0);
    modules_free(modules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_libraries_and_vdso_have_tables),
        cmocka_unit_test(only_parts_that_were_met_are_compiled),
        cmocka_unit_test(entries_that_are_gone_are_told_from_none),
        cmocka_unit_test(module_may_go_while_its_table_is_being_compiled),
        cmocka_unit_test(look_ups_agree_with_the_table_in_every_row),
        cmocka_unit_test(look_ups_in_a_mapping_that_is_gone_find_nothing),
        cmocka_unit_test(modules_are_sorted_and_apart),
        cmocka_unit_test(nothing_is_published_when_nothing_changed),
        cmocka_unit_test(library_comes_and_goes_while_others_stay_the_same),
        cmocka_unit_test(library_loaded_again_is_another_module),
        cmocka_unit_test(library_loaded_by_a_relative_path_has_its_whole_path),
        cmocka_unit_test(snapshot_lives_while_a_reader_holds_it),
        cmocka_unit_test(budget_gets_every_byte_back),
        cmocka_unit_test(
            code_for_which_the_budget_has_no_room_is_there_without_table_and_counted),
        cmocka_unit_test(code_without_a_file_is_found_after_a_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
