/*
 * What Pyroscope and Parca have in common as sinks: a profile is renamed by the rules of
 * series.h, each of its sheets encoded as pprof, and all wrapped into one message of the one or
 * the other, so that they are delivered together or not at all. One that is
 * larger than the backend takes is given back to be cut (DELIVERY_TOO_LARGE).
 */
#ifndef CPROF_EXPORT_SINK_SERIES_H
#define CPROF_EXPORT_SINK_SERIES_H

#include "export/series.h"
#include "export/sink.h"
#include "format/format.h"

/* What is sent of a sheet. */
struct series_part {
    const char *name; /* of the series; static */
    struct buffer pprof;
};

struct backend {
    struct transport_manner manner;
    bool threads;       /* samples keep the labels of threads and traces */
    bool one_part;      /* a message has no room for several: all sheets are one */
    size_t max_samples; /* of one part */
    size_t max_pprof;   /* bytes of one before compression */
    /* Makes the message of 1 … PROFILE_SHEETS_MAX parts. 0 or -ENOMEM. */
    int (*wrap)(const struct series *series, const struct series_part *parts, size_t count,
                struct buffer *message);
    /* The address of one message, malloc'ed; NULL: they all go to the same. */
    char *(*address)(const char *url, const struct series *series,
                     const struct profile_header *header);
};

/* `backend` is static. NULL with one line in `error`, as exporter_new(). */
struct sink *sink_series_new(const struct backend *backend,
                             const struct transport_options *options,
                             const char *library_directory, char *error, size_t error_size);

#endif
