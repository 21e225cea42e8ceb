#include "source/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cprof/runtime.h"
#include "sample/handler.h"
#include "sample/take.h"
#include "source/hooked.h"

extern const struct source source_cpu, source_offcpu, source_wall, source_alloc, source_heap,
    source_lock, source_blame, source_exception, source_gc;

/* One row a source, by its number. */
static const struct source *const table[SOURCES_MAX] = {
    [SOURCE_CPU] = &source_cpu,     [SOURCE_OFFCPU] = &source_offcpu,
    [SOURCE_WALL] = &source_wall,   [SOURCE_ALLOC] = &source_alloc,
    [SOURCE_HEAP] = &source_heap,   [SOURCE_LOCK] = &source_lock,
    [SOURCE_BLAME] = &source_blame, [SOURCE_EXCEPTION] = &source_exception,
    [SOURCE_GC] = &source_gc,
};

const struct source *source_at(enum source_number number)
{
    return number < SOURCES_MAX ? table[number] : NULL;
}

const struct source *source_named(const char *name, size_t length)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        if (strlen(table[i]->name) == length && strncmp(table[i]->name, name, length) == 0)
            return table[i];
    return NULL;
}

/* All of them, or those that are open. */
static void list_names(const struct source_set *set, char *list, size_t size)
{
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < SOURCES_MAX && used < size; i++)
        if (set == NULL || set->open[i])
            used += (size_t)snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     table[i]->name);
}

void source_names(char *list, size_t size)
{
    list_names(NULL, list, size);
}

void source_set_names(const struct source_set *set, char *list, size_t size)
{
    list_names(set, list, size);
}

/* ---- those that are asked for ---- */

bool source_set_empty(const struct source_set *set)
{
    return source_sheet(set, SOURCES_MAX) == 0;
}

size_t source_sheet(const struct source_set *set, enum source_number number)
{
    size_t before = 0;
    for (size_t i = 0; i < number; i++)
        before += set->period[i] != 0;
    return before;
}

static bool has_bit(const struct source *source, size_t maker)
{
    return (source->counts & SOURCE_BIT(maker)) != 0;
}

void source_set_plan(struct source_set *set, uint64_t cpu_period)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        for (size_t maker = 0; set->period[i] != 0 && maker < SOURCES_MAX; maker++) {
            if (!has_bit(table[i], maker) || set->making[maker] != 0)
                continue;
            uint64_t asked = set->period[maker];
            uint64_t borrowed = maker == SOURCE_CPU ? cpu_period : set->period[i];
            set->making[maker] = asked != 0 ? asked : borrowed;
        }
}

static bool has_makers(const struct source_set *set, const struct source *source)
{
    for (size_t maker = 0; maker < SOURCES_MAX; maker++)
        if (has_bit(source, maker) && (set->making[maker] == 0 || set->failed[maker]))
            return false;
    return true;
}

bool source_counts(const struct source_set *set, enum source_number number,
                   enum source_number maker)
{
    const struct source *source = table[number];
    return set->period[number] != 0 && has_bit(source, maker) && has_makers(set, source);
}

/* ---- open and closed ---- */

/* A runtime's hooks of allocations may want the timers of `cpu` where nobody else does. */
static void plan_ticks(struct source_set *set)
{
    const struct take_view *view = take_seen();
    bool ticks = view != NULL && view->runtime != NULL && view->runtime->tick != NULL;
    bool counted = false;
    for (size_t i = 0; i < SOURCES_MAX; i++)
        counted |= set->period[i] != 0 && has_bit(table[i], SOURCE_CPU);
    ticks &= !counted && (set->period[SOURCE_ALLOC] != 0 || set->period[SOURCE_HEAP] != 0);
    if (ticks)
        set->making[SOURCE_CPU] = source_cpu.usual;
    atomic_store(&handler_only_ticks, ticks);
}

static int open_one(const struct source *source, uint64_t period, const char **why)
{
    return source->hook != NULL ? hooked_open(source->hook, source->number, period, why)
                                : source->open(period, why);
}

static void close_one(const struct source *source)
{
    if (source->hook != NULL)
        hooked_close(source->hook, source->number);
    else
        source->close();
}

static void tick_one(const struct source *source)
{
    if (source->hook != NULL)
        hooked_tick(source->hook);
    else if (source->tick != NULL)
        source->tick();
}

/* Opens what makes records. Of those that can't be had, errors[] and reasons[] say why. */
static void open_makers(struct source_set *set, int *errors, const char **reasons)
{
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        errors[i] = 0;
        reasons[i] = NULL;
        if (set->making[i] == 0)
            continue;
        errors[i] = open_one(table[i], set->making[i], &reasons[i]);
        set->open[i] = errors[i] == 0;
        set->failed[i] = errors[i] != 0;
    }
}

/* The first maker of a source without all of them that can't be had. */
static size_t missing_maker(const struct source *source, const int *errors)
{
    size_t maker = 0;
    while (maker + 1 < SOURCES_MAX && (!has_bit(source, maker) || errors[maker] == 0))
        maker++;
    return maker;
}

int sources_open(struct source_set *set, const char **why)
{
    int status = -EINVAL, errors[SOURCES_MAX];
    const char *reasons[SOURCES_MAX];
    bool any = false, several = source_sheet(set, SOURCES_MAX) > 1;
    plan_ticks(set);
    open_makers(set, errors, reasons);
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        if (set->period[i] == 0)
            continue;
        if (has_makers(set, table[i])) {
            any = true;
            continue;
        }
        size_t missing = missing_maker(table[i], errors);
        status = errors[missing];
        *why = reasons[missing] != NULL ? reasons[missing] : strerror(-status);
        if (several)
            log_warn("no %s profiles: %s", table[i]->name, *why);
    }
    if (!any)
        sources_close(set);
    return any ? 0 : status;
}

void sources_close(struct source_set *set)
{
    for (size_t i = SOURCES_MAX; i > 0; i--) {
        if (set->open[i - 1])
            close_one(table[i - 1]);
        set->open[i - 1] = false;
    }
}

void sources_tick(const struct source_set *set)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        if (set->open[i])
            tick_one(table[i]);
}

void sources_follow(const struct source_set *set, bool modules_changed)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        if (set->period[i] != 0 && table[i]->follow != NULL)
            table[i]->follow(modules_changed);
}
