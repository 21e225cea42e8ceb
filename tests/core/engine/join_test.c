/* What a second start() asked for and does not get. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/join.h"

static const struct cprof_pair eu[] = {{"region", "eu"}}, us[] = {{"region", "us"}};
static const struct cprof_pair key[] = {{"authorization", "secret"}};

static const struct cprof_options running = {.service_name = "shop",
                                             .rate = 100,
                                             .exporter = "otlp",
                                             .headers = key,
                                             .header_count = 1,
                                             .labels = eu,
                                             .label_count = 1};

static void assert_differs(const struct cprof_options asked, const char *expected)
{
    struct config one, other;
    char error[256], list[128];
    assert_int_equal(config_load(&one, &running, error, sizeof error), 0);
    assert_int_equal(config_load(&other, &asked, error, sizeof error), 0);
    join_differences(&one, &other, &asked, list, sizeof list);
    assert_string_equal(list, expected);
    config_free(&one);
    config_free(&other);
}

static void options_that_are_the_same_or_not_given_are_no_difference(void **state)
{
    (void)state;
    assert_differs((struct cprof_options){0}, "");
    assert_differs(running, "");
}

static void each_option_that_differs_is_named_and_no_value(void **state)
{
    (void)state;
    static const struct cprof_pair other_key[] = {{"authorization", "other"}};
    assert_differs((struct cprof_options){.service_name = "till"}, "service_name");
    assert_differs((struct cprof_options){.rate = 500, .interval = 1}, "rate, interval");
    assert_differs((struct cprof_options){.output = "x.html"}, "output");
    assert_differs((struct cprof_options){.exporter = "pyroscope"}, "exporter");
    assert_differs((struct cprof_options){.endpoint = "http://elsewhere:1"}, "endpoint");
    assert_differs((struct cprof_options){.native = "off"}, "native");
    assert_differs((struct cprof_options){.labels = us, .label_count = 1}, "labels");
    assert_differs((struct cprof_options){.headers = other_key, .header_count = 1}, "headers");
}

static void a_block_has_a_file_of_its_own_and_that_is_no_difference(void **state)
{
    (void)state;
    assert_differs((struct cprof_options){.output = "x.html", .block = true}, "");
    assert_differs((struct cprof_options){.output = "x.html", .block = true, .rate = 7},
                   "rate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_are_the_same_or_not_given_are_no_difference),
        cmocka_unit_test(each_option_that_differs_is_named_and_no_value),
        cmocka_unit_test(a_block_has_a_file_of_its_own_and_that_is_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
