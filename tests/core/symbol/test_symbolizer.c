/* Naming the code of this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <cmocka.h>

#include "modules_of_test.h"
#include "look_up.h"

static struct budget budget;
static struct symbolizer *symbolizer;

static int set_up(void **state)
{
    (void)state;
    budget_init(&budget, 0);
    symbolizer = symbolizer_new(&budget);
    return symbolizer ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    symbolizer_free(symbolizer);
    return budget_used(&budget) == 0 ? 0 : -1; /* everything was given back */
}

static const char *name_of(const void *address)
{
    static struct symbol symbol;
    struct module module;
    char path[PATH_MAX];
    if (!module_of(address, &module, path))
        return "no module";
    look_up(symbolizer, &module, (uintptr_t)address, &symbol);
    return symbol.lines[symbol.count - 1].name;
}

__attribute__((noinline)) static int a_function_of_this_test(int x)
{
    __asm__ volatile("");
    return x + 1;
}

/* By handle: under a sanitizer some of the names in scope are not libc's. */
static char *in_libc(const char *name)
{
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    char *function = dlsym(libc, name);
    dlclose(libc);
    return function;
}

static void exported_functions_of_libc_have_the_names_people_use(void **state)
{
    static const char *const names[] = {
        "qsort", "malloc", "fwrite", "write", "printf", "nanosleep", "pthread_mutex_lock"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(name_of(in_libc(names[i]) + 1), names[i]);
}

static void functions_of_the_executable_are_named(void **state)
{
    (void)state;
    assert_string_equal(name_of((char *)&a_function_of_this_test + 1),
                        "a_function_of_this_test");
}

static void the_vdso_has_names_too(void **state)
{
    void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
    (void)state;
    if (!vdso) {
        print_message("skipped: this kernel maps no vDSO\n");
        skip();
    }
    void *code = dlsym(vdso, "__vdso_clock_gettime");
    assert_non_null(code);
    const char *name = name_of((char *)code + 1);
    assert_non_null(strstr(name, "clock_gettime"));
    dlclose(vdso);
}

static void an_address_of_no_module_is_unknown(void **state)
{
    struct symbol symbol;
    (void)state;
    look_up(symbolizer, NULL, 4096, &symbol);
    assert_int_equal(symbol.count, 1);
    assert_string_equal(symbol.lines[0].name, "[unknown]");
    assert_null(symbol.lines[0].linkage);
}

static void generated_code_is_named_by_the_perf_map(void **state)
{
    char path[64];
    struct symbol symbol;
    struct module module = {.start = 0x1000, .limit = 0x9000, .path = "", .serial = 900};
    (void)state;
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    look_up(symbolizer, &module, 0x1010, &symbol);
    assert_string_equal(symbol.lines[0].name, "[anonymous]");
    symbolizer_rest(symbolizer);

    FILE *map = fopen(path, "w");
    fprintf(map,
            "1000 100 old name\nnonsense\n2000 20 LazyCompile:~f /a b.js:3\n1000 80 new\n");
    fprintf(map, "3000 10 half"); /* a line that is still being written */
    fflush(map);
    look_up(symbolizer, &module, 0x1010, &symbol);
    assert_string_equal(symbol.lines[0].name, "new"); /* the later entry counts */
    look_up(symbolizer, &module, 0x1090, &symbol);
    assert_string_equal(symbol.lines[0].name, "old name");
    look_up(symbolizer, &module, 0x2001, &symbol);
    assert_string_equal(symbol.lines[0].name, "LazyCompile:~f /a b.js:3");
    look_up(symbolizer, &module, 0x2020, &symbol);
    assert_string_equal(symbol.lines[0].name, "[anonymous]");

    fprintf(map, "_name\n");
    fclose(map);
    symbolizer_rest(symbolizer);
    look_up(symbolizer, &module, 0x3004, &symbol);
    assert_string_equal(symbol.lines[0].name, "half_name");
    unlink(path);
}

/* A record of a jitdump: one function of 0x40 bytes, with as many bytes of code. */
static void write_load(FILE *dump, uint64_t start, const char *name)
{
    const char code[0x40] = {0};
    struct {
        uint32_t id, size;
        uint64_t time;
        uint32_t pid, tid;
        uint64_t unused, start, code_size, index;
    } load = {.start = start, .code_size = sizeof code};
    load.size = (uint32_t)(sizeof load + strlen(name) + 1 + sizeof code);
    fwrite(&load, sizeof load, 1, dump);
    fwrite(name, strlen(name) + 1, 1, dump);
    fwrite(code, sizeof code, 1, dump);
    fflush(dump);
}

static void generated_code_is_named_by_a_jitdump_that_is_mapped(void **state)
{
    char directory[] = "/tmp/cprof-jitdump-XXXXXX", path[64];
    const uint32_t header[10] = {0x4A695444, 1, sizeof header};
    const struct {
        uint32_t id, size;
        uint64_t time, body;
    } other = {.id = 2, .size = sizeof other};
    struct symbol symbol;
    struct module module = {.start = 0x1000, .limit = 0x9000, .path = "", .serial = 901};
    (void)state;
    symbolizer_rest(symbolizer); /* the last test's file is gone */
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/jit-%d.dump", directory, (int)getpid());
    struct module dump_module = {.start = 0xa000, .limit = 0xb000, .path = path, .serial = 902};
    const struct module *list[] = {&module, &dump_module};
    symbolizer_keep(symbolizer, &(struct module_map){.count = 2, .modules = list});
    FILE *dump = fopen(path, "w");
    fwrite(header, sizeof header, 1, dump);
    write_load(dump, 0x1000, "first");
    fwrite(&other, sizeof other, 1, dump);
    write_load(dump, 0x2000, "module.function[abi:v1]");
    fwrite(&other, 8, 1, dump); /* a record that is still being written */
    fflush(dump);
    look_up(symbolizer, &module, 0x1010, &symbol);
    assert_string_equal(symbol.lines[0].name, "first");
    look_up(symbolizer, &module, 0x203f, &symbol);
    assert_string_equal(symbol.lines[0].name, "module.function[abi:v1]");
    look_up(symbolizer, &module, 0x2040, &symbol);
    assert_string_equal(symbol.lines[0].name, "[anonymous]");

    fwrite((const char *)&other + 8, sizeof other - 8, 1, dump);
    write_load(dump, 0x1000, "second");
    fclose(dump);
    symbolizer_rest(symbolizer);
    look_up(symbolizer, &module, 0x1010, &symbol);
    assert_string_equal(symbol.lines[0].name, "second"); /* the later one counts */

    dump = fopen(path, "r+"); /* what follows makes no sense */
    fseek(dump, 0, SEEK_END);
    for (int i = 0; i < 100; i++)
        fwrite("\0\0\0\0\1", 5, 1, dump);
    fclose(dump);
    symbolizer_rest(symbolizer);
    look_up(symbolizer, &module, 0x1010, &symbol);
    assert_string_equal(symbol.lines[0].name, "second");
    unlink(path);
    rmdir(directory);
}

static void identity_is_the_build_id_and_the_hash_of_the_file(void **state)
{
    struct module module;
    char path[PATH_MAX], command[4 * PATH_MAX], expected[129] = "";
    (void)state;
    assert_true(module_of(in_libc("qsort"), &module, path));
    const struct module_identity *identity = symbolizer_identity(symbolizer, &module);
    snprintf(command, sizeof command, "readelf -n '%s' | sed -n 's/.*Build ID: //p'", path);
    FILE *readelf = popen(command, "r");
    assert_non_null(fgets(expected, sizeof expected, readelf));
    pclose(readelf);
    expected[strcspn(expected, "\n")] = '\0';
    assert_string_equal(identity->build_id, expected);

    /* The definition, spelled in the shell. */
    snprintf(command, sizeof command,
             "{ head -c 4096 '%s'; tail -c 4096 '%s'; printf '%%016x' $(stat -c %%s '%s') |"
             " sed 's/../\\\\x&/g' | xargs -0 printf '%%b'; } | sha256sum | head -c 32",
             path, path, path);
    FILE *shell = popen(command, "r");
    assert_non_null(fgets(expected, sizeof expected, shell));
    pclose(shell);
    assert_string_equal(identity->htlhash, expected);
    assert_ptr_equal(identity, symbolizer_identity(symbolizer, &module));
}

static void without_budget_code_is_named_by_its_module(void **state)
{
    struct budget small;
    struct symbol symbol;
    struct module module;
    char path[PATH_MAX];
    (void)state;
    budget_init(&small, 12 * 1024);
    struct symbolizer *poor = symbolizer_new(&small);
    assert_true(module_of(in_libc("qsort"), &module, path));
    look_up(poor, &module, (uintptr_t)in_libc("qsort") + 1, &symbol);
    assert_int_equal(symbol.count, 1);
    assert_memory_equal(symbol.lines[0].name, "libc.so.6+0x", 12);
    symbolizer_free(poor);
    assert_int_equal(budget_used(&small), 0);

    budget_init(&small, 1);
    poor = symbolizer_new(&small);
    look_up(poor, &module, (uintptr_t)in_libc("qsort") + 1, &symbol);
    assert_string_equal(symbol.lines[0].name, "[unknown]");
    symbolizer_free(poor);
}

static void a_forgotten_module_gives_its_memory_back(void **state)
{
    struct module module;
    struct symbol symbol;
    char path[PATH_MAX];
    (void)state;
    size_t before = budget_used(&budget);
    assert_true(module_of(in_libc("qsort"), &module, path));
    module.serial = 12345;
    look_up(symbolizer, &module, (uintptr_t)in_libc("qsort") + 1, &symbol);
    size_t held = budget_used(&budget);
    assert_true(held > before);
    symbolizer_forget(symbolizer, module.serial);
    assert_true(budget_used(&budget) < before + 4096);
    symbolizer_forget(symbolizer, 999999); /* never seen: fine */
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void no_file_stays_open_at_rest(void **state)
{
    (void)state;
    symbolizer_rest(symbolizer);
    size_t before = open_descriptors();
    name_of(in_libc("qsort") + 1);
    name_of((char *)&a_function_of_this_test + 1);
    assert_true(open_descriptors() <= before + 4);
    symbolizer_rest(symbolizer);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exported_functions_of_libc_have_the_names_people_use),
        cmocka_unit_test(functions_of_the_executable_are_named),
        cmocka_unit_test(the_vdso_has_names_too),
        cmocka_unit_test(an_address_of_no_module_is_unknown),
        cmocka_unit_test(generated_code_is_named_by_the_perf_map),
        cmocka_unit_test(generated_code_is_named_by_a_jitdump_that_is_mapped),
        cmocka_unit_test(identity_is_the_build_id_and_the_hash_of_the_file),
        cmocka_unit_test(without_budget_code_is_named_by_its_module),
        cmocka_unit_test(a_forgotten_module_gives_its_memory_back),
        cmocka_unit_test(no_file_stays_open_at_rest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
