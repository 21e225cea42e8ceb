/*
 * Reads speedscope's file format (https://www.speedscope.app/file-format-schema.json): what
 * py-spy, rbspy, inferno's and speedscope's own export write. Both of its kinds of profile:
 * "sampled", a weight for each stack, and "evented", frames that open and close at some time,
 * where the time between two events is that of the stack then open.
 *
 * The file says the unit of its numbers but not what they measure: times become the column
 * time/nanoseconds, bytes space/bytes, others samples/count, or weight/millionths where they
 * are not whole. Profiles of several units are columns beside each other. A profile's name is
 * its thread's.
 */
#include "format/speedscope.h"

#include <stdlib.h>

#include "format/intake.h"
#include "format/named_frame.h"
#include "format/nested.h"
#include "format/refuse.h"

#define MILLION 1e6

/* What a column is, for each unit that the schema knows. */
static const struct unit {
    const char *name, *type, *unit;
    double factor;
} units[] = {
    {"nanoseconds", "time", "nanoseconds", 1},
    {"microseconds", "time", "nanoseconds", 1e3},
    {"milliseconds", "time", "nanoseconds", 1e6},
    {"seconds", "time", "nanoseconds", 1e9},
    {"bytes", "space", "bytes", 1},
    {"none", "samples", "count", 1},
};
enum { UNIT_NONE = sizeof(units) / sizeof(*units) - 1 }; /* also for one that is not known */
static const struct unit not_whole = {"none", "weight", "millionths", MILLION};

struct reader {
    struct nested in;
    struct intake *intake;
    profile_id *frames; /* by number in the file */
    uint32_t frame_count;
    bool starts_told; /* a frame's line is that on which its function begins */
    bool fractions;   /* of the unit "none" */
    /* Of the profile at hand: */
    const struct unit *unit;
    size_t column;
    profile_id thread;
    uint32_t *open; /* the frames, outermost first; room for all its events */
    size_t depth;
};

/* --- frames --- */

static profile_id read_frame(const struct reader *r, uint32_t row)
{
    int64_t line, column;
    nested_integer(&r->in, nested_get(&r->in, row, "line"), &line);
    nested_integer(&r->in, nested_get(&r->in, row, "col"), &column);
    struct named_frame frame = {
        .name = nested_text(&r->in, nested_get(&r->in, row, "name")),
        .file = nested_text(&r->in, nested_get(&r->in, row, "file")),
        .line = r->starts_told ? 0 : line,
        .start_line = r->starts_told ? line : 0,
        .column = column,
    };
    frame.type = named_frame_type(frame.file);
    return named_frame_intern(r->intake->sum, &frame);
}

static int read_frames(struct reader *r)
{
    const uint32_t shared = nested_get(&r->in, NESTED_ROOT, "shared");
    const uint32_t list = nested_get(&r->in, shared, "frames");
    r->frames = calloc(nested_count(&r->in, list) + 1, sizeof(*r->frames));
    if (r->frames == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t at = nested_first(&r->in, list); at != 0; at = nested_next(&r->in, list, at))
        r->frames[r->frame_count++] = read_frame(r, at);
    return 0;
}

static int frame_number(const struct reader *r, uint32_t row, uint32_t *frame)
{
    int64_t number;
    if (!nested_integer(&r->in, row, &number) || number < 0 || number >= r->frame_count)
        return refuse(r->intake->error, "names frame %lld of %u", (long long)number,
                      r->frame_count);
    *frame = (uint32_t)number;
    return 0;
}

/* --- samples --- */

static int add(struct reader *r, const profile_id *frames, size_t depth, double weight)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    values[r->column] = nested_scaled(weight, r->unit->factor);
    return intake_add(r->intake, frames, depth, r->thread, values);
}

static int add_sample(struct reader *r, uint32_t stack, double weight)
{
    size_t depth = nested_count(&r->in, stack), left = depth;
    profile_id *frames = intake_frames(r->intake, depth);
    uint32_t frame;
    for (uint32_t at = nested_first(&r->in, stack); at != 0 && frames != NULL;
         at = nested_next(&r->in, stack, at)) {
        TRY(frame_number(r, at, &frame));
        frames[--left] = r->frames[frame];
    }
    return add(r, frames, depth, weight);
}

static int read_sampled(struct reader *r, uint32_t profile)
{
    const uint32_t samples = nested_get(&r->in, profile, "samples");
    const uint32_t weights = nested_get(&r->in, profile, "weights");
    uint32_t weight = nested_first(&r->in, weights);
    if (nested_count(&r->in, samples) != nested_count(&r->in, weights))
        return refuse(r->intake->error, "%u samples have %u weights",
                      nested_count(&r->in, samples), nested_count(&r->in, weights));
    for (uint32_t at = nested_first(&r->in, samples); at != 0;
         at = nested_next(&r->in, samples, at)) {
        TRY(add_sample(r, at, nested_real(&r->in, weight, 0)));
        weight = nested_next(&r->in, weights, weight);
    }
    return 0;
}

/* --- events --- */

static int add_open(struct reader *r, double passed)
{
    if (passed <= 0 || r->depth == 0)
        return 0;
    profile_id *frames = intake_frames(r->intake, r->depth);
    for (size_t i = 0; i < r->depth && frames != NULL; i++)
        frames[i] = r->frames[r->open[r->depth - 1 - i]];
    return add(r, frames, r->depth, passed);
}

static int read_event(struct reader *r, uint32_t event)
{
    struct slice type = nested_text(&r->in, nested_get(&r->in, event, "type"));
    uint32_t frame;
    TRY(frame_number(r, nested_get(&r->in, event, "frame"), &frame));
    if (slice_is(type, "O")) {
        r->open[r->depth++] = frame;
        return 0;
    }
    if (!slice_is(type, "C"))
        return refuse(r->intake->error, "an event is neither \"O\" nor \"C\"");
    if (r->depth == 0 || r->open[r->depth - 1] != frame)
        return refuse(r->intake->error, "frame %u is closed but not the innermost", frame);
    r->depth--;
    return 0;
}

static int read_events(struct reader *r, uint32_t events)
{
    double before = 0;
    for (uint32_t at = nested_first(&r->in, events); at != 0;
         at = nested_next(&r->in, events, at)) {
        double now = nested_real(&r->in, nested_get(&r->in, at, "at"), 0);
        TRY(add_open(r, now - before));
        TRY(read_event(r, at));
        before = now;
    }
    return 0;
}

static int read_evented(struct reader *r, uint32_t profile)
{
    const uint32_t events = nested_get(&r->in, profile, "events");
    r->depth = 0;
    r->open = calloc(nested_count(&r->in, events) + 1, sizeof(*r->open));
    int status = r->open != NULL ? read_events(r, events) : refuse_memory(r->intake->error);
    free(r->open);
    return status;
}

/* --- profiles --- */

static const struct unit *unit_of(const struct reader *r, uint32_t profile)
{
    struct slice name = nested_text(&r->in, nested_get(&r->in, profile, "unit"));
    size_t unit = 0;
    while (unit < UNIT_NONE && !slice_is(name, units[unit].name))
        unit++;
    return unit == UNIT_NONE && r->fractions ? &not_whole : &units[unit];
}

/* "worker (12)" is a thread's name and id; cprof writes them so. */
static profile_id read_thread(const struct reader *r, struct slice name)
{
    uint64_t id = 0;
    size_t digits = 0, at = name.length;
    while (slice_ends(name, ")") && at > 0 && name.text[at - 1] != '(')
        at--;
    if (at > 2 && name.text[at - 2] == ' ')
        digits = slice_digits(slice_from(name, at), 10, &id);
    if (digits == 0 || at + digits + 1 != name.length || id > INT64_MAX)
        return intake_thread(r->intake, name, 0);
    return intake_thread(r->intake, (struct slice){name.text, at - 2}, (int64_t)id);
}

static int read_profile(struct reader *r, uint32_t profile)
{
    struct slice type = nested_text(&r->in, nested_get(&r->in, profile, "type"));
    r->unit = unit_of(r, profile);
    r->column = (size_t)profile_value_column(r->intake->head, r->unit->type);
    r->thread = read_thread(r, nested_text(&r->in, nested_get(&r->in, profile, "name")));
    if (slice_is(type, "sampled"))
        return read_sampled(r, profile);
    if (slice_is(type, "evented"))
        return read_evented(r, profile);
    return refuse(r->intake->error, "a profile is neither \"sampled\" nor \"evented\"");
}

/* --- the whole --- */

/* Is one of these numbers not whole? Of events, it is their times that are looked at. */
static bool has_fractions(const struct reader *r, uint32_t list, const char *key)
{
    for (uint32_t at = nested_first(&r->in, list); at != 0; at = nested_next(&r->in, list, at))
        if (nested_kind(&r->in, key != NULL ? nested_get(&r->in, at, key) : at) == NESTED_REAL)
            return true;
    return false;
}

static int add_column(struct reader *r, uint32_t profile)
{
    const struct unit *unit = unit_of(r, profile);
    if (profile_value_column(r->intake->head, unit->type) >= 0)
        return 0;
    return intake_column(r->intake, unit->type, unit->unit);
}

static int read_head(struct reader *r, uint32_t list)
{
    struct slice exporter = nested_text(&r->in, nested_get(&r->in, NESTED_ROOT, "exporter"));
    r->starts_told = slice_starts(exporter, SPEEDSCOPE_EXPORTER);
    uint32_t at;
    for (at = nested_first(&r->in, list); at != 0 && !r->fractions;
         at = nested_next(&r->in, list, at))
        r->fractions = unit_of(r, at) == &units[UNIT_NONE] &&
                       (has_fractions(r, nested_get(&r->in, at, "weights"), NULL) ||
                        has_fractions(r, nested_get(&r->in, at, "events"), "at"));
    for (at = nested_first(&r->in, list); at != 0; at = nested_next(&r->in, list, at))
        TRY(add_column(r, at));
    if (profile_value_count(r->intake->head) == 0)
        return refuse(r->intake->error, "no profiles in it");
    return intake_begin(r->intake);
}

static int read_file(struct reader *r)
{
    const uint32_t list = nested_get(&r->in, NESTED_ROOT, "profiles");
    TRY(read_head(r, list));
    TRY(read_frames(r));
    for (uint32_t at = nested_first(&r->in, list); at != 0; at = nested_next(&r->in, list, at))
        TRY(read_profile(r, at));
    return 0;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake};
    int status = nested_read_json(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_file(&r);
    free(r.frames);
    nested_free(&r.in);
    return status;
}

int speedscope_read(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}
