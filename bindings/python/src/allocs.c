/* Handler code: its wrappers run inside Python's allocator. See allocs.h. */
#include "allocs.h"

#include <Python.h>

#include <errno.h>
#include <stdbool.h>

#include "cprof/cprof.h"
#include "cprof/sample.h"

enum { SMALL = 512, PADDED = SMALL + 1 }; /* pymalloc's SMALL_REQUEST_THRESHOLD */

enum domain { MEM, OBJECT, DOMAINS };

static const PyMemAllocatorDomain numbers[DOMAINS] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

/* What the wrappers call. Set before they are in, and never changed while they are. */
static PyMemAllocatorEx inner[DOMAINS];
static size_t small[DOMAINS]; /* the largest that does not go on to malloc; 0: all does */
static bool follows[DOMAINS]; /* PADDED bytes come from malloc */
static bool wrapped[DOMAINS]; /* our wrappers are in, outermost or not */
static bool opened;

/* ---- the way that is hardly ever taken ---- */

enum way { BY_MALLOC, BY_CALLOC, BY_REALLOC };

static void *ask(enum domain domain, enum way way, void *block, size_t size)
{
    const PyMemAllocatorEx *original = &inner[domain];
    if (way == BY_CALLOC)
        return original->calloc(original->ctx, 1, size);
    if (way == BY_REALLOC)
        return original->realloc(original->ctx, block, size);
    return original->malloc(original->ctx, size);
}

/* Is it what malloc gave? Debug hooks lay their marks before it; other blocks that are asked
 * for meanwhile are somebody's who keeps books (tracemalloc). */
static bool is_of(const void *block, const void *of_malloc)
{
    return of_malloc != NULL && (uintptr_t)block - (uintptr_t)of_malloc <= 64;
}

/* Which block of malloc's it is. */
static void *ask_padded(enum domain domain, enum way way, void *block, size_t size,
                        const void **listed)
{
    cprof_expect_block();
    void *given = ask(domain, way, block, size > PADDED ? size : PADDED);
    *listed = cprof_expected_block();
    if (!is_of(given, *listed))
        *listed = CPROF_BLOCK_UNKNOWN;
    return given;
}

/* Jumped to by its wrapper, whose caller is so ours. */
__attribute__((noinline)) static void *slowly(enum domain domain, enum way way, void *block,
                                              size_t size)
{
    const struct cprof_registers caller = cprof_caller();
    uint64_t period = cprof_due_now(CPROF_EVENT_ALLOC, size);
    const void *listed = CPROF_BLOCK_UNKNOWN;
    if (period == 0)
        return ask(domain, way, block, size);
    void *given = follows[domain] ? ask_padded(domain, way, block, size, &listed)
                                  : ask(domain, way, block, size);
    (void)cprof_take(CPROF_EVENT_ALLOC, period, size, given != NULL ? listed : NULL, &caller);
    return given;
}

/* ---- the wrappers ---- */

static inline void *by_malloc(enum domain domain, void *context, size_t size)
{
    if (size <= small[domain] && cprof_count(CPROF_EVENT_ALLOC, size))
        return slowly(domain, BY_MALLOC, NULL, size);
    return inner[domain].malloc(context, size);
}

static inline void *by_calloc(enum domain domain, void *context, size_t count, size_t size)
{
    size_t bytes;
    if (!__builtin_mul_overflow(count, size, &bytes) && bytes <= small[domain] &&
        cprof_count(CPROF_EVENT_ALLOC, bytes))
        return slowly(domain, BY_CALLOC, NULL, bytes);
    return inner[domain].calloc(context, count, size);
}

/* A block that came from malloc stays there when it shrinks, and is counted there. */
__attribute__((noinline)) static void *reallocate_small(enum domain domain, void *context,
                                                        void *block, size_t size)
{
    uint64_t left = cprof_left[CPROF_EVENT_ALLOC];
    void *given = inner[domain].realloc(context, block, size);
    if (cprof_left[CPROF_EVENT_ALLOC] == left)
        cprof_left[CPROF_EVENT_ALLOC] = left - size;
    return given;
}

static inline void *by_realloc(enum domain domain, void *context, void *block, size_t size)
{
    if (size > small[domain])
        return inner[domain].realloc(context, block, size);
    if (size <= cprof_left[CPROF_EVENT_ALLOC])
        return reallocate_small(domain, context, block, size);
    (void)cprof_count(CPROF_EVENT_ALLOC, size);
    return slowly(domain, BY_REALLOC, block, size);
}

#define WRAPPERS(name, domain)                                                                 \
    static void *name##_malloc(void *context, size_t size)                                     \
    {                                                                                          \
        return by_malloc(domain, context, size);                                               \
    }                                                                                          \
    static void *name##_calloc(void *context, size_t count, size_t size)                       \
    {                                                                                          \
        return by_calloc(domain, context, count, size);                                        \
    }                                                                                          \
    static void *name##_realloc(void *context, void *block, size_t size)                       \
    {                                                                                          \
        return by_realloc(domain, context, block, size);                                       \
    }
WRAPPERS(mem, MEM)
WRAPPERS(object, OBJECT)

static PyMemAllocatorEx wrapping(enum domain domain)
{
    PyMemAllocatorEx ours = inner[domain];
    ours.malloc = domain == MEM ? mem_malloc : object_malloc;
    ours.calloc = domain == MEM ? mem_calloc : object_calloc;
    ours.realloc = domain == MEM ? mem_realloc : object_realloc;
    return ours;
}

/* ---- what the allocators do ---- */

/* Does it give such a block from malloc? */
static bool comes_from_malloc(enum domain domain, size_t size)
{
    cprof_expect_block();
    void *block = ask(domain, BY_MALLOC, NULL, size);
    bool reached = is_of(block, cprof_expected_block());
    if (block != NULL)
        inner[domain].free(inner[domain].ctx, block);
    (void)cprof_take(CPROF_EVENT_ALLOC, 0, 0, NULL, NULL); /* draws the next gap */
    return reached;
}

/* Debug hooks add to what is asked for, so that less than SMALL is small. */
static void learn(enum domain domain)
{
    enum { STEP = 16, LEAST = SMALL - 128, FAR_BEYOND = 1 << 16 };
    small[domain] = 0;
    for (size_t size = SMALL; size >= LEAST && small[domain] == 0; size -= STEP)
        if (!comes_from_malloc(domain, size))
            small[domain] = size;
    follows[domain] = comes_from_malloc(domain, PADDED);
    if (!follows[domain] && !comes_from_malloc(domain, FAR_BEYOND))
        small[domain] = SIZE_MAX;
#ifdef Py_GIL_DISABLED
    follows[domain] = false; /* the collector finds objects in mimalloc's heaps */
#endif
}

/* ---- in and out ---- */

static bool is_ours(const PyMemAllocatorEx *allocator, enum domain domain)
{
    return allocator->malloc == (domain == MEM ? mem_malloc : object_malloc);
}

static void wrap(enum domain domain)
{
    PyMemAllocatorEx now;
    PyMem_GetAllocator(numbers[domain], &now);
    if (wrapped[domain] || is_ours(&now, domain))
        return; /* still in somebody's chain */
    inner[domain] = now;
    learn(domain);
    if (small[domain] == 0)
        return;
    PyMemAllocatorEx ours = wrapping(domain);
    PyMem_SetAllocator(numbers[domain], &ours);
    wrapped[domain] = true;
}

static void unwrap(enum domain domain)
{
    PyMemAllocatorEx now;
    PyMem_GetAllocator(numbers[domain], &now);
    if (!is_ours(&now, domain))
        return;
    PyMem_SetAllocator(numbers[domain], &inner[domain]);
    wrapped[domain] = false;
}

int allocs_open(const char **why)
{
    (void)why;
    if (opened)
        return 0; /* in the child of a fork, where nobody may have the GIL to give */
    opened = true;
    PyGILState_STATE held = PyGILState_Ensure();
    for (enum domain domain = MEM; domain < DOMAINS; domain++)
        wrap(domain);
    PyGILState_Release(held);
    bool blind = (wrapped[MEM] && !follows[MEM]) || (wrapped[OBJECT] && !follows[OBJECT]);
    if (blind)
        cprof_say(
            "Python's small blocks are counted, but not followed to their end: what lives "
            "of them is not in the heap profile");
    return 0;
}

void allocs_close(void)
{
    opened = false;
    for (enum domain domain = MEM; domain < DOMAINS; domain++)
        unwrap(domain);
}
