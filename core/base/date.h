/*
 * Days since 1970 and dates of the Gregorian calendar. Not by the C library's gmtime_r(),
 * timegm() or strftime(): they take the lock of the time zone, which another thread may have
 * held when this process was forked, and then nobody lets go of it.
 *
 * Years from 0 on, by the days of 400 years that begin in March (the algorithms are Howard
 * Hinnant's "days_from_civil" and "civil_from_days").
 */
#ifndef CPROF_BASE_DATE_H
#define CPROF_BASE_DATE_H

#include <stdint.h>

struct date {
    unsigned year, month, day; /* from 1 on */
};

enum {
    DATE_ERA = 146097,   /* days of 400 years */
    DATE_EPOCH = 719468, /* days from March 1st of the year 0 to 1970 */
};

/* `days` is from -DATE_EPOCH on. */
static inline struct date date_of_days(int64_t days)
{
    uint64_t all = (uint64_t)(days + DATE_EPOCH);
    uint64_t era = all / DATE_ERA, at = all % DATE_ERA;
    uint64_t year = (at - at / 1460 + at / 36524 - at / 146096) / 365;
    uint64_t day = at - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * day + 2) / 153; /* from March on */
    return (struct date){.year = (unsigned)(era * 400 + year + (month >= 10)),
                         .month = (unsigned)(month < 10 ? month + 3 : month - 9),
                         .day = (unsigned)(day - (153 * month + 2) / 5 + 1)};
}

/* A date from March of the year 0 on. A day beyond its month is one of the next. */
static inline int64_t date_days(struct date date)
{
    uint64_t years = date.year - (date.month <= 2), era = years / 400, year = years % 400;
    uint64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    uint64_t at = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + date.day - 1;
    return (int64_t)(era * DATE_ERA + at) - DATE_EPOCH;
}

#endif
