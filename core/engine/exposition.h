/*
 * The page /metrics: cprof's own figures and the CPU seconds of the top functions, in the text
 * format that Prometheus scrapes (version 0.0.4). A figure of stats() is called
 * "cprof_" and its name, in seconds where it is in ns, with "_total" where it counts. Pure.
 */
#ifndef CPROF_ENGINE_EXPOSITION_H
#define CPROF_ENGINE_EXPOSITION_H

#include "collect/hot_functions.h"
#include "cprof/cprof.h"
#include "format/format.h"

void exposition_write(const struct cprof_stats *stats, const struct hot_series *series,
                      size_t count, struct buffer *out);

#endif
