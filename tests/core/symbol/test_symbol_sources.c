/* Where names come from: debug files, PLT stubs, unwind tables; and files that have changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "modules_of_test.h"
#include "symbol/dwarf_unit.h"
#include "look_up.h"

/* One way to build and strip subjects/subject.c, and the library it gave. */
struct library {
    void *handle;
    struct module module;
    char path[PATH_MAX];
    uintptr_t exported, hidden;
};

static char folder[] = "/tmp/cprof-symbols-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[sizeof folder + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Builds NAME.so with a shell script that sees $out and $src, and loads it. */
static void build(const char *name, const char *script, struct library *library)
{
    char command[4096], path[PATH_MAX];
    snprintf(command, sizeof command,
             "cd %s && src=%s/subject.c out=%s.so && set -e && exec 2>&1 && { %s ; }", folder,
             SUBJECTS, name, script);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/%s.so", folder, name);
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        fail_msg("%s", dlerror());
    library->exported = (uintptr_t)dlsym(library->handle, "subject_exported");
    uintptr_t (*hidden)(void) = (uintptr_t(*)(void))dlsym(library->handle, "subject_hidden");
    library->hidden = hidden();
    assert_true(module_of((void *)library->exported, &library->module, library->path));
}

static void assert_hidden_is(const struct library *library, const char *name, bool with_line)
{
    struct budget budget;
    struct symbol symbol;
    budget_init(&budget, 0);
    struct symbolizer *symbolizer = symbolizer_new(&budget);
    symbolizer_set_debug_root(symbolizer, folder);
    look_up(symbolizer, &library->module, library->hidden + 1, &symbol);
    assert_string_equal(symbol.lines[symbol.count - 1].name, name);
    if (with_line)
        assert_non_null(strstr(symbol.lines[0].file, "subjects/subject.c"));
    else
        assert_null(symbol.lines[0].file);
    symbolizer_rest(symbolizer); /* and again, from what was kept */
    look_up(symbolizer, &library->module, library->hidden + 1, &symbol);
    assert_string_equal(symbol.lines[symbol.count - 1].name, name);
    assert_int_equal(symbol.lines[0].file != NULL, with_line);
    symbolizer_free(symbolizer);
    assert_int_equal(budget_used(&budget), 0);
}

#define COMPILE "cc -O1 -fPIC -shared $flags $src -o $out"
#define SPLIT COMPILE " -g; objcopy --only-keep-debug $out $out.debug; strip $out; "

static void static_functions_are_named_from_symtab(void **state)
{
    struct library library;
    (void)state;
    build("plain", COMPILE, &library);
    assert_hidden_is(&library, "hidden", false);
    dlclose(library.handle);
}

static void lines_come_from_the_file_itself(void **state)
{
    struct library library;
    (void)state;
    build("lines", COMPILE " -g", &library);
    assert_hidden_is(&library, "hidden", true);
    dlclose(library.handle);
}

/* As Cython makes them: the body, and around it what Python calls. */
static void the_parts_of_one_function_of_cython_are_one_frame(void **state)
{
    struct library library;
    struct symbol symbol;
    bool in_body = false;
    (void)state;
    build("cython",
          "flags='-g -Dinlined=__pyx_pf_4shop_total -Dhidden=__pyx_pw_4shop_1total'; " COMPILE,
          &library);
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    for (uintptr_t at = library.hidden; at < library.hidden + 12; at++) {
        look_up(symbolizer, &library.module, at, &symbol);
        assert_int_equal(symbol.count, 1);
        assert_string_equal(symbol.lines[0].name, "shop.total");
        in_body |= symbol.lines[0].line < 10;
    }
    assert_true(in_body); /* the inner one's line */
    symbolizer_free(symbolizer);
    dlclose(library.handle);
}

static void a_debug_file_is_found_by_its_link_beside_the_library(void **state)
{
    struct library library;
    (void)state;
    build("beside", SPLIT "objcopy --add-gnu-debuglink=$out.debug $out", &library);
    assert_hidden_is(&library, "hidden", true);
    dlclose(library.handle);
}

static void a_debug_file_is_found_in_the_dot_debug_folder(void **state)
{
    struct library library;
    (void)state;
    build("dot",
          SPLIT "objcopy --add-gnu-debuglink=$out.debug $out; mkdir -p .debug;"
                " mv $out.debug .debug/",
          &library);
    assert_hidden_is(&library, "hidden", true);
    dlclose(library.handle);
}

static void a_debug_file_without_build_ids_must_have_the_right_checksum(void **state)
{
    struct library library;
    (void)state;
    build("crc",
          "flags=-Wl,--build-id=none; " SPLIT "objcopy --add-gnu-debuglink=$out.debug $out",
          &library);
    assert_hidden_is(&library, "hidden", true);
    dlclose(library.handle);
    build("badcrc",
          "flags=-Wl,--build-id=none; " SPLIT
          "objcopy --add-gnu-debuglink=$out.debug $out; echo >> $out.debug",
          &library);
    char expected[64];
    snprintf(expected, sizeof expected, "badcrc.so+0x%lx",
             (unsigned long)(library.hidden - library.module.bias));
    assert_hidden_is(&library, expected, false);
    dlclose(library.handle);
}

static void a_debug_file_is_found_by_build_id(void **state)
{
    struct library library;
    (void)state;
    build("byid",
          SPLIT
          "id=$(readelf -n $out | sed -n 's/.*Build ID: //p'); rest=${id#??};"
          " mkdir -p .build-id/${id%$rest}; mv $out.debug .build-id/${id%$rest}/$rest.debug",
          &library);
    assert_hidden_is(&library, "hidden", true);
    dlclose(library.handle);
}

static void a_debug_file_of_another_build_is_refused(void **state)
{
    struct library library;
    char expected[64];
    (void)state;
    build("other",
          "flags=-Wl,-soname,first; " SPLIT
          "cc -O2 -DOTHER -fPIC -shared -g -Wl,--build-id=sha1 -Wl,-soname,other $src -o "
          "wrong; objcopy --only-keep-debug wrong $out.debug;"
          " objcopy --add-gnu-debuglink=$out.debug $out",
          &library);
    snprintf(expected, sizeof expected, "other.so+0x%lx",
             (unsigned long)(library.hidden - library.module.bias));
    assert_hidden_is(&library, expected, false);
    dlclose(library.handle);
}

static void what_is_kept_of_closed_files_goes_after_a_while(void **state)
{
    struct library library;
    struct budget budget;
    struct symbol symbol;
    (void)state;
    build("kept", "flags=-g; " COMPILE, &library);
    budget_init(&budget, 0);
    struct symbolizer *symbolizer = symbolizer_new(&budget);
    symbolizer_lookup(symbolizer, &library.module, library.hidden + 1, &symbol);
    assert_false(symbol.has_source);
    assert_null(symbol.lines[0].file);
    symbolizer_add_source(symbolizer, &library.module, library.hidden + 1, &symbol);
    assert_non_null(symbol.lines[0].file);
    symbolizer_rest(symbolizer);
    size_t kept = budget_used(&budget), again[2];
    for (int batch = 0; batch < 2; batch++) {
        for (int i = 0; i < 300; i++)
            symbolizer_rest(symbolizer);
        assert_true(budget_used(&budget) < kept);
        look_up(symbolizer, &library.module, library.hidden + 1, &symbol);
        assert_non_null(symbol.lines[0].file);
        symbolizer_rest(symbolizer);
        again[batch] = budget_used(&budget);
    }
    assert_int_equal(again[1], again[0]); /* no more with every batch */
    assert_true(again[0] - kept <= sizeof(struct dwarf_outline));
    symbolizer_free(symbolizer);
    assert_int_equal(budget_used(&budget), 0);
    dlclose(library.handle);
}

static void all_of_a_nameless_function_has_one_name(void **state)
{
    struct library library;
    struct symbol symbol;
    char expected[64];
    (void)state;
    build("stripped", COMPILE "; strip $out", &library);
    snprintf(expected, sizeof expected, "stripped.so+0x%lx",
             (unsigned long)(library.hidden - library.module.bias));
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    for (uintptr_t pc = library.hidden; pc < library.hidden + 8; pc++) {
        look_up(symbolizer, &library.module, pc, &symbol);
        assert_string_equal(symbol.lines[0].name, expected);
        assert_null(symbol.lines[0].linkage);
        assert_int_equal(symbol.start, library.hidden);
    }
    symbolizer_free(symbolizer);
    dlclose(library.handle);
}

static void a_function_that_was_named_needs_its_file_no_more(void **state)
{
    static const char *const scripts[] = {COMPILE, COMPILE "; strip $out"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct library library;
        struct symbol first, other;
        build(i ? "nameless" : "named", scripts[i], &library);
        struct symbolizer *symbolizer = symbolizer_new(NULL);
        look_up(symbolizer, &library.module, library.hidden + 1, &first);
        symbolizer_rest(symbolizer);
        assert_int_equal(unlink(library.path), 0);
        look_up(symbolizer, &library.module, library.hidden + 2, &other);
        assert_string_equal(other.lines[0].name, first.lines[0].name);
        assert_ptr_equal(other.lines[0].linkage, first.lines[0].linkage);
        assert_int_equal(other.start, first.start);
        symbolizer_free(symbolizer);
        dlclose(library.handle);
    }
}

static void functions_within_others_have_their_own_names(void **state)
{
    struct library library;
    struct symbol symbol;
    (void)state;
    build("nested", COMPILE, &library);
    uintptr_t outer = (uintptr_t)dlsym(library.handle, "subject_outer");
    uintptr_t inner = (uintptr_t)dlsym(library.handle, "subject_inner"), size = inner - outer;
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    for (uintptr_t pc = outer; pc < inner + 2 * size; pc++) {
        look_up(symbolizer, &library.module, pc, &symbol);
        assert_string_equal(symbol.lines[0].name,
                            pc - inner < size ? "subject_inner" : "subject_outer");
    }
    symbolizer_free(symbolizer);
    dlclose(library.handle);
}

/* What was asked before does not change an address's name: the addresses of a module, one
 * symbolizer asked in their order and one here and there. */
static void assert_same_in_any_order(const struct library *library)
{
    const struct module *module = &library->module;
    struct symbolizer *in_order = symbolizer_new(NULL), *about = symbolizer_new(NULL);
    size_t count = module->limit - module->start, step = 100003; /* a prime */
    struct symbol symbol, same;
    for (size_t i = 0; i < count; i++)
        symbolizer_lookup(about, module, module->start + i * step % count, &symbol);
    for (size_t i = 0; i < count; i++) {
        symbolizer_lookup(in_order, module, module->start + i, &symbol);
        symbolizer_lookup(about, module, module->start + i, &same);
        if (strcmp(symbol.lines[0].name, same.lines[0].name) || symbol.start != same.start)
            fail_msg("%s+0x%zx: %s and %s", module->path, i, symbol.lines[0].name,
                     same.lines[0].name);
    }
    symbolizer_free(in_order);
    symbolizer_free(about);
}

/* For each script's library. */
static void check_builds(const char *name, const char *const *scripts, size_t count,
                         void (*check)(const struct library *library))
{
    for (size_t i = 0; i < count; i++) {
        struct library library;
        char numbered[64];
        snprintf(numbered, sizeof numbered, "%s%zu", name, i);
        build(numbered, scripts[i], &library);
        check(&library);
        dlclose(library.handle);
    }
}

static void names_do_not_hang_on_what_was_asked_before(void **state)
{
    static const char *const scripts[] = {COMPILE, COMPILE "; strip $out",
                                          COMPILE " -g; strip -g $out"};
    (void)state;
    check_builds("order", scripts, sizeof scripts / sizeof *scripts, assert_same_in_any_order);
}

/* Looks at every stub of the PLT; whether one of them has the name. */
static bool has_stub(const struct library *library, const char *name)
{
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    struct symbol symbol;
    bool found = false;
    for (uintptr_t pc = library->module.start; pc < library->exported && !found; pc += 4) {
        look_up(symbolizer, &library->module, pc, &symbol);
        found = !strcmp(symbol.lines[0].name, name);
    }
    symbolizer_free(symbolizer);
    return found;
}

static void assert_stubs_are_named(const struct library *library)
{
    assert_true(has_stub(library, "calloc@plt"));
    assert_true(has_stub(library, "free@plt"));
}

static void plt_stubs_are_named_after_their_target(void **state)
{
    static const char *const scripts[] = {
        "flags='-Wl,-z,lazy -fcf-protection=none'; " COMPILE,
        "flags='-Wl,-z,lazy -fcf-protection=full -Wl,-z,ibtplt'; " COMPILE,
        "flags='-Wl,-z,now'; " COMPILE "; strip $out",
    };
    (void)state;
    check_builds("plt", scripts, sizeof scripts / sizeof *scripts, assert_stubs_are_named);
}

static void a_file_that_was_replaced_names_nothing(void **state)
{
    struct library library;
    char expected[64], build_id[129], command[4096];
    (void)state;
    build("upgraded", COMPILE, &library);
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    strcpy(build_id, symbolizer_identity(symbolizer, &library.module)->build_id);
    symbolizer_free(symbolizer);
    assert_true(strlen(build_id) == 40);

    /* A package manager renames the new file over the old one. */
    snprintf(command, sizeof command,
             "cd %s && cc -O2 -g -fPIC -shared %s/subject.c -o new.so && mv new.so upgraded.so",
             folder, SUBJECTS);
    assert_int_equal(system(command), 0);
    snprintf(expected, sizeof expected, "upgraded.so+0x%lx",
             (unsigned long)(library.hidden + 1 - library.module.bias));
    assert_hidden_is(&library, expected, false);

    /* Its build id is still that of what runs. */
    symbolizer = symbolizer_new(NULL);
    const struct module_identity *identity = symbolizer_identity(symbolizer, &library.module);
    assert_string_equal(identity->build_id, build_id);
    assert_string_equal(identity->htlhash, "");
    symbolizer_free(symbolizer);
    dlclose(library.handle);
}

static void a_deleted_path_is_read_if_it_is_there_again(void **state)
{
    struct library library;
    (void)state;
    build("deleted", COMPILE, &library);
    strcat(library.path, " (deleted)");
    assert_hidden_is(&library, "hidden", false);
    dlclose(library.handle);
}

/* The last lookup's name is readable and its linkage name is as in the file. */
static void assert_named(const struct library *library, uintptr_t pc, const char *name)
{
    struct symbolizer *symbolizer = symbolizer_new(NULL);
    struct symbol symbol;
    look_up(symbolizer, &library->module, pc, &symbol);
    assert_string_equal(symbol.lines[symbol.count - 1].name, name);
    symbolizer_free(symbolizer);
}

/* The vaddr of a symbol, as nm has it. */
static uintptr_t address_in(const char *file, const char *pattern)
{
    char command[PATH_MAX + 128], line[64] = "";
    snprintf(command, sizeof command, "nm %s/%s | grep -E '%s' | head -n 1", folder, file,
             pattern);
    FILE *nm = popen(command, "r");
    if (!fgets(line, sizeof line, nm))
        line[0] = '\0';
    pclose(nm);
    return strtoul(line, NULL, 16);
}

static void load(const char *file, const char *function, struct library *library)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library->handle);
    assert_true(module_of(dlsym(library->handle, function), &library->module, library->path));
}

static void cxx_methods_are_demangled(void **state)
{
    struct library library;
    char command[4096];
    (void)state;
    snprintf(command, sizeof command,
             "cd %s && c++ -O1 -fPIC -shared %s/subject.cpp -o cxx.so 2>/dev/null", folder,
             SUBJECTS);
    if (system(command)) {
        print_message("skipped: no C++ compiler\n");
        skip();
    }
    load("cxx.so", "subject_cxx", &library);
    uintptr_t work = address_in("cxx.so", " [tT] _ZNK4shop4Cart4workEi$");
    assert_named(&library, library.module.bias + work + 1, "shop::Cart::work(int) const");
    dlclose(library.handle);
}

static void rust_functions_are_demangled(void **state)
{
    static const char *const manglings[] = {"legacy", "v0"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct library library;
        char command[4096];
        snprintf(
            command, sizeof command,
            "cd %s && RUSTC_BOOTSTRAP=1 rustc -O --crate-type cdylib --crate-name subject %s"
            " -C symbol-mangling-version=%s %s/subject.rs -o rust.so >/dev/null 2>&1",
            folder, i ? "" : "-Z unstable-options", manglings[i], SUBJECTS);
        if (system(command)) {
            print_message("skipped: no rustc that mangles %s\n", manglings[i]);
            continue;
        }
        load("rust.so", "subject_rust", &library);
        uintptr_t area = address_in("rust.so", " [tT] .*subject.*Square.*area");
        assert_true(area > 0);
        assert_named(&library, library.module.bias + area + 1,
                     "<subject::Square as subject::Area>::area");
        dlclose(library.handle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_functions_are_named_from_symtab),
        cmocka_unit_test(lines_come_from_the_file_itself),
        cmocka_unit_test(the_parts_of_one_function_of_cython_are_one_frame),
        cmocka_unit_test(a_debug_file_is_found_by_its_link_beside_the_library),
        cmocka_unit_test(a_debug_file_is_found_in_the_dot_debug_folder),
        cmocka_unit_test(a_debug_file_without_build_ids_must_have_the_right_checksum),
        cmocka_unit_test(a_debug_file_is_found_by_build_id),
        cmocka_unit_test(a_debug_file_of_another_build_is_refused),
        cmocka_unit_test(what_is_kept_of_closed_files_goes_after_a_while),
        cmocka_unit_test(all_of_a_nameless_function_has_one_name),
        cmocka_unit_test(a_function_that_was_named_needs_its_file_no_more),
        cmocka_unit_test(functions_within_others_have_their_own_names),
        cmocka_unit_test(names_do_not_hang_on_what_was_asked_before),
        cmocka_unit_test(plt_stubs_are_named_after_their_target),
        cmocka_unit_test(a_file_that_was_replaced_names_nothing),
        cmocka_unit_test(a_deleted_path_is_read_if_it_is_there_again),
        cmocka_unit_test(cxx_methods_are_demangled),
        cmocka_unit_test(rust_functions_are_demangled),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
