/*
 * The part of the seam for event loops (runtime.h has the rest): a binding tells the core of
 * the loops that its runtime runs, and when each of their turns ends.
 *
 * A turn begins when the loop's wait for events is over, and ends when it waits again. What
 * becomes ready meanwhile has to wait for that: the longer a turn, the later all else. From the
 * turns come the figures of the loop's delay and the label loop.turn of samples
 * (sample/loops.h).
 *
 * A loop belongs to the thread that enters it: that thread alone calls these functions with it.
 * None may be called in a signal handler. In the child of a fork there are no loops: what a
 * thread has from before may still be given to these functions, and does nothing.
 */
#ifndef CPROF_LOOP_H
#define CPROF_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cprof_loop;

struct cprof_loop_options {
    const char *name; /* of its thread, for people: "main" */
    /* [any thread] For how long the loop has waited for events up to now, ns, from whenever on;
     * with the wait that is under way. It is not called any more once the loop has been left.
     * NULL: cprof_loop_waits() and cprof_loop_wakes() tell when a wait begins and ends. */
    uint64_t (*waited)(void *closure);
    void *closure;
    bool resources; /* it counts what it has open: see cprof_loop_holds() */
};

/* The calling thread runs an event loop, which is in a turn now. NULL: the engine does not run,
 * there is no room for another one (64), or no memory. */
struct cprof_loop *cprof_loop_enter(const struct cprof_loop_options *options);
void cprof_loop_leave(struct cprof_loop *loop);

/* Of the run that goes on now? Else it is to be left. */
bool cprof_loop_is_current(const struct cprof_loop *loop);

/* A turn is over: the loop is about to wait, or to look whether there are events. */
void cprof_loop_waits(struct cprof_loop *loop);
/* That is over. Only of loops without waited(). */
void cprof_loop_wakes(struct cprof_loop *loop);

/* How many handles are open that keep the loop going, and requests under way. */
void cprof_loop_holds(struct cprof_loop *loop, unsigned handles, unsigned requests);

#endif
