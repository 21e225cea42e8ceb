#include "sample/due.h"

#include "base/clock.h"
#include "base/hash.h"
#include "sample/account.h"
#include "sample/awake.h"

/* Periods, or ticks where those are longer, that a thread whose signals arrive is never late
 * by, or hardly: an expiry waits for the kernel's next tick, and for the end of a system call.
 */
#define LATE_PERIODS 4

/* Threads that have left, and may go on: what they had run by then. Each in the place of its
 * tid; one that another takes is found later as if it had never been known. */
static struct leaver {
    uint32_t session; /* of sampling */
    pid_t tid;
    uint64_t ran_ns;
} leavers[THREADS_MAX];

static struct {
    uint32_t session; /* counts due_open() */
    uint64_t period_ns;
    uint64_t tick_ns; /* the kernel's */
    bool all_known;   /* once since due_open() */
    struct accounts accounts;
} due;

/* The coarse clock advances by one tick. */
static uint64_t tick_length(void)
{
    struct timespec tick;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 ||
        tick.tv_nsec <= 0)
        return NS_PER_SECOND / 250;
    return (uint64_t)tick.tv_nsec;
}

void due_open(uint64_t period_ns)
{
    due.session++;
    due.period_ns = period_ns;
    due.tick_ns = tick_length();
    due.all_known = false;
    accounts_init(&due.accounts, period_ns, hash_u64(clock_ns(CLOCK_MONOTONIC)));
}

void due_all_known(void)
{
    due.all_known = true;
}

/* ---- the first sample ---- */

/* Since it left, if it did; else since it began, after the scan before. At the first scan it
 * may be older than us. */
uint64_t due_from(pid_t tid)
{
    const struct leaver *left = &leavers[(size_t)tid % THREADS_MAX];
    /* One that has run less is another with its tid. */
    if (left->tid == tid && left->session == due.session && left->ran_ns <= thread_ran_ns(tid))
        return left->ran_ns;
    return due.all_known ? 0 : UINT64_MAX;
}

void due_note_leaver(const struct thread *thread, uint64_t ran_ns)
{
    leavers[(size_t)thread->tid % THREADS_MAX] =
        (struct leaver){.session = due.session, .tid = thread->tid, .ran_ns = ran_ns};
}

/* When a thread that a scan has found is due for its first sample.
 *
 * The kernel looks at CPU timers in its tick only, so a thread that ends between two ticks
 * takes its last expiries with it: half a tick's worth, 40 % of a life of 5 ms at 250 ticks a
 * second. Where nobody will tell us of the end, the random begin is rounded down to a whole
 * tick: it is then the n-th tick in the thread's life that takes the sample, with equal chances
 * for each, and a life of any length gets its share. At rates above the tick's the first tick
 * stands for several periods, of which the kernel counts those since the thread began; the
 * others are added on average. */
static int64_t due_of_new(const struct thread *thread)
{
    uint64_t period = due.period_ns;
    uint64_t tick = due.tick_ns;
    uint64_t random = hash_combine(clock_ns(CLOCK_MONOTONIC), thread->identity);
    uint64_t first = 1 + random % period / tick * tick;
    uint64_t uncounted = tick > period ? random % (tick / period) : 0;
    return (int64_t)first - (int64_t)(uncounted * period);
}

/* An account that is taken over is paid no more. */
static struct account take_account(void)
{
    struct account account = accounts_take(&due.accounts);
    if (account.holder != NULL)
        ((struct thread *)account.holder)->held = false;
    return account;
}

void due_plan(struct thread *thread, uint64_t ran_ns, uint64_t from_ns, bool enters)
{
    if (thread->planned)
        return;
    int64_t begin = (int64_t)(from_ns < ran_ns ? from_ns : ran_ns);
    if (enters) {
        struct account account = take_account();
        thread->due_ns = begin - account.late_ns;
        thread->began_ns = account.began_ns;
    } else {
        int64_t first = due_of_new(thread);
        thread->due_ns = begin + first;
        thread->began_ns = -first;
    }
    thread->planned = true;
}

/* CPU time since its next sample was due. */
static int64_t late_by(const struct thread *thread, uint64_t ran_ns)
{
    return (int64_t)ran_ns - thread->due_ns -
           (int64_t)(thread_expiries(thread) * due.period_ns);
}

/* A thread that tells of its end is sampled at its next tick if it is overdue, though its later
 * samples are then late; others stay in step. */
uint64_t due_first_expiry(const struct thread *thread, uint64_t ran_ns, bool enters,
                          uint32_t *backlog)
{
    int64_t late = late_by(thread, ran_ns);
    *backlog = 0;
    if (late < 0)
        return (uint64_t)-late;
    *backlog = (uint32_t)((uint64_t)late / due.period_ns + !enters);
    return enters ? 1 : due.period_ns - (uint64_t)late % due.period_ns;
}

int64_t due_next(const struct thread *thread, uint64_t ran_ns)
{
    uint32_t backlog = atomic_load_explicit(&thread->backlog, memory_order_relaxed);
    return (int64_t)(backlog * due.period_ns) - late_by(thread, ran_ns);
}

bool due_is_starved(const struct thread *thread, uint64_t ran_ns)
{
    uint64_t step = due.tick_ns > due.period_ns ? due.tick_ns : due.period_ns;
    return late_by(thread, ran_ns) >= LATE_PERIODS * (int64_t)step;
}

/* ---- what is owed ---- */

/* No handler of the thread counts any more, so its counts are ours. */
static void owe(struct thread *thread, _Atomic uint32_t *what, uint32_t expiries)
{
    uint64_t overruns = thread_count(&thread->counts.overruns);
    atomic_store_explicit(&thread->counts.overruns, overruns + expiries, memory_order_relaxed);
    atomic_fetch_add(what, expiries);
    awake_mark(thread);
}

/* A handler that is still at work with it, or has been jumped out of, leaves its counts in
 * doubt. */
void due_owe(struct thread *thread, uint64_t ran_ns)
{
    int64_t late = late_by(thread, ran_ns);
    if (late >= 0 && atomic_load(&thread->handlers) == 0)
        owe(thread, thread->masked > 0 ? &thread->blocked : &thread->owed,
            (uint32_t)((uint64_t)late / due.period_ns + 1));
}

void due_leave(struct thread *thread, uint64_t ran_ns)
{
    if (!thread->planned || atomic_load(&thread->handlers) != 0)
        return;
    /* No tick took that much: its signals did not arrive, and nobody is to inherit that. */
    if (due_is_starved(thread, ran_ns))
        due_owe(thread, ran_ns);
    const struct account account = {
        .late_ns = late_by(thread, ran_ns), .began_ns = thread->began_ns, .holder = thread};
    if (account.late_ns < -(int64_t)due.period_ns)
        return; /* the clock is another thread's, which has the tid now */
    uint32_t overdue;
    thread->held = accounts_leave(&due.accounts, account, &overdue);
    owe(thread, &thread->owed, overdue);
}

static void pay(bool all)
{
    size_t cursor = 0;
    for (struct account *account; (account = accounts_held(&due.accounts, &cursor));) {
        struct thread *thread = account->holder;
        if (!all && thread_count(&thread->counts.signals) == 0)
            continue;
        thread->held = false;
        owe(thread, &thread->owed, accounts_pay(&due.accounts, account));
    }
}

void due_pay(void)
{
    pay(false);
}

void due_close(void)
{
    accounts_close(&due.accounts);
    pay(true);
}
