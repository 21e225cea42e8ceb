/* The formats that there are, and how people call them. */
#include <stdio.h>
#include <string.h>

#include "format/format.h"
#include "format/slice.h"

static const struct format *const formats[] = {
    &format_pprof,
    &format_otlp,
    &format_collapsed,
    &format_speedscope,
    &format_html,
    &format_cpuprofile,
    &format_gecko,
    &format_callgrind,
    &format_pstats,
    &format_block,
    /* Read only: */
    &format_heapprofile,
    &format_stackprof,
    &format_perf_script,
    &format_gperftools,
    &format_heap_text,
};
#define FORMAT_COUNT (sizeof(formats) / sizeof(*formats))

/* A path is more than the ending. */
static bool is_ending(const char *path, const char *ending)
{
    return slice_ends(slice_of(path), ending) && strlen(path) > strlen(ending);
}

const struct format *format_by_path(const char *path)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        for (const char *const *ending = formats[i]->endings; *ending != NULL; ending++)
            if (is_ending(path, *ending))
                return formats[i];
    return NULL;
}

const struct format *format_at(size_t number)
{
    return number < FORMAT_COUNT ? formats[number] : NULL;
}

const struct format *format_by_name(const char *name)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

static const char *word_of(const struct format *format, enum format_words words, size_t number)
{
    if (format->write == NULL)
        return NULL;
    if (words == FORMAT_NAMES)
        return number == 0 ? format->name : NULL;
    return format->endings[number];
}

void format_list(enum format_words words, char *text, size_t size)
{
    const char *word, *held = NULL; /* until it is known whether it is the last */
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        for (size_t k = 0; (word = word_of(formats[i], words, k)) != NULL; k++) {
            if (slice_ends(slice_of(word), ".gz") && strcmp(word, ".pb.gz") != 0)
                continue; /* as the one without, packed */
            if (held != NULL && used < size)
                used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                         held);
            held = word;
        }
    if (used < size)
        snprintf(text + used, size - used, " or %s", held);
}
