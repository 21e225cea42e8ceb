/*
 * One isolate: the thread that runs its JavaScript, the memory its code lies in, and what has
 * been learned of its functions.
 *
 * How a function gets its name although the heap moves: the handler gives every function it
 * meets a number, under a key that survives moves (script id and the literal's number; for
 * optimised code V8's number of the optimisation), and leaves the raw pointers of a new one in
 * `pending`. The isolate's own thread turns these into copies outside the heap: in an interrupt
 * that the collector requests when it needs a name (V8 serves it at the next loop or call), in
 * the event loop when it is idle, when it stops or ends, and in any case before each garbage
 * collection, which is when raw pointers would go stale. So they are only ever followed by the
 * thread that owns the heap, outside collections, in the GC epoch in which they were taken.
 * Between a collection's prologue and epilogue the handler reads nothing of the heap.
 *
 * Who touches what: `seen`, `pending`, `pages` and `places` belong to the isolate's thread, the
 * handler included (which interrupts only that thread); `records` is guarded by isolates_lock()
 * and is what the collector reads. All is bounded (tables.h): a full `pending` makes a frame
 * opaque, a full `seen` or `records` forgets some, which are learned again.
 *
 * A look at the isolate's thread while that sleeps (asleep.h) names what it meets at once, from
 * copies of the heap, and keeps it apart in `looked`, guarded by isolates_lock() as well.
 */
#ifndef CPROF_NODE_ISOLATE_H
#define CPROF_NODE_ISOLATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "script.h"
#include "wasm_names.h"

/* Of node_api.h, which only those who call it need. */
typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_threadsafe_function__ *napi_threadsafe_function;

enum {
    SEEN_PROBES = 8,
    PAGE_SLOTS = 256,
    PLACE_BITS = 11,
    PLACE_SLOTS = 1 << PLACE_BITS,
    WASM_PAGES = 1024,
    WASM_PAGE_BITS = 16,
};

struct range {
    uintptr_t start, limit;
};

static inline bool range_holds(const struct range *range, uintptr_t address)
{
    return address - range->start < range->limit - range->start;
}

struct seen {
    _Atomic uint64_t key; /* 0 = empty */
    uint32_t number;
};

/* The slot of a table, whose size is a power of two, in which a key is looked for at a try. */
static inline struct seen *seen_slot(struct seen *table, size_t slots, uint64_t key, size_t try)
{
    return &table[((size_t)(key * 0x9e3779b97f4a7c15u >> 32) + try) & (slots - 1)];
}

struct pending {
    uint64_t key;
    uint32_t number;
    uintptr_t function; /* tagged: a SharedFunctionInfo */
    uintptr_t code;     /* tagged: BytecodeArray, Code, or 0 */
};

/* What a program counter in compiled code, or an interpreted JSFunction, was found to be; until
 * the next collection. */
struct place {
    uintptr_t pc; /* or the function */
    uint64_t token;
    uint64_t position; /* or the bytecode */
};

struct record; /* names.c */
struct v8_sample;
struct sampler; /* allocs.c */
struct turns;

/* How JavaScript is followed, the best way first; the same for the whole process. */
enum way {
    WAY_FRAMES,  /* the handler reads V8's frames: walk.h */
    WAY_SAMPLES, /* it asks V8 for samples, which V8's code events name: v8_sample.h */
    WAY_OPAQUE,  /* it steps over V8's frames: each is "(JavaScript)" */
    WAY_NONE,    /* V8's code can't be told from other code: native frames only */
};

/* Functions that were met by looks while the isolate's thread slept. */
struct looked {
    struct record **records; /* LOOKED_SLOTS, by their keys; NULL: none yet */
    uint32_t next;           /* number, below NAMES_LOOKED */
    struct scripts scripts;
};

struct isolate {
    uint32_t serial;   /* upper half of its tokens; never used again */
    _Atomic bool open; /* false: its environment is gone */
    _Atomic bool attached;
    enum way way;        /* in which it was attached */
    _Atomic bool opaque; /* frames are not named: that way leads nowhere, or led nowhere */
    void *v8;            /* v8::Isolate * */
    uintptr_t stack_high;
    struct range builtins,
        copied_builtins;     /* embedded in the binary; remapped beside the code */
    uintptr_t copy_distance; /* from a builtin to its copy; 0 = unknown */
    struct range code;       /* what V8 compiles */
    _Atomic int collecting;  /* depth of garbage collections */
    uintptr_t collection_sp; /* of the JavaScript frame last met in one */
    uintptr_t collection_at; /* an address in the frame of the function that runs it */
    bool collection_named;   /* it shows on the stack that is being walked */
    bool begun;              /* JavaScript has been told that this engine runs */
    struct context_source context;

    uint32_t next_number;
    struct seen *seen;
    size_t seen_slots, seen_used;
    struct pending *pending;
    uint32_t pending_max, pending_most; /* most that have been pending since it last grew */
    _Atomic uint32_t pending_count;
    uintptr_t pages[PAGE_SLOTS]; /* known to be readable, until the next collection */
    struct place *places;
    _Atomic uintptr_t wasm[WASM_PAGES]; /* where WebAssembly was seen to run */
    struct wasm_names wasm_names;
    uintptr_t stream_map; /* of InstructionStream, once met */

    struct v8_sample *sample; /* WAY_SAMPLES */

    struct sampler *sampler; /* NULL: its heap is not sampled */
    unsigned sampler_tried;  /* for which opening */

    struct record **records; /* by number modulo `record_slots`, a power of two */
    uint32_t record_slots;
    uint32_t oldest; /* the number to be forgotten next */
    struct scripts scripts;

    struct looked looked; /* what looks have named (names.h); the collector's */

    pthread_t thread;
    uint64_t thread_id; /* as the runtime counts: 0 is the main thread */
    char thread_name[32];
    napi_threadsafe_function waker;
    _Atomic bool asked;  /* a request to name is under way */
    unsigned rests;      /* drains since it was closed */
    struct turns *turns; /* of its event loop; NULL: not followed */
    _Atomic(void *) uv_loop;
    struct isolate *next;
};

/* Finds V8's functions and layout, and the best way that they allow; `why` says what the better
 * ones lack, or "". Once, before all else. */
void isolate_find_way(char *why, size_t size);
enum way isolate_way(void);
/* [isolate's thread] Follows JavaScript in the next way, this one having failed its test. The
 * calling thread does so at once; until others do their JavaScript is opaque. */
enum way isolate_descend(struct isolate *isolate);

/* [isolate's thread] The environment's isolate, made when its addon instance is loaded. `begin`
 * is a function without arguments, called once in the event loop when the engine runs. */
struct isolate *isolate_open(napi_env env, uint32_t thread_id, napi_value begin);
/* [isolate's thread] Ready to be sampled; idempotent. False: no memory. */
bool isolate_attach(struct isolate *isolate);
void isolate_detach(struct isolate *isolate);
void isolate_close(struct isolate *isolate);
/* [collector] runtime.drained: frees what was kept of those that have ended. */
void isolate_drained(void);

/* [isolate's thread] Has the other isolates' threads attach or detach as the engine runs now,
 * whether they run JavaScript or wait for events. */
void isolate_wake_others(const struct isolate *own);
/* [start] Pauses of V8's collector are counted, in all isolates (docs/collections.md): see
 * struct cprof_runtime. */
int isolate_pauses_open(const char **why);
void isolate_pauses_close(void);

#endif
