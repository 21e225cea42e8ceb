/*
 * Which process this is: the attributes of the OpenTelemetry resource, by the semantic
 * conventions 1.44. What the user says wins over what the binding knows, and that over what is
 * found here. Found anew in a forked child, whose pid, start and instance id are its own.
 *
 *   service.name, service.instance.id (a random UUID for each process)
 *   process.pid, .parent_pid, .creation.time, .executable.name, .executable.path, .command_line
 *   host.name, host.arch; host.id outside of containers
 *   os.type, os.name, os.version, os.description
 *   container.id; k8s.pod.uid, k8s.container.name, k8s.namespace.name as far as files tell
 *   k8s.* from the variables of the downward API
 *   telemetry.sdk.name, .version (language: the binding's), telemetry.distro.name, .version
 *
 * Other processes on the host may read all of it. What is sent keeps to what identifies, unless
 * CPROF_RESOURCE=full: with what a pod adds and with the samples' own labels it has to stay
 * below the 30 label names that Pyroscope takes.
 */
#ifndef CPROF_RESOURCE_RESOURCE_H
#define CPROF_RESOURCE_RESOURCE_H

#include "config/config.h"
#include "profile/profile.h"

/* Sets all of it; profile_error() tells when memory ran out. Some dozen system calls. */
void resource_set(struct profile *model, const struct config *config);

/* Takes off what only describes, but for what the user has set. */
void resource_keep_identity(struct profile *model, const struct config *config);

#endif
