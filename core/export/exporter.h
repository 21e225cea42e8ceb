/*
 * The exporter: takes closed profiles and delivers each to every configured sink, from threads
 * of its own: one for the sinks that write files, one for each that talks to a server, so that
 * a server that hangs holds up nobody else. Nothing here ever holds up the caller of
 * exporter_submit().
 *
 * Owns what is submitted. Profiles wait in a bounded queue (queue.h): as it fills, neighbours
 * are merged into coarser profiles; what still has to go is counted. With a spool folder those
 * for servers wait on disk instead (spool.h), and outlive the process. A sink that fails in a
 * retryable way is retried with backoff as the OTLP specification says, the profile kept; one
 * that refuses for good is counted as failed; one for which a profile is too large gets it in
 * halves. The threads block all signals.
 *
 * After fork, the child calls exporter_abandon(): memory is let go without touching locks,
 * descriptors or curl handles that belong to the parent.
 */
#ifndef CPROF_EXPORT_EXPORTER_H
#define CPROF_EXPORT_EXPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "export/transport.h"
#include "export/unreported.h"
#include "format/format.h"
#include "profile/profile.h"
#include "store/ages.h"

/* Already checked values; strings borrowed until exporter_new() returns. */
struct exporter_options {
    struct transport_options otlp;    /* .url is where profiles are posted to; NULL: no OTLP */
    struct transport_options metrics; /* likewise, for what exporter_report() is given */
    double metrics_interval;          /* seconds between reports */
    /* Likewise; a path that ends in /ingest picks that API. */
    struct transport_options pyroscope;
    struct transport_options parca;
    const char *output;       /* pattern with %p %n %t %s; NULL = no file sink */
    const char *output_name;  /* what the user set; NULL = CPROF_OUTPUT */
    const char *spool_folder; /* where profiles for servers wait; NULL = in memory */
    size_t spool_limit;       /* bytes on disk for each server */
    const char *store_folder; /* where history is kept; NULL: nowhere */
    size_t store_limit;       /* bytes of that folder */
    struct ages store_ages;
    bool timestamps; /* samples have times of their own (PROFILE_TIME) */
    const char *service_name;
    const char *library_directory; /* where libcprof_http.so lies; NULL = loader's search */
    struct budget *budget;
};

struct exporter_stats {
    uint64_t exported, failed, dropped, bytes_sent;
    uint64_t reports_sent, reports_failed; /* of metrics */
    struct unreported
        unreported;   /* of the two above, what profiles that were lost had reported */
    uint64_t cpu_ns;  /* of the exporter's threads */
    uint64_t waiting; /* profiles in memory that some sink has not taken, merged ones as one */
};

struct exporter;

/* NULL with a line in `error` when a sink can't be made (unknown format ending, unwritable
 * directory, …). */
struct exporter *exporter_new(const struct exporter_options *options, char *error,
                              size_t error_size);

/* Takes ownership of the profile, whatever happens. Profiles without samples are freed. */
void exporter_submit(struct exporter *exporter, struct profile *profile);

/* Metrics as they stand, as one OTLP message: takes its bytes over. They are sent when the
 * interval of metrics is over, and at a flush and the end; newer ones take the place of those
 * that wait, and say all that those did, so that nothing is kept for a server that is away. */
void exporter_report(struct exporter *exporter, struct buffer *metrics);

/* Waits until the queue is empty and no delivery is under way. 0, -ETIMEDOUT, or -EIO when one
 * failed since the last flush. A retry's backoff is cut short. */
int exporter_flush(struct exporter *exporter, double timeout);

void exporter_stats(struct exporter *exporter, struct exporter_stats *stats);

/* The program ends, by exporter_stop(), or by exporter_flush() and death: each sink gets what
 * there is once more, and where that fails it is not tried again, so that a server that is away
 * holds up nobody. What a spool has is safe: it is sent only as far as that is quick. */
void exporter_hasten(struct exporter *exporter);

/* Delivers what it can within `timeout` seconds, counts the rest as dropped (reported in one
 * log line), writes whole-run files, ends the thread, frees. Fills *last when not NULL. 0,
 * -ETIMEDOUT, or -EIO when one failed since the last flush. */
int exporter_stop(struct exporter *exporter, double timeout, struct exporter_stats *last);

/* [child after fork] */
void exporter_abandon(struct exporter *exporter);

#endif
