/*
 * The page /metrics: the figures in the text format that Prometheus scrapes (version 0.0.4).
 * Each is called "cprof_", its name, its unit, and "_total" where it counts. Pure.
 */
#ifndef CPROF_ENGINE_EXPOSITION_H
#define CPROF_ENGINE_EXPOSITION_H

#include "engine/figures.h"
#include "format/format.h"

void exposition_write(const struct figures *figures, struct buffer *out);

#endif
