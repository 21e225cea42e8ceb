/*
 * The way of metrics to an OpenTelemetry server, beside that of profiles and apart from it: it
 * takes no profile, and whatever its server says or does not say concerns none.
 *
 * Metrics are cumulative: what is newer says all that the older did. So one message waits at
 * most, nothing is sent again, and a server that is away costs a line and no memory.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "export/server_sink.h"

#define SLACK (NS_PER_SECOND / 2) /* intervals of profiles are no clockwork */

struct sink_metrics {
    struct server_sink server;
    double interval; /* seconds */
    pthread_mutex_t lock;
    struct buffer message; /* empty: none waits */
    uint64_t due;          /* CLOCK_MONOTONIC */
};

static const char *advice(int status)
{
    switch (status) {
    case 401:
    case 403:
        return " (check OTEL_EXPORTER_OTLP_HEADERS)";
    case 404:
    case 501:
        return " (it takes no metrics: give it a metrics pipeline, or let "
               "OTEL_METRICS_EXPORTER "
               "be none)";
    default:
        return "";
    }
}

bool sink_metrics_put(struct sink *sink, struct buffer *message)
{
    struct sink_metrics *metrics = (struct sink_metrics *)sink;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&metrics->lock);
    buffer_free(&metrics->message);
    metrics->message = *message;
    bool due = now + SLACK >= metrics->due;
    if (due)
        metrics->due = now + (uint64_t)(metrics->interval * (double)NS_PER_SECOND);
    pthread_mutex_unlock(&metrics->lock);
    *message = (struct buffer){0};
    return due;
}

static struct buffer take(struct sink_metrics *metrics)
{
    pthread_mutex_lock(&metrics->lock);
    struct buffer message = metrics->message;
    metrics->message = (struct buffer){0};
    pthread_mutex_unlock(&metrics->lock);
    return message;
}

/* The server's own wish counts, too. */
static void wait_for(struct sink_metrics *metrics, uint64_t wish)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + wish;
    pthread_mutex_lock(&metrics->lock);
    if (wish != 0 && metrics->due < until)
        metrics->due = until;
    pthread_mutex_unlock(&metrics->lock);
}

static void judge(struct sink_metrics *metrics, struct delivery *delivery)
{
    struct answer partial = {0};
    char reason[sizeof delivery->detail];
    bool sent = delivery->status == DELIVERY_DONE;
    memcpy(reason, delivery->detail, sizeof reason);
    if (sent && transport_partial(metrics->server.transport, &partial)) {
        snprintf(reason, sizeof reason, "%.200s", partial.text);
        sent = partial.number == 0;
        delivery->warn = true;
    }
    delivery->warn |= !sent;
    delivery->reports_sent = sent;
    delivery->reports_failed = !sent;
    if (delivery->warn)
        snprintf(delivery->detail, sizeof delivery->detail,
                 sent ? "%.300s" : "%.300s; only figures are missing there, profiles are not",
                 reason);
    wait_for(metrics, delivery->retry_after);
    delivery->retry_after = 0;
    delivery->status = DELIVERY_DONE;
}

static void metrics_save(struct sink *sink, bool last, struct delivery *delivery)
{
    struct sink_metrics *metrics = (struct sink_metrics *)sink;
    struct buffer message = take(metrics);
    (void)last;
    delivery->expected = message.size == 0; /* says nothing of the server */
    if (message.size > 0) {
        transport_send(metrics->server.transport, NULL, &message, delivery);
        judge(metrics, delivery);
    }
    buffer_free(&message);
}

static void metrics_close(struct sink *sink)
{
    struct sink_metrics *metrics = (struct sink_metrics *)sink;
    buffer_free(&metrics->message);
    pthread_mutex_destroy(&metrics->lock);
    server_sink_free(sink);
}

struct sink *sink_metrics_new(const struct exporter_options *options, char *error,
                              size_t error_size)
{
    static const struct sink functions = {.save = metrics_save, .close = metrics_close};
    static const struct transport_manner manner = {
        .name = "otlp metrics",
        .variables = "OTEL_EXPORTER_OTLP",
        .content_type = "application/x-protobuf",
        .format = "OTLP metrics 1",
        .goods = "figures",
        .advice = advice,
    };
    struct sink_metrics *metrics =
        server_sink_new(sizeof *metrics, &functions, &options->metrics, &manner,
                        options->library_directory, error, error_size);
    if (metrics == NULL)
        return NULL;
    metrics->interval = options->metrics_interval;
    pthread_mutex_init(&metrics->lock, NULL);
    return &metrics->server.sink;
}
