#include "engine/terminate.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "sample/wake.h"

/* Read by the handler. */
static struct {
    _Atomic pid_t pid; /* of the process whose engine runs; 0: none */
    _Atomic bool requested;
    _Atomic(_Atomic uint32_t *) wake;
    bool timed; /* `timer` exists */
    timer_t timer;
} term;

void terminate_now(void)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaction(SIGTERM, &by_default, NULL);
    kill(getpid(), SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL); /* another thread may have it blocked for good */
}

/* [signal handler] All that it calls is on POSIX's list of safe functions, but for the futex
 * behind wake_post(). */
static void on_sigterm(int signal)
{
    (void)signal;
    int saved = errno;
    const struct itimerspec later = {.it_value = {.tv_sec = TERMINATE_SECONDS + 1}};
    /* Not ours in a child that shares our memory (vfork): there nothing is written. Looked at
     * again after the request: terminate_disarm() either sees that, or was there before. */
    if (atomic_load(&term.pid) != getpid() || atomic_exchange(&term.requested, true) ||
        atomic_load(&term.pid) != getpid()) {
        terminate_now();
        return;
    }
    if (term.timed)
        timer_settime(term.timer, 0, &later, NULL);
    wake_post(atomic_load(&term.wake));
    errno = saved;
}

void terminate_arm(_Atomic uint32_t *wake)
{
    struct sigaction now,
        ours = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigevent again = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};
    if (getpid() == 1 || sigaction(SIGTERM, NULL, &now) != 0)
        return;
    bool free = !(now.sa_flags & SA_SIGINFO) &&
                (now.sa_handler == SIG_DFL || now.sa_handler == on_sigterm);
    if (!free)
        return;
    atomic_store(&term.requested, false);
    atomic_store(&term.wake, wake);
    term.timed = timer_create(CLOCK_MONOTONIC, &again, &term.timer) == 0;
    if (!term.timed)
        return; /* nothing may hold the signal up without a bound */
    atomic_store(&term.pid, getpid());
    sigaction(SIGTERM, &ours, NULL);
}

bool terminate_requested(void)
{
    return atomic_load(&term.requested);
}

void terminate_disarm(void)
{
    struct sigaction now;
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    if (atomic_load(&term.pid) != getpid())
        return;
    if (sigaction(SIGTERM, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == on_sigterm)
        sigaction(SIGTERM, &by_default, NULL);
    atomic_store(&term.pid, 0);
    timer_delete(term.timer);
    term.timed = false;
    if (atomic_load(&term.requested))
        terminate_now();
}
