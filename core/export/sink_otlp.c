/*
 * Delivery to an OpenTelemetry server: OTLP over HTTP or gRPC, one profile a request.
 *
 * A profile is encoded anew for every attempt. That costs some milliseconds at most twice a
 * minute in an outage, and in return nothing but the profile itself has to be kept.
 */
#include "export/sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "export/answer.h"
#include "export/label_limit.h"
#include "export/server_sink.h"
#include "format/format.h"

/* Bytes before compression. The specification caps requests; servers may cap them lower (4 MiB
 * are common with gRPC), and below the smaller bound it can't be the size that they mind. */
#define MAX_REQUEST ((size_t)64 << 20)
#define MIN_PIECE ((size_t)64 << 10)

struct sink_otlp {
    struct server_sink server;
    struct label_limit names;
};

static const char *advice(int status)
{
    switch (status) {
    case 401:
    case 403:
        return " (check OTEL_EXPORTER_OTLP_HEADERS)";
    case 404:
        return " (check the address, and that the collector runs with "
               "--feature-gates=service.profilesSupport and a profiles pipeline)";
    case 413:
        return " (the profile is larger than the server takes)";
    default:
        return "";
    }
}

/* The profile is taken, unless the answer says that it was not. */
static void read_partial_success(const struct sink_otlp *otlp, struct delivery *delivery)
{
    struct answer partial = {0};
    if (!transport_partial(otlp->server.transport, &partial))
        return;
    if (partial.number > 0)
        delivery->status = DELIVERY_REFUSED;
    delivery->warn = true;
    snprintf(delivery->detail, sizeof delivery->detail, "%s by the server: %s",
             partial.number > 0 ? "rejected" : "taken with a warning",
             partial.text[0] ? partial.text : "no reason given");
}

static void send(struct sink_otlp *otlp, const struct profile *profile,
                 struct delivery *delivery)
{
    struct buffer message = {0};
    delivery->profiles = 1;
    int error = format_otlp.write(profile, &message);
    if (error != 0) {
        delivery->status = error == -ENOMEM ? DELIVERY_RETRY : DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%s", strerror(-error));
    } else if (message.size > MAX_REQUEST) {
        delivery->status = DELIVERY_TOO_LARGE;
        snprintf(delivery->detail, sizeof delivery->detail, "one sample is larger than 64 MiB");
    } else {
        transport_send(otlp->server.transport, NULL, &message, delivery);
        if (delivery->status == DELIVERY_DONE)
            read_partial_success(otlp, delivery);
        else if (delivery->status == DELIVERY_TOO_LARGE && message.size < MIN_PIECE)
            delivery->status = DELIVERY_REFUSED;
    }
    buffer_free(&message);
}

/* The same without what is left off for this server. */
static void send_fewer(struct sink_otlp *otlp, const struct profile *profile,
                       struct delivery *delivery)
{
    struct profile *fewer = label_limit_apply(&otlp->names, profile);
    if (fewer != NULL) {
        send(otlp, fewer, delivery);
        profile_free(fewer);
        return;
    }
    delivery->status = DELIVERY_RETRY;
    delivery->profiles = 1;
    snprintf(delivery->detail, sizeof delivery->detail, "%s", strerror(ENOMEM));
}

/* A server that has too many names says so series by series: each answer may ask for fewer. */
static void otlp_deliver(struct sink *sink, const struct profile *profile,
                         struct delivery *delivery)
{
    struct sink_otlp *otlp = (struct sink_otlp *)sink;
    const struct delivery begin = *delivery; /* whose sink we are behind may have begun it */
    const size_t known = otlp->names.count;
    if (known > 0)
        send_fewer(otlp, profile, delivery);
    else
        send(otlp, profile, delivery);
    while (delivery->status == DELIVERY_REFUSED &&
           label_limit_learn(&otlp->names, profile, &delivery->names)) {
        *delivery = begin;
        send_fewer(otlp, profile, delivery);
    }
    if (otlp->names.count > known && delivery->status == DELIVERY_DONE) {
        delivery->warn = true;
        label_limit_tell(&otlp->names, delivery->detail, sizeof delivery->detail);
    }
}

static void otlp_close(struct sink *sink)
{
    struct sink_otlp *otlp = (struct sink_otlp *)sink;
    label_limit_free(&otlp->names);
    server_sink_free(sink);
}

struct sink *sink_otlp_new(const struct exporter_options *options, char *error,
                           size_t error_size)
{
    static const struct sink functions = {.deliver = otlp_deliver, .close = otlp_close};
    static const struct transport_manner manner = {
        .name = "otlp",
        .variables = "OTEL_EXPORTER_OTLP",
        .content_type = "application/x-protobuf",
        .format = "OTLP profiles 1.10", /* of opentelemetry-proto; servers differ in it */
        .advice = advice,
    };
    struct sink_otlp *otlp = server_sink_new(sizeof *otlp, &functions, &options->otlp, &manner,
                                             options->library_directory, error, error_size);
    return otlp != NULL ? &otlp->server.sink : NULL;
}
