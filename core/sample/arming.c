#include "sample/arming.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "sample/due.h"

static struct {
    int signal;
    bool maskable;
    uint64_t period_ns;
    uint64_t last_generation; /* goes on over restarts */
    bool warned;              /* in this run, that some thread has no timer */
} arming;

void arming_use(int signal, bool maskable)
{
    arming.signal = signal;
    arming.maskable = maskable;
}

void arming_open(uint64_t period_ns)
{
    arming.period_ns = period_ns;
    arming.warned = false;
    /* A random start keeps foreign timers' values from ever naming one of ours. */
    if (arming.last_generation == 0)
        arming.last_generation = hash_u64(clock_ns(CLOCK_REALTIME)) >> 24;
}

void arming_warn(int error)
{
    if (arming.warned)
        return;
    arming.warned = true;
    if (error == -EAGAIN)
        log_warn("no timer for some threads: the limit of pending signals (ulimit -i) is "
                 "reached; they are not sampled");
    else if (error == -EPERM)
        log_warn(
            "some threads block the signal that cprof samples with (%d): their CPU time is "
            "shown as [signals blocked]",
            arming.signal);
    else if (error == -ENOMEM)
        log_warn("no buffer for some threads within CPROF_MEMORY_LIMIT; they are not sampled");
    else
        log_warn("no timer for some threads (%s); they are not sampled", strerror(-error));
}

/* ---- blocked signals ---- */

static FILE *open_task(pid_t tid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)tid, name);
    return fopen(path, "re");
}

/* It is not to be believed of a thread that is open to another one that is pending: it waits
 * for that, and has no processor yet to end it. */
bool arming_masks(pid_t tid, int signal)
{
    char line[64];
    uint64_t mask = 0, pending = 0, ours = UINT64_C(1) << (signal - 1);
    FILE *status = open_task(tid, "status");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "SigBlk:", strlen("SigBlk:")) == 0)
            mask = strtoull(line + strlen("SigBlk:"), NULL, 16);
        else if (strncmp(line, "SigPnd:", strlen("SigPnd:")) == 0 ||
                 strncmp(line, "ShdPnd:", strlen("ShdPnd:")) == 0)
            pending |= strtoull(line + strlen("SigPnd:"), NULL, 16);
    }
    if (status != NULL)
        fclose(status);
    return (mask & ours) != 0 || (pending & ~mask & ~ours) != 0;
}

/* Meanwhile the kernel takes what is waited for out of the mask. */
static bool waits_for_signals(pid_t tid)
{
    char line[64] = "";
    FILE *call = open_task(tid, "syscall");
    if (call != NULL && fgets(line, sizeof line, call) == NULL)
        line[0] = '\0';
    if (call != NULL)
        fclose(call);
    return strtol(line, NULL, 10) == SYS_rt_sigtimedwait;
}

/* One that was still waiting when its mask was read may wait no more at the next look; but then
 * it has its mask back. */
static bool is_open_to_signal(pid_t tid)
{
    return !arming_masks(tid, arming.signal) && !waits_for_signals(tid) &&
           !arming_masks(tid, arming.signal);
}

/* One look, which thread->masked counts. */
static bool blocks_signal(struct thread *thread)
{
    if (is_open_to_signal(thread->tid))
        thread->masked = 0;
    else if (thread->masked < 2)
        thread->masked++;
    return thread->masked > 0;
}

bool arming_is_barred(struct thread *thread)
{
    return (arming.maskable || thread->masked > 0) && blocks_signal(thread);
}

/* Where only system calls of its own can block the signal, few threads are worth a look. One
 * whose samples come blocked it for a moment only: our own handler does. */
bool arming_is_futile(struct thread *thread, uint64_t ran_ns)
{
    if (!arming.maskable && !due_is_starved(thread, ran_ns)) {
        thread->masked = 0;
        return false;
    }
    return blocks_signal(thread) && thread->masked > 1;
}

/* ---- the timer ---- */

int arming_arm(struct thread *thread, uint64_t ran_ns, bool enters)
{
    uint32_t backlog;
    uint64_t first = due_first_expiry(thread, ran_ns, enters, &backlog);
    uint64_t generation = ++arming.last_generation;
    atomic_store_explicit(&thread->backlog, backlog, memory_order_relaxed);
    atomic_store_explicit(&thread->generation, generation, memory_order_release);
    int error = timer_arm(&thread->timer, thread->tid, arming.signal,
                          thread_value(thread, generation), first, arming.period_ns);
    if (error != 0)
        atomic_store(&thread->generation, 0);
    return error;
}

/* A handler that is under way sees generation 0 or has marked itself in `handlers` (both
 * sequentially consistent). */
void arming_disarm(struct thread *thread)
{
    timer_disarm(&thread->timer);
    atomic_store(&thread->generation, 0);
}
