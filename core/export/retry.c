#include "export/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/date.h"
#include "export/answer.h"

#define FIRST_DELAY NS_PER_SECOND
#define LONGEST_DELAY (30 * NS_PER_SECOND)

uint64_t retry_backoff(unsigned failures, uint64_t random)
{
    uint64_t delay = FIRST_DELAY;
    for (unsigned i = 1; i < failures && delay < LONGEST_DELAY; i++)
        delay += delay / 2;
    if (delay > LONGEST_DELAY)
        delay = LONGEST_DELAY;
    return delay / 2 + random % delay;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form that RFC 9110 lets a server send. Not strptime:
 * that reads the names of days and months in the host program's language. */
static int64_t parse_http_date(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct date date;
    char month[4];
    unsigned hour, minute, second;
    if (sscanf(text, "%*3s, %2u %3s %4u %2u:%2u:%2u GMT", &date.day, month, &date.year, &hour,
               &minute, &second) != 6)
        return -1;
    const char *found = strstr(months, month);
    if (found == NULL || strlen(month) != 3 || (found - months) % 3 != 0)
        return -1;
    if (date.year < 1970 || date.year > 9999 || date.day < 1 || date.day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return -1;
    date.month = (unsigned)(found - months) / 3 + 1;
    return date_days(date) * 86400 + hour * 3600 + minute * 60 + second;
}

uint64_t retry_after(const char *value, time_t now)
{
    char *end;
    long long seconds;
    value += strspn(value, " \t");
    if (*value >= '0' && *value <= '9') {
        seconds = strtoll(value, &end, 10);
        if (end[strspn(end, " \t")] != '\0')
            return 0;
    } else {
        int64_t date = parse_http_date(value);
        if (date <= now)
            return 0;
        seconds = date - now;
    }
    return (uint64_t)(seconds < ANSWER_LONGEST_WISH ? seconds : ANSWER_LONGEST_WISH) *
           NS_PER_SECOND;
}
