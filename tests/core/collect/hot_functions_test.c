/* CPU seconds by function: at most 20 series, stable, and their sum is all there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "collect/hot_functions.h"

#define MS 1000000

static struct hot_functions hot;

static int begin(void **state)
{
    (void)state;
    hot_init(&hot);
    return 0;
}

static struct profile *interval(void)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    return p;
}

static profile_id frame(struct profile *p, const char *name, const char *file,
                        const char *module, enum cprof_frame_type type, int64_t at)
{
    const struct profile_function function = {.name = profile_string(p, name),
                                              .filename = profile_string(p, file)};
    const struct profile_line line = {.function = profile_function(p, &function), .line = at};
    const struct profile_mapping mapping = {.filename = profile_string(p, module)};
    return profile_location(p,
                            &(struct profile_location){.mapping = profile_mapping(p, &mapping),
                                                       .type = type,
                                                       .line_count = 1,
                                                       .lines = &line});
}

/* Some CPU time of a Python function, at one of its lines. */
static void run(struct profile *p, const char *name, int64_t line, int64_t ms)
{
    const profile_id stack[] = {frame(p, name, "/srv/app.py", "", CPROF_FRAME_CPYTHON, line),
                                frame(p, "main", "/srv/app.py", "", CPROF_FRAME_CPYTHON, 1)};
    profile_add(p, 0, profile_stack(p, stack, 2), 0, 0, (int64_t[]){1, ms * MS});
}

static void count(struct profile *p)
{
    hot_count(&hot, p);
    profile_free(p);
}

static int64_t ms_of(const char *name)
{
    struct hot_series series[HOT_SERIES];
    size_t count = hot_read(&hot, series);
    for (size_t i = 0; i < count; i++)
        if (strcmp(series[i].function, name) == 0)
            return series[i].cpu_ns / MS;
    return -1;
}

static int64_t sum(void)
{
    struct hot_series series[HOT_SERIES];
    size_t count = hot_read(&hot, series);
    int64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += series[i].cpu_ns;
    return total / MS;
}

static void a_function_gets_a_series_when_it_has_stayed_hot(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++) {
        struct profile *p = interval();
        run(p, "hot", 7, 600);
        run(p, "hot", 8, 300); /* another line of it */
        run(p, i == 1 ? "import" : "rest", 1, 95);
        run(p, "cold", 1, 5); /* under a hundredth */
        count(p);
        assert_int_equal(sum(), 1000 * i);
        assert_int_equal(ms_of("hot"), i < HOT_HITS ? -1 : 900 * (i + 1 - HOT_HITS));
    }
    assert_int_equal(ms_of("import"), -1);
    assert_int_equal(ms_of("cold"), -1);
    assert_int_equal(ms_of("rest"), 2 * 95);
}

static void series_stay_and_are_twenty_at_most(void **state)
{
    (void)state;
    char name[32];
    int64_t before = 0;
    for (int i = 0; i < 200; i++) {
        struct profile *p = interval();
        for (int k = 0; k < 10; k++) {
            snprintf(name, sizeof name, "function_%d", i / 5 * 10 + k);
            run(p, name, 1, 50);
        }
        run(p, "always", 1, 500);
        count(p);
        assert_true(ms_of("other") >= before); /* counters do not fall */
        before = ms_of("other");
    }
    struct hot_series series[HOT_SERIES];
    assert_int_equal(hot_read(&hot, series), HOT_SERIES);
    assert_int_equal(sum(), 200 * 1000);
    assert_int_equal(ms_of("always"), 500 * (200 + 1 - HOT_HITS));
    assert_int_equal(ms_of("function_0"), 50 * 3); /* still there, and as it was */
}

static void the_interpreters_own_frames_count_to_their_caller(void **state)
{
    (void)state;
    for (int i = 0; i < HOT_HITS; i++) {
        struct profile *p = interval();
        const profile_id helper[] = {
            frame(p, "dict_lookup", "", "/usr/lib/libpython3.13.so.1.0", CPROF_FRAME_NATIVE, 1),
            frame(p, "Cart.total", "/srv/app.py", "", CPROF_FRAME_CPYTHON, 5)};
        const profile_id library[] = {
            frame(p, "crc32", "", "/usr/lib/libz.so.1", CPROF_FRAME_NATIVE, 1), helper[1]};
        profile_add(p, 0, profile_stack(p, helper, 2), 0, 0, (int64_t[]){1, 10 * MS});
        profile_add(p, 0, profile_stack(p, library, 2), 0, 0, (int64_t[]){1, 20 * MS});
        profile_add(p, 0, profile_stack(p, helper, 1), 0, 0, (int64_t[]){1, 30 * MS});
        count(p);
    }
    assert_int_equal(ms_of("Cart.total"), 10);
    assert_int_equal(ms_of("crc32"), 20);
    assert_int_equal(ms_of("dict_lookup"), 30);
    struct hot_series series[HOT_SERIES];
    for (size_t i = hot_read(&hot, series); i-- > 1;)
        assert_string_equal(series[i].module, strcmp(series[i].function, "Cart.total") == 0
                                                  ? "/srv/app.py"
                                              : strcmp(series[i].function, "crc32") == 0
                                                  ? "/usr/lib/libz.so.1"
                                                  : "/usr/lib/libpython3.13.so.1.0");
}

static void names_are_cut_to_whole_characters(void **state)
{
    (void)state;
    char name[256] = "";
    for (int i = 0; i < 70; i++)
        strcat(name, "\xc3\xa4"); /* two bytes each */
    for (int i = 0; i < HOT_HITS; i++) {
        struct profile *p = interval();
        run(p, name, 1, 50);
        run(p, "bad\xff", 1, 50);
        count(p);
    }
    name[126] = '\0';
    assert_int_equal(ms_of(name), 50);
    assert_int_equal(ms_of("bad?"), 50);
}

static void what_has_no_cpu_time_is_left_out(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "alloc_space", "bytes");
    profile_add(p, 0, 0, 0, 0, (int64_t[]){1000});
    count(p);
    count(interval());
    assert_int_equal(sum(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_function_gets_a_series_when_it_has_stayed_hot, begin),
        cmocka_unit_test_setup(series_stay_and_are_twenty_at_most, begin),
        cmocka_unit_test_setup(the_interpreters_own_frames_count_to_their_caller, begin),
        cmocka_unit_test_setup(names_are_cut_to_whole_characters, begin),
        cmocka_unit_test_setup(what_has_no_cpu_time_is_left_out, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
