/*
 * The collector: the thread that reads the rings. A few times a second, when a ring is half
 * full, or when a handler met code that no module covers, it drains all rings into the
 * running profile, follows the loader's changes, compiles unwind tables, and finds new and
 * ended threads; every interval it closes the profile and submits it.
 *
 * Owns the gatherer; borrows the rest, which must outlive collector_stop(). The thread blocks
 * all signals and is never sampled. An idle process costs it one short wake-up a tick.
 *
 * Its mutex `work` is held while it does anything but sleep, so whoever holds it finds
 * everything of the collector at rest: that is what fork needs.
 */
#ifndef CPROF_ENGINE_COLLECTOR_H
#define CPROF_ENGINE_COLLECTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/cprof.h"
#include "engine/gather.h"
#include "export/exporter.h"
#include "unwind/modules.h"

struct collector_config {
    struct gather_config gather;
    struct modules *modules;
    struct exporter *exporter;
    /* What is left of starting, for the thread to begin with: may still change gather.model.
     * NULL: nothing. */
    void (*begin)(void);
    double interval;        /* seconds */
    _Atomic uint32_t *wake; /* posted by handlers */
    atomic_bool *unknown;   /* see struct handler_view; cleared once a tick, and
                               some times more when new code was found */
};

struct collector;

/* Starts the thread. 0 or a negative errno. */
int collector_start(const struct collector_config *config, struct collector **collector);

/* Closes the running interval and submits it. 0, or -ETIMEDOUT. */
int collector_flush(struct collector *collector, double timeout);

/* A second reader of what is sampled from now on, beside the exporter: at most COLLECTOR_TAPS
 * at a time. The profile is the collector's until untap(). Both wait at most two seconds for
 * the running interval to be closed (untap() only if it shall be `complete`). tap(): NULL when
 * there is no room, memory or time. untap(): 0; -EIO when the profile lacks its end; -ETIMEDOUT
 * when the collector hangs, and the profile stays its own for ever. */
#define COLLECTOR_TAPS 4
struct profile *collector_tap(struct collector *collector);
int collector_untap(struct collector *collector, struct profile *profile, bool complete);

/* Sampling is about to end: from now on a missing handler is nothing to tell. */
void collector_quiet(struct collector *collector);

/* No handler may be running any more. Drains what is left, submits it, ends the thread: 0. Or
 * -ETIMEDOUT, and the thread is on its own: nothing that it uses may be freed. At least a
 * second is always waited. */
int collector_stop(struct collector *collector, double timeout);

/* After collector_stop(), or in the child of a fork that held `work`. */
void collector_free(struct collector *collector);

/* The OTLP profile_id that the running interval's profile is going to have. */
void collector_profile_id(struct collector *collector, uint8_t id[16]);

/* What it and what it borrows have counted. */
void collector_stats(struct collector *collector, struct cprof_stats *stats);

/* For fork: waits for rest at most `seconds`. False: it is still at work. */
bool collector_pause(struct collector *collector, double seconds);
void collector_resume(struct collector *collector);

#endif
