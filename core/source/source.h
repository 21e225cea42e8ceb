/*
 * A source makes the samples of one profile type: it arms what makes a sample due, and says
 * what a recorded one counts. Its samples are a sheet of every profile, with the columns and
 * the period of the source.
 *
 * A source is one file core/source/NAME.c and one row of sources.c; docs/new-source.md shows
 * how one gets in. Those that a program has not asked for cost nothing.
 *
 * Each function is marked with where it runs. [start]: on the thread that starts or stops the
 * engine. [collector]: on the collector's thread.
 */
#ifndef CPROF_SOURCE_SOURCE_H
#define CPROF_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample/record.h"

struct source_hook;

#define SOURCE_COLUMNS 2 /* at most; the period is in the unit of the last one */

/* How users write a period, and what its number means. */
enum source_unit {
    SOURCE_HERTZ, /* written as a rate, cpu@100hz: nanoseconds between two samples */
    SOURCE_BYTES, /* alloc@512k */
    SOURCE_TIME,  /* lock@1ms: nanoseconds */
    SOURCE_COUNT, /* exception@100: one in so many */
};

/* What one sample says of how much it stands for. */
struct counted {
    enum source_number maker; /* of the record, which may be another source */
    uint32_t weight;
    uint64_t amount; /* 0: its source has none */
    uint64_t period; /* that it was sampled with */
};

struct source {
    const char
        *name; /* as CPROF_TYPES spells it, and profile/measures.h, which has its columns */
    enum source_number number;
    enum source_unit unit;
    uint64_t usual, least, greatest; /* period */
    const char *allowed;             /* the bounds, for people */
    const char *label;        /* of a sample's kind (sample/kinds.h); NULL: it has none */
    const char *second_label; /* of what stands behind the kind's separator; NULL: as above */
    char separator;
    bool interpreted; /* interpreted code makes its samples: native frames above the innermost
                         interpreter frame are the hook's way, and are not shown */
    uint32_t counts; /* whose records count in its sheet: SOURCE_BIT() of itself, of others; one
                        that makes none of its own has neither open() nor hook */
    const struct source_hook *hook; /* what takes its samples (hooked.h), in place of open(),
                                       close() and tick(); NULL: these do */

    /* [start] Begins: hooks in, timers on. 0, or a negative errno with *why for people: this
     * source is off, and the others go on. The registry of threads is open. NULL: it counts
     * what others make. */
    int (*open)(uint64_t period, const char **why);
    /* [start] Ends. No take is under way any more, and none begins. */
    void (*close)(void);
    /* [collector] Once a turn, while it is open. NULL: nothing to do. */
    void (*tick)(void);
    /* [collector] Once a turn in which the loader's lock can be had: modules may have come or
     * gone. NULL: nothing to do. Holds no lock that close() waits for, and may come when the
     * source is closed. */
    void (*follow)(bool modules_changed);
    /* [collector] What a sample counts in each column. */
    void (*count)(const struct counted *counted, int64_t *values);
};

#define SOURCE_BIT(number) (UINT32_C(1) << (number))

/* Off-CPU time is weighed in this. */
#define SOURCE_OFFCPU_NS 1000

/* The row of a number, or of a name; NULL: there is none. */
const struct source *source_at(enum source_number number);
const struct source *source_named(const char *name, size_t length);

/* "cpu, alloc": what this version has, for people. */
void source_names(char *list, size_t size);

/* Those that a program has asked for. Each has a sheet, in the order of their numbers. */
struct source_set {
    uint64_t period[SOURCES_MAX]; /* 0: not asked for */
    uint64_t making[SOURCES_MAX]; /* the period at which each makes records, be it for another
                                     one; 0: it makes none */
    bool open[SOURCES_MAX], failed[SOURCES_MAX]; /* of the makers */
};

/* Settles what makes the records of those that are asked for, each at its own period; of one
 * that is not asked for itself, `cpu_period` is cpu's, and another has that of who wants it. */
void source_set_plan(struct source_set *set, uint64_t cpu_period);

/* Does a record of that maker count for the source? Not where any of its makers can't be had.
 */
bool source_counts(const struct source_set *set, enum source_number number,
                   enum source_number maker);

bool source_set_empty(const struct source_set *set);
/* "cpu, alloc": those of a set that are open, for people. */
void source_set_names(const struct source_set *set, char *list, size_t size);
/* The number of the sheet of a source that is in the set. */
size_t source_sheet(const struct source_set *set, enum source_number number);

/* [start] Opens all of a set; one line says which of several can't be. 0, or a negative errno
 * with *why when none can. */
int sources_open(struct source_set *set, const char **why);
void sources_close(struct source_set *set);

/* [collector] */
void sources_tick(const struct source_set *set);
void sources_follow(const struct source_set *set, bool modules_changed);

#endif
