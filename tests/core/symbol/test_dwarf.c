/*
 * Lines and inlined functions, compared with what llvm-symbolizer says of random addresses of
 * the same file (or addr2line, which is wrong about some files' names in DWARF 5, and so is
 * held to the line numbers only).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "symbol/dwarf.h"
#include "symbol/symtab.h"

#define ADDRESSES 300
#define MAX_LINES 64

static char folder[] = "/tmp/cprof-dwarf-XXXXXX";
static const char *judge; /* the command that prints the truth */
static bool judge_knows_files;

static int set_up(void **state)
{
    (void)state;
    if (!system("command -v llvm-symbolizer-14 >/dev/null"))
        judge = "llvm-symbolizer-14 --output-style=GNU -f -i -a";
    else if (!system("command -v llvm-symbolizer >/dev/null"))
        judge = "llvm-symbolizer --output-style=GNU -f -i -a";
    judge_knows_files = judge != NULL;
    if (!judge)
        judge = "addr2line -f -i -a";
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[sizeof folder + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void random_addresses(const char *path, uint64_t addresses[ADDRESSES])
{
    struct elf elf;
    struct symtab symtab;
    uint64_t random = 88172645463325252u;
    assert_int_equal(elf_open(&elf, open(path, O_RDONLY)), 0);
    assert_int_equal(symtab_load(&symtab, &elf, NULL), 0);
    for (int i = 0; i < ADDRESSES; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        const struct symtab_function *function =
            &symtab.functions[(random >> 20) % symtab.count];
        addresses[i] = symtab.base + function->offset + random % (function->size | 1);
    }
    symtab_free(&symtab);
    elf_close(&elf);
}

/* Starts the judge on the addresses. */
static FILE *ask(const char *path, const uint64_t addresses[ADDRESSES])
{
    char list[64], command[512];
    snprintf(list, sizeof list, "%s/addresses", folder);
    FILE *file = fopen(list, "w");
    for (int i = 0; i < ADDRESSES; i++)
        fprintf(file, "0x%llx\n", (unsigned long long)addresses[i]);
    fclose(file);
    snprintf(command, sizeof command, "%s -e '%s' < %s 2>/dev/null", judge, path, list);
    return popen(command, "r");
}

static bool same_place(const char *theirs, const struct symbol_line *ours)
{
    char *colon = strrchr(theirs, ':');
    long line = strtol(colon + 1, NULL, 10); /* "?" gives 0 */
    if (!line)
        return !ours->line || !ours->file;
    if (!ours->file || ours->line != line)
        return false;
    size_t length = (size_t)(colon - theirs);
    return !judge_knows_files ||
           (strlen(ours->file) == length && !memcmp(ours->file, theirs, length));
}

/* Reads the judge's answer for one address: its lines up to the next address. */
static bool agrees(FILE *answers, char *next, int size, const struct symbol_line *lines,
                   size_t count)
{
    bool agreed = true;
    size_t i = 0;
    static const struct symbol_line nothing;
    while (fgets(next, size, answers) && strncmp(next, "0x", 2)) { /* the function's name */
        if (!fgets(next, size, answers))
            return false;
        next[strcspn(next, "\n")] = '\0';
        agreed = agreed && same_place(next, i < count ? &lines[i] : &nothing);
        i++;
    }
    return agreed && (i == count || (count == 0 && i == 1));
}

static void compare(const char *path, int allowed)
{
    uint64_t addresses[ADDRESSES];
    char next[8192] = "";
    struct elf elf;
    struct dwarf dwarf;
    struct dwarf_index index;
    struct strings strings;
    int wrong = 0;
    random_addresses(path, addresses);
    FILE *answers = ask(path, addresses);
    assert_non_null(fgets(next, sizeof next, answers));
    assert_int_equal(elf_open(&elf, open(path, O_RDONLY)), 0);
    dwarf_index_init(&index, NULL);
    strings_init(&strings, NULL);
    assert_true(dwarf_open(&dwarf, &elf, &index));
    for (int i = 0; i < ADDRESSES; i++) {
        struct symbol_line lines[MAX_LINES];
        assert_int_equal(strtoull(next, NULL, 16), addresses[i]);
        size_t count = dwarf_find(&dwarf, addresses[i], &strings, lines, MAX_LINES);
        wrong += !agrees(answers, next, sizeof next, lines, count);
    }
    pclose(answers);
    dwarf_close(&dwarf);
    dwarf_index_free(&index);
    strings_free(&strings);
    elf_close(&elf);
    if (wrong > allowed)
        fail_msg("%s: %d of %d addresses are not as the judge says", path, wrong, ADDRESSES);
}

/* Compiles a subject; false (and says so) when this machine can't. */
static bool compile(const char *command_line, const char *subject, char path[64])
{
    char command[512];
    snprintf(path, 64, "%s/subject.so", folder);
    snprintf(command, sizeof command, "%s %s/%s -o %s >/dev/null 2>&1", command_line, SUBJECTS,
             subject, path);
    if (!system(command))
        return true;
    print_message("skipped: %s\n", command_line);
    return false;
}

static void every_version_of_dwarf_is_read(void **state)
{
    static const char *const compilers[] = {
        "c++ -O2 -g -gdwarf-5 -shared -fPIC",
        "c++ -O2 -g -gdwarf-4 -shared -fPIC",
        "c++ -O2 -g -gdwarf-3 -shared -fPIC",
        "c++ -O2 -g -gdwarf-2 -shared -fPIC",
        "c++ -O2 -g -gdwarf-5 -gdwarf64 -shared -fPIC",
        "c++ -O2 -g -flto -shared -fPIC",
        "c++ -O2 -g -ffunction-sections -shared -fPIC",
        "clang++-14 -O2 -g -gdwarf-5 -shared -fPIC",
        "clang++-14 -O2 -g -gdwarf-4 -shared -fPIC",
    };
    char path[64];
    (void)state;
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++) {
        if (compile(compilers[i], "subject.cpp", path))
            compare(path, ADDRESSES / 100);
    }
}

static void rust_is_read(void **state)
{
    char path[64];
    (void)state;
    if (compile("rustc -O -g --crate-type cdylib", "subject.rs", path))
        compare(path, ADDRESSES / 100);
}

static void a_real_library_is_read(void **state)
{
    glob_t found;
    char pattern[256];
    (void)state;
    snprintf(pattern, sizeof pattern, "%s/.pyenv/versions/3.1*/lib/libpython3.1?.so.1.0",
             getenv("HOME") ? getenv("HOME") : "");
    if (glob(pattern, 0, NULL, &found)) {
        print_message("skipped: no library with debug information is here\n");
        skip();
    }
    compare(found.gl_pathv[0], ADDRESSES / 100);
    globfree(&found);
}

/* A line table must be right even if the list of lines it gives is shortened. */
static void too_many_inlined_functions_lose_those_in_the_middle(void **state)
{
    struct elf elf;
    struct dwarf dwarf;
    struct dwarf_index index;
    struct strings strings;
    uint64_t addresses[ADDRESSES];
    char path[64];
    (void)state;
    if (!compile("c++ -O2 -g -shared -fPIC", "subject.cpp", path))
        skip();
    random_addresses(path, addresses);
    assert_int_equal(elf_open(&elf, open(path, O_RDONLY)), 0);
    dwarf_index_init(&index, NULL);
    strings_init(&strings, NULL);
    assert_true(dwarf_open(&dwarf, &elf, &index));
    for (int i = 0; i < ADDRESSES; i++) {
        struct symbol_line all[MAX_LINES], few[2];
        size_t count = dwarf_find(&dwarf, addresses[i], &strings, all, MAX_LINES);
        size_t kept = dwarf_find(&dwarf, addresses[i], &strings, few, 2);
        assert_int_equal(kept, count < 2 ? count : 2);
        if (count > 1) {
            assert_memory_equal(&few[0], &all[0], sizeof few[0]);
            assert_memory_equal(&few[1], &all[count - 1], sizeof few[1]);
        }
    }
    dwarf_close(&dwarf);
    dwarf_index_free(&index);
    strings_free(&strings);
    elf_close(&elf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_of_dwarf_is_read),
        cmocka_unit_test(rust_is_read),
        cmocka_unit_test(a_real_library_is_read),
        cmocka_unit_test(too_many_inlined_functions_lose_those_in_the_middle),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
