#include "samples.h"

#include <stdio.h>

#define PERIOD 10000000

uint32_t next_random(uint64_t *state, uint32_t bound)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((*state >> 33) % bound);
}

struct profile *cpu_profile(struct budget *budget)
{
    struct profile *p = profile_new(budget);
    if (p == NULL)
        return NULL;
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    struct profile_header *h = profile_header(p);
    h->time_ns = 1700000000000000000ULL;
    h->duration_ns = 10000000000ULL;
    profile_set_period(p, 0, "cpu", "nanoseconds", PERIOD);
    return p;
}

profile_id named_location(struct profile *p, const char *name, int64_t line)
{
    struct profile_function function = {.name = profile_string(p, name)};
    struct profile_line one = {.function = profile_function(p, &function), .line = line};
    return profile_location(p, &(struct profile_location){.line_count = 1, .lines = &one});
}

static profile_id random_text(struct profile *p, uint64_t *state, const char *prefix,
                              uint32_t kinds)
{
    char text[64];
    snprintf(text, sizeof(text), "%s%u", prefix, next_random(state, kinds));
    return profile_string(p, text);
}

static profile_id random_function(struct profile *p, uint64_t *state)
{
    uint64_t own = next_random(state, 40); /* a function has one file and one first line */
    return profile_function(p, &(struct profile_function){
                                   .name = random_text(p, &own, "Cart.total", 1000),
                                   .system_name = random_text(p, &own, "_ZN4Cart", 4),
                                   .filename = random_text(p, &own, "/app/cart.py", 5),
                                   .start_line = next_random(&own, 100),
                               });
}

static profile_id random_mapping(struct profile *p, uint64_t *state)
{
    uint32_t which = next_random(state, 4);
    return profile_mapping(p,
                           &(struct profile_mapping){
                               .start = 0x10000 * (which + 1),
                               .limit = 0x10000 * (which + 2),
                               .file_offset = 0x1000,
                               .filename = profile_string(p, which ? "/lib/libc.so" : "/bin/x"),
                               .build_id = which & 1 ? profile_string(p, "00ff12") : 0,
                               .htlhash = which & 1 ? 0 : profile_string(p, "abcdef"),
                           });
}

static profile_id random_location(struct profile *p, uint64_t *state)
{
    struct profile_line lines[3];
    struct profile_location location = {.lines = lines};
    if (next_random(state, 2)) {
        location.type = CPROF_FRAME_NATIVE;
        location.mapping = random_mapping(p, state);
        location.address = 0x10000 + next_random(state, 100);
        location.line_count = next_random(state, 4);
    } else {
        location.type = (enum cprof_frame_type[]){
            CPROF_FRAME_UNKNOWN, CPROF_FRAME_NATIVE, CPROF_FRAME_KERNEL,
            CPROF_FRAME_CPYTHON, CPROF_FRAME_RUBY,   CPROF_FRAME_V8JS}[next_random(state, 6)];
        location.line_count = 1;
    }
    for (uint32_t i = 0; i < location.line_count; i++)
        lines[i] = (struct profile_line){
            .function = random_function(p, state),
            .line = next_random(state, 30),
            .column = next_random(state, 3),
        };
    return profile_location(p, &location);
}

static profile_id random_link(struct profile *p, uint64_t *state)
{
    uint8_t number = (uint8_t)next_random(state, 6);
    struct profile_link link = {{number, 2, 3}, {number, 9}};
    return number == 0 ? 0 : profile_link(p, &link);
}

static profile_id random_labels(struct profile *p, uint64_t *state)
{
    struct profile_label labels[3] = {
        {.key = profile_string(p, "thread.name"), .text = random_text(p, state, "worker-", 3)},
        {.key = profile_string(p, "thread.id"),
         .number = (int64_t)next_random(state, 3) - 1,
         .is_number = true},
        {.key = profile_string(p, "allocated"),
         .number = next_random(state, 3),
         .is_number = true,
         .unit = profile_string(p, "bytes")},
    };
    return profile_labels(p, labels, next_random(state, 4));
}

void add_random_samples(struct profile *p, uint64_t seed, size_t count)
{
    uint64_t state = seed;
    for (size_t i = 0; i < count; i++) {
        profile_id frames[12];
        uint32_t depth = next_random(&state, 12);
        for (uint32_t k = 0; k < depth; k++)
            frames[k] = random_location(p, &state);
        profile_id stack = profile_stack(p, frames, depth);
        profile_id link = random_link(p, &state);
        profile_id labels = random_labels(p, &state);
        int64_t samples = (int64_t)next_random(&state, 5);
        profile_add(p, 0, stack, link, labels, (int64_t[]){samples, samples * PERIOD});
    }
}

int64_t column_total(const struct profile *p, size_t column)
{
    int64_t total = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        struct profile_sample sample = profile_get_sample(p, i);
        total += profile_value(p, &sample, column);
    }
    return total;
}
