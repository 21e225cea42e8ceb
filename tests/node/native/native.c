/*
 * A native addon for the tests: work() burns CPU in C and calls a JavaScript function in
 * between; hammer() makes every thread's sampling signal come at a rate that no kernel tick
 * allows, by sending what the timers would send: /proc/self/timers says which signal, to whom,
 * with what.
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
static bool empty;          /* send what cprof's handler returns from at once */
static _Atomic double sent; /* to the main thread */

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

static void *run_hammer(void *unused)
{
    const struct timespec pause = {.tv_nsec = 1000000000 / (long)rate};
    for (;;) {
        size_t count = find_targets();
        for (int round = 0; round < ROUNDS_PER_LOOK; round++) {
            for (size_t i = 0; i < count; i++) {
                siginfo_t info;
                memset(&info, 0, sizeof info);
                info.si_signo = targets[i].signal;
                info.si_code = empty ? SI_QUEUE : SI_TIMER;
                if (targets[i].tid == getpid())
                    sent = sent + 1;
                info.si_value.sival_ptr = targets[i].value;
                syscall(SYS_rt_tgsigqueueinfo, getpid(), targets[i].tid, info.si_signo, &info);
            }
            nanosleep(&pause, NULL);
        }
    }
    return unused;
}

/* hammer(rate, empty): signals per second and thread, from now on. */
static napi_value native_hammer(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2];
    pthread_t thread;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    napi_get_value_uint32(env, arguments[0], &rate);
    if (count > 1)
        napi_get_value_bool(env, arguments[1], &empty);
    if (rate == 0 || pthread_create(&thread, NULL, run_hammer, NULL) != 0)
        napi_throw_error(env, NULL, "no hammer");
    return NULL;
}

/* sent(): how many signals the main thread got. */
static napi_value native_sent(napi_env env, napi_callback_info info)
{
    napi_value value = NULL;
    (void)info;
    napi_create_double(env, sent, &value);
    return value;
}

NAPI_MODULE_INIT()
{
    napi_value function;
    napi_create_function(env, "work", NAPI_AUTO_LENGTH, native_work, NULL, &function);
    napi_set_named_property(env, exports, "work", function);
    napi_create_function(env, "hammer", NAPI_AUTO_LENGTH, native_hammer, NULL, &function);
    napi_set_named_property(env, exports, "hammer", function);
    napi_create_function(env, "sent", NAPI_AUTO_LENGTH, native_sent, NULL, &function);
    napi_set_named_property(env, exports, "sent", function);
    return exports;
}
