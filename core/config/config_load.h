/*
 * What the parts of config_load() share: where a setting is looked for, where it goes, and who
 * hears of one that makes no sense. A part gives 0, or -EINVAL or -ENOMEM after a complaint.
 */
#ifndef CPROF_CONFIG_CONFIG_LOAD_H
#define CPROF_CONFIG_CONFIG_LOAD_H

#include <stdbool.h>

#include "config/config.h"
#include "config/values.h"

struct config_loader {
    struct config *config; /* zeroed; earlier parts have filled in theirs */
    const struct cprof_options *options;
    struct complaint complaint;
};

/* The servers that profiles are sent to: addresses, protocols, headers, keys, timeouts.
 * `exporter` is the setting that chose them; OTLP's choice is in the config. */
int config_load_servers(const struct config_loader *loader, struct setting exporter,
                        bool pyroscope, bool parca);

/* What OpenTelemetry's variables say of servers: for profiles, and for metrics where they are
 * wanted. Without OTLP only what holds for every server. */
int config_load_otlp(const struct config_loader *loader);

/* The profile types, each with its period. */
int config_load_types(const struct config_loader *loader);

#endif
