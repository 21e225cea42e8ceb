/* Recalled stacks: what is the same stack, and what is another. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collect/recall.h"

enum { NATIVE = 3, FRAMES = 3 };

struct sample {
    struct record record;
    struct native_frame native[NATIVE];
    struct cprof_frame frames[FRAMES];
};

/* The same calls on a stack that begins at `sp`. */
static struct sample sample_at(uint64_t sp)
{
    return (struct sample){
        .record = {.sp = sp,
                   .weight = 1,
                   .native_count = NATIVE,
                   .frame_count = FRAMES,
                   .native_end = WALK_COMPLETE,
                   .frames_complete = true},
        .native = {{.pc = 0x1000, .cfa = sp + 16},
                   {.pc = 0x2000, .cfa = sp + 64},
                   {.pc = 0x3000, .cfa = sp + 96}},
        .frames = {{.token = 1, .position = 10, .stack = CPROF_STACK_INHERIT},
                   {.token = 2, .position = 20, .stack = sp + 24},
                   {.token = 3, .position = 30, .stack = CPROF_STACK_BOUNDARY}}};
}

static void the_same_calls_are_one_stack_wherever_they_are_made(void **state)
{
    struct sample here = sample_at(0x7f0000001000), there = sample_at(0x7f00deadb000);
    there.record.weight = 7;
    there.record.time_ns = 99;
    there.record.context.label_set = 5;
    (void)state;
    assert_int_not_equal(recall_key(&here.record), 0);
    assert_true(recall_key(&here.record) == recall_key(&there.record));
}

static void assert_other(const struct sample *changed)
{
    struct sample usual = sample_at(0x7f0000001000);
    assert_true(recall_key(&usual.record) != recall_key(&changed->record));
}

#define OTHER_WITH(member, value)                                                              \
    do {                                                                                       \
        struct sample changed = sample_at(0x7f0000001000);                                     \
        changed.member = (value);                                                              \
        assert_other(&changed);                                                                \
    } while (0)

static void whatever_a_stack_hangs_on_makes_another(void **state)
{
    (void)state;
    OTHER_WITH(native[0].pc, 0x1001);
    OTHER_WITH(native[1].cfa, 0x7f0000001000 + 56);
    OTHER_WITH(native[2].pc, 0x3001);
    OTHER_WITH(frames[0].token, 9);
    OTHER_WITH(frames[1].position, 21);
    OTHER_WITH(frames[1].stack, 0x7f0000001000 + 70);
    OTHER_WITH(frames[0].stack, CPROF_STACK_BOUNDARY);
    OTHER_WITH(frames[2].stack, CPROF_STACK_INHERIT);
    OTHER_WITH(record.frame_count, FRAMES - 1);
    OTHER_WITH(record.native_end, WALK_FULL);
    OTHER_WITH(record.frames_complete, false);
    struct sample swapped = sample_at(0x7f0000001000);
    swapped.frames[0].token = 2;
    swapped.frames[1].token = 1;
    assert_other(&swapped);
}

static void stack_that_is_walked_again_is_not_recalled(void **state)
{
    struct sample sample = sample_at(0x7f0000001000);
    (void)state;
    sample.record.stack_size = 8;
    assert_true(recall_key(&sample.record) == 0);
}

static void what_was_kept_is_there_until_names_change_or_the_interval_ends(void **state)
{
    static struct recall recall;
    const struct recalled one = {.key = 77, .stack = 5, .truncated = true};
    const struct recalled other = {.key = 77 + RECALLED, .stack = 6};
    (void)state;
    assert_null(recall_find(&recall, 1, 77));
    recall_keep(&recall, &one);
    assert_int_equal(recall_find(&recall, 1, 77)->stack, 5);
    assert_true(recall_find(&recall, 1, 77)->truncated);
    assert_null(recall_find(&recall, 1, 78));
    recall_keep(&recall, &other); /* takes the place */
    assert_null(recall_find(&recall, 1, 77));
    assert_int_equal(recall_find(&recall, 1, 77 + RECALLED)->stack, 6);
    assert_null(recall_find(&recall, 2, 77 + RECALLED));
    recall_keep(&recall, &one);
    recall_forget(&recall);
    assert_null(recall_find(&recall, 2, 77));
    assert_null(recall_find(&recall, 2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_calls_are_one_stack_wherever_they_are_made),
        cmocka_unit_test(whatever_a_stack_hangs_on_makes_another),
        cmocka_unit_test(stack_that_is_walked_again_is_not_recalled),
        cmocka_unit_test(what_was_kept_is_there_until_names_change_or_the_interval_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
