/*
 * The head of an HTTP request, as far as the pull endpoint and the control socket need it:
 * which page, for how many seconds, with which settings. Untrusted bytes; whatever they are,
 * nothing outside them is read. Thread-safe: no state.
 */
#ifndef CPROF_PULL_REQUEST_H
#define CPROF_PULL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define PULL_MAX_HEAD 8192      /* bytes of a request's head */
#define PULL_DEFAULT_SECONDS 30 /* as Go's net/http/pprof */
#define PULL_MAX_SECONDS 600

enum pull_page {
    PULL_INDEX,
    PULL_PROFILE,
    PULL_HEAP,
    PULL_ALLOCS,
    PULL_LOCKS,
    PULL_METRICS,
    PULL_THREADS, /* all of them now, in the format that is asked for */
    /* of the control socket alone */
    PULL_STATUS,
    PULL_START, /* these two by POST, as they change something */
    PULL_STOP,
};

/* Those that show what has added up since the start, or the change over some seconds. */
static inline bool pull_adds_up(enum pull_page page)
{
    return page == PULL_HEAP || page == PULL_ALLOCS || page == PULL_LOCKS;
}

/* Who can connect. */
enum pull_audience {
    PULL_PUBLIC, /* other hosts */
    PULL_LOCAL,  /* this host */
    PULL_OWNER,  /* the user whose process it is, and root */
};

#define PULL_TYPES_SIZE 128
#define PULL_PATH_SIZE 1024
#define PULL_FORMAT_SIZE 16

struct pull_request {
    enum pull_page page;
    double seconds;                /* of PULL_PROFILE; 0 of those that add up: not given */
    bool collect;                  /* of these: the runtime is to collect garbage first */
    long process;                  /* whose; 0: of the one that is asked */
    int error;                     /* an HTTP status to answer with instead; 0: none */
    char format[PULL_FORMAT_SIZE]; /* of PULL_THREADS; "": not given */
    /* of PULL_START, and of PULL_PROFILE where nothing runs; "" and 0: not given */
    char types[PULL_TYPES_SIZE];
    char output[PULL_PATH_SIZE];
    unsigned rate;
};

/* False: the head is not complete yet. Where the endpoint is for this host, a request that
 * names another in its Host header comes from a web page that plays tricks with names. No web
 * page can reach the socket of an owner. */
bool pull_request_parse(const char *head, size_t size, enum pull_audience audience,
                        struct pull_request *request);

#endif
