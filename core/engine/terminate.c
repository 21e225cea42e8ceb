#include "engine/terminate.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "cprof/runtime.h"
#include "sample/wake.h"

/* A signal that ends processes, and what is known of it while it is ours. */
struct ending {
    int signal;
    bool armed;              /* it has been ours since terminate_arm(), and `timer` exists */
    timer_t timer;           /* sends it again */
    struct sigaction before; /* by which it would have ended the process */
};

/* Read by the handler. */
static struct {
    _Atomic pid_t pid;     /* of the process whose engine runs; 0: none */
    _Atomic int requested; /* the signal that has come; 0: none */
    _Atomic(_Atomic uint32_t *) wake;
    time_t seconds; /* after which it dies, whatever happens */
    struct ending endings[3];
} term = {.endings = {{.signal = SIGTERM}, {.signal = SIGINT}, {.signal = SIGHUP}}};

enum { ENDINGS = sizeof term.endings / sizeof *term.endings };

static const struct ending *ending_of(int signal)
{
    size_t i = ENDINGS - 1;
    while (i > 0 && term.endings[i].signal != signal)
        i--;
    return &term.endings[i];
}

/* [signal handler too] */
static void die_of(const struct ending *ending)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, ending->signal);
    sigaction(ending->signal, &ending->before, NULL);
    kill(getpid(), ending->signal);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL); /* another thread may have it blocked for good */
}

void terminate_now(void)
{
    die_of(ending_of(atomic_load(&term.requested)));
}

/* [signal handler] All that it calls is on POSIX's list of safe functions, but for the futex
 * behind wake_post(). */
static void on_ending(int signal)
{
    int saved = errno, none = 0;
    const struct ending *ending = ending_of(signal);
    const struct itimerspec later = {.it_value = {.tv_sec = term.seconds}};
    /* Not ours in a child that shares our memory (vfork): there nothing is written. Looked at
     * again after the request: terminate_disarm() either sees that, or was there before. */
    if (atomic_load(&term.pid) != getpid() ||
        !atomic_compare_exchange_strong(&term.requested, &none, signal) ||
        atomic_load(&term.pid) != getpid()) {
        die_of(ending);
        return;
    }
    timer_settime(ending->timer, 0, &later, NULL);
    wake_post(atomic_load(&term.wake));
    errno = saved;
}

static bool is_ours(const struct sigaction *now)
{
    return !(now->sa_flags & SA_SIGINFO) && now->sa_handler == on_ending;
}

/* Does nobody handle it? */
static bool is_free(int signal, const struct sigaction *now,
                    const struct cprof_runtime *runtime)
{
    return (!(now->sa_flags & SA_SIGINFO) && now->sa_handler == SIG_DFL) ||
           (runtime != NULL && runtime->ends_process != NULL &&
            runtime->ends_process(signal, now));
}

static void arm(struct ending *ending, const struct cprof_runtime *runtime)
{
    const struct sigaction ours = {.sa_handler = on_ending,
                                   .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigevent again = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = ending->signal};
    struct sigaction now;
    if (sigaction(ending->signal, NULL, &now) != 0)
        return;
    if (!is_ours(&now)) { /* else we were forked with it */
        if (!is_free(ending->signal, &now, runtime))
            return;
        ending->before = now;
    }
    if (!ending->armed && timer_create(CLOCK_MONOTONIC, &again, &ending->timer) != 0)
        return; /* nothing may hold the signal up without a bound */
    ending->armed = true;
    sigaction(ending->signal, &ours, NULL);
}

void terminate_arm(_Atomic uint32_t *wake, const struct cprof_runtime *runtime, double seconds)
{
    if (getpid() == 1)
        return;
    if (atomic_load(&term.pid) != getpid()) {
        atomic_store(&term.requested, 0);
        for (size_t i = 0; i < ENDINGS; i++)
            term.endings[i].armed = false; /* a child has none of its parent's timers */
    }
    atomic_store(&term.wake, wake);
    term.seconds = (time_t)seconds + TERMINATE_GRACE;
    atomic_store(&term.pid, getpid());
    for (size_t i = 0; i < ENDINGS; i++)
        arm(&term.endings[i], runtime);
}

bool terminate_requested(void)
{
    return atomic_load(&term.requested) != 0;
}

static void disarm(struct ending *ending)
{
    struct sigaction now;
    if (sigaction(ending->signal, NULL, &now) == 0 && is_ours(&now))
        sigaction(ending->signal, &ending->before, NULL);
}

void terminate_disarm(void)
{
    if (atomic_load(&term.pid) != getpid())
        return;
    for (size_t i = 0; i < ENDINGS; i++)
        disarm(&term.endings[i]);
    atomic_store(&term.pid, 0);
    for (size_t i = 0; i < ENDINGS; i++)
        if (term.endings[i].armed)
            timer_delete(term.endings[i].timer);
    for (size_t i = 0; i < ENDINGS; i++)
        term.endings[i].armed = false;
    if (terminate_requested())
        terminate_now();
}
