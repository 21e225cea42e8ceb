/*
 * Reads the Firefox Profiler's processed profiles, as profiler.firefox.com saves them and
 * samply, vernier and others write them (https://github.com/firefox-devtools/profiler,
 * docs-developer/processed-profile-format.md, src/types/profile.ts; versions since 2018).
 * Threads with columns: a sample names a stack, a stack its frame and the stack that called
 * it, a frame its function, and so on; newer versions have the tables once, as "shared".
 *
 * A sample has its weight in samples/count, and as many intervals in wall/nanoseconds, as the
 * Firefox Profiler shows it; weights in milliseconds are time, in bytes space/bytes. Where
 * samples tell the CPU time of their thread, that is cpu/nanoseconds. vernier says 1 ms
 * whatever its interval was, and so has no time. Markers are left out.
 */
#include "format/gecko.h"

#include <stdlib.h>

#include "format/call_tree.h"
#include "format/named_frame.h"
#include "format/nested.h"
#include "format/refuse.h"

#define MILLISECOND 1e6 /* nanoseconds */

struct columns {
    int samples, wall, cpu, space; /* of the head; -1: there is none */
};

/* The tables that samples of a thread go through: rows of the input. */
struct tables {
    uint32_t stacks, stack_frame, stack_prefix;
    uint32_t frame_func, frame_line, frame_column, frame_address;
    uint32_t func_name, func_file, func_source, func_line, func_resource;
    uint32_t source_file, resource_lib, strings;
};

struct reader {
    struct nested in;
    struct intake *intake;
    struct columns columns;
    double interval, cpu_unit; /* nanoseconds */
    bool vernier;
    double first, last; /* times in milliseconds; first > last: not told */
    uint32_t *libs;     /* rows, by number */
    uint32_t lib_count;
    /* Of the thread at hand: */
    struct tables tables;
    struct call_tree tree;
};

/* --- frames --- */

/* A table's column; tables are the thread's own, or shared by all. */
static uint32_t table_of(const struct reader *r, uint32_t thread, const char *table)
{
    const uint32_t own = nested_get(&r->in, thread, table);
    const uint32_t shared = nested_get(&r->in, NESTED_ROOT, "shared");
    return own != 0 ? own : nested_get(&r->in, shared, table);
}

static void find_tables(const struct reader *r, uint32_t thread, struct tables *t)
{
    const uint32_t stacks = table_of(r, thread, "stackTable");
    const uint32_t frames = table_of(r, thread, "frameTable");
    const uint32_t funcs = table_of(r, thread, "funcTable");
    const uint32_t old_strings = table_of(r, thread, "stringTable");
    *t = (struct tables){
        .stacks = stacks,
        .stack_frame = nested_get(&r->in, stacks, "frame"),
        .stack_prefix = nested_get(&r->in, stacks, "prefix"),
        .frame_func = nested_get(&r->in, frames, "func"),
        .frame_line = nested_get(&r->in, frames, "line"),
        .frame_column = nested_get(&r->in, frames, "column"),
        .frame_address = nested_get(&r->in, frames, "address"),
        .func_name = nested_get(&r->in, funcs, "name"),
        .func_file = nested_get(&r->in, funcs, "fileName"),
        .func_source = nested_get(&r->in, funcs, "source"),
        .func_line = nested_get(&r->in, funcs, "lineNumber"),
        .func_resource = nested_get(&r->in, funcs, "resource"),
        .source_file = nested_get(&r->in, table_of(r, thread, "sources"), "filename"),
        .resource_lib = nested_get(&r->in, table_of(r, thread, "resourceTable"), "lib"),
        .strings = table_of(r, thread, "stringArray"),
    };
    if (t->strings == 0)
        t->strings = old_strings;
}

/* A number of a column that may be null or lack; -1 then. */
static int64_t number_at(const struct reader *r, uint32_t column, int64_t index)
{
    int64_t number;
    bool is = index >= 0 &&
              nested_integer(&r->in, nested_at(&r->in, column, (uint64_t)index), &number);
    return is ? number : -1;
}

static struct slice string_at(const struct reader *r, uint32_t column, int64_t index)
{
    int64_t string = number_at(r, column, index);
    if (string < 0)
        return (struct slice){0};
    return nested_text(&r->in, nested_at(&r->in, r->tables.strings, (uint64_t)string));
}

static struct slice library_of(const struct reader *r, int64_t func)
{
    int64_t resource = number_at(r, r->tables.func_resource, func);
    int64_t lib = number_at(r, r->tables.resource_lib, resource);
    if (lib < 0 || lib >= r->lib_count)
        return (struct slice){0};
    struct slice path = nested_text(&r->in, nested_get(&r->in, r->libs[lib], "path"));
    return path.length > 0 ? path
                           : nested_text(&r->in, nested_get(&r->in, r->libs[lib], "name"));
}

static enum cprof_frame_type type_of(const struct reader *r, const struct named_frame *frame)
{
    if (r->vernier)
        return CPROF_FRAME_RUBY;
    return frame->module.length > 0 ? CPROF_FRAME_NATIVE : named_frame_type(frame->file);
}

static int64_t unless_negative(int64_t number)
{
    return number > 0 ? number : 0;
}

static profile_id read_frame(const struct reader *r, int64_t number)
{
    const struct tables *t = &r->tables;
    const int64_t func = number_at(r, t->frame_func, number);
    const int64_t address = number_at(r, t->frame_address, number);
    struct named_frame frame = {
        .name = string_at(r, t->func_name, func),
        .file = string_at(r, t->func_file, func),
        .module = library_of(r, func),
        .line = unless_negative(number_at(r, t->frame_line, number)),
        .column = unless_negative(number_at(r, t->frame_column, number)),
        .start_line = unless_negative(number_at(r, t->func_line, func)),
    };
    if (frame.file.length == 0)
        frame.file = string_at(r, t->source_file, number_at(r, t->func_source, func));
    if (frame.file.length > 0 && slice_is(frame.file, "<cfunc>")) /* a method in C */
        frame.file.length = 0;
    frame.type = type_of(r, &frame);
    bool nameless = frame.name.length == 0 || slice_starts(frame.name, "0x");
    if (frame.module.length > 0 && address > 0 && nameless) {
        frame.name.length = 0;
        frame.address = (uint64_t)address;
    }
    return named_frame_intern(r->intake->sum, &frame);
}

/* --- stacks --- */

static int read_stacks(struct reader *r)
{
    const struct tables *t = &r->tables;
    const uint32_t count = nested_count(&r->in, t->stack_frame);
    struct call_node *nodes = calloc((size_t)count + 1, sizeof(*nodes));
    free(r->tree.nodes);
    r->tree = (struct call_tree){.nodes = nodes, .count = nodes != NULL ? count : 0};
    if (nodes == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t i = 0; i < count; i++) {
        int64_t frame = number_at(r, t->stack_frame, i);
        int64_t prefix = number_at(r, t->stack_prefix, i);
        if (frame < 0 || prefix >= count)
            return refuse(r->intake->error, "stack %u names a frame or stack that is missing",
                          i);
        nodes[i].location = read_frame(r, frame);
        nodes[i].parent = prefix >= 0 ? (uint32_t)prefix : CALL_TREE_NONE;
    }
    return 0;
}

/* --- samples --- */

enum weight { WEIGHT_SAMPLES, WEIGHT_TIME, WEIGHT_BYTES };

static enum weight weight_of(const struct reader *r, uint32_t samples)
{
    struct slice type = nested_text(&r->in, nested_get(&r->in, samples, "weightType"));
    if (type.text != NULL && slice_is(type, "tracing-ms"))
        return WEIGHT_TIME;
    return type.text != NULL && slice_is(type, "bytes") ? WEIGHT_BYTES : WEIGHT_SAMPLES;
}

static void put(int64_t *values, int column, double number, double scale)
{
    if (column >= 0)
        values[column] = nested_scaled(number, scale);
}

static int read_samples(struct reader *r, uint32_t samples, profile_id labels)
{
    const enum weight kind = weight_of(r, samples);
    const uint32_t stacks = nested_get(&r->in, samples, "stack");
    const uint32_t weights = nested_get(&r->in, samples, "weight");
    const uint32_t cpu = nested_get(&r->in, samples, "threadCPUDelta");
    for (uint32_t i = 0; i < nested_count(&r->in, stacks); i++) {
        int64_t stack = number_at(r, stacks, i);
        int64_t values[PROFILE_MAX_VALUES] = {0};
        double weight = nested_real(&r->in, nested_at(&r->in, weights, i), 1);
        if (stack < 0)
            continue; /* the thread did nothing */
        if (stack >= r->tree.count)
            return refuse(r->intake->error, "a sample names stack %lld of %u", (long long)stack,
                          r->tree.count);
        put(values, r->columns.samples, kind == WEIGHT_SAMPLES ? weight : 1, 1);
        put(values, r->columns.wall, kind == WEIGHT_BYTES ? 0 : weight,
            kind == WEIGHT_TIME ? MILLISECOND : r->interval);
        put(values, r->columns.space, kind == WEIGHT_BYTES ? weight : 0, 1);
        if (i > 0) /* the first has no sample before it to count from */
            put(values, r->columns.cpu, nested_real(&r->in, nested_at(&r->in, cpu, i), 0),
                r->cpu_unit);
        TRY(call_tree_add(&r->tree, (uint32_t)stack, 0, r->intake, labels, values));
    }
    return 0;
}

/* Thread ids may be text: "1234", or "1234.1" for one of several with that id. */
static int64_t thread_id(const struct reader *r, uint32_t thread)
{
    const uint32_t tid = nested_get(&r->in, thread, "tid");
    struct slice text = nested_text(&r->in, tid);
    int64_t id = 0;
    uint64_t number;
    if (text.length > 0 && slice_digits(text, 10, &number) > 0 && number <= INT64_MAX)
        return (int64_t)number;
    nested_integer(&r->in, tid, &id);
    return id;
}

static int read_thread(struct reader *r, uint32_t thread)
{
    const uint32_t samples = nested_get(&r->in, thread, "samples");
    struct tables tables;
    if (nested_get(&r->in, samples, "schema") != 0)
        return refuse(r->intake->error, "is as Firefox makes it; the Firefox Profiler saves "
                                        "the form that is read here");
    find_tables(r, thread, &tables);
    bool shared = tables.stacks != 0 && tables.stacks == r->tables.stacks;
    r->tables = tables;
    if (!shared)
        TRY(read_stacks(r));
    struct slice name = nested_text(&r->in, nested_get(&r->in, thread, "name"));
    return read_samples(r, samples, intake_thread(r->intake, name, thread_id(r, thread)));
}

/* --- what stands once --- */

/* What a sample's CPU time is in; 0: of no unit of time. */
static double cpu_unit(const struct reader *r, uint32_t meta)
{
    const uint32_t units = nested_get(&r->in, meta, "sampleUnits");
    struct slice unit = nested_text(&r->in, nested_get(&r->in, units, "threadCPUDelta"));
    if (unit.text == NULL)
        return 0;
    return slice_is(unit, "ns") ? 1 : slice_is(unit, "µs") ? 1e3 : 0;
}

static void look_at_times(struct reader *r, uint32_t samples)
{
    const uint32_t times = nested_get(&r->in, samples, "time");
    const uint32_t deltas = nested_get(&r->in, samples, "timeDeltas");
    const uint32_t column = times != 0 ? times : deltas;
    double now = 0;
    for (uint32_t at = nested_first(&r->in, column); at != 0;
         at = nested_next(&r->in, column, at)) {
        now = nested_real(&r->in, at, 0) + (times != 0 ? 0 : now);
        r->first = now < r->first ? now : r->first;
        r->last = now > r->last ? now : r->last;
    }
}

/* Which columns the threads' samples have. */
static void look_at_threads(struct reader *r, uint32_t threads, bool *cpu, bool *space)
{
    for (uint32_t at = nested_first(&r->in, threads); at != 0;
         at = nested_next(&r->in, threads, at)) {
        const uint32_t samples = nested_get(&r->in, at, "samples");
        *cpu = *cpu || nested_count(&r->in, nested_get(&r->in, samples, "threadCPUDelta")) > 0;
        *space = *space || weight_of(r, samples) == WEIGHT_BYTES;
        look_at_times(r, samples);
    }
}

static int add_column(struct reader *r, bool wanted, const char *type, const char *unit,
                      int *column)
{
    *column = wanted ? (int)profile_value_count(r->intake->head) : -1;
    return wanted ? intake_column(r->intake, type, unit) : 0;
}

static int read_head(struct reader *r, uint32_t threads)
{
    const uint32_t meta = nested_get(&r->in, NESTED_ROOT, "meta");
    struct slice product = nested_text(&r->in, nested_get(&r->in, meta, "product"));
    struct profile_header *header = profile_header(r->intake->head);
    bool cpu = false, space = false;
    r->vernier = product.text != NULL && slice_is(product, "Ruby/Vernier");
    r->interval = nested_real(&r->in, nested_get(&r->in, meta, "interval"), 1) * MILLISECOND;
    r->cpu_unit = cpu_unit(r, meta);
    look_at_threads(r, threads, &cpu, &space);
    TRY(add_column(r, true, "samples", "count", &r->columns.samples));
    TRY(add_column(r, !r->vernier, "wall", "nanoseconds", &r->columns.wall));
    TRY(add_column(r, cpu && r->cpu_unit > 0, "cpu", "nanoseconds", &r->columns.cpu));
    TRY(add_column(r, space, "space", "bytes", &r->columns.space));
    int64_t start = nested_scaled(nested_real(&r->in, nested_get(&r->in, meta, "startTime"), 0),
                                  MILLISECOND);
    header->time_ns = start > 0 && !r->vernier ? (uint64_t)start : 0;
    if (r->last > r->first)
        header->duration_ns = (uint64_t)nested_scaled(r->last - r->first, MILLISECOND);
    return intake_begin(r->intake);
}

static int read_libs(struct reader *r)
{
    const uint32_t libs = nested_get(&r->in, NESTED_ROOT, "libs");
    r->libs = calloc((size_t)nested_count(&r->in, libs) + 1, sizeof(*r->libs));
    if (r->libs == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t at = nested_first(&r->in, libs); at != 0; at = nested_next(&r->in, libs, at))
        r->libs[r->lib_count++] = at;
    return 0;
}

static int read_profile(struct reader *r)
{
    const uint32_t threads = nested_get(&r->in, NESTED_ROOT, "threads");
    TRY(read_head(r, threads));
    TRY(read_libs(r));
    for (uint32_t at = nested_first(&r->in, threads); at != 0;
         at = nested_next(&r->in, threads, at))
        TRY(read_thread(r, at));
    return 0;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake, .first = 1e300, .last = -1e300};
    int status = nested_read_json(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_profile(&r);
    free(r.tree.nodes);
    free(r.libs);
    nested_free(&r.in);
    return status;
}

static int gecko_read(const unsigned char *data, size_t size, struct profile *sum,
                      char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {".firefox.json", ".gecko.json", NULL};
static const char *const keys[] = {"meta", "threads", NULL};

const struct format format_gecko = {
    .name = "firefox",
    .endings = endings,
    .json_keys = keys,
    .write = gecko_write,
    .read = gecko_read,
};
