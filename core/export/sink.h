/*
 * A sink: one place that profiles are delivered to, seen by the exporter as a table of
 * functions. Makers (sink_file_new, sink_otlp_new) return it ready for use.
 *
 * Only one of the exporter's threads calls deliver(), save() and close(); interrupt() may come
 * from any thread at any time between making and closing. A sink reads a profile during
 * deliver() and keeps no pointer to it. It knows nothing of queues, retries or other sinks: it
 * says what became of a profile, and the exporter draws the consequences.
 */
#ifndef CPROF_EXPORT_SINK_H
#define CPROF_EXPORT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/answer.h"
#include "export/exporter.h"

enum delivery_status {
    DELIVERY_DONE,      /* the sink has it */
    DELIVERY_RETRY,     /* not now; the exporter keeps it and comes again */
    DELIVERY_REFUSED,   /* never; the exporter counts it as failed */
    DELIVERY_TOO_LARGE, /* not in one piece: the exporter comes again with each half, or counts
                           it as failed when it can't be cut */
    DELIVERY_PASSED, /* by a sink that only keeps, and can't now: the one behind it shall have
                        the profile from memory */
};

/* What became of one call. */
struct delivery {
    enum delivery_status status;
    bool warn;         /* a DELIVERY_DONE whose detail a person should see */
    bool expected;     /* a DELIVERY_REFUSED that nobody needs to see; or a DELIVERY_DONE of
                          nothing, which says nothing of the server */
    bool more;         /* of a save(): there is more to do, it wants to be called again */
    uint64_t profiles; /* how many profiles the status is about: 1, or what a file held */
    uint64_t dropped;  /* kept ones that had to go to make room */
    struct unreported unreported;          /* by those, and by kept ones that are refused */
    uint64_t reports_sent, reports_failed; /* of metrics, in place of profiles */
    size_t bytes;                          /* accepted by the other side */
    uint64_t retry_after;                  /* [ns] the other side's own wish; 0 = none */
    struct label_names names; /* a DELIVERY_REFUSED for having too many; else zero */
    char detail[384];         /* one line for people, without secrets */
};

struct sink {
    const char *name; /* "otlp", "file" */

    /* Delivers one profile; sets *delivery, which comes zeroed. NULL: it takes none. */
    void (*deliver)(struct sink *sink, const struct profile *profile,
                    struct delivery *delivery);

    /* Takes what the sink has gathered so far one step on: writes it down, delivers one of the
     * profiles that it keeps. `last` when there is no later chance. NULL: it does not gather.
     */
    void (*save)(struct sink *sink, bool last, struct delivery *delivery);

    /* Makes the deliver() under way, and every later one, return at once (DELIVERY_RETRY).
     * NULL: the sink is always quick, shares a thread with others of its kind, and is called
     * even when time has run out; between two calls it is nothing but memory. */
    void (*interrupt)(struct sink *sink);

    void (*close)(struct sink *sink);
};

/* NULL with one line in `error`, as exporter_new(). */
struct sink *sink_file_new(const struct exporter_options *options, char *error,
                           size_t error_size);
struct sink *sink_store_new(const struct exporter_options *options, char *error,
                            size_t error_size);
struct sink *sink_otlp_new(const struct exporter_options *options, char *error,
                           size_t error_size);
struct sink *sink_pyroscope_new(const struct exporter_options *options, char *error,
                                size_t error_size);
struct sink *sink_parca_new(const struct exporter_options *options, char *error,
                            size_t error_size);

/* Sends metrics, which it is given (from any thread) and sends at a save(). put() takes the
 * bytes over; true: it is time for a save(). */
struct sink *sink_metrics_new(const struct exporter_options *options, char *error,
                              size_t error_size);
bool sink_metrics_put(struct sink *sink, struct buffer *message);

/* The two ends of a spool (CPROF_SPOOL_DIR) in front of a sink that sends to `to`. */
struct sink_spool {
    struct sink *keeper;  /* quick; passes on what it can't keep */
    struct sink *courier; /* behind it; owns the sink that it wraps */
};

/* 0; or negative with one line in `error`, and `inner` is the caller's still. */
int sink_spool_new(const struct exporter_options *options, const struct transport_options *to,
                   struct sink *inner, struct sink_spool *made, char *error, size_t error_size);

#endif
