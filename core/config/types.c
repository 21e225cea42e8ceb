/* CPROF_TYPES and CPROF_RATE: which sources run, and their periods. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config_load.h"
#include "profile/measures.h"

static bool read_hertz(const char *text, uint64_t *period_ns)
{
    static const struct unit units[] = {{"hz", 1}, {"khz", 1000}, {NULL, 0}};
    double rate;
    if (!value_with_unit(text, units, 1, 1e9, &rate) || rate != (double)(uint64_t)rate)
        return false;
    *period_ns = NS_PER_SECOND / (uint64_t)rate;
    return true;
}

static bool read_bytes(const char *text, uint64_t *period)
{
    size_t bytes;
    bool read = value_bytes(text, 1, &bytes);
    *period = read ? bytes : 0;
    return read;
}

static bool read_time(const char *text, uint64_t *period_ns)
{
    static const struct unit units[] = {
        {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
    double ns;
    bool read = value_with_unit(text, units, 1, 1e12, &ns);
    *period_ns = read ? (uint64_t)ns : 0;
    return read;
}

static bool read_count(const char *text, uint64_t *period)
{
    char *end;
    *period = strtoull(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == '\0';
}

/* What is written behind the '@' of a type. */
static bool read_period(const struct source *source, const char *text, uint64_t *period)
{
    static bool (*const readers[])(const char *, uint64_t *) = {
        [SOURCE_HERTZ] = read_hertz,
        [SOURCE_BYTES] = read_bytes,
        [SOURCE_TIME] = read_time,
        [SOURCE_COUNT] = read_count,
    };
    return readers[source->unit](text, period) && *period >= source->least &&
           *period <= source->greatest;
}

/* CPROF_RATE, or `rate`: cpu's period, where the list of types names none. */
static int load_rate(const struct config_loader *loader, uint64_t *period_ns)
{
    struct setting setting = setting_variable("CPROF_RATE");
    const struct source *cpu = source_at(SOURCE_CPU);
    char text[16];
    if (loader->options->rate != 0) {
        snprintf(text, sizeof text, "%u", loader->options->rate);
        setting = (struct setting){.name = "rate", .value = text};
    }
    *period_ns = cpu->usual;
    if (setting.value != NULL && !read_period(cpu, setting.value, period_ns))
        return value_refuse(&loader->complaint, setting,
                            "must be a whole number from 1 to 1000");
    return 0;
}

/* A word of the list, cut off its blanks. */
struct word_of_list {
    const char *at;
    size_t length;
};

static struct word_of_list next_word(const char **list)
{
    struct word_of_list word = {.at = *list, .length = strcspn(*list, ",")};
    *list += word.length + ((*list)[word.length] == ',');
    while (word.length > 0 && isspace((unsigned char)*word.at))
        word.at++, word.length--;
    while (word.length > 0 && isspace((unsigned char)word.at[word.length - 1]))
        word.length--;
    return word;
}

static void choose_all(struct source_set *sources, uint64_t cpu_period)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        sources->period[i] = source_at((enum source_number)i)->usual;
    sources->period[SOURCE_CPU] = cpu_period;
}

/* Adds the source that a word names. False, with what is wrong about it: it is left out. */
static bool choose(struct source_set *sources, struct word_of_list word, uint64_t cpu_period,
                   char *wrong, size_t size)
{
    char period_text[32] = "", names[192];
    const char *at = memchr(word.at, '@', word.length);
    size_t length = at != NULL ? (size_t)(at - word.at) : word.length;
    const struct source *source = source_named(word.at, length);
    source_names(names, sizeof names);
    if (source == NULL) {
        snprintf(wrong, size, "%.*s is %s; this version has %s",
                 (int)(length < 32 ? length : 32), word.at,
                 measure_is_source(word.at, length) ? "not there yet" : "no profile type",
                 names);
        return false;
    }
    uint64_t period = source->number == SOURCE_CPU ? cpu_period : source->usual;
    if (at != NULL)
        snprintf(period_text, sizeof period_text, "%.*s", (int)(word.length - length - 1),
                 at + 1);
    if (at != NULL && !read_period(source, period_text, &period)) {
        snprintf(wrong, size, "%s takes %s", source->name, source->allowed);
        return false;
    }
    sources->period[source->number] = period;
    return true;
}

/* Adds what the list names; what is wrong with the last word that is left out. */
static void read_list(struct source_set *sources, struct setting setting, uint64_t cpu_period,
                      bool warn, char *wrong, size_t size)
{
    for (const char *list = setting.value; *list != '\0';) {
        struct word_of_list word = next_word(&list);
        if (word.length == 3 && strncmp(word.at, "all", 3) == 0)
            choose_all(sources, cpu_period);
        else if (word.length > 0 && !choose(sources, word, cpu_period, wrong, size) && warn)
            log_warn("%s=%.100s: %s", setting.name, setting.value, wrong);
    }
}

/* A type that makes no sense is one line, and the others run. */
int config_load_types(const struct config_loader *loader)
{
    struct setting setting = setting_choose("types", loader->options->types, "CPROF_TYPES");
    struct source_set *sources = &loader->config->sources;
    char wrong[256] = "names no profile type";
    uint64_t cpu_period;
    int status = load_rate(loader, &cpu_period);
    if (status != 0)
        return status;
    if (setting.value == NULL)
        sources->period[SOURCE_CPU] = cpu_period;
    else
        read_list(sources, setting, cpu_period, false, wrong, sizeof wrong);
    if (source_set_empty(sources))
        return value_refuse(&loader->complaint, setting, wrong);
    if (setting.value != NULL)
        read_list(sources, setting, cpu_period, true, wrong, sizeof wrong);
    source_set_plan(sources, cpu_period);
    return 0;
}
