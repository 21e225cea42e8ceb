/* Profiles of several sheets: columns and periods of their own over one dictionary. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "profile/combine.h"
#include "profile/fold.h"
#include "profile/pair.h"
#include "samples.h"

enum { CPU, HEAP };

/* Sheets cpu and heap. Each stack has a sample in one or both. */
static struct profile *two_sheets(struct budget *budget)
{
    struct profile *p = cpu_profile(budget);
    assert_int_equal(profile_add_sheet(p), HEAP);
    profile_add_value_type(p, HEAP, "inuse_objects", "count");
    profile_add_value_type(p, HEAP, "inuse_space", "bytes");
    profile_set_period(p, HEAP, "space", "bytes", 524288);
    return p;
}

static void add_both(struct profile *p, int count)
{
    for (int i = 0; i < count; i++) {
        profile_id location = named_location(p, "f", i), stack = profile_stack(p, &location, 1);
        if (i % 3 != 0)
            profile_add(p, CPU, stack, 0, 0, (int64_t[]){i, i * 10000000});
        if (i % 3 != 1)
            profile_add(p, HEAP, stack, 0, 0, (int64_t[]){1, 100 * i});
    }
}

static void assert_period(const struct profile *p, const char *type, int64_t value)
{
    const size_t sheet = profile_column_sheet(p, (size_t)profile_value_column(p, type));
    assert_int_equal(profile_period_const(p, sheet)->value, value);
}

static int64_t total_of(const struct profile *p, const char *type)
{
    return column_total(p, (size_t)profile_value_column(p, type));
}

static void a_sheet_has_columns_and_a_period_of_its_own(void **state)
{
    (void)state;
    struct profile *p = two_sheets(NULL);
    add_both(p, 9);
    assert_int_equal(profile_value_count(p), 4);
    assert_int_equal(profile_column_sheet(p, 1), CPU);
    assert_int_equal(profile_column_sheet(p, 2), HEAP);
    assert_int_equal(profile_sample_count(p), 12);
    assert_int_equal(profile_first_sample(p, HEAP), 6);
    assert_int_equal(profile_stack_count(p), 1 + 1 + 9); /* "", "[overflow]" and one each */
    assert_int_equal(total_of(p, "samples"), 1 + 2 + 4 + 5 + 7 + 8);
    assert_int_equal(total_of(p, "inuse_space"), 100 * (0 + 2 + 3 + 5 + 6 + 8));
    assert_period(p, "cpu", 10000000);
    assert_period(p, "inuse_space", 524288);
    profile_free(p);
}

static void no_two_columns_are_of_one_type_whatever_their_sheet(void **state)
{
    (void)state;
    struct profile *p = two_sheets(NULL);
    assert_int_equal(profile_add_value_type(p, HEAP, "cpu", "nanoseconds"), -EEXIST);
    assert_int_equal(profile_add_value_type(p, HEAP, "cpu", "count"), 0);
    for (int i = 2; i < PROFILE_SHEETS_MAX; i++)
        assert_int_equal(profile_add_sheet(p), i);
    assert_int_equal(profile_add_sheet(p), -ENOSPC);
    profile_free(p);
}

static void rows_are_the_samples_of_all_sheets_once(void **state)
{
    (void)state;
    struct profile *p = two_sheets(NULL);
    add_both(p, 9);
    int64_t totals[4] = {0};
    size_t rows = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        struct profile_sample sample;
        int64_t values[PROFILE_MAX_VALUES];
        if (!profile_get_row(p, i, &sample, values))
            continue;
        rows++;
        for (size_t k = 0; k < 4; k++)
            totals[k] += values[k];
    }
    assert_int_equal(rows, 9);
    for (size_t k = 0; k < 4; k++)
        assert_int_equal(totals[k], column_total(p, k));
    profile_free(p);
}

static void a_row_is_shared_out_to_its_sheets(void **state)
{
    (void)state;
    struct profile *p = two_sheets(NULL);
    const int64_t both[] = {1, 10, 2, 200}, heap[] = {0, 0, 3, 300}, nothing[4] = {0};
    profile_id location = named_location(p, "f", 1), stack = profile_stack(p, &location, 1);
    profile_add_row(p, 0, 0, 0, 0, both);
    profile_add_row(p, 0, stack, 0, 0, heap);
    assert_int_equal(profile_first_sample(p, HEAP), 1);
    assert_int_equal(profile_sample_count(p), 3);
    profile_id other = named_location(p, "g", 1);
    const struct profile_entry entry = {.stack = {1, &other}};
    profile_add_row(p, 3, profile_stack(p, &other, 1), 0, 0, nothing);
    profile_add_entries(p, 1, &entry, 1);
    assert_int_equal(profile_first_sample(p, HEAP), 2); /* zeros: once in either sheet */
    assert_int_equal(profile_sample_count(p), 5);
    assert_int_equal(total_of(p, "samples"), 1);
    assert_int_equal(total_of(p, "inuse_space"), 500);
    profile_free(p);
}

/* The totals of each sheet hold, whatever has no room, in whichever of them. */
static void overflow_of_one_sheet_is_none_of_the_others(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 100000);
    struct profile *p = two_sheets(&budget);
    profile_add(p, HEAP, 0, 0, 0, (int64_t[]){1, 50});
    int status = 0, count = 0;
    while (status == 0 && count < 100000) {
        profile_id location = named_location(p, "f", count);
        status = profile_add(p, CPU, profile_stack(p, &location, 1), 0, 0, (int64_t[]){1, 10});
        count++;
    }
    assert_int_equal(status, -ENOMEM);
    assert_int_equal(total_of(p, "samples"), count);
    assert_int_equal(total_of(p, "cpu"), 10 * count);
    assert_int_equal(profile_add(p, HEAP, 0, 0, 0, (int64_t[]){2, 60}), 0);
    assert_int_equal(total_of(p, "inuse_space"), 110);
    assert_int_equal(profile_sample_count(p), profile_first_sample(p, HEAP) + 1);
    /* A row that stands on what had no room is counted in both. */
    profile_id refused = named_location(p, "one more", count);
    status =
        profile_add_row(p, 0, profile_stack(p, &refused, 1), 0, 0, (int64_t[]){1, 10, 3, 70});
    assert_int_equal(status, -ENOMEM);
    assert_int_equal(total_of(p, "samples"), count + 1);
    assert_int_equal(total_of(p, "inuse_space"), 180);
    assert_int_equal(profile_sample_count(p), profile_first_sample(p, HEAP) + 2);
    struct profile_sample last = profile_get_sample(p, profile_first_sample(p, HEAP) - 1);
    const struct profile_location *frame =
        profile_get_location(p, profile_get_stack(p, last.stack).locations[0]);
    assert_string_equal(
        profile_text(p, profile_get_function(p, frame->lines[0].function)->name),
        PROFILE_OVERFLOW);
    profile_free(p);
    assert_int_equal(budget.used, 0);
}

/* --- whole profiles --- */

static void assert_totals(const struct profile *p, int times)
{
    struct profile *once = two_sheets(NULL);
    add_both(once, 9);
    for (size_t i = 0; i < profile_value_count(once); i++)
        assert_int_equal(total_of(p, profile_type(once, i)), times * column_total(once, i));
    profile_free(once);
}

static struct profile *with_samples(void)
{
    struct profile *p = two_sheets(NULL);
    add_both(p, 9);
    return p;
}

/* What cpu.pb.gz holds when somebody else's tool has put all into one. */
static struct profile *in_one_sheet(void)
{
    struct profile *both = with_samples(), *p = cpu_profile(NULL);
    profile_add_value_type(p, 0, "inuse_objects", "count");
    profile_add_value_type(p, 0, "inuse_space", "bytes");
    assert_int_equal(profile_merge(p, both), 0);
    profile_free(both);
    return p;
}

static struct profile *heap_alone(void)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "inuse_objects", "count");
    profile_add_value_type(p, 0, "inuse_space", "bytes");
    profile_set_period(p, 0, "space", "bytes", 524288);
    profile_add(p, 0, 0, 0, 0, (int64_t[]){7, 700});
    return p;
}

static void sheets_merge_by_their_columns(void **state)
{
    (void)state;
    struct profile *p = with_samples(), *same = with_samples(), *heap = heap_alone();
    assert_int_equal(profile_merge(p, same), 0);
    assert_totals(p, 2);
    assert_int_equal(profile_merge(p, heap), 0);
    assert_int_equal(profile_sheet_count(p), 2);
    assert_int_equal(total_of(p, "inuse_space"), 2 * total_of(same, "inuse_space") + 700);
    assert_period(p, "cpu", 10000000);
    assert_period(p, "inuse_space", 524288);
    profile_free(heap);
    profile_free(same);
    profile_free(p);
}

static void a_sheet_that_shares_no_column_keeps_its_period(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL), *heap = heap_alone();
    add_random_samples(p, 1, 20);
    for (int turn = 0; turn < 2; turn++) {
        struct profile *sum = profile_new(NULL);
        assert_int_equal(profile_merge(sum, turn == 0 ? p : heap), 0);
        assert_int_equal(profile_merge(sum, turn == 0 ? heap : p), 0);
        assert_int_equal(profile_sheet_count(sum), 2);
        assert_period(sum, "cpu", 10000000);
        assert_period(sum, "inuse_space", 524288);
        assert_int_equal(total_of(sum, "inuse_objects"), 7);
        assert_int_equal(total_of(sum, "cpu"), total_of(p, "cpu"));
        profile_free(sum);
    }
    profile_free(heap);
    profile_free(p);
}

static void one_sheet_and_several_with_its_columns_merge_both_ways(void **state)
{
    (void)state;
    struct profile *one = in_one_sheet(), *two = with_samples();
    assert_int_equal(profile_sheet_count(one), 1);
    assert_totals(one, 1);
    assert_int_equal(profile_merge(one, two), 0);
    assert_int_equal(profile_sheet_count(one), 1);
    assert_int_equal(profile_sample_count(one), 9);
    assert_totals(one, 2);
    assert_period(one, "cpu", 10000000); /* that of the first that came to it */
    assert_int_equal(profile_merge(two, one), 0);
    assert_int_equal(profile_sheet_count(two), 2);
    assert_int_equal(profile_sample_count(two), 12);
    assert_totals(two, 3);
    assert_period(two, "inuse_space", 524288);
    profile_free(two);
    profile_free(one);
}

static void copies_keep_the_sheets(void **state)
{
    (void)state;
    static const struct profile_filter all;
    struct profile *p = with_samples();
    struct profile *copies[] = {profile_compact(p), profile_select(p, &all), profile_fold(p),
                                profile_slice(p, 0, 12)};
    for (size_t i = 0; i < sizeof(copies) / sizeof(*copies); i++) {
        assert_int_equal(profile_sheet_count(copies[i]), 2);
        assert_int_equal(profile_sample_count(copies[i]), 12);
        assert_totals(copies[i], 1);
        assert_period(copies[i], "cpu", 10000000);
        assert_period(copies[i], "inuse_space", 524288);
        profile_free(copies[i]);
    }
    profile_free(p);
}

static void slices_that_cut_through_a_sheet_add_up(void **state)
{
    (void)state;
    struct profile *p = with_samples(), *sum = profile_new(NULL);
    static const size_t cuts[] = {0, 4, 8, 12};
    for (int i = 0; i < 3; i++) {
        struct profile *slice = profile_slice(p, cuts[i], cuts[i + 1]);
        assert_int_equal(profile_sample_count(slice), 4);
        assert_int_equal(profile_merge(sum, slice), 0);
        profile_free(slice);
    }
    assert_totals(sum, 1);
    profile_free(sum);
    profile_free(p);
}

static void a_comparison_is_of_one_sheet_and_its_period(void **state)
{
    (void)state;
    struct profile *p = with_samples();
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", 100);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.timer_overruns", 50);
    const size_t cpu = 1, space = 3;
    profile_id kept = named_location(p, "kept", 1);
    profile_add(p, HEAP, profile_stack(p, &kept, 1), 0, 0, (int64_t[]){1, 3 * 524288});
    const struct pair_side heap = {p, space}, time = {p, cpu};
    struct profile *of_heap = profile_pair(&heap, &heap), *of_time = profile_pair(&time, &time);
    assert_int_equal(profile_sample_count(of_heap), 7);
    assert_int_equal(column_total(of_heap, PAIR_NEW), column_total(p, space));
    assert_int_equal(column_total(of_heap, PAIR_NEW_SAMPLES),
                     3); /* the others: less than one */
    assert_int_equal(profile_sample_count(of_time), 6);
    assert_int_equal(column_total(of_time, PAIR_NEW_SAMPLES), column_total(p, 0));
    assert_true(pair_weight(p, cpu) == 2);
    assert_true(pair_weight(p, space) == 1); /* no timer's */
    profile_free(of_heap);
    profile_free(of_time);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sheet_has_columns_and_a_period_of_its_own),
        cmocka_unit_test(no_two_columns_are_of_one_type_whatever_their_sheet),
        cmocka_unit_test(rows_are_the_samples_of_all_sheets_once),
        cmocka_unit_test(a_row_is_shared_out_to_its_sheets),
        cmocka_unit_test(overflow_of_one_sheet_is_none_of_the_others),
        cmocka_unit_test(sheets_merge_by_their_columns),
        cmocka_unit_test(a_sheet_that_shares_no_column_keeps_its_period),
        cmocka_unit_test(one_sheet_and_several_with_its_columns_merge_both_ways),
        cmocka_unit_test(copies_keep_the_sheets),
        cmocka_unit_test(a_comparison_is_of_one_sheet_and_its_period),
        cmocka_unit_test(slices_that_cut_through_a_sheet_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
