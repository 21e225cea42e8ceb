/*
 * Which attributes of a resource tell processes apart, and which only describe them. Backends
 * that store series make each one a label, and bound their number: Pyroscope takes 30.
 */
#ifndef CPROF_EXPORT_IDENTITY_H
#define CPROF_EXPORT_IDENTITY_H

#include <stdbool.h>

/* Of process.*, host.*, os.* and telemetry.*, which cprof fills, what identifies: the process,
 * its host, name and version of its runtime. Whatever else there is: service, container,
 * Kubernetes, deployment, what the user made up. */
bool attribute_identifies(const char *key);

#endif
