/* Two copies of cprof in one process. */
#include "running.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int (*second_start)(char *error, size_t size);
static int (*second_stop)(void);

static int load_second(void **state)
{
    void *library = dlopen(SECOND_COPY, RTLD_NOW);
    if (library == NULL || make_directory(state) != 0)
        return 1;
    *(void **)&second_start = dlsym(library, "second_start");
    *(void **)&second_stop = dlsym(library, "second_stop");
    return second_start == NULL || second_stop == NULL;
}

static void a_second_copy_says_so_and_harms_nothing(void **state)
{
    (void)state;
    start(NULL, 100);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    assert_int_equal(second_start(error, sizeof error), -EBUSY);
    assert_non_null(strstr(error, "another copy of cprof"));
    seven += burn_to_a_sample(burn_seven, 0.5);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.06);
    profile_free(p);
}

static void the_line_names_the_other_copy(void **state)
{
    (void)state;
    assert_int_equal(second_start(error, sizeof error), 0);
    assert_int_equal(cprof_start(NULL, NULL, error, sizeof error), -EBUSY);
    assert_non_null(strstr(error, SECOND_COPY));
    assert_int_equal(second_stop(), 0);
}

static void after_one_has_stopped_the_other_may_start(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(second_start(error, sizeof error), 0);
        assert_int_equal(second_stop(), 0);
        start(NULL, 100);
        double seven = burn_to_a_sample(burn_seven, 0.3);
        struct profile *p = stop_and_read();
        assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.05);
        profile_free(p);
    }
}

/* The first copy stays dormant there, though its handler is left. */
static void in_a_child_that_nobody_announced_the_other_may_start(void **state)
{
    (void)state;
    int status;
    assert_int_equal(second_start(error, sizeof error), 0);
    pid_t child = fork();
    if (child == 0) {
        const struct cprof_options options = {.exporter = "none"};
        _exit(cprof_start(&options, NULL, error, sizeof error) == 0 && cprof_stop(60) == 0 ? 0
                                                                                           : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(second_stop(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_copy_says_so_and_harms_nothing),
        TEST(the_line_names_the_other_copy),
        TEST(after_one_has_stopped_the_other_may_start),
        TEST(in_a_child_that_nobody_announced_the_other_may_start),
    };
    return cmocka_run_group_tests(tests, load_second, remove_directory);
}
