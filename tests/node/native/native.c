/*
 * A native addon for the tests: work() burns CPU in C and calls a JavaScript function in
 * between; hammer() makes every thread's sampling signal come at a rate that no kernel tick
 * allows, by sending what the timers would send: /proc/self/timers says which signal, to whom,
 * with what. compare() times that signal on this thread beside one with an empty handler;
 * cpuOf() times a function with it or without, ownCpu() is the clock for that.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <node_api.h>

static volatile unsigned sink;

__attribute__((noinline)) static void native_burn(unsigned rounds)
{
    for (unsigned i = 0; i < rounds * 1000; i++)
        sink = sink * 31 + i;
}

/* work(callback, times, rounds): calls back `times` times, and burns each time. */
static napi_value native_work(napi_env env, napi_callback_info info)
{
    size_t count = 3;
    napi_value arguments[3], undefined, result;
    uint32_t times = 0, rounds = 0;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    napi_get_value_uint32(env, arguments[1], &times);
    napi_get_value_uint32(env, arguments[2], &rounds);
    napi_get_undefined(env, &undefined);
    for (uint32_t i = 0; i < times; i++) {
        native_burn(rounds);
        if (napi_call_function(env, undefined, arguments[0], 0, NULL, &result) != napi_ok)
            return NULL;
    }
    return NULL;
}

/* ---- the hammer ---- */

enum { TARGETS_MAX = 64, ROUNDS_PER_LOOK = 20, QUEUED_MAX = 1000 };

static struct target {
    int signal, tid;
    void *value;
} targets[TARGETS_MAX];
static uint32_t rate;

/* A number from a file of /proc: what follows `name`, read by `format`. */
static unsigned long long read_number(const char *path, const char *name, const char *format)
{
    char text[4096];
    unsigned long long number = 0;
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    const char *at = strstr(text, name);
    if (at != NULL)
        sscanf(at + strlen(name), format, &number);
    return number;
}

/* Signals wait where a thread blocks them. There is a limit to those of a user, whose other
 * programs need them as well. */
static int takes_signals(const struct target *target)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", target->tid);
    return (read_number(path, "SigBlk:", " %llx") >> (target->signal - 1) & 1) == 0 &&
           read_number(path, "SigQ:", " %llu") < QUEUED_MAX;
}

static size_t find_targets(void)
{
    char line[256];
    size_t count = 0;
    struct target at = {0};
    FILE *timers = fopen("/proc/self/timers", "re");
    while (timers != NULL && count < TARGETS_MAX && fgets(line, sizeof line, timers) != NULL) {
        sscanf(line, "signal: %d/%p", &at.signal, &at.value);
        if (sscanf(line, "notify: signal/tid.%d", &at.tid) == 1 && at.value != NULL &&
            takes_signals(&at))
            targets[count++] = at;
    }
    if (timers != NULL)
        fclose(timers);
    return count;
}

static siginfo_t timer_info(int signal, void *value)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = signal;
    info.si_code = SI_TIMER;
    info.si_value.sival_ptr = value;
    return info;
}

static void *run_hammer(void *unused)
{
    const struct timespec pause = {.tv_nsec = 1000000000 / (long)rate};
    for (;;) {
        size_t count = find_targets();
        for (int round = 0; round < ROUNDS_PER_LOOK; round++) {
            for (size_t i = 0; i < count; i++) {
                const siginfo_t info = timer_info(targets[i].signal, targets[i].value);
                syscall(SYS_rt_tgsigqueueinfo, getpid(), targets[i].tid, info.si_signo, &info);
            }
            nanosleep(&pause, NULL);
        }
    }
    return unused;
}

/* hammer(rate): signals per second and thread, from now on. */
static napi_value native_hammer(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    pthread_t thread;
    napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
    napi_get_value_uint32(env, argument, &rate);
    if (rate == 0 || pthread_create(&thread, NULL, run_hammer, NULL) != 0)
        napi_throw_error(env, NULL, "no hammer");
    return NULL;
}

/* ---- the comparison ---- */

static void on_empty(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
}

/* This thread's; NULL: it has none. */
static const struct target *find_own(void)
{
    const pid_t tid = (pid_t)syscall(SYS_gettid);
    const size_t found = find_targets();
    for (size_t i = 0; i < found; i++)
        if (targets[i].tid == tid)
            return &targets[i];
    return NULL;
}

/* Nanoseconds of a signal's way to this thread and back. */
static double time_signal(const siginfo_t *info, pid_t tid)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, info->si_signo, info);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}

/* compare(times): fills a Float64Array with the nanoseconds of signals by turns, an empty
 * handler's and that of this thread's timer. */
static napi_value native_compare(napi_env env, napi_callback_info call)
{
    enum { PER_PAUSE = 16 };
    const struct sigaction action = {.sa_sigaction = on_empty,
                                     .sa_flags = SA_SIGINFO | SA_RESTART};
    const struct timespec pause = {.tv_nsec = 2000000}; /* the collector keeps up, as in life */
    const pid_t tid = (pid_t)syscall(SYS_gettid);
    size_t count = 1, length = 0;
    napi_value argument;
    void *times = NULL;
    napi_get_cb_info(env, call, &count, &argument, NULL, NULL);
    napi_get_typedarray_info(env, argument, NULL, &length, &times, NULL, NULL);
    const struct target *own = find_own();
    if (own == NULL || sigaction(SIGUSR2, &action, NULL) != 0) {
        napi_throw_error(env, NULL, "this thread has no timer");
        return NULL;
    }
    const siginfo_t empty = timer_info(SIGUSR2, NULL);
    const siginfo_t sample = timer_info(own->signal, own->value);
    for (size_t i = 0; i < length; i++) {
        ((double *)times)[i] = time_signal(i % 2 == 0 ? &empty : &sample, tid);
        if (i % PER_PAUSE == PER_PAUSE - 1)
            nanosleep(&pause, NULL);
    }
    return NULL;
}

static double own_cpu(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* cpuOf(run, blocked): nanoseconds of this thread's CPU time that run() takes, with the signal
 * of its timer blocked or not. It is unblocked afterwards. */
static napi_value native_cpu_of(napi_env env, napi_callback_info call)
{
    static int signal; /* its number, the same for all threads */
    size_t count = 2;
    napi_value arguments[2], undefined, result;
    bool blocked = false;
    sigset_t set;
    if (signal == 0 && find_own() != NULL)
        signal = find_own()->signal;
    if (signal == 0) {
        napi_throw_error(env, NULL, "this thread has no timer");
        return NULL;
    }
    napi_get_cb_info(env, call, &count, arguments, NULL, NULL);
    napi_get_value_bool(env, arguments[1], &blocked);
    napi_get_undefined(env, &undefined);
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
    const double began = own_cpu();
    napi_call_function(env, undefined, arguments[0], 0, NULL, &result);
    const double took = own_cpu() - began;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    napi_create_double(env, took, &result);
    return result;
}

/* ownCpu(): nanoseconds of CPU time that this thread has had. */
static napi_value native_own_cpu(napi_env env, napi_callback_info call)
{
    napi_value result;
    (void)call;
    napi_create_double(env, own_cpu(), &result);
    return result;
}

NAPI_MODULE_INIT()
{
    napi_value function;
    napi_create_function(env, "work", NAPI_AUTO_LENGTH, native_work, NULL, &function);
    napi_set_named_property(env, exports, "work", function);
    napi_create_function(env, "hammer", NAPI_AUTO_LENGTH, native_hammer, NULL, &function);
    napi_set_named_property(env, exports, "hammer", function);
    napi_create_function(env, "compare", NAPI_AUTO_LENGTH, native_compare, NULL, &function);
    napi_set_named_property(env, exports, "compare", function);
    napi_create_function(env, "cpuOf", NAPI_AUTO_LENGTH, native_cpu_of, NULL, &function);
    napi_set_named_property(env, exports, "cpuOf", function);
    napi_create_function(env, "ownCpu", NAPI_AUTO_LENGTH, native_own_cpu, NULL, &function);
    napi_set_named_property(env, exports, "ownCpu", function);
    return exports;
}
