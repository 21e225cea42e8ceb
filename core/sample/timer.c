#include "sample/timer.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* glibc has named this union member only since 2.38. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND),
                             .tv_nsec = (long)(ns % NS_PER_SECOND)};
}

uint64_t thread_ran_ns(pid_t tid)
{
    struct timespec time = {0};
    clock_gettime(thread_clock(tid), &time);
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

int timer_arm(struct thread_timer *timer, pid_t tid, int signal, uint64_t value,
              uint64_t first_ns, uint64_t period_ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = signal,
                             .sigev_value.sival_ptr = (void *)(uintptr_t)value};
    event.sigev_notify_thread_id = tid;
    if (syscall(SYS_timer_create, thread_clock(tid), &event, &timer->id) != 0)
        return -errno;
    const struct itimerspec times = {.it_value = timespec_of(first_ns),
                                     .it_interval = timespec_of(period_ns)};
    if (syscall(SYS_timer_settime, timer->id, 0, &times, NULL) != 0) {
        int error = -errno;
        timer_disarm(timer);
        /* The thread ended between the two calls. */
        return error == -ESRCH ? -EINVAL : error;
    }
    return 0;
}

/* An end that no thread lives to see; the interval tells timer_alive(). */
void timer_rest(const struct thread_timer *timer, uint64_t period_ns)
{
    const struct itimerspec never = {.it_value = {.tv_sec = 100 * 1000 * 1000},
                                     .it_interval = timespec_of(period_ns)};
    syscall(SYS_timer_settime, timer->id, 0, &never, NULL);
}

void timer_disarm(const struct thread_timer *timer)
{
    syscall(SYS_timer_delete, timer->id);
}

bool timer_alive(const struct thread_timer *timer)
{
    /* The kernel reports no interval for a timer whose thread has gone. */
    struct itimerspec left = {.it_interval = {0}};
    return syscall(SYS_timer_gettime, timer->id, &left) == 0 &&
           (left.it_interval.tv_sec != 0 || left.it_interval.tv_nsec != 0);
}
