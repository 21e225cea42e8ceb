/*
 * Where profiles go: the exporter with the servers and the file that a configuration asks for.
 */
#ifndef CPROF_ENGINE_SINKS_H
#define CPROF_ENGINE_SINKS_H

#include "base/budget.h"
#include "config/config.h"
#include "export/exporter.h"

/* `output` is the pattern of this process's file, or NULL. What is given is needed during the
 * call only, but for the budget. NULL: a line in `error` says why. */
struct exporter *sinks_open(const struct config *config, const char *output,
                            struct budget *budget, char *error, size_t error_size);

#endif
