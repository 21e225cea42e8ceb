/*
 * Delivery to Pyroscope: push.v1.PusherService/Push, spoken as the Connect protocol has it (a
 * plain POST of the message, https://connectrpc.com/docs/protocol), so that it passes proxies
 * that know HTTP/1.1 only; or, where the address ends in /ingest, the older way: the pprof as
 * the body, and the series as a query that reads app{key=value,key=value}.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "export/sink_series.h"
#include "format/wire.h"
#include "pyroscope.pb-c.h"

#define INGEST_PATH "/ingest"

/* Pyroscope's own limits (max-profile-size-bytes and max-profile-stacktrace-samples). */
#define MAX_PPROF ((size_t)4 << 20)
#define MAX_SAMPLES 16000

/* Labels that every profile of ours has: not cumulative, and made by whom. */
#define FIXED_LABELS 4

static const char *advice(int status)
{
    switch (status) {
    case 400:
        return " (Pyroscope takes profiles that are less than an hour old)";
    case 401:
    case 403:
        return " (check CPROF_HEADERS: X-Scope-OrgID, Authorization)";
    case 404:
    case 405:
    case 415:
        return " (check CPROF_ENDPOINT; a Pyroscope before 1.0 wants it to end in /ingest)";
    case 413:
        return " (the profile is larger than the server takes)";
    default:
        return "";
    }
}

/* ---- push.v1 ---- */

/* One series of the message: its labels, its pprof, and the lists that they stand in. */
struct row {
    Pyroscope__LabelPair labels[SERIES_MAX_LABELS + FIXED_LABELS];
    Pyroscope__LabelPair *label_list[SERIES_MAX_LABELS + FIXED_LABELS];
    Pyroscope__RawSample sample, *samples[1];
    Pyroscope__RawProfileSeries series;
};

static void fill(struct row *row, const struct series *series, const struct series_part *part)
{
    const struct {
        const char *name, *value;
    } fixed[FIXED_LABELS] = {{"__name__", part->name},
                             {"__delta__", "false"},
                             {"pyroscope_spy", "cprof"},
                             {"service_name", series->service}};
    for (size_t i = 0; i < FIXED_LABELS + series->count; i++) {
        Pyroscope__LabelPair *label = row->label_list[i] = &row->labels[i];
        bool own = i < FIXED_LABELS;
        pyroscope__label_pair__init(label);
        label->name = (char *)(own ? fixed[i].name : series->labels[i - FIXED_LABELS].name);
        label->value = (char *)(own ? fixed[i].value : series->labels[i - FIXED_LABELS].value);
    }
    pyroscope__raw_sample__init(&row->sample);
    row->sample.raw_profile =
        (ProtobufCBinaryData){.len = part->pprof.size, .data = part->pprof.data};
    row->samples[0] = &row->sample;
    pyroscope__raw_profile_series__init(&row->series);
    row->series.n_labels = FIXED_LABELS + series->count;
    row->series.labels = row->label_list;
    row->series.n_samples = 1;
    row->series.samples = row->samples;
}

static int wrap_push(const struct series *series, const struct series_part *parts, size_t count,
                     struct buffer *message)
{
    Pyroscope__RawProfileSeries *all[PROFILE_SHEETS_MAX];
    Pyroscope__PushRequest request = PYROSCOPE__PUSH_REQUEST__INIT;
    struct row *rows = calloc(count, sizeof *rows);
    if (rows == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        fill(&rows[i], series, &parts[i]);
        all[i] = &rows[i].series;
    }
    request.n_series = count;
    request.series = all;
    wire_append(message, &request.base);
    free(rows);
    return message->error;
}

/* ---- /ingest ---- */

static int wrap_ingest(const struct series *series, const struct series_part *parts,
                       size_t count, struct buffer *message)
{
    (void)series;
    (void)count;
    buffer_append(message, parts->pprof.data, parts->pprof.size);
    return message->error;
}

static void append_text(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

/* Percent-encodes for a query. What would end the part of app{key=value} that it stands in
 * becomes '_' first. */
static void append_encoded(struct buffer *out, const char *text, const char *forbidden)
{
    char code[4];
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 0x7f || strchr(forbidden, c) != NULL)
            c = '_';
        bool plain = c < 0x80 && (isalnum(c) || strchr("-._~", c) != NULL);
        snprintf(code, sizeof code, plain ? "%c" : "%%%02X", c);
        append_text(out, code);
    }
}

/* An application's name is letters, digits, '-', '.' and '_'. */
static void append_service(struct buffer *out, const char *service)
{
    char c[2] = "";
    for (; *service != '\0'; service++) {
        unsigned char byte = (unsigned char)*service;
        c[0] = byte < 0x80 && (isalnum(byte) || strchr("-._", byte)) ? (char)byte : '_';
        append_text(out, c);
    }
}

static char *ingest_address(const char *url, const struct series *series,
                            const struct profile_header *header)
{
    struct buffer out = {0};
    char rest[160];
    append_text(&out, url);
    append_text(&out, "?name=");
    append_service(&out, series->service);
    append_text(&out, "%7B");
    for (size_t i = 0; i < series->count; i++) {
        append_text(&out, i > 0 ? "%2C" : "");
        append_text(&out, series->labels[i].name);
        append_text(&out, "%3D");
        append_encoded(&out, series->labels[i].value, ",}={");
    }
    uint64_t end = header->time_ns + header->duration_ns;
    snprintf(rest, sizeof rest, "%%7D&from=%llu&until=%llu&spyName=cprof&format=pprof",
             (unsigned long long)(header->time_ns / NS_PER_SECOND),
             (unsigned long long)(end / NS_PER_SECOND));
    buffer_append(&out, rest, strlen(rest) + 1);
    if (out.error == 0)
        return (char *)out.data;
    buffer_free(&out);
    return NULL;
}

/* ---- the sink ---- */

static bool is_ingest(const char *url)
{
    size_t length = strlen(url), end = strlen(INGEST_PATH);
    return length >= end && strcmp(url + length - end, INGEST_PATH) == 0;
}

struct sink *sink_pyroscope_new(const struct exporter_options *options, char *error,
                                size_t error_size)
{
    static const struct backend push = {
        .manner = {.name = "pyroscope",
                   .variables = "CPROF",
                   .files = "OTEL_EXPORTER_OTLP",
                   .content_type = "application/proto",
                   .format = "push.v1, pprof",
                   .advice = advice},
        .max_samples = MAX_SAMPLES,
        .max_pprof = MAX_PPROF,
        .wrap = wrap_push,
    };
    static const struct backend ingest = {
        .manner = {.name = "pyroscope",
                   .variables = "CPROF",
                   .files = "OTEL_EXPORTER_OTLP",
                   .content_type = "application/octet-stream",
                   .format = "/ingest, pprof",
                   .advice = advice},
        .one_part = true,
        .max_samples = MAX_SAMPLES,
        .max_pprof = MAX_PPROF,
        .wrap = wrap_ingest,
        .address = ingest_address,
    };
    return sink_series_new(is_ingest(options->pyroscope.url) ? &ingest : &push,
                           &options->pyroscope, options->library_directory, error, error_size);
}
