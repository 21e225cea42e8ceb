#include "engine/otlp_metrics.h"

#include <stdio.h>
#include <string.h>

#include "common.pb-c.h"
#include "format/otlp.h"
#include "format/wire.h"
#include "metrics.pb-c.h"

enum data_field { DATA_RESOURCE_METRICS = 1 };
enum resource_field { RESOURCE_SCOPE_METRICS = 2 };
enum scope_field { SCOPE_SCOPE = 1, SCOPE_METRICS = 2 };

/* A point with what it refers to. */
struct point {
    Otlp__NumberDataPoint data;
    Otlp__KeyValue attributes[FIGURE_LABELS];
    Otlp__KeyValue *list[FIGURE_LABELS];
    Otlp__AnyValue values[FIGURE_LABELS];
};

struct writer {
    struct buffer *scope;
    uint64_t began, now;
    struct point points[FIGURE_POINTS];
    Otlp__NumberDataPoint *list[FIGURE_POINTS];
};

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void put_attributes(struct point *point, const struct figure *figure,
                           const struct figure_point *from)
{
    for (size_t i = 0; i < FIGURE_LABELS && from->labels[i] != NULL; i++) {
        otlp__any_value__init(&point->values[i]);
        point->values[i].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        point->values[i].string_value = bytes(from->labels[i]);
        otlp__key_value__init(&point->attributes[i]);
        point->attributes[i].key = bytes(figure->labels[i]);
        point->attributes[i].value = &point->values[i];
        point->list[i] = &point->attributes[i];
        point->data.n_attributes = i + 1;
    }
    point->data.attributes = point->list;
}

static void put_points(struct writer *w, const struct figure *figure)
{
    for (size_t i = 0; i < figure->count; i++) {
        struct point *point = &w->points[i];
        const uint64_t value = figure->points[i].value;
        Otlp__NumberDataPoint *data = &point->data;
        otlp__number_data_point__init(data);
        data->start_time_unix_nano = figure->kind == FIGURE_COUNT ? w->began : 0;
        data->time_unix_nano = w->now;
        if (figure->unit == FIGURE_SECONDS) {
            data->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
            data->as_double = (double)value / 1e9;
        } else {
            data->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_INT;
            data->as_int = (int64_t)value;
        }
        put_attributes(point, figure, &figure->points[i]);
        w->list[i] = data;
    }
}

static void put_metric(void *closure, const struct figure *figure)
{
    static const char *const units[] = {
        [FIGURE_PLAIN] = "", [FIGURE_SECONDS] = "s", [FIGURE_BYTES] = "By"};
    struct writer *w = closure;
    char name[128];
    if (figure->count == 0)
        return;
    Otlp__Metric metric = OTLP__METRIC__INIT;
    Otlp__Sum sum = OTLP__SUM__INIT;
    Otlp__Gauge gauge = OTLP__GAUGE__INIT;
    snprintf(name, sizeof name, "cprof.%s", figure->name);
    put_points(w, figure);
    if (figure->kind == FIGURE_COUNT) {
        sum.aggregation_temporality =
            OTLP__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
        sum.is_monotonic = true;
        sum.n_data_points = figure->count;
        sum.data_points = w->list;
        metric.data_case = OTLP__METRIC__DATA_SUM;
        metric.sum = &sum;
    } else {
        gauge.n_data_points = figure->count;
        gauge.data_points = w->list;
        metric.data_case = OTLP__METRIC__DATA_GAUGE;
        metric.gauge = &gauge;
    }
    metric.name = bytes(name);
    metric.description = bytes(figure->help);
    metric.unit = bytes(units[figure->unit]);
    wire_message(w->scope, SCOPE_METRICS, &metric.base);
}

void otlp_metrics_write(const struct figures *figures, const struct profile *profile,
                        uint64_t began, uint64_t now, struct buffer *out)
{
    struct buffer scope = {0}, resource = {0};
    struct writer w = {.scope = &scope, .began = began, .now = now};
    Otlp__InstrumentationScope name = OTLP__INSTRUMENTATION_SCOPE__INIT;
    name.name = bytes(OTLP_SCOPE);
    name.version = bytes(CPROF_VERSION);
    wire_message(&scope, SCOPE_SCOPE, &name.base);
    figures_each(figures, put_metric, &w);
    int error = otlp_write_resource(profile, &resource);
    wire_buffer(&resource, RESOURCE_SCOPE_METRICS, &scope);
    wire_buffer(out, DATA_RESOURCE_METRICS, &resource);
    if (error != 0)
        out->error = error;
    buffer_free(&scope);
    buffer_free(&resource);
}
