#include "locks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cprof/sample.h"
#include "cprof/waiters.h"

enum { OPEN, WAITING, WORDS };

static _Atomic uint32_t words[WORDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the list of who waits */
static CPROF_THREAD_LOCAL struct cprof_waiter waiter;
static CPROF_THREAD_LOCAL bool waits;
static char own_file[1024]; /* of the first thread: all have the same */

/* ---- arguments ---- */

enum { ARGUMENTS = 2 };

static bool arguments_of(napi_env env, napi_callback_info info, napi_value values[ARGUMENTS])
{
    size_t count = ARGUMENTS;
    return napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok;
}

/* The place that (array, index) mean; 0: none in which one can wait. */
static uintptr_t place_of(napi_env env, napi_callback_info info)
{
    napi_value values[ARGUMENTS];
    napi_typedarray_type type;
    bool is_array = false;
    size_t length = 0;
    int64_t index = -1;
    void *data = NULL;
    if (!arguments_of(env, info, values) ||
        napi_is_typedarray(env, values[0], &is_array) != napi_ok || !is_array ||
        napi_get_typedarray_info(env, values[0], &type, &length, &data, NULL, NULL) !=
            napi_ok ||
        napi_get_value_int64(env, values[1], &index) != napi_ok || index < 0 ||
        (uint64_t)index >= length)
        return 0;
    if (type == napi_int32_array)
        return (uintptr_t)data + (uintptr_t)index * sizeof(int32_t);
    return type == napi_bigint64_array ? (uintptr_t)data + (uintptr_t)index * sizeof(int64_t)
                                       : 0;
}

/* ---- waiting ---- */

static uint64_t end_wait(struct cprof_waited *of)
{
    pthread_mutex_lock(&mutex);
    uint64_t waited = cprof_wait_ends(&waiter, of);
    pthread_mutex_unlock(&mutex);
    atomic_fetch_sub(&words[WAITING], 1);
    waits = false;
    return waited;
}

/* Where JavaScript is terminated in a wait it has no word in its end. */
void locks_leave(void)
{
    struct cprof_waited of;
    if (waits)
        (void)end_wait(&of);
}

napi_value locks_wait_begins(napi_env env, napi_callback_info info)
{
    uintptr_t place = place_of(env, info);
    locks_leave(); /* after a time limit of vm.runInContext() the thread goes on */
    pthread_mutex_lock(&mutex);
    cprof_wait_begins(&waiter, place, place != 0);
    pthread_mutex_unlock(&mutex);
    atomic_fetch_add(&words[WAITING], 1);
    waits = true;
    return NULL;
}

/* A frame of its own, whose caller is the call by JavaScript. */
static void take_wait(uint64_t waited, const struct cprof_waited *of)
{
    const struct cprof_registers caller = cprof_caller();
    uint64_t period = cprof_due(CPROF_EVENT_LOCK, waited);
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_LOCK, period, waited, of, &caller);
}

napi_value locks_wait_ends(napi_env env, napi_callback_info info)
{
    napi_value values[ARGUMENTS];
    struct cprof_waited of;
    bool counts = false;
    if (arguments_of(env, info, values))
        napi_get_value_bool(env, values[0], &counts);
    uint64_t waited = end_wait(&of);
    if (counts && atomic_load(&words[OPEN]) != 0)
        take_wait(waited, &of);
    return NULL;
}

/* ---- waking ---- */

napi_value locks_lets_go(napi_env env, napi_callback_info info)
{
    uintptr_t place = place_of(env, info);
    uint64_t waited = 0;
    napi_value value = NULL;
    if (place != 0) {
        pthread_mutex_lock(&mutex);
        waited = cprof_lets_go(place, (pid_t)syscall(SYS_gettid));
        pthread_mutex_unlock(&mutex);
    }
    napi_create_double(env, (double)waited, &value);
    return value;
}

napi_value locks_blames(napi_env env, napi_callback_info info)
{
    const struct cprof_registers caller = cprof_caller();
    const struct cprof_waited of = {.lock = 0};
    napi_value values[ARGUMENTS];
    double waited = 0;
    if (arguments_of(env, info, values))
        napi_get_value_double(env, values[0], &waited);
    uint64_t period = cprof_due(CPROF_EVENT_BLAME, (uint64_t)waited);
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_BLAME, period, (uint64_t)waited, &of, &caller);
    return NULL;
}

/* ---- in and out ---- */

napi_value locks_words(napi_env env, napi_callback_info info)
{
    napi_value values[ARGUMENTS], buffer = NULL;
    size_t length;
    char file[sizeof own_file] = "";
    if (arguments_of(env, info, values))
        napi_get_value_string_utf8(env, values[0], file, sizeof file, &length);
    pthread_mutex_lock(&mutex);
    if (own_file[0] == '\0')
        memcpy(own_file, file, sizeof own_file);
    pthread_mutex_unlock(&mutex);
    if (atomic_load(&words[OPEN]) == 0 ||
        napi_create_external_arraybuffer(env, (void *)words, sizeof words, NULL, NULL,
                                         &buffer) != napi_ok)
        return NULL;
    return buffer;
}

bool locks_is_own(const struct cprof_function *function)
{
    return own_file[0] != '\0' && function->file != NULL &&
           strcmp(function->file, own_file) == 0;
}

int locks_open(const char **why)
{
    (void)why;
    atomic_store(&words[OPEN], 1);
    return 0;
}

void locks_close(void)
{
    atomic_store(&words[OPEN], 0);
}
