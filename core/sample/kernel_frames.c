#include "sample/kernel_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sample/arming.h"
#include "sample/due.h"
#include "sample/kernel_event.h"

struct kernel_place kernel_places[THREADS_MAX];

static struct {
    bool wanted, open, warned;
    bool used; /* ever: some place may hold something */
    struct budget *budget;
    int signal;
    uint64_t period_ns;
    size_t events;    /* that there are, with those that are ending */
    uint64_t refused; /* threads that are barred */
} frames;

static struct kernel_place *of(const struct thread *thread)
{
    return &kernel_places[thread_index(thread)];
}

/* ---- whether they can be had ---- */

static const char *missing(int error)
{
    switch (error) {
    case -EACCES:
        return "the kernel gives them where kernel.perf_event_paranoid is at most 1, or to a "
               "process with CAP_PERFMON";
    case -EPERM:
        return "perf_event_open is forbidden here, as in most containers";
    case -ENOSYS:
    case -ENOENT:
        return "this kernel or sandbox has no perf_event_open for CPU time";
    case -ENOMEM:
        return "no more memory may be locked for them (kernel.perf_event_mlock_kb, ulimit -l)";
    case -E2BIG:
        return "there are too many";
    case -EDQUOT:
        return "CPROF_MEMORY_LIMIT has no room for more";
    case -EBUSY:
        return "SIGURG and SIGWINCH, by which they could come, have handlers already";
    default:
        return strerror(-error);
    }
}

/* Can this thread have an event? */
static int try_event(uint64_t period_ns)
{
    struct kernel_event event;
    int error = kernel_event_open(&event, (pid_t)syscall(SYS_gettid), frames.signal, period_ns);
    if (error == 0)
        kernel_event_give_up(&event);
    return error;
}

void kernel_frames_want(bool wanted, struct budget *budget)
{
    frames.wanted = wanted;
    frames.budget = budget;
}

bool kernel_frames_are_wanted(void)
{
    return frames.wanted;
}

bool kernel_frames_open(uint64_t period_ns, int signal)
{
    frames.signal = signal;
    int error = signal > 0 ? try_event(period_ns) : signal;
    frames.open = error == 0;
    frames.used |= frames.open;
    frames.warned = false;
    frames.period_ns = period_ns;
    if (error != 0)
        log_warn("no kernel frames in CPU samples: %s", missing(error));
    return frames.open;
}

bool kernel_frames_are_open(void)
{
    return frames.open;
}

void kernel_frames_close(void)
{
    frames.open = false;
}

uint64_t kernel_frames_refused(void)
{
    return frames.refused;
}

/* ---- one thread ---- */

/* It keeps its timer from now on, and not all of them are worth a line. */
static void bar(struct thread *thread, const char *why)
{
    of(thread)->barred = true;
    frames.refused++;
    if (!frames.warned)
        log_warn("no kernel frames in the CPU samples of some threads: %s", why);
    frames.warned = true;
}

static bool masks_signal(struct thread *thread)
{
    struct kernel_place *place = of(thread);
    if (!arming_masks(thread->tid, frames.signal))
        place->masked = 0;
    else if (++place->masked > 1)
        bar(thread, "they block the signal by which these come");
    return place->masked > 0;
}

/* The timer rests before the event begins: what is due in between is the first sample's. */
static void begin(struct thread *thread, struct kernel_thread *kernel,
                  struct kernel_event *event)
{
    timer_rest(&thread->timer, frames.period_ns);
    uint64_t ran_ns = thread_ran_ns(thread->tid);
    kernel->ring = event->ring;
    kernel->period_ns = frames.period_ns;
    kernel->due_ns = (int64_t)ran_ns + due_next(thread, ran_ns);
    atomic_store(&of(thread)->now, kernel);
    kernel_event_begin(event);
    frames.events++;
}

/* What a thread with an event takes of the budget. */
static size_t bytes_of_one(void)
{
    return sizeof(struct kernel_thread) + kernel_event_bytes();
}

static void drop(struct kernel_thread *kernel)
{
    if (kernel != NULL)
        budget_give(frames.budget, bytes_of_one());
    free(kernel);
}

/* 0, or a negative errno. */
static int add(struct thread *thread)
{
    struct kernel_event event;
    if (frames.events >= KERNEL_EVENTS_MAX)
        return -E2BIG;
    if (!budget_take(frames.budget, bytes_of_one()))
        return -EDQUOT;
    struct kernel_thread *kernel = calloc(1, sizeof *kernel);
    if (kernel == NULL)
        budget_give(frames.budget, bytes_of_one());
    int error = kernel != NULL
                    ? kernel_event_open(&event, thread->tid, frames.signal, frames.period_ns)
                    : -ENOMEM;
    if (error == 0)
        begin(thread, kernel, &event);
    else
        drop(kernel);
    return error;
}

bool kernel_frames_are_worth(const struct thread *thread)
{
    return frames.open && thread_ran_ns(thread->tid) >= KERNEL_WORTH_NS;
}

void kernel_frames_add(struct thread *thread)
{
    const struct kernel_place *place = of(thread);
    if (!frames.open || place->barred || atomic_load(&place->now) != NULL ||
        place->ending != NULL || masks_signal(thread))
        return;
    int error = add(thread);
    if (error != 0 && error != -ESRCH)
        bar(thread, missing(error));
}

bool kernel_frames_are_futile(struct thread *thread, uint64_t ran_ns)
{
    return frames.open && atomic_load(&of(thread)->now) != NULL &&
           due_is_starved(thread, ran_ns) && masks_signal(thread) && of(thread)->barred;
}

void kernel_frames_end(struct thread *thread)
{
    if (frames.events == 0)
        return;
    struct kernel_place *place = of(thread);
    struct kernel_thread *kernel = atomic_exchange(&place->now, NULL);
    if (kernel != NULL)
        place->ending = kernel;
    kernel_frames_settle(thread, false);
}

/* A handler that begins from now on finds none. */
static void end(struct thread *thread)
{
    struct kernel_place *place = of(thread);
    if (place->ending == NULL || atomic_load(&thread->handlers) != 0)
        return;
    kernel_event_end(place->ending->ring);
    drop(place->ending);
    place->ending = NULL;
    frames.events--;
}

void kernel_frames_settle(struct thread *thread, bool over)
{
    if (!frames.used)
        return;
    struct kernel_place *place = of(thread);
    end(thread);
    if (!over)
        return;
    frames.refused -= place->barred;
    place->barred = false;
    place->masked = 0;
}

/* The rings are not mapped here. */
void kernel_frames_fork_child(void)
{
    for (size_t i = 0; i < THREADS_MAX && frames.used; i++) {
        struct kernel_place *place = &kernel_places[i];
        drop(atomic_exchange(&place->now, NULL));
        drop(place->ending);
        place->ending = NULL;
        place->barred = false;
        place->masked = 0;
    }
    frames.used = frames.open = false;
    frames.events = 0;
    frames.refused = 0;
}
