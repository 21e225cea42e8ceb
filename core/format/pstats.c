/*
 * What Python's cProfile and profile write and pstats reads (`python -m cProfile -o FILE`;
 * CPython, Lib/pstats.py): a marshalled dict of functions,
 *
 *     (file, line, name): (primitive calls, calls, own time, time with callees, callers)
 *
 * where callers is a dict of the same tuples for each caller, or in files of profile a number
 * of calls. Seconds of cProfile's timer, which by default is the clock on the wall. There are
 * no stacks in it: call_graph.h tells what is made of that.
 *
 * Python's sampling profiler (`python -m profiling.sampling run --pstats`, 3.15) says so by a
 * key without a function, ('__sampled__',). Its numbers of calls are of samples in which a
 * function was on top, and in which it was at all; its lines are those that ran.
 */
#include "format/pstats.h"

#include "format/call_graph.h"
#include "format/named_frame.h"
#include "format/python_marshal.h"
#include "format/refuse.h"

#define NANOSECONDS 1e9

enum { COLUMN_COUNT, COLUMN_WALL }; /* of calls or samples; of time */
enum { PRIMITIVE_CALLS, CALLS, OWN_TIME, WHOLE_TIME, CALLERS, PARTS };

struct reader {
    struct nested in;
    struct intake *intake;
    struct call_graph graph;
    bool sampled;
};

bool pstats_detect(const unsigned char *data, size_t size)
{
    const unsigned char flag = 0x80; /* "others may be the same" */
    if (size < 3 || (data[0] & ~flag) != '{')
        return false;
    return ((data[1] & ~flag) == ')' && data[2] == 3) ||
           ((data[1] & ~flag) == '(' && size >= 6 && memcmp(data + 2, "\3\0\0\0", 4) == 0);
}

/* The function of a key. "~" is no file but says that it is none of Python's. */
static int read_function(struct reader *r, uint32_t key, uint32_t *function)
{
    uint32_t file = nested_first(&r->in, key), line = 0, name = 0;
    if (nested_kind(&r->in, key) == NESTED_LIST && nested_count(&r->in, key) == 3) {
        line = nested_next(&r->in, key, file);
        name = nested_next(&r->in, key, line);
    }
    struct named_frame frame = {.name = nested_text(&r->in, name),
                                .file = nested_text(&r->in, file),
                                .type = CPROF_FRAME_CPYTHON};
    if (frame.name.text == NULL ||
        !nested_integer(&r->in, line, r->sampled ? &frame.line : &frame.start_line))
        return refuse(r->intake->error, "a function is not of a file, a line and a name");
    if (slice_is(frame.file, "~"))
        frame.file.length = 0;
    *function = call_graph_function(&r->graph, named_frame_intern(r->intake->sum, &frame));
    return *function != UINT32_MAX ? 0 : refuse_memory(r->intake->error);
}

/* The members of the tuple behind a key; rows, 0 where there is none. */
static void read_parts(const struct reader *r, uint32_t tuple, uint32_t parts[PARTS])
{
    memset(parts, 0, PARTS * sizeof(*parts));
    uint32_t at = nested_first(&r->in, tuple);
    for (int i = 0; i < PARTS && at != 0; i++) {
        parts[i] = at;
        at = nested_next(&r->in, tuple, at);
    }
}

static int64_t read_time(const struct reader *r, uint32_t row)
{
    return nested_scaled(nested_real(&r->in, row, 0), NANOSECONDS);
}

/* What passed in the calls of one caller, which made so many of all that came from others;
 * that is all that profile tells. */
static int64_t read_passed(const struct reader *r, uint32_t caller, uint32_t whole_time,
                           double all_calls)
{
    uint32_t own[PARTS];
    if (nested_kind(&r->in, caller) == NESTED_LIST) {
        read_parts(r, caller, own);
        return read_time(r, own[WHOLE_TIME]);
    }
    double share = all_calls > 0 ? nested_real(&r->in, caller, 0) / all_calls : 0;
    return nested_scaled(nested_real(&r->in, whole_time, 0) * share, NANOSECONDS);
}

/* Calls for `each` caller and what the function's dict has of it. */
static int for_each_caller(struct reader *r, uint32_t function, const uint32_t parts[PARTS],
                           double *all_calls,
                           int (*each)(struct reader *r, uint32_t function, uint32_t caller,
                                       uint32_t value, uint32_t whole_time, double *all_calls))
{
    const uint32_t callers = parts[CALLERS];
    for (uint32_t key = nested_first(&r->in, callers); key != 0;) {
        uint32_t value = nested_next(&r->in, callers, key), caller;
        TRY(read_function(r, key, &caller));
        if (caller != function) /* what a function's own calls passed is in it */
            TRY(each(r, function, caller, value, parts[WHOLE_TIME], all_calls));
        key = value != 0 ? nested_next(&r->in, callers, value) : 0;
    }
    return 0;
}

static int count_caller(struct reader *r, uint32_t function, uint32_t caller, uint32_t value,
                        uint32_t whole_time, double *all_calls)
{
    (void)function, (void)caller, (void)whole_time;
    *all_calls += nested_real(&r->in, value, 0);
    return 0;
}

static int add_caller(struct reader *r, uint32_t function, uint32_t caller, uint32_t value,
                      uint32_t whole_time, double *all_calls)
{
    struct graph_call *call = call_graph_call(&r->graph, caller, function);
    if (call == NULL)
        return refuse_memory(r->intake->error);
    call->passed[COLUMN_WALL] = read_passed(r, value, whole_time, *all_calls);
    return 0;
}

static int read_entry(struct reader *r, uint32_t key, uint32_t value)
{
    uint32_t parts[PARTS], function;
    int64_t count;
    read_parts(r, value, parts);
    if (nested_kind(&r->in, parts[CALLERS]) != NESTED_MAP ||
        !nested_integer(&r->in, parts[r->sampled ? PRIMITIVE_CALLS : CALLS], &count))
        return refuse(r->intake->error, "a function has no times and callers");
    TRY(read_function(r, key, &function));
    int64_t *self = r->graph.functions[function].self;
    self[COLUMN_COUNT] = clamp_add(self[COLUMN_COUNT], count);
    self[COLUMN_WALL] = clamp_add(self[COLUMN_WALL], read_time(r, parts[OWN_TIME]));
    double all_calls = 0;
    TRY(for_each_caller(r, function, parts, &all_calls, count_caller));
    return for_each_caller(r, function, parts, &all_calls, add_caller);
}

static bool says_sampled(const struct reader *r, uint32_t key)
{
    struct slice word = nested_text(&r->in, nested_first(&r->in, key));
    return nested_count(&r->in, key) == 1 && word.text != NULL && slice_is(word, "__sampled__");
}

/* Calls `each` with every key and its value, but for the one that is no function. */
static int for_each_entry(struct reader *r,
                          int (*each)(struct reader *r, uint32_t key, uint32_t value))
{
    for (uint32_t key = nested_first(&r->in, NESTED_ROOT); key != 0;) {
        uint32_t value = nested_next(&r->in, NESTED_ROOT, key);
        if (says_sampled(r, key))
            r->sampled = true;
        else if (each != NULL)
            TRY(each(r, key, value));
        key = value != 0 ? nested_next(&r->in, NESTED_ROOT, value) : 0;
    }
    return 0;
}

static int read_profile(struct reader *r)
{
    struct profile *head = r->intake->head;
    TRY(for_each_entry(r, NULL)); /* that key stands last */
    TRY(intake_column(r->intake, r->sampled ? "samples" : "calls", "count"));
    TRY(intake_column(r->intake, "wall", "nanoseconds"));
    profile_header(head)->default_type = profile_string(head, "wall");
    TRY(intake_begin(r->intake));
    r->graph.lead = COLUMN_WALL;
    r->graph.stays[COLUMN_COUNT] = true;
    TRY(for_each_entry(r, read_entry));
    return call_graph_add(&r->graph, r->intake);
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake};
    int status = pstats_detect((const unsigned char *)bytes.text, bytes.length)
                     ? python_marshal_read(&r.in, bytes, intake->error)
                     : refuse(intake->error, "not what Python's cProfile writes");
    if (status == 0)
        status = read_profile(&r);
    call_graph_free(&r.graph);
    nested_free(&r.in);
    return status;
}

static int pstats_read(const unsigned char *data, size_t size, struct profile *sum,
                       char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {".pstats", NULL};

const struct format format_pstats = {
    .name = "pstats",
    .endings = endings,
    .write = pstats_write,
    .read = pstats_read,
};
