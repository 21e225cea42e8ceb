/*
 * stress_core [SECONDS]: samples at 1,000 Hz while threads load and unload a library, walk the
 * loader's list, allocate, recurse, start and end threads, fork and restart the engine.
 *
 * A watchdog demands that every kind of work makes progress every ten seconds. At the end the
 * profile must hold sane totals. Exit 0 when nothing hung, crashed or went missing.
 */
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
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/cprof.h"

enum { CHILD_UNPROFILED, CHILD_DELIVERED, CHILD_LOST }; /* how a forked child exits */
/* The locks of the sanitizers' own allocators do not survive a fork amid other threads. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define FORKS false
#else
#define FORKS true
#endif

#define PATIENCE 10 /* seconds without progress that count as a hang */

enum work { LOADING, LISTING, ALLOCATING, RECURSING, CHURNING, FORKING, RESTARTING, WORKS };
static const char *const work_names[WORKS] = {
    "dlopen/dlclose", "dl_iterate_phdr",       "malloc", "recursion", "thread churn",
    "fork",           "start/stop/flush/stats"};

static _Atomic uint64_t progress[WORKS];
static _Atomic bool going = true;
static _Atomic uint64_t samples, truncated, failed, dropped, profiles;
static _Atomic unsigned delivered; /* profiles of children */
static char output[128];

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "stress_core: %s\n", what);
    _exit(1);
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

__attribute__((noinline)) static uint64_t descend(unsigned depth)
{
    volatile unsigned char frame[64] = {0};
    return depth == 0 ? frame[0] : descend(depth - 1) + 1 + frame[depth % 64];
}

static void *recursing(void *unused)
{
    for (; going; progress[RECURSING]++)
        check(descend(2000) == 2000, "the recursion went wrong");
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
static void child(bool announced)
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
        usleep(20000);
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
            usleep(50000);
            cprof_stats(&stats);
        }
        check(cprof_flush(30) == 0, "flush failed");
        check(cprof_stop(30) == 0, "stop failed");
        add_up();
        start();
    }
    return unused;
}

static void watch(unsigned seconds)
{
    uint64_t seen[WORKS] = {0};
    unsigned still[WORKS] = {0};
    for (unsigned second = 0; second < seconds; second++) {
        sleep(1);
        for (int i = 0; i < WORKS; i++) {
            still[i] = progress[i] == seen[i] ? still[i] + 1 : 0;
            seen[i] = progress[i];
            if (still[i] >= PATIENCE) {
                fprintf(stderr, "stress_core: %s hangs\n", work_names[i]);
                abort(); /* a core file tells where */
            }
        }
    }
}

static void print_results(double cpu)
{
    for (int i = 0; i < WORKS; i++)
        printf("%-24s %llu\n", work_names[i], (unsigned long long)progress[i]);
    printf("%-24s %u\n", "profiles of children", delivered);
    printf("samples %llu (%.1f %% of the CPU time), truncated %llu, failed %llu, dropped %llu, "
           "profiles %llu\n",
           (unsigned long long)samples, 100 * (double)samples / 1000 / cpu,
           (unsigned long long)truncated, (unsigned long long)failed,
           (unsigned long long)dropped, (unsigned long long)profiles);
}

int main(int argc, char **argv)
{
    static void *(*const works[WORKS])(void *) = {loading,  listing, allocating, recursing,
                                                  churning, forking, restarting};
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
    char directory[] = "/tmp/cprof-stress-XXXXXX";
    check(mkdtemp(directory) != NULL, "no directory");
    snprintf(output, sizeof output, "%s/out-%%p-%%n.pb.gz", directory);
    double before = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
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
    print_results((double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9 - before);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    check(system(command) == 0, "the directory can't be removed");
    check(samples > 0 && profiles > 0, "nothing was sampled");
    check(truncated < samples, "no whole stack");
    return 0;
}
