/*
 * The pull endpoint (CPROF_LISTEN) of the engine: joins pull/server.h to the collector. A
 * process that can't listen, because another of the service does already, says so in one line
 * and is profiled all the same.
 */
#ifndef CPROF_ENGINE_LISTEN_H
#define CPROF_ENGINE_LISTEN_H

#include "collect/collector.h"
#include "pull/server.h"

/* NULL: no memory. The collector must outlive pull_rest(). */
struct pull_server *listen_new(struct collector *collector, struct budget *budget);
/* False: does not listen. */
bool listen_start(struct pull_server *server, const char *address, bool others);

#endif
