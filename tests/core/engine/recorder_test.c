/* CPROF_STORE_DIR alone is a flight recorder: what was closed before a crash is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cprof/cprof.h"
#include "folder.h"
#include "store/read.h"

static volatile uint64_t sink;

static void crash(void)
{
    char error[256] = "";
    const struct cprof_options options = {.service_name = "shop", .rate = 250, .interval = 0.1};
    setenv("CPROF_STORE_DIR", folder, 1);
    setenv("CPROF_TIMESTAMPS", "on", 1); /* not for history, which adds up */
    if (cprof_start(&options, NULL, error, sizeof error) != 0)
        _exit(1);
    while (files() < 6) /* five intervals and the lock */
        sink++;
    raise(SIGKILL);
}

static int add(void *closure, struct profile *p)
{
    int64_t *samples = closure;
    for (size_t i = 0; i < profile_sample_count(p); i++)
        *samples += profile_get_sample(p, i).values[0];
    for (profile_id id = 1; id < profile_string_count(p); id++)
        assert_string_not_equal(profile_text(p, id), PROFILE_TIME);
    profile_free(p);
    return 0;
}

static void what_was_closed_before_a_crash_is_there(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    int status;
    int64_t samples = 0;
    pid_t child = fork();
    if (child == 0)
        crash();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    const struct store_range shop = {.service = "shop", .to = UINT64_MAX};
    const struct store_visitor visitor = {.closure = &samples, .take = add};
    assert_int_equal(store_read(folder, &shop, &visitor, error), 0);
    assert_true(samples > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_closed_before_a_crash_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
