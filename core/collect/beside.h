/*
 * What there is beside threads, for a dump (dump/dump.h): tasks, greenlets, fibers and open
 * handles, as the runtime knows them (cprof/asleep.h).
 *
 * Of each kind at most BESIDE_MAX; where there are more the dump says so. Stacks that come
 * again are named once: the last BESIDE_STACKS of them are kept, by the hash of their frames.
 *
 * Belongs to the collector's thread; 60 KiB while it lasts.
 */
#ifndef CPROF_COLLECT_BESIDE_H
#define CPROF_COLLECT_BESIDE_H

#include "collect/gather.h"
#include "collect/takeover.h"
#include "dump/dump.h"
#include "unwind/modules.h"

enum { BESIDE_MAX = 100000, BESIDE_STACKS = 1024 };

struct beside_config {
    struct gather *gather;
    struct takeover *takeover; /* into the dump's profile */
    const struct module_map *map;
    struct dump *dump;
};

/* Adds all of it. False: the runtime will know a name later, and nothing is added, unless this
 * is the last try. What there is no memory for makes the dump incomplete. */
bool beside_add(const struct beside_config *config, bool last);

#endif
