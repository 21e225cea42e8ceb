/*
 * The head of an HTTP request, as far as the pull endpoint needs it: which page, for how many
 * seconds. Untrusted bytes; whatever they are, nothing outside them is read. Thread-safe: no
 * state.
 */
#ifndef CPROF_PULL_REQUEST_H
#define CPROF_PULL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define PULL_MAX_HEAD 8192      /* bytes of a request's head */
#define PULL_DEFAULT_SECONDS 30 /* as Go's net/http/pprof */
#define PULL_MAX_SECONDS 600

enum pull_page { PULL_INDEX, PULL_PROFILE };

struct pull_request {
    enum pull_page page;
    double seconds; /* of PULL_PROFILE */
    int error;      /* an HTTP status to answer with instead; 0: none */
};

/* False: the head is not complete yet. `local`: the endpoint is for this host, so a request
 * that names another in its Host header comes from a web page that plays tricks with names. */
bool pull_request_parse(const char *head, size_t size, bool local,
                        struct pull_request *request);

#endif
