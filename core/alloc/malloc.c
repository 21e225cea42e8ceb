/* Handler code: its hooks run inside malloc. See malloc.h. */
#include "alloc/malloc.h"

#include <stdint.h>

#include "cprof/sample.h"
#include "patch/slots.h"

/* Every function here takes up to three words and gives one. So one kind of hook serves them
 * all: what a function does not take, it does not look at. */
typedef uintptr_t any_function(uintptr_t a, uintptr_t b, uintptr_t c);

/* X(what is asked for, name): which words say how many bytes, and which block goes. C++'s
 * operators stand by their names in the Itanium ABI; what they take beyond that is an
 * alignment, a size, std::nothrow. */
#define FUNCTION_LIST(X)                                                                       \
    X(by_first, malloc)                                                                        \
    X(by_product, calloc)                                                                      \
    X(by_realloc, realloc)                                                                     \
    X(by_reallocarray, reallocarray)                                                           \
    X(by_posix_memalign, posix_memalign)                                                       \
    X(by_second, aligned_alloc)                                                                \
    X(by_second, memalign)                                                                     \
    X(by_free, free)                                                                           \
    X(by_first, _Znwm)                                                                         \
    X(by_first, _Znam)                                                                         \
    X(by_first, _ZnwmRKSt9nothrow_t)                                                           \
    X(by_first, _ZnamRKSt9nothrow_t)                                                           \
    X(by_first, _ZnwmSt11align_val_t)                                                          \
    X(by_first, _ZnamSt11align_val_t)                                                          \
    X(by_first, _ZnwmSt11align_val_tRKSt9nothrow_t)                                            \
    X(by_first, _ZnamSt11align_val_tRKSt9nothrow_t)                                            \
    X(by_free, _ZdlPv)                                                                         \
    X(by_free, _ZdaPv)                                                                         \
    X(by_free, _ZdlPvm)                                                                        \
    X(by_free, _ZdaPvm)                                                                        \
    X(by_free, _ZdlPvRKSt9nothrow_t)                                                           \
    X(by_free, _ZdaPvRKSt9nothrow_t)                                                           \
    X(by_free, _ZdlPvSt11align_val_t)                                                          \
    X(by_free, _ZdaPvSt11align_val_t)                                                          \
    X(by_free, _ZdlPvmSt11align_val_t)                                                         \
    X(by_free, _ZdaPvmSt11align_val_t)                                                         \
    X(by_free, _ZdlPvSt11align_val_tRKSt9nothrow_t)                                            \
    X(by_free, _ZdaPvSt11align_val_tRKSt9nothrow_t)

#define NUMBER(how, name) NUMBER_##name,
enum { FUNCTION_LIST(NUMBER) FUNCTIONS };

/* Whose hooks are below. */
static struct cprof_import functions[FUNCTIONS];

static inline uintptr_t original(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return ((any_function *)functions[number].original)(a, b, c);
}

/* ---- the way that is hardly ever taken ---- */

enum way { ALLOCATES, REALLOCATES, STORES };

/* Of the words of a call `size` bytes are asked for, and that is what was counted if it is
 * `due`. Jumped to by its hook, so its caller is the hook's. */
struct asked {
    unsigned short number;
    uint8_t way;
    bool due;
};

/* AddressSanitizer has no idea yet of the stack of a thread that is being made. */
__attribute__((noinline, no_sanitize("address"))) static uintptr_t
slowly(uintptr_t a, uintptr_t b, uintptr_t c, size_t size, struct asked asked)
{
    const struct cprof_registers caller = cprof_caller();
    uint64_t period = asked.due ? cprof_due_now(CPROF_EVENT_ALLOC, size) : 0;
    if (asked.way == REALLOCATES) /* first: once it is freed its address may be another's */
        cprof_freed((const void *)a);
    uintptr_t result = original(asked.number, a, b, c);
    const void *block = (const void *)result;
    if (asked.way == STORES)
        block = (int)result == 0 ? *(void *const *)a : NULL;
    if (period != 0)
        (void)cprof_take(CPROF_EVENT_ALLOC, period, size, block, &caller);
    else
        cprof_note_block(block);
    return result;
}

__attribute__((noinline)) static uintptr_t free_slowly(uintptr_t a, uintptr_t b, uintptr_t c,
                                                       unsigned number)
{
    cprof_freed_now((const void *)a);
    return original(number, a, b, c);
}

/* ---- the ways of the hooks ---- */

static inline uintptr_t allocate(unsigned number, enum way way, size_t size, uintptr_t a,
                                 uintptr_t b, uintptr_t c)
{
    if (cprof_count(CPROF_EVENT_ALLOC, size))
        return slowly(a, b, c, size,
                      (struct asked){(unsigned short)number, (uint8_t)way, true});
    return original(number, a, b, c);
}

static inline uintptr_t reallocate(unsigned number, size_t size, uintptr_t a, uintptr_t b,
                                   uintptr_t c)
{
    bool due = cprof_count(CPROF_EVENT_ALLOC, size);
    if (due || cprof_was_taken((const void *)a))
        return slowly(a, b, c, size, (struct asked){(unsigned short)number, REALLOCATES, due});
    return original(number, a, b, c);
}

static inline uintptr_t by_first(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return allocate(number, ALLOCATES, a, a, b, c);
}

static inline uintptr_t by_second(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return allocate(number, ALLOCATES, b, a, b, c);
}

/* A product that is too large is nothing that could be had. */
static inline uintptr_t by_product(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return allocate(number, ALLOCATES, a * b, a, b, c);
}

static inline uintptr_t by_posix_memalign(unsigned number, uintptr_t a, uintptr_t b,
                                          uintptr_t c)
{
    return allocate(number, STORES, c, a, b, c);
}

static inline uintptr_t by_realloc(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return reallocate(number, b, a, b, c);
}

static inline uintptr_t by_reallocarray(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return reallocate(number, b * c, a, b, c);
}

static inline uintptr_t by_free(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    if (cprof_was_taken((const void *)a))
        return free_slowly(a, b, c, number);
    return original(number, a, b, c);
}

#define HOOK(how, name)                                                                        \
    static uintptr_t hook_##name(uintptr_t a, uintptr_t b, uintptr_t c)                        \
    {                                                                                          \
        return how(NUMBER_##name, a, b, c);                                                    \
    }
FUNCTION_LIST(HOOK)

#define ROW(how, symbol)                                                                       \
    [NUMBER_##symbol] = {.name = #symbol, .ours = (uintptr_t)hook_##symbol},
static struct cprof_import functions[FUNCTIONS] = {FUNCTION_LIST(ROW)};

/* ---- in and out ---- */

#define LATEST 256 /* turns until slots that are not bound yet are looked at again, at most */

static struct {
    atomic_bool hooked;
    unsigned turns, due; /* since the last look; when the next one is */
    bool unbound;
} state;

static size_t change(void)
{
    slots_learn_beside(functions[NUMBER_malloc].original, functions, FUNCTIONS);
    struct slots_found found = slots_change(functions, FUNCTIONS, &state.hooked);
    state.unbound = found.unbound;
    state.turns = 0;
    return found.changed;
}

/* In the child of a fork they are in already, and the loader may be locked. */
bool malloc_hook(void)
{
    if (atomic_load(&state.hooked))
        return true;
    functions[NUMBER_malloc].original = slots_own("malloc");
    if (functions[NUMBER_malloc].original == 0)
        return false;
    state.due = 1;
    atomic_store(&state.hooked, true);
    if (change() == 0)
        atomic_store(&state.hooked, false);
    return atomic_load(&state.hooked);
}

void malloc_unhook(void)
{
    if (atomic_exchange(&state.hooked, false))
        slots_restore(functions, FUNCTIONS);
}

void malloc_follow(bool modules_changed)
{
    bool again = state.unbound && ++state.turns >= state.due;
    if (!atomic_load(&state.hooked) || !(modules_changed || again))
        return;
    if (again && state.due < LATEST)
        state.due *= 2;
    (void)change();
}
