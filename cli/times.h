/*
 * Moments and spans of time as people write them, in local time:
 *
 *     now · -2h · -1h30m · 90 min ago · 14:00 · 2pm · noon · midnight · today 9:30 · yesterday
 * · yesterday at 3am · monday 9:00 · last monday · 2026-01-31 · 2026-01-31T12:00:00Z ·
 *     2026-01-31 12:00 UTC · 2026-01-31 12:00+02:00 · @1769860800
 *     FROM..TO, where a TO of hours alone is the first such after FROM, and +1h is so long:
 *     monday 9:00..10:00 · yesterday 23:00..1:00 · yesterday 14:00..+30m
 *
 * A day of the week is the last one that has begun, or with "last" that has ended; hours alone
 * are today's; a day without hours is its midnight, and as a span all of it; a moment as a span
 * is from then until now. Times are Unix times in ns.
 * Pure functions but for the time zone (TZ), which localtime_r() knows.
 */
#ifndef CPROF_CLI_TIMES_H
#define CPROF_CLI_TIMES_H

#include <stdbool.h>
#include <stdint.h>

struct span {
    uint64_t from, to;
};

/* False: it is no time. */
bool times_parse(const char *text, uint64_t now, uint64_t *time);
bool times_parse_span(const char *text, uint64_t now, struct span *span);

/* The TO of a span that begins at `from`; "" is now. */
bool times_parse_end(const char *text, uint64_t now, uint64_t from, uint64_t *to);

/* "2026-01-31 12:00:10", local. */
#define TIMES_TEXT_SIZE 32
void times_write(char text[TIMES_TEXT_SIZE], uint64_t time);

#endif
