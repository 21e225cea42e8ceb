/*
 * A start() while the engine runs joins it. The running profile is one, so what the second
 * call asks for beyond it can't be had; one line says that.
 */
#ifndef CPROF_ENGINE_JOIN_H
#define CPROF_ENGINE_JOIN_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* The options that the caller gave and that differ from what runs: "rate, labels", or "". */
void join_differences(const struct config *running, const struct config *asked,
                      const struct cprof_options *given, char *list, size_t size);

/* Says that a call joins. A block's profile is meant to: there only differences are told.
 * True: something was said. */
bool join_tell(const struct config *running, bool block, const char *differences);

#endif
