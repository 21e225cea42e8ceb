/*
 * Off-CPU time: what threads wait for, and how long. Its samples are the collector's looks at
 * threads that sleep (look/looks.h), and nothing runs on the threads themselves. A sample's
 * weight is time, in units of SOURCE_OFFCPU_NS. docs/waiting.md says what users see.
 */
#include "source/source.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "look/look.h"
#include "sample/take.h"

/* Why the kernel does not say where threads sleep. */
static const char *reason_of(int error)
{
    if (error == -EACCES || error == -EPERM)
        return "the process is not dumpable (setuid, or file capabilities), so that the kernel "
               "does not say where threads sleep";
    if (error == -ENOTSUP)
        return "threads that sleep are not looked at on this processor yet";
    return "this kernel or sandbox has no /proc/self/task/TID/syscall, which says where "
           "threads sleep";
}

static int open_offcpu(uint64_t period_ns, const char **why)
{
    (void)period_ns; /* looks are the collector's */
    const struct take_view *view = take_seen();
    int error = look_is_possible();
    if (error == 0)
        return 0;
    *why = reason_of(error);
    if (error == -ENOTSUP ||
        look_is_possible_without_stack(view != NULL ? view->runtime : NULL) != 0)
        return error;
    log_warn("waiting is shown with the runtime's frames alone: %s", *why);
    return 0;
}

static void close_offcpu(void)
{
}

static void count(const struct counted *counted, int64_t *values)
{
    values[0] = (int64_t)counted->weight * SOURCE_OFFCPU_NS;
}

const struct source source_offcpu = {
    .name = "offcpu",
    .number = SOURCE_OFFCPU,
    .unit = SOURCE_HERTZ,
    .usual = NS_PER_SECOND / 20,
    .least = NS_PER_SECOND / 100,
    .greatest = NS_PER_SECOND,
    .allowed = "a rate from 1hz to 100hz",
    .counts = SOURCE_BIT(SOURCE_OFFCPU),
    .open = open_offcpu,
    .close = close_offcpu,
    .count = count,
};
