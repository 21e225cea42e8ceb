/* Handler code: runs inside malloc. See hook.h. */
#include "sample/hook.h"

#include <errno.h>

#include "base/clock.h"
#include "base/own_thread.h"
#include "sample/awake.h"
#include "sample/countdown.h"
#include "sample/self.h"
#include "sample/take.h"

/* What a thread counts before it looks again, where nothing is sampled; and where something is
 * to be taken, or never is. */
#define CLOSED_GAP (UINT64_C(1) << 20)
#define ENDLESS_GAP (UINT64_C(1) << 62)

#define PERIOD_MOST (UINT64_C(1) << 40)

/* A thread whose ring is filling doubles its period so many times, with each CROWD of samples.
 */
#define THINNED_MAX 16
#define CROWD 8

CPROF_THREAD_LOCAL uint64_t cprof_left[CPROF_EVENTS];

static struct {
    _Atomic uint64_t period; /* 0: closed */
    _Atomic uint8_t source;
    _Atomic uint64_t taken, lost;
    _Atomic uint64_t usual;
    /* The collector's. */
    uint64_t since_ns, since_taken;
} hooks[CPROF_EVENTS];

/* ---- due ---- */

static void seed(struct self *self)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    self->random = (uint64_t)(uintptr_t)self ^ (uint64_t)now.tv_nsec << 32 ^
                   (uint64_t)now.tv_sec * UINT64_C(0x9e3779b97f4a7c15);
    self->random |= self->random == 0;
}

/* The thread's period; 0: nothing is sampled. */
static uint64_t period_of(const struct self *self, enum cprof_event event)
{
    return atomic_load_explicit(&hooks[event].period, memory_order_relaxed)
           << self->crowded[event] / CROWD;
}

/* Draws the thread's next gap; 0, with a while to go, where nothing is sampled. */
static uint64_t draw(struct self *self, enum cprof_event event)
{
    uint64_t period = period_of(self, event);
    self->period[event] = period;
    /* Rare: each may look whether it is open. */
    bool events = event == CPROF_EVENT_EXCEPTION || event == CPROF_EVENT_GC;
    if (period == 0)
        return events ? 0 : CLOSED_GAP;
    if (self->random == 0)
        seed(self);
    return events ? countdown_draw_events(&self->random, period)
                  : countdown_draw(&self->random, period);
}

/* What remains of a gap in which the amount lies that was not counted yet. */
static uint64_t begin_gap(struct self *self, enum cprof_event event, uint64_t amount)
{
    uint64_t gap = draw(self, event);
    if (self->period[event] == 0)
        cprof_left[event] = gap;
    else if (gap >= amount)
        cprof_left[event] = gap - amount;
    else
        return self->period[event];
    return 0;
}

uint64_t cprof_due_now(enum cprof_event event, uint64_t amount)
{
    struct self *self = &self_of_thread;
    if (self->expecting || own_thread_is_current()) {
        cprof_left[event] = ENDLESS_GAP;
        return 0;
    }
    uint64_t period = self->period[event];
    if (period == 0)
        period = begin_gap(self, event, amount);
    if (period != 0)
        cprof_left[event] = ENDLESS_GAP; /* till it is taken */
    return period;
}

/* ---- met by the runtime's own sampler ---- */

/* Is one of those that are met with the period `met` one of those that would be with a longer
 * one? */
static bool is_met_as_well(struct self *self, uint64_t amount, uint64_t met, uint64_t period)
{
    if (self->random == 0)
        seed(self);
    double chance = countdown_chance(amount, period) / countdown_chance(amount, met);
    return (double)(countdown_random(&self->random) >> 11) * 0x1p-53 < chance;
}

uint64_t cprof_due_met(enum cprof_event event, uint64_t amount, uint64_t met)
{
    struct self *self = &self_of_thread;
    uint64_t period = period_of(self, event);
    if (period == 0 || amount == 0 || own_thread_is_current())
        return 0;
    if (period <= met)
        return met;
    return is_met_as_well(self, amount, met, period) ? period : 0;
}

uint64_t cprof_period(enum cprof_event event)
{
    return atomic_load(&hooks[event].period) != 0 ? atomic_load(&hooks[event].usual) : 0;
}

/* ---- what malloc gives ---- */

/* The next block's way is the one that is hardly ever taken. */
void cprof_expect_block(void)
{
    self_of_thread.expecting = true;
    self_of_thread.expected = NULL;
    cprof_left[CPROF_EVENT_ALLOC] = 0;
}

void cprof_note_block(const void *block)
{
    if (!self_of_thread.expecting)
        return;
    self_of_thread.expecting = false;
    self_of_thread.expected = block;
}

const void *cprof_expected_block(void)
{
    self_of_thread.expecting = false;
    cprof_left[CPROF_EVENT_ALLOC] = ENDLESS_GAP;
    return self_of_thread.expected;
}

/* ---- taken ---- */

/* The record of the calling thread is marked as in use. */
static enum take_result take_with(struct thread *thread, const struct take *take,
                                  const struct cprof_registers *caller)
{
    const struct take_view *view = take_seen();
    const struct take_point point = {.registers = *caller,
                                     .interpreted = (take->kind & RECORD_OF_TASK) != 0};
    return view != NULL ? take_sample(view, thread, take, &point) : TAKE_LOST;
}

/* Is there little room left for more? */
static bool is_filling(const struct thread *thread)
{
    const struct ring *ring = lease_ring(&thread->lease);
    return ring != NULL && ring_half_full(ring);
}

static enum take_result take_now(const struct take *take, const struct cprof_registers *caller,
                                 bool *filling)
{
    *filling = false;
    if (!self_begin())
        return TAKE_LOST;
    enum take_result result = TAKE_LOST;
    struct thread *thread = self_record();
    if (thread != NULL) {
        result = take_with(thread, take, caller);
        *filling = is_filling(thread);
        atomic_fetch_sub(&thread->handlers, 1);
    }
    self_end();
    return result;
}

static void thin(struct self *self, enum cprof_event event, bool filling)
{
    if (!filling)
        self->crowded[event] = 0;
    else if (self->crowded[event] < CROWD * THINNED_MAX)
        self->crowded[event]++;
}

/* The take says what is counted; the rest is filled in. */
static enum take_result take_due(enum cprof_event event, struct take *take,
                                 const struct cprof_registers *caller)
{
    struct self *self = &self_of_thread;
    bool filling;
    int saved = errno;
    take->time_ns = clock_ns(CLOCK_MONOTONIC);
    take->source = atomic_load_explicit(&hooks[event].source, memory_order_relaxed);
    enum take_result result = take_now(take, caller, &filling);
    thin(self, event, filling);
    cprof_left[event] = draw(self, event);
    atomic_fetch_add_explicit(result == TAKE_LOST ? &hooks[event].lost : &hooks[event].taken, 1,
                              memory_order_relaxed);
    errno = saved;
    return result;
}

bool cprof_is_known(void)
{
    if (!self_begin())
        return true;
    struct thread *thread = self_record();
    if (thread != NULL)
        atomic_fetch_sub(&thread->handlers, 1);
    self_end();
    return thread != NULL;
}

void cprof_not_taken(enum cprof_event event)
{
    cprof_left[event] = draw(&self_of_thread, event);
}

bool cprof_take_for(uint32_t weight, enum cprof_event event, uint64_t period, uint64_t amount,
                    const void *block, const struct cprof_registers *caller)
{
    if (event == CPROF_EVENT_ALLOC && block == NULL) {
        cprof_not_taken(event);
        return false;
    }
    struct take take = {.weight = weight, .amount = amount, .period = period, .block = block};
    return take_due(event, &take, caller) == TAKE_LISTED;
}

bool cprof_take(enum cprof_event event, uint64_t period, uint64_t amount, const void *block,
                const struct cprof_registers *caller)
{
    return cprof_take_for(1, event, period, amount, block, caller);
}

void cprof_take_wait(enum cprof_event event, uint64_t period, uint64_t waited,
                     const struct cprof_waited *of, const struct cprof_registers *caller)
{
    struct take take = {.weight = 1,
                        .amount = waited,
                        .period = period,
                        .lock = of->lock,
                        .holder = of->holder,
                        .kind = of->holder_kind | (of->task ? RECORD_OF_TASK : 0)};
    (void)take_due(event, &take, caller);
}

void cprof_take_kind(enum cprof_event event, uint64_t period, uint64_t amount, uint32_t kind,
                     const struct cprof_registers *caller)
{
    struct take take = {.weight = 1, .amount = amount, .period = period, .kind = kind};
    (void)take_due(event, &take, caller);
}

/* ---- open and closed ---- */

void hook_open(enum cprof_event event, enum source_number source, uint64_t period)
{
    atomic_store(&hooks[event].usual, period);
    hooks[event].since_ns = clock_ns(CLOCK_MONOTONIC);
    hooks[event].since_taken = 0;
    atomic_store(&hooks[event].source, (uint8_t)source);
    atomic_store(&hooks[event].taken, 0);
    atomic_store(&hooks[event].lost, 0);
    atomic_store(&hooks[event].period, period);
}

void hook_close(enum cprof_event event)
{
    atomic_store(&hooks[event].period, 0);
}

void hook_temper(enum cprof_event event, uint64_t most_a_second)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), passed = now - hooks[event].since_ns;
    if (passed < NS_PER_SECOND / 5)
        return;
    uint64_t taken = atomic_load(&hooks[event].taken);
    uint64_t period = atomic_load(&hooks[event].period);
    uint64_t most = most_a_second * passed / NS_PER_SECOND;
    uint64_t fresh = taken - hooks[event].since_taken;
    if (fresh * 4 < most && period / 2 >= atomic_load(&hooks[event].usual))
        period /= 2;
    for (; fresh > most && period < PERIOD_MOST; fresh /= 2)
        period *= 2;
    hooks[event].since_ns = now;
    hooks[event].since_taken = taken;
    atomic_store(&hooks[event].period, period);
}

struct hook_counts hook_counts(enum cprof_event event)
{
    return (struct hook_counts){.taken = atomic_load(&hooks[event].taken),
                                .lost = atomic_load(&hooks[event].lost)};
}
