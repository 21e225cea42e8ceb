/* Numbers as people read them. */
#ifndef CPROF_CLI_UNITS_H
#define CPROF_CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT 40 /* room for any of these texts */

/* The unit of numbers that are not whole: no text shows it, as values are divided by it. */
#define UNITS_MILLIONTHS "millionths"

/* "4.12 s", "12.0 ms", "3.4 MiB", "1,234", "12.3 M": in a unit that leaves about three digits,
 * numbers of less than ten millions with all of theirs. */
void units_value(char text[UNITS_TEXT], int64_t value, const char *unit);

/* The same for what comes per second, which need not be whole: "2.50". */
void units_rate(char text[UNITS_TEXT], double value, const char *unit);

/* How often one looked, "at 100 Hz" or "every 512 KiB". False: the period tells nothing. */
bool units_period(char text[UNITS_TEXT], int64_t period, const char *unit);

/* "33.2%"; "–" of nothing. */
void units_share(char text[UNITS_TEXT], int64_t part, int64_t whole);

/* How long something took, in nanoseconds: as units_value(), but "25.0 min", "3.00 h" and "30.0
 * days" from ten minutes on. */
void units_duration(char text[UNITS_TEXT], int64_t value);

/* "1,234,567" */
void units_count(char text[UNITS_TEXT], int64_t value);

#endif
