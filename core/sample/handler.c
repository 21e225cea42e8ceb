/* Handler code: runs inside the sampling signal's handler. See handler.h. */
#include "sample/handler.h"

#include <errno.h>
#include <stdbool.h>

#include "base/clock.h"
#include "sample/expiries.h"
#include "sample/self.h"
#include "sample/take.h"
#include "sample/threads.h"

_Atomic(handler_function *) handler_former;
atomic_bool handler_only_ticks;

static void sample(const struct take_view *view, struct thread *thread, uint32_t expiries,
                   const void *ucontext)
{
    const struct take take = {
        .time_ns = clock_ns(CLOCK_MONOTONIC),
        .weight = expiries + expiries_take_backlog(thread),
        .source = SOURCE_CPU,
    };
    const struct take_point point = {.ucontext = ucontext,
                                     .registers = walk_registers(ucontext)};
    if (take_sample(view, thread, &take, &point) == TAKE_LOST)
        expiries_add(&thread->counts.dropped, take.weight);
    expiries_count_run(&thread->counts, take.weight, clock_ns(CLOCK_MONOTONIC) - take.time_ns);
}

static void sample_or_owe(const struct take_view *view, struct thread *thread, int overrun,
                          const void *ucontext)
{
    uint32_t expiries = 1 + (overrun > 0 ? (uint32_t)overrun : 0);
    if (self_begin()) {
        sample(view, thread, expiries, ucontext);
        self_end();
        return;
    }
    expiries_owe(thread, expiries);
}

static void tick(const struct take_view *view, struct thread *thread, const void *ucontext)
{
    if (view->runtime == NULL || view->runtime->tick == NULL)
        return;
    const struct cprof_interrupted interrupted = {
        .ucontext = ucontext,
        .registers = walk_registers(ucontext),
        .thread_data = atomic_load_explicit(&thread->data, memory_order_acquire),
        .tid = thread->tid,
    };
    view->runtime->tick(&interrupted);
}

static void on_view(const struct take_view *view, struct thread *thread, int overrun,
                    const void *ucontext)
{
    tick(view, thread, ucontext);
    if (!atomic_load_explicit(&handler_only_ticks, memory_order_relaxed))
        sample_or_owe(view, thread, overrun, ucontext);
}

static void pass_on(int signal, siginfo_t *info, void *ucontext)
{
    handler_function *former = atomic_load(&handler_former);
    if (former != NULL)
        former(signal, info, ucontext);
}

/* False when the value is of no timer that is armed now: an old one of ours, or another's. */
static bool on_timer(const siginfo_t *info, const void *ucontext)
{
    uint64_t generation;
    struct thread *thread =
        threads_of_value((uint64_t)(uintptr_t)info->si_value.sival_ptr, &generation);
    /* First the mark, then the look: whoever takes the view or the generation away and finds
     * no mark afterwards knows that no handler has seen them. A count and not a flag, since
     * a signal that was queued for a thread before may name the same record. */
    threads_begin(thread);
    const struct take_view *view = take_seen();
    bool ours = generation != 0 && generation == atomic_load(&thread->generation);
    if (ours && view != NULL)
        on_view(view, thread, info->si_overrun, ucontext);
    atomic_fetch_sub(&thread->handlers, 1);
    return ours;
}

void handler_on_signal(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    if (info->si_code != SI_TIMER || !on_timer(info, ucontext))
        pass_on(signal, info, ucontext);
    errno = saved;
}
