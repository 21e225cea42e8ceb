#include "times.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define NS 1000000000ULL
#define DAY_SECONDS 86400
#define LONGEST (1000.0 * 366 * DAY_SECONDS) /* seconds back */

/* What is being read, and what is known so far. */
struct moment {
    const char *at;
    uint64_t now;
    struct tm day; /* year, month, day */
    bool has_day, has_hours, weekday;
    double seconds; /* since that day's midnight */
    bool has_zone;
    long zone; /* seconds east of UTC */
};

static void skip_spaces(struct moment *m)
{
    while (isspace((unsigned char)*m->at))
        m->at++;
}

static bool read_char(struct moment *m, char c)
{
    bool same = *m->at == c;
    m->at += same;
    return same;
}

/* A word of letters, in any case. */
static bool read_word(struct moment *m, const char *word)
{
    size_t length = strlen(word);
    if (strncasecmp(m->at, word, length) != 0 || isalpha((unsigned char)m->at[length]))
        return false;
    m->at += length;
    return true;
}

static bool read_digits(struct moment *m, size_t least, size_t most, int *number)
{
    size_t count = 0;
    *number = 0;
    while (count < most && isdigit((unsigned char)m->at[count]))
        *number = 10 * *number + (m->at[count++] - '0');
    m->at += count;
    return count >= least;
}

/* ---- so long ago ---- */

static bool read_unit(struct moment *m, double *seconds)
{
    static const struct {
        const char *words[4];
        double seconds;
    } units[] = {
        {{"s", "sec", "second", "seconds"}, 1},
        {{"m", "min", "minute", "minutes"}, 60},
        {{"h", "hr", "hour", "hours"}, 3600},
        {{"d", "day", "days", "days"}, DAY_SECONDS},
        {{"w", "week", "weeks", "weeks"}, 7.0 * DAY_SECONDS},
    };
    skip_spaces(m);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (size_t k = 0; k < 4; k++)
            if (read_word(m, units[i].words[k])) {
                *seconds = units[i].seconds;
                return true;
            }
    return false;
}

/* "1h30m", in seconds. */
static bool read_length(struct moment *m, double *seconds)
{
    *seconds = 0;
    do {
        char *end;
        double unit = 0;
        double number = strtod(m->at, &end);
        m->at = end;
        if (!read_unit(m, &unit))
            return false;
        *seconds += number * unit;
    } while (isdigit((unsigned char)*m->at));
    return *seconds >= 0 && *seconds <= LONGEST;
}

/* "-2h", "2 hours ago" */
static bool read_ago(struct moment *m, uint64_t *time)
{
    double back;
    const bool minus = read_char(m, '-');
    if (!isdigit((unsigned char)*m->at) || !read_length(m, &back))
        return false;
    skip_spaces(m);
    if (!minus && !read_word(m, "ago"))
        return false;
    skip_spaces(m);
    if (*m->at != '\0' || back * 1e9 > (double)m->now)
        return false;
    *time = m->now - (uint64_t)(back * 1e9);
    return true;
}

/* ---- a day, hours, a zone ---- */

static struct tm local_day(uint64_t time)
{
    time_t seconds = (time_t)(time / NS);
    struct tm day = {0};
    localtime_r(&seconds, &day);
    return day;
}

/* The last one that has begun, or with "last" one that has ended. */
static bool read_weekday(struct moment *m)
{
    static const char *const names[] = {"sunday",   "monday", "tuesday", "wednesday",
                                        "thursday", "friday", "saturday"};
    const bool ended = read_word(m, "last");
    skip_spaces(m);
    for (int i = 0; i < 7; i++) {
        char short_name[4] = "";
        memcpy(short_name, names[i], 3);
        if (!read_word(m, names[i]) && !read_word(m, short_name))
            continue;
        const int back = (m->day.tm_wday - i + 7) % 7;
        m->day.tm_mday -= back == 0 && ended ? 7 : back;
        m->weekday = true;
        return true;
    }
    return false;
}

static bool is_date(int year, int month, int day)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] &&
           (month != 2 || day <= 28 || leap);
}

static bool read_date(struct moment *m)
{
    int year, month, day;
    if (!read_digits(m, 4, 4, &year) || !read_char(m, '-') || !read_digits(m, 1, 2, &month) ||
        !read_char(m, '-') || !read_digits(m, 1, 2, &day))
        return false;
    m->day.tm_year = year - 1900;
    m->day.tm_mon = month - 1;
    m->day.tm_mday = day;
    return is_date(year, month, day);
}

static bool read_day(struct moment *m)
{
    const char *begin = m->at;
    m->has_day = true;
    if (read_word(m, "today"))
        return true;
    if (read_word(m, "yesterday")) {
        m->day.tm_mday--;
        return true;
    }
    if (read_weekday(m) || read_date(m))
        return true;
    m->at = begin;
    m->has_day = false;
    return false;
}

/* ":30", ":30:10.5" behind the hours. */
static bool read_minutes(struct moment *m, double *seconds)
{
    int minutes, whole = 0;
    double rest = 0;
    if (!read_digits(m, 2, 2, &minutes) || (read_char(m, ':') && !read_digits(m, 2, 2, &whole)))
        return false;
    if (*m->at == '.' && isdigit((unsigned char)m->at[1])) {
        char *end;
        rest = strtod(m->at, &end);
        m->at = end;
    }
    *seconds = 60.0 * minutes + whole + rest;
    return minutes < 60 && whole <= 60;
}

/* "am", "pm"; false: there is none, or it is of no hour. */
static bool read_half(struct moment *m, int *hours)
{
    const char *begin = m->at;
    skip_spaces(m);
    const bool morning = read_word(m, "am");
    if (!morning && !read_word(m, "pm")) {
        m->at = begin;
        return false;
    }
    const bool is_hour = *hours >= 1 && *hours <= 12;
    *hours = *hours % 12 + (morning ? 0 : 12);
    return is_hour;
}

static bool read_hours(struct moment *m)
{
    int hours;
    double rest = 0;
    const bool noon = read_word(m, "noon");
    m->has_hours = true;
    m->seconds = noon ? DAY_SECONDS / 2.0 : 0;
    if (noon || read_word(m, "midnight"))
        return true;
    if (!read_digits(m, 1, 2, &hours))
        return false;
    const bool minutes = read_char(m, ':');
    if (minutes && !read_minutes(m, &rest))
        return false;
    if (!read_half(m, &hours) && !minutes)
        return false;
    m->seconds = 3600.0 * hours + rest;
    return hours <= 24 && m->seconds <= DAY_SECONDS;
}

static bool read_zone(struct moment *m)
{
    int hours, minutes = 0;
    m->has_zone = true;
    if (read_word(m, "z") || read_word(m, "utc") || read_word(m, "gmt"))
        return true;
    const bool west = *m->at == '-';
    if (*m->at != '+' && *m->at != '-') {
        m->has_zone = false;
        return true;
    }
    m->at++;
    if (!read_digits(m, 2, 2, &hours))
        return false;
    if ((read_char(m, ':') || *m->at != '\0') && !read_digits(m, 2, 2, &minutes))
        return false;
    m->zone = (west ? -60L : 60L) * (60L * hours + minutes);
    return hours <= 14 && minutes < 60;
}

static bool to_time(const struct moment *m, uint64_t *time)
{
    struct tm at = {.tm_year = m->day.tm_year,
                    .tm_mon = m->day.tm_mon,
                    .tm_mday = m->day.tm_mday,
                    .tm_isdst = -1};
    long whole = (long)m->seconds;
    at.tm_hour = (int)(whole / 3600);
    at.tm_min = (int)(whole / 60 % 60);
    at.tm_sec = (int)(whole % 60);
    errno = 0;
    time_t seconds = m->has_zone ? timegm(&at) - m->zone : mktime(&at);
    if (seconds < 0)
        return false;
    *time = (uint64_t)seconds * NS + (uint64_t)((m->seconds - (double)whole) * 1e9);
    return true;
}

/* Reads a moment up to the end of the text; `day` is the one of hours alone. */
static bool read_moment(struct moment *m, uint64_t *time)
{
    if (read_day(m) && (*m->at == 'T' || *m->at == 't'))
        m->at++;
    else
        skip_spaces(m);
    if (read_word(m, "at"))
        skip_spaces(m);
    if (*m->at != '\0' && !read_hours(m))
        return false;
    skip_spaces(m);
    if (*m->at != '\0' && !(m->has_hours && read_zone(m)))
        return false;
    skip_spaces(m);
    if (*m->at != '\0' || (!m->has_day && !m->has_hours) || !to_time(m, time))
        return false;
    if (m->weekday && *time > m->now) { /* of today, and still to come */
        m->day.tm_mday -= 7;
        return to_time(m, time);
    }
    return true;
}

static bool read_unix(const char *text, uint64_t *time)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0) || seconds > 1e10)
        return false;
    *time = (uint64_t)seconds * NS + (uint64_t)((seconds - (double)(uint64_t)seconds) * 1e9);
    return true;
}

static bool parse(const char *text, uint64_t now, const struct tm *day, struct moment *m,
                  uint64_t *time)
{
    *m = (struct moment){.at = text, .now = now, .day = *day};
    skip_spaces(m);
    if (*m->at == '@')
        return read_unix(m->at + 1, time);
    struct moment other = *m;
    if (read_word(&other, "now") && *other.at == '\0') {
        *time = now;
        return true;
    }
    other = *m;
    return read_ago(&other, time) || read_moment(m, time);
}

bool times_parse(const char *text, uint64_t now, uint64_t *time)
{
    struct moment m;
    const struct tm today = local_day(now);
    return parse(text, now, &today, &m, time);
}

/* Midnight after the day of `m`. */
static bool end_of_day(struct moment *m, uint64_t *time)
{
    m->day.tm_mday++;
    return to_time(m, time);
}

/* A moment behind the dots: hours alone are the first ones after `from`, and a day of the week
 * comes after it. */
static bool parse_end(const char *text, uint64_t now, uint64_t from, uint64_t *to)
{
    struct moment m;
    const struct tm today = local_day(now), day = local_day(from);
    if (!parse(text, now, &today, &m, to))
        return false;
    if (m.has_hours && !m.has_day && !parse(text, now, &day, &m, to))
        return false;
    if (*to > from || !(m.weekday || (m.has_hours && !m.has_day)))
        return true;
    m.day.tm_mday += m.weekday ? 7 : 1;
    return to_time(&m, to);
}

bool times_parse_end(const char *text, uint64_t now, uint64_t from, uint64_t *to)
{
    struct moment m = {.at = text, .now = now};
    double length;
    skip_spaces(&m);
    if (*m.at == '\0')
        return true;
    if (!read_char(&m, '+'))
        return parse_end(text, now, from, to);
    if (!isdigit((unsigned char)*m.at) || !read_length(&m, &length))
        return false;
    *to = from + (uint64_t)(length * 1e9);
    return *m.at == '\0';
}

bool times_parse_span(const char *text, uint64_t now, struct span *span)
{
    struct moment first;
    const struct tm today = local_day(now);
    const char *dots = strstr(text, "..");
    char *from = dots ? strndup(text, (size_t)(dots - text)) : strdup(text);
    bool read = from && parse(from, now, &today, &first, &span->from);
    free(from);
    if (!read)
        return false;
    span->to = now;
    if (!dots && first.has_day && !first.has_hours && !end_of_day(&first, &span->to))
        return false;
    return (!dots || times_parse_end(dots + 2, now, span->from, &span->to)) &&
           span->from < span->to;
}

void times_write(char text[TIMES_TEXT_SIZE], uint64_t time)
{
    const struct tm day = local_day(time);
    if (strftime(text, TIMES_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &day) == 0)
        snprintf(text, TIMES_TEXT_SIZE, "@%llu", (unsigned long long)(time / NS));
}
