#include "export/sink_series.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "export/server_sink.h"
#include "profile/measures.h"

/* Bytes of a message that is packed already: below it can't be the size that a server minds. */
#define MIN_PIECE ((size_t)16 << 10)

struct sink_series {
    struct server_sink server;
    const struct backend *backend;
    char *url;
    bool warned_left_out;
};

/* The size before compression, as gzip writes it at the end (RFC 1952, ISIZE). */
static size_t unpacked_size(const struct buffer *packed)
{
    const unsigned char *end = packed->data + packed->size;
    return packed->size < 4 ? 0
                            : (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 |
                                  (size_t)end[-1] << 24;
}

/* Encodes samples, which it frees. 0, -ENOMEM, or -EFBIG for more than the backend takes at
 * once. */
static int encode(const struct backend *backend, struct profile *samples, struct buffer *pprof)
{
    int error = samples == NULL                                        ? -ENOMEM
                : profile_sample_count(samples) > backend->max_samples ? -EFBIG
                                                                       : 0;
    if (error == 0)
        error = format_pprof.write(samples, pprof);
    if (error == 0 && unpacked_size(pprof) > backend->max_pprof)
        error = -EFBIG;
    profile_free(samples);
    return error;
}

/* A part for each sheet that has samples. As encode(). */
static int encode_parts(const struct backend *backend, const struct series *series,
                        const struct profile *profile,
                        struct series_part parts[PROFILE_SHEETS_MAX], size_t *count)
{
    const bool threads = backend->threads;
    int error = 0;
    if (backend->one_part)
        return encode(backend, series_samples(series, profile, threads),
                      &parts[(*count)++].pprof);
    for (size_t i = 0; error == 0 && i < profile_sheet_count(profile); i++) {
        if (profile_first_sample(profile, i) == profile_first_sample(profile, i + 1))
            continue;
        struct series_part *part = &parts[(*count)++];
        part->name = measure_series(profile, i);
        error = encode(backend, series_sheet(series, profile, i, threads), &part->pprof);
    }
    return error;
}

static int make_message(const struct backend *backend, const struct series *series,
                        const struct profile *profile, struct buffer *message)
{
    struct series_part parts[PROFILE_SHEETS_MAX] = {{.name = NULL}};
    size_t count = 0;
    int error = encode_parts(backend, series, profile, parts, &count);
    if (error == 0)
        error = backend->wrap(series, parts, count, message);
    for (size_t i = 0; i < count; i++)
        buffer_free(&parts[i].pprof);
    return error;
}

static void send(struct sink_series *sink, const struct series *series,
                 const struct profile *profile, struct delivery *delivery)
{
    const struct backend *backend = sink->backend;
    struct buffer message = {0};
    char *address = NULL;
    int error = make_message(backend, series, profile, &message);
    if (error == 0 && backend->address != NULL) {
        address = backend->address(sink->url, series, profile_header_const(profile));
        error = address != NULL ? 0 : -ENOMEM;
    }
    if (error == 0) {
        transport_send(sink->server.transport, address, &message, delivery);
        if (delivery->status == DELIVERY_TOO_LARGE && message.size < MIN_PIECE)
            delivery->status = DELIVERY_REFUSED;
    } else {
        delivery->status = error == -EFBIG ? DELIVERY_TOO_LARGE : DELIVERY_RETRY;
        snprintf(delivery->detail, sizeof delivery->detail, "%s",
                 error == -EFBIG ? "the profile is larger than the server takes"
                                 : strerror(-error));
    }
    free(address);
    buffer_free(&message);
}

static void tell_left_out(struct sink_series *sink, const struct series *series)
{
    if (series->left_out == 0 || sink->warned_left_out)
        return;
    sink->warned_left_out = true;
    log_warn("%s: %zu resource attributes are left out of the labels: a series has at most %d",
             sink->server.sink.name, series->left_out, SERIES_MAX_LABELS);
}

static void series_deliver(struct sink *base, const struct profile *profile,
                           struct delivery *delivery)
{
    struct sink_series *sink = (struct sink_series *)base;
    struct series series;
    delivery->profiles = 1;
    if (series_make(&series, profile) == 0) {
        tell_left_out(sink, &series);
        send(sink, &series, profile, delivery);
    } else {
        delivery->status = DELIVERY_RETRY;
        snprintf(delivery->detail, sizeof delivery->detail, "%s", strerror(ENOMEM));
    }
    series_free(&series);
}

static void series_close(struct sink *base)
{
    free(((struct sink_series *)base)->url);
    server_sink_free(base);
}

struct sink *sink_series_new(const struct backend *backend,
                             const struct transport_options *options,
                             const char *library_directory, char *error, size_t error_size)
{
    static const struct sink functions = {.deliver = series_deliver, .close = series_close};
    struct sink_series *sink =
        server_sink_new(sizeof *sink, &functions, options, &backend->manner, library_directory,
                        error, error_size);
    if (sink == NULL)
        return NULL;
    sink->backend = backend;
    sink->url = strdup(options->url);
    if (sink->url != NULL)
        return &sink->server.sink;
    snprintf(error, error_size, "out of memory");
    series_close(&sink->server.sink);
    return NULL;
}
