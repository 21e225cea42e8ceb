#include "gvl.h"

#include <stdatomic.h>
#include <time.h>

#include <cprof/sample.h>

enum { PLACES = 1024 }; /* a power of two */

__thread bool gvl_within;

static atomic_bool wanted;
static _Atomic pid_t holder;   /* who has it; 0: nobody */
static _Atomic pid_t last;     /* who has had it last */
static _Atomic unsigned turns; /* how often somebody has got it */

/* Threads that are ready. Who writes takes the thread out first. */
static struct {
    _Atomic uintptr_t thread;
    _Atomic uint64_t since_ns;
    _Atomic unsigned turn;        /* when somebody else gets it before: one more */
    _Atomic uint64_t unblamed_ns; /* since then nobody has been blamed for its wait */
} ready[PLACES];

enum { WORD = 64 };
static _Atomic uint64_t occupied[PLACES / WORD]; /* a bit a place */

static size_t place_of(uintptr_t thread)
{
    return (size_t)(thread * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (PLACES - 1);
}

static void occupy(size_t place)
{
    atomic_fetch_or(&occupied[place / WORD], UINT64_C(1) << place % WORD);
}

static void vacate(size_t place)
{
    atomic_fetch_and(&occupied[place / WORD], ~(UINT64_C(1) << place % WORD));
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void gvl_count(bool count)
{
    atomic_store(&wanted, count);
}

void gvl_ready(uintptr_t thread)
{
    size_t place = place_of(thread);
    if (!atomic_load_explicit(&wanted, memory_order_relaxed))
        return;
    bool held = atomic_load_explicit(&holder, memory_order_relaxed) != 0;
    atomic_store(&ready[place].thread, 0);
    atomic_store(&ready[place].turn,
                 atomic_load_explicit(&turns, memory_order_relaxed) - (held ? 1 : 0));
    uint64_t now = now_ns();
    atomic_store(&ready[place].since_ns, now);
    atomic_store(&ready[place].unblamed_ns, now);
    atomic_store(&ready[place].thread, thread);
    occupy(place);
}

__attribute__((noinline)) static void count_wait(uint64_t waited, pid_t by)
{
    const struct cprof_registers caller = cprof_caller();
    const struct cprof_waited of = {.lock = CPROF_LOCK_GVL, .holder = by};
    uint64_t period = cprof_due(CPROF_EVENT_LOCK, waited);
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_LOCK, period, waited, &of, &caller);
}

/* The thread is not ready any more: since when it was, if it had to wait for somebody; else 0.
 */
static uint64_t end_ready(uintptr_t thread, unsigned turn)
{
    size_t place = place_of(thread);
    if (atomic_load_explicit(&ready[place].thread, memory_order_relaxed) != thread)
        return 0;
    uint64_t since = atomic_load(&ready[place].since_ns);
    bool waited = atomic_load(&ready[place].turn) != turn;
    vacate(place);
    return atomic_compare_exchange_strong(&ready[place].thread, &thread, 0) && waited ? since
                                                                                      : 0;
}

void gvl_taken(uintptr_t thread, pid_t tid)
{
    unsigned turn = atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    pid_t by = atomic_exchange_explicit(&last, tid, memory_order_relaxed);
    atomic_store_explicit(&holder, tid, memory_order_relaxed);
    uint64_t since = end_ready(thread, turn), now = since != 0 ? now_ns() : 0;
    if (now > since && !gvl_within && atomic_load_explicit(&wanted, memory_order_relaxed))
        count_wait(now - since, by != tid ? by : 0);
}

/* What those that are ready have waited since they began to, or since somebody was blamed. */
static uint64_t unblamed(void)
{
    uint64_t waited = 0, now = 0;
    for (size_t word = 0; word < PLACES / WORD; word++) {
        uint64_t bits = atomic_load_explicit(&occupied[word], memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1) {
            size_t place = word * WORD + (size_t)__builtin_ctzll(bits);
            now = now != 0 ? now : now_ns();
            uint64_t since = atomic_exchange(&ready[place].unblamed_ns, now);
            waited += now > since ? now - since : 0;
        }
    }
    return waited;
}

__attribute__((noinline)) static void count_blame(void)
{
    const struct cprof_registers caller = cprof_caller();
    const struct cprof_waited of = {.lock = CPROF_LOCK_GVL};
    uint64_t waited = unblamed();
    uint64_t period = waited != 0 ? cprof_due(CPROF_EVENT_BLAME, waited) : 0;
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_BLAME, period, waited, &of, &caller);
}

void gvl_given(pid_t tid)
{
    if (atomic_compare_exchange_strong_explicit(&holder, &tid, 0, memory_order_relaxed,
                                                memory_order_relaxed) &&
        atomic_load_explicit(&wanted, memory_order_relaxed))
        count_blame();
}

pid_t gvl_holder(void)
{
    return atomic_load_explicit(&holder, memory_order_relaxed);
}

void gvl_child(void)
{
    for (size_t i = 0; i < PLACES; i++)
        atomic_store(&ready[i].thread, 0);
    for (size_t i = 0; i < PLACES / WORD; i++)
        atomic_store(&occupied[i], 0);
    gvl_within = false;
    atomic_store(&holder, 0);
    atomic_store(&last, 0);
}
