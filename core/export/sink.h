/*
 * A sink: one place that profiles are delivered to, seen by the exporter as a table of
 * functions. Makers (sink_file_new, sink_otlp_new) return it ready for use.
 *
 * Only the exporter's thread calls deliver(), save() and close(); interrupt() may come from any
 * thread at any time between making and closing. A sink reads a profile during deliver() and
 * keeps no pointer to it. It knows nothing of queues, retries or other sinks: it says what
 * became of a profile, and the exporter draws the consequences.
 */
#ifndef CPROF_EXPORT_SINK_H
#define CPROF_EXPORT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/exporter.h"

enum delivery_status {
    DELIVERY_DONE,    /* the sink has it */
    DELIVERY_RETRY,   /* not now; the exporter keeps it and comes again */
    DELIVERY_REFUSED, /* never; the exporter counts it as failed */
};

/* What became of one call. */
struct delivery {
    enum delivery_status status;
    bool warn;            /* a DELIVERY_DONE whose detail a person should see */
    uint64_t profiles;    /* how many profiles the status is about: 1, or what a file held */
    size_t bytes;         /* accepted by the other side */
    uint64_t retry_after; /* [ns] the other side's own wish; 0 = none */
    char detail[384];     /* one line for people, without secrets */
};

struct sink {
    const char *name; /* "otlp", "file" */

    /* Delivers one profile; sets *delivery, which comes zeroed. */
    void (*deliver)(struct sink *sink, const struct profile *profile,
                    struct delivery *delivery);

    /* Writes down what the sink has gathered so far, if it gathers; `last` when there is no
     * later chance. NULL: it does not gather. */
    void (*save)(struct sink *sink, bool last, struct delivery *delivery);

    /* Makes the deliver() under way, and every later one, return at once (DELIVERY_RETRY).
     * NULL: deliver() is always quick, and is called even when time has run out; between two
     * calls the sink is nothing but memory. */
    void (*interrupt)(struct sink *sink);

    void (*close)(struct sink *sink);
};

/* NULL with one line in `error`, as exporter_new(). */
struct sink *sink_file_new(const struct exporter_options *options, char *error,
                           size_t error_size);
struct sink *sink_otlp_new(const struct exporter_options *options, char *error,
                           size_t error_size);

#endif
