/*
 * A native addon for the tests: work() burns CPU in C and calls a JavaScript function in between;
 * hammer() makes every thread's sampling signal come at a rate that no kernel tick allows, by
 * sending what the timers would send: /proc/self/timers says which signal, to whom, with what.
 */
#include <pthread.h>
#include <signal.h>
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

enum { TARGETS_MAX = 64, ROUNDS_PER_LOOK = 50, QUEUED_MAX = 1000 };

static struct target {
    int signal, tid;
    void *value;
} targets[TARGETS_MAX];
static uint32_t rate;

static size_t find_targets(void)
{
    char line[256];
    size_t count = 0;
    struct target at = {0};
    FILE *timers = fopen("/proc/self/timers", "re");
    while (timers != NULL && count < TARGETS_MAX && fgets(line, sizeof line, timers) != NULL) {
        sscanf(line, "signal: %d/%p", &at.signal, &at.value);
        if (sscanf(line, "notify: signal/tid.%d", &at.tid) == 1 && at.value != NULL)
            targets[count++] = at;
    }
    if (timers != NULL)
        fclose(timers);
    return count;
}

/* Signals that wait to be taken, of all the user's processes: there is a limit to them, which
 * others need as well. A thread that does not run takes none. */
static long count_queued(void)
{
    char text[4096];
    long queued = QUEUED_MAX;
    FILE *status = fopen("/proc/self/status", "re");
    size_t size = status != NULL ? fread(text, 1, sizeof text - 1, status) : 0;
    if (status != NULL)
        fclose(status);
    text[size] = '\0';
    const char *at = strstr(text, "SigQ:");
    if (at != NULL)
        sscanf(at, "SigQ: %ld", &queued);
    return queued;
}

static void *run_hammer(void *unused)
{
    const struct timespec pause = {.tv_nsec = 1000000000 / (long)rate};
    for (;;) {
        size_t count = find_targets();
        for (int round = 0; round < ROUNDS_PER_LOOK; round++) {
            for (size_t i = 0; i < count && count_queued() < QUEUED_MAX; i++) {
                siginfo_t info;
                memset(&info, 0, sizeof info);
                info.si_signo = targets[i].signal;
                info.si_code = SI_TIMER;
                info.si_value.sival_ptr = targets[i].value;
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

NAPI_MODULE_INIT()
{
    napi_value function;
    napi_create_function(env, "work", NAPI_AUTO_LENGTH, native_work, NULL, &function);
    napi_set_named_property(env, exports, "work", function);
    napi_create_function(env, "hammer", NAPI_AUTO_LENGTH, native_hammer, NULL, &function);
    napi_set_named_property(env, exports, "hammer", function);
    return exports;
}
