/* The live heap: which blocks are in an interval's sheet, and how old they are said to be. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "collect/blocks.h"
#include "profile/age.h"
#include "sample/live.h"

#define MINUTE (60 * NS_PER_SECOND)
#define HOUR (60 * MINUTE)
#define BEGIN (5 * HOUR)

static struct budget budget;
static struct profile *model;
static struct blocks blocks;

static int begin(void **state)
{
    (void)state;
    budget_init(&budget, 32 << 20);
    model = profile_new(NULL);
    profile_add_value_type(model, 0, "inuse_objects", "count");
    profile_add_value_type(model, 0, "inuse_space", "bytes");
    return blocks_init(&blocks, model, &budget);
}

static int end(void **state)
{
    (void)state;
    blocks_free(&blocks);
    profile_free(model);
    return 0;
}

static profile_id stack_of(struct profile *p, const char *name)
{
    const profile_id text = profile_string(p, name);
    const struct profile_function function = {.name = text, .system_name = text};
    const struct profile_line line = {.function = profile_function(p, &function)};
    const struct profile_location location = {.line_count = 1, .lines = &line};
    const profile_id leaf = profile_location(p, &location);
    return profile_stack(p, &leaf, 1);
}

/* `key` may be NULL: no label. */
static profile_id label_of(struct profile *p, const char *key, const char *value)
{
    if (key == NULL)
        return 0;
    const struct profile_label label = {.key = profile_string(p, key),
                                        .text = profile_string(p, value)};
    return profile_labels(p, &label, 1);
}

static void allocate(struct profile *p, uintptr_t address, uint64_t time, int64_t bytes,
                     const char *key)
{
    const struct live_place place = live_add((void *)(address * 16));
    assert_int_not_equal(place.block, 0);
    blocks_add(&blocks, &(struct allocated){.stack = stack_of(p, "keep"),
                                            .labels = label_of(p, key, "mine"),
                                            .slot = place.block - 1,
                                            .time = time,
                                            .objects = 1,
                                            .bytes = bytes});
}

/* The bytes of the samples that carry that label; NULL: none of that key. */
static int64_t bytes_with(const struct profile *p, const char *key, const char *word)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const char *text = profile_label_text(p, sample.labels, key);
        if (word == NULL ? text == NULL : text != NULL && strcmp(text, word) == 0)
            bytes += profile_value(p, &sample, 1);
    }
    return bytes;
}

static struct profile *new_interval(void)
{
    return profile_new_like(model, NULL);
}

static void blocks_are_told_by_their_age(void **state)
{
    (void)state;
    static const struct {
        uint64_t passed;
        const char *word;
    } steps[] = {{0, NULL},
                 {59 * NS_PER_SECOND, NULL},
                 {MINUTE, "1m"},
                 {599 * NS_PER_SECOND, "1m"},
                 {10 * MINUTE, "10m"},
                 {HOUR, "1h"},
                 {23 * HOUR, "1h"},
                 {24 * HOUR, "1d"},
                 {2400 * HOUR, "1d"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct profile *p = new_interval();
        if (i == 0)
            allocate(p, 1, BEGIN, 4096, NULL);
        blocks_close(&blocks, p, 0, BEGIN + steps[i].passed, false);
        assert_int_equal(profile_sample_count(p), 1);
        assert_int_equal(bytes_with(p, AGE_LABEL, steps[i].word), 4096);
        profile_free(p);
    }
}

static void one_stack_has_its_ages_apart_and_its_labels_beside(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    for (uintptr_t i = 0; i < 300; i++)
        allocate(p, 1 + i, BEGIN + i * MINUTE, 1000, i % 2 == 0 ? "tenant" : NULL);
    blocks_close(&blocks, p, 0, BEGIN + 300 * MINUTE, true);
    assert_int_equal(profile_sample_count(p), 2 * 3);
    assert_int_equal(bytes_with(p, AGE_LABEL, "1m"), 9 * 1000);
    assert_int_equal(bytes_with(p, AGE_LABEL, "10m"), 50 * 1000);
    assert_int_equal(bytes_with(p, AGE_LABEL, "1h"), 241 * 1000);
    assert_int_equal(bytes_with(p, "tenant", "mine"), 150 * 1000);
    profile_free(p);
}

static void a_label_of_the_programs_own_stays(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    allocate(p, 1, BEGIN, 4096, AGE_LABEL);
    blocks_close(&blocks, p, 0, BEGIN + HOUR, true);
    assert_int_equal(bytes_with(p, AGE_LABEL, "mine"), 4096);
    profile_free(p);
}

static void what_is_freed_is_gone_at_the_end(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    for (uintptr_t i = 1; i <= 10; i++)
        allocate(p, i, BEGIN, 100, NULL);
    for (uintptr_t i = 1; i <= 4; i++)
        cprof_freed((void *)(i * 16));
    blocks_close(&blocks, p, 0, BEGIN, false);
    assert_int_equal(bytes_with(p, AGE_LABEL, NULL), 600);
    profile_free(p);
    for (uintptr_t i = 5; i <= 10; i++)
        cprof_freed((void *)(i * 16));
    p = new_interval();
    blocks_close(&blocks, p, 0, BEGIN + HOUR, false);
    assert_int_equal(profile_sample_count(p), 0);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_are_told_by_their_age, begin, end),
        cmocka_unit_test_setup_teardown(one_stack_has_its_ages_apart_and_its_labels_beside,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_label_of_the_programs_own_stays, begin, end),
        cmocka_unit_test_setup_teardown(what_is_freed_is_gone_at_the_end, begin, end),
    };
    return cmocka_run_group_tests_name("collect/blocks", tests, NULL, NULL);
}
