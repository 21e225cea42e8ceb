/* A process that keeps history is killed at random moments: what was put is there, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../export/folder.h"
#include "history.h"

#define KILLS 200
#define SHORT_AGES "10s:2m,1m:20m,10m:30d" /* so that much is rewritten all the time */

/* Puts one after the other, and says how many are there. */
static void run_service(uint64_t first, _Atomic uint64_t *done)
{
    struct store *store = history_open("shop", (size_t)64 << 20, SHORT_AGES);
    for (uint64_t i = first;; i++) {
        size_t size;
        struct profile *p = history_profile(i, 1);
        if (store_put(store, p, history_time(i), &size) != 0)
            _exit(1);
        profile_free(p);
        atomic_store(done, i + 1);
        store_tend(store, history_time(i));
    }
}

static void what_was_put_survives_any_kill(void **state)
{
    (void)state;
    _Atomic uint64_t *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(done != MAP_FAILED);
    uint64_t next = 0;
    for (unsigned i = 0, random = 1; i < KILLS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            run_service(next, done);
        uint64_t before = next;
        random = random * 1103515245 + 12345;
        for (int waited = 0; waited < 5000 && atomic_load(done) <= before; waited++)
            usleep(1000); /* it has begun, however loaded the machine is */
        usleep(random / 65536 % 20000);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        next = atomic_load(done);
        struct held held = history_read("shop", 0, UINT64_MAX);
        assert_int_equal(held.damaged, 0);
        if (held.samples == history_sum(0, next + 1))
            next++; /* it was there, and had not been said yet */
        atomic_store(done, next);
        if (held.samples != history_sum(0, next))
            fail_msg("kill %u: %lld samples of %lld", i, (long long)held.samples,
                     (long long)history_sum(0, next));
    }
    /* Who comes last finishes what the killed began, however little each had time for. */
    struct store *store = history_open("shop", (size_t)64 << 20, SHORT_AGES);
    while (store_tend(store, history_time(next) + HOUR) == 1)
        ;
    store_close(store);
    struct held held = history_read("shop", 0, UINT64_MAX);
    print_message("%d kills, %llu profiles in %zu intervals and %zu files\n", KILLS,
                  (unsigned long long)next, held.intervals, files());
    assert_int_equal(held.samples, history_sum(0, next));
    assert_int_equal(held.longest, 10 * MINUTE);
    munmap(done, sizeof *done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_put_survives_any_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
