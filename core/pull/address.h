/*
 * Where the pull endpoint listens: `127.0.0.1:6060`, `[::1]:6060`, `localhost:6060` or
 * `unix:/run/app.sock` (%p is the process id). Numbers only: no name is looked up. Thread-safe:
 * no state.
 */
#ifndef CPROF_PULL_ADDRESS_H
#define CPROF_PULL_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "pull/request.h"

struct pull_address {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un file;
    } to;
    socklen_t length;
    enum pull_audience audience;
};

/* NULL; or what is allowed, for people. `others`: hosts other than this one may connect. */
const char *pull_address_parse(const char *text, bool others, struct pull_address *address);

#endif
