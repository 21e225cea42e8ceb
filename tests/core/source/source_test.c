/* The table of sources: every row is whole, and each of a set has its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "profile/measures.h"
#include "sample/countdown.h"
#include "sample/hook.h"
#include "sample/kinds.h"
#include "sample/pauses.h"
#include "source/source.h"

static void every_source_has_words_bounds_columns_and_its_functions(void **state)
{
    (void)state;
    char names[128];
    source_names(names, sizeof names);
    for (unsigned i = 0; i < SOURCES_MAX; i++) {
        const struct source *source = source_at((enum source_number)i);
        assert_non_null(source);
        assert_int_equal(source->number, i);
        assert_ptr_equal(source_named(source->name, strlen(source->name)), source);
        assert_non_null(strstr(names, source->name));
        assert_true(source->least > 0 && source->least <= source->usual);
        assert_true(source->usual <= source->greatest);
        assert_true(source->allowed != NULL && source->allowed[0] != '\0');
        struct profile *p = profile_new(NULL);
        assert_int_equal(measure_fill_sheet(p, 0, source->name, (int64_t)source->usual), 0);
        assert_true(profile_value_count(p) >= 1 && profile_value_count(p) <= SOURCE_COLUMNS);
        profile_free(p);
        assert_non_null(source->count);
        bool makes = (source->counts & SOURCE_BIT(i)) != 0;
        const bool by_itself = makes && source->hook == NULL;
        assert_int_equal(source->open != NULL, by_itself);
        assert_int_equal(source->close != NULL, by_itself);
        assert_int_not_equal(source->counts, 0);
        assert_true(source->counts < SOURCE_BIT(SOURCES_MAX));
    }
    assert_null(source_at(SOURCES_MAX));
    assert_null(source_named("cpux", 4));
    assert_null(source_named("cp", 2));
    assert_null(source_named("", 0));
}

static void a_sample_of_cpu_time_counts_its_expiries(void **state)
{
    (void)state;
    int64_t values[SOURCE_COLUMNS] = {0};
    source_at(SOURCE_CPU)
        ->count(&(struct counted){.maker = SOURCE_CPU, .weight = 3, .period = 10000000},
                values);
    assert_int_equal(values[0], 3);
    assert_int_equal(values[1], 30000000);
    source_at(SOURCE_CPU)
        ->count(&(struct counted){.weight = UINT32_MAX, .period = 1000000000}, values);
    assert_int_equal(values[1], UINT32_MAX * INT64_C(1000000000));
}

/* What is estimated of `times` allocations of a size, by the hooks' own countdown. */
static void estimate(uint64_t size, unsigned times, uint64_t period, double *objects,
                     double *bytes)
{
    *objects = *bytes = 0;
    hook_open(CPROF_EVENT_ALLOC, SOURCE_ALLOC, period);
    for (unsigned i = 0; i < times; i++) {
        uint64_t with = cprof_due(CPROF_EVENT_ALLOC, size);
        if (with == 0)
            continue;
        int64_t values[SOURCE_COLUMNS];
        source_at(SOURCE_ALLOC)
            ->count(&(struct counted){.weight = 1, .amount = size, .period = with}, values);
        *objects += (double)values[0];
        *bytes += (double)values[1];
        (void)cprof_take(CPROF_EVENT_ALLOC, with, size, NULL, NULL); /* the next gap */
    }
    hook_close(CPROF_EVENT_ALLOC);
}

/* Over some 60,000 samples of each size: within five standard deviations, which are 2 %. */
static void allocations_of_every_size_are_estimated_without_bias(void **state)
{
    (void)state;
    const struct {
        uint64_t size;
        unsigned times;
    } of[] = {{16, 16000000}, {200, 1300000}, {4000, 100000}, {9000, 80000}, {1 << 20, 60000}};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        double objects, bytes;
        estimate(of[i].size, of[i].times, 4096, &objects, &bytes);
        double true_bytes = (double)of[i].times * (double)of[i].size;
        assert_true(fabs(objects / of[i].times - 1) < 0.021);
        assert_true(fabs(bytes / true_bytes - 1) < 0.021);
    }
}

/* The same for waits, which are counted by a hook of their own. */
static void estimate_waits(uint64_t waited, unsigned times, uint64_t period,
                           double *contentions, double *delay)
{
    *contentions = *delay = 0;
    hook_open(CPROF_EVENT_LOCK, SOURCE_LOCK, period);
    for (unsigned i = 0; i < times; i++) {
        uint64_t with = cprof_due(CPROF_EVENT_LOCK, waited);
        if (with == 0)
            continue;
        int64_t values[SOURCE_COLUMNS];
        source_at(SOURCE_LOCK)
            ->count(&(struct counted){.weight = 1, .amount = waited, .period = with}, values);
        *contentions += (double)values[0];
        *delay += (double)values[1];
        cprof_not_taken(CPROF_EVENT_LOCK);
    }
    hook_close(CPROF_EVENT_LOCK);
}

/* Over some 60,000 samples of each: within five standard deviations. */
static void waits_of_every_length_are_estimated_without_bias(void **state)
{
    (void)state;
    const struct {
        uint64_t waited;
        unsigned times;
    } of[] = {{2000, 16000000}, {50000, 1200000}, {1000000, 95000}, {20000000, 60000}};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        double contentions, delay;
        estimate_waits(of[i].waited, of[i].times, 1000000, &contentions, &delay);
        assert_true(fabs(contentions / of[i].times - 1) < 0.03);
        assert_true(fabs(delay / ((double)of[i].times * (double)of[i].waited) - 1) < 0.03);
    }
}

/* What is estimated of `count` allocations that a runtime meets with a period of its own. */
static void estimate_met(uint64_t size, unsigned count, uint64_t met, uint64_t period,
                         double *bytes)
{
    uint64_t random = 7;
    *bytes = 0;
    hook_open(CPROF_EVENT_ALLOC, SOURCE_ALLOC, period);
    for (unsigned i = 0; i < count; i++) {
        if (countdown_draw(&random, met) >= size)
            continue;
        uint64_t with = cprof_due_met(CPROF_EVENT_ALLOC, size, met);
        if (with == 0)
            continue;
        int64_t values[SOURCE_COLUMNS];
        assert_int_equal(with, period > met ? period : met);
        source_at(SOURCE_ALLOC)
            ->count(&(struct counted){.weight = 1, .amount = size, .period = with}, values);
        *bytes += (double)values[1];
    }
    hook_close(CPROF_EVENT_ALLOC);
}

/* Over some 30,000 samples of each: within five standard deviations, which are 3 %. */
static void what_a_runtime_meets_is_thinned_without_bias(void **state)
{
    (void)state;
    const struct {
        uint64_t size, met, period;
        unsigned count;
    } of[] = {{64, 4096, 4096, 2000000},
              {64, 4096, 8192, 4000000},
              {3000, 4096, 32768, 330000},
              {100000, 4096, 65536, 40000},
              {3000, 4096, 1024, 60000}};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        double bytes;
        estimate_met(of[i].size, of[i].count, of[i].met, of[i].period, &bytes);
        assert_true(fabs(bytes / ((double)of[i].count * (double)of[i].size) - 1) < 0.03);
    }
    assert_int_equal(cprof_due_met(CPROF_EVENT_ALLOC, 1 << 30, 1), 0); /* closed */
}

/* Of a million events, by the hooks' own countdown. */
static double estimated_events(uint64_t period, unsigned times)
{
    double sum = 0;
    hook_open(CPROF_EVENT_EXCEPTION, SOURCE_EXCEPTION, period);
    for (unsigned i = 0; i < times; i++) {
        uint64_t with = cprof_due(CPROF_EVENT_EXCEPTION, 1);
        if (with == 0)
            continue;
        int64_t values[SOURCE_COLUMNS];
        source_at(SOURCE_EXCEPTION)
            ->count(&(struct counted){.weight = 1, .amount = 1, .period = with}, values);
        sum += (double)values[0];
        cprof_take_kind(CPROF_EVENT_EXCEPTION, with, 1, 0,
                        &(struct cprof_registers){0}); /* the next gap */
    }
    hook_close(CPROF_EVENT_EXCEPTION);
    /* Closed, nothing is due when the last gap has ended; and what opens again begins anew. */
    uint64_t with = 0;
    for (uint64_t i = 0; with == 0 && i < 100 * period; i++)
        with = cprof_due(CPROF_EVENT_EXCEPTION, 1);
    if (with != 0)
        cprof_take_kind(CPROF_EVENT_EXCEPTION, with, 1, 0, &(struct cprof_registers){0});
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(cprof_due(CPROF_EVENT_EXCEPTION, 1), 0);
    return sum;
}

/* Within five standard deviations. */
static void one_event_in_so_many_is_met_and_stands_for_them(void **state)
{
    (void)state;
    enum { TIMES = 1000000 };
    assert_true(estimated_events(1, TIMES) == TIMES);
    const uint64_t periods[] = {2, 3, 10, 100, 1000};
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
        double period = (double)periods[i];
        double deviation = sqrt(TIMES * (period - 1));
        assert_true(fabs(estimated_events(periods[i], TIMES) - TIMES) < 5 * deviation + period);
    }
}

static void texts_have_numbers_that_stay_and_an_end(void **state)
{
    (void)state;
    char text[32], long_text[KINDS_TEXT + 2];
    uint32_t first = cprof_kind("ValueError"), numbers[KINDS_MAX];
    enum { OTHERS = 2 + 2 }; /* here, and of pauses */
    assert_int_not_equal(first, 0);
    assert_int_equal(cprof_kind("ValueError"), first);
    assert_string_equal(kinds_text(first), "ValueError");
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(strlen(kinds_text(cprof_kind(long_text))), KINDS_TEXT);
    for (unsigned i = 0; i < KINDS_MAX; i++) {
        snprintf(text, sizeof text, "E%u", i);
        numbers[i] = cprof_kind(text);
        assert_string_equal(kinds_text(numbers[i]),
                            i < KINDS_MAX - OTHERS ? text : "[overflow]");
    }
    assert_int_equal(cprof_kind("E7"), numbers[7]);
    assert_int_equal(cprof_kind("another"), numbers[KINDS_MAX - 1]);
    assert_null(kinds_text(0));
    assert_null(kinds_text(1 << 20));
}

static void end_pause(const char *kind)
{
    cprof_gc_end(cprof_kind(kind), 1, &(struct cprof_registers){0});
}

static void pauses_are_counted_by_kind_from_the_outermost_begin_to_its_end(void **state)
{
    (void)state;
    struct pauses series[PAUSES_SERIES];
    pauses_reset();
    end_pause("threshold/0"); /* began before */
    assert_int_equal(pauses_total().collections, 0);
    cprof_gc_begin();
    cprof_gc_begin();
    end_pause("threshold/0");
    assert_true(pauses_total().wall_ns == 0);
    end_pause("collect/2");
    assert_int_equal(pauses_total().collections, 2);
    assert_int_equal(pauses_read(series), 2);
    assert_string_equal(kinds_text(series[1].kind), "collect/2");
    assert_true(series[0].wall_ns == 0 && series[1].wall_ns > 0);
    assert_true(pauses_total().wall_ns == series[1].wall_ns);
    cprof_gc_begin(); /* whose end nobody tells of */
    pauses_reset();
    end_pause("threshold/0");
    assert_int_equal(pauses_total().collections, 0);
    cprof_gc_begin();
    end_pause("threshold/0");
    assert_true(pauses_total().collections == 1 && pauses_total().wall_ns > 0);
}

static int64_t first_of(enum source_number number, struct counted counted)
{
    int64_t values[SOURCE_COLUMNS] = {0};
    source_at(number)->count(&counted, values);
    return values[0];
}

static void wall_counts_cpu_time_and_waiting_alike(void **state)
{
    (void)state;
    const struct counted waited = {.maker = SOURCE_OFFCPU, .weight = 1500};
    const struct counted ran = {.maker = SOURCE_CPU, .weight = 3, .period = 10000000};
    const struct counted long_time = {.maker = SOURCE_OFFCPU, .weight = UINT32_MAX};
    assert_int_equal(first_of(SOURCE_OFFCPU, waited), 1500000);
    assert_int_equal(first_of(SOURCE_WALL, waited), 1500000);
    assert_int_equal(first_of(SOURCE_WALL, ran), 30000000);
    assert_int_equal(first_of(SOURCE_OFFCPU, long_time), UINT32_MAX * INT64_C(1000));
}

static void what_makes_a_source_s_records_runs_at_its_own_period(void **state)
{
    (void)state;
    struct source_set set = {.period = {[SOURCE_WALL] = 50}};
    source_set_plan(&set, 10);
    assert_int_equal(set.making[SOURCE_CPU], 10);
    assert_int_equal(set.making[SOURCE_OFFCPU], 50);
    assert_int_equal(set.making[SOURCE_WALL], 0);
    assert_true(source_counts(&set, SOURCE_WALL, SOURCE_CPU));
    assert_true(source_counts(&set, SOURCE_WALL, SOURCE_OFFCPU));
    assert_false(source_counts(&set, SOURCE_CPU, SOURCE_CPU));
    set.failed[SOURCE_OFFCPU] = true; /* it could not be opened */
    assert_false(source_counts(&set, SOURCE_WALL, SOURCE_CPU));
    set = (struct source_set){.period = {[SOURCE_CPU] = 7, [SOURCE_WALL] = 50}};
    source_set_plan(&set, 10);
    assert_int_equal(set.making[SOURCE_CPU], 7);
    set = (struct source_set){.period = {[SOURCE_CPU] = 7}};
    source_set_plan(&set, 10);
    assert_int_equal(set.making[SOURCE_OFFCPU], 0);
}

static void each_source_of_a_set_has_its_sheet(void **state)
{
    (void)state;
    struct source_set set = {0};
    assert_true(source_set_empty(&set));
    for (unsigned i = 0; i < SOURCES_MAX; i++) {
        set.period[i] = source_at((enum source_number)i)->usual;
        assert_false(source_set_empty(&set));
        assert_int_equal(source_sheet(&set, (enum source_number)i), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_source_has_words_bounds_columns_and_its_functions),
        cmocka_unit_test(a_sample_of_cpu_time_counts_its_expiries),
        cmocka_unit_test(allocations_of_every_size_are_estimated_without_bias),
        cmocka_unit_test(waits_of_every_length_are_estimated_without_bias),
        cmocka_unit_test(what_a_runtime_meets_is_thinned_without_bias),
        cmocka_unit_test(one_event_in_so_many_is_met_and_stands_for_them),
        cmocka_unit_test(pauses_are_counted_by_kind_from_the_outermost_begin_to_its_end),
        cmocka_unit_test(texts_have_numbers_that_stay_and_an_end),
        cmocka_unit_test(wall_counts_cpu_time_and_waiting_alike),
        cmocka_unit_test(what_makes_a_source_s_records_runs_at_its_own_period),
        cmocka_unit_test(each_source_of_a_set_has_its_sheet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
