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

static int wrap(const struct series *series, const struct buffer *pprof, struct buffer *message)
{
    Parca__Label labels[SERIES_MAX_LABELS + 2], *label_list[SERIES_MAX_LABELS + 2];
    const struct {
        const char *name, *value;
    } fixed[] = {{"__name__", series->name}, {"service_name", series->service}};
    size_t own = sizeof fixed / sizeof *fixed;
    for (size_t i = 0; i < own + series->count; i++) {
        label_list[i] = &labels[i];
        parca__label__init(&labels[i]);
        labels[i].name = (char *)(i < own ? fixed[i].name : series->labels[i - own].name);
        labels[i].value = (char *)(i < own ? fixed[i].value : series->labels[i - own].value);
    }
    Parca__LabelSet set = PARCA__LABEL_SET__INIT;
    set.n_labels = own + series->count;
    set.labels = label_list;
    Parca__RawSample sample = PARCA__RAW_SAMPLE__INIT, *samples[] = {&sample};
    sample.raw_profile = (ProtobufCBinaryData){.len = pprof->size, .data = pprof->data};
    Parca__RawProfileSeries one = PARCA__RAW_PROFILE_SERIES__INIT, *all[] = {&one};
    one.labels = &set;
    one.n_samples = 1;
    one.samples = samples;
    Parca__WriteRawRequest request = PARCA__WRITE_RAW_REQUEST__INIT;
    request.n_series = 1;
    request.series = all;
    wire_append(message, &request.base);
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
