/* Synthetic stacks, innermost first. Native frame i lies at [i * 0x1000, (i + 1) * 0x1000). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hash.h"
#include "collect/weave.h"

#define IN(native) ((uintptr_t)(native)*0x1000 + 0x800)
#define INHERIT CPROF_STACK_INHERIT
#define BOUNDARY CPROF_STACK_BOUNDARY
#define FAR_AWAY ((uintptr_t)0x7f0000000000)

static enum cprof_role role_of(char letter)
{
    return letter == 'L'   ? CPROF_ROLE_INTERPRETER
           : letter == 't' ? CPROF_ROLE_PLUMBING
           : letter == 'o' ? CPROF_ROLE_OWN
                           : CPROF_ROLE_PLAIN;
}

/* `roles` has a letter for each native frame: c plain, L the interpreter's loop, t plumbing, o
 * ours. `functions` has one for each as well, that of its function; `implements` one for each
 * interpreter frame, that of the function that implements it, '-' for none; both may be NULL.
 * The result is written as "n0 i0 i1 n2". */
static void expect_of(const char *roles, const char *functions, const uintptr_t *stacks,
                      const char *implements, size_t frame_count, const char *expected)
{
    uintptr_t native_starts[64] = {0}, frame_starts[64] = {0};
    struct native_frame native[64];
    enum cprof_role of[64];
    struct cprof_frame frames[64];
    struct woven out[128];
    uint16_t scratch[64];
    size_t native_count = strlen(roles);
    for (size_t i = 0; i < native_count; i++) {
        native[i] = (struct native_frame){.pc = i, .cfa = (i + 1) * 0x1000};
        of[i] = role_of(roles[i]);
        native_starts[i] = functions != NULL ? (uintptr_t)functions[i] : 0;
    }
    for (size_t i = 0; i < frame_count; i++) {
        frames[i] = (struct cprof_frame){.token = i, .stack = stacks[i]};
        if (implements != NULL && implements[i] != '-')
            frame_starts[i] = (uintptr_t)implements[i];
    }
    const struct weave input = {native, of,          native_count,  0,
                                frames, frame_count, native_starts, frame_starts};
    size_t count = weave(&input, scratch, out);
    char text[1024] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c%u", i ? " " : "",
                 out[i].interpreted ? 'i' : 'n', out[i].index);
    assert_string_equal(text, expected);
}

static void expect(const char *roles, const uintptr_t *stacks, size_t frame_count,
                   const char *expected)
{
    expect_of(roles, NULL, stacks, NULL, frame_count, expected);
}

#define EXPECT(roles, expected, ...)                                                           \
    do {                                                                                       \
        const uintptr_t stacks[] = {__VA_ARGS__};                                              \
        expect(roles, stacks, sizeof stacks / sizeof *stacks, expected);                       \
    } while (0)

static void native_stacks_stay_as_they_are(void **state)
{
    (void)state;
    expect("ccc", NULL, 0, "n0 n1 n2");
    expect("", NULL, 0, "");
}

/* A hook of ours stands in the way of calls that others make. */
static void our_hooks_do_not_show_and_carry_nothing(void **state)
{
    (void)state;
    expect("cooc", NULL, 0, "n0 n3");
    EXPECT("cocLc", "n0 n2 i0 n4", IN(3));
    /* Both frames are C methods without functions of their own: the plumbing has called them.
     */
    const uintptr_t stacks[] = {INHERIT, INHERIT, IN(5)};
    expect_of("ctctcL", "abcdef", stacks, "yz-", 3, "n0 n2 i0 n4 i1 i2");
    expect_of("ctcocL", "abcdef", stacks, "yz-", 3, "n0 i0 n2 n4 i1 i2");
}

static void interpreted_frames_stand_in_the_loops_place(void **state)
{
    (void)state;
    EXPECT("cLcc", "n0 i0 i1 n2 n3", IN(1), IN(1));
    EXPECT("L", "i0", IN(0));
}

static void frames_of_one_loop_go_with_the_one_that_names_it(void **state)
{
    (void)state;
    EXPECT("cLc", "n0 i0 i1 i2 n2", INHERIT, INHERIT, IN(1));
}

/* main → loop → sorted → callback → loop: the key function above the C that called it. */
static void a_callback_from_c_stands_above_the_c_that_called_it(void **state)
{
    (void)state;
    EXPECT("cLccLcc", "n0 i0 n2 n3 i1 i2 n5 n6", IN(1), INHERIT, IN(4));
}

#define EXPECT_OF(roles, functions, implements, expected, ...)                                 \
    do {                                                                                       \
        const uintptr_t stacks[] = {__VA_ARGS__};                                              \
        expect_of(roles, functions, stacks, implements, sizeof stacks / sizeof *stacks,        \
                  expected);                                                                   \
    } while (0)

/* main → loop → sort_by → each → loop: each stands above its own function, not above sort_by's.
 */
static void a_c_method_that_c_calls_stands_above_its_own_function(void **state)
{
    (void)state;
    EXPECT_OF("LcctcctL", "LyetbstL", "-es-", "i0 n1 n2 i1 n4 n5 i2 i3", IN(0), INHERIT,
              INHERIT, IN(7));
    EXPECT_OF("ctcL", "etsL", "es-", "n0 i0 n2 i1 i2", INHERIT, INHERIT, IN(3));
}

/* Plumbing that is not known as such is shown; the function decides. */
static void a_c_method_needs_no_plumbing_to_be_found(void **state)
{
    (void)state;
    EXPECT_OF("cccL", "ebsL", "es-", "n0 i0 n1 n2 i1 i2", INHERIT, INHERIT, IN(3));
}

static void a_c_method_that_calls_itself_is_found_once_for_each_call(void **state)
{
    (void)state;
    EXPECT_OF("ctcctccL", "htxhtxyL", "hhy-", "n0 i0 n2 n3 i1 n5 n6 i2 i3", INHERIT, INHERIT,
              INHERIT, IN(7));
    /* its function calls itself past the interpreter: the call through plumbing counts */
    EXPECT_OF("cctcL", "hhtsL", "hs-", "n0 n1 i0 n3 i1 i2", INHERIT, INHERIT, IN(4));
}

/* One function has ended in a jump to another; or has not begun. */
static void a_c_method_whose_function_does_not_show_is_what_plumbing_called(void **state)
{
    (void)state;
    EXPECT_OF("cctccL", "zytbsL", "es-", "n0 n1 i0 n3 n4 i1 i2", INHERIT, INHERIT, IN(5));
    EXPECT_OF("tccL", "tbsL", "es-", "i0 n1 n2 i1 i2", INHERIT, INHERIT, IN(3));
    EXPECT_OF("ccL", "zyL", "s-", "n0 n1 i0 i1", INHERIT, IN(2));
}

static void functions_beyond_the_loops_are_anothers(void **state)
{
    (void)state;
    EXPECT_OF("cLcLcL", "eLeLsL", "--s-", "n0 i0 n2 i1 n4 i2 i3", IN(1), IN(3), INHERIT, IN(5));
    EXPECT_OF("ccc", "ebs", "e", "n0 n1 n2 i0", INHERIT); /* no loop at all */
}

static void plumbing_and_unclaimed_loops_are_not_shown(void **state)
{
    (void)state;
    EXPECT("LtcLtc", "n2 i0 n5", IN(3)); /* the innermost loop is in its prologue */
    expect("cLtc", NULL, 0, "n0 n3");
}

/* The stack address decides, not the role: a stripped interpreter has no names at all. */
static void an_address_claims_a_frame_whatever_its_role(void **state)
{
    (void)state;
    EXPECT("cccc", "n0 i0 n2 i1", IN(1), IN(3));
    EXPECT("ctc", "n0 i0 n2", IN(1));
}

static void a_boundary_takes_the_next_loop(void **state)
{
    (void)state;
    EXPECT("cLcLc", "n0 i0 i1 n2 i2 n4", INHERIT, BOUNDARY, BOUNDARY);
    EXPECT("ccLcc", "n0 n1 i0 n3 n4", BOUNDARY);
}

static void a_boundary_without_its_loop_goes_before_the_next_placed_frame(void **state)
{
    (void)state;
    EXPECT("cccLc", "n0 n1 n2 i0 i1 n4", BOUNDARY, IN(3));
}

static void boundaries_and_addresses_mix(void **state)
{
    (void)state;
    EXPECT("LcLcLc", "i0 n1 i1 n3 i2 i3 n5", IN(0), BOUNDARY, INHERIT, IN(4));
}

static void what_is_left_over_goes_to_the_root(void **state)
{
    (void)state;
    EXPECT("cL", "n0 i0 i1 i2", IN(1), FAR_AWAY, FAR_AWAY); /* native walk cut short */
    EXPECT("cc", "n0 n1 i0 i1", INHERIT, INHERIT);          /* no marker at all */
    EXPECT("cc", "n0 n1 i0", BOUNDARY);
}

static void without_native_frames_the_interpreted_ones_remain(void **state)
{
    (void)state;
    EXPECT("", "i0 i1 i2", IN(3), INHERIT, BOUNDARY);
}

/* A generator resumed by a frame of an outer loop; greenlets whose frames lie elsewhere. */
static void a_frame_on_another_stack_keeps_its_place_in_the_order(void **state)
{
    (void)state;
    EXPECT("cLcLc", "n0 i0 n2 i1 i2 n4", IN(1), FAR_AWAY, IN(3));
    EXPECT("cLcLc", "n0 n2 i0 i1 n4", FAR_AWAY, IN(3));
}

static void addresses_at_the_edges_belong_to_the_frame_above_them(void **state)
{
    (void)state;
    EXPECT("cLc", "n0 i0 n2", 0x1000);
    EXPECT("cLc", "n0 i0 n2", 0x1fff);
    EXPECT("cLc", "n0 i0", 0x2000); /* the canonical address is the caller's */
}

static void a_signal_handlers_own_stack_does_not_confuse(void **state)
{
    (void)state;
    const struct native_frame native[] = {
        {1, 0x90001000}, {2, 0x90002000}, {3, 0x5000}, {4, 0x6000}};
    const enum cprof_role roles[] = {0, 0, CPROF_ROLE_INTERPRETER, 0};
    const struct cprof_frame frames[] = {{.stack = 0x4800}};
    uint16_t scratch[1];
    struct woven out[5];
    const struct weave input = {native, roles, 4, 0x90000800, frames, 1, NULL, NULL};
    assert_int_equal(weave(&input, scratch, out), 4);
    assert_true(out[2].interpreted);
    assert_int_equal(out[3].index, 3);
}

/* Whatever comes in: no interpreter frame lost, none twice, both orders kept. */
static void random_stacks_lose_nothing(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        struct native_frame native[20];
        enum cprof_role roles[20];
        struct cprof_frame frames[20];
        uintptr_t native_starts[20], frame_starts[20];
        uint16_t scratch[20];
        struct woven out[40];
        random = hash_u64(random + 1);
        size_t n = random % 20, m = random / 32 % 20;
        for (size_t i = 0; i < n; i++) {
            random = hash_u64(random + 1);
            native[i] =
                (struct native_frame){.pc = i, .cfa = random % 8 ? (i + 1) * 0x1000 : 7};
            roles[i] = (enum cprof_role)(random / 8 % 3);
            native_starts[i] = random / 32 % 4;
        }
        for (size_t i = 0; i < m; i++) {
            random = hash_u64(random + 1);
            frames[i].stack = random % 4 < 2 ? random % 4 : random / 4 % 0x18000;
            frame_starts[i] = random / 16 % 4;
        }
        const struct weave input = {native, roles,         n,           0, frames,
                                    m,      native_starts, frame_starts};
        size_t count = weave(&input, scratch, out);
        assert_true(count <= n + m);
        size_t next = 0;
        int last = -1;
        for (size_t i = 0; i < count; i++) {
            if (out[i].interpreted) {
                assert_int_equal(out[i].index, next++);
            } else {
                assert_true((int)out[i].index > last && out[i].index < n);
                last = out[i].index;
                assert_int_equal(roles[last], CPROF_ROLE_PLAIN);
            }
        }
        assert_int_equal(next, m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_stacks_stay_as_they_are),
        cmocka_unit_test(our_hooks_do_not_show_and_carry_nothing),
        cmocka_unit_test(interpreted_frames_stand_in_the_loops_place),
        cmocka_unit_test(frames_of_one_loop_go_with_the_one_that_names_it),
        cmocka_unit_test(a_callback_from_c_stands_above_the_c_that_called_it),
        cmocka_unit_test(a_c_method_that_c_calls_stands_above_its_own_function),
        cmocka_unit_test(a_c_method_needs_no_plumbing_to_be_found),
        cmocka_unit_test(a_c_method_that_calls_itself_is_found_once_for_each_call),
        cmocka_unit_test(a_c_method_whose_function_does_not_show_is_what_plumbing_called),
        cmocka_unit_test(functions_beyond_the_loops_are_anothers),
        cmocka_unit_test(plumbing_and_unclaimed_loops_are_not_shown),
        cmocka_unit_test(an_address_claims_a_frame_whatever_its_role),
        cmocka_unit_test(a_boundary_takes_the_next_loop),
        cmocka_unit_test(a_boundary_without_its_loop_goes_before_the_next_placed_frame),
        cmocka_unit_test(boundaries_and_addresses_mix),
        cmocka_unit_test(what_is_left_over_goes_to_the_root),
        cmocka_unit_test(without_native_frames_the_interpreted_ones_remain),
        cmocka_unit_test(a_frame_on_another_stack_keeps_its_place_in_the_order),
        cmocka_unit_test(addresses_at_the_edges_belong_to_the_frame_above_them),
        cmocka_unit_test(a_signal_handlers_own_stack_does_not_confuse),
        cmocka_unit_test(random_stacks_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
