/* Merge, select, compact: properties that hold for random profiles. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "format/format.h"
#include "profile/combine.h"
#include "samples.h"

static struct profile *random_profile(uint64_t seed)
{
    uint64_t random = seed;
    struct profile *p = cpu_profile(NULL);
    struct profile_header *h = profile_header(p);
    h->time_ns += next_random(&random, 100000);
    h->duration_ns += next_random(&random, 100000);
    profile_period(p, 0)->value = next_random(&random, 3) ? 10000000 : 5000000;
    char text[32];
    snprintf(text, sizeof(text), "host-%u", next_random(&random, 2));
    profile_set_text(p, PROFILE_RESOURCE, "host.name", text);
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", next_random(&random, 2));
    profile_set_text(p, PROFILE_COMMENTS, "", text);
    if (next_random(&random, 4) != 0) {
        profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", next_random(&random, 500));
        profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.stacks", next_random(&random, 50));
    }
    static const char *const units[] = {"bytes", "kB", "MiB"};
    if (next_random(&random, 3) == 0)
        profile_add_value_type(p, 0, "alloc", units[next_random(&random, 3)]);
    for (size_t i = profile_value_count(p); i > 2; i--) {
        profile_id location = named_location(p, "malloc", 1);
        profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){0, 0, 4096});
    }
    if (profile_value_count(p) == 2)
        add_random_samples(p, seed, next_random(&random, 200));
    return p;
}

/* Equal content has equal bytes once it is in canonical order. */
static void assert_same_profile(const struct profile *a, const struct profile *b)
{
    struct profile *x = profile_compact(a), *y = profile_compact(b);
    struct buffer left = {0}, right = {0};
    assert_int_equal(format_pprof.write(x, &left), 0);
    assert_int_equal(format_pprof.write(y, &right), 0);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    buffer_free(&left);
    buffer_free(&right);
    profile_free(x);
    profile_free(y);
}

static struct profile *merged(uint64_t a, uint64_t b, uint64_t c, bool right_first)
{
    struct profile *x = random_profile(a), *y = random_profile(b), *z = random_profile(c);
    if (right_first) {
        assert_int_equal(profile_merge(y, z), 0);
        assert_int_equal(profile_merge(x, y), 0);
    } else {
        assert_int_equal(profile_merge(x, y), 0);
        assert_int_equal(profile_merge(x, z), 0);
    }
    profile_free(y);
    profile_free(z);
    return x;
}

static void merge_is_associative_and_commutative(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 150; seed += 3) {
        struct profile *p = merged(seed, seed + 1, seed + 2, false);
        struct profile *others[] = {
            merged(seed, seed + 1, seed + 2, true),
            merged(seed + 2, seed, seed + 1, false),
            merged(seed + 1, seed + 2, seed, true),
        };
        for (int i = 0; i < 3; i++) {
            assert_same_profile(p, others[i]);
            profile_free(others[i]);
        }
        profile_free(p);
    }
}

static void merging_into_a_blank_profile_copies(void **state)
{
    (void)state;
    struct profile *blank = profile_new(NULL), *p = random_profile(5);
    assert_int_equal(profile_merge(blank, p), 0);
    assert_same_profile(blank, p);
    struct profile *nothing = profile_new(NULL);
    assert_int_equal(profile_merge(p, nothing), 0);
    assert_same_profile(blank, p);
    profile_free(blank);
    profile_free(nothing);
    profile_free(p);
}

static void merged_totals_are_the_sums(void **state)
{
    (void)state;
    struct profile *a = cpu_profile(NULL), *b = cpu_profile(NULL);
    add_random_samples(a, 1, 300);
    add_random_samples(b, 2, 300);
    int64_t sum = column_total(a, 1) + column_total(b, 1);
    assert_int_equal(profile_merge(a, b), 0);
    assert_int_equal(column_total(a, 1), sum);
    profile_free(a);
    profile_free(b);
}

static void merged_totals_are_right_under_a_tiny_budget(void **state)
{
    (void)state;
    struct profile *source = cpu_profile(NULL);
    add_random_samples(source, 3, 500);
    for (size_t limit = 6000; limit < 100000; limit += 3000) {
        struct budget budget;
        budget_init(&budget, limit);
        struct profile *target = cpu_profile(&budget);
        if (target != NULL && profile_value_count(target) == 2) {
            profile_merge(target, source);
            assert_int_equal(column_total(target, 1), column_total(source, 1));
        }
        profile_free(target);
    }
    profile_free(source);
}

/* One column of `value`, which is also the period. */
static struct profile *in_unit(const char *type, const char *unit, int64_t value)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, type, unit);
    profile_period(p, 0)->type = profile_value_type(p, 0);
    profile_period(p, 0)->value = value;
    profile_add(p, 0, 0, 0, 0, &value);
    return p;
}

static void units_of_one_kind_are_one_column(void **state)
{
    (void)state;
    const struct {
        const char *a, *b;
        int64_t of_a, of_b;
        const char *sum; /* NULL: two columns */
    } cases[] = {
        {"nanoseconds", "microseconds", 10000, 10, "nanoseconds"},
        {"ns", "nanoseconds", 7, 7, "nanoseconds"},
        {"ms", "seconds", 2000, 2, "milliseconds"},
        {"hours", "min", 1, 60, "minutes"},
        {"kB", "MiB", 2048, 2, "kilobytes"},
        {"bytes", "TB", INT64_C(1) << 40, 1, "bytes"},
        {"us", "us", 5, 5, "us"},
        {"cycles", "cycles", 5, 5, "cycles"},
        {"cycles", "count", 5, 5, NULL},
        {"nanoseconds", "bytes", 5, 5, NULL},
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        struct profile *both[] = {in_unit("work", cases[i / 2].a, cases[i / 2].of_a),
                                  in_unit("work", cases[i / 2].b, cases[i / 2].of_b)};
        struct profile *to = both[i % 2], *from = both[1 - i % 2];
        const int64_t a = cases[i / 2].of_a, b = cases[i / 2].of_b, finer = a > b ? a : b;
        const bool one = cases[i / 2].sum != NULL;
        assert_int_equal(profile_merge(to, from), 0);
        assert_int_equal(profile_value_count(to), one ? 1 : 2);
        assert_int_equal(column_total(to, 0), one ? 2 * finer : 5);
        assert_int_equal(profile_sheet_count(to), one ? 1 : 2);
        assert_int_equal(profile_period(to, 0)->value, one ? finer : 5);
        if (one)
            assert_string_equal(profile_unit(to, 0), cases[i / 2].sum);
        profile_free(to);
        profile_free(from);
    }
}

/* A profile that tells two units of one type apart itself keeps them apart. */
static void both_units_of_one_profile_stay(void **state)
{
    (void)state;
    struct profile *both = in_unit("cpu", "ms", 3), *one = in_unit("cpu", "us", 4000);
    profile_add_value_type(both, 0, "cpu", "us");
    profile_add(both, 0, 0, 0, 0, (int64_t[]){0, 5});
    assert_int_equal(profile_merge(both, one), 0);
    assert_int_equal(profile_value_count(both), 2);
    assert_int_equal(column_total(both, 0), 3);
    assert_int_equal(column_total(both, 1), 4005);
    assert_int_equal(profile_merge(one, both), 0);
    assert_int_equal(column_total(one, 0), 8005);
    assert_int_equal(column_total(one, 1), 3);
    profile_free(both);
    profile_free(one);
}

static void scaled_values_stay_within_their_type(void **state)
{
    (void)state;
    struct profile *a = in_unit("cpu", "hours", INT64_MAX / 2), *b = in_unit("cpu", "ns", 1);
    assert_int_equal(profile_merge(a, b), 0);
    assert_true(column_total(a, 0) == INT64_MAX);
    profile_free(a);
    profile_free(b);
}

static void a_period_or_attribute_that_differs_becomes_unknown(void **state)
{
    (void)state;
    struct profile *a = cpu_profile(NULL), *b = cpu_profile(NULL);
    profile_period(b, 0)->value = 1;
    profile_header(b)->time_ns += 5000000000ULL;
    profile_set_text(a, PROFILE_RESOURCE, "service.name", "x");
    profile_set_text(b, PROFILE_RESOURCE, "service.name", "x");
    profile_set_number(a, PROFILE_RESOURCE, "process.pid", 1);
    profile_set_number(b, PROFILE_RESOURCE, "process.pid", 2);
    assert_int_equal(profile_merge(a, b), 0);
    assert_int_equal(profile_period(a, 0)->value, 0);
    assert_int_equal(profile_header(a)->duration_ns, 15000000000ULL);
    assert_int_equal(profile_attribute_count(a, PROFILE_RESOURCE), 1);
    profile_free(a);
    profile_free(b);
}

static void set_metrics(struct profile *p, int64_t samples, int64_t threads, int64_t mean,
                        int64_t max)
{
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", samples);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.threads", threads);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.handler_ns_mean", mean);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.handler_ns_max", max);
}

/* -1 when there is none. */
static int64_t attribute_number(const struct profile *p, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_ATTRIBUTES, i);
        if (strcmp(profile_text(p, attribute->key), key) == 0)
            return attribute->number;
    }
    return -1;
}

static void metrics_of_several_intervals_tell_of_all_of_them(void **state)
{
    (void)state;
    struct profile *run = profile_new(NULL);
    const int64_t intervals[][4] = {
        {100, 4, 2000, 9000}, {300, 9, 1000, 5000}, {0, 1, 0, 0}, {100, 2, 1500, 7000}};
    for (size_t i = 0; i < sizeof(intervals) / sizeof(*intervals); i++) {
        const int64_t *m = intervals[i];
        struct profile *interval = cpu_profile(NULL);
        set_metrics(interval, m[0], m[1], m[2], m[3]);
        profile_set_number(interval, PROFILE_ATTRIBUTES, "cprof.unheard_of", m[0]);
        profile_set_number(interval, PROFILE_ATTRIBUTES, "cprof.threads_without_kernel", m[1]);
        assert_int_equal(profile_merge(run, interval), 0);
        profile_free(interval);
    }
    assert_int_equal(attribute_number(run, "cprof.samples"), 500);
    assert_int_equal(attribute_number(run, "cprof.threads"), 9);
    assert_int_equal(attribute_number(run, "cprof.handler_ns_mean"), 1300);
    assert_int_equal(attribute_number(run, "cprof.handler_ns_max"), 9000);
    assert_int_equal(attribute_number(run, "cprof.threads_without_kernel"), 9);
    assert_int_equal(attribute_number(run, "cprof.unheard_of"), -1); /* they disagree */
    profile_free(run);
}

static void equal_metrics_add_up_too(void **state)
{
    (void)state;
    struct profile *a = cpu_profile(NULL), *b = cpu_profile(NULL);
    set_metrics(a, 50, 3, 1000, 2000);
    set_metrics(b, 50, 3, 1000, 2000);
    assert_int_equal(profile_merge(a, b), 0);
    assert_int_equal(attribute_number(a, "cprof.samples"), 100);
    assert_int_equal(attribute_number(a, "cprof.threads"), 3);
    profile_free(a);
    profile_free(b);
}

static void a_side_without_metrics_takes_none_away(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct profile *ours = cpu_profile(NULL), *foreign = cpu_profile(NULL);
        struct profile *to = order ? ours : foreign, *from = order ? foreign : ours;
        set_metrics(ours, 50, 3, 1000, 2000);
        assert_int_equal(profile_merge(to, from), 0);
        assert_int_equal(attribute_number(to, "cprof.samples"), 50);
        assert_int_equal(attribute_number(to, "cprof.handler_ns_mean"), 1000);
        profile_free(ours);
        profile_free(foreign);
    }
}

static void hostile_metrics_stay_within_their_type(void **state)
{
    (void)state;
    struct profile *a = cpu_profile(NULL), *b = cpu_profile(NULL);
    set_metrics(a, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN);
    set_metrics(b, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MAX);
    assert_int_equal(profile_merge(a, b), 0);
    assert_true(attribute_number(a, "cprof.samples") == INT64_MAX);
    assert_true(attribute_number(a, "cprof.handler_ns_mean") == INT64_MAX);
    assert_true(attribute_number(a, "cprof.handler_ns_max") == INT64_MAX);
    profile_free(a);
    profile_free(b);
}

static void what_had_no_room_is_told_apart_from_nothing_added(void **state)
{
    (void)state;
    struct profile *source = cpu_profile(NULL);
    add_random_samples(source, 3, 500);
    struct budget budget;
    budget_init(&budget, 16000);
    struct profile *target = cpu_profile(&budget);
    assert_int_equal(profile_merge(target, source), -EOVERFLOW);
    assert_int_equal(column_total(target, 1), column_total(source, 1));
    profile_free(target);
    profile_free(source);
}

static void too_many_columns_are_refused_with_nothing_added(void **state)
{
    (void)state;
    struct profile *a = cpu_profile(NULL), *b = profile_new(NULL);
    add_random_samples(a, 1, 10);
    size_t samples = profile_sample_count(a);
    char name[16];
    for (int i = 0; i < PROFILE_MAX_VALUES; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        profile_add_value_type(b, 0, name, "count");
    }
    profile_add(b, 0, 0, 0, 0, (int64_t[PROFILE_MAX_VALUES]){1});
    assert_int_equal(profile_merge(a, b), -ENOSPC);
    assert_int_equal(profile_sample_count(a), samples);
    profile_free(a);
    profile_free(b);
}

static void compacting_drops_what_no_sample_reaches(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 9, 50);
    struct profile *before = profile_compact(p);
    named_location(p, "nobody calls this", 1);
    struct profile *after = profile_compact(p);
    assert_int_equal(profile_string_count(before), profile_string_count(after));
    assert_int_equal(profile_location_count(before), profile_location_count(after));
    assert_same_profile(before, p);
    profile_free(before);
    profile_free(after);
    profile_free(p);
}

/* Every sample is either in the selection or in what the others selected. */
static void selections_by_thread_add_up_to_the_whole(void **state)
{
    (void)state;
    static const char *const threads[] = {"worker-0", "worker-1", "worker-2"};
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 11, 400);
    int64_t named = 0, total = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        struct profile_sample sample = profile_get_sample(p, i);
        if (profile_label_text(p, sample.labels, "thread.name") != NULL)
            named += sample.values[0];
    }
    for (int i = 0; i < 3; i++) {
        struct profile *one = profile_select(p, &(struct profile_filter){.thread = threads[i]});
        assert_true(profile_sample_count(one) > 0);
        total += column_total(one, 0);
        profile_free(one);
    }
    assert_true(named > 0);
    assert_int_equal(total, named);
    profile_free(p);
}

static void selects_by_trace_span_and_label(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    struct profile_label label = {
        .key = profile_string(p, "n"), .number = 7, .is_number = true};
    profile_id link = profile_link(p, &(struct profile_link){{0xab}, {0xcd}});
    profile_add(p, 0, 0, link, 0, (int64_t[]){1, 0});
    profile_add(p, 0, 0, 0, profile_labels(p, &label, 1), (int64_t[]){2, 0});
    const struct {
        struct profile_filter filter;
        int64_t total;
    } cases[] = {
        {{0}, 3},
        {{.trace_id = "ab000000000000000000000000000000"}, 1},
        {{.span_id = "cd00000000000000"}, 1},
        {{.span_id = "cd00000000000001"}, 0},
        {{.labels = {{.key = "n"}}, .label_count = 1}, 2},
        {{.labels = {{"n", "7", false}}, .label_count = 1}, 2},
        {{.labels = {{"n", "7", true}}, .label_count = 1}, 1},
        {{.labels = {{"n", "7", false}, {"n", "8", true}}, .label_count = 2}, 2},
        {{.labels = {{"n", "7", false}, {"n", "8", false}}, .label_count = 2}, 0},
        {{.labels = {{"n", "8", false}}, .label_count = 1}, 0},
        {{.labels = {{.key = "n"}}, .label_count = 1, .span_id = "cd00000000000000"}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct profile *selected = profile_select(p, &cases[i].filter);
        assert_int_equal(column_total(selected, 0), cases[i].total);
        profile_free(selected);
    }
    profile_free(p);
}

/* Of a sheet that has both, each sample goes where it has a value, or to both. */
static void parts_add_up_and_have_metrics_once(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    profile_add_value_type(p, 0, "inuse_space", "bytes");
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", 3);
    profile_add(p, 0, 0, 0, 0, (int64_t[]){1, 0});
    profile_add(p, 0, 0, profile_link(p, &(struct profile_link){{0xab}, {0xcd}}), 0,
                (int64_t[]){0, 20});
    struct profile *flows = profile_part(p, false), *levels = profile_part(p, true);
    assert_true(profile_has_levels(p));
    assert_int_equal(profile_sample_count(flows), 1);
    assert_int_equal(profile_sample_count(levels), 1);
    assert_int_equal(column_total(flows, 0), 1);
    assert_int_equal(column_total(flows, 1), 0);
    assert_int_equal(column_total(levels, 0), 0);
    assert_int_equal(column_total(levels, 1), 20);
    assert_int_equal(profile_attribute_count(levels, PROFILE_ATTRIBUTES), 0);
    assert_int_equal(profile_merge(flows, levels), 0);
    assert_int_equal(column_total(flows, 1), 20);
    assert_int_equal(profile_attribute(flows, PROFILE_ATTRIBUTES, 0)->number, 3);
    profile_free(flows);
    profile_free(levels);
    profile_free(p);
}

/* Merging twice with a label tells both apart; what has the label already keeps its own. */
static void labelled_merges_can_be_taken_apart_again(void **state)
{
    (void)state;
    struct profile *parts[] = {cpu_profile(NULL), cpu_profile(NULL)};
    static const char *const texts[] = {"first", "second"};
    struct profile *sum = profile_new(NULL), *again = profile_new(NULL);
    add_random_samples(parts[0], 21, 300);
    add_random_samples(parts[1], 22, 200);
    for (int i = 0; i < 2; i++)
        assert_int_equal(profile_merge_labelled(sum, parts[i], "part", texts[i]), 0);
    assert_int_equal(profile_merge_labelled(again, sum, "part", "third"), 0);
    for (int i = 0; i < 2; i++) {
        struct profile_filter filter = {.labels = {{"part", texts[i], false}},
                                        .label_count = 1};
        struct profile *part = profile_select(again, &filter);
        assert_true(column_total(part, 0) > 0);
        assert_int_equal(column_total(part, 0), column_total(parts[i], 0));
        assert_int_equal(column_total(part, 1), column_total(parts[i], 1));
        profile_free(part);
    }
    assert_int_equal(column_total(again, 1),
                     column_total(parts[0], 1) + column_total(parts[1], 1));
    for (int i = 0; i < 2; i++)
        profile_free(parts[i]);
    profile_free(sum);
    profile_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_is_associative_and_commutative),
        cmocka_unit_test(merging_into_a_blank_profile_copies),
        cmocka_unit_test(merged_totals_are_the_sums),
        cmocka_unit_test(merged_totals_are_right_under_a_tiny_budget),
        cmocka_unit_test(units_of_one_kind_are_one_column),
        cmocka_unit_test(both_units_of_one_profile_stay),
        cmocka_unit_test(scaled_values_stay_within_their_type),
        cmocka_unit_test(a_period_or_attribute_that_differs_becomes_unknown),
        cmocka_unit_test(metrics_of_several_intervals_tell_of_all_of_them),
        cmocka_unit_test(equal_metrics_add_up_too),
        cmocka_unit_test(a_side_without_metrics_takes_none_away),
        cmocka_unit_test(hostile_metrics_stay_within_their_type),
        cmocka_unit_test(what_had_no_room_is_told_apart_from_nothing_added),
        cmocka_unit_test(too_many_columns_are_refused_with_nothing_added),
        cmocka_unit_test(compacting_drops_what_no_sample_reaches),
        cmocka_unit_test(selections_by_thread_add_up_to_the_whole),
        cmocka_unit_test(selects_by_trace_span_and_label),
        cmocka_unit_test(parts_add_up_and_have_metrics_once),
        cmocka_unit_test(labelled_merges_can_be_taken_apart_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
