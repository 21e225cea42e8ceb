/*
 * Threads whose samples have the kernel's frames (CPROF_KERNEL=on): their timer rests, and an
 * event of the kernel's (kernel_event.h) takes its place. What a sample stands for is reckoned
 * from the thread's CPU clock, along the same line as the timer's expiries: totals are the
 * same, and a thread may change from one to the other.
 *
 * A thread has its timer at first. One that a scan finds, or that has run for KERNEL_WORTH_NS
 * when it enters, gets its event at once; another one when a scan finds it at work: an event
 * costs fifty times what a timer does, and threads may live for less. Those that block the
 * signal keep their timers, as do those for which no event is to be had, for whose ring the
 * budget has no room, or that are over KERNEL_EVENTS_MAX; they are counted, and one line says
 * why.
 *
 * All but the handler is the registry's, under its mutex.
 */
#ifndef CPROF_SAMPLE_KERNEL_FRAMES_H
#define CPROF_SAMPLE_KERNEL_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "sample/kernel_ring.h"
#include "sample/thread.h"

struct perf_event_mmap_page;

#define KERNEL_EVENTS_MAX 1024
#define KERNEL_WORTH_NS (10 * 1000 * 1000)

/* A thread that has an event. */
struct kernel_thread {
    struct perf_event_mmap_page *ring;
    int64_t due_ns; /* of its CPU time: the next expiry. The handler's once it has begun */
    uint64_t period_ns;
    struct kernel_chain chain; /* the handler's, which may have little stack */
};

/* Beside a thread's record, by its index. */
struct kernel_place {
    struct kernel_thread *_Atomic now; /* NULL: the thread has its timer */
    struct kernel_thread *ending;      /* while a handler may still read it */
    bool barred;                       /* it keeps its timer */
    uint8_t masked;                    /* looks in a row that found it to block the signal */
};

extern struct kernel_place kernel_places[THREADS_MAX];

/* Sampling is about to begin: are kernel frames wanted? Their rings are drawn from the budget.
 */
void kernel_frames_want(bool wanted, struct budget *budget);
bool kernel_frames_are_wanted(void);

/* Sampling begins, and the kernel's samples come by that signal (kernel_signal.h); negative:
 * the error of taking one. False: they can't be had, and one line has said what is missing. */
bool kernel_frames_open(uint64_t period_ns, int signal);
bool kernel_frames_are_open(void);

/* No thread gets an event any more. */
void kernel_frames_close(void);

/* Has a thread that enters run for long enough to be worth an event? */
bool kernel_frames_are_worth(const struct thread *thread);

/* A thread that has its timer gets an event, if it can have one. */
void kernel_frames_add(struct thread *thread);

/* Has it an event in vain, as it blocks the signal? It is to have its timer again. */
bool kernel_frames_are_futile(struct thread *thread, uint64_t ran_ns);

/* Its event ends, if it has one: at once, or when its handler is done with it. */
void kernel_frames_end(struct thread *thread);

/* Its handlers may be done by now. With `over` its record ends too. */
void kernel_frames_settle(struct thread *thread, bool over);

/* Threads that sampling knows and whose samples lack the kernel's frames for good. */
uint64_t kernel_frames_refused(void);

void kernel_frames_fork_child(void);

#endif
