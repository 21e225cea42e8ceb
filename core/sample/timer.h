/*
 * A POSIX timer on one thread's CPU clock that signals that very thread. Raw system calls:
 * glibc's timer_create() knows no way to name another thread's clock and tid.
 *
 * A timer is armed from any thread of the process. It does not survive fork or exec. It keeps
 * hold of its thread, not of the number: after the thread has ended it never fires again, even
 * when the tid is reused, and timer_alive() tells.
 */
#ifndef CPROF_SAMPLE_TIMER_H
#define CPROF_SAMPLE_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct thread_timer {
    int id; /* the kernel's */
};

/* The CPU clock of a thread of this process. */
static inline clockid_t thread_clock(pid_t tid)
{
    return (clockid_t)((~(uint32_t)tid << 3) | 6);
}

/* The CPU time that it has run for; 0: it is gone. */
uint64_t thread_ran_ns(pid_t tid);

/* The first expiry is after `first_ns` of the thread's CPU time, further ones each
 * `period_ns`. `value` arrives in si_value. 0; -EAGAIN at RLIMIT_SIGPENDING; -EINVAL when the
 * thread is gone. */
int timer_arm(struct thread_timer *timer, pid_t tid, int signal, uint64_t value,
              uint64_t first_ns, uint64_t period_ns);
/* Goes on living, and does not fire any more. */
void timer_rest(const struct thread_timer *timer, uint64_t period_ns);
void timer_disarm(const struct thread_timer *timer);
bool timer_alive(const struct thread_timer *timer);

#endif
