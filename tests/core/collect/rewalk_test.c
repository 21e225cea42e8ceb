/*
 * Frames whose unwind information says more than tables express: their stacks are walked again
 * from a copy, with libunwind in a module of its own, and without it the program goes on.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cprof/cprof.h"
#include "format/format.h"

/* Their canonical frame addresses are told by expressions with an addition that no compiler
 * writes: of the stack pointer in the leaf, of a callee-saved register in its caller. */
__asm__(".text\n"
        ".type expression_leaf, @function\n"
        "expression_leaf:\n"
        ".cfi_startproc\n"
        ".cfi_escape 0x0f, 4, 0x77, 8, 0x30, 0x22\n" /* breg7 8; lit0; plus */
        "1: dec %rdi\n"
        "jnz 1b\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size expression_leaf, . - expression_leaf\n"
        ".type expression_caller, @function\n"
        "expression_caller:\n"
        ".cfi_startproc\n"
        "push %r12\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_offset %r12, -16\n"
        "mov %rsp, %r12\n"
        ".cfi_escape 0x0f, 4, 0x7c, 16, 0x30, 0x22\n" /* breg12 16; lit0; plus */
        "sub $4096, %rsp\n"
        "call *%rsi\n"
        "mov %r12, %rsp\n"
        ".cfi_def_cfa %rsp, 16\n"
        "pop %r12\n"
        ".cfi_def_cfa %rsp, 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size expression_caller, . - expression_caller\n");
void expression_leaf(long rounds);
void expression_caller(long rounds, void (*function)(long));

static char output[128];
static char error[FORMAT_ERROR_SIZE];
static volatile unsigned long sink;

__attribute__((noinline)) static void plain_leaf(long rounds)
{
    for (long i = 0; i < rounds; i++)
        sink += (unsigned long)i;
}

__attribute__((noinline)) static void burn(void (*leaf)(long), bool through)
{
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + NS_PER_SECOND / 2;
    do {
        if (through)
            expression_caller(1000000, leaf);
        else
            leaf(1000000);
        sink++;
    } while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end);
}

static struct profile *profile_of(const char *directory, void (*leaf)(long), bool through,
                                  struct cprof_stats *stats)
{
    const struct cprof_options options = {
        .output = output, .rate = 100, .library_directory = directory};
    if (cprof_start(&options, NULL, error, sizeof error) != 0)
        fail_msg("%s", error);
    burn(leaf, through);
    assert_int_equal(cprof_stop(10), 0);
    cprof_stats(stats);
    struct profile *profile = format_read_file(output, error);
    if (profile == NULL)
        fail_msg("%s", error);
    return profile;
}

static const char *name_at(const struct profile *p, profile_id stack, uint32_t i)
{
    const struct profile_stack frames = profile_get_stack(p, stack);
    if (i >= frames.depth)
        return "";
    const struct profile_location *location = profile_get_location(p, frames.locations[i]);
    profile_id function = location->line_count > 0 ? location->lines[0].function : 0;
    return profile_text(p, profile_get_function(p, function)->name);
}

/* The weight of the samples whose stack begins with these frames and reaches main. */
static int64_t weight_of(const struct profile *p, const char *const *names, uint32_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        uint32_t same = 0;
        while (same < count && strcmp(name_at(p, sample.stack, same), names[same]) == 0)
            same++;
        bool to_main = false;
        for (uint32_t j = same; j < profile_get_stack(p, sample.stack).depth; j++)
            to_main |= strcmp(name_at(p, sample.stack, j), "main") == 0;
        sum += same == count && to_main ? sample.values[0] : 0;
    }
    return sum;
}

static bool is_loaded(void)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, "libcprof_unwind") != NULL;
    fclose(maps);
    return found;
}

static void nothing_is_loaded_for_ordinary_code(void **state)
{
    (void)state;
    struct cprof_stats stats;
    struct profile *p = profile_of(LIBRARY_DIRECTORY, plain_leaf, false, &stats);
    static const char *const names[] = {"plain_leaf", "burn"};
    assert_true(weight_of(p, names, 2) > 0);
    assert_false(is_loaded());
    profile_free(p);
}

static void *load_slow_library(void *handle)
{
    *(void **)handle = dlopen(SLOW_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    return NULL;
}

/* Its constructor waits for a file, and the loader's lock with it. */
static void a_library_that_takes_long_to_load_holds_nobody_up(void **state)
{
    (void)state;
    pthread_t thread;
    void *handle = NULL;
    char go[64];
    snprintf(go, sizeof go, "/tmp/cprof-rewalk-%d.go", (int)getpid());
    unlink(go);
    setenv("SLOW_PLUGIN_GO", go, 1);
    pthread_create(&thread, NULL, load_slow_library, &handle);
    while (getenv("SLOW_PLUGIN_WAITS") == NULL)
        usleep(1000);
    const struct cprof_options options = {
        .output = output, .rate = 100, .library_directory = LIBRARY_DIRECTORY};
    struct cprof_stats stats;
    assert_int_equal(cprof_start(&options, NULL, error, sizeof error), 0);
    burn(expression_leaf, true);
    int flushed = cprof_flush(10), stopped = cprof_stop(10);
    bool waiting = handle == NULL;
    fclose(fopen(go, "w"));
    pthread_join(thread, NULL);
    unlink(go);
    assert_int_equal(flushed, 0);
    assert_int_equal(stopped, 0);
    assert_true(waiting);
    assert_non_null(handle);
    cprof_stats(&stats);
    assert_true(stats.samples >= 40);
    for (int i = 0; i < 1000 && !is_loaded(); i++)
        usleep(10000);
    assert_true(is_loaded());
}

static void without_libunwind_the_program_goes_on(void **state)
{
    (void)state;
    struct cprof_stats stats;
    struct profile *p = profile_of("/nonexistent", expression_leaf, true, &stats);
    assert_true(stats.samples > 0);
    assert_true(stats.samples_truncated * 10 >= stats.samples * 9); /* cut, and counted */
    assert_false(is_loaded());
    profile_free(p);
}

static void assert_walked(void (*leaf)(long), const char *name)
{
    struct cprof_stats stats;
    struct profile *p = profile_of(LIBRARY_DIRECTORY, leaf, true, &stats);
    const char *const names[] = {name, "expression_caller", "burn"};
    int64_t right = weight_of(p, names, 3);
    assert_true(stats.samples >= 20);
    /* A sample here and there is in the test's own frames; where the collector is late there is
     * no room for a copy, and the stack is cut. */
    if (right * 2 < (int64_t)stats.samples ||
        (right + (int64_t)stats.samples_truncated) * 10 < (int64_t)stats.samples * 9)
        fail_msg("%lld of %llu samples, %llu truncated", (long long)right,
                 (unsigned long long)stats.samples,
                 (unsigned long long)stats.samples_truncated);
    profile_free(p);
}

static void stack_with_an_expression_in_its_leaf_is_whole(void **state)
{
    (void)state;
    assert_walked(expression_leaf, "expression_leaf");
    assert_true(is_loaded());
}

static void stack_with_an_expression_in_a_caller_is_whole(void **state)
{
    (void)state;
    assert_walked(plain_leaf, "plain_leaf");
}

static void libunwind_is_kept_from_the_host(void **state)
{
    (void)state;
    assert_null(dlsym(RTLD_DEFAULT, "_Ux86_64_step"));
    assert_null(dlsym(RTLD_DEFAULT, "unw_backtrace"));
    assert_null(dlsym(RTLD_DEFAULT, "cprof_unwind"));
}

static int prepare(void **state)
{
    (void)state;
    snprintf(output, sizeof output, "/tmp/cprof-rewalk-%d.pb.gz", (int)getpid());
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(output);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_loaded_for_ordinary_code),
        cmocka_unit_test(without_libunwind_the_program_goes_on),
        cmocka_unit_test(a_library_that_takes_long_to_load_holds_nobody_up),
        cmocka_unit_test(stack_with_an_expression_in_its_leaf_is_whole),
        cmocka_unit_test(stack_with_an_expression_in_a_caller_is_whole),
        cmocka_unit_test(libunwind_is_kept_from_the_host),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
