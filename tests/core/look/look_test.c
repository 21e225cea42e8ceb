/* Looks: what the kernel's file says, what a system call means, and the times of a thread whose
 * waits are known. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/own_thread.h"
#include "look/kernel.h"
#include "look/looks.h"
#include "look/unnamed.h"
#include "look/waits.h"
#include "sample/take.h"
#include "sample/threads.h"
#include "sample/timer.h"
#include "symbol/kernel_names.h"

static struct copied copied;

/* ---- the kernel's word ---- */

static int read_text(const char *text, struct kernel_asleep *asleep)
{
    return kernel_asleep_read(text, strlen(text), asleep);
}

static void the_kernel_s_file_is_read(void **state)
{
    (void)state;
    struct kernel_asleep asleep;
    assert_int_equal(read_text("running\n", &asleep), -EAGAIN);
    assert_int_equal(read_text("0 0x3 0x7f01 0x400 0x0 0x0 0x0 0x7ffe10 0x7f2ec\n", &asleep),
                     0);
    assert_int_equal(asleep.call, 0);
    assert_int_equal(asleep.arguments[0], 3);
    assert_int_equal(asleep.arguments[2], 0x400);
    assert_int_equal(asleep.at.sp, 0x7ffe10);
    assert_int_equal(asleep.at.pc, 0x7f2ec);
    assert_int_equal(read_text("-1 0x7ffe10 0x401000\n", &asleep), 0);
    assert_int_equal(asleep.call, KERNEL_PAGE_FAULT);
    assert_int_equal(asleep.at.sp, 0x7ffe10);
    assert_int_equal(asleep.at.pc, 0x401000);
}

static void what_the_file_never_says_is_no_place(void **state)
{
    (void)state;
    static const char *const texts[] = {"",           "\n",
                                        "x",          "0",
                                        "0 0x1",      "0 0x1 0x2 0x3 0x4 0x5 0x6 0x7",
                                        "-1",         "-1 0x5",
                                        "-2 0x1 0x2", "0 zz 0x2 0x3 0x4 0x5 0x6 0x7 0x8"};
    struct kernel_asleep asleep;
    char endless[1024];
    memset(endless, '7', sizeof endless);
    assert_int_equal(kernel_asleep_read(endless, sizeof endless, &asleep), -EINVAL);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(read_text(texts[i], &asleep), -EINVAL);
}

/* ---- the kernel's own functions ---- */

static void names_in_the_kernel_s_stack_are_found(void **state)
{
    (void)state;
    const char *text = "[<0>] hrtimer_nanosleep+0x74/0xf0\n"
                       "nothing\n"
                       "[<0>] \n"
                       "\n"
                       "[<ffffffffc0a81d4c>] nfs4_wait+0x1c/0x30 [nfsv4]\n"
                       "[<0>] do_syscall_64";
    static const char *const names[] = {"hrtimer_nanosleep", "nfs4_wait", "do_syscall_64"};
    size_t length;
    for (size_t i = 0; i < 3; i++) {
        const char *name = kernel_stack_next(&text, &length);
        assert_non_null(name);
        assert_int_equal(length, strlen(names[i]));
        assert_memory_equal(name, names[i], length);
    }
    assert_null(kernel_stack_next(&text, &length));
}

static void a_kernel_name_has_one_address(void **state)
{
    (void)state;
    uintptr_t first = kernel_name_address("do_wait+0x54", strlen("do_wait"));
    assert_true(kernel_has(first));
    assert_int_equal(kernel_name_address("do_wait", strlen("do_wait")), first);
    assert_string_equal(kernel_name_at(first), "do_wait");
    assert_null(kernel_name_at((uintptr_t)0xffffffff81000000));
    assert_null(kernel_name_at((uintptr_t)0x7fff12345678));
    assert_false(kernel_has((uintptr_t)0xffffffffff600400)); /* the page of old system calls */
    char name[2 * KERNEL_NAME_SIZE];
    memset(name, 'x', sizeof name);
    uintptr_t cut = kernel_name_address(name, sizeof name);
    assert_int_equal(strlen(kernel_name_at(cut)), KERNEL_NAME_SIZE - 1);
    unsigned apart = 0;
    for (unsigned i = 0; i < 2 * KERNEL_NAMES_MAX; i++) {
        int length = snprintf(name, sizeof name, "function_%u", i);
        const char *kept = kernel_name_at(kernel_name_address(name, (size_t)length));
        assert_non_null(kept);
        apart += kept[0] != '\0';
        assert_string_equal(kept, apart == i + 1 ? name : "");
    }
    assert_in_range(apart, KERNEL_NAMES_MAX - 64, KERNEL_NAMES_MAX - 2);
    assert_int_equal(kernel_name_address("do_wait", strlen("do_wait")), first);
}

static atomic_int asleep_tid;

static void *sleep_for_long(void *unused)
{
    atomic_store(&asleep_tid, (int)syscall(SYS_gettid));
    nanosleep(&(struct timespec){.tv_sec = 60}, NULL);
    return unused;
}

static bool is_in(pid_t tid, enum kernel_word word, const char *part)
{
    uintptr_t functions[KERNEL_FRAMES_MAX];
    size_t count = kernel_functions(tid, word, functions, KERNEL_FRAMES_MAX);
    for (size_t i = 0; i < count; i++)
        if (strstr(kernel_name_at(functions[i]), part) != NULL)
            return true;
    return false;
}

/* How much it says is the machine's affair; what it says is right. */
static void the_kernel_names_the_function_in_which_a_thread_sleeps(void **state)
{
    (void)state;
    pthread_t thread;
    enum kernel_word word = kernel_word();
    if (word == KERNEL_SILENT)
        skip();
    assert_int_equal(pthread_create(&thread, NULL, sleep_for_long, NULL), 0);
    while (atomic_load(&asleep_tid) == 0)
        usleep(1000);
    pid_t tid = atomic_load(&asleep_tid);
    struct kernel_asleep asleep;
    while (kernel_asleep(tid, &asleep) != 0 || asleep.call != SYS_clock_nanosleep)
        usleep(1000);
    assert_true(is_in(tid, word, "nanosleep"));
    assert_true(is_in(tid, KERNEL_FUNCTION, "nanosleep"));
    assert_int_equal(kernel_functions(tid, KERNEL_SILENT, NULL, 0), 0);
    assert_int_equal(kernel_functions(tid, word, NULL, 0), 0);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    assert_false(is_in(tid, word, "nanosleep"));
}

/* ---- what a call means ---- */

static struct wait wait_in(long call, uint64_t a, uint64_t b, uint64_t c)
{
    const struct kernel_asleep asleep = {.call = call, .arguments = {a, b, c}};
    copied_begin(&copied, 0);
    return wait_of(&asleep, &copied);
}

static void a_call_says_what_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        long call;
        enum cprof_wait reason;
    } calls[] = {{SYS_clock_nanosleep, CPROF_WAIT_SLEEP},
                 {SYS_wait4, CPROF_WAIT_CHILD},
                 {SYS_epoll_pwait, CPROF_WAIT_IDLE},
                 {SYS_flock, CPROF_WAIT_LOCK},
                 {SYS_fsync, CPROF_WAIT_DISK},
                 {-1, CPROF_WAIT_PAGE_FAULT},
                 {SYS_getpid, CPROF_WAIT_UNKNOWN},
                 {1 << 20, CPROF_WAIT_UNKNOWN}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        assert_int_equal(wait_in(calls[i].call, 0, 0, 0).reason, calls[i].reason);
    assert_int_equal(wait_in(SYS_pselect6, 0, 0, 0).reason, CPROF_WAIT_SLEEP);
    assert_int_equal(wait_in(SYS_pselect6, 4, 1, 0).reason, CPROF_WAIT_IO);
    assert_int_equal(wait_in(SYS_ppoll, 0, 0, 0).reason, CPROF_WAIT_SLEEP);
    assert_int_equal(wait_in(SYS_read, UINT64_MAX, 0, 0).reason, CPROF_WAIT_IO);
}

static enum cprof_wait refined(enum cprof_wait reason, uint64_t lock, enum cprof_wait known)
{
    struct wait wait = {.state = WAIT_WAITING, .reason = reason, .lock = lock};
    wait_refine(&wait, known);
    return wait.reason;
}

static void what_the_runtime_knows_of_a_place_goes_before_what_its_call_says(void **state)
{
    (void)state;
    assert_int_equal(refined(CPROF_WAIT_LOCK, 0, CPROF_WAIT_SLEEP), CPROF_WAIT_SLEEP);
    assert_int_equal(refined(CPROF_WAIT_LOCK, 0, CPROF_WAIT_UNKNOWN), CPROF_WAIT_LOCK);
    assert_int_equal(refined(CPROF_WAIT_GVL, 0, CPROF_WAIT_SLEEP), CPROF_WAIT_GVL);
    assert_int_equal(refined(CPROF_WAIT_LOCK, 0, CPROF_WAIT_GVL), CPROF_WAIT_GVL);
    assert_int_equal(refined(CPROF_WAIT_LOCK, 8, CPROF_WAIT_GVL), CPROF_WAIT_LOCK);
    assert_int_equal(refined(CPROF_WAIT_IO, 0, CPROF_WAIT_GVL), CPROF_WAIT_IO);
    assert_int_equal(refined(CPROF_WAIT_PAGE_FAULT, 0, CPROF_WAIT_IDLE), CPROF_WAIT_PAGE_FAULT);
}

static void a_file_is_a_disk_and_a_socket_has_a_peer(void **state)
{
    (void)state;
    int file = memfd_create("file", MFD_CLOEXEC), pair[2], listener, client;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/cprof-look-%d", (int)getpid());
    assert_int_equal(wait_in(SYS_read, (uint64_t)file, 0, 0).reason, CPROF_WAIT_DISK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_string_equal(wait_in(SYS_recvfrom, (uint64_t)pair[0], 0, 0).peer, "");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    const struct wait wait = wait_in(SYS_recvfrom, (uint64_t)client, 0, 0);
    assert_int_equal(wait.reason, CPROF_WAIT_IO);
    assert_memory_equal(wait.peer, "unix:/tmp/cprof-look-", 21);
    unlink(address.sun_path);
    close(file), close(pair[0]), close(pair[1]), close(listener), close(client);
}

static void a_contended_mutex_names_its_holder(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    struct wait wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)&mutex, FUTEX_WAIT_PRIVATE, 2);
    assert_int_equal(wait.reason, CPROF_WAIT_LOCK);
    assert_int_equal(wait.lock, (uintptr_t)&mutex);
    assert_int_equal(wait.holder, syscall(SYS_gettid));
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)&mutex,
                   FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 2);
    assert_int_equal(wait.lock, 0);                       /* a condition, a semaphore */
    wait = wait_in(SYS_futex, 16, FUTEX_WAIT_PRIVATE, 2); /* memory that is not there */
    assert_int_equal(wait.holder, 0);
    pthread_mutex_unlock(&mutex);
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)&mutex, FUTEX_WAIT_PRIVATE, 2);
    assert_int_equal(wait.holder, 0); /* let go meanwhile */
    assert_true(wait_is_native(&wait));
    uint32_t words[6] = {2, 0, (uint32_t)syscall(SYS_gettid), 0, 0, 0}; /* no pthread_mutex_t */
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)words, FUTEX_WAIT_PRIVATE, 2);
    assert_int_equal(wait.lock, (uintptr_t)words);
    assert_int_equal(wait.holder, 0);
    words[3] = 1;
    words[2] = 1U << 30; /* nobody */
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)words, FUTEX_WAIT_PRIVATE, 2);
    assert_int_equal(wait.holder, 0);
    words[1] = FUTEX_WAITERS | (uint32_t)syscall(SYS_gettid); /* in the word itself */
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)&words[1], FUTEX_LOCK_PI_PRIVATE, 0);
    assert_int_equal(wait.holder, syscall(SYS_gettid));
    assert_true(wait_is_native(&wait));
    wait = wait_in(SYS_futex, (uint64_t)(uintptr_t)words, FUTEX_WAIT_PRIVATE, 1);
    assert_false(wait_is_native(&wait));
}

static void waits_keep_what_has_room_and_the_reason_of_the_rest(void **state)
{
    (void)state;
    static struct waits waits;
    struct wait wait = {.state = WAIT_WAITING, .reason = CPROF_WAIT_IO};
    assert_int_equal(waits_number(&waits, &wait), WAITS_OF_REASON(CPROF_WAIT_IO));
    assert_int_equal(waits_get(&waits, WAITS_OF_REASON(CPROF_WAIT_IO)).reason, CPROF_WAIT_IO);
    for (uint32_t i = 0; i < 2 * WAITS_KEPT; i++) {
        snprintf(wait.peer, sizeof wait.peer, "10.0.0.1:%u", i);
        uint32_t number = waits_number(&waits, &wait);
        assert_int_equal(waits_number(&waits, &wait), number);
        assert_int_equal(waits_get(&waits, number).reason, CPROF_WAIT_IO);
        assert_string_equal(waits_get(&waits, number).peer, i < WAITS_KEPT ? wait.peer : "");
    }
    waits_forget(&waits);
    assert_string_equal(waits_get(&waits, WAITS_DETAILED).peer, "");
    assert_int_equal(waits_number(&waits, &wait), WAITS_DETAILED);
    assert_int_equal(waits_number(&waits, &(struct wait){.state = WAIT_RUNNABLE}),
                     WAITS_RUNNABLE);
}

/* ---- a thread whose waits are known ---- */

enum { MS = 1000000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static atomic_bool over;
static _Atomic pid_t known_tid;

/* 30 : 20 : 50, in rounds that no look keeps step with. */
static void *known_waits(void *unused)
{
    atomic_store(&known_tid, (pid_t)syscall(SYS_gettid));
    while (!atomic_load(&over)) {
        nanosleep(&(struct timespec){.tv_nsec = 33 * MS}, NULL);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 22 * MS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&mutex);
        pthread_cond_timedwait(&never, &mutex, &until);
        pthread_mutex_unlock(&mutex);
        for (uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + 55 * MS;
             clock_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
            ;
    }
    return unused;
}

static struct {
    uint64_t by_reason[CPROF_WAITS], nowhere, delayed, others;
    unsigned cut, own;
} seen;
static bool nameless; /* the runtime has no names yet */

static bool is_known(const struct thread_view *thread)
{
    seen.own += strncmp(thread->name, OWN_THREAD_PREFIX, strlen(OWN_THREAD_PREFIX)) == 0;
    return strcmp(thread->name, "known") == 0;
}

static int place(void *closure, const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, bool may_wait, struct thread_last *where)
{
    (void)closure;
    if (nameless && may_wait)
        return -EAGAIN;
    if (is_known(thread))
        seen.cut += record->native_end != WALK_COMPLETE || record->native_count < 3;
    *where = (struct thread_last){.wait = (uint32_t)wait->reason};
    return 0;
}

static void waited(void *closure, const struct thread_view *thread,
                   const struct thread_last *where, uint32_t microseconds, uint32_t times)
{
    (void)closure, (void)times;
    uint64_t *to = !is_known(thread) ? &seen.others
                   : where == NULL   ? &seen.nowhere
                                     : &seen.by_reason[where->wait];
    *to += microseconds;
}

static void delayed(void *closure, const struct thread_view *thread, uint32_t microseconds)
{
    (void)closure;
    if (is_known(thread))
        seen.delayed += microseconds;
}

static const struct looks_receiver receiver = {
    .place = place, .waited = waited, .delayed = delayed};

static void *own_sleeper(void *unused)
{
    while (!atomic_load(&over))
        usleep(1000);
    return unused;
}

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure, (void)index;
    return NULL;
}

/* The waits' shares go by chance and by the machine; their sum does not. */
static void waits_of_a_thread_are_told_apart_and_their_sum_is_exact(void **state)
{
    (void)state;
    pthread_t known, own;
    struct budget budget;
    budget_init(&budget, (size_t)16 << 20);
    struct modules *modules = modules_new(&budget);
    assert_true(modules_refresh(modules, no_readers, NULL) >= 0);
    const struct threads_config threads = {.record_max = take_record_max(64),
                                           .budget = &budget};
    threads_open(&threads);
    assert_int_equal(own_thread_start(&own, OWN_THREAD_PREFIX "sleeper", own_sleeper, NULL), 0);
    assert_int_equal(pthread_create(&known, NULL, known_waits, NULL), 0);
    pthread_setname_np(known, "known");
    while (atomic_load(&known_tid) == 0)
        usleep(1000);
    assert_int_equal(threads_scan(true), 0);
    const struct looks_config config = {
        .looker = {.budget = &budget, .native = true, .max_frames = 64},
        .period_ns = 10 * MS,
        .receiver = &receiver};
    struct looks *looks = looks_new(&config);
    size_t held = budget_used(&budget);
    looks_round(looks, modules_current(modules));
    uint64_t began = clock_ns(CLOCK_MONOTONIC), ran = thread_ran_ns(atomic_load(&known_tid));
    while (clock_ns(CLOCK_MONOTONIC) - began < 2500ULL * MS) {
        usleep(4000);
        if (looks_due(looks) <= clock_ns(CLOCK_MONOTONIC))
            looks_round(looks, modules_current(modules));
    }
    looks_settle(looks, true);
    int64_t elapsed = (int64_t)((clock_ns(CLOCK_MONOTONIC) - began) / 1000);
    ran = (thread_ran_ns(atomic_load(&known_tid)) - ran) / 1000;
    struct looks_counts counts;
    looks_count(looks, &counts);
    int64_t sleeping = (int64_t)seen.by_reason[CPROF_WAIT_SLEEP],
            locked = (int64_t)seen.by_reason[CPROF_WAIT_LOCK];
    int64_t sum = sleeping + locked + (int64_t)(seen.delayed + seen.nowhere + ran);
    print_message(
        "%lld us: ran %lld, sleep %lld, lock %lld, delayed %lld, nowhere %lld; %llu looks, "
        "%llu torn, %llu skipped\n",
        (long long)elapsed, (long long)ran, (long long)sleeping, (long long)locked,
        (long long)seen.delayed, (long long)seen.nowhere, (unsigned long long)counts.taken,
        (unsigned long long)counts.torn, (unsigned long long)counts.skipped);
    /* Run delay that was counted as waiting by the time of the last look is subtracted later.
     */
    assert_in_range(sum + 300000 - elapsed, 0, 600000);
    assert_true(sleeping > 0 && locked > 0);
    assert_true(seen.others > 0); /* this thread sleeps, too */
    assert_true(counts.taken > 5);
    assert_int_equal(seen.cut, 0);
    assert_int_equal(seen.own, 0);
    assert_int_equal(budget_used(&budget), held);
    looks_free(looks);
    atomic_store(&over, true);
    pthread_join(known, NULL);
    pthread_join(own, NULL);
    threads_disarm();
    threads_close();
    modules_free(modules);
    assert_int_equal(budget_used(&budget), 0);
}

/* ---- waits without names ---- */

static bool add_wait(struct unnamed *unnamed, struct budget *budget, enum cprof_wait reason,
                     uint64_t until)
{
    const struct thread_view view = {.name = "known"};
    const struct record record = {.size = sizeof record, .native_count = 3};
    const struct wait wait = {.state = WAIT_WAITING, .reason = reason};
    return unnamed_add(unnamed, budget, &view, &record, &wait, 7, until);
}

static void waits_keep_their_time_until_they_have_names_and_no_longer_than_that(void **state)
{
    (void)state;
    struct unnamed unnamed = {0};
    struct budget budget;
    memset(&seen, 0, sizeof seen);
    budget_init(&budget, (size_t)1 << 20);
    nameless = true;
    assert_true(add_wait(&unnamed, &budget, CPROF_WAIT_IO, UINT64_MAX));
    assert_true(add_wait(&unnamed, &budget, CPROF_WAIT_SLEEP, UINT64_MAX));
    unnamed_count(&unnamed, &budget, &receiver, false);
    assert_int_equal(seen.by_reason[CPROF_WAIT_IO] + seen.by_reason[CPROF_WAIT_SLEEP], 0);
    nameless = false;
    unnamed_count(&unnamed, &budget, &receiver, false);
    assert_int_equal(seen.by_reason[CPROF_WAIT_IO], 7);
    assert_int_equal(seen.by_reason[CPROF_WAIT_SLEEP], 7);
    nameless = true;
    assert_true(add_wait(&unnamed, &budget, CPROF_WAIT_LOCK, 1)); /* long ago */
    unnamed_count(&unnamed, &budget, &receiver, false);
    assert_int_equal(seen.by_reason[CPROF_WAIT_LOCK], 7);
    for (int i = 0; i < UNNAMED_MAX; i++)
        assert_true(add_wait(&unnamed, &budget, CPROF_WAIT_CHILD, UINT64_MAX));
    assert_false(add_wait(&unnamed, &budget, CPROF_WAIT_CHILD, UINT64_MAX));
    unnamed_count(&unnamed, &budget, &receiver, true);
    assert_int_equal(seen.by_reason[CPROF_WAIT_CHILD], 7 * UNNAMED_MAX);
    assert_int_equal(unnamed.count, 0);
    assert_int_equal(budget_used(&budget), 0);
    nameless = false;
}

static int ends[2];
static atomic_bool busy; /* it runs between its waits */
static atomic_int step;  /* 1: it is about to wait for input, 2: it has had it */

/* Waits for input, then, once it is not busy, for a condition. */
static void *two_waits(void *unused)
{
    char byte;
    atomic_store(&known_tid, (pid_t)syscall(SYS_gettid));
    atomic_store(&step, 1);
    if (read(ends[0], &byte, 1) != 1)
        return unused;
    atomic_store(&step, 2);
    while (atomic_load(&busy))
        ;
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&over))
        pthread_cond_wait(&never, &mutex);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void sleeps_in(pid_t tid, long call)
{
    struct kernel_asleep asleep;
    while (kernel_asleep(tid, &asleep) != 0 || asleep.call != call)
        usleep(1000);
}

/* Rounds until so many looks at sleepers have been taken in all, and some on. */
static void look_on(struct looks *looks, const struct module_map *map, uint64_t taken)
{
    struct looks_counts counts = {0};
    while (counts.taken < taken) {
        usleep(5000);
        looks_round(looks, map);
        looks_count(looks, &counts);
    }
    for (uint64_t some = counts.unmoved + 4; counts.unmoved < some;) {
        usleep(5000);
        looks_round(looks, map);
        looks_count(looks, &counts);
    }
}

/* A thread of two_waits(), which waits for input, and what looks at it. */
struct watch {
    struct budget budget;
    struct modules *modules;
    const struct module_map *map;
    pthread_t known;
    struct looks *looks;
};

static void begin_watch(struct watch *watch)
{
    memset(&seen, 0, sizeof seen);
    atomic_store(&over, false);
    atomic_store(&step, 0);
    budget_init(&watch->budget, (size_t)16 << 20);
    watch->modules = modules_new(&watch->budget);
    assert_true(modules_refresh(watch->modules, no_readers, NULL) >= 0);
    watch->map = modules_current(watch->modules);
    const struct threads_config threads = {.record_max = take_record_max(64),
                                           .budget = &watch->budget};
    threads_open(&threads);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&watch->known, NULL, two_waits, NULL), 0);
    pthread_setname_np(watch->known, "known");
    while (atomic_load(&step) < 1)
        usleep(1000);
    sleeps_in(atomic_load(&known_tid), SYS_read);
    assert_int_equal(threads_scan(true), 0);
    const struct looks_config config = {
        .looker = {.budget = &watch->budget, .native = true, .max_frames = 64},
        .period_ns = 10 * MS,
        .receiver = &receiver};
    watch->looks = looks_new(&config);
}

static void end_watch(struct watch *watch)
{
    looks_free(watch->looks);
    pthread_mutex_lock(&mutex);
    atomic_store(&over, true);
    pthread_cond_broadcast(&never);
    pthread_mutex_unlock(&mutex);
    pthread_join(watch->known, NULL);
    close(ends[0]), close(ends[1]);
    threads_disarm();
    threads_close();
    modules_free(watch->modules);
    assert_int_equal(budget_used(&watch->budget), 0);
}

/* The thread has gone on before the names of its first wait come. */
static void a_wait_without_names_keeps_its_time_when_the_thread_goes_on(void **state)
{
    (void)state;
    struct watch watch;
    begin_watch(&watch);
    nameless = true;
    look_on(watch.looks, watch.map, 1);
    uint64_t began = clock_ns(CLOCK_MONOTONIC);
    usleep(100000);
    look_on(watch.looks, watch.map, 1);
    uint64_t seen_for = (clock_ns(CLOCK_MONOTONIC) - began) / 1000;
    assert_int_equal(write(ends[1], "x", 1), 1);
    sleeps_in(atomic_load(&known_tid), SYS_futex);
    look_on(watch.looks, watch.map, 2);
    assert_false(looks_name(watch.looks, false));
    nameless = false;
    assert_true(looks_name(watch.looks, false));
    assert_in_range(seen.by_reason[CPROF_WAIT_IO], 100000, seen_for + 2000000);
    assert_true(seen.by_reason[CPROF_WAIT_IO] + seen.delayed > seen_for * 9 / 10);
    looks_settle(watch.looks, true);
    assert_true(seen.by_reason[CPROF_WAIT_LOCK] > 0);
    end_watch(&watch);
}

/* A program often ends because a wait has: the last looks find its thread awake. */
static void what_has_no_place_at_the_end_is_where_the_thread_slept_last(void **state)
{
    (void)state;
    struct watch watch;
    begin_watch(&watch);
    look_on(watch.looks, watch.map, 1);
    usleep(300000);
    atomic_store(&busy, true);
    assert_int_equal(write(ends[1], "x", 1), 1);
    while (atomic_load(&step) < 2)
        usleep(1000);
    for (int round = 0; round < 20; round++) {
        usleep(10000);
        looks_round(watch.looks, watch.map);
    }
    looks_settle(watch.looks, true);
    assert_true(seen.by_reason[CPROF_WAIT_IO] + seen.delayed > 300000);
    assert_int_equal(seen.nowhere, 0);
    atomic_store(&busy, false);
    end_watch(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_s_file_is_read),
        cmocka_unit_test(names_in_the_kernel_s_stack_are_found),
        cmocka_unit_test(the_kernel_names_the_function_in_which_a_thread_sleeps),
        cmocka_unit_test(a_kernel_name_has_one_address),
        cmocka_unit_test(what_the_file_never_says_is_no_place),
        cmocka_unit_test(a_call_says_what_is_waited_for),
        cmocka_unit_test(what_the_runtime_knows_of_a_place_goes_before_what_its_call_says),
        cmocka_unit_test(a_file_is_a_disk_and_a_socket_has_a_peer),
        cmocka_unit_test(a_contended_mutex_names_its_holder),
        cmocka_unit_test(waits_keep_what_has_room_and_the_reason_of_the_rest),
        cmocka_unit_test(waits_keep_their_time_until_they_have_names_and_no_longer_than_that),
#ifdef __x86_64__
        cmocka_unit_test(waits_of_a_thread_are_told_apart_and_their_sum_is_exact),
        cmocka_unit_test(a_wait_without_names_keeps_its_time_when_the_thread_goes_on),
        cmocka_unit_test(what_has_no_place_at_the_end_is_where_the_thread_slept_last),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
