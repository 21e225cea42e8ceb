/* Times as people write them, at 9:00 on Tuesday, 2026-12-01, in Berlin, and where its clocks
 * change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "times.h"

#define NS 1000000000ULL
#define NOW (1796112000 * NS)          /* 2026-12-01 09:00 */
#define AFTER_SUMMER (1793088000 * NS) /* 2026-10-27 09:00 */

struct moment_case {
    const char *text, *time;
};

struct span_case {
    const char *text, *from, *to;
};

static void assert_time(uint64_t time, const char *expected, const char *text)
{
    char written[TIMES_TEXT_SIZE];
    times_write(written, time);
    if (strcmp(written, expected) != 0)
        fail_msg("\"%s\" was read as %s, not %s", text, written, expected);
}

static void assert_spans(uint64_t now, const struct span_case *spans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span span;
        if (!times_parse_span(spans[i].text, now, &span))
            fail_msg("\"%s\" was not read", spans[i].text);
        assert_time(span.from, spans[i].from, spans[i].text);
        assert_time(span.to, spans[i].to, spans[i].text);
    }
}

static void moments_are_read(void **state)
{
    (void)state;
    static const struct moment_case moments[] = {
        {"now", "2026-12-01 09:00:00"},
        {" -2h ", "2026-12-01 07:00:00"},
        {"2 hours ago", "2026-12-01 07:00:00"},
        {"90 min ago", "2026-12-01 07:30:00"},
        {"-1h30m", "2026-12-01 07:30:00"},
        {"1h30m ago", "2026-12-01 07:30:00"},
        {"1.5h ago", "2026-12-01 07:30:00"},
        {"1 week ago", "2026-11-24 09:00:00"},
        {"14:00", "2026-12-01 14:00:00"},
        {"3am", "2026-12-01 03:00:00"},
        {"2:30 pm", "2026-12-01 14:30:00"},
        {"12am", "2026-12-01 00:00:00"},
        {"12pm", "2026-12-01 12:00:00"},
        {"24:00", "2026-12-02 00:00:00"},
        {"midnight", "2026-12-01 00:00:00"},
        {"yesterday", "2026-11-30 00:00:00"},
        {"YESTERDAY 14:00", "2026-11-30 14:00:00"},
        {"yesterday at 2pm", "2026-11-30 14:00:00"},
        {"yesterday noon", "2026-11-30 12:00:00"},
        {"mon 9:00", "2026-11-30 09:00:00"},
        {"tuesday", "2026-12-01 00:00:00"},
        {"tuesday 10:00", "2026-11-24 10:00:00"},
        {"last monday", "2026-11-30 00:00:00"},
        {"last tuesday", "2026-11-24 00:00:00"},
        {"2026-11-30", "2026-11-30 00:00:00"},
        {"2024-02-29", "2024-02-29 00:00:00"},
        {"2026-11-30T14:00:00Z", "2026-11-30 15:00:00"},
        {"2026-11-30T14:00:00.5z", "2026-11-30 15:00:00"},
        {"2026-11-30 14:00 UTC", "2026-11-30 15:00:00"},
        {"2026-11-30 14:00:00+0530", "2026-11-30 09:30:00"},
        {"@1796000000", "2026-11-30 01:53:20"},
    };
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        uint64_t time;
        if (!times_parse(moments[i].text, NOW, &time))
            fail_msg("\"%s\" was not read", moments[i].text);
        assert_time(time, moments[i].time, moments[i].text);
    }
}

static void spans_are_read(void **state)
{
    (void)state;
    static const struct span_case spans[] = {
        {"yesterday", "2026-11-30 00:00:00", "2026-12-01 00:00:00"},
        {"-25h..-24h", "2026-11-30 08:00:00", "2026-11-30 09:00:00"},
        {"-1h..", "2026-12-01 08:00:00", "2026-12-01 09:00:00"},
        {"-2h", "2026-12-01 07:00:00", "2026-12-01 09:00:00"},
        {"monday 9:00..10:00", "2026-11-30 09:00:00", "2026-11-30 10:00:00"},
        {"9am..10am", "2026-12-01 09:00:00", "2026-12-01 10:00:00"},
        {"yesterday 23:00..1:00", "2026-11-30 23:00:00", "2026-12-01 01:00:00"},
        {"yesterday 14:00..yesterday 15:00", "2026-11-30 14:00:00", "2026-11-30 15:00:00"},
        {"yesterday 14:00 .. +1h30m", "2026-11-30 14:00:00", "2026-11-30 15:30:00"},
        {"yesterday 14:00..now", "2026-11-30 14:00:00", "2026-12-01 09:00:00"},
        {"tuesday 8:30..tuesday 9:30", "2026-12-01 08:30:00", "2026-12-01 09:30:00"},
        {"2026-11-30T14:00Z..15:00Z", "2026-11-30 15:00:00", "2026-11-30 16:00:00"},
    };
    assert_spans(NOW, spans, sizeof spans / sizeof *spans);
}

static void days_on_which_clocks_change_are_whole(void **state)
{
    (void)state;
    static const struct span_case spans[] = {
        {"2026-10-25", "2026-10-25 00:00:00", "2026-10-26 00:00:00"},
        {"sunday 1:00..4:00", "2026-10-25 01:00:00", "2026-10-25 04:00:00"},
        {"2026-10-24 23:00..3:30", "2026-10-24 23:00:00", "2026-10-25 03:30:00"},
    };
    struct span day;
    assert_spans(AFTER_SUMMER, spans, sizeof spans / sizeof *spans);
    assert_true(times_parse_span("2026-10-25", AFTER_SUMMER, &day));
    assert_int_equal((day.to - day.from) / NS, 25 * 3600);
    assert_true(times_parse_span("2026-03-29", AFTER_SUMMER, &day));
    assert_int_equal((day.to - day.from) / NS, 23 * 3600);
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "2026-11-31", "2026-02-29", "2026-00-10",  "2026-13-01", "13pm",    "0am",
        "5 pm am",    "1h30 ago",   "-1h-2h",      "24:01",      "last",    "last 2h",
        "at",         "9:5",        "yesterday 9", "noon noon",  "-99999d", "last midnight",
    };
    static const char *const spans[] = {
        "..-1h",
        "yesterday..+",
        "yesterday..+1x",
        "-1h..-2h",
        "2026-11-30 14:00..2026-11-30 13:00",
        "now",
        "14:00",
    };
    uint64_t time;
    struct span span;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (times_parse(texts[i], NOW, &time))
            fail_msg("\"%s\" was read", texts[i]);
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        if (times_parse_span(spans[i], NOW, &span))
            fail_msg("the span \"%s\" was read", spans[i]);
}

int main(void)
{
    /* As "Europe/Berlin", which a machine need not have. */
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_read),
        cmocka_unit_test(spans_are_read),
        cmocka_unit_test(days_on_which_clocks_change_are_whole),
        cmocka_unit_test(what_is_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
