/*
 * Reads profiles for Firefox: processed, as profiler.firefox.com saves them and samply,
 * vernier and others write them (https://github.com/firefox-devtools/profiler,
 * docs-developer/processed-profile-format.md, src/types/profile.ts; versions since 2018), and
 * as Firefox itself writes them (MOZ_PROFILER_SHUTDOWN). Threads with tables (gecko_table.h):
 * a sample names a stack, a stack its frame and the stack that called it, a frame its
 * function, and so on; newer versions have the tables once, as "shared". Firefox's own have no
 * functions: a frame has a text, `work (app.js:12:3)` or an address, and what other processes
 * have stands as whole profiles inside of that of the first.
 *
 * A sample has its weight in samples/count, and as many intervals in wall/nanoseconds, as the
 * Firefox Profiler shows it; weights in milliseconds are time, in bytes space/bytes. Where
 * samples tell the CPU time of their thread, that is cpu/nanoseconds. vernier says 1 ms
 * whatever its interval was, and so has no time. Markers are left out.
 */
#include "format/gecko.h"

#include <stdlib.h>

#include "format/call_tree.h"
#include "format/gecko_table.h"
#include "format/named_frame.h"
#include "format/nested.h"
#include "format/refuse.h"

#define MILLISECOND 1e6 /* nanoseconds */
/* Milliseconds, in 2001: what says less is of a clock that began with the machine. */
#define FIRST_START 1e12

struct columns {
    int samples, wall, cpu, space; /* of the head; -1: there is none */
};

/* The tables that samples of a thread go through, and their columns. */
struct tables {
    struct gecko_table stacks, frames, funcs, sources, resources;
    struct gecko_column stack_frame, stack_prefix;
    struct gecko_column frame_func, frame_location, frame_line, frame_column, frame_address;
    struct gecko_column func_name, func_file, func_source, func_line, func_resource;
    struct gecko_column source_file, resource_lib;
    uint32_t strings; /* a list of the input */
};

/* Where a library lies in its process's memory. */
struct range {
    uint64_t start, end, offset;
    uint32_t lib;
};

struct reader {
    struct nested in;
    struct intake *intake;
    struct columns columns;
    double interval, cpu_unit; /* nanoseconds */
    bool vernier;
    double first, last; /* times in milliseconds; first > last: not told */
    /* Of the process at hand: */
    uint32_t process; /* its row; of processed profiles the whole is one */
    uint32_t *libs;   /* rows, by number */
    uint32_t lib_count;
    struct range *ranges; /* of the libraries, by address */
    uint32_t range_count;
    /* Of the thread at hand: */
    struct gecko_table samples;
    struct tables tables;
    struct call_tree tree;
};

/* --- frames --- */

/* A table's row; tables are the thread's own, or shared by all. */
static uint32_t table_of(const struct reader *r, uint32_t thread, const char *table)
{
    const uint32_t own = nested_get(&r->in, thread, table);
    const uint32_t shared = nested_get(&r->in, r->process, "shared");
    return own != 0 ? own : nested_get(&r->in, shared, table);
}

static int open_tables(struct reader *r, uint32_t thread)
{
    struct tables *t = &r->tables;
    const struct {
        struct gecko_table *table;
        const char *name;
    } tables[] = {{&t->stacks, "stackTable"},
                  {&t->frames, "frameTable"},
                  {&t->funcs, "funcTable"},
                  {&t->sources, "sources"},
                  {&t->resources, "resourceTable"}};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        if (gecko_table_open(&r->in, table_of(r, thread, tables[i].name), tables[i].table) != 0)
            return refuse_memory(r->intake->error);
    t->strings = table_of(r, thread, "stringArray");
    if (t->strings == 0)
        t->strings = table_of(r, thread, "stringTable");
    return 0;
}

static void close_tables(struct tables *t)
{
    gecko_table_close(&t->stacks);
    gecko_table_close(&t->frames);
    gecko_table_close(&t->funcs);
    gecko_table_close(&t->sources);
    gecko_table_close(&t->resources);
}

static void find_columns(struct reader *r)
{
    struct tables *t = &r->tables;
    const struct {
        struct gecko_column *column;
        const struct gecko_table *table;
        const char *name;
    } columns[] = {
        {&t->stack_frame, &t->stacks, "frame"},
        {&t->stack_prefix, &t->stacks, "prefix"},
        {&t->frame_func, &t->frames, "func"},
        {&t->frame_location, &t->frames, "location"},
        {&t->frame_line, &t->frames, "line"},
        {&t->frame_column, &t->frames, "column"},
        {&t->frame_address, &t->frames, "address"},
        {&t->func_name, &t->funcs, "name"},
        {&t->func_file, &t->funcs, "fileName"},
        {&t->func_source, &t->funcs, "source"},
        {&t->func_line, &t->funcs, "lineNumber"},
        {&t->func_resource, &t->funcs, "resource"},
        {&t->source_file, &t->sources, "filename"},
        {&t->resource_lib, &t->resources, "lib"},
    };
    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
        *columns[i].column = gecko_table_column(&r->in, columns[i].table, columns[i].name);
}

/* A number of a column that may be null or lack; -1 then. */
static int64_t number_at(const struct reader *r, const struct gecko_column *column,
                         int64_t index)
{
    int64_t number;
    bool is =
        index >= 0 &&
        nested_integer(&r->in, gecko_column_cell(&r->in, column, (uint64_t)index), &number);
    return is ? number : -1;
}

static struct slice string_at(const struct reader *r, const struct gecko_column *column,
                              int64_t index)
{
    int64_t string = number_at(r, column, index);
    if (string < 0)
        return (struct slice){0};
    return nested_text(&r->in, nested_at(&r->in, r->tables.strings, (uint64_t)string));
}

static struct slice name_of_library(const struct reader *r, int64_t lib)
{
    struct slice path = nested_text(&r->in, nested_get(&r->in, r->libs[lib], "path"));
    return path.length > 0 ? path
                           : nested_text(&r->in, nested_get(&r->in, r->libs[lib], "name"));
}

static struct slice library_of(const struct reader *r, int64_t func)
{
    int64_t resource = number_at(r, &r->tables.func_resource, func);
    int64_t lib = number_at(r, &r->tables.resource_lib, resource);
    if (lib < 0 || lib >= r->lib_count)
        return (struct slice){0};
    return name_of_library(r, lib);
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

static struct named_frame frame_of_function(const struct reader *r, int64_t number)
{
    const struct tables *t = &r->tables;
    const int64_t func = number_at(r, &t->frame_func, number);
    const int64_t address = number_at(r, &t->frame_address, number);
    struct named_frame frame = {
        .name = string_at(r, &t->func_name, func),
        .file = string_at(r, &t->func_file, func),
        .module = library_of(r, func),
        .start_line = unless_negative(number_at(r, &t->func_line, func)),
    };
    if (frame.file.length == 0)
        frame.file = string_at(r, &t->source_file, number_at(r, &t->func_source, func));
    if (frame.file.length > 0 && slice_is(frame.file, "<cfunc>")) /* a method in C */
        frame.file.length = 0;
    bool nameless = frame.name.length == 0 || slice_starts(frame.name, "0x");
    if (frame.module.length > 0 && address > 0 && nameless) {
        frame.name.length = 0;
        frame.address = (uint64_t)address;
    }
    return frame;
}

/* An address of the process: the library that is there, and where it is in that. */
static void place_address(const struct reader *r, uint64_t address, struct named_frame *frame)
{
    uint32_t low = 0, high = r->range_count;
    while (low < high) { /* the first that begins behind it */
        uint32_t middle = low + (high - low) / 2;
        if (r->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= r->ranges[low - 1].end)
        return;
    const struct range *range = &r->ranges[low - 1];
    frame->module = name_of_library(r, range->lib);
    frame->address = address - range->start + range->offset;
    frame->name.length = 0;
}

/* Cuts " (FILE:LINE:COLUMN)", " (FILE:LINE)" or " (in LIBRARY)" off a frame's text. */
static void place_text(struct slice text, struct named_frame *frame)
{
    const char *open =
        text.length > 0 && slice_ends(text, ")") ? memrchr(text.text, '(', text.length) : NULL;
    if (open == NULL || open == text.text || open[-1] != ' ')
        return;
    const size_t length = (size_t)(open - text.text);
    struct slice place = {open + 1, text.length - length - 2};
    int64_t number, before;
    if (slice_starts(place, "in ")) {
        frame->module = slice_from(place, strlen("in "));
    } else if (named_frame_take_line(&place, &number)) {
        frame->start_line = named_frame_take_line(&place, &before) ? before : number;
        frame->file = place;
    } else {
        return;
    }
    frame->name = slice_trim((struct slice){text.text, length});
}

static struct named_frame frame_of_text(const struct reader *r, int64_t number)
{
    struct slice text = string_at(r, &r->tables.frame_location, number);
    struct named_frame frame = {.name = text};
    uint64_t address;
    if (text.length > 2 && slice_starts(text, "0x") &&
        slice_digits(slice_from(text, 2), 16, &address) == text.length - 2)
        place_address(r, address, &frame);
    else
        place_text(text, &frame);
    return frame;
}

static profile_id read_frame(const struct reader *r, int64_t number)
{
    const struct tables *t = &r->tables;
    struct named_frame frame =
        t->frame_location.place >= 0 ? frame_of_text(r, number) : frame_of_function(r, number);
    frame.line = unless_negative(number_at(r, &t->frame_line, number));
    frame.column = unless_negative(number_at(r, &t->frame_column, number));
    frame.type = type_of(r, &frame);
    return named_frame_intern(r->intake->sum, &frame);
}

/* --- stacks --- */

static int read_stacks(struct reader *r)
{
    const struct tables *t = &r->tables;
    const uint32_t count = gecko_column_count(&r->in, &t->stack_frame);
    struct call_node *nodes = calloc((size_t)count + 1, sizeof(*nodes));
    free(r->tree.nodes);
    r->tree = (struct call_tree){.nodes = nodes, .count = nodes != NULL ? count : 0};
    if (nodes == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t i = 0; i < count; i++) {
        int64_t frame = number_at(r, &t->stack_frame, i);
        int64_t prefix = number_at(r, &t->stack_prefix, i);
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

static struct gecko_column column_of(const struct reader *r, const char *name)
{
    return gecko_table_column(&r->in, &r->samples, name);
}

static int read_samples(struct reader *r, profile_id labels)
{
    const enum weight kind = weight_of(r, r->samples.row);
    const struct gecko_column stacks = column_of(r, "stack");
    const struct gecko_column weights = column_of(r, "weight");
    const struct gecko_column cpu = column_of(r, "threadCPUDelta");
    for (uint32_t i = 0; i < gecko_column_count(&r->in, &stacks); i++) {
        int64_t stack = number_at(r, &stacks, i);
        int64_t values[PROFILE_MAX_VALUES] = {0};
        double weight = nested_real(&r->in, gecko_column_cell(&r->in, &weights, i), 1);
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
            put(values, r->columns.cpu,
                nested_real(&r->in, gecko_column_cell(&r->in, &cpu, i), 0), r->cpu_unit);
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

/* Opens the samples of a thread. */
static int open_samples(struct reader *r, uint32_t thread)
{
    const uint32_t samples = nested_get(&r->in, thread, "samples");
    return gecko_table_open(&r->in, samples, &r->samples) == 0
               ? 0
               : refuse_memory(r->intake->error);
}

static int read_thread(struct reader *r, uint32_t thread)
{
    const uint32_t stacks = table_of(r, thread, "stackTable");
    bool shared = stacks != 0 && stacks == r->tables.stacks.row;
    TRY(open_samples(r, thread));
    if (!shared) {
        TRY(open_tables(r, thread));
        find_columns(r);
        TRY(read_stacks(r));
    }
    struct slice name = nested_text(&r->in, nested_get(&r->in, thread, "name"));
    return read_samples(r, intake_thread(r->intake, name, thread_id(r, thread)));
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

/* Times count from the start of their process, which is `offset` ms after that of the first. */
static void look_at_times(struct reader *r, double offset)
{
    const struct gecko_column times = column_of(r, "time");
    const struct gecko_column deltas = column_of(r, "timeDeltas");
    const bool absolute = gecko_column_count(&r->in, &times) > 0;
    const struct gecko_column *column = absolute ? &times : &deltas;
    double now = absolute ? 0 : offset;
    for (uint32_t i = 0; i < gecko_column_count(&r->in, column); i++) {
        double time = nested_real(&r->in, gecko_column_cell(&r->in, column, i), 0);
        now = absolute ? offset + time : now + time;
        r->first = now < r->first ? now : r->first;
        r->last = now > r->last ? now : r->last;
    }
}

/* Which columns the threads of a process have. */
static int look_at_threads(struct reader *r, uint32_t process, double offset, bool *cpu,
                           bool *space)
{
    const uint32_t threads = nested_get(&r->in, process, "threads");
    for (uint32_t at = nested_first(&r->in, threads); at != 0;
         at = nested_next(&r->in, threads, at)) {
        TRY(open_samples(r, at));
        const struct gecko_column deltas = column_of(r, "threadCPUDelta");
        *cpu = *cpu || gecko_column_count(&r->in, &deltas) > 0;
        *space = *space || weight_of(r, r->samples.row) == WEIGHT_BYTES;
        look_at_times(r, offset);
    }
    return 0;
}

static double start_of(const struct reader *r, uint32_t process)
{
    const uint32_t meta = nested_get(&r->in, process, "meta");
    return nested_real(&r->in, nested_get(&r->in, meta, "startTime"), 0);
}

static int look_at_processes(struct reader *r, bool *cpu, bool *space)
{
    const uint32_t others = nested_get(&r->in, NESTED_ROOT, "processes");
    const double start = start_of(r, NESTED_ROOT);
    TRY(look_at_threads(r, NESTED_ROOT, 0, cpu, space));
    for (uint32_t at = nested_first(&r->in, others); at != 0;
         at = nested_next(&r->in, others, at))
        TRY(look_at_threads(r, at, start_of(r, at) - start, cpu, space));
    return 0;
}

static int add_column(struct reader *r, bool wanted, const char *type, const char *unit,
                      int *column)
{
    *column = wanted ? (int)profile_value_count(r->intake->head) : -1;
    return wanted ? intake_column(r->intake, type, unit) : 0;
}

static int read_head(struct reader *r)
{
    const uint32_t meta = nested_get(&r->in, NESTED_ROOT, "meta");
    struct slice product = nested_text(&r->in, nested_get(&r->in, meta, "product"));
    struct profile_header *header = profile_header(r->intake->head);
    bool cpu = false, space = false;
    r->vernier = product.text != NULL && slice_is(product, "Ruby/Vernier");
    r->interval = nested_real(&r->in, nested_get(&r->in, meta, "interval"), 1) * MILLISECOND;
    r->cpu_unit = cpu_unit(r, meta);
    TRY(look_at_processes(r, &cpu, &space));
    TRY(add_column(r, true, "samples", "count", &r->columns.samples));
    TRY(add_column(r, !r->vernier, "wall", "nanoseconds", &r->columns.wall));
    TRY(add_column(r, cpu && r->cpu_unit > 0, "cpu", "nanoseconds", &r->columns.cpu));
    TRY(add_column(r, space, "space", "bytes", &r->columns.space));
    const double start = start_of(r, NESTED_ROOT);
    if (start >= FIRST_START && !r->vernier)
        header->time_ns = (uint64_t)nested_scaled(start, MILLISECOND);
    if (r->last > r->first)
        header->duration_ns = (uint64_t)nested_scaled(r->last - r->first, MILLISECOND);
    return intake_begin(r->intake);
}

static uint64_t place_of(const struct reader *r, uint32_t lib, const char *key)
{
    int64_t number = 0;
    nested_integer(&r->in, nested_get(&r->in, lib, key), &number);
    return number > 0 ? (uint64_t)number : 0;
}

static int by_start(const void *a, const void *b)
{
    const uint64_t x = ((const struct range *)a)->start, y = ((const struct range *)b)->start;
    return (x > y) - (x < y);
}

static int read_libs(struct reader *r)
{
    const uint32_t libs = nested_get(&r->in, r->process, "libs");
    const size_t count = (size_t)nested_count(&r->in, libs) + 1;
    free(r->libs);
    free(r->ranges);
    r->lib_count = r->range_count = 0;
    r->libs = calloc(count, sizeof(*r->libs));
    r->ranges = calloc(count, sizeof(*r->ranges));
    if (r->libs == NULL || r->ranges == NULL)
        return refuse_memory(r->intake->error);
    for (uint32_t at = nested_first(&r->in, libs); at != 0;
         at = nested_next(&r->in, libs, at)) {
        struct range range = {place_of(r, at, "start"), place_of(r, at, "end"),
                              place_of(r, at, "offset"), r->lib_count};
        r->libs[r->lib_count++] = at;
        if (range.end > range.start)
            r->ranges[r->range_count++] = range;
    }
    qsort(r->ranges, r->range_count, sizeof(*r->ranges), by_start);
    return 0;
}

static int read_process(struct reader *r, uint32_t process)
{
    const uint32_t threads = nested_get(&r->in, process, "threads");
    r->process = process;
    TRY(read_libs(r));
    for (uint32_t at = nested_first(&r->in, threads); at != 0;
         at = nested_next(&r->in, threads, at))
        TRY(read_thread(r, at));
    return 0;
}

static int read_profile(struct reader *r)
{
    const uint32_t others = nested_get(&r->in, NESTED_ROOT, "processes");
    TRY(read_head(r));
    TRY(read_process(r, NESTED_ROOT));
    for (uint32_t at = nested_first(&r->in, others); at != 0;
         at = nested_next(&r->in, others, at))
        TRY(read_process(r, at));
    return 0;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake, .first = 1e300, .last = -1e300};
    int status = nested_read_json(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_profile(&r);
    close_tables(&r.tables);
    gecko_table_close(&r.samples);
    free(r.tree.nodes);
    free(r.libs);
    free(r.ranges);
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
