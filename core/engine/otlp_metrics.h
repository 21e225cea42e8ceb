/*
 * The figures as OTLP metrics: counts are cumulative sums since the run began, the rest are
 * gauges. Each is called "cprof." and its name; its unit stands apart, so that Prometheus,
 * which writes it into the name, gets the names of the page /metrics. Pure.
 */
#ifndef CPROF_ENGINE_OTLP_METRICS_H
#define CPROF_ENGINE_OTLP_METRICS_H

#include "engine/figures.h"
#include "format/format.h"
#include "profile/profile.h"

/* One message, with the profile's resource: `began` and `now` are Unix times in ns. */
void otlp_metrics_write(const struct figures *figures, const struct profile *profile,
                        uint64_t began, uint64_t now, struct buffer *out);

#endif
