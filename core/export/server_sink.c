#include "export/server_sink.h"

#include <stdio.h>
#include <stdlib.h>

static void interrupt(struct sink *sink)
{
    transport_interrupt(((struct server_sink *)sink)->transport);
}

void *server_sink_new(size_t size, const struct sink *functions,
                      const struct transport_options *options,
                      const struct transport_manner *manner, const char *library_directory,
                      char *error, size_t error_size)
{
    struct server_sink *made = calloc(1, size);
    if (made == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    made->sink = *functions;
    made->sink.name = manner->name;
    made->sink.interrupt = interrupt;
    made->transport = transport_open(options, manner, library_directory, error, error_size);
    if (made->transport != NULL)
        return made;
    free(made);
    return NULL;
}

void server_sink_free(struct sink *sink)
{
    struct server_sink *server = (struct server_sink *)sink;
    transport_close(server->transport);
    free(server);
}
