/* Dates against the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "base/date.h"

#define LAST ((int64_t)8000 * 366) /* days */

static void dates_are_those_of_the_c_library(void **state)
{
    (void)state;
    for (int64_t days = -DATE_EPOCH; days < LAST; days++) {
        const time_t seconds = (time_t)days * 86400;
        struct tm expected;
        gmtime_r(&seconds, &expected);
        struct date date = date_of_days(days);
        assert_int_equal(date.year, expected.tm_year + 1900);
        assert_int_equal(date.month, expected.tm_mon + 1);
        assert_int_equal(date.day, expected.tm_mday);
        assert_int_equal(date_days(date), days);
    }
}

static void days_beyond_a_month_are_of_the_next(void **state)
{
    (void)state;
    assert_int_equal(date_days((struct date){2024, 2, 30}),
                     date_days((struct date){2024, 3, 1}));
    assert_int_equal(date_days((struct date){1970, 1, 1}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_the_c_library),
        cmocka_unit_test(days_beyond_a_month_are_of_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
