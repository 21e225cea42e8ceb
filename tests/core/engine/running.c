#include "running.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "format/format.h"
#include "rest.h"
#include "sample/by_tid.h"

#define LONGEST_WAIT 0.5 /* seconds of CPU time, for a sample */

char directory[32] = "/tmp/cprof-engine-XXXXXX";
char output[96], error[256];
volatile uint64_t sink;

int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL || rest_at_forks() != 0;
}

int remove_directory(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0;
}

int fresh_output(void **state)
{
    (void)state;
    snprintf(output, sizeof output, "%s/out.pb.gz", directory);
    unlink(output);
    return 0;
}

/* ---- work ---- */

double burn_until(clockid_t clock, double seconds)
{
    uint64_t began = clock_ns(clock), now = began;
    uint64_t end = began + (uint64_t)(seconds * 1e9);
    for (; now < end; now = clock_ns(clock))
        for (int i = 0; i < 5000; i++)
            sink += (uint64_t)i;
    return (double)(now - began) / 1e9;
}

NEVER_INLINED double burn_seven(double seconds)
{
    double spent = burn_until(CLOCK_THREAD_CPUTIME_ID, 0.7 * seconds);
    sink++;
    return spent;
}

NEVER_INLINED double burn_three(double seconds)
{
    double spent = burn_until(CLOCK_THREAD_CPUTIME_ID, 0.3 * seconds);
    sink++;
    return spent;
}

double burn_to_a_sample(double (*burn)(double seconds), double seconds)
{
    uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    double spent = burn(seconds);
    const struct thread *self = by_tid_find((pid_t)syscall(SYS_gettid));
    uint64_t seen = self != NULL ? thread_expiries(self) : 0;
    while (self != NULL && thread_expiries(self) == seen && spent < seconds + LONGEST_WAIT) {
        burn(0.002);
        spent = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - began) / 1e9;
    }
    return spent;
}

double cpu_seconds(void)
{
    struct cprof_stats stats;
    cprof_stats(&stats);
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - stats.collector_cpu_ns) / 1e9;
}

/* ---- profiles ---- */

void start(const struct cprof_runtime *runtime, unsigned rate)
{
    const struct cprof_options options = {.output = output, .rate = rate};
    if (cprof_start(&options, runtime, error, sizeof error) != 0)
        fail_msg("%s", error);
}

struct profile *stop_and_read(void)
{
    assert_int_equal(cprof_stop(60), 0);
    struct profile *profile = format_read_file(output, error);
    if (profile == NULL)
        fail_msg("%s", error);
    return profile;
}

bool location_is(const struct profile *p, profile_id id, const char *name)
{
    const struct profile_location *location = profile_get_location(p, id);
    for (uint32_t i = 0; i < location->line_count; i++) {
        const struct profile_function *f = profile_get_function(p, location->lines[i].function);
        if (strcmp(profile_text(p, f->name), name) == 0)
            return true;
    }
    return false;
}

bool has_frame(const struct profile *p, profile_id stack, const char *name)
{
    const struct profile_stack s = profile_get_stack(p, stack);
    for (uint32_t i = 0; i < s.depth; i++)
        if (location_is(p, s.locations[i], name))
            return true;
    return false;
}

double total(const struct profile *p, const char *column, const char *frame)
{
    int number = profile_value_column(p, column);
    assert_true(number >= 0);
    double sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        if (frame == NULL || has_frame(p, sample.stack, frame))
            sum += (double)profile_value(p, &sample, (size_t)number);
    }
    return sum;
}

double seconds_in(const struct profile *p, const char *frame, const char *key,
                  const char *value)
{
    int column = profile_value_column(p, "cpu");
    assert_true(column >= 0);
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const char *label = key ? profile_label_text(p, sample.labels, key) : NULL;
        if (frame != NULL && !has_frame(p, sample.stack, frame))
            continue;
        if (key != NULL && (label == NULL || strcmp(label, value) != 0))
            continue;
        sum += sample.values[column];
    }
    return (double)sum / 1e9;
}

void assert_close(double value, double expected, double tolerance)
{
    if (value < expected - tolerance || value > expected + tolerance)
        fail_msg("%.3f is not within %.3f of %.3f", value, tolerance, expected);
}

/* ---- the process ---- */

size_t timers(void)
{
    size_t lines = 0;
    FILE *file = fopen("/proc/self/timers", "r");
    for (int c; file != NULL && (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    if (file != NULL)
        fclose(file);
    return lines;
}
