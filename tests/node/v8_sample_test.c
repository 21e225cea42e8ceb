/* What the handler asks of V8's sampler, and makes of its answer: never a question that V8
 * can't answer safely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codes.h"
#include "isolate.h"
#include "v8_sample.h"
#include "walk.h"

enum { ROOM = 8 };

/* In V8's place: what it was asked, and what it is to answer. */
static struct v8_registers asked;
static unsigned times_asked;
static uint16_t state;

static void sample(void *isolate, const struct v8_registers *registers, void **addresses,
                   size_t capacity, struct v8_sample_info *info)
{
    (void)isolate, (void)addresses, (void)capacity;
    asked = *registers;
    times_asked++;
    info->count = 0;
    info->state = state;
}

static struct v8_sample notes;
static struct isolate isolate = {.serial = 7, .attached = true, .way = WAY_SAMPLES};
static const struct cprof_interrupted thread = {.thread_data = &isolate};

static int open_sample(void **ignored)
{
    (void)ignored;
    notes = (struct v8_sample){.codes = codes_open()};
    isolate.sample = &notes;
    v8_sample_get = sample;
    times_asked = 0;
    state = 0;
    return notes.codes != NULL ? 0 : -1;
}

static int close_sample(void **ignored)
{
    (void)ignored;
    codes_free(notes.codes);
    return 0;
}

static uint32_t add(uintptr_t start, size_t size, const char *text)
{
    const struct code code = {.start = start, .limit = start + size, .form = CODE_MACHINE};
    assert_true(codes_add(notes.codes, &code, text, strlen(text)));
    return codes_find(notes.codes, start)->number;
}

static size_t walk(struct cprof_frame frames[ROOM])
{
    bool complete = false;
    size_t count = v8_sample_walk(&thread, frames, ROOM, &complete);
    assert_true(complete);
    return count;
}

static void test_an_interrupted_frame_is_where_v8_begins(void **ignored)
{
    struct cprof_frame frames[ROOM];
    const uintptr_t stack[16] = {0};
    const uintptr_t sp = (uintptr_t)stack, fp = (uintptr_t)&stack[8];
    (void)ignored;
    uint32_t number = add(0x1000, 0x100, "JS:^f /a.js:1:1");
    v8_sample_note(&isolate, &(struct v8_frame){.pc = 0x1010,
                                                .sp = sp,
                                                .fp = fp,
                                                .code = V8_COMPILED,
                                                .live = true,
                                                .framed = true});
    assert_int_equal(walk(frames), 1);
    assert_int_equal(frames[0].token, (uint64_t)7 << 32 | number);
    assert_int_equal(asked.pc, 0x1010);
    assert_int_equal(asked.sp, sp);
    assert_int_equal(asked.fp, fp);
}

/* V8 looks at the code there; on a broken stack there may be none. */
static void test_v8_is_not_given_a_return_address(void **ignored)
{
    struct cprof_frame frames[ROOM];
    const uintptr_t stack[16] = {0};
    (void)ignored;
    add(0x1000, 0x100, "JS:^f /a.js:1:1");
    v8_sample_note(&isolate, &(struct v8_frame){.pc = 0x1010,
                                                .sp = (uintptr_t)stack,
                                                .fp = (uintptr_t)&stack[8],
                                                .code = V8_COMPILED,
                                                .framed = true});
    assert_int_equal(walk(frames), 1);
    assert_int_equal(times_asked, 1);
    assert_int_equal(asked.pc, 0);
}

/* V8 takes what lies between the stack pointer and its entry for the stack: from zero on, that
 * would be everything. */
static void test_a_stack_without_a_made_frame_is_none_to_v8(void **ignored)
{
    struct cprof_frame frames[ROOM];
    (void)ignored;
    add(0x1000, 0x100, "JS:^f /a.js:1:1");
    v8_sample_note(&isolate,
                   &(struct v8_frame){
                       .pc = 0x1000, .sp = 0x7000, .fp = 0, .code = V8_COMPILED, .live = true});
    assert_int_equal(walk(frames), 1);
    assert_int_equal(times_asked, 1);
    assert_int_equal(asked.pc, 0);
    assert_true(asked.sp == UINTPTR_MAX);
}

static void test_nothing_is_named_while_v8_collects(void **ignored)
{
    struct cprof_frame frames[ROOM];
    (void)ignored;
    add(0x1000, 0x100, "JS:^f /a.js:1:1");
    state = V8_STATE_COLLECTING;
    for (uintptr_t i = 0; i < 3; i++)
        v8_sample_note(&isolate,
                       &(struct v8_frame){.pc = 0x1000, .sp = 0x7000, .code = V8_COMPILED});
    assert_int_equal(walk(frames), 1);
    assert_int_equal(frames[0].token, WALK_COLLECTOR);
    assert_int_equal(walk(frames), 0); /* the notes are gone */
}

/* As if the signal had come amid a change. */
static void test_code_that_is_being_changed_is_opaque(void **ignored)
{
    struct cprof_frame frames[ROOM];
    (void)ignored;
    add(0x1000, 0x100, "JS:^f /a.js:1:1");
    atomic_store(&notes.codes->changing, true);
    v8_sample_note(&isolate,
                   &(struct v8_frame){.pc = 0x1010, .sp = 0x7000, .code = V8_COMPILED});
    assert_int_equal(walk(frames), 1);
    assert_int_equal(frames[0].token, WALK_OPAQUE);
    atomic_store(&notes.codes->changing, false);
    v8_sample_note(&isolate,
                   &(struct v8_frame){.pc = 0x1010, .sp = 0x7000, .code = V8_COMPILED});
    assert_int_equal(walk(frames), 1);
    assert_int_not_equal(frames[0].token, WALK_OPAQUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_interrupted_frame_is_where_v8_begins,
                                        open_sample, close_sample),
        cmocka_unit_test_setup_teardown(test_v8_is_not_given_a_return_address, open_sample,
                                        close_sample),
        cmocka_unit_test_setup_teardown(test_a_stack_without_a_made_frame_is_none_to_v8,
                                        open_sample, close_sample),
        cmocka_unit_test_setup_teardown(test_nothing_is_named_while_v8_collects, open_sample,
                                        close_sample),
        cmocka_unit_test_setup_teardown(test_code_that_is_being_changed_is_opaque, open_sample,
                                        close_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
