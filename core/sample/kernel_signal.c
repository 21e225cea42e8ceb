#include "sample/kernel_signal.h"

#include <errno.h>
#include <signal.h>

#include "sample/kernel_frames.h"
#include "sample/kernel_handler.h"

static struct sigaction former;

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

int kernel_signal_take(void)
{
    struct sigaction now, ours = {.sa_sigaction = kernel_handler_on_signal,
                                  .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (sigaction(KERNEL_SIGNAL, NULL, &now) != 0)
        return -errno;
    if (is_ours(&now))
        return 0;
    if (!is_free(&now))
        return -EBUSY;
    former = now;
    return sigaction(KERNEL_SIGNAL, &ours, NULL) == 0 ? 0 : -errno;
}

bool kernel_signal_is_ours(void)
{
    struct sigaction now;
    return sigaction(KERNEL_SIGNAL, NULL, &now) == 0 && is_ours(&now);
}

void kernel_signal_give(void)
{
    if (kernel_signal_is_ours())
        sigaction(KERNEL_SIGNAL, &former, NULL);
}
