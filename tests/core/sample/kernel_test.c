/* The kernel's samples of a thread: what is in a ring, and an event of this very thread. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sample/kernel_event.h"
#include "sample/kernel_frames.h"
#include "sample/kernel_ring.h"

/* ---- a ring that the test writes ---- */

enum { WORDS = 64 };

static struct {
    struct perf_event_mmap_page page;
    uint64_t words[WORDS];
} ring = {.page = {.data_offset = sizeof ring.page, .data_size = sizeof ring.words}};

static void put(uint64_t word)
{
    ring.words[ring.page.data_head / 8 % WORDS] = word;
    ring.page.data_head += 8;
}

static void put_header(uint32_t type, size_t words)
{
    put(type | (uint64_t)(words * 8) << 48);
}

static void put_sample(size_t count, const uint64_t *addresses)
{
    put_header(PERF_RECORD_SAMPLE, 2 + count);
    put(count);
    for (size_t i = 0; i < count; i++)
        put(addresses[i]);
}

static int empty(void **state)
{
    (void)state;
    ring.page.data_tail = ring.page.data_head;
    return 0;
}

static void a_chain_has_no_marks_and_its_callers_are_before_their_return(void **state)
{
    (void)state;
    static struct kernel_chain chain;
    const uint64_t addresses[] = {(uint64_t)PERF_CONTEXT_KERNEL, 0xffffffff81000010,
                                  0xffffffff81000020};
    for (int lap = 0; lap < 3 * WORDS; lap++) { /* wherever it begins */
        put_sample(3, addresses);
        put_sample(0, NULL);
        assert_true(kernel_ring_next(&ring.page, &chain));
        assert_int_equal(chain.count, 2);
        assert_true(chain.functions[0] == 0xffffffff81000010);
        assert_true(chain.functions[1] == 0xffffffff8100001f);
        assert_true(chain.more);
        assert_true(kernel_ring_next(&ring.page, &chain));
        assert_int_equal(chain.count, 0);
        assert_false(chain.more);
        assert_false(kernel_ring_next(&ring.page, &chain));
    }
}

static void what_is_no_sample_is_passed_over(void **state)
{
    (void)state;
    static struct kernel_chain chain;
    put_header(PERF_RECORD_LOST, 3);
    put(1), put(2);
    put_header(PERF_RECORD_SAMPLE, 1); /* too short for one */
    put_header(PERF_RECORD_SAMPLE, 3);
    put(40); /* more addresses than it has room for */
    put(0xffffffff81000010);
    assert_true(kernel_ring_next(&ring.page, &chain));
    assert_int_equal(chain.count, 1);
    assert_false(kernel_ring_next(&ring.page, &chain));
}

static void what_no_kernel_writes_ends_the_ring(void **state)
{
    (void)state;
    static struct kernel_chain chain;
    put_header(PERF_RECORD_SAMPLE, 0);
    put(1);
    assert_false(kernel_ring_next(&ring.page, &chain));
    assert_true(ring.page.data_tail == ring.page.data_head);
    put_header(PERF_RECORD_SAMPLE, 7);
    assert_false(kernel_ring_next(&ring.page, &chain));
    assert_true(ring.page.data_tail == ring.page.data_head);
}

/* ---- an event ---- */

enum { PERIOD = 1000 * 1000 };

static struct perf_event_mmap_page *_Atomic read_by_handler;
static atomic_uint signals, chains, deep;

static void on_signal(int signal)
{
    static struct kernel_chain chain;
    int saved = errno;
    struct perf_event_mmap_page *page = atomic_load(&read_by_handler);
    (void)signal;
    atomic_fetch_add(&signals, 1);
    while (page != NULL && kernel_ring_next(page, &chain)) {
        atomic_fetch_add(&chains, 1);
        if (chain.count > 2)
            atomic_fetch_add(&deep, 1);
    }
    errno = saved;
}

static bool open_own(struct kernel_event *event)
{
    int error = kernel_event_open(event, (pid_t)syscall(SYS_gettid), SIGURG, PERIOD);
    if (error == 0)
        return true;
    print_message("no event: %s\n", strerror(-error));
    return false;
}

/* Reads zeros for so much CPU time: most of it is the kernel's, as long as no sanitizer looks
 * at what read() has written. A signal ends it early. */
static void read_zeros(uint64_t ns)
{
    static char zeros[1 << 18];
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    for (uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
         clock_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
        assert_true(syscall(SYS_read, fd, zeros, sizeof zeros) > 0);
    close(fd);
}

/* Whatever descriptors the program closes, it goes on; the numbers are the program's. */
static void an_event_needs_no_descriptor_and_ends_with_its_ring(void **state)
{
    (void)state;
    struct kernel_event event;
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int before = dup(STDERR_FILENO);
    close(before);
    if (!open_own(&event))
        skip();
    assert_int_equal(sigaction(SIGURG, &action, NULL), 0);
    atomic_store(&read_by_handler, event.ring);
    kernel_event_begin(&event);
    int after = dup(STDERR_FILENO);
    assert_int_equal(after, before);
    close(after);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    read_zeros(200 * (uint64_t)PERIOD);
    assert_in_range(atomic_load(&chains), 100, 300);
    assert_true(atomic_load(&signals) <= atomic_load(&chains));
    assert_true(atomic_load(&deep) > atomic_load(&chains) / 2);
    atomic_store(&read_by_handler, NULL);
    kernel_event_end(event.ring);
    atomic_store(&signals, 0);
    read_zeros(20 * (uint64_t)PERIOD);
    assert_in_range(atomic_load(&signals), 0, 1); /* one may have been under way */
}

static bool is_mapped(void)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, "perf_event") != NULL;
    if (maps != NULL)
        fclose(maps);
    return found;
}

static void the_child_of_a_fork_has_neither_ring_nor_event(void **state)
{
    (void)state;
    struct kernel_event event;
    int status = -1;
    if (!open_own(&event))
        skip();
    atomic_store(&read_by_handler, event.ring);
    kernel_event_begin(&event);
    assert_true(is_mapped());
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&read_by_handler, NULL);
        atomic_store(&signals, 0);
        read_zeros(20 * (uint64_t)PERIOD);
        _exit(is_mapped() ? 1 : atomic_load(&signals) != 0 ? 2 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    atomic_store(&read_by_handler, NULL);
    kernel_event_end(event.ring);
}

/* The ring counts against CPROF_MEMORY_LIMIT: without room the thread keeps its timer. */
static void rings_are_drawn_from_the_budget(void **state)
{
    (void)state;
    struct budget budget;
    struct thread *thread = &thread_records[0];
    thread->tid = (pid_t)syscall(SYS_gettid);
    budget_init(&budget, kernel_event_bytes());
    kernel_frames_want(true, &budget);
    if (!kernel_frames_open(PERIOD, SIGURG))
        skip();
    kernel_frames_add(thread);
    assert_int_equal(kernel_frames_refused(), 1);
    assert_null(atomic_load(&kernel_places[0].now));
    assert_int_equal(budget_used(&budget), 0);
    kernel_frames_settle(thread, true);
    budget_init(&budget, 1 << 20);
    kernel_frames_add(thread);
    assert_int_equal(kernel_frames_refused(), 0);
    assert_non_null(atomic_load(&kernel_places[0].now));
    assert_int_equal(budget_used(&budget), kernel_event_bytes() + sizeof(struct kernel_thread));
    kernel_frames_end(thread);
    assert_int_equal(budget_used(&budget), 0);
    kernel_frames_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_chain_has_no_marks_and_its_callers_are_before_their_return,
                               empty),
        cmocka_unit_test_setup(what_is_no_sample_is_passed_over, empty),
        cmocka_unit_test_setup(what_no_kernel_writes_ends_the_ring, empty),
        cmocka_unit_test(an_event_needs_no_descriptor_and_ends_with_its_ring),
        cmocka_unit_test(the_child_of_a_fork_has_neither_ring_nor_event),
        cmocka_unit_test(rings_are_drawn_from_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
