/*
 * Preloaded by tests: cprof's timers fire 2,000 times a second of real time, or every so many
 * nanoseconds as FAST_TIMER_NS says, whatever the thread does. The kernel's clocks of CPU time
 * are bound to its ticks, and let a thread that sleeps alone; this finds handlers in places
 * where those would hardly ever put one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

static long (*real_syscall)(long number, ...);

static struct itimerspec times = {.it_value.tv_nsec = 500000, .it_interval.tv_nsec = 500000};

__attribute__((constructor)) static void prepare(void)
{
    const char *period = getenv("FAST_TIMER_NS");
    if (period != NULL)
        times.it_value.tv_nsec = times.it_interval.tv_nsec = atol(period);
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

long syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_timer_create)
        a[0] = CLOCK_MONOTONIC;
    if (number == SYS_timer_settime)
        a[2] = (long)&times;
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
