#include "sample/kernel_signal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "sample/kernel_handler.h"

static struct {
    int signal; /* 0: none was taken yet */
    struct sigaction former;
} taken;

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 &&
           action->sa_sigaction == kernel_handler_on_signal;
}

static bool is_free(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) == 0 &&
           (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN);
}

static bool take(int signal)
{
    struct sigaction now, ours = {.sa_sigaction = kernel_handler_on_signal,
                                  .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (sigaction(signal, NULL, &now) != 0 || !is_free(&now) ||
        sigaction(signal, &ours, NULL) != 0)
        return false;
    taken.signal = signal;
    taken.former = now;
    return true;
}

int kernel_signal_take(void)
{
    if (kernel_signal_is_ours() || take(SIGURG) || take(SIGWINCH))
        return taken.signal;
    return -EBUSY;
}

bool kernel_signal_is_ours(void)
{
    struct sigaction now;
    return taken.signal != 0 && sigaction(taken.signal, NULL, &now) == 0 && is_ours(&now);
}

void kernel_signal_give(void)
{
    if (kernel_signal_is_ours())
        sigaction(taken.signal, &taken.former, NULL);
}
