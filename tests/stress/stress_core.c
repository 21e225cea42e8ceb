/*
 * stress_core [SECONDS]: samples at 2,000 Hz of real time, running or not, while threads load
 * and unload a library, walk the loader's list, allocate, recurse, start and end threads, fork
 * and restart the engine, and collect garbage: map, fill and unmap memory.
 *
 * A watchdog demands that every kind of work makes progress every half minute. Every stack of
 * every profile is judged: one that holds a call which this program does not make is wrong.
 * Exit 0 when nothing hung, crashed, went missing or was wrong.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/cprof.h"
#include "format/format.h"
#include "sample/timer.h"
#include "wrong_stack.h"

enum { CHILD_UNPROFILED, CHILD_DELIVERED, CHILD_LOST }; /* how a forked child exits */
/* The locks of the sanitizers' own allocators do not survive a fork amid other threads. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define FORKS false
#else
#define FORKS true
#endif

#define PATIENCE 30 /* seconds without progress that count as a hang */

/* glibc has named this union member only since 2.38. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define PERIOD_NS 500000

enum work {
    LOADING,
    LISTING,
    ALLOCATING,
    COLLECTING,
    RECURSING,
    CHURNING,
    FORKING,
    RESTARTING,
    WORKS
};
static const char *const work_names[WORKS] = {
    "dlopen/dlclose", "dl_iterate_phdr", "malloc", "gc",
    "recursion",      "thread churn",    "fork",   "start/stop/flush/stats"};

/* Who calls whom in here. */
static const struct known_calls calls[] = {
    {"descend", {"descend", "recursing", "short_life", "child"}},
    {"turn", {"turn", "plugin_work"}},
    {"plugin_work", {"loading"}},
    {"count_module", {"dl_iterate_phdr"}},
    {"child", {"forking"}},
    {"sweep", {"collecting"}},
    {NULL, {NULL}},
};
static const char *const roots[] = {"loading",    "listing",   "allocating",
                                    "collecting", "recursing", "short_life",
                                    "churning",   "forking",   "restarting"};

static _Atomic uint64_t progress[WORKS];
static _Atomic bool going = true;
static _Atomic uint64_t samples, truncated, failed, dropped, profiles;
static uint64_t judged, wrong;     /* stacks */
static _Atomic unsigned delivered; /* profiles of children */
static char directory[] = "/tmp/cprof-stress-XXXXXX";
static char output[128];

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "stress_core: %s\n", what);
    _exit(1);
}

/* Signals cut sleeps short. */
static void rest(uint64_t ns)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + ns;
    const struct timespec time = {.tv_sec = (time_t)(until / NS_PER_SECOND),
                                  .tv_nsec = (long)(until % NS_PER_SECOND)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

/* Put in the place of timer_arm() by the linker: ticks bound CPU clocks to some 250 signals a
 * second, and a sleeping thread gets none. This one fires whatever the thread does. */
int __wrap_timer_arm(struct thread_timer *timer, pid_t tid, int signal, uint64_t value,
                     uint64_t first_ns, uint64_t period_ns);
int __wrap_timer_arm(struct thread_timer *timer, pid_t tid, int signal, uint64_t value,
                     uint64_t first_ns, uint64_t period_ns)
{
    (void)first_ns, (void)period_ns;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = signal,
                             .sigev_value.sival_ptr = (void *)(uintptr_t)value};
    event.sigev_notify_thread_id = tid;
    const struct itimerspec times = {.it_value.tv_nsec = PERIOD_NS,
                                     .it_interval.tv_nsec = PERIOD_NS};
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer->id) != 0 ||
        syscall(SYS_timer_settime, timer->id, 0, &times, NULL) != 0)
        return -errno;
    return 0;
}

static void *loading(void *unused)
{
    for (; going; progress[LOADING]++) {
        void *library = dlopen(PLUGIN, RTLD_NOW);
        check(library != NULL, "the plugin can't be loaded");
        int (*work)(int);
        *(void **)&work = dlsym(library, "plugin_work");
        work(2000);
        dlclose(library);
    }
    return unused;
}

static int count_module(struct dl_phdr_info *info, size_t size, void *count)
{
    (void)info, (void)size;
    ++*(size_t *)count;
    return 0;
}

static void *listing(void *unused)
{
    for (; going; progress[LISTING]++) {
        size_t count = 0;
        dl_iterate_phdr(count_module, &count);
        check(count > 0, "no modules");
    }
    return unused;
}

static void *allocating(void *unused)
{
    void *blocks[256] = {NULL};
    uint64_t random = 88172645463325252ULL;
    for (; going; progress[ALLOCATING]++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        void **block = &blocks[random % 256];
        free(*block);
        *block = malloc(random / 256 % 20000);
        errno = 77;
        for (volatile int i = 0; i < 100; i++)
            ;
        check(errno == 77, "errno was changed");
    }
    for (size_t i = 0; i < 256; i++)
        free(blocks[i]);
    return unused;
}

/* As garbage collectors do it: pages come, are filled, protected, read and go. */
__attribute__((noinline)) static void sweep(unsigned char *heap, size_t size)
{
    for (size_t i = 0; i < size; i += 512)
        heap[i] = (unsigned char)i;
    mprotect(heap, size, PROT_READ);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i += 64)
        sum += heap[i];
    check(sum % 512 == 0 || sum != 0, "the heap lost what was written");
    madvise(heap, size, MADV_DONTNEED);
}

static void *collecting(void *unused)
{
    enum { HEAP = 1 << 20 };
    for (; going; progress[COLLECTING]++) {
        unsigned char *heap =
            mmap(NULL, HEAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(heap != MAP_FAILED, "no heap");
        sweep(heap, HEAP);
        munmap(heap, HEAP);
    }
    return unused;
}

__attribute__((noinline)) static uint64_t descend(unsigned depth)
{
    volatile unsigned char frame[64] = {0};
    return depth == 0 ? frame[0] : descend(depth - 1) + 1 + frame[depth % 64];
}

/* Half of it deeper than a stack may be. */
static void *recursing(void *unused)
{
    for (; going; progress[RECURSING]++) {
        unsigned depth = progress[RECURSING] % 2 ? 2000 : 200;
        check(descend(depth) == depth, "the recursion went wrong");
    }
    return unused;
}

static void *short_life(void *entered)
{
    if (entered != NULL)
        cprof_thread_enter(0, "short");
    descend(200);
    if (entered != NULL)
        cprof_thread_leave();
    return NULL;
}

static void *churning(void *unused)
{
    for (; going; progress[CHURNING]++) {
        pthread_t threads[8];
        for (uintptr_t i = 0; i < 8; i++)
            check(pthread_create(&threads[i], NULL, short_life, i % 2 ? &threads : NULL) == 0,
                  "no thread");
        for (int i = 0; i < 8; i++)
            pthread_join(threads[i], NULL);
    }
    return unused;
}

/* A fork amid another thread's dlopen leaves the loader locked in the child (glibc): its
 * profile must come all the same. */
__attribute__((noinline)) static void child(bool announced)
{
    alarm(60); /* a child that hangs dies, and its parent tells */
    if (announced)
        cprof_fork_child();
    if (!cprof_is_running())
        _exit(CHILD_UNPROFILED); /* nobody announced it, or the parent was between stop and
                                    start */
    struct cprof_stats stats;
    const uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + NS_PER_SECOND;
    do {
        descend(2000);
        cprof_stats(&stats);
    } while (stats.samples == 0 && clock_ns(CLOCK_THREAD_CPUTIME_ID) < end);
    int status = cprof_stop(30);
    cprof_stats(&stats);
    _exit(status == 0 && stats.profiles_exported > 0 ? CHILD_DELIVERED : CHILD_LOST);
}

static void *forking(void *unused)
{
    for (; going; progress[FORKING]++) {
        rest(20000000);
        if (!FORKS)
            continue;
        bool announced = progress[FORKING] % 4 != 0;
        if (announced)
            cprof_fork_prepare();
        pid_t pid = fork();
        if (pid == 0)
            child(announced);
        if (announced)
            cprof_fork_parent();
        check(pid > 0, "fork failed");
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        check(WIFEXITED(status), "a forked child hung or crashed");
        check(WEXITSTATUS(status) < CHILD_LOST, "a forked child's profile was lost");
        delivered += WEXITSTATUS(status) == CHILD_DELIVERED;
    }
    return unused;
}

static void start(void)
{
    char error[256];
    const struct cprof_options options = {.rate = 1000, .interval = 0.5, .output = output};
    if (cprof_start(&options, NULL, error, sizeof error) != 0)
        check(false, error);
}

static void add_up(void)
{
    struct cprof_stats stats;
    cprof_stats(&stats);
    samples += stats.samples;
    truncated += stats.samples_truncated;
    failed += stats.samples_failed;
    dropped += stats.samples_dropped;
    profiles += stats.profiles_exported;
}

static void *restarting(void *unused)
{
    for (; going; progress[RESTARTING]++) {
        struct cprof_stats stats;
        for (int i = 0; i < 20 && going; i++) {
            rest(50000000);
            cprof_stats(&stats);
        }
        check(cprof_flush(30) == 0, "flush failed");
        check(cprof_stop(30) == 0, "stop failed");
        add_up();
        start();
    }
    return unused;
}

static void judge(const char *path)
{
    char error[FORMAT_ERROR_SIZE];
    struct profile *profile = format_read_file(path, error);
    check(profile != NULL, error);
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        profile_id stack = profile_get_sample(profile, i).stack;
        const char *text =
            wrong_stack(profile, stack, calls, roots, sizeof roots / sizeof *roots);
        judged++;
        if (text != NULL && wrong++ < 10)
            fprintf(stderr, "stress_core: a wrong stack, leaf first, %s\n", text);
    }
    profile_free(profile);
}

/* What has been delivered so far is judged and removed. */
static void judge_all(void)
{
    DIR *files = opendir(directory);
    check(files != NULL, "the directory can't be read");
    for (struct dirent *entry; (entry = readdir(files)) != NULL;) {
        char path[sizeof directory + sizeof entry->d_name];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        size_t length = strlen(path);
        if (strncmp(entry->d_name, "out-", 4) != 0 || strcmp(path + length - 3, ".gz") != 0)
            continue;
        judge(path);
        unlink(path);
    }
    closedir(files);
}

static void watch(unsigned seconds)
{
    uint64_t seen[WORKS] = {0};
    unsigned still[WORKS] = {0};
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_SECOND;
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        rest(NS_PER_SECOND);
        for (int i = 0; i < WORKS; i++) {
            still[i] = progress[i] == seen[i] ? still[i] + 1 : 0;
            seen[i] = progress[i];
            if (still[i] >= PATIENCE) {
                fprintf(stderr, "stress_core: %s hangs\n", work_names[i]);
                abort(); /* a core file tells where */
            }
        }
        judge_all();
    }
}

static void print_results(double wall)
{
    for (int i = 0; i < WORKS; i++)
        printf("%-24s %llu\n", work_names[i], (unsigned long long)progress[i]);
    printf("%-24s %u\n", "profiles of children", delivered);
    printf("samples %llu (%.0f a second), truncated %llu, failed %llu, dropped %llu, "
           "profiles %llu\n",
           (unsigned long long)samples, (double)samples / wall, (unsigned long long)truncated,
           (unsigned long long)failed, (unsigned long long)dropped,
           (unsigned long long)profiles);
    printf("stacks judged %llu, wrong %llu\n", (unsigned long long)judged,
           (unsigned long long)wrong);
}

int main(int argc, char **argv)
{
    static void *(*const works[WORKS])(void *) = {loading,   listing,  allocating, collecting,
                                                  recursing, churning, forking,    restarting};
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
    setenv("CPROF_LOG", "error", 1); /* that samples are dropped is no news here */
    check(mkdtemp(directory) != NULL, "no directory");
    snprintf(output, sizeof output, "%s/out-%%p-%%n.pb.gz", directory);
    uint64_t began = clock_ns(CLOCK_MONOTONIC);
    start();
    pthread_t threads[WORKS];
    for (int i = 0; i < WORKS; i++)
        pthread_create(&threads[i], NULL, works[i], NULL);
    watch(seconds);
    going = false;
    for (int i = 0; i < WORKS; i++)
        pthread_join(threads[i], NULL);
    check(cprof_stop(30) == 0, "the last stop failed");
    add_up();
    judge_all();
    print_results((double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9);
    fflush(stdout);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    check(system(command) == 0, "the directory can't be removed");
    check(samples > 0 && profiles > 0 && judged > 0, "nothing was sampled");
    check(truncated < samples, "no whole stack");
    check(wrong == 0, "stacks were wrong");
    return 0;
}
