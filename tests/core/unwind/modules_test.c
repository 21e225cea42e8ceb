/* The module snapshot: what it finds, what it shares, when it lets go. */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <cmocka.h>

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
    assert_non_null(module_table(program));
    assert_non_null(strstr(program->path, "unwind_modules_test"));
    assert_non_null(libc);
    assert_non_null(module_table(libc));
    assert_non_null(strstr(libc->path, "libc.so"));
    assert_non_null(vdso);
    assert_non_null(module_table(vdso));
    assert_string_equal(vdso->path, "[vdso]");
    assert_int_equal(modules_without_table(modules), 0);
    modules_free(modules);
}

static void only_modules_that_were_met_are_compiled(void **state)
{
    (void)state;
    struct modules *modules = modules_new(NULL);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    const struct module *program = at(modules, (const void *)(uintptr_t)open_plugin);
    assert_false(modules_compile(modules));
    assert_null(module_table(libc));
    module_meet(libc);
    bool more = modules_compile(modules);
    assert_true(more); /* libc has more entries than one slice takes */
    assert_null(module_table(libc));
    while (modules_compile(modules))
        ;
    assert_non_null(module_table(libc));
    assert_null(module_table(program));
    modules_free(modules);
}

static void module_may_go_while_its_table_is_being_compiled(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    struct modules *modules = modules_new(&budget);
    void *plugin = open_plugin();
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    module_meet(at(modules, (const void *)(uintptr_t)gnu_get_libc_version));
    assert_true(modules_compile(modules)); /* libc has begun */
    module_meet(at(modules, dlsym(plugin, "plugin_call")));
    dlclose(plugin); /* before its turn */
    while (modules_compile(modules))
        ;
    assert_int_equal(modules_without_table(modules), 1);
    assert_int_equal(modules_refresh(modules, readers, NULL), 1);
    assert_int_equal(modules_without_table(modules), 0);
    module_meet(at(modules, (const void *)(uintptr_t)open_plugin));
    modules_compile(modules);
    modules_free(modules); /* perhaps amid a table */
    assert_int_equal(budget_used(&budget), 0);
}

static void check_look_ups(const struct module *libc)
{
    static struct mapped_scratch scratch;
    const struct unwind_table *table = module_table(libc);
    assert_true(table->rows > 10000);
    for (size_t i = 0; i < table->rows; i++) {
        uintptr_t pc = table->start + table->offsets[i];
        const struct unwind_rule *rule = unwind_table_find(table, pc);
        struct unwind_rule found;
        assert_int_equal(mapped_find(&libc->mapped, &scratch, pc, &found), rule != NULL);
        if (rule)
            assert_memory_equal(rule, &found, sizeof(*rule));
    }
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
    assert_null(module_table(at(modules, function)));
    compile_all(modules);
    assert_non_null(module_table(at(modules, function)));
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
    assert_non_null(unwind_table_find(module_table(module), function));
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

static void module_too_big_for_the_budget_is_there_without_table_and_counted(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 300000); /* a quarter is less than libc's table */
    struct modules *modules = refreshed(&budget);
    const struct module *libc = at(modules, (const void *)(uintptr_t)gnu_get_libc_version);
    assert_non_null(libc);
    assert_null(module_table(libc));
    assert_non_null(module_table(at(modules, (const void *)(uintptr_t)open_plugin)));
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
    assert_null(module_table(module));
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
        cmocka_unit_test(only_modules_that_were_met_are_compiled),
        cmocka_unit_test(module_may_go_while_its_table_is_being_compiled),
        cmocka_unit_test(look_ups_agree_with_the_table_in_every_row),
        cmocka_unit_test(look_ups_in_a_mapping_that_is_gone_find_nothing),
        cmocka_unit_test(modules_are_sorted_and_apart),
        cmocka_unit_test(nothing_is_published_when_nothing_changed),
        cmocka_unit_test(library_comes_and_goes_while_others_stay_the_same),
        cmocka_unit_test(library_loaded_again_is_another_module),
        cmocka_unit_test(snapshot_lives_while_a_reader_holds_it),
        cmocka_unit_test(budget_gets_every_byte_back),
        cmocka_unit_test(module_too_big_for_the_budget_is_there_without_table_and_counted),
        cmocka_unit_test(code_without_a_file_is_found_after_a_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
