/*
 * What a sampling signal costs when nothing is sampled: a CPU timer of the calling thread as
 * cprof's, with a handler that does nothing. A library that the benchmarks load into their
 * programs (`cc -shared -fPIC`), so that what cprof adds is seen beside it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#ifndef sigev_notify_thread_id /* C libraries hide it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Atomic long signals;

static void do_nothing(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    signals++;
}

/* Of this thread, each `period_ns` of its CPU time. 0 or -errno. */
int empty_handler_start(int number, long period_ns)
{
    const struct sigaction action = {.sa_sigaction = do_nothing,
                                     .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number};
    const struct timespec period = {.tv_nsec = period_ns};
    const struct itimerspec setting = {.it_interval = period, .it_value = period};
    timer_t timer;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    return sigaction(number, &action, NULL) ||
                   timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) ||
                   timer_settime(timer, 0, &setting, NULL)
               ? -errno
               : 0;
}

/* How many came. */
long empty_handler_signals(void)
{
    return signals;
}
