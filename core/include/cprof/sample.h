/*
 * Samples that ordinary code takes: the seam for hooks where memory is allocated, a lock is
 * waited for or an exception is raised, in the core and in the bindings alike.
 *
 * A hook counts down what happens on its thread, which costs a subtraction and a branch, until
 * a sample is due; then it takes one of its caller's stack:
 *
 *     void *hook(size_t size)
 *     {
 *         uint64_t period = cprof_due(CPROF_EVENT_ALLOC, size);
 *         void *block = original(size);
 *         if (period != 0) {
 *             const struct cprof_registers caller = cprof_caller();
 *             cprof_take(CPROF_EVENT_ALLOC, period, size, block, &caller);
 *         }
 *         return block;
 *     }
 *
 * Rules for a hook:
 *   - Whatever is due must be taken, once, on the same thread, even if the original failed
 *     (block: NULL, which counts nothing). What happens in between is not due.
 *   - Each byte is counted at one hook only: small blocks at the runtime's own, what the
 * runtime asks of malloc at malloc.
 *   - A take allocates nothing, locks nothing and keeps errno. It calls the runtime's walk()
 * and context(), as a signal handler would (runtime.h), and nothing else of the runtime.
 *   - The core's own threads are never due.
 *
 * Amounts are sampled geometrically: the gaps between samples are random, with the period as
 * their mean, so that no pattern of the program is missed. A sample of the amount `a` stands
 * for 1 / (1 - exp(-a / period)) like it (source/alloc.c). Of exceptions one in `period` is
 * taken, each by the same chance.
 *
 * A block that was taken is looked for when blocks are freed, if live blocks are counted (the
 * heap profile). Say so with cprof_freed(), before the memory is given back: the address may be
 * another's at once. Instead of an address a runtime whose objects move may give any multiple
 * of 8 that is nobody's address, such as a number of its own with the highest bit set.
 */
#ifndef CPROF_SAMPLE_H
#define CPROF_SAMPLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"

enum cprof_event {
    CPROF_EVENT_ALLOC,     /* amounts are bytes */
    CPROF_EVENT_LOCK,      /* nanoseconds waited */
    CPROF_EVENT_BLAME,     /* nanoseconds that others have waited for a lock that is let go */
    CPROF_EVENT_EXCEPTION, /* each is 1 */
    CPROF_EVENT_GC,        /* each is 1: of cprof_gc_end() alone */
    CPROF_EVENTS,
};

/* In the thread's own block from its start: a variable that is laid out at its first use would
 * allocate within malloc. musl knows no such model for what is loaded later, and lays all out
 * when it is loaded. */
#ifdef __GLIBC__
#define CPROF_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define CPROF_THREAD_LOCAL _Thread_local
#endif

/* What is left until a sample is due; 0 in a new thread, which draws its first gap then. */
extern CPROF_THREAD_LOCAL uint64_t cprof_left[CPROF_EVENTS];

/* How many sampled blocks have an address that ends so: see sample/live.h. */
#define CPROF_LIVE_FILTER 65536
extern _Atomic uint8_t cprof_live_filter[CPROF_LIVE_FILTER];

/* The ways of those below that are hardly ever taken. */
uint64_t cprof_due_now(enum cprof_event event, uint64_t amount);
void cprof_freed_now(const void *block);

/* Counts an amount. True: cprof_due_now() is to be asked. For hooks whose usual way is to be no
 * more than that and a jump. */
static inline bool cprof_count(enum cprof_event event, uint64_t amount)
{
    bool due;
#ifdef __x86_64__
    /* One instruction, of which compilers make three: here each is a percent of programs that
     * only allocate. */
    __asm__("subq %2, %0" : "+m"(cprof_left[event]), "=@ccc"(due) : "r"(amount));
#else
    due = __builtin_sub_overflow(cprof_left[event], amount, &cprof_left[event]);
#endif
    return __builtin_expect(due, 0);
}

/* Counts an amount. 0; or a sample is due, and this is the period that goes with it. */
static inline uint64_t cprof_due(enum cprof_event event, uint64_t amount)
{
    return cprof_count(event, amount) ? cprof_due_now(event, amount) : 0;
}

/* For a runtime that samples by itself: it met an amount, as it does with the chance
 * 1 - exp(-amount / period). Those are thinned out to the period that holds now. 0; or a sample
 * is due, and this is the period that goes with it. */
uint64_t cprof_due_met(enum cprof_event event, uint64_t amount, uint64_t period);

/* The period that such a runtime is to sample with; 0: nothing is sampled. [any thread] */
uint64_t cprof_period(enum cprof_event event);

/* Something was allocated that can't be followed: it counts, and is not listed. */
#define CPROF_BLOCK_UNKNOWN ((const void *)1)

/* A runtime that hands some of what it allocates on to malloc learns whether it did, and the
 * address there, which may be another than its own: between the two calls, the first block that
 * malloc gives this thread is noted. NULL: it gave none. The due sample's take comes after it.
 */
void cprof_expect_block(void);
const void *cprof_expected_block(void);
/* [malloc's hook] */
void cprof_note_block(const void *block);

/* Where the function that calls this will return to: its caller, in the middle of the call. */
static inline __attribute__((always_inline)) struct cprof_registers cprof_caller(void)
{
    return (struct cprof_registers){
        .pc = (uintptr_t)__builtin_return_address(0),
        .sp = (uintptr_t)__builtin_dwarf_cfa(),
        .fp = *(const uintptr_t *)__builtin_frame_address(0),
    };
}

/* Takes the sample that is due. `block` is what was allocated; other events have none. True:
 * the block is listed among the live ones, and its end is wanted. */
bool cprof_take(enum cprof_event event, uint64_t period, uint64_t amount, const void *block,
                const struct cprof_registers *caller);

/* The same for a hook that sees only a part of what happens, chosen by chance: whatever it sees
 * stands for `weight` like it. */
bool cprof_take_for(uint32_t weight, enum cprof_event event, uint64_t period, uint64_t amount,
                    const void *block, const struct cprof_registers *caller);

/* Interpreters' own locks: Ruby's, Python's. */
#define CPROF_LOCK_GVL UINT64_C(1)
#define CPROF_LOCK_GIL UINT64_C(2)

/* A wait for a lock that is due, and is over (CPROF_EVENT_LOCK); or others' waits for one that
 * the thread has let go (CPROF_EVENT_BLAME). */
struct cprof_waited {
    uint64_t lock;        /* its identity: an address, or one of those below; 0: not known */
    pid_t holder;         /* who let it go, as the kernel knows him; 0: not known, or oneself */
    bool task;            /* it is a task of an event loop that waited, and no thread */
    uint32_t holder_kind; /* the name of the task that let it go (cprof_kind()); 0: none */
};

void cprof_take_wait(enum cprof_event event, uint64_t period, uint64_t waited,
                     const struct cprof_waited *of, const struct cprof_registers *caller);

/* Is the calling thread known, so that a sample of it can be taken? One that begins is not,
 * until its runtime or the collector has seen it. */
bool cprof_is_known(void);

/* What is due is nothing that counts after all. */
void cprof_not_taken(enum cprof_event event);

/* The number of a text of at most 128 bytes, such as the name of an exception's type: the same
 * for the process's life. Allocates for a new one; what is too many has one number together. */
uint32_t cprof_kind(const char *text);

/* Takes the sample that is due, of that kind. */
void cprof_take_kind(enum cprof_event event, uint64_t period, uint64_t amount, uint32_t kind,
                     const struct cprof_registers *caller);

/* Around each pause of the garbage collector, on its thread. The kind's text is the cause and
 * the generation, as in "threshold/0"; `collections` begin in this pause, as the runtime counts
 * them. Takes a sample of the pause where one is due. */
void cprof_gc_begin(void);
void cprof_gc_end(uint32_t kind, unsigned collections, const struct cprof_registers *caller);

/* May the block be one that was taken? */
static inline bool cprof_was_taken(const void *block)
{
    return __builtin_expect(
        atomic_load_explicit(
            &cprof_live_filter[(uintptr_t)block >> 4 & (CPROF_LIVE_FILTER - 1)],
            memory_order_relaxed) != 0,
        0);
}

/* A block is about to be freed, or given to realloc(). */
static inline void cprof_freed(const void *block)
{
    if (cprof_was_taken(block))
        cprof_freed_now(block);
}

/* Is it still one of the live ones that are listed? Some are dropped where there are too many:
 * their end is not wanted any more. */
bool cprof_is_listed(const void *block);

/* Are any listed: is the heap profile asked for? */
bool cprof_lists_blocks(void);

#endif
