/*
 * CPU time: each thread has a timer on its own CPU clock, whose signal samples it. A sample
 * stands for the expiries that it was sent for, and what is owed to a thread (sample/due.h)
 * counts alike. How the signal is chosen and looked after: sample/install.h.
 */
#include "source/source.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "sample/install.h"
#include "sample/kernel_frames.h"
#include "sample/kernel_signal.h"
#include "sample/threads.h"

static struct {
    bool lost;       /* for good: no signal is left */
    bool said_reset; /* that the program resets the signal */
} cpu;

static void open_kernel(uint64_t period_ns)
{
    if (kernel_frames_are_wanted() && !kernel_frames_open(period_ns, kernel_signal_take()))
        kernel_signal_give();
}

static int open_cpu(uint64_t period_ns, const char **why)
{
    int signal = handler_choose();
    if (signal < 0) {
        *why = "every signal is in use by the program";
        return signal;
    }
    cpu.lost = cpu.said_reset = false;
    handler_install();
    open_kernel(period_ns);
    threads_arm(signal, handler_maskable(), period_ns);
    return 0;
}

static void stop_sampling(void)
{
    cpu.lost = true;
    threads_unarm();
    log_warn("the program takes every signal that cprof chooses: sampling stops");
}

/* A signal of ours under somebody else's action would be his, or kill the program. */
static void keep_signal(void)
{
    if (cpu.lost)
        return;
    enum handler_place place = handler_keep();
    if (place == HANDLER_RESTORED && !cpu.said_reset)
        log_warn("the program has reset cprof's signal: its handler is installed again");
    cpu.said_reset |= place == HANDLER_RESTORED;
    if (place != HANDLER_LOST)
        return;
    int signal = handler_move();
    if (signal < 0) {
        stop_sampling();
        return;
    }
    threads_move(signal);
    log_warn("the program has taken cprof's signal: sampling goes on with signal %d", signal);
}

static void keep_signals(void)
{
    keep_signal();
    if (!kernel_frames_are_open() || kernel_signal_is_ours())
        return;
    threads_drop_kernel();
    log_warn("no more kernel frames in CPU samples: the program has taken their signal");
}

static void close_cpu(void)
{
    handler_uninstall();
    kernel_signal_give();
}

static void count(const struct counted *expiries, int64_t *values)
{
    values[0] = expiries->weight;
    values[1] = (int64_t)(expiries->weight * expiries->period);
}

const struct source source_cpu = {
    .name = "cpu",
    .number = SOURCE_CPU,
    .unit = SOURCE_HERTZ,
    .usual = NS_PER_SECOND / 100,
    .least = NS_PER_SECOND / 1000,
    .greatest = NS_PER_SECOND,
    .allowed = "a rate from 1hz to 1000hz",
    .counts = SOURCE_BIT(SOURCE_CPU),
    .open = open_cpu,
    .close = close_cpu,
    .tick = keep_signals,
    .count = count,
};
