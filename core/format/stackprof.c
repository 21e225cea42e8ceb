/*
 * Ruby's stackprof (https://github.com/tmm1/stackprof, ext/stackprof/stackprof.c): its dumps,
 * which are a marshalled hash, and the same as JSON (`stackprof --json`). Frames by id, and
 * where it ran with `raw: true` the stacks: their depth, the ids of their frames, root first,
 * and how often it was seen. Without, frames have how often they were at the leaf, and how
 * often each callee was above them; call_graph.h tells what is made of that.
 *
 * The interval makes time of samples, in microseconds (cpu, wall), or objects (object).
 */
#include "format/stackprof.h"

#include <stdlib.h>

#include "format/call_graph.h"
#include "format/id_map.h"
#include "format/json_read.h"
#include "format/named_frame.h"
#include "format/refuse.h"
#include "format/ruby_marshal.h"

enum { COLUMN_SAMPLES, COLUMN_VALUE };

/* What the modes measure. */
static const struct mode {
    const char *name, *type, *unit;
    int64_t factor; /* of the interval */
} modes[] = {
    {"cpu", "cpu", "nanoseconds", 1000},
    {"wall", "wall", "nanoseconds", 1000},
    {"object", "alloc_objects", "count", 1},
};

struct reader {
    struct nested in;
    struct intake *intake;
    struct id_map ids;
    uint32_t *rows; /* of frames, as are these */
    profile_id *locations;
    uint32_t count;
    bool has_value;
    int64_t each; /* what a sample stands for */
};

bool stackprof_detect(const unsigned char *data, size_t size)
{
    static const char key[] = ":\x0b"
                              "frames"; /* a symbol of six letters */
    const size_t version = strlen(RUBY_MARSHAL_VERSION);
    return size > version && memcmp(data, RUBY_MARSHAL_VERSION, version) == 0 &&
           data[version] == '{' && memmem(data, size, key, strlen(key)) != NULL;
}

/* --- frames --- */

/* Ids are addresses: numbers, or as JSON's keys their digits. */
static uint64_t id_of(const struct reader *r, uint32_t row)
{
    int64_t number;
    uint64_t id = 0;
    struct slice text = nested_text(&r->in, row);
    if (text.text != NULL)
        return slice_digits(text, 10, &id) == text.length ? id : 0;
    return nested_integer(&r->in, row, &number) ? (uint64_t)number : 0;
}

static profile_id read_frame(const struct reader *r, uint32_t frame, int64_t line)
{
    struct named_frame named = {
        .name = nested_text(&r->in, nested_get(&r->in, frame, "name")),
        .file = nested_text(&r->in, nested_get(&r->in, frame, "file")),
        .line = line > 0 ? line : 0,
        .type = CPROF_FRAME_RUBY,
    };
    int64_t start;
    if (nested_integer(&r->in, nested_get(&r->in, frame, "line"), &start) && start > 0)
        named.start_line = start;
    if (named.file.length > 0 && slice_is(named.file, "<cfunc>")) /* a method in C */
        named.file.length = 0;
    return named_frame_intern(r->intake->sum, &named);
}

static int read_frames(struct reader *r)
{
    const uint32_t frames = nested_get(&r->in, NESTED_ROOT, "frames");
    const size_t count = nested_count(&r->in, frames);
    r->rows = calloc(count + 1, sizeof(*r->rows));
    r->locations = calloc(count + 1, sizeof(*r->locations));
    if (!id_map_init(&r->ids, count) || r->rows == NULL || r->locations == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t key = nested_first(&r->in, frames); key != 0;) {
        uint32_t value = nested_next(&r->in, frames, key);
        if (id_map_add(&r->ids, id_of(r, key)) != 0)
            return refuse(r->intake->error, "two frames have the id %llu",
                          (unsigned long long)id_of(r, key));
        r->rows[r->count] = value;
        r->locations[r->count++] = read_frame(r, value, 0);
        key = nested_next(&r->in, frames, value);
    }
    return 0;
}

static int find_frame(const struct reader *r, uint32_t row, size_t *frame)
{
    *frame = id_map_find(&r->ids, id_of(r, row));
    if (*frame == ID_MAP_NONE)
        return refuse(r->intake->error, "names frame %llu, which is missing",
                      (unsigned long long)id_of(r, row));
    return 0;
}

/* --- samples --- */

static void put(const struct reader *r, int64_t *values, int64_t samples)
{
    values[COLUMN_SAMPLES] = clamp_add(values[COLUMN_SAMPLES], samples);
    if (r->has_value)
        values[COLUMN_VALUE] =
            clamp_add(values[COLUMN_VALUE], clamp_multiply(samples, r->each));
}

/* A stack's depth, frames and count begin at `index` of the list. Its lines, in a list of the
 * same shape, are told by newer versions. */
static int read_stack(struct reader *r, uint32_t raw, uint32_t lines, uint64_t index,
                      int64_t depth)
{
    int64_t values[PROFILE_MAX_VALUES] = {0}, samples, line;
    size_t frame;
    profile_id *frames = intake_frames(r->intake, (size_t)depth);
    for (int64_t i = 0; i < depth && frames != NULL; i++) {
        const uint64_t at = index + 1 + (uint64_t)i;
        TRY(find_frame(r, nested_at(&r->in, raw, at), &frame));
        bool told = nested_integer(&r->in, nested_at(&r->in, lines, at), &line) && line > 0;
        frames[depth - 1 - i] =
            told ? read_frame(r, r->rows[frame], line) : r->locations[frame];
    }
    nested_integer(&r->in, nested_at(&r->in, raw, index + 1 + (uint64_t)depth), &samples);
    put(r, values, samples);
    return intake_add(r->intake, frames, (size_t)depth, 0, values);
}

static int read_raw(struct reader *r, uint32_t raw)
{
    const uint32_t lines = nested_get(&r->in, NESTED_ROOT, "raw_lines");
    const uint32_t count = nested_count(&r->in, raw);
    const bool with_lines = nested_count(&r->in, lines) == count;
    for (uint64_t index = 0; index < count;) {
        int64_t depth;
        if (!nested_integer(&r->in, nested_at(&r->in, raw, index), &depth) || depth < 0 ||
            (uint64_t)depth + 2 > count - index)
            return refuse(r->intake->error, "its stacks are damaged at number %llu",
                          (unsigned long long)index);
        TRY(read_stack(r, raw, with_lines ? lines : 0, index, depth));
        index += (uint64_t)depth + 2;
    }
    return 0;
}

static int read_edges(struct reader *r, struct call_graph *graph, uint32_t caller,
                      uint32_t edges)
{
    for (uint32_t key = nested_first(&r->in, edges); key != 0;) {
        uint32_t value = nested_next(&r->in, edges, key);
        int64_t samples;
        size_t frame;
        TRY(find_frame(r, key, &frame));
        uint32_t callee = call_graph_function(graph, r->locations[frame]);
        struct graph_call *call =
            callee != UINT32_MAX ? call_graph_call(graph, caller, callee) : NULL;
        if (call == NULL)
            return refuse_memory(r->intake->error);
        nested_integer(&r->in, value, &samples);
        put(r, call->passed, samples);
        key = nested_next(&r->in, edges, value);
    }
    return 0;
}

static int read_graph(struct reader *r, struct call_graph *graph)
{
    for (uint32_t i = 0; i < r->count; i++) {
        int64_t samples;
        uint32_t function = call_graph_function(graph, r->locations[i]);
        if (function == UINT32_MAX)
            return refuse_memory(r->intake->error);
        nested_integer(&r->in, nested_get(&r->in, r->rows[i], "samples"), &samples);
        put(r, graph->functions[function].self, samples);
        TRY(read_edges(r, graph, function, nested_get(&r->in, r->rows[i], "edges")));
    }
    return call_graph_add(graph, r->intake);
}

/* --- the whole --- */

static int read_head(struct reader *r)
{
    struct slice name = nested_text(&r->in, nested_get(&r->in, NESTED_ROOT, "mode"));
    int64_t interval;
    nested_integer(&r->in, nested_get(&r->in, NESTED_ROOT, "interval"), &interval);
    TRY(intake_column(r->intake, "samples", "count"));
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes) && name.length > 0; i++)
        if (slice_is(name, modes[i].name) && interval > 0) {
            r->has_value = true;
            r->each = clamp_multiply(interval, modes[i].factor);
            profile_set_period(r->intake->head, 0, modes[i].type, modes[i].unit, r->each);
            TRY(intake_column(r->intake, modes[i].type, modes[i].unit));
        }
    return intake_begin(r->intake);
}

static int read_profile(struct reader *r)
{
    const uint32_t raw = nested_get(&r->in, NESTED_ROOT, "raw");
    TRY(read_head(r));
    TRY(read_frames(r));
    if (nested_count(&r->in, raw) > 0)
        return read_raw(r, raw);
    struct call_graph graph = {0};
    int status = read_graph(r, &graph);
    call_graph_free(&graph);
    return status;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake};
    bool json = json_detect((const unsigned char *)bytes.text, bytes.length);
    int status = json ? nested_read_json(&r.in, bytes, intake->error)
                      : ruby_marshal_read(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_profile(&r);
    id_map_free(&r.ids);
    free(r.rows);
    free(r.locations);
    nested_free(&r.in);
    return status;
}

static int stackprof_read(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {NULL};
static const char *const keys[] = {"mode", "samples", "frames", NULL};

const struct format format_stackprof = {
    .name = "stackprof",
    .endings = endings,
    .json_keys = keys,
    .read = stackprof_read,
};
