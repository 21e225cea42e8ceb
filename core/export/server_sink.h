/*
 * What every sink with a server begins with: its way there, opened, interrupted and closed
 * alike. A sink's own struct has this one as its first member.
 */
#ifndef CPROF_EXPORT_SERVER_SINK_H
#define CPROF_EXPORT_SERVER_SINK_H

#include "export/sink.h"
#include "export/transport.h"

struct server_sink {
    struct sink sink;
    struct transport *transport;
};

/* Allocates a sink of `size` bytes, zeroed behind its struct server_sink, and opens its way;
 * its name is the manner's, interrupt() is the one for all. NULL with one line in `error`, as
 * exporter_new(). */
void *server_sink_new(size_t size, const struct sink *functions,
                      const struct transport_options *options,
                      const struct transport_manner *manner, const char *library_directory,
                      char *error, size_t error_size);

/* Closes the way and frees the sink; what it has besides has been freed. */
void server_sink_free(struct sink *sink);

#endif
