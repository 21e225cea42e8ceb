/* The whole engine in one process: its manners, its stacks, its counts and its life. */
#include "running.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "format/format.h"
#include "sample/install.h"
#include "sample/threads.h"

#ifdef __SANITIZE_ADDRESS__
enum { MANY = 60 }; /* each takes a tenth of a second there */
#else
enum { MANY = 1000 };
#endif

NEVER_INLINED static void recurse(int depth)
{
    if (depth == 0)
        burn_until(CLOCK_THREAD_CPUTIME_ID, 0.3);
    else
        recurse(depth - 1);
    sink++;
}

/* ---- coexistence ---- */

static void errno_is_never_changed(void **state)
{
    (void)state;
    start(NULL, 1000);
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + NS_PER_SECOND;
    do {
        errno = 4321;
        for (int i = 0; i < 10000; i++)
            sink++;
        assert_int_equal(errno, 4321);
    } while (clock_ns(CLOCK_MONOTONIC) < end);
    profile_free(stop_and_read());
}

static _Atomic unsigned own_signals;

static void count_own(int signal)
{
    (void)signal;
    own_signals++;
}

/* Signals that the program's own timer sends in a second of CPU time: 100, or fewer where the
 * machine robs us of ticks. */
static unsigned own_signals_in_a_second(void)
{
    const struct itimerval timer = {{0, 10000}, {0, 10000}}, off = {{0}, {0}};
    setitimer(ITIMER_PROF, &timer, NULL);
    own_signals = 0;
    burn_seven(1.0 / 0.7);
    unsigned seen = own_signals;
    setitimer(ITIMER_PROF, &off, NULL);
    return seen;
}

/* Judged beside the same second without cprof, some times if need be: ticks come and go. */
static void a_program_keeps_its_own_profiling_timer(void **state)
{
    (void)state;
    signal(SIGPROF, count_own);
    bool kept = false;
    unsigned without = 0, with = 0;
    for (int tries = 0; tries < 6 && !kept; tries++) {
        without = own_signals_in_a_second();
        start(NULL, 100);
        with = own_signals_in_a_second();
        struct profile *p = stop_and_read();
        assert_close(seconds_in(p, "burn_seven", NULL, NULL), 1.0, 0.05);
        profile_free(p);
        kept = with * 10 >= without * 9 && with * 4 <= without * 5;
    }
    signal(SIGPROF, SIG_IGN);
    if (!kept)
        fail_msg("%u signals with cprof, %u without", with, without);
}

static void a_second_start_joins_the_running_one(void **state)
{
    (void)state;
    const struct cprof_options other = {.exporter = "none", .rate = 1000};
    const struct cprof_options wrong = {.exporter = "nonsense"};
    const struct cprof_runtime runtime = {.name = "another"};
    start(NULL, 100);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    assert_int_equal(cprof_start(&other, &runtime, error, sizeof error), CPROF_JOINED);
    assert_int_equal(cprof_start(&wrong, NULL, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "nonsense"));
    seven += burn_to_a_sample(burn_seven, 0.5);
    struct profile *p = stop_and_read(); /* for one of two: written, and it goes on */
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.06);
    profile_free(p);
    assert_true(cprof_is_running());
    seven += burn_to_a_sample(burn_seven, 0.5);
    p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.07);
    profile_free(p);
    assert_false(cprof_is_running());
}

static void the_end_of_a_program_stops_what_was_started_twice(void **state)
{
    (void)state;
    start(NULL, 100);
    assert_int_equal(cprof_start(NULL, NULL, error, sizeof error), CPROF_JOINED);
    double seven = burn_to_a_sample(burn_seven, 1.0);
    assert_int_equal(cprof_end(60), 0);
    assert_false(cprof_is_running());
    assert_int_equal(cprof_end(60), -ENOENT);
    struct profile *p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.06);
    profile_free(p);
}

/* ---- stacks ---- */

static void a_stack_too_deep_keeps_its_leaves_under_a_truncated_root(void **state)
{
    (void)state;
    setenv("CPROF_MAX_FRAMES", "20", 1);
    start(NULL, 100);
    recurse(100);
    struct cprof_stats stats;
    struct profile *p = stop_and_read();
    unsetenv("CPROF_MAX_FRAMES");
    cprof_stats(&stats);
    assert_close(seconds_in(p, "recurse", NULL, NULL), 0.3, 0.05);
    assert_close(seconds_in(p, "[truncated]", NULL, NULL), 0.3, 0.05);
    assert_close((double)stats.samples_truncated, 30, 5);
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_stack s = profile_get_stack(p, profile_get_sample(p, i).stack);
        assert_true(s.depth <= 21);
        if (s.depth == 21)
            assert_true(location_is(p, s.locations[20], "[truncated]"));
    }
    profile_free(p);
}

/* A pretended interpreter: fake_loop() runs "program", which calls "function". */
NEVER_INLINED static double fake_loop(double seconds)
{
    double spent = burn_seven(seconds / 0.7);
    sink++;
    return spent;
}

static _Atomic bool in_loop;

static double loop_to_a_sample(double seconds)
{
    in_loop = true;
    double spent = burn_to_a_sample(fake_loop, seconds);
    in_loop = false;
    return spent;
}

static size_t fake_walk(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                        size_t capacity, bool *complete)
{
    (void)thread;
    if (!in_loop || capacity < 2)
        return 0;
    frames[0] = (struct cprof_frame){.token = 1, .position = 7, .stack = CPROF_STACK_INHERIT};
    frames[1] = (struct cprof_frame){.token = 2, .position = 3, .stack = CPROF_STACK_BOUNDARY};
    *complete = true;
    return 2;
}

static bool fake_context(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    (void)thread;
    if (!in_loop)
        return false;
    memset(context->trace_id, 0xab, sizeof context->trace_id);
    memset(context->span_id, 0xcd, sizeof context->span_id);
    context->label_set = 5;
    return true;
}

static int fake_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    static const char *const names[] = {NULL, "function", "program"};
    *function = (struct cprof_function){.name = names[frame->token],
                                        .file = "fake.src",
                                        .line = (int64_t)frame->position,
                                        .type = CPROF_FRAME_CPYTHON};
    return 0;
}

static enum cprof_role fake_role(const char *symbol, const char *module)
{
    (void)module;
    return symbol != NULL && strcmp(symbol, "fake_loop") == 0 ? CPROF_ROLE_INTERPRETER
                                                              : CPROF_ROLE_PLAIN;
}

static void fake_labels(uint32_t set, void (*each)(void *, const char *, const char *), void *c)
{
    assert_int_equal(set, 5);
    each(c, "endpoint", "/users");
    each(c, "region", "from the request");
}

static const struct cprof_runtime fake = {.name = "fake",
                                          .walk = fake_walk,
                                          .context = fake_context,
                                          .resolve = fake_resolve,
                                          .role = fake_role,
                                          .labels = fake_labels};

static void check_order(const struct profile *p, const struct profile_stack *stack)
{
    static const char *const order[] = {"burn_seven", "function", "program",
                                        "interpreted_frames_replace_the_loop"};
    size_t next = 0;
    for (uint32_t i = 0; i < stack->depth && next < 4; i++)
        next += location_is(p, stack->locations[i], order[next]);
    assert_int_equal(next, 4);
}

static void interpreted_frames_replace_the_loop(void **state)
{
    (void)state;
    setenv("CPROF_LABELS", "region=eu,team=a", 1);
    start(&fake, 100);
    double spent = loop_to_a_sample(0.5);
    struct profile *p = stop_and_read();
    unsetenv("CPROF_LABELS");
    assert_close(seconds_in(p, "function", NULL, NULL), spent, 0.06);
    assert_close(seconds_in(p, "function", "endpoint", "/users"), spent, 0.06);
    assert_close(seconds_in(p, NULL, "region", "from the request"), spent, 0.06);
    assert_close(seconds_in(p, NULL, "team", "a"), spent, 0.08);
    assert_true(seconds_in(p, "fake_loop", NULL, NULL) == 0);
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const struct profile_stack stack = profile_get_stack(p, sample.stack);
        if (!has_frame(p, sample.stack, "function"))
            continue;
        check_order(p, &stack);
        assert_int_equal(profile_get_link(p, sample.link)->span_id[7], 0xcd);
    }
    profile_free(p);
}

/* Not a function of its own in the machine's code, but one in DWARF's eyes. */
__attribute__((always_inline)) static inline double inlined_helper(double seconds)
{
    return burn_until(CLOCK_THREAD_CPUTIME_ID, seconds);
}

NEVER_INLINED static double has_a_helper_inlined(double seconds)
{
    double spent = inlined_helper(seconds);
    sink++;
    return spent;
}

static enum cprof_role helper_role(const char *symbol, const char *module)
{
    (void)module;
    return symbol != NULL && strcmp(symbol, "inlined_helper") == 0 ? CPROF_ROLE_PLUMBING
                                                                   : CPROF_ROLE_PLAIN;
}

static void plumbing_is_not_shown_where_it_is_inlined(void **state)
{
    (void)state;
    struct cprof_runtime plain = {.name = "fake"},
                         knowing = {.name = "fake", .role = helper_role};
    start(&plain, 100);
    double spent = burn_to_a_sample(has_a_helper_inlined, 0.3);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "inlined_helper", NULL, NULL), spent, 0.05);
    profile_free(p);
    start(&knowing, 100);
    spent = burn_to_a_sample(has_a_helper_inlined, 0.3);
    p = stop_and_read();
    assert_true(seconds_in(p, "inlined_helper", NULL, NULL) == 0);
    assert_close(seconds_in(p, "has_a_helper_inlined", NULL, NULL), spent, 0.05);
    profile_free(p);
}

static _Atomic bool named;

static int resolve_when_named(const struct cprof_frame *frame, struct cprof_function *function)
{
    return named ? fake_resolve(frame, function) : -EAGAIN;
}

static uint64_t names_come;      /* CLOCK_MONOTONIC */
static _Atomic bool asked_early; /* before that */

/* Whoever is asked says by himself whether it is time: then no sample is old when its name is
 * refused, however late the collector or the program come to run. */
static int resolve_in_time(const struct cprof_frame *frame, struct cprof_function *function)
{
    if (clock_ns(CLOCK_MONOTONIC) >= names_come)
        return fake_resolve(frame, function);
    asked_early = true;
    return -EAGAIN;
}

static void names_that_come_later_are_waited_for(void **state)
{
    (void)state;
    struct cprof_runtime slow = fake;
    slow.resolve = resolve_in_time;
    for (asked_early = false; !asked_early;) { /* or the collector did not get to ask before */
        names_come = clock_ns(CLOCK_MONOTONIC) + NS_PER_SECOND / 2;
        start(&slow, 100);
        double spent = loop_to_a_sample(0.6);
        struct cprof_stats stats;
        struct profile *p = stop_and_read();
        cprof_stats(&stats);
        assert_close(seconds_in(p, "function", NULL, NULL), spent, 0.06);
        assert_true(seconds_in(p, "[unknown]", NULL, NULL) == 0);
        assert_int_equal(stats.samples_failed, 0);
        profile_free(p);
    }
}

static void a_block_has_what_ran_in_it_with_names_or_without(void **state)
{
    (void)state;
    struct cprof_runtime slow = fake;
    slow.resolve = resolve_when_named;
    named = false;
    char path[128];
    snprintf(path, sizeof path, "%s/nameless-block.pb.gz", directory);
    const struct cprof_options block = {.output = path, .rate = 100};
    uint64_t capture;
    start(&slow, 100);
    assert_int_equal(cprof_capture_begin(&block, &slow, &capture, error, 256), CPROF_JOINED);
    double spent = loop_to_a_sample(0.5);
    assert_int_equal(cprof_capture_end(capture, 60, error, 256), 0);
    profile_free(stop_and_read());
    struct profile *p = format_read_file(path, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "[unknown]", NULL, NULL), spent, 0.06);
    profile_free(p);
}

static void names_that_never_come_are_given_up(void **state)
{
    (void)state;
    struct cprof_runtime slow = fake;
    slow.resolve = resolve_when_named;
    named = false;
    start(&slow, 100);
    double spent = loop_to_a_sample(0.3);
    struct cprof_stats stats;
    struct profile *p = stop_and_read();
    cprof_stats(&stats);
    assert_close(seconds_in(p, "[unknown]", NULL, NULL), spent, 0.05);
    assert_close((double)stats.samples_failed, spent * 100, 5);
    assert_int_equal(stats.samples_dropped, 0);
    profile_free(p);
}

static enum cprof_role loop_at(uintptr_t pc)
{
    uintptr_t begin = (uintptr_t)fake_loop;
    return pc >= begin && pc < begin + 64 ? CPROF_ROLE_INTERPRETER : CPROF_ROLE_PLAIN;
}

static _Atomic unsigned drains;

static void count_drain(void)
{
    drains++;
}

/* One that the program has jumped out of never ends. */
static void a_handler_at_work_is_waited_for_but_not_for_ever(void **state)
{
    (void)state;
    const struct cprof_runtime counting = {.name = "fake", .drained = count_drain};
    start(&counting, 100);
    burn_three(0.2);
    assert_int_equal(cprof_flush(60), 0);
    assert_true(drains > 0);
    threads_begin(&thread_records[0]);
    assert_int_equal(cprof_flush(60), 0);
    unsigned before = drains;
    for (int i = 0; i < 2; i++)
        assert_int_equal(cprof_flush(60), 0);
    assert_int_equal(drains, before);
    for (int i = 0; i < 100 && drains == before; i++)
        assert_int_equal(cprof_flush(60), 0);
    assert_true(drains > before);
    atomic_fetch_sub(&thread_records[0].handlers, 1);
    profile_free(stop_and_read());
}

static void a_loop_without_a_symbol_is_told_by_its_address(void **state)
{
    (void)state;
    struct cprof_runtime stripped = fake;
    stripped.role = NULL;
    stripped.role_at = loop_at;
    start(&stripped, 100);
    double spent = loop_to_a_sample(0.3);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "function", NULL, NULL), spent, 0.05);
    assert_true(seconds_in(p, "fake_loop", NULL, NULL) == 0);
    profile_free(p);
}

/* ---- what is counted ---- */

static int64_t attribute(const struct profile *p, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *a = profile_attribute(p, PROFILE_ATTRIBUTES, i);
        if (strcmp(profile_text(p, a->key), key) == 0 && a->is_number)
            return a->number;
    }
    fail_msg("no attribute %s", key);
    return 0;
}

/* The first interval's profile and the second's, each with the counts of its own time. */
static void every_profile_carries_the_counts(void **state)
{
    (void)state;
    snprintf(output, sizeof output, "%s/counts-%%n.otlp", directory);
    start(NULL, 100);
    burn_seven(0.5);
    assert_int_equal(cprof_flush(5), 0);
    burn_seven(1.0);
    assert_int_equal(cprof_stop(5), 0);
    struct cprof_stats stats;
    cprof_stats(&stats);
    int64_t samples = 0;
    for (int n = 0; n < 2; n++) {
        char path[64];
        snprintf(path, sizeof path, "%s/counts-%d.otlp", directory, n + 1);
        struct profile *p = format_read_file(path, error);
        if (p == NULL)
            fail_msg("%s", error);
#define CARRIED(field, kind) assert_true(attribute(p, "cprof." #field) >= 0);
        CPROF_STATS_FIELDS(CARRIED)
#undef CARRIED
        assert_int_equal(attribute(p, "cprof.samples_unlinked"), 0);
        assert_int_equal(attribute(p, "cprof.samples_unlabelled"), 0);
        assert_int_equal(attribute(p, "cprof.threads_unsampled"), 0);
        assert_int_equal(attribute(p, "cprof.threads"), 1); /* though none is left at the end */
        assert_int_equal(attribute(p, "cprof.profiles_exported"), n);
        assert_true(attribute(p, "cprof.handler_ns_mean") > 0);
        assert_true(attribute(p, "cprof.memory_bytes") > 0);
        double seconds = seconds_in(p, NULL, NULL, NULL);
        assert_close((double)attribute(p, "cprof.samples"), seconds * 100, 0.5);
        samples += attribute(p, "cprof.samples");
        profile_free(p);
    }
    assert_int_equal(samples, stats.samples);
    assert_int_equal(stats.profiles_exported, 2);
}

static bool has_key(const struct profile *p, const char *key)
{
    for (profile_id set = 1; set < profile_label_set_count(p); set++) {
        struct profile_label_set labels = profile_get_labels(p, set);
        for (uint32_t i = 0; i < labels.count; i++)
            if (strcmp(profile_text(p, labels.labels[i].key), key) == 0)
                return true;
    }
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++)
        if (strcmp(profile_text(p, profile_attribute(p, PROFILE_RESOURCE, i)->key), key) == 0)
            return true;
    return false;
}

static const struct profile_label *find_time(const struct profile *p, size_t sample)
{
    const struct profile_label_set set =
        profile_get_labels(p, profile_get_sample(p, sample).labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(p, set.labels[i].key), PROFILE_TIME) == 0)
            return &set.labels[i];
    return NULL;
}

static void samples_say_when_they_were_taken_on_request(void **state)
{
    (void)state;
    const uint64_t begin = clock_ns(CLOCK_REALTIME);
    setenv("CPROF_TIMESTAMPS", "on", 1);
    start(NULL, 1000);
    burn_seven(0.2);
    struct profile *p = stop_and_read();
    unsetenv("CPROF_TIMESTAMPS");
    size_t timed = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_label *time = find_time(p, i);
        if (time == NULL)
            continue; /* what no signal saw has no time */
        assert_in_range(time->number, begin, clock_ns(CLOCK_REALTIME));
        timed++;
    }
    assert_true(timed > 10);
    profile_free(p);

    start(NULL, 1000);
    burn_seven(0.1);
    p = stop_and_read();
    for (size_t i = 0; i < profile_sample_count(p); i++)
        assert_null(find_time(p, i));
    profile_free(p);
}

/* Each would be a label of its own, a thread's even a series. */
static void what_a_series_can_do_without_is_left_out_on_request(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value;
        bool describes, threads;
    } cases[] = {{"CPROF_RESOURCE", "identity", false, true},
                 {"CPROF_RESOURCE", "full", true, true},
                 {"CPROF_THREAD_LABELS", "off", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(cases[i].variable, cases[i].value, 1);
        start(NULL, 1000);
        burn_seven(0.1);
        struct profile *p = stop_and_read();
        unsetenv(cases[i].variable);
        assert_true(has_key(p, "process.pid"));
        assert_int_equal(has_key(p, "process.executable.path"), cases[i].describes);
        assert_int_equal(has_key(p, "thread.id"), cases[i].threads);
        assert_int_equal(has_key(p, "thread.name"), cases[i].threads);
        profile_free(p);
    }
}

NEVER_INLINED static void turn_left(uint64_t way, int depth);
NEVER_INLINED static void turn_right(uint64_t way, int depth);

static void go_on(uint64_t way, int depth)
{
    if (depth == 0)
        burn_until(CLOCK_THREAD_CPUTIME_ID, 0.003);
    else if (hash_combine(way, (uint64_t)depth) & 1)
        turn_left(way, depth - 1);
    else
        turn_right(way, depth - 1);
}

static void turn_left(uint64_t way, int depth)
{
    go_on(way, depth);
    sink++;
}

static void turn_right(uint64_t way, int depth)
{
    go_on(way, depth);
    sink += 2;
}

/* Stacks of 900 frames, each another one: some 4 KB a piece, over a MB a second. */
static void past_the_memory_limit_samples_count_as_overflow(void **state)
{
    (void)state;
    enum { LIMIT = 4 << 20 };
    setenv("CPROF_MEMORY_LIMIT", "4M", 1);
    setenv("CPROF_MAX_FRAMES", "1000", 1);
    setenv("CPROF_INTERVAL", "60", 1);
    start(NULL, 1000);
    double before = cpu_seconds();
    struct cprof_stats stats;
    for (uint64_t way = 1; cpu_seconds() - before < 5; way++) {
        turn_left(way, 900);
        cprof_stats(&stats);
        assert_true(stats.memory_bytes <= LIMIT);
    }
    struct profile *p = stop_and_read();
    unsetenv("CPROF_MEMORY_LIMIT");
    unsetenv("CPROF_MAX_FRAMES");
    unsetenv("CPROF_INTERVAL");
    cprof_stats(&stats);
    double overflow = seconds_in(p, PROFILE_OVERFLOW, NULL, NULL);
    assert_true(overflow > 0.3);
    assert_true(seconds_in(p, "turn_left", NULL, NULL) > 0.1);
    assert_close(seconds_in(p, NULL, NULL, NULL), (double)stats.samples / 1000, 0.0005);
    assert_true((double)(stats.samples + stats.samples_dropped) / 1000 > 4.5);
    assert_int_equal(attribute(p, "cprof.samples"), stats.samples);
    profile_free(p);
}

/* ---- life ---- */

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *files = opendir(path);
    while (files != NULL && readdir(files) != NULL)
        count++;
    closedir(files);
    return count;
}

/* Of address space: rings, tables and stacks are no part of what malloc tells. */
static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%zu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void start_and_stop(int times)
{
    const struct cprof_options options = {.exporter = "none"};
    for (int i = 0; i < times; i++) {
        assert_int_equal(cprof_start(&options, NULL, error, sizeof error), 0);
        assert_int_equal(cprof_stop(5), 0);
    }
}

/* Bytes that malloc has handed out. */
static size_t allocated(void)
{
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
#else
    struct mallinfo info = mallinfo();
#endif
    return (size_t)info.uordblks + (size_t)info.hblkhd;
}

static void a_thousand_starts_and_stops_leak_nothing(void **state)
{
    (void)state;
    start_and_stop(50);
    size_t files = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");
    size_t timers_before = timers(), mapped = mapped_bytes();
    size_t before = allocated();
    start_and_stop(MANY);
    size_t after = allocated();
    assert_int_equal(entries_of("/proc/self/fd"), files);
    assert_int_equal(entries_of("/proc/self/task"), threads);
    assert_int_equal(timers(), timers_before);
    if (MANY == 1000) /* a sanitizer keeps what is freed */
        assert_true(mapped_bytes() <= mapped + (1 << 20));
    assert_true(after <= before + (64 << 10));
}

/* The collector looks at the handler while stop takes it away. */
static void quick_starts_and_stops_warn_of_nothing(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/stderr", directory);
    int kept = dup(STDERR_FILENO), file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    dup2(file, STDERR_FILENO);
    start_and_stop(500);
    dup2(kept, STDERR_FILENO);
    close(kept);
    char said[256] = "";
    ssize_t length = pread(file, said, sizeof said - 1, 0);
    close(file);
    if (length != 0)
        fail_msg("%s", said);
}

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    assert_int_equal(cprof_stop(1), -ENOENT);
    assert_int_equal(cprof_flush(1), -ENOENT);
    assert_false(cprof_is_running());
    assert_int_equal(cprof_start(&(struct cprof_options){.rate = 9999}, NULL, error, 256),
                     -EINVAL);
    assert_false(cprof_is_running());
    const struct cprof_options nowhere = {.output = "/no/such/folder/x.html"};
    assert_int_equal(cprof_start(&nowhere, NULL, error, 256), -EINVAL);
    assert_ptr_equal(strstr(error, "output: '/no/such/folder/x.html': "), error);
    setenv("CPROF_OUTPUT", nowhere.output, 1);
    assert_int_equal(cprof_start(NULL, NULL, error, 256), -EINVAL);
    unsetenv("CPROF_OUTPUT");
    assert_ptr_equal(strstr(error, "CPROF_OUTPUT: '/no/such/folder/x.html': "), error);
    start(NULL, 100);
    assert_true(cprof_is_running());
    assert_int_equal(cprof_flush(5), 0);
    assert_int_equal(cprof_stop(5), 0);
}

static void flush_delivers_what_is_there(void **state)
{
    (void)state;
    snprintf(output, sizeof output, "%s/flush-%%n.pb.gz", directory);
    start(NULL, 100);
    for (int i = 0; i < 3; i++) {
        burn_seven(0.2);
        assert_int_equal(cprof_flush(5), 0);
    }
    struct cprof_stats stats;
    cprof_stats(&stats);
    assert_int_equal(stats.profiles_exported, 3);
    assert_int_equal(cprof_stop(5), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(errno_is_never_changed),
        TEST(a_program_keeps_its_own_profiling_timer),
        TEST(a_second_start_joins_the_running_one),
        TEST(the_end_of_a_program_stops_what_was_started_twice),
        TEST(a_stack_too_deep_keeps_its_leaves_under_a_truncated_root),
        TEST(interpreted_frames_replace_the_loop),
        TEST(plumbing_is_not_shown_where_it_is_inlined),
        TEST(names_that_come_later_are_waited_for),
        TEST(a_block_has_what_ran_in_it_with_names_or_without),
        TEST(names_that_never_come_are_given_up),
        TEST(a_handler_at_work_is_waited_for_but_not_for_ever),
        TEST(a_loop_without_a_symbol_is_told_by_its_address),
        TEST(every_profile_carries_the_counts),
        TEST(samples_say_when_they_were_taken_on_request),
        TEST(what_a_series_can_do_without_is_left_out_on_request),
        TEST(past_the_memory_limit_samples_count_as_overflow),
        TEST(wrong_calls_are_refused),
        TEST(flush_delivers_what_is_there),
        TEST(a_thousand_starts_and_stops_leak_nothing),
        TEST(quick_starts_and_stops_warn_of_nothing),
    };
    return RUN(tests, argc, argv);
}
