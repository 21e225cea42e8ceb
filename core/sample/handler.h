/*
 * The sampling signal: which one it is, its handler, and when the handler may look at things.
 *
 * A real-time signal that nobody uses is chosen at the first start and kept for the life of
 * the process, so a program's own SIGPROF, ITIMER_PROF or SIGUSR handlers never meet ours.
 * After handler_close() the signal is ignored, not reset: a stray one must not kill.
 *
 * handler_open() shows the handlers what they need; handler_close() takes it from them and
 * waits until none is at work any more. Until then all that `struct handler_view` points to
 * must live.
 *
 * SA_ONSTACK: a thread that brought an alternate stack (Go's threads in a shared library,
 * Ruby's, Rust's) may be running on a stack too small for a signal frame, and the handler
 * needs less than 1 KiB besides that frame. SA_RESTART: the timers run on CPU clocks, so a
 * system call that sleeps is hardly ever hit; one that is goes on.
 */
#ifndef CPROF_SAMPLE_HANDLER_H
#define CPROF_SAMPLE_HANDLER_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"
#include "sample/record.h"
#include "unwind/modules.h"

struct handler_view {
    const struct cprof_runtime *runtime; /* NULL: native frames only */
    struct modules *modules;
    bool native;            /* keep native frames */
    uint16_t max_frames;    /* of each kind in one record */
    _Atomic uint32_t *wake; /* posted when a ring is half full, and */
    atomic_bool *unknown;   /* when this was false and code was met that no module covers */
    _Atomic size_t
        *copies; /* stacks that may still be copied until the collector allows more */
};

/* Bytes of a stack that are copied at most; less where the ring has no room. */
#define HANDLER_STACK_MAX ((size_t)32 << 10)

/* Bytes of the largest record. */
static inline size_t handler_record_max(size_t max_frames)
{
    return sizeof(struct record) +
           max_frames * (sizeof(struct native_frame) + sizeof(struct cprof_frame));
}

/* [handler] What the signal runs, and what it sees from now on; NULL: nothing. */
void handler_on_signal(int signal, siginfo_t *info, void *ucontext);
void handler_show(const struct handler_view *view);

/* The rest is install.c and runs outside of handlers.
 *
 * The signal number; picks one at first. -EBUSY when no real-time signal is free. */
int handler_choose(void);

/* Installs the handler and shows it the view. */
void handler_open(const struct handler_view *view);

/* 0, or -ETIMEDOUT when a handler did not come back within a second (a stopped or traced
 * thread): what the view points to must then be left alone for ever. */
int handler_close(void);

/* Is the signal still ours? */
bool handler_installed(void);

#endif
