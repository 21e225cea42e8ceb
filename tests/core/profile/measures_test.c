/* The table of measures: each that the interface names is in it, and says what readers need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "profile/measures.h"
#include "profile/unit.h"
#include "samples.h"

static void every_source_has_columns_that_say_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *source, *first, *last, *period, *series;
        bool level;
    } sources[] = {
        {"cpu", "samples", "cpu", "cpu", "process_cpu", false},
        {"offcpu", "off_cpu", "off_cpu", "off_cpu", "off_cpu", false},
        {"wall", "wall", "wall", "wall", "wall", false},
        {"alloc", "alloc_objects", "alloc_space", "space", "memory", false},
        {"heap", "inuse_objects", "inuse_space", "space", "memory", true},
        {"lock", "contentions", "delay", "contentions", "mutex", false},
        {"blame", "blamed", "blame", "blame", "mutex_blame", false},
        {"exception", "exceptions", "exceptions", "exceptions", "exception", false},
        {"gc", "gc_pauses", "gc_pause", "gc_pauses", "gc", false},
    };
    char names[128], expected[] = "cpu, offcpu, wall, alloc, heap, lock, blame, exception, gc";
    measure_sources(names, sizeof(names));
    assert_string_equal(names, expected);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct profile *p = profile_new(NULL);
        assert_true(measure_is_source(sources[i].source, strlen(sources[i].source)));
        assert_int_equal(measure_fill_sheet(p, 0, sources[i].source, 100), 0);
        assert_string_equal(profile_text(p, profile_period(p, 0)->type.type),
                            sources[i].period);
        bool is_lock = strcmp(sources[i].source, "lock") == 0; /* as Go's */
        assert_int_equal(profile_period(p, 0)->value, is_lock ? 1 : 100);
        assert_string_equal(profile_type(p, 0), sources[i].first);
        assert_string_equal(profile_type(p, profile_value_count(p) - 1), sources[i].last);
        assert_string_equal(measure_series(p, 0), sources[i].series);
        for (size_t k = 0; k < profile_value_count(p); k++)
            assert_int_equal(measure_is_level(profile_type(p, k)), sources[i].level);
        profile_free(p);
    }
    assert_false(measure_is_source("cp", 2));
    assert_false(measure_is_source("", 0));
}

static void every_row_is_whole(void **state)
{
    (void)state;
    const struct measure *row;
    for (size_t i = 0; (row = measure_at(i)) != NULL; i++) {
        const bool prefix = strchr(row->type, '*') != NULL;
        assert_true(prefix || measure_find(row->type) == row); /* none hides another */
        if (row->source != NULL)
            assert_true(row->unit != NULL && row->series != NULL);
        if (row->unit != NULL)
            assert_true(unit_find(row->unit) != NULL || strcmp(row->unit, "count") == 0);
    }
}

static void levels_of_other_profilers_are_known(void **state)
{
    (void)state;
    static const char *const levels[] = {"goroutine", "goroutines", "threadcreate", "heap",
                                         "inuse_x",   "live_bytes", "threads"};
    static const char *const flows[] = {"alloc_space", "samples", "cpu", "heaps", "live", ""};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        assert_true(measure_is_level(levels[i]));
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
        assert_false(measure_is_level(flows[i]));
    assert_string_equal(measure_words("cpu"), "CPU");
    assert_string_equal(measure_words("cycles"), "cycles");
}

static void a_sheet_is_named_by_its_own_columns(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    assert_int_equal(measure_fill_sheet(p, (size_t)profile_add_sheet(p), "heap", 1), 0);
    profile_add_value_type(p, (size_t)profile_add_sheet(p), "cycles", "count");
    assert_string_equal(measure_series(p, 0), "process_cpu");
    assert_string_equal(measure_series(p, 1), "memory");
    assert_string_equal(measure_series(p, 2), "process_cpu"); /* not known */
    profile_add_value_type(p, 0, "wall", "nanoseconds");      /* as Node's have it beside */
    assert_string_equal(measure_series(p, 0), "wall");
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_source_has_columns_that_say_what_they_are),
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(levels_of_other_profilers_are_known),
        cmocka_unit_test(a_sheet_is_named_by_its_own_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
