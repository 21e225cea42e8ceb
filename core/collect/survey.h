/*
 * A survey: all threads of the process now, as a dump (dump/dump.h).
 *
 * A thread that sleeps is looked at (look/look.h), and is not disturbed. One that runs is shown
 * by the next sample that its timer brings, which is waited for up to SURVEY_PATIENCE; what has
 * not come by then is shown by its last sample of the running interval, with its age. No signal
 * is sent for it.
 *
 * Locks of which the holder is known (native mutexes, the interpreter's own) make a deadlock
 * where they form a circle, and two more looks at each of its threads find it unmoved.
 *
 * Belongs to the collector's thread. Some 600 KiB of the budget while it lasts, and the dump.
 */
#ifndef CPROF_COLLECT_SURVEY_H
#define CPROF_COLLECT_SURVEY_H

#include "collect/gather.h"
#include "dump/dump.h"
#include "look/look.h"
#include "unwind/modules.h"

#define SURVEY_PATIENCE (NS_PER_SECOND / 4)

struct survey_config {
    struct gather *gather;
    pid_t
        asker; /* the thread that asks, which waits for us alone: it runs, to people. 0: none */
    struct looker_config looker;
    void *closure;
    const struct module_map *(*map)(void *closure);
    /* Lets `ns` pass, in which others may have the collector's locks, then drains the rings.
     * False: sampling ends, and no thread may be looked at any more. */
    bool (*rest)(void *closure, uint64_t ns);
};

/* 0 with *dump, -ENOMEM, or -ECANCELED. */
int survey_take(const struct survey_config *config, struct dump **dump);

#endif
