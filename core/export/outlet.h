/*
 * An outlet is a sink as the exporter sees it: what it waits for, when its turn comes, and
 * which trouble of it was last logged, so that an outage is one line and not hundreds.
 *
 * Not locked: the exporter calls with its own lock held.
 */
#ifndef CPROF_EXPORT_OUTLET_H
#define CPROF_EXPORT_OUTLET_H

#include <stdbool.h>
#include <stdint.h>

#include "export/sink.h"

enum trouble {
    TROUBLE_NONE,
    TROUBLE_WARNING,
    TROUBLE_RETRYING,
    TROUBLE_REFUSED,
    TROUBLE_KEEPING,
};

struct worker;

struct outlet {
    struct sink *sink;
    struct worker *worker; /* whose thread serves it */
    struct outlet *behind; /* takes on what this one keeps; NULL: this is the end of the way */
    uint32_t bit;          /* in struct queued's `waiting` */
    bool busy;             /* a delivery or a save is under way */
    bool save_wanted;      /* once it has taken all that waits for it */
    bool hurried;          /* outlet_hurry() came while it was busy */
    unsigned failures;     /* retryable ones in a row */
    uint64_t ready_at;     /* CLOCK_MONOTONIC: not before, after a failure */
    enum trouble reported; /* the last one that was logged */
};

/* After a delivery or a save: sets the pace of the next, and logs. `quiet`: stop() has the last
 * word on what is not delivered. */
void outlet_settle(struct outlet *outlet, const struct delivery *delivery, bool quiet);

/* Forgets past failures, and the one that may be under way: its turn is now. */
void outlet_hurry(struct outlet *outlet);

#endif
