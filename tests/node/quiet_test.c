/* What may not be interrupted by a sample is not: also by the signals that the C library keeps
 * for itself, one of which is cprof's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "quiet.h"

/* As the kernel has it; the C library's functions hide its own signals. */
static uint64_t blocked(void)
{
    uint64_t mask = 0;
    cprof_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, (uintptr_t)&mask, sizeof mask, 0, 0);
    return mask;
}

static void every_signal_is_blocked_in_between_and_none_after(void **state)
{
    (void)state;
    const uint64_t never = (uint64_t)1 << (SIGKILL - 1) | (uint64_t)1 << (SIGSTOP - 1);
    uint64_t at_first = blocked();
    uint64_t before = quiet_begin();
    uint64_t meanwhile = blocked();
    quiet_end(before);
    assert_true(meanwhile == ~never);
    assert_true(before == at_first);
    assert_true(blocked() == at_first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_signal_is_blocked_in_between_and_none_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
