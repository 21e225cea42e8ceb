/*
 * The model of every profile of a run: value types, period, and the places of its figures
 * (metrics.h). Made at start, and anew in a forked child; the collector adds the resource
 * attributes (resource.h) that say which process this is.
 */
#ifndef CPROF_ENGINE_MODEL_H
#define CPROF_ENGINE_MODEL_H

#include "base/budget.h"
#include "config/config.h"
#include "profile/profile.h"

/* An empty profile; NULL: out of memory. */
struct profile *model_new(const struct config *config, struct budget *budget);

#endif
