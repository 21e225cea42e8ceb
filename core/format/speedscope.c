/*
 * speedscope's file format (https://www.speedscope.app/file-format-schema.json): shared frames
 * and one "sampled" profile for each thread, weighted by the profile's default value. A frame
 * is a function and says where that begins, so that all its lines are one box. Profiles have
 * no order in time: samples stand as they were first seen.
 */
#include "format/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frames.h"
#include "format/json.h"
#include "format/names.h"
#include "format/summary.h"
#include "profile/clamp.h"

struct writer {
    const struct profile *profile;
    struct buffer *out;
    size_t column;
    const char *service; /* what the file is called there; NULL = not told */
    struct frame_table frames;
    struct names threads; /* their names */
    uint32_t *thread_of;  /* by sample */
    uint32_t *path;       /* of one stack; room for the deepest */
};

/* "name (id)", as much of it as the labels tell. */
static uint32_t name_thread(struct writer *w, profile_id labels)
{
    const struct profile *p = w->profile;
    struct profile_label_set set = profile_get_labels(p, labels);
    const char *name = profile_label_text(p, labels, "thread.name");
    char text[256];
    snprintf(text, sizeof(text), "%.200s", name != NULL ? name : "thread");
    for (uint32_t i = 0; i < set.count; i++)
        if (set.labels[i].is_number &&
            strcmp(profile_text(p, set.labels[i].key), "thread.id") == 0)
            snprintf(text, sizeof(text), "%.200s (%" PRId64 ")", name != NULL ? name : "thread",
                     set.labels[i].number);
    return names_text(&w->threads, text);
}

static bool writer_init(struct writer *w, const struct profile *p, struct buffer *out)
{
    size_t samples = profile_sample_count(p);
    *w = (struct writer){
        .profile = p,
        .out = out,
        .column = profile_default_column(p),
        .service = profile_service(p),
    };
    if (frame_table_init(&w->frames, p, FRAMES_OF_PROGRAM) != 0) {
        w->frames = (struct frame_table){0};
        return false;
    }
    w->path = malloc((frame_table_deepest(&w->frames) + 1) * sizeof(*w->path));
    w->thread_of = malloc((samples + 1) * sizeof(*w->thread_of));
    if (!names_init(&w->threads, p) || w->path == NULL || w->thread_of == NULL)
        return false;
    for (size_t i = 0; i < samples; i++)
        w->thread_of[i] = name_thread(w, profile_get_sample(p, i).labels);
    return true;
}

static void writer_free(struct writer *w)
{
    if (w->frames.profile != NULL)
        frame_table_free(&w->frames);
    names_free(&w->threads);
    free(w->thread_of);
    free(w->path);
}

static void write_text(struct writer *w, const char *key, profile_id id)
{
    json_raw(w->out, key);
    json_string(w->out, profile_text(w->profile, id), profile_text_length(w->profile, id));
}

static void write_frame(struct writer *w, const struct frame *frame)
{
    json_raw(w->out, "{\"name\":");
    json_string(w->out, frame->text, frame->text_length);
    if (frame->file != 0)
        write_text(w, ",\"file\":", frame->file);
    if (frame->start_line > 0) {
        json_raw(w->out, ",\"line\":");
        json_integer(w->out, frame->start_line);
    }
    json_raw(w->out, "}");
}

/* One for each function: frames are sorted by it. */
static void write_frames(struct writer *w)
{
    const struct frame *frames = w->frames.frames;
    for (uint32_t i = 0; i < w->frames.frame_count; i++) {
        if (i > 0 && frames[i].function == frames[i - 1].function)
            continue;
        if (i > 0)
            json_raw(w->out, ",\n");
        write_frame(w, &frames[i]);
    }
}

static void write_stack(struct writer *w, profile_id stack)
{
    size_t depth =
        frame_table_expand(&w->frames, profile_get_stack(w->profile, stack), w->path);
    json_raw(w->out, "[");
    for (size_t i = 0; i < depth; i++) {
        if (i > 0)
            json_raw(w->out, ",");
        json_integer(w->out, w->frames.frames[w->path[i]].function);
    }
    json_raw(w->out, "]");
}

/* The weight of a sample in a thread's profile; what is not positive has no width. */
static int64_t weight_of(const struct writer *w, size_t sample, uint32_t thread)
{
    if (w->thread_of[sample] != thread)
        return 0;
    int64_t value = profile_get_sample(w->profile, sample).values[w->column];
    return value > 0 ? value : 0;
}

static const char *unit_word(const struct writer *w)
{
    const char *unit = profile_unit(w->profile, w->column);
    static const char *const known[] = {"nanoseconds", "microseconds", "milliseconds",
                                        "seconds", "bytes"};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(unit, known[i]) == 0)
            return known[i];
    return "none";
}

static void write_thread(struct writer *w, uint32_t thread)
{
    const struct table_string *name = names_at(&w->threads, thread);
    int64_t total = 0;
    const char *separator = "";
    json_raw(w->out, "{\"type\":\"sampled\",\"name\":");
    json_string(w->out, name->text, name->length);
    json_raw(w->out, ",\"unit\":\"");
    json_raw(w->out, unit_word(w));
    json_raw(w->out, "\",\"samples\":[");
    for (size_t i = 0; i < profile_sample_count(w->profile); i++) {
        if (weight_of(w, i, thread) == 0)
            continue;
        json_raw(w->out, separator);
        write_stack(w, profile_get_sample(w->profile, i).stack);
        separator = ",";
    }
    json_raw(w->out, "],\"weights\":[");
    separator = "";
    for (size_t i = 0; i < profile_sample_count(w->profile); i++) {
        int64_t weight = weight_of(w, i, thread);
        if (weight == 0)
            continue;
        json_raw(w->out, separator);
        json_integer(w->out, weight);
        separator = ",";
        total = clamp_add(total, weight);
    }
    json_raw(w->out, "],\"startValue\":0,\"endValue\":");
    json_integer(w->out, total);
    json_raw(w->out, "}");
}

static void write_file(struct writer *w)
{
    json_raw(w->out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
                     "\"exporter\":\"cprof " CPROF_VERSION "\",\n");
    if (w->service != NULL) {
        json_raw(w->out, "\"name\":");
        json_string(w->out, w->service, strlen(w->service));
        json_raw(w->out, ",\n");
    }
    json_raw(w->out, "\"shared\":{\"frames\":[");
    write_frames(w);
    json_raw(w->out, "]},\n\"profiles\":[");
    for (uint32_t i = 1; i < names_count(&w->threads); i++) {
        if (i > 1)
            json_raw(w->out, ",\n");
        write_thread(w, i);
    }
    json_raw(w->out, "]}\n");
}

static int speedscope_write(const struct profile *p, struct buffer *out)
{
    struct writer w;
    if (profile_sample_count(p) == 0)
        return -ENODATA;
    bool ready = writer_init(&w, p, out);
    if (ready)
        write_file(&w);
    bool failed = !ready || w.threads.failed;
    writer_free(&w);
    return failed ? -ENOMEM : out->error;
}

static const char *const endings[] = {".speedscope.json", NULL};

const struct format format_speedscope = {
    .name = "speedscope",
    .endings = endings,
    .write = speedscope_write,
};
