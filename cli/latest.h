/*
 * Levels over time: of values that stand at one moment, such as live memory, a span of history
 * has what each process had last. Intervals come in the order of time; each process's last one
 * is held back, and loses its levels when the next one comes.
 *
 * A process whose last interval ended well before the last of all has ended by then: its levels
 * are gone with it.
 */
#ifndef CPROF_CLI_LATEST_H
#define CPROF_CLI_LATEST_H

#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

/* Begins as {0}. */
struct latest {
    struct latest_process *processes;
    size_t count, capacity;
    uint64_t end; /* Unix time in ns */
};

/* Takes an interval, owned from then on; what it holds back no more goes to `add`, which owns
 * that then. 0, -ENOMEM, or what `add` gave. */
int latest_take(struct latest *latest, struct profile *interval,
                int (*add)(void *closure, struct profile *interval), void *closure);

/* No more will come: what is held back goes to `add`. */
int latest_end(struct latest *latest, int (*add)(void *closure, struct profile *interval),
               void *closure);

void latest_free(struct latest *latest);

#endif
