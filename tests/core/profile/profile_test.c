/* The tables of a profile, its samples, and what happens when its memory is spent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "profile/profile.h"
#include "samples.h"

static void equal_content_gets_one_id(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_id a = profile_string(p, "alpha"), b = profile_string_n(p, "alphabet", 5);
    assert_int_equal(a, b);
    assert_int_not_equal(a, profile_string(p, "beta"));
    assert_string_equal(profile_text(p, a), "alpha");
    profile_id x = named_location(p, "f", 1), y = named_location(p, "f", 1);
    assert_int_equal(x, y);
    assert_int_not_equal(x, named_location(p, "f", 2));
    assert_int_equal(profile_stack(p, &x, 1), profile_stack(p, &y, 1));
    profile_free(p);
}

static void nothing_is_id_zero(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    assert_int_equal(profile_string(p, ""), 0);
    assert_int_equal(profile_mapping(p, &(struct profile_mapping){0}), 0);
    assert_int_equal(profile_function(p, &(struct profile_function){0}), 0);
    assert_int_equal(profile_stack(p, NULL, 0), 0);
    assert_int_equal(profile_link(p, &(struct profile_link){0}), 0);
    assert_int_equal(profile_labels(p, NULL, 0), 0);
    assert_int_not_equal(profile_location(p, &(struct profile_location){0}), 0);
    assert_string_equal(profile_text(p, 0), "");
    assert_int_equal(profile_error(p), 0);
    profile_free(p);
}

static void a_wrong_id_reads_as_nothing(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    assert_string_equal(profile_text(p, 12345), "");
    assert_int_equal(profile_get_stack(p, 12345).depth, 0);
    assert_int_equal(profile_get_function(p, UINT32_MAX)->name, 0);
    profile_free(p);
}

static void strings_keep_what_follows_a_nul(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_id a = profile_string_n(p, "x\0y", 3);
    assert_int_not_equal(a, profile_string(p, "x"));
    assert_int_equal(profile_text_length(p, a), 3);
    assert_memory_equal(profile_text(p, a), "x\0y", 4);
    profile_free(p);
}

static void samples_of_one_stack_link_and_labels_add_up(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_id location = named_location(p, "f", 1), stack = profile_stack(p, &location, 1);
    profile_id link = profile_link(p, &(struct profile_link){{1}, {2}});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(profile_add(p, 0, stack, 0, 0, (int64_t[]){1, 10}), 0);
        assert_int_equal(profile_add(p, 0, stack, link, 0, (int64_t[]){2, 20}), 0);
    }
    assert_int_equal(profile_sample_count(p), 2);
    assert_int_equal(profile_get_sample(p, 0).values[1], 30);
    assert_int_equal(profile_get_sample(p, 1).values[0], 6);
    profile_free(p);
}

static void sums_stop_at_the_ends_of_their_type(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_add(p, 0, 0, 0, 0, (int64_t[]){INT64_MAX, INT64_MIN});
    profile_add(p, 0, 0, 0, 0, (int64_t[]){1, -1});
    assert_int_equal(profile_get_sample(p, 0).values[0], INT64_MAX);
    assert_int_equal(profile_get_sample(p, 0).values[1], INT64_MIN);
    profile_free(p);
}

static void labels_are_sorted_and_the_last_of_a_key_wins(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_id b = profile_string(p, "b"), a = profile_string(p, "a");
    struct profile_label labels[40] = {{.key = b, .text = a}, {.key = a, .text = b}};
    for (int i = 2; i < 40; i++)
        labels[i] = (struct profile_label){.key = b, .number = i, .is_number = true};
    struct profile_label_set set = profile_get_labels(p, profile_labels(p, labels, 40));
    assert_int_equal(set.count, 2);
    assert_int_equal(set.labels[0].key, a);
    assert_int_equal(set.labels[1].number, 39);
    profile_id few = profile_labels(p, labels, 2);
    assert_string_equal(profile_label_text(p, few, "b"), "a");
    assert_null(profile_label_text(p, few, "c"));
    profile_free(p);
}

static void a_column_added_late_is_zero_in_earlier_samples(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 1, 100);
    size_t samples = profile_sample_count(p);
    int64_t total = column_total(p, 1);
    assert_int_equal(profile_add_value_type(p, 0, "alloc", "bytes"), 0);
    assert_int_equal(profile_add_value_type(p, 0, "alloc", "bytes"), -EEXIST);
    assert_int_equal(profile_value_column(p, "alloc"), 2);
    assert_int_equal(profile_sample_count(p), samples);
    assert_int_equal(column_total(p, 1), total);
    assert_int_equal(column_total(p, 2), 0);
    profile_free(p);
}

static void there_is_a_most_of_columns(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    char name[16];
    for (int i = 0; i < PROFILE_MAX_VALUES; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(profile_add_value_type(p, 0, name, "count"), 0);
    }
    assert_int_equal(profile_add_value_type(p, 0, "more", "count"), -ENOSPC);
    profile_free(p);
}

static void setting_an_attribute_again_replaces_it(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    assert_int_equal(profile_set_text(p, PROFILE_RESOURCE, "k", "one"), 0);
    assert_int_equal(profile_set_number(p, PROFILE_RESOURCE, "k", 2), 0);
    assert_int_equal(profile_attribute_count(p, PROFILE_RESOURCE), 1);
    assert_int_equal(profile_attribute(p, PROFILE_RESOURCE, 0)->number, 2);
    profile_set_text(p, PROFILE_COMMENTS, "", "a");
    profile_set_text(p, PROFILE_COMMENTS, "", "b");
    profile_set_text(p, PROFILE_COMMENTS, "", "a");
    assert_int_equal(profile_attribute_count(p, PROFILE_COMMENTS), 2);
    profile_remove_attribute(p, PROFILE_COMMENTS, 0);
    assert_string_equal(profile_text(p, profile_attribute(p, PROFILE_COMMENTS, 0)->text), "b");
    profile_free(p);
}

static void attributes_have_a_most(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    char key[16];
    for (int i = 0; i < PROFILE_MAX_ATTRIBUTES; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(profile_set_number(p, PROFILE_RESOURCE, key, i), 0);
    }
    assert_int_equal(profile_set_number(p, PROFILE_RESOURCE, "more", 0), -ENOSPC);
    assert_int_equal(profile_error(p), 0);
    profile_free(p);
}

/* What a user would notice: a profile that runs out of memory still tells the right totals. */
static void totals_are_right_whatever_the_budget(void **state)
{
    (void)state;
    struct profile *whole = cpu_profile(NULL);
    add_random_samples(whole, 7, 2000);
    size_t overflowed = 0;
    for (size_t limit = 4096; limit < 400000; limit += limit / 7) {
        struct budget budget;
        budget_init(&budget, limit);
        struct profile *p = cpu_profile(&budget);
        if (p == NULL || profile_value_count(p) != 2) {
            profile_free(p);
            continue;
        }
        add_random_samples(p, 7, 2000);
        assert_true(budget_used(&budget) <= limit);
        assert_int_equal(profile_memory(p), budget_used(&budget));
        assert_int_equal(column_total(p, 0), column_total(whole, 0));
        assert_int_equal(column_total(p, 1), column_total(whole, 1));
        if (profile_error(p) == -ENOMEM) {
            struct profile_sample last = profile_get_sample(p, profile_sample_count(p) - 1);
            struct profile_stack stack = profile_get_stack(p, last.stack);
            const struct profile_location *location =
                profile_get_location(p, stack.locations[0]);
            const struct profile_function *function =
                profile_get_function(p, location->lines[0].function);
            assert_string_equal(profile_text(p, function->name), PROFILE_OVERFLOW);
            overflowed++;
        }
        profile_free(p);
        assert_int_equal(budget_used(&budget), 0);
    }
    assert_true(overflowed > 10);
    profile_free(whole);
}

static void known_stacks_are_counted_when_memory_is_spent(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    struct profile *p = cpu_profile(&budget);
    profile_id location = named_location(p, "known", 1), stack = profile_stack(p, &location, 1);
    assert_int_equal(profile_add(p, 0, stack, 0, 0, (int64_t[]){1, 1}), 0);
    budget.limit = budget_used(&budget);
    char name[32];
    int status = 0;
    for (int i = 0; i < 1000 && status == 0; i++) {
        snprintf(name, sizeof(name), "new%d", i);
        profile_id other = named_location(p, name, i);
        status = profile_add(p, 0, profile_stack(p, &other, 1), 0, 0, (int64_t[]){1, 1});
    }
    assert_int_equal(status, -ENOMEM);
    assert_int_equal(profile_error(p), -ENOMEM);
    location = named_location(p, "known", 1);
    assert_int_equal(profile_stack(p, &location, 1), stack);
    assert_int_equal(profile_add(p, 0, stack, 0, 0, (int64_t[]){1, 1}), 0);
    assert_int_equal(profile_get_sample(p, 0).values[0], 2);
    assert_int_equal(profile_error(p), -ENOMEM);
    profile_free(p);
}

static void a_stack_with_a_refused_frame_is_not_a_shorter_stack(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_id frames[] = {named_location(p, "a", 1), 0, named_location(p, "b", 1)};
    assert_int_equal(profile_stack(p, frames, 3), 0);
    assert_int_equal(profile_add(p, 0, 0, 0, 0, (int64_t[]){1, 1}), -ENOMEM);
    assert_int_equal(profile_sample_count(p), 1);
    assert_int_not_equal(profile_get_sample(p, 0).stack, 0);
    assert_int_equal(profile_add(p, 0, 0, 0, 0, (int64_t[]){1, 1}), 0);
    profile_free(p);
}

/* The samples of a profile as entries for another, which gets its locations first: those of 4
 * frames and fewer, so that some come twice. */
static size_t make_entries(struct profile *p, profile_id frames[][4],
                           struct profile_entry *entries, size_t count)
{
    uint64_t random = 11;
    char name[16];
    for (size_t i = 0; i < count; i++) {
        uint32_t depth = next_random(&random, 5);
        for (uint32_t k = 0; k < depth; k++) {
            snprintf(name, sizeof(name), "f%u", next_random(&random, 6));
            frames[i][k] = named_location(p, name, 1);
        }
        entries[i] = (struct profile_entry){
            .stack = {.depth = depth, .locations = frames[i]},
            .values = {(int64_t)i, (int64_t)(i * i)},
        };
    }
    return count;
}

static void samples_added_together_are_those_added_one_by_one(void **state)
{
    (void)state;
    static profile_id frames[1000][4];
    static struct profile_entry entries[1000];
    struct profile *one = cpu_profile(NULL), *many = cpu_profile(NULL);
    size_t count = make_entries(one, frames, entries, 1000);
    make_entries(many, frames, entries, 1000);
    for (size_t i = 0; i < count; i++)
        profile_add(one, 0,
                    profile_stack(one, entries[i].stack.locations, entries[i].stack.depth), 0,
                    0, entries[i].values);
    assert_int_equal(profile_add_entries(many, 0, entries, count), 0);
    assert_int_equal(profile_sample_count(many), profile_sample_count(one));
    for (size_t i = 0; i < profile_sample_count(one); i++) {
        struct profile_sample x = profile_get_sample(one, i), y = profile_get_sample(many, i);
        assert_int_equal(x.stack, y.stack);
        assert_int_equal(x.values[0], y.values[0]);
        assert_int_equal(x.values[1], y.values[1]);
    }
    profile_free(one);
    profile_free(many);
}

static void totals_of_samples_added_together_are_right_whatever_the_budget(void **state)
{
    (void)state;
    static profile_id frames[300][4];
    static struct profile_entry entries[300];
    size_t refused = 0;
    for (size_t limit = 2000; limit < 40000; limit += 111) {
        struct budget budget;
        budget_init(&budget, 0);
        struct profile *p = cpu_profile(&budget);
        size_t count = make_entries(p, frames, entries, 300);
        budget.limit = budget_used(&budget) + limit;
        entries[77].stack.depth = 1;
        frames[77][0] = limit % 2 ? frames[78][0] : 0; /* a location that had no room */
        int status = profile_add_entries(p, 0, entries, count);
        assert_true(status == 0 || status == -ENOMEM);
        assert_int_equal(status == 0, profile_error(p) == 0);
        assert_int_equal(column_total(p, 0), 300 * 299 / 2);
        refused += status != 0;
        profile_free(p);
        assert_int_equal(budget_used(&budget), 0);
    }
    assert_true(refused > 10);
}

static void a_unique_stack_of_30_frames_takes_less_than_318_bytes(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_id locations[300], frames[30];
    char name[16];
    uint64_t random = 3;
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        locations[i] = named_location(p, name, i);
    }
    size_t before = profile_memory(p);
    for (int i = 0; i < 5000; i++) {
        for (int k = 0; k < 30; k++)
            frames[k] = locations[next_random(&random, 300)];
        profile_add(p, 0, profile_stack(p, frames, 30), 0, 0, (int64_t[]){1, 1});
    }
    assert_int_equal(profile_sample_count(p), 5000);
    assert_true((profile_memory(p) - before) / 5000 < 318);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_content_gets_one_id),
        cmocka_unit_test(nothing_is_id_zero),
        cmocka_unit_test(a_wrong_id_reads_as_nothing),
        cmocka_unit_test(strings_keep_what_follows_a_nul),
        cmocka_unit_test(samples_of_one_stack_link_and_labels_add_up),
        cmocka_unit_test(sums_stop_at_the_ends_of_their_type),
        cmocka_unit_test(labels_are_sorted_and_the_last_of_a_key_wins),
        cmocka_unit_test(a_column_added_late_is_zero_in_earlier_samples),
        cmocka_unit_test(there_is_a_most_of_columns),
        cmocka_unit_test(setting_an_attribute_again_replaces_it),
        cmocka_unit_test(attributes_have_a_most),
        cmocka_unit_test(totals_are_right_whatever_the_budget),
        cmocka_unit_test(known_stacks_are_counted_when_memory_is_spent),
        cmocka_unit_test(a_stack_with_a_refused_frame_is_not_a_shorter_stack),
        cmocka_unit_test(samples_added_together_are_those_added_one_by_one),
        cmocka_unit_test(totals_of_samples_added_together_are_right_whatever_the_budget),
        cmocka_unit_test(a_unique_stack_of_30_frames_takes_less_than_318_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
