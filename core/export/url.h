/* What a sink must know of URLs beyond what libcurl does. Thread-safe: no state. */
#ifndef CPROF_EXPORT_URL_H
#define CPROF_EXPORT_URL_H

#include <stdbool.h>

/* A copy that may be shown to people: without user:password@ and without a query. NULL: out of
 * memory. */
char *url_for_people(const char *url);

/* The proxies that the environment names for this URL; NULL = none. Texts of the environment:
 * to be read in the thread that starts the profiler and copied, never later, since the program
 * may change its environment at any time. */
struct url_proxies {
    const char *proxy, *no_proxy;
};
struct url_proxies url_proxies(const char *url);

#endif
