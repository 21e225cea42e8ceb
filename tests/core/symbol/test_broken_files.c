/* Files that are cut, overwritten or made up must give no names, not a crash. The files are
 * this program itself, damaged; run it under a sanitizer to see the most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "elf_walk.h"

static uint8_t *file;
static size_t size;

static int read_own_file(void **state)
{
    struct stat status;
    int fd = open("/proc/self/exe", O_RDONLY);
    (void)state;
    if (fd < 0 || fstat(fd, &status))
        return -1;
    size = (size_t)status.st_size;
    file = malloc(size);
    bool whole = file && read(fd, file, size) == (ssize_t)size;
    close(fd);
    return whole ? 0 : -1;
}

static int free_own_file(void **state)
{
    (void)state;
    free(file);
    return 0;
}

static void a_whole_file_is_read(void **state)
{
    struct elf elf;
    (void)state;
    assert_int_equal(elf_open_image(&elf, file, size), 0);
    assert_non_null(elf_section(&elf, ".symtab"));
    assert_true(elf_read(&elf, size, &elf.header, 1) < 0);
    assert_true(elf_read(&elf, UINT64_MAX, &elf.header, 1) < 0);
    assert_true(elf_read(&elf, size - 1, &elf.header, 2) < 0);
    elf_close(&elf);
    elf_walk(file, size);
}

static void a_file_cut_anywhere_does_no_harm(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < size; cut += cut < 1024 ? 13 : size / 97) {
        uint8_t *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees the end */
        memcpy(copy, file, cut);
        elf_walk(copy, cut);
        free(copy);
    }
}

static void random_damage_does_no_harm(void **state)
{
    uint64_t random = 2463534242u;
    uint8_t *copy = malloc(size);
    (void)state;
    for (int round = 0; round < 300; round++) {
        memcpy(copy, file, size);
        for (int hits = 0; hits < 40; hits++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            /* Half of the damage goes to the headers at both ends. */
            size_t at = (random >> 8) % size;
            if (hits % 4 == 0)
                at %= 1024;
            if (hits % 4 == 1)
                at = size - 1 - at % 4096;
            copy[at] = (uint8_t)(random & 1 ? 0xff : random >> 40);
        }
        memcpy(copy, file, 20); /* it stays an ELF file of this machine */
        elf_walk(copy, size);
    }
    free(copy);
}

static void a_file_that_shrinks_while_it_is_read_gives_an_error(void **state)
{
    char path[] = "/tmp/cprof-shrinks-XXXXXX";
    int fd = mkstemp(path);
    struct elf elf;
    struct symtab symtab;
    (void)state;
    assert_int_equal(write(fd, file, size), size);
    assert_int_equal(elf_open(&elf, fd), 0);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(symtab_load(&symtab, &elf, NULL), -ENOENT);
    elf_close(&elf);
    unlink(path);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    struct elf elf;
    (void)state;
    assert_int_equal(elf_open(&elf, open("/dev/zero", O_RDONLY)), -ENOEXEC);
    assert_int_equal(elf_open(&elf, open("/tmp", O_RDONLY)), -ENOEXEC);
    assert_int_equal(elf_open_image(&elf, "\177ELF", 4), -ENOEXEC);
    int empty = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    if (empty >= 0) {
        assert_int_equal(elf_open(&elf, empty), -ENOEXEC);
        assert_true(fcntl(empty, F_GETFD) < 0); /* closed */
    }
}

/* Writes the test's own file to a new place. */
static void write_copy(char path[])
{
    int fd = mkstemp(path);
    assert_int_equal(write(fd, file, size), size);
    close(fd);
}

static void a_file_at_rest_is_read_on_with_its_tables(void **state)
{
    char path[] = "/tmp/cprof-rests-XXXXXX";
    struct elf elf;
    struct symtab before, after;
    (void)state;
    write_copy(path);
    assert_int_equal(elf_open_path(&elf, path), 0);
    assert_int_equal(symtab_load(&before, &elf, NULL), 0);
    const Elf64_Shdr *sections = elf.sections;
    int fd = elf.fd;
    assert_true(elf_rest(&elf));
    assert_true(fcntl(fd, F_GETFD) < 0); /* closed */
    assert_true(elf_resume(&elf));
    assert_ptr_equal(elf.sections, sections);
    assert_int_equal(symtab_load(&after, &elf, NULL), 0);
    assert_int_equal(after.count, before.count);
    symtab_free(&before);
    symtab_free(&after);
    elf_close(&elf);
    unlink(path);
}

static void a_file_that_changed_at_rest_is_given_up(void **state)
{
    char path[] = "/tmp/cprof-rests-XXXXXX", other[] = "/tmp/cprof-other-XXXXXX";
    struct elf elf;
    (void)state;
    write_copy(path);
    write_copy(other);
    assert_int_equal(elf_open_path(&elf, path), 0);
    assert_true(elf_rest(&elf));
    assert_int_equal(rename(other, path), 0); /* the same bytes, but who knows? */
    assert_false(elf_resume(&elf));
    assert_null(elf.sections);

    assert_int_equal(elf_open_path(&elf, path), 0);
    assert_true(elf_rest(&elf));
    struct timespec earlier[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, earlier, 0), 0);
    assert_false(elf_resume(&elf));

    assert_int_equal(elf_open_path(&elf, path), 0);
    assert_true(elf_rest(&elf));
    unlink(path);
    assert_false(elf_resume(&elf));
    assert_int_equal(elf_open_path(&elf, path), -ENOENT);
}

static void what_has_no_path_does_not_rest(void **state)
{
    struct elf elf;
    (void)state;
    assert_int_equal(elf_open_image(&elf, file, (size_t)size), 0);
    assert_false(elf_rest(&elf));
    assert_null(elf.sections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_read),
        cmocka_unit_test(a_file_cut_anywhere_does_no_harm),
        cmocka_unit_test(random_damage_does_no_harm),
        cmocka_unit_test(a_file_that_shrinks_while_it_is_read_gives_an_error),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(a_file_at_rest_is_read_on_with_its_tables),
        cmocka_unit_test(a_file_that_changed_at_rest_is_given_up),
        cmocka_unit_test(what_has_no_path_does_not_rest),
    };
    return cmocka_run_group_tests(tests, read_own_file, free_own_file);
}
