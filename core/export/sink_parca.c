/* Delivery to Parca: parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw over gRPC. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/sink_series.h"
#include "format/wire.h"
#include "parca.pb-c.h"

/* Parca bounds the message alone (gRPC servers take 4 MiB unless told otherwise, Parca 64 MiB);
 * the pprof in it is packed about ten to one. */
#define MAX_PPROF ((size_t)32 << 20)
#define MAX_SAMPLES 1000000

static const char *advice(int status)
{
    switch (status) {
    case 401:
    case 403:
        return " (check CPROF_HEADERS)";
    case 404:
    case 501: /* UNIMPLEMENTED */
        return " (check CPROF_ENDPOINT: no Parca answers there)";
    default:
        return "";
    }
}

/* One series of the message: its labels, its pprof, and the lists that they stand in. */
struct row {
    Parca__Label labels[SERIES_MAX_LABELS + 2], *label_list[SERIES_MAX_LABELS + 2];
    Parca__LabelSet set;
    Parca__RawSample sample, *samples[1];
    Parca__RawProfileSeries series;
};

static void fill(struct row *row, const struct series *series, const struct series_part *part)
{
    const struct {
        const char *name, *value;
    } fixed[] = {{"__name__", part->name}, {"service_name", series->service}};
    size_t own = sizeof fixed / sizeof *fixed;
    for (size_t i = 0; i < own + series->count; i++) {
        row->label_list[i] = &row->labels[i];
        parca__label__init(&row->labels[i]);
        row->labels[i].name = (char *)(i < own ? fixed[i].name : series->labels[i - own].name);
        row->labels[i].value =
            (char *)(i < own ? fixed[i].value : series->labels[i - own].value);
    }
    parca__label_set__init(&row->set);
    row->set.n_labels = own + series->count;
    row->set.labels = row->label_list;
    parca__raw_sample__init(&row->sample);
    row->sample.raw_profile =
        (ProtobufCBinaryData){.len = part->pprof.size, .data = part->pprof.data};
    row->samples[0] = &row->sample;
    parca__raw_profile_series__init(&row->series);
    row->series.labels = &row->set;
    row->series.n_samples = 1;
    row->series.samples = row->samples;
}

static int wrap(const struct series *series, const struct series_part *parts, size_t count,
                struct buffer *message)
{
    Parca__RawProfileSeries *all[PROFILE_SHEETS_MAX];
    Parca__WriteRawRequest request = PARCA__WRITE_RAW_REQUEST__INIT;
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

struct sink *sink_parca_new(const struct exporter_options *options, char *error,
                            size_t error_size)
{
    static const struct backend backend = {
        .manner = {.name = "parca",
                   .variables = "CPROF",
                   .files = "OTEL_EXPORTER_OTLP",
                   .content_type = "application/grpc",
                   .format = "WriteRaw, pprof",
                   .advice = advice},
        .threads = true,
        .max_samples = MAX_SAMPLES,
        .max_pprof = MAX_PPROF,
        .wrap = wrap,
    };
    return sink_series_new(&backend, &options->parca, options->library_directory, error,
                           error_size);
}
