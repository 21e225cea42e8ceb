/*
 * The collector: the thread that reads the rings. A few times a second, when a ring is half
 * full, or when a handler met code that no module covers, it drains all rings into the
 * running profile, follows the loader's changes, compiles unwind tables, and finds new and
 * ended threads; every interval it closes the profile and submits it. Where off-CPU time is
 * asked for it looks at the threads that sleep in between (look/looks.h).
 *
 * Owns the gatherer; borrows the rest, which must outlive collector_stop(). The thread blocks
 * all signals and is never sampled. An idle process costs it one short wake-up a tick.
 *
 * Its mutex `work` is held while it does anything but sleep, so whoever holds it finds
 * everything of the collector at rest: that is what fork needs.
 */
#ifndef CPROF_COLLECT_COLLECTOR_H
#define CPROF_COLLECT_COLLECTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/own_thread.h"
#include "collect/gather.h"
#include "cprof/cprof.h"
#include "dump/dump.h"
#include "export/exporter.h"
#include "unwind/modules.h"

struct collector;

struct collector_config {
    struct gather_config gather;
    struct modules *modules;
    bool native; /* keep native frames of looks */
    bool kernel; /* and the kernel's */
    struct exporter *exporter;
    /* What is left of starting, for the thread to begin with: may still change gather.model.
     * NULL: nothing. */
    void (*begin)(void);
    /* After each of the thread's turns but the last: is the process about to end? NULL: not
     * looked at. */
    void (*turned)(struct collector *collector);
    /* An interval has been closed, and is about to be submitted. NULL: nobody asks. */
    void (*closed)(struct collector *collector, const struct profile *interval);
    double interval;        /* seconds */
    _Atomic uint32_t *wake; /* posted by handlers */
    atomic_bool *unknown;   /* see struct take_view; cleared once a tick, and
                               some times more when new code was found */
};

#define COLLECTOR_THREAD OWN_THREAD_PREFIX "collect"

/* Starts the thread. 0 or a negative errno. */
int collector_start(const struct collector_config *config, struct collector **collector);

/* Closes the running interval and submits it. 0, or -ETIMEDOUT. */
int collector_flush(struct collector *collector, double timeout);

/* [collector] The process is about to die: all that was sampled goes to the exporter, which
 * makes haste from now on. */
void collector_wind_up(struct collector *collector);

/* A second reader of what is sampled from now on, beside the exporter: at most COLLECTOR_TAPS
 * at a time, those of the pull endpoint, of the control socket and of
 * blocks. The profile draws from `budget` and is
 * the collector's until untap(). Both wait at most two seconds for the running interval to be
 * closed, where the profile shall begin `exact`ly here, or shall be `complete`. tap(): 0,
 * -EBUSY, -ENOMEM, -ETIMEDOUT. untap(): 0; -EIO when the profile lacks its end; -ETIMEDOUT
 * when the collector hangs, and the profile stays its own for ever. */
#define PULL_TAPS 4
#define CONTROL_TAPS 4
#define COLLECTOR_TAPS (PULL_TAPS + CONTROL_TAPS + CPROF_CAPTURES)
int collector_tap(struct collector *collector, struct budget *budget, bool exact,
                  struct profile **profile);
int collector_untap(struct collector *collector, struct profile *profile, bool complete);

/* All threads now (survey.h), which the caller is to free. 0; -ETIMEDOUT; -ENOMEM; -ECANCELED:
 * sampling ends. */
int collector_dump(struct collector *collector, double timeout, struct dump **dump);

/* Sampling is about to end: from now on the handler is not looked after any more. */
void collector_quiet(struct collector *collector);

/* No handler may be running any more. Drains what is left, submits it, ends the thread: 0. Or
 * -ETIMEDOUT, and the thread is on its own: nothing that it uses may be freed. At least a
 * second is always waited. */
int collector_stop(struct collector *collector, double timeout);

/* After collector_stop(), or in the child of a fork that held `work`. */
void collector_free(struct collector *collector);

/* In the child of a fork, of the parent's that was at rest: gather_yield_blocks(). */
void collector_yield_blocks(struct collector *collector, struct blocks *blocks);

/* The OTLP profile_id that the running interval's profile is going to have. */
void collector_profile_id(struct collector *collector, uint8_t id[16]);

/* What it and what it borrows have counted. */
void collector_stats(struct collector *collector, struct cprof_stats *stats);

/* For fork: waits for rest at most `seconds`. False: it is still at work. */
bool collector_pause(struct collector *collector, double seconds);
void collector_resume(struct collector *collector);

#endif
