/*
 * What the parts of config_load() share: where a setting is looked for, where it goes, and who
 * hears of one that makes no sense. A part gives 0, or -EINVAL or -ENOMEM after a complaint.
 */
#ifndef CPROF_ENGINE_CONFIG_LOAD_H
#define CPROF_ENGINE_CONFIG_LOAD_H

#include <stdbool.h>

#include "engine/config.h"
#include "engine/values.h"

struct loader {
    struct config *config; /* zeroed; earlier parts have filled in theirs */
    const struct cprof_options *options;
    struct complaint complaint;
};

/* The servers that profiles are sent to: addresses, protocols, headers, keys, timeouts.
 * `exporter` is the setting that chose them; OTLP's choice is in the config. */
int config_load_servers(const struct loader *loader, struct setting exporter, bool pyroscope,
                        bool parca);

#endif
