/*
 * What hooks in ordinary code count and take (cprof/sample.h): which events are counted, and
 * with what period.
 *
 * The period may change at any time: each thread draws its next gap with the new one, and a
 * sample carries the one that its own gap was drawn with. A source that would take more samples
 * than it may lets the period grow (hook_temper()). That comes late for a burst: a thread whose
 * ring is half full doubles its own period with each eighth sample until the ring has been
 * read. So what it allocates stays counted, by fewer samples.
 *
 * Handler code, but for what opens and closes.
 */
#ifndef CPROF_SAMPLE_HOOK_H
#define CPROF_SAMPLE_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "cprof/sample.h"
#include "sample/record.h"

/* [start] Samples of `source` are due from now on. Takes still need something to be shown
 * (take.h). */
void hook_open(enum cprof_event event, enum source_number source, uint64_t period);
/* [start] None are any more. */
void hook_close(enum cprof_event event);

/* [collector] Once a turn: sees that no more than so many samples a second are taken, on
 * average over a quarter of a second or more, by doubling the period; and halves it, down to
 * that of hook_open(), where there are far fewer. */
void hook_temper(enum cprof_event event, uint64_t most_a_second);

struct hook_counts {
    uint64_t taken;
    uint64_t lost; /* due and not taken: no record, no room */
};

struct hook_counts hook_counts(enum cprof_event event);

#endif
