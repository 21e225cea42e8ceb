/* Gathering when names never end, and when the memory does. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>

#include "collect/gather.h"

#define DEPTH 100

static struct budget budget, spare; /* the latter a share of the former, all reserved */
static struct profile *model;
static struct gather *gather;

/* ---- a runtime whose tokens are their names ---- */

static bool unborn; /* no token has its name yet */

static int resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    static char name[32];
    if (unborn)
        return -EAGAIN;
    snprintf(name, sizeof name, "code.%llu", (unsigned long long)frame->token);
    *function = (struct cprof_function){
        .name = name, .file = "churn.src", .line = 1, .type = CPROF_FRAME_CPYTHON};
    return 0;
}

/* Odd and even numbers are the same labels told by two numbers. */
static void labels(uint32_t set,
                   void (*each)(void *closure, const char *key, const char *value),
                   void *closure)
{
    char value[16];
    snprintf(value, sizeof value, "%u", set / 2);
    each(closure, "request", value);
}

static const struct cprof_runtime runtime = {
    .name = "churn", .resolve = resolve, .labels = labels};

static const struct source_set cpu_only = {.period[SOURCE_CPU] = 10000000,
                                           .making[SOURCE_CPU] = 10000000};

static void begin(size_t limit)
{
    budget_init(&budget, limit);
    budget_reserve_share(&spare, &budget, 16);
    model = profile_new(NULL);
    profile_add_value_type(model, 0, "samples", "count");
    profile_add_value_type(model, 0, "cpu", "nanoseconds");
    const struct gather_config config = {.budget = &budget,
                                         .spare = &spare,
                                         .runtime = &runtime,
                                         .model = model,
                                         .sources = &cpu_only,
                                         .max_frames = DEPTH};
    gather = gather_new(&config);
    assert_non_null(gather);
}

static void end(void)
{
    gather_free(gather);
    profile_free(model);
    budget_release_share(&spare);
    assert_int_equal(budget_used(&budget), 0);
}

/* A sample of `depth` frames; `first` is the token of the innermost, the next ones follow. */
static void add_sample_in(struct cprof_context context, uint64_t first, uint16_t depth)
{
    static const struct module_map nothing_mapped;
    static struct thread record_of;
    const struct thread_view thread = {.thread = &record_of, .id = 1, .identity = 1};
    struct {
        struct record record;
        struct cprof_frame frames[DEPTH];
    } sample = {.record = {.size = (uint32_t)(sizeof(struct record) +
                                              depth * sizeof(struct cprof_frame)),
                           .weight = 1,
                           .context = context,
                           .frame_count = depth,
                           .native_end = WALK_COMPLETE,
                           .frames_complete = true}};
    for (uint16_t i = 0; i < depth; i++)
        sample.frames[i] = (struct cprof_frame){.token = first + i};
    assert_int_not_equal(gather_add(gather, &thread, &sample.record, &nothing_mapped, false),
                         -EAGAIN);
    assert_true(budget_used(&budget) <= budget.limit);
}

static void add_sample(uint64_t first, uint16_t depth)
{
    add_sample_in((struct cprof_context){0}, first, depth);
}

static const char *leaf_name(const struct profile *p, const struct profile_sample *sample)
{
    const struct profile_stack stack = profile_get_stack(p, sample->stack);
    const struct profile_location *leaf = profile_get_location(p, stack.locations[0]);
    return profile_text(p, profile_get_function(p, leaf->lines[0].function)->name);
}

static int64_t samples_in(const struct profile *p, const char *leaf)
{
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        if (leaf == NULL || strcmp(leaf_name(p, &sample), leaf) == 0)
            sum += sample.values[0];
    }
    return sum;
}

/* ---- tests ---- */

/* Days of a service that makes code with ever-new names: the dictionary fills up and begins
 * afresh many times. */
static void a_million_names_stay_within_the_limit_and_the_newest_are_right(void **state)
{
    enum { INTERVALS = 1000, SAMPLES = 1000, RIGHT = 990 };
    uint64_t token = 0;
    int64_t named = 0;
    (void)state;
    begin((size_t)4 << 20);
    for (int interval = 0; interval < INTERVALS; interval++) {
        const uint64_t first = token;
        for (int i = 0; i < SAMPLES; i++)
            add_sample(token++, 1);
        struct profile *p = gather_close(gather);
        assert_non_null(p);
        assert_int_equal(samples_in(p, NULL), SAMPLES);
        named += SAMPLES - samples_in(p, PROFILE_OVERFLOW);
        char newest[32];
        snprintf(newest, sizeof newest, "code.%llu", (unsigned long long)first);
        assert_int_equal(samples_in(p, newest), 1);
        profile_free(p);
    }
    assert_true(named >= (int64_t)RIGHT * INTERVALS);
    end();
}

static void without_memory_every_sample_is_counted_on_the_overflow_stack(void **state)
{
    enum { SAMPLES = 20000 };
    (void)state;
    begin((size_t)1 << 20);
    for (uint64_t i = 0; i < SAMPLES; i++)
        add_sample(i * 7919, DEPTH);
    struct gather_counts counts;
    gather_count(gather, &counts);
    assert_int_equal(counts.samples, SAMPLES);
    assert_int_equal(counts.failed, 0);
    struct profile *p = gather_close(gather);
    assert_non_null(p);
    assert_int_equal(samples_in(p, NULL), SAMPLES);
    assert_true(samples_in(p, PROFILE_OVERFLOW) > SAMPLES / 2);
    profile_free(p);
    /* With the memory back, names come back. */
    add_sample(1, 1);
    p = gather_close(gather);
    assert_non_null(p);
    assert_int_equal(samples_in(p, "code.1"), 1);
    profile_free(p);
    end();
}

/* All but `rest` bytes, as others do. Returns how much. */
static size_t use_up(size_t rest)
{
    size_t taken = budget_left(&budget) - rest;
    assert_true(budget_take(&budget, taken));
    return taken;
}

/* How much others have given back by the time of the cut is a matter of luck. */
static void a_cut_has_room_for_stacks_however_little_is_left(void **state)
{
    (void)state;
    for (size_t rest = 0; rest < 32768; rest += 256) {
        begin((size_t)8 << 20);
        add_sample(1, DEPTH);
        size_t taken = use_up(rest);
        struct profile *before = gather_cut(gather);
        assert_non_null(before);
        add_sample(1, DEPTH);
        struct profile *cut = gather_cut(gather);
        assert_non_null(cut);
        assert_int_equal(samples_in(cut, "code.1"), 1);
        profile_free(before);
        profile_free(cut);
        budget_give(&budget, taken);
        end();
    }
}

/* Cuts, and others take at once what that has freed. Returns how much. */
static size_t cut_and_use_up(void)
{
    profile_free(gather_cut(gather));
    return use_up(0);
}

static int64_t running_in(const char *leaf)
{
    uint64_t interval;
    return samples_in(gather_running(gather, &interval), leaf);
}

static void names_that_are_known_stay_where_there_is_no_memory_for_new_ones(void **state)
{
    enum { KNOWN = 200 };
    (void)state;
    begin((size_t)8 << 20);
    for (uint64_t token = 0; token < KNOWN; token++)
        add_sample(token, 1);
    size_t taken = use_up(0);
    taken += cut_and_use_up();
    for (uint64_t token = KNOWN; running_in(PROFILE_OVERFLOW) == 0; token++)
        add_sample(token, 1);
    for (int interval = 0; interval < 3; interval++) {
        taken += cut_and_use_up();
        for (uint64_t token = 0; token < KNOWN; token++)
            add_sample(token, 1);
        assert_int_equal(running_in("code.199"), 1);
        assert_int_equal(running_in(PROFILE_OVERFLOW), 0);
    }
    budget_give(&budget, taken);
    /* With the memory back, new ones are named too. */
    profile_free(gather_close(gather));
    add_sample(1000000, 1);
    assert_int_equal(running_in("code.1000000"), 1);
    end();
}

static int64_t samples_labelled(const struct profile *p, const char *key, const char *value)
{
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const char *label = profile_label_text(p, sample.labels, key);
        if (label != NULL && (value == NULL || strcmp(label, value) == 0))
            sum += sample.values[0];
    }
    return sum;
}

static void label_sets_past_the_limit_of_an_interval_are_merged_and_counted(void **state)
{
    enum { KEPT = 1024, MORE = 500 };
    struct gather_counts counts;
    (void)state;
    begin((size_t)16 << 20);
    for (uint32_t set = 2; set < 2 + 2 * (KEPT + MORE); set++)
        add_sample_in((struct cprof_context){.label_set = set}, 1, 1);
    add_sample_in((struct cprof_context){.label_set = 2}, 1, 1);
    gather_count(gather, &counts);
    assert_int_equal(counts.unlabelled, 2 * MORE);
    struct profile *p = gather_close(gather);
    assert_non_null(p);
    assert_int_equal(samples_in(p, NULL), 2 * (KEPT + MORE) + 1);
    assert_int_equal(samples_labelled(p, "labels", PROFILE_OVERFLOW), 2 * MORE);
    assert_int_equal(samples_labelled(p, "request", NULL), 2 * KEPT + 1);
    assert_int_equal(samples_labelled(p, "request", "1"), 3);
    profile_free(p);
    /* Each interval has its own first ones. */
    add_sample_in((struct cprof_context){.label_set = 2 * (KEPT + MORE)}, 1, 1);
    p = gather_close(gather);
    assert_int_equal(samples_labelled(p, "request", NULL), 1);
    profile_free(p);
    end();
}

static void a_span_that_cannot_be_read_costs_the_link_and_not_the_sample(void **state)
{
    struct gather_counts counts;
    (void)state;
    begin((size_t)16 << 20);
    add_sample_in((struct cprof_context){.unreadable = true}, 1, 1);
    add_sample_in((struct cprof_context){.trace_id = {1}, .span_id = {2}}, 1, 1);
    gather_count(gather, &counts);
    assert_int_equal(counts.samples, 2);
    assert_int_equal(counts.unlinked, 1);
    struct profile *p = gather_close(gather);
    assert_int_equal(samples_in(p, NULL), 2);
    assert_int_equal(profile_link_count(p), 2);
    profile_free(p);
    end();
}

static void name_that_comes_later_is_given_to_the_next_sample_of_the_same_stack(void **state)
{
    (void)state;
    begin((size_t)16 << 20);
    unborn = true;
    add_sample(1, 3);
    unborn = false;
    add_sample(1, 3);
    add_sample(1, 3);
    struct profile *p = gather_close(gather);
    assert_int_equal(samples_in(p, "[unknown]"), 1);
    assert_int_equal(samples_in(p, "code.1"), 2);
    profile_free(p);
    end();
}

static void stacks_that_come_again_count_in_each_interval(void **state)
{
    (void)state;
    begin((size_t)16 << 20);
    for (int interval = 0; interval < 3; interval++) {
        for (int i = 0; i < 10; i++) {
            add_sample(1, 3);
            add_sample(2, 3);
        }
        add_sample(100 + (uint64_t)interval, 3); /* others come first the next time */
        struct profile *p = gather_close(gather);
        assert_int_equal(samples_in(p, "code.1"), 10);
        assert_int_equal(samples_in(p, "code.2"), 10);
        assert_int_equal(samples_in(p, NULL), 21);
        profile_free(p);
        add_sample(200 + (uint64_t)interval, 1);
        profile_free(gather_close(gather));
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_names_stay_within_the_limit_and_the_newest_are_right),
        cmocka_unit_test(without_memory_every_sample_is_counted_on_the_overflow_stack),
        cmocka_unit_test(a_cut_has_room_for_stacks_however_little_is_left),
        cmocka_unit_test(names_that_are_known_stay_where_there_is_no_memory_for_new_ones),
        cmocka_unit_test(label_sets_past_the_limit_of_an_interval_are_merged_and_counted),
        cmocka_unit_test(a_span_that_cannot_be_read_costs_the_link_and_not_the_sample),
        cmocka_unit_test(name_that_comes_later_is_given_to_the_next_sample_of_the_same_stack),
        cmocka_unit_test(stacks_that_come_again_count_in_each_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
