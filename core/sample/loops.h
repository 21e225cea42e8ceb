/*
 * The event loops of the process, as bindings tell of them (cprof/loop.h): which turn a moment
 * was in, and figures of their turns and of the delay that these make.
 *
 * The delay is what something that becomes ready at a random moment waits until the loop takes
 * it: for what is left of the turn that is under way, or not at all. So a turn that takes 300
 * ms once a second makes a median of 0, a 90th percentile of 200 ms and a maximum of 300 ms.
 *
 * A loop's thread writes without a lock; the mutex guards the list, and is what readers and
 * those who enter and leave take. LOOPS_MAX loops at a time are followed. Of a loop that has
 * been left the turns are known, and the figures shown, until the place is needed; one that was
 * not, and whose thread has ended, gives its place up when there is no other. The last
 * LOOP_TURNS turns of at least the least length with a word are remembered.
 */
#ifndef CPROF_SAMPLE_LOOPS_H
#define CPROF_SAMPLE_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/loop.h"
#include "sample/thread.h"

#define LOOPS_MAX 64
#define LOOP_TURNS 256
#define LOOP_WORDS 4

/* Lengths of turns, with the words of the label loop.turn: at least that long. */
enum loop_word { LOOP_SHORT, LOOP_10MS, LOOP_100MS, LOOP_1S };

/* "10ms", "100ms", "1s"; NULL: shorter. */
const char *loop_word_text(enum loop_word word);

/* Which turn of that thread's loop was the moment `time` (CLOCK_MONOTONIC) in? LOOP_SHORT also
 * where it has no loop, or waited. *open: the turn goes on, and may come to a longer word. */
enum loop_word loops_turn(pid_t tid, uint64_t time, bool *open);

/* Are there any loops? */
bool loops_any(void);

struct loop_figures {
    char name[THREAD_NAME_SIZE];
    uint64_t turns[LOOP_WORDS];
    uint64_t active_ns, idle_ns; /* since it was entered; a turn counts when it ends */
    uint64_t p50_ns, p90_ns, p99_ns, mean_ns, max_ns; /* delays, in the last interval */
    bool resources;
    unsigned handles, requests;
};

/* [collector] An interval has been closed: the delays are those in it from now on. */
void loops_close_interval(void);
size_t loops_read(struct loop_figures figures[LOOPS_MAX]);

/* A run begins, with no loops; it is over. */
void loops_open(void);
void loops_close(void);
/* The child of a fork: whatever other threads did at that time. */
void loops_fork_child(void);

#endif
