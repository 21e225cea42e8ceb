/* What a profile of 5,000 unique stacks of 30 frames costs: to gather, merge and encode, in
 * time and in bytes. Prints the best of several rounds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "format/format.h"
#include "profile/combine.h"

#define STACKS 5000
#define DEPTH 30
#define LOCATIONS 4000
#define ROUNDS 7

static struct profile *new_profile(void)
{
    struct profile *p = profile_new(NULL);
    struct profile_header *h = profile_header(p);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    h->time_ns = clock_ns(CLOCK_REALTIME);
    h->duration_ns = 10 * NS_PER_SECOND;
    profile_set_period(p, 0, "cpu", "nanoseconds", 10000000);
    return p;
}

static void add_locations(struct profile *p, profile_id *locations)
{
    for (int i = 0; i < LOCATIONS; i++) {
        char name[64], file[64];
        snprintf(name, sizeof(name), "package.module%d.Class.method_%d", i % 40, i);
        snprintf(file, sizeof(file), "/srv/app/package/module%d.py", i % 40);
        struct profile_function function = {.name = profile_string(p, name),
                                            .filename = profile_string(p, file),
                                            .start_line = i};
        struct profile_line line = {.function = profile_function(p, &function), .line = i + 3};
        locations[i] = profile_location(
            p, &(struct profile_location){
                   .type = CPROF_FRAME_CPYTHON, .line_count = 1, .lines = &line});
    }
}

/* Stacks share their outer frames, as those of a program do. */
static void add_samples(struct profile *p, const profile_id *locations)
{
    uint64_t random = 42;
    for (int i = 0; i < STACKS; i++) {
        profile_id frames[DEPTH];
        for (int k = 0; k < DEPTH; k++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            uint32_t spread = 1U << (12 - k * 12 / DEPTH);
            frames[k] =
                locations[((uint32_t)(random >> 33) % spread + (uint32_t)k * 97) % LOCATIONS];
        }
        profile_add(p, 0, profile_stack(p, frames, DEPTH), 0, 0, (int64_t[]){1, 10000000});
    }
}

static double milliseconds(uint64_t since)
{
    return (double)(clock_ns(CLOCK_MONOTONIC) - since) / 1e6;
}

static void keep_least(double *least, double value)
{
    if (*least == 0 || value < *least)
        *least = value;
}

static void print_format(const struct format *format, const struct profile *p)
{
    double write = 0, read = 0;
    size_t size = 0;
    char error[FORMAT_ERROR_SIZE];
    for (int round = 0; round < ROUNDS; round++) {
        struct buffer out = {0};
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        if (format->write(p, &out) != 0)
            exit(1);
        keep_least(&write, milliseconds(start));
        size = out.size;
        if (format->read != NULL) {
            start = clock_ns(CLOCK_MONOTONIC);
            profile_free(format_read(format, out.data, out.size, error));
            keep_least(&read, milliseconds(start));
        }
        buffer_free(&out);
    }
    printf("%-12s write %7.2f ms  read %7.2f ms  %8zu bytes\n", format->name, write, read,
           size);
}

static void print_gzip(const struct profile *p)
{
    struct buffer raw = {0};
    if (format_otlp.write(p, &raw) != 0)
        exit(1);
    for (int level = 1; level <= 9; level += level == 1 ? 5 : 3) {
        double best = 0;
        size_t size = 0;
        for (int round = 0; round < 3; round++) {
            struct buffer packed = {0};
            uint64_t start = clock_ns(CLOCK_MONOTONIC);
            buffer_gzip(&raw, &packed, level);
            keep_least(&best, milliseconds(start));
            size = packed.size;
            buffer_free(&packed);
        }
        printf("gzip -%d otlp %7.2f ms  %8zu bytes\n", level, best, size);
    }
    buffer_free(&raw);
}

int main(void)
{
    static const struct format *const formats[] = {
        &format_pprof, &format_otlp, &format_collapsed, &format_speedscope, &format_html};
    profile_id locations[LOCATIONS];
    double first = 0, again = 0, merge = 0, compact = 0;
    struct profile *p = NULL;
    size_t before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        profile_free(p);
        p = new_profile();
        add_locations(p, locations);
        before = profile_memory(p);
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        add_samples(p, locations);
        keep_least(&first, milliseconds(start));
        start = clock_ns(CLOCK_MONOTONIC);
        add_samples(p, locations);
        keep_least(&again, milliseconds(start));

        struct profile *target = profile_new(NULL);
        start = clock_ns(CLOCK_MONOTONIC);
        profile_merge(target, p);
        keep_least(&merge, milliseconds(start));
        profile_free(target);
        start = clock_ns(CLOCK_MONOTONIC);
        profile_free(profile_compact(p));
        keep_least(&compact, milliseconds(start));
    }
    size_t count = profile_sample_count(p);
    printf("%zu unique stacks of %d frames over %d locations\n", count, DEPTH, LOCATIONS);
    printf("add          %7.0f ns a new stack, %.0f ns a known one\n", first * 1e6 / STACKS,
           again * 1e6 / STACKS);
    printf("memory       %7zu bytes a stack, %zu in all\n",
           (profile_memory(p) - before) / count, profile_memory(p));
    printf("merge        %7.2f ms into a blank profile\n", merge);
    printf("compact      %7.2f ms\n", compact);
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        print_format(formats[i], p);
    print_gzip(p);
    profile_free(p);
    return 0;
}
