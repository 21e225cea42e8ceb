#include "allocs.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <node_api.h>

#include "cprof/cprof.h"
#include "cprof/readable.h"
#include "cprof/sample.h"
#include "followed.h"
#include "isolate.h"

enum {
    WORD = sizeof(uintptr_t),
    HEADER = 2,          /* words before a table of functions */
    FUNCTIONS = 4,       /* both destructors, Step, GetNextStepSize */
    STEP = 2,            /* the number of Step among them */
    PROFILER_WORDS = 24, /* of V8's HeapProfiler, in which the sampler is looked for */
    SAMPLER_WORDS = 16,  /* of that, in which the observer is */
    OBSERVER_WORDS = 8,
    STACK_DEPTH = 1, /* of V8's own samples, which are not taken */
    PROVEN_SIZE = 10000,
    PROVEN_PERIOD = 16,
};

/* v8::Isolate and v8::HeapProfiler, the same from V8 10 to 14. */
static struct {
    void *(*heap_profiler)(void *isolate);
    bool (*start)(void *heap_profiler, uint64_t period, int depth, int flags);
    void (*stop)(void *heap_profiler);
    void (*add_epilogue)(void *isolate, void (*)(void *, int, int, void *), void *, int);
    void (*remove_epilogue)(void *isolate, void (*)(void *, int, int, void *), void *);
} v8;

struct observer {
    const uintptr_t *functions;
};

typedef intptr_t step_function(struct observer *observer, intptr_t bytes, uintptr_t object,
                               size_t size);

struct sampler {
    void *v8; /* v8::Isolate * */
    uintptr_t *heap_profiler, *place;
    uintptr_t profiler; /* V8's: what stands at `place` as long as it is ours */
    struct observer *observer;
    const uintptr_t *original;
    uint64_t period;
    bool proving;
    uintptr_t met_object; /* the last one, while proving */
    size_t met_size;
    struct followed followed;
    uintptr_t table[HEADER + FUNCTIONS];
};

static _Atomic unsigned opened; /* how often */
static atomic_bool wanted;
static enum { UNPROVEN, PROVEN, REFUTED } _Atomic proof;

/* ---- V8's functions ---- */

static bool find_functions(void)
{
    const struct {
        void **into;
        const char *name;
    } functions[] = {
        {(void **)&v8.heap_profiler, "_ZN2v87Isolate15GetHeapProfilerEv"},
        {(void **)&v8.start, "_ZN2v812HeapProfiler25StartSamplingHeapProfilerEmi"
                             "NS0_13SamplingFlagsE"},
        {(void **)&v8.stop, "_ZN2v812HeapProfiler24StopSamplingHeapProfilerEv"},
        {(void **)&v8.add_epilogue, "_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_"
                                    "6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"},
        {(void **)&v8.remove_epilogue, "_ZN2v87Isolate24RemoveGCEpilogueCallbackEPFvPS0_NS_"
                                       "6GCTypeENS_15GCCallbackFlagsEPvES4_"},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if ((*functions[i].into = dlsym(RTLD_DEFAULT, functions[i].name)) == NULL)
            return false;
    return followed_find();
}

static void say_lacking(const char *why)
{
    char line[256];
    snprintf(line, sizeof line, "what JavaScript allocates in V8's heap is not counted: %s",
             why);
    cprof_say(line);
}

/* ---- a sample ---- */

/* The table that the observer has is in its sampler. */
static struct sampler *sampler_of(const struct observer *observer)
{
    return (struct sampler *)((uintptr_t)(observer->functions - HEADER) -
                              offsetof(struct sampler, table));
}

static void take(struct sampler *sampler, uint64_t period, uintptr_t object, size_t size,
                 const struct cprof_registers *caller)
{
    struct followed_entry *entry = followed_take(&sampler->followed);
    const void *block = entry != NULL ? (const void *)entry->number : CPROF_BLOCK_UNKNOWN;
    bool listed = cprof_take(CPROF_EVENT_ALLOC, period, size, block, caller);
    if (entry == NULL)
        return;
    if (listed)
        followed_keep(entry, sampler->v8, object | 1);
    else
        followed_give(&sampler->followed, entry);
}

/* V8 calls this in the middle of an allocation. It has the memory, of which nothing is an
 * object yet but in form; an object of 0 is one that it could not have. */
static intptr_t step(struct observer *observer, intptr_t bytes, uintptr_t object, size_t size)
{
    struct sampler *sampler = sampler_of(observer);
    const struct cprof_registers caller = cprof_caller();
    if (sampler->proving) {
        sampler->met_object = object;
        sampler->met_size = size;
        return ((step_function *)sampler->original[STEP])(observer, bytes, object, size);
    }
    uint64_t period = object != 0 ? cprof_due_met(CPROF_EVENT_ALLOC, size, sampler->period) : 0;
    if (period != 0)
        take(sampler, period, object, size, &caller);
    return 0;
}

/* ---- finding the observer ---- */

static bool are_readable(const uintptr_t *words, size_t count)
{
    if ((uintptr_t)words % WORD != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!cprof_is_readable((uintptr_t)&words[i]))
            return false;
    return true;
}

static bool is_of_v8(uintptr_t address)
{
    Dl_info own, its;
    return dladdr((void *)v8.start, &own) != 0 && dladdr((void *)address, &its) != 0 &&
           own.dli_fbase == its.dli_fbase;
}

static bool is_among(uintptr_t word, const uintptr_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] == word)
            return true;
    return false;
}

static bool is_table(const uintptr_t *functions)
{
    if (!is_of_v8((uintptr_t)functions) ||
        !are_readable(functions - HEADER, HEADER + FUNCTIONS))
        return false;
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (!is_of_v8(functions[i]))
            return false;
    return true;
}

static struct observer *find_observer(const struct sampler *sampler)
{
    uintptr_t *words = (uintptr_t *)sampler->profiler;
    if (!are_readable(words, SAMPLER_WORDS + OBSERVER_WORDS) ||
        words[0] != (uintptr_t)sampler->v8)
        return NULL;
    for (size_t i = 1; i < SAMPLER_WORDS; i++)
        if (is_among(sampler->profiler, &words[i + 1], OBSERVER_WORDS) &&
            is_among(sampler->period, &words[i + 1], OBSERVER_WORDS) &&
            is_table((const uintptr_t *)words[i]))
            return (struct observer *)&words[i];
    return NULL;
}

/* The word that V8's start has set; NULL: none, or not only one. */
static uintptr_t *find_place(uintptr_t *now, const uintptr_t *before)
{
    uintptr_t *place = NULL;
    for (size_t i = 0; i < PROFILER_WORDS; i++) {
        if (before[i] != 0 || now[i] == 0 || now[i] % WORD != 0 || !cprof_is_readable(now[i]))
            continue;
        if (place != NULL)
            return NULL;
        place = &now[i];
    }
    return place;
}

/* ---- in and out ---- */

static bool is_in_place(const struct sampler *sampler)
{
    return sampler->observer != NULL && *sampler->place == sampler->profiler &&
           sampler->observer->functions == &sampler->table[HEADER];
}

static bool put_in_place(struct sampler *sampler, const uintptr_t *before)
{
    sampler->place = find_place(sampler->heap_profiler, before);
    if (sampler->place == NULL)
        return false;
    sampler->profiler = *sampler->place;
    sampler->observer = find_observer(sampler);
    if (sampler->observer == NULL)
        return false;
    sampler->original = sampler->observer->functions;
    memcpy(sampler->table, sampler->original - HEADER, sizeof sampler->table);
    sampler->table[HEADER + STEP] = (uintptr_t)step;
    sampler->observer->functions = &sampler->table[HEADER];
    return true;
}

/* Why not, or NULL. */
static const char *begin(struct sampler *sampler, uint64_t period)
{
    uintptr_t before[PROFILER_WORDS];
    sampler->heap_profiler = v8.heap_profiler(sampler->v8);
    if (!are_readable(sampler->heap_profiler, PROFILER_WORDS))
        return "V8's heap profiler is not as it is known";
    memcpy(before, sampler->heap_profiler, sizeof before);
    sampler->period = period;
    if (!v8.start(sampler->heap_profiler, period, STACK_DEPTH, 0))
        return "somebody else's heap sampling runs";
    if (put_in_place(sampler, before))
        return NULL;
    v8.stop(sampler->heap_profiler);
    return "V8's heap sampler is not as it is known";
}

/* Where it is not in its place somebody has stopped it, and perhaps begun his own. */
static void end(struct sampler *sampler)
{
    if (is_in_place(sampler)) {
        sampler->observer->functions = sampler->original;
        v8.stop(sampler->heap_profiler);
    }
    sampler->observer = NULL;
}

/* ---- the test ---- */

static bool meets_string(struct sampler *sampler, napi_env env)
{
    static char text[PROVEN_SIZE];
    napi_value string = NULL;
    memset(text, 'x', sizeof text);
    if (napi_create_string_latin1(env, text, sizeof text, &string) != napi_ok)
        return false;
    uintptr_t object = *(const uintptr_t *)string; /* a handle: to a tagged pointer */
    return sampler->met_object + 1 == object && sampler->met_size >= PROVEN_SIZE &&
           sampler->met_size < PROVEN_SIZE + 8 * WORD && followed_prove(sampler->v8, object);
}

/* Why not, or NULL. */
static const char *prove(struct sampler *sampler, napi_env env)
{
    sampler->proving = true;
    const char *why = begin(sampler, PROVEN_PERIOD);
    if (why == NULL && !meets_string(sampler, env))
        why = "the self-test did not meet its own string";
    end(sampler);
    sampler->proving = false;
    return why;
}

/* Whether it is proven by now, else with what there is to say. Somebody else's sampler is no
 * proof of anything. */
static bool is_proven(struct sampler *sampler, napi_env env, const char **why)
{
    *why = NULL;
    if (atomic_load(&proof) == UNPROVEN && env != NULL) {
        *why = prove(sampler, env);
        if (*why == NULL)
            atomic_store(&proof, PROVEN);
        else if (sampler->place != NULL)
            atomic_store(&proof, REFUTED);
    }
    return atomic_load(&proof) == PROVEN;
}

/* ---- an isolate's ---- */

static void collected(void *v8_isolate, int type, int flags, void *data)
{
    struct sampler *sampler = data;
    (void)v8_isolate, (void)type, (void)flags;
    followed_sweep(&sampler->followed);
}

static struct sampler *new_sampler(struct isolate *isolate)
{
    enum { GC_ALL = 1 | 2 | 4 | 8 | 16 };
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        return NULL;
    sampler->v8 = isolate->v8;
    v8.add_epilogue(sampler->v8, collected, sampler, GC_ALL);
    isolate->sampler = sampler;
    return sampler;
}

void allocs_leave(struct isolate *isolate)
{
    struct sampler *sampler = isolate->sampler;
    isolate->sampler_tried = 0;
    if (sampler == NULL)
        return;
    end(sampler);
    v8.remove_epilogue(sampler->v8, collected, sampler);
    followed_end(&sampler->followed);
    free(sampler);
    isolate->sampler = NULL;
}

/* Once for each opening. */
static void try(struct isolate *isolate, napi_env env)
{
    struct sampler *sampler =
        isolate->sampler != NULL ? isolate->sampler : new_sampler(isolate);
    const char *why = NULL;
    if (sampler == NULL || (!is_proven(sampler, env, &why) && why == NULL && env == NULL))
        return; /* again, where it can be proven */
    isolate->sampler_tried = atomic_load(&opened);
    if (why == NULL && atomic_load(&proof) == PROVEN)
        why = begin(sampler, cprof_period(CPROF_EVENT_ALLOC));
    if (why != NULL)
        say_lacking(why);
}

void allocs_follow(struct isolate *isolate, napi_env env)
{
    uint64_t period = cprof_period(CPROF_EVENT_ALLOC);
    struct sampler *sampler = isolate->sampler;
    if (!atomic_load(&wanted) || period == 0) {
        allocs_leave(isolate);
        return;
    }
    if (isolate->v8 == NULL || !isolate->attached)
        return;
    if (sampler != NULL && is_in_place(sampler)) {
        if (sampler->period == period)
            return; /* it has seen no stop between two starts */
        end(sampler);
        isolate->sampler_tried = 0;
    }
    if (isolate->sampler_tried != atomic_load(&opened))
        try(isolate, env);
}

/* ---- the runtime's ---- */

int allocs_open(const char **why)
{
    if (!find_functions()) {
        *why = "this node does not export V8's heap sampling";
        return -ENOTSUP;
    }
    if (!atomic_exchange(&wanted, true))
        atomic_fetch_add(&opened, 1);
    return 0;
}

void allocs_close(void)
{
    atomic_store(&wanted, false);
}
