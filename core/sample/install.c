#include <errno.h>
#include <time.h>

#include "sample/handler.h"
#include "sample/threads.h"

static int chosen; /* the signal; 0 = not chosen yet */

/* Nobody's: default, or ignored by us since a stop. */
static bool is_free(int signal)
{
    struct sigaction now;
    if (sigaction(signal, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO))
        return false;
    return now.sa_handler == SIG_DFL || (now.sa_handler == SIG_IGN && signal == chosen);
}

int handler_choose(void)
{
    if (chosen != 0 && (is_free(chosen) || handler_installed()))
        return chosen;
    /* The topmost two are what other profilers and runtimes take first. */
    for (int signal = SIGRTMAX - 2; signal > SIGRTMIN; signal--)
        if (is_free(signal))
            return chosen = signal;
    return -EBUSY;
}

void handler_open(const struct handler_view *view)
{
    struct sigaction action = {.sa_sigaction = handler_on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    handler_show(view);
    sigaction(chosen, &action, NULL);
}

int handler_close(void)
{
    /* Ignoring also discards what is queued. */
    if (handler_installed()) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(chosen, &ignore, NULL);
    }
    handler_show(NULL);
    const struct timespec pause = {.tv_nsec = 100 * 1000};
    for (int tries = 0; threads_busy(); tries++) {
        if (tries == 10000)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    return 0;
}

bool handler_installed(void)
{
    struct sigaction now;
    return sigaction(chosen, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
           now.sa_sigaction == handler_on_signal;
}
