/* Handler code: runs inside the handler of the kernel's samples. See kernel_handler.h. */
#include "sample/kernel_handler.h"

#include <errno.h>

#include "base/clock.h"
#include "sample/expiries.h"
#include "sample/kernel_frames.h"
#include "sample/self.h"
#include "sample/take.h"
#include "sample/threads.h"

/* The expiries up to now that no sample stands for yet. */
static uint32_t count_due(const struct kernel_thread *kernel, uint64_t ran_ns)
{
    int64_t late = (int64_t)ran_ns - kernel->due_ns;
    uint64_t expiries = late >= 0 ? (uint64_t)late / kernel->period_ns + 1 : 0;
    return expiries < UINT32_MAX ? (uint32_t)expiries : UINT32_MAX;
}

static void sample(const struct take_view *view, struct thread *thread, uint32_t expiries,
                   const struct kernel_chain *chain, const void *ucontext)
{
    const struct take take = {
        .time_ns = clock_ns(CLOCK_MONOTONIC),
        .weight = expiries + expiries_take_backlog(thread),
        .source = SOURCE_CPU,
    };
    const struct take_point point = {
        .ucontext = ucontext, .registers = walk_registers(ucontext), .kernel = chain};
    if (take_sample(view, thread, &take, &point) == TAKE_LOST)
        expiries_add(&thread->counts.dropped, take.weight);
    expiries_count_run(&thread->counts, take.weight, clock_ns(CLOCK_MONOTONIC) - take.time_ns);
}

/* In a long system call there are several, a period apart, and one signal for all. */
static void sample_all(const struct take_view *view, struct thread *thread,
                       struct kernel_thread *kernel, const void *ucontext)
{
    uint64_t ran_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bool free = self_begin();
    while (kernel_ring_next(kernel->ring, &kernel->chain)) {
        uint32_t due = count_due(kernel, ran_ns);
        uint32_t expiries = kernel->chain.more && due > 1 ? 1 : due;
        kernel->due_ns += (int64_t)(expiries * kernel->period_ns);
        if (expiries != 0 && free)
            sample(view, thread, expiries, &kernel->chain, ucontext);
        else if (expiries != 0)
            expiries_owe(thread, expiries);
    }
    if (free)
        self_end();
}

/* Where another sends the signal there is nothing in the ring. First the mark, then the look,
 * as the timer's handler does it. */
void kernel_handler_on_signal(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    (void)signal, (void)info;
    struct thread *thread = self_record();
    if (thread != NULL) {
        const struct take_view *view = take_seen();
        struct kernel_thread *kernel = atomic_load(&kernel_places[thread_index(thread)].now);
        if (view != NULL && kernel != NULL)
            sample_all(view, thread, kernel, ucontext);
        atomic_fetch_sub(&thread->handlers, 1);
    }
    errno = saved;
}
