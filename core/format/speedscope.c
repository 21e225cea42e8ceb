/*
 * speedscope's file format (https://www.speedscope.app/file-format-schema.json): shared frames
 * and one "sampled" profile for each thread, weighted by the profile's default value. A frame
 * is a function and says where that begins, so that all its lines are one box. Profiles have
 * no order in time: samples stand as they were first seen.
 */
#include "format/speedscope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/frames.h"
#include "format/json.h"
#include "format/summary.h"
#include "format/thread_names.h"
#include "profile/clamp.h"

struct writer {
    const struct profile *profile;
    struct buffer *out;
    size_t column, first, end; /* and the samples of its sheet */
    const char *service;       /* what the file is called there; NULL = not told */
    struct frame_table frames;
    struct thread_names threads;
    uint32_t *path; /* of one stack; room for the deepest */
};

static bool writer_init(struct writer *w, const struct profile *p, struct buffer *out)
{
    const size_t column = profile_default_column(p), sheet = profile_column_sheet(p, column);
    *w = (struct writer){
        .profile = p,
        .out = out,
        .column = column,
        .first = profile_first_sample(p, sheet),
        .end = profile_first_sample(p, sheet + 1),
        .service = profile_service(p),
    };
    if (frame_table_init(&w->frames, p, FRAMES_OF_PROGRAM) != 0) {
        w->frames = (struct frame_table){0};
        return false;
    }
    w->path = malloc((frame_table_deepest(&w->frames) + 1) * sizeof(*w->path));
    return w->path != NULL && thread_names_init(&w->threads, p, w->first, w->end);
}

static void writer_free(struct writer *w)
{
    if (w->frames.profile != NULL)
        frame_table_free(&w->frames);
    thread_names_free(&w->threads);
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
    if (w->threads.thread_of[sample - w->first] != thread)
        return 0;
    struct profile_sample of = profile_get_sample(w->profile, sample);
    int64_t value = profile_value(w->profile, &of, w->column);
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
    const struct table_string *name = names_at(&w->threads.texts, thread + 1);
    int64_t total = 0;
    const char *separator = "";
    json_raw(w->out, "{\"type\":\"sampled\",\"name\":");
    json_string(w->out, name->text, name->length);
    json_raw(w->out, ",\"unit\":\"");
    json_raw(w->out, unit_word(w));
    json_raw(w->out, "\",\"samples\":[");
    for (size_t i = w->first; i < w->end; i++) {
        if (weight_of(w, i, thread) == 0)
            continue;
        json_raw(w->out, separator);
        write_stack(w, profile_get_sample(w->profile, i).stack);
        separator = ",";
    }
    json_raw(w->out, "],\"weights\":[");
    separator = "";
    for (size_t i = w->first; i < w->end; i++) {
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
                     "\"exporter\":\"" SPEEDSCOPE_EXPORTER CPROF_VERSION "\",\n");
    if (w->service != NULL) {
        json_raw(w->out, "\"name\":");
        json_string(w->out, w->service, strlen(w->service));
        json_raw(w->out, ",\n");
    }
    json_raw(w->out, "\"shared\":{\"frames\":[");
    write_frames(w);
    json_raw(w->out, "]},\n\"profiles\":[");
    for (uint32_t i = 0; i < w->threads.count; i++) {
        if (i > 0)
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
    bool failed = !ready || w.threads.texts.failed;
    writer_free(&w);
    return failed ? -ENOMEM : out->error;
}

static const char *const endings[] = {".speedscope.json", NULL};
static const char *const keys[] = {"shared", "profiles", NULL};

const struct format format_speedscope = {
    .name = "speedscope",
    .endings = endings,
    .json_keys = keys,
    .write = speedscope_write,
    .read = speedscope_read,
};
