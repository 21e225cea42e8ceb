/* What is called when a process ends by exit(). Each test is a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/at_exit.h"

static int calls;
static int calls_at_cleanup; /* how often ours had been called when the library cleaned up */

static void ours(void)
{
    calls++;
}

static void clean_up(void)
{
    calls_at_cleanup = calls;
}

/* Registered first, so called last. */
static void tell(void)
{
    _exit(10 * calls_at_cleanup + calls);
}

static int status_of(void (*what)(void))
{
    pid_t child = fork();
    if (child == 0) {
        atexit(tell);
        what();
        exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void register_it(void)
{
    at_exit_again(); /* nothing yet */
    at_exit_call(ours);
    at_exit_call(clean_up); /* one function a process */
}

static void load_a_library(void)
{
    at_exit_call(ours);
    atexit(clean_up);
    at_exit_again();
}

static void load_many(void)
{
    at_exit_call(ours);
    for (int i = 0; i < 100; i++)
        at_exit_again();
}

static void it_is_called_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(status_of(register_it), 1);
}

static void it_is_called_before_what_a_library_cleans_up_that_was_loaded_later(void **state)
{
    (void)state;
    assert_int_equal(status_of(load_a_library), 12);
}

static void registrations_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(status_of(load_many), AT_EXIT_TIMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_called_at_the_end),
        cmocka_unit_test(it_is_called_before_what_a_library_cleans_up_that_was_loaded_later),
        cmocka_unit_test(registrations_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
