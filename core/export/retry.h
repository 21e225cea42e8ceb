/* When to come again: the OTLP specification's rules as arithmetic. Thread-safe: no state. */
#ifndef CPROF_EXPORT_RETRY_H
#define CPROF_EXPORT_RETRY_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds to wait after failure number `failures` (1, 2, …) in a row: 1 s, then half as
 * much again each time, at most 30 s, spread by ±50 % with `random` so that forty services do
 * not come back in one moment. */
uint64_t retry_backoff(unsigned failures, uint64_t random);

/* A Retry-After header's value, seconds or an HTTP-date, as nanoseconds from `now`. 0 when
 * it makes no sense or lies in the past; at most an hour, whatever the server says. */
uint64_t retry_after(const char *value, time_t now);

#endif
