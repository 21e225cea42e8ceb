#include "history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../export/folder.h"

#define PERIOD 10000000

static profile_id frame(struct profile *p, const char *format, uint64_t number)
{
    char name[64];
    snprintf(name, sizeof name, format, (unsigned)number);
    const struct profile_function function = {
        .name = profile_string(p, name), .filename = profile_string(p, "/srv/shop/app.py")};
    const struct profile_line line = {.function = profile_function(p, &function), .line = 7};
    const struct profile_location location = {
        .type = CPROF_FRAME_CPYTHON, .line_count = 1, .lines = &line};
    return profile_location(p, &location);
}

int64_t history_count(uint64_t number)
{
    return (int64_t)(8 * 7 + number % 97);
}

uint64_t history_time(uint64_t number)
{
    return EPOCH + (number + 1) * 10 * SECOND;
}

int64_t history_sum(uint64_t first, uint64_t end)
{
    int64_t sum = 0;
    for (uint64_t i = first; i < end; i++)
        sum += history_count(i);
    return sum;
}

struct profile *history_profile(uint64_t number, int pid)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    profile_set_period(p, 0, "cpu", "nanoseconds", PERIOD);
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "shop");
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", pid);
    struct profile_header *header = profile_header(p);
    header->time_ns = history_time(number) - 10 * SECOND;
    header->duration_ns = 10 * SECOND;
    header->profile_id[0] = 1;
    for (uint64_t i = 0; i < 8; i++) {
        const profile_id stack[] = {frame(p, "work_%u", i < 6 ? i : 6 + number % 50),
                                    frame(p, "handle_%u", i % 3), frame(p, "main", 0)};
        int64_t count = 7 + (i == 0 ? (int64_t)(number % 97) : 0);
        const int64_t values[] = {count, count * PERIOD};
        profile_add(p, 0, profile_stack(p, stack, 3), 0, 0, values);
    }
    return p;
}

struct budget *history_budget;

struct store *history_open(const char *service, size_t limit, const char *ages)
{
    char error[256] = "";
    struct store_options options = {
        .folder = folder, .service = service, .limit = limit, .budget = history_budget};
    assert_true(ages_parse(ages, &options.ages));
    struct store *store = store_open(&options, error, sizeof error);
    if (store == NULL)
        fail_msg("%s", error);
    return store;
}

void history_put(struct store *store, uint64_t number, int pid)
{
    size_t size;
    struct profile *p = history_profile(number, pid);
    assert_int_equal(store_put(store, p, history_time(number), &size), 0);
    profile_free(p);
    if (store_wants_tending(store))
        store_tend(store, history_time(number));
}

static int take(void *closure, struct profile *p)
{
    struct held *held = closure;
    uint64_t length = profile_header_const(p)->duration_ns;
    uint64_t from = profile_header_const(p)->time_ns;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        struct profile_sample sample = profile_get_sample(p, i);
        held->samples += sample.values[0];
        held->cpu += sample.values[1];
    }
    held->intervals++;
    held->longest = length > held->longest ? length : held->longest;
    held->shortest = held->shortest == 0 || length < held->shortest ? length : held->shortest;
    held->earliest = held->earliest == 0 || from < held->earliest ? from : held->earliest;
    profile_free(p);
    return 0;
}

static void damaged(void *closure, const char *line)
{
    struct held *held = closure;
    held->damaged++;
    snprintf(held->line, sizeof held->line, "%s", line);
}

static void again(void *closure)
{
    *(struct held *)closure = (struct held){0};
}

struct held history_read(const char *service, uint64_t from, uint64_t to)
{
    char error[FORMAT_ERROR_SIZE];
    struct held held = {0};
    const struct store_range range = {.service = service, .from = from, .to = to};
    const struct store_visitor visitor = {
        .closure = &held, .take = take, .damaged = damaged, .again = again};
    held.status = store_read(folder, &range, &visitor, error);
    assert_true(held.cpu == held.samples * PERIOD);
    return held;
}
