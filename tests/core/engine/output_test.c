/* Which file a process writes when several are told to write the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/output.h"

static char folder[] = "/tmp/cprof-output-XXXXXX";
static char path[128];
static struct output_claim claim;

/* What a process of its own is to write for a pattern. */
static void claimed_elsewhere(const char *pattern, char *answer, size_t size, pid_t *pid)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *pid = fork();
    if (*pid == 0) {
        output_release(&claim);
        char *own = output_claim(&claim, pattern);
        if (write(ends[1], own, strlen(own)) < 0)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], answer, size - 1);
    close(ends[0]);
    waitpid(*pid, NULL, 0);
    assert_true(length > 0);
    answer[length] = '\0';
}

static void assert_claims(const char *pattern, const char *expected)
{
    char *own = output_claim(&claim, pattern);
    assert_string_equal(own, expected);
    free(own);
}

static void a_child_does_not_write_over_its_parents_file(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *adjusted;
    } cases[] = {
        {"out.pb.gz", "out.42.pb.gz"},
        {"out-%p.html", "out-%p.html"},
        {"a/b.speedscope.json", "a/b.42.speedscope.json"},
        {"x.folded", "x.42.folded"},
        {"run-%n.otlp", "run-%n.42.otlp"},
        {"100%%pure.html", "100%%pure.42.html"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *adjusted = output_beside(cases[i].pattern, 42);
        assert_string_equal(adjusted, cases[i].adjusted);
        free(adjusted);
    }
}

static void a_file_that_a_living_process_writes_is_left_to_it(void **state)
{
    (void)state;
    char answer[256], expected[256];
    pid_t pid;
    assert_claims(path, path);
    claimed_elsewhere(path, answer, sizeof answer, &pid);
    snprintf(expected, sizeof expected, "%s/out.%ld.pb.gz", folder, (long)pid);
    assert_string_equal(answer, expected);
}

static void the_same_process_may_write_its_file_again(void **state)
{
    (void)state;
    assert_claims(path, path);
    assert_claims(path, path);
}

static void two_profiles_of_one_process_do_not_write_over_each_other(void **state)
{
    (void)state;
    struct output_claim other = {0};
    char expected[256];
    assert_claims(path, path);
    char *beside = output_claim(&other, path);
    snprintf(expected, sizeof expected, "%s/out.%ld.pb.gz", folder, (long)getpid());
    assert_string_equal(beside, expected);
    free(beside);
    output_release(&claim);
    char *free_again = output_claim(&other, path);
    assert_string_equal(free_again, path);
    free(free_again);
    output_release(&other);
}

static void a_file_whose_writer_has_ended_may_be_replaced(void **state)
{
    (void)state;
    char answer[256], other[160];
    pid_t pid;
    snprintf(other, sizeof other, "%s/ended.html", folder);
    claimed_elsewhere(other, answer, sizeof answer, &pid);
    assert_string_equal(answer, other);
    assert_claims(other, other);
}

static void another_way_to_spell_the_path_is_the_same_file(void **state)
{
    (void)state;
    char answer[256], other[160];
    pid_t pid;
    assert_claims(path, path);
    snprintf(other, sizeof other, "%s/../%s/out.pb.gz", folder, strrchr(folder, '/') + 1);
    claimed_elsewhere(other, answer, sizeof answer, &pid);
    assert_non_null(strstr(answer, "/out."));
    assert_string_not_equal(answer, other);
}

static void a_pattern_with_the_pid_is_never_taken(void **state)
{
    (void)state;
    char answer[256], pattern[160];
    pid_t pid;
    snprintf(pattern, sizeof pattern, "%s/out-%%p.html", folder);
    assert_claims(pattern, pattern);
    claimed_elsewhere(pattern, answer, sizeof answer, &pid);
    assert_string_equal(answer, pattern);
}

static void a_descriptor_that_the_program_has_made_its_own_is_not_closed(void **state)
{
    (void)state;
    int mine;
    assert_claims(path, path);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    while ((mine = dup(0)) < 32)
        ;
    output_release(&claim);
    for (int fd = 3; fd <= mine; fd++)
        assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_does_not_write_over_its_parents_file),
        cmocka_unit_test(a_file_that_a_living_process_writes_is_left_to_it),
        cmocka_unit_test(the_same_process_may_write_its_file_again),
        cmocka_unit_test(two_profiles_of_one_process_do_not_write_over_each_other),
        cmocka_unit_test(a_file_whose_writer_has_ended_may_be_replaced),
        cmocka_unit_test(another_way_to_spell_the_path_is_the_same_file),
        cmocka_unit_test(a_pattern_with_the_pid_is_never_taken),
        cmocka_unit_test(a_descriptor_that_the_program_has_made_its_own_is_not_closed),
    };
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/out.pb.gz", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
