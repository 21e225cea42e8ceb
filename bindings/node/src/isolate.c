#include "isolate.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <node_api.h>

#include "cprof/cprof.h"
#include "cprof/sample.h"
#include "allocs.h"
#include "code_events.h"
#include "codes.h"
#include "isolate_list.h"
#include "layout.h"
#include "locks.h"
#include "names.h"
#include "tables.h"
#include "turns.h"
#include "v8_sample.h"
#include "walk.h"

/* V8's types as they are passed. A MemoryRange is a start and a length. */
struct memory_range {
    uintptr_t start, length;
};
enum { RANGES_MAX = 16 };
enum gc_type { GC_ALL = 1 | 2 | 4 | 8 | 16 };
typedef void (*gc_callback)(void *isolate, int type, int flags, void *data);

/* v8::Isolate and its relatives, by their mangled names: the part of V8's public API that has
 * been the same from V8 10 to 14. */
static struct {
    void *(*current)(void);
    void (*request_interrupt)(void *isolate, void (*callback)(void *, void *), void *data);
    void (*add_prologue)(void *isolate, gc_callback callback, void *data, int types);
    void (*add_epilogue)(void *isolate, gc_callback callback, void *data, int types);
    void (*remove_prologue)(void *isolate, gc_callback callback, void *data);
    void (*remove_epilogue)(void *isolate, gc_callback callback, void *data);
    size_t (*copy_code_pages)(void *isolate, size_t capacity, struct memory_range *ranges);
    void (*code_range)(void *isolate, void **start, size_t *length);
} v8;

static uint32_t serials;

static bool possible[WAY_NONE + 1] = {[WAY_NONE] = true};
static _Atomic enum way way = WAY_NONE;

static void call(struct isolate *isolate);

/* ---- collections ---- */

static void forget_places(struct isolate *isolate)
{
    for (size_t i = 0; i < PLACE_SLOTS; i++)
        if (isolate->places[i].pc != 0) /* a page that was never written to stays away */
            isolate->places[i].pc = 0;
    for (size_t i = 0; i < PAGE_SLOTS; i++)
        isolate->pages[i] = 0;
}

static atomic_bool pauses_wanted; /* the profile type gc is on */

/* The words of Node's performance entries, and why V8 collects: on demand (gc(), an inspector),
 * as the system is short of memory, as external memory grows, or as there is no room. */
static uint32_t pause_kind(int type, int flags)
{
    enum { SCAVENGE = 1, MINOR_SWEEP = 2, MARK_SWEEP = 4, INCREMENTAL = 8 };
    enum { FORCED = 1 << 2, ALL_AVAILABLE = 1 << 4, EXTERNAL = 1 << 5 };
    const char *cause = flags & FORCED          ? "forced"
                        : flags & ALL_AVAILABLE ? "memory_pressure"
                        : flags & EXTERNAL      ? "external_memory"
                                                : "allocation";
    const char *generation = type & (SCAVENGE | MINOR_SWEEP) ? "minor"
                             : type & MARK_SWEEP             ? "major"
                             : type & INCREMENTAL            ? "incremental"
                                                             : "weakcb";
    char text[40];
    snprintf(text, sizeof text, "%s/%s", cause, generation);
    return cprof_kind(text);
}

int isolate_pauses_open(const char **why)
{
    *why = "V8's collections can't be watched in this Node";
    if (isolate_way() != WAY_FRAMES)
        return -ENOTSUP;
    atomic_store(&pauses_wanted, true);
    return 0;
}

void isolate_pauses_close(void)
{
    atomic_store(&pauses_wanted, false);
}

/* First the mark: a handler that comes later leaves no pointers that nobody would follow. */
static void before_collection(void *v8_isolate, int type, int flags, void *data)
{
    struct isolate *isolate = data;
    (void)v8_isolate, (void)type, (void)flags;
    if (atomic_load_explicit(&pauses_wanted, memory_order_relaxed))
        cprof_gc_begin();
    if (atomic_load(&isolate->collecting) == 0)
        context_keep(isolate);
    if (atomic_fetch_add(&isolate->collecting, 1) == 0) {
        isolate->collection_sp = UINTPTR_MAX;
        isolate->collection_at = (uintptr_t)__builtin_frame_address(0) + 2 * sizeof(uintptr_t);
        names_pending(isolate);
    }
}

static void after_collection(void *v8_isolate, int type, int flags, void *data)
{
    const struct cprof_registers caller = cprof_caller();
    struct isolate *isolate = data;
    (void)v8_isolate;
    if (atomic_load(&isolate->collecting) == 1)
        forget_places(isolate);
    atomic_fetch_sub(&isolate->collecting, 1);
    if (atomic_load_explicit(&pauses_wanted, memory_order_relaxed))
        cprof_gc_end(pause_kind(type, flags), 1, &caller);
}

/* ---- V8 ---- */

struct wanted {
    void **into;
    const char *name;
};

/* `why` keeps the first reason. */
static bool find_all(const struct wanted *wanted, size_t count, char *why, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        *wanted[i].into = dlsym(RTLD_DEFAULT, wanted[i].name);
        if (*wanted[i].into == NULL) {
            if (why[0] == '\0')
                snprintf(why, size, "this node does not export %s", wanted[i].name);
            return false;
        }
    }
    return true;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What every way needs: where V8's code lies. */
static bool find_for_ranges(char *why, size_t size)
{
    const struct wanted wanted[] = {
        {(void **)&v8.current, "_ZN2v87Isolate10GetCurrentEv"},
        {(void **)&v8.copy_code_pages, "_ZN2v87Isolate13CopyCodePagesEmPNS_11MemoryRangeE"},
        {(void **)&v8.code_range, "_ZN2v87Isolate12GetCodeRangeEPPvPm"},
    };
    return find_all(wanted, COUNT(wanted), why, size);
}

static bool find_for_frames(char *why, size_t size)
{
    const struct wanted wanted[] = {
        {(void **)&v8.add_prologue, "_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_"
                                    "6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"},
        {(void **)&v8.add_epilogue, "_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_"
                                    "6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"},
        {(void **)&v8.remove_prologue, "_ZN2v87Isolate24RemoveGCPrologueCallbackEPFvPS0_NS_"
                                       "6GCTypeENS_15GCCallbackFlagsEPvES4_"},
        {(void **)&v8.remove_epilogue, "_ZN2v87Isolate24RemoveGCEpilogueCallbackEPFvPS0_NS_"
                                       "6GCTypeENS_15GCCallbackFlagsEPvES4_"},
        {(void **)&v8.request_interrupt, "_ZN2v87Isolate16RequestInterruptEPFvPS0_PvES2_"},
    };
    return find_all(wanted, COUNT(wanted), why, size) && layout_find(why, size);
}

static bool find_for_samples(char *why, size_t size)
{
    const struct wanted wanted[] = {
        {(void **)&v8_sample_get, "_ZN2v87Isolate14GetStackSampleERKNS_13RegisterStateEPPvmPNS_"
                                  "10SampleInfoE"},
        {(void **)&code_events_set, "_ZN2v87Isolate22SetJitCodeEventHandlerENS_"
                                    "19JitCodeEventOptionsEPFvPKNS_12JitCodeEventEE"},
    };
    return find_all(wanted, COUNT(wanted), why, size);
}

static enum way next_way(enum way from)
{
    while (!possible[from])
        from++;
    return from;
}

void isolate_find_way(char *why, size_t size)
{
    why[0] = '\0';
    isolate_call = call;
    possible[WAY_OPAQUE] = find_for_ranges(why, size);
    possible[WAY_FRAMES] = possible[WAY_OPAQUE] && find_for_frames(why, size);
    possible[WAY_SAMPLES] = possible[WAY_OPAQUE] && find_for_samples(why, size);
    if (possible[WAY_FRAMES])
        why[0] = '\0'; /* the best one lacks nothing */
    atomic_store(&way, next_way(WAY_FRAMES));
}

enum way isolate_way(void)
{
    return atomic_load(&way);
}

static bool overlap(const struct range *a, const struct memory_range *b)
{
    return a->start < b->start + b->length && b->start < a->limit;
}

/* V8 may map the builtins of the binary a second time, within reach of what it compiles: the
 * one part of the code range that comes from a file. */
static struct range find_copy(const struct range *code)
{
    struct range copy = {0, 0};
    char *line = NULL;
    size_t size = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && getline(&line, &size, maps) > 0) {
        struct range range;
        unsigned long inode, start = strtoul(line, NULL, 16);
        if (start >= code->limit)
            break; /* lines ascend, and cost the kernel most of a microsecond each */
        if (range_holds(code, start) && /* first, as sscanf() is slow */
            sscanf(line, "%lx-%lx %*s %*s %*s %lu", &range.start, &range.limit, &inode) == 3 &&
            inode != 0)
            copy = range;
    }
    free(line);
    if (maps != NULL)
        fclose(maps);
    return copy;
}

/* Both begin on the same page of the binary, if they are what they seem to be. */
static uintptr_t distance(const struct range *builtins, const struct range *copy)
{
    enum { SAMPLE = 64 };
    uintptr_t start = builtins->start & ~(uintptr_t)(getauxval(AT_PAGESZ) - 1);
    bool same = start != 0 && copy->start != 0 &&
                memcmp((const void *)builtins->start,
                       (const void *)(copy->start + (builtins->start - start)), SAMPLE) == 0;
    return same ? copy->start - start : 0;
}

static void find_ranges(struct isolate *isolate)
{
    struct memory_range ranges[RANGES_MAX];
    void *start = NULL;
    size_t length = 0;
    v8.code_range(isolate->v8, &start, &length);
    isolate->code = (struct range){(uintptr_t)start, (uintptr_t)start + length};
    isolate->copied_builtins = find_copy(&isolate->code);
    size_t count = v8.copy_code_pages(isolate->v8, RANGES_MAX, ranges);
    for (size_t i = 0; i < count && i < RANGES_MAX; i++)
        if (!overlap(&isolate->code, &ranges[i]))
            isolate->builtins =
                (struct range){ranges[i].start, ranges[i].start + ranges[i].length};
    isolate->copy_distance = distance(&isolate->builtins, &isolate->copied_builtins);
}

/* Where the calling thread's stack ends. The kernel puts the program's name behind all frames
 * of the first one, of which the C library would learn from /proc/self/maps, in 0.1 ms. */
static uintptr_t stack_end(void)
{
    uintptr_t name = getauxval(AT_EXECFN);
    if (syscall(SYS_gettid) == getpid() && (uintptr_t)__builtin_frame_address(0) < name)
        return name;
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    return (uintptr_t)low + size;
}

/* ---- life ---- */

/* Names what is pending; and is how other threads learn that the engine runs, or does not. */
static void serve(struct isolate *isolate, napi_env env)
{
    atomic_store(&isolate->asked, false);
    if (!cprof_is_running() || isolate->way != isolate_way())
        isolate_detach(isolate);
    if (!cprof_is_running() || !isolate_attach(isolate) || !isolate->attached)
        return;
    names_pending(isolate);
    wasm_names_look(isolate);
    allocs_follow(isolate, env);
}

static void call_begin(napi_env env, napi_value begin)
{
    napi_value nothing;
    napi_get_undefined(env, &nothing);
    if (napi_call_function(env, nothing, begin, 0, NULL, NULL) == napi_pending_exception)
        napi_get_and_clear_last_exception(env, &nothing);
}

/* In the event loop. */
static void on_wake(napi_env env, napi_value begin, void *context, void *data)
{
    struct isolate *isolate = context;
    (void)data;
    if (env == NULL || !atomic_load(&isolate->open))
        return;
    serve(isolate, env);
    if (!isolate->begun && cprof_is_running()) {
        isolate->begun = true;
        call_begin(env, begin);
    }
}

/* Amid JavaScript. */
static void on_interrupt(void *v8_isolate, void *data)
{
    struct isolate *isolate = data;
    if (isolate->v8 == v8_isolate && atomic_load(&isolate->open)) /* else another's by now */
        serve(isolate, NULL);
}

/* [locked] Both, as nobody knows which comes first. */
static void call(struct isolate *isolate)
{
    if (v8.request_interrupt != NULL && isolate->v8 != NULL)
        v8.request_interrupt(isolate->v8, on_interrupt, isolate);
    napi_call_threadsafe_function(isolate->waker, NULL, napi_tsfn_nonblocking);
}

static void describe_thread(struct isolate *isolate, uint32_t thread_id)
{
    isolate->thread = pthread_self();
    isolate->thread_id = thread_id;
    if (thread_id == 0)
        snprintf(isolate->thread_name, sizeof isolate->thread_name, "main");
    else
        snprintf(isolate->thread_name, sizeof isolate->thread_name, "worker %u", thread_id);
}

/* What the new owner must not inherit; the tables are gone already. */
static void renew(struct isolate *isolate, napi_threadsafe_function waker, uint32_t thread_id)
{
    isolates_lock();
    isolate->serial = ++serials;
    isolate->waker = waker;
    isolate->v8 = v8.current != NULL ? v8.current() : NULL;
    if (isolate_way() != WAY_NONE)
        find_ranges(isolate);
    isolate->next_number = isolate->oldest = 0;
    isolate->stream_map = 0;
    isolate->begun = false;
    isolate->rests = 0;
    isolate->sampler_tried = 0;
    memset(isolate->pages, 0, sizeof isolate->pages);
    for (size_t i = 0; i < WASM_PAGES; i++)
        atomic_store(&isolate->wasm[i], 0);
    atomic_store(&isolate->asked, false);
    atomic_store(&isolate->collecting, 0);
    isolate->context = (struct context_source){0};
    describe_thread(isolate, thread_id);
    atomic_store(&isolate->open, true);
    isolates_unlock();
}

struct isolate *isolate_open(napi_env env, uint32_t thread_id, napi_value begin)
{
    struct isolate *isolate = isolates_add();
    napi_threadsafe_function waker;
    napi_value name;
    if (isolate == NULL)
        return NULL;
    if (napi_create_string_utf8(env, "cprof", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env, begin, NULL, name, 0, 1, NULL, NULL, isolate,
                                        on_wake, &waker) != napi_ok) {
        atomic_store(&isolate->open, false);
        return NULL;
    }
    napi_unref_threadsafe_function(env, waker);
    renew(isolate, waker, thread_id);
    isolate->turns = turns_new(env);
    struct uv_loop_s *loop = NULL;
    (void)napi_get_uv_event_loop(env, &loop);
    atomic_store(&isolate->uv_loop, loop);
    return isolate;
}

/* With the lock held. */
static void free_records(struct isolate *isolate)
{
    names_forget(isolate);
    wasm_names_forget(isolate);
    tables_free_records(isolate);
    code_events_free(isolate);
}

static void free_tables(struct isolate *isolate)
{
    names_lock_looked();
    isolates_lock();
    free_records(isolate);
    isolates_unlock();
    names_unlock_looked();
    tables_free_handlers(isolate);
}

/* The collections of its heap are watched, that the handler may read it between them. */
static bool attach_frames(struct isolate *isolate)
{
    if (!tables_make(isolate))
        return false;
    v8.add_prologue(isolate->v8, before_collection, isolate, GC_ALL);
    v8.add_epilogue(isolate->v8, after_collection, isolate, GC_ALL);
    return true;
}

bool isolate_attach(struct isolate *isolate)
{
    cprof_thread_enter(isolate->thread_id, isolate->thread_name);
    turns_follow(isolate->turns, isolate->thread_name);
    if (isolate->attached)
        cprof_thread_set_data(isolate); /* the engine has been started anew */
    isolate->way = isolate->attached ? isolate->way : isolate_way();
    if (isolate->attached || isolate->way == WAY_NONE)
        return true;
    isolate->v8 = v8.current();
    isolate->stack_high = stack_end();
    isolate->opaque = isolate->way == WAY_OPAQUE;
    if (isolate->way != WAY_FRAMES)
        isolate->context.field = NULL; /* in a heap whose collections nobody tells of */
    if (isolate->v8 == NULL || isolate->stack_high == 0)
        return false;
    if ((isolate->way == WAY_FRAMES && !attach_frames(isolate)) ||
        (isolate->way == WAY_SAMPLES && !code_events_open(isolate)))
        return false;
    isolate->attached = true;
    cprof_thread_set_data(isolate);
    if (isolate->way == WAY_SAMPLES)
        code_events_listen(isolate);
    return true;
}

/* The handler sees nothing of it any more. */
static void let_go(struct isolate *isolate)
{
    allocs_leave(isolate);
    cprof_thread_set_data(NULL);
    isolate->attached = false;
    if (isolate->way == WAY_SAMPLES)
        code_events_close(isolate);
    if (isolate->way != WAY_FRAMES)
        return;
    v8.remove_prologue(isolate->v8, before_collection, isolate);
    v8.remove_epilogue(isolate->v8, after_collection, isolate);
}

void isolate_detach(struct isolate *isolate)
{
    isolate->begun = false;
    turns_leave(isolate->turns);
    if (!isolate->attached)
        return;
    let_go(isolate);
    free_tables(isolate);
}

enum way isolate_descend(struct isolate *isolate)
{
    isolate_detach(isolate);
    isolates_lock();
    if (atomic_load(&way) < WAY_NONE)
        atomic_store(&way, next_way(atomic_load(&way) + 1));
    for (struct isolate *at = isolates_first(); at != NULL; at = at->next)
        at->opaque = true;
    isolates_unlock();
    if (cprof_is_running())
        isolate_attach(isolate);
    isolate_wake_others(isolate);
    return isolate_way();
}

/* Its last samples may still wait to be named: the records stay until they have been. */
void isolate_close(struct isolate *isolate)
{
    turns_leave(isolate->turns);
    isolate->turns = NULL;
    locks_leave();
    atomic_store(&isolate->uv_loop, NULL);
    if (isolate->attached) {
        names_pending(isolate);
        let_go(isolate);
        cprof_thread_leave();
        tables_free_handlers(isolate);
    }
    isolates_lock();
    if (!cprof_is_running())
        free_records(isolate);
    isolate->code = isolate->copied_builtins = (struct range){0, 0};
    isolate->waker = NULL; /* ends with its environment */
    atomic_store(&isolate->open, false);
    isolates_unlock();
}

void isolate_drained(void)
{
    enum { RESTS = 2 }; /* the samples of before the last but one time have been named */
    isolates_lock();
    for (struct isolate *at = isolates_first(); at != NULL; at = at->next)
        if (!atomic_load(&at->open) && isolate_is_remembered(at) && ++at->rests >= RESTS)
            free_records(at);
        else if (at->sample != NULL)
            codes_drained(at->sample->codes);
        else if (wasm_names_due(at))
            isolate_ask(at);
    isolates_unlock();
}

/* ---- other threads ---- */

void isolate_wake_others(const struct isolate *own)
{
    isolates_lock();
    for (struct isolate *at = isolates_first(); at != NULL; at = at->next)
        if (at != own && atomic_load(&at->open) && at->waker != NULL)
            call(at);
    isolates_unlock();
}
