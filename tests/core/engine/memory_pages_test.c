/* Go's pages of memory: what adds up, what stands, and what a time has changed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine/memory_pages.h"
#include "profile/measures.h"
#include "profile/profile.h"

static struct profile_location location_of(struct profile *p, const char *name,
                                           struct profile_line *line)
{
    *line = (struct profile_line){
        .function =
            profile_function(p, &(struct profile_function){.name = profile_string(p, name)})};
    return (struct profile_location){.line_count = 1, .lines = line};
}

static profile_id stack_of(struct profile *p, const char *name)
{
    struct profile_line line;
    const struct profile_location location = location_of(p, name, &line);
    profile_id id = profile_location(p, &location);
    return profile_stack(p, &id, 1);
}

/* An interval with CPU time, and the types of memory that are asked for. */
static struct profile *interval_of(bool alloc, bool heap)
{
    struct profile *p = profile_new(NULL);
    assert_int_equal(measure_fill_sheet(p, 0, "cpu", 10000000), 0);
    if (alloc)
        assert_int_equal(measure_fill_sheet(p, (size_t)profile_add_sheet(p), "alloc", 524288),
                         0);
    if (heap)
        assert_int_equal(measure_fill_sheet(p, (size_t)profile_add_sheet(p), "heap", 524288),
                         0);
    const int64_t cpu[] = {7, 70000000};
    profile_add(p, 0, stack_of(p, "busy"), 0, 0, cpu);
    return p;
}

/* Under a thread and a span of its own, as `number` says. */
static void add(struct profile *p, size_t sheet, const char *name, int number, int64_t bytes)
{
    const int64_t values[] = {1, bytes};
    const struct profile_link link = {.trace_id = {(uint8_t)number}, .span_id = {1}};
    const struct profile_label labels[] = {
        {.key = profile_string(p, "region"), .text = profile_string(p, "eu")},
        {.key = profile_string(p, "thread.id"), .number = number, .is_number = true}};
    assert_int_equal(profile_add(p, sheet, stack_of(p, name), profile_link(p, &link),
                                 profile_labels(p, labels, 2), values),
                     0);
}

static int64_t bytes_of(const struct profile *p, const char *column, const char *name)
{
    int number = profile_value_column(p, column);
    int64_t sum = 0;
    assert_true(number >= 0);
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const struct profile_stack stack = profile_get_stack(p, sample.stack);
        const struct profile_location *l = profile_get_location(p, stack.locations[0]);
        const char *function =
            profile_text(p, profile_get_function(p, l->lines[0].function)->name);
        if (strcmp(function, name) == 0)
            sum += profile_value(p, &sample, (size_t)number);
    }
    return sum;
}

static struct budget budget;

static void begin(void)
{
    budget_init(&budget, 32 << 20);
    memory_pages_reset(&budget);
}

static void end(void)
{
    memory_pages_reset(NULL);
    assert_int_equal(budget_used(&budget), 0);
}

static void allocations_add_up_and_the_heap_stands(void **state)
{
    (void)state;
    struct profile *page = NULL;
    begin();
    for (int i = 1; i <= 3; i++) {
        struct profile *p = interval_of(true, true);
        add(p, 1, "keep", i, 100);
        add(p, 1, "churn", i, 1000);
        for (int kept = 1; kept <= i; kept++)
            add(p, 2, "keep", kept, 100);
        memory_pages_count(p);
        profile_free(page);
        page = NULL;
        assert_int_equal(memory_pages_make(p, &page), 0);
        profile_free(p);
    }
    assert_int_equal(bytes_of(page, "alloc_space", "keep"), 300);
    assert_int_equal(bytes_of(page, "alloc_space", "churn"), 3000);
    assert_int_equal(bytes_of(page, "alloc_objects", "churn"), 3);
    assert_int_equal(bytes_of(page, "inuse_space", "keep"), 300);
    assert_int_equal(bytes_of(page, "inuse_space", "churn"), 0);
    assert_int_equal(profile_value_column(page, "cpu"), -1);
    /* Neither spans nor thread numbers; labels of one's own stay. */
    assert_int_equal(profile_sample_count(page), 3);
    assert_string_equal(profile_label_text(page, profile_get_sample(page, 0).labels, "region"),
                        "eu");
    profile_free(page);
    end();
}

static void a_time_shows_what_it_has_changed(void **state)
{
    (void)state;
    struct profile *before = NULL, *now = NULL;
    begin();
    struct profile *p = interval_of(true, true);
    add(p, 1, "churn", 1, 1000);
    add(p, 2, "grows", 1, 100);
    add(p, 2, "shrinks", 1, 500);
    add(p, 2, "stays", 1, 900);
    memory_pages_count(p);
    assert_int_equal(memory_pages_make(p, &before), 0);
    profile_free(p);
    p = interval_of(true, true);
    add(p, 1, "churn", 2, 250);
    add(p, 2, "grows", 2, 160);
    add(p, 2, "shrinks", 2, 200);
    add(p, 2, "stays", 2, 900);
    memory_pages_count(p);
    assert_int_equal(memory_pages_make(p, &now), 0);
    profile_free(p);
    struct profile *change = memory_pages_change(before, now);
    assert_non_null(change);
    assert_int_equal(bytes_of(change, "alloc_space", "churn"), 250);
    assert_int_equal(bytes_of(change, "inuse_space", "grows"), 60);
    assert_int_equal(bytes_of(change, "inuse_space", "shrinks"), -300);
    assert_int_equal(profile_sample_count(change), 3); /* what stays is no change */
    profile_free(change);
    profile_free(before);
    profile_free(now);
    end();
}

static void waits_for_locks_add_up_on_a_page_of_their_own(void **state)
{
    (void)state;
    struct profile *page = NULL, *before = NULL;
    begin();
    for (int i = 1; i <= 3; i++) {
        struct profile *p = interval_of(true, true);
        profile_add_sheet(p);
        assert_int_equal(measure_fill_sheet(p, 3, "lock", 1), 0);
        add(p, 3, "wait", 1, 1000 * i);
        memory_pages_count(p);
        profile_free(before);
        before = page;
        assert_int_equal(memory_pages_make_locks(p, &page), 0);
        profile_free(p);
    }
    assert_int_equal(profile_value_count(page), 2);
    assert_int_equal(bytes_of(page, "contentions", "wait"), 3);
    assert_int_equal(bytes_of(page, "delay", "wait"), 6000);
    struct profile *change = memory_pages_change(before, page);
    assert_int_equal(bytes_of(change, "delay", "wait"), 3000);
    profile_free(change);
    profile_free(before);
    profile_free(page);
    struct profile *p = interval_of(true, true);
    assert_int_equal(memory_pages_make_locks(p, &page), -ENODATA);
    profile_free(p);
    end();
}

static void types_that_are_off_are_no_columns(void **state)
{
    (void)state;
    struct profile *page = NULL, *p = interval_of(false, true);
    begin();
    add(p, 1, "keep", 1, 100);
    memory_pages_count(p);
    assert_int_equal(memory_pages_make(p, &page), 0);
    assert_int_equal(profile_value_count(page), 2);
    assert_int_equal(bytes_of(page, "inuse_space", "keep"), 100);
    profile_free(page);
    profile_free(p);
    p = interval_of(false, false);
    assert_int_equal(memory_pages_make(p, &page), -ENODATA);
    profile_free(p);
    end();
}

static void the_sum_keeps_to_its_part_of_the_memory_and_its_totals_stay_right(void **state)
{
    (void)state;
    struct profile *page = NULL;
    int64_t total = 0;
    begin();
    for (int i = 0; i < 400; i++) {
        struct profile *p = interval_of(true, false);
        for (int j = 0; j < 200; j++) {
            char name[64];
            snprintf(name, sizeof name, "a_function_with_a_rather_long_name_%d_%d", i, j);
            add(p, 1, name, 1, 10);
            total += 10;
        }
        memory_pages_count(p);
        if (i == 399)
            assert_int_equal(memory_pages_make(p, &page), 0);
        profile_free(p);
    }
    assert_true(budget_used(&budget) <= budget.limit / 8);
    int64_t sum = 0;
    int column = profile_value_column(page, "alloc_space");
    for (size_t i = 0; i < profile_sample_count(page); i++) {
        const struct profile_sample sample = profile_get_sample(page, i);
        sum += profile_value(page, &sample, (size_t)column);
    }
    assert_int_equal(sum, total);
    profile_free(page);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_add_up_and_the_heap_stands),
        cmocka_unit_test(a_time_shows_what_it_has_changed),
        cmocka_unit_test(waits_for_locks_add_up_on_a_page_of_their_own),
        cmocka_unit_test(types_that_are_off_are_no_columns),
        cmocka_unit_test(the_sum_keeps_to_its_part_of_the_memory_and_its_totals_stay_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
