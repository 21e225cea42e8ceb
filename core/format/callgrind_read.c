/*
 * Callgrind's format, as `valgrind --tool=callgrind` and Xdebug write it and KCachegrind reads
 * it (https://valgrind.org/docs/manual/cl-format.html): which object, file and function the
 * lines below belong to, lines of what was spent at a position, and calls with what was spent
 * in them. There are no stacks in it: call_graph.h tells what is made of that.
 *
 * Each event ("Ir") is a column of counts; where its unit stands behind its name, as in
 * Xdebug's "Time_(10ns)" and our own "cpu_(nanoseconds)", it is of that. Positions within a
 * function, jumps, and the events that are worked out of others are left out.
 */
#include "format/callgrind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/call_graph.h"
#include "format/named_frame.h"
#include "format/refuse.h"

#define TYPE_NAME_MAX 64

/* Names are told once, "fn=(3) main", and then by number, "fn=(3)". */
struct names_told {
    struct slice *list; /* by number */
    size_t room;
};

enum namespace { OBJECTS, FILES, FUNCTIONS, NAMESPACES };

struct reader {
    struct slice bytes;
    struct intake *intake;
    struct call_graph graph;
    struct names_told told[NAMESPACES];
    size_t positions; /* numbers before a line's costs */
    size_t columns;
    int64_t factors[PROFILE_MAX_VALUES];
    struct slice object, file, called_object, called_file, called; /* NULL text: not told */
    struct slice function_file;
    uint32_t function; /* at hand; UINT32_MAX: none */
    bool call_follows; /* the next line is what a call took */
    size_t line;
};

/* --- names --- */

static int refuse_line(const struct reader *r, const char *why)
{
    return refuse(r->intake->error, "line %zu %s", r->line, why);
}

static int tell(struct reader *r, enum namespace space, uint64_t number, struct slice name)
{
    struct names_told *told = &r->told[space];
    if (number >= r->bytes.length) /* there are fewer names than bytes */
        return refuse_line(r, "has a name's number that is too large");
    if (number >= told->room) {
        size_t room = 2 * (size_t)number + 64;
        struct slice *list = realloc(told->list, room * sizeof(*list));
        if (list == NULL)
            return refuse_memory(r->intake->error);
        memset(list + told->room, 0, (room - told->room) * sizeof(*list));
        told->list = list;
        told->room = room;
    }
    told->list[number] = name;
    return 0;
}

/* "(3) main", "(3)" or "main". */
static int read_name(struct reader *r, enum namespace space, struct slice text,
                     struct slice *name)
{
    uint64_t number;
    *name = text;
    size_t digits =
        slice_starts(text, "(") ? slice_digits(slice_from(text, 1), 10, &number) : 0;
    if (digits == 0 || digits + 1 >= text.length || text.text[digits + 1] != ')')
        return 0;
    *name = slice_trim(slice_from(text, digits + 2));
    if (name->length > 0)
        return tell(r, space, number, *name);
    if (number >= r->told[space].room || r->told[space].list[number].text == NULL)
        return refuse_line(r, "names something that was not told before");
    *name = r->told[space].list[number];
    return 0;
}

/* "???" is what valgrind calls what it does not know. */
static struct slice unless_unknown(struct slice name)
{
    return name.text != NULL && slice_is(name, "???") ? (struct slice){0} : name;
}

static int find_function(struct reader *r, struct slice name, struct slice file,
                         struct slice object, uint32_t *function)
{
    struct named_frame frame = {
        .name = name,
        .file = unless_unknown(file),
        .module = unless_unknown(object),
    };
    frame.type = frame.module.length > 0 ? CPROF_FRAME_NATIVE : named_frame_type(frame.file);
    *function = call_graph_function(&r->graph, named_frame_intern(r->intake->sum, &frame));
    return *function != UINT32_MAX ? 0 : refuse_memory(r->intake->error);
}

/* --- the head --- */

/* "cpu_(nanoseconds)": the unit stands behind the name; Xdebug's are of its own. */
static int add_column(struct reader *r, struct slice event)
{
    static const struct {
        const char *event, *type, *unit;
        int64_t factor;
    } units[] = {
        {"Time_(10ns)", "wall", "nanoseconds", 10},
        {"Time_(µs)", "wall", "nanoseconds", 1000},
        {"Memory_(bytes)", "alloc_space", "bytes", 1},
    };
    char type[TYPE_NAME_MAX];
    if (r->columns == PROFILE_MAX_VALUES)
        return refuse(r->intake->error, "more than %d events", PROFILE_MAX_VALUES);
    r->factors[r->columns] = 1;
    snprintf(type, sizeof(type), "%.*s", (int)(event.length < 60 ? event.length : 60),
             event.text);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (slice_is(event, units[i].event)) {
            r->factors[r->columns++] = units[i].factor;
            return intake_column(r->intake, units[i].type, units[i].unit);
        }
    r->columns++;
    char *unit = strstr(type, "_("), *end = unit != NULL ? strrchr(type, ')') : NULL;
    bool has_unit = end != NULL && end[1] == '\0' && unit != type;
    if (has_unit)
        *unit = *end = '\0';
    int status =
        profile_add_value_type(r->intake->head, 0, type, has_unit ? unit + 2 : "count");
    return status == -EEXIST ? refuse_line(r, "has the same event twice")
                             : refuse_merge(r->intake->error, status);
}

static int read_events(struct reader *r, struct slice names)
{
    struct profile *head = r->intake->head;
    struct slice name;
    if (r->columns > 0) /* the next part of a file says it again */
        return 0;
    while (slice_word(&names, &name))
        TRY(add_column(r, name));
    if (r->columns == 0)
        return refuse_line(r, "has no events");
    profile_header(head)->default_type = profile_string(head, profile_type(head, 0));
    return intake_begin(r->intake);
}

/* "positions: instr line" */
static void read_positions(struct reader *r, struct slice names)
{
    struct slice name;
    for (r->positions = 0; slice_word(&names, &name);)
        r->positions++;
}

/* "key: value" */
static int read_header(struct reader *r, struct slice line)
{
    if (slice_starts(line, "events:"))
        return read_events(r, slice_from(line, strlen("events:")));
    if (slice_starts(line, "positions:"))
        read_positions(r, slice_from(line, strlen("positions:")));
    return 0;
}

/* --- the body --- */

static bool is_cost(struct slice line)
{
    return (*line.text >= '0' && *line.text <= '9') || *line.text == '+' || *line.text == '-' ||
           *line.text == '*';
}

/* Costs that lack at the end are 0. */
static int read_costs(struct reader *r, struct slice line, int64_t *costs)
{
    struct slice word;
    uint64_t number;
    for (size_t i = 0; i < r->positions; i++)
        if (!slice_word(&line, &word))
            return refuse_line(r, "has no costs");
    for (size_t i = 0; slice_word(&line, &word); i++) {
        if (i >= r->columns || slice_digits(word, 10, &number) != word.length)
            return refuse_line(r, "has costs that are no numbers, or more than events");
        int64_t cost = number < INT64_MAX ? (int64_t)number : INT64_MAX;
        costs[i] = clamp_add(costs[i], clamp_multiply(cost, r->factors[i]));
    }
    return 0;
}

static int read_call(struct reader *r, struct slice line)
{
    uint32_t callee;
    if (r->called.text == NULL)
        return refuse_line(r, "is a call of no function");
    TRY(find_function(r, r->called,
                      r->called_file.text != NULL ? r->called_file : r->function_file,
                      r->called_object.text != NULL ? r->called_object : r->object, &callee));
    struct graph_call *call = call_graph_call(&r->graph, r->function, callee);
    if (call == NULL)
        return refuse_memory(r->intake->error);
    r->call_follows = false;
    r->called = r->called_file = r->called_object = (struct slice){0};
    return read_costs(r, line, call->passed);
}

static int read_cost_line(struct reader *r, struct slice line)
{
    if (r->columns == 0)
        return refuse_line(r, "has costs before the events are told");
    if (r->function == UINT32_MAX)
        TRY(find_function(r, slice_of(NAMED_FRAME_UNKNOWN), r->file, r->object, &r->function));
    if (r->call_follows)
        return read_call(r, line);
    return read_costs(r, line, r->graph.functions[r->function].self);
}

/* "fn=(3) main" and the like. */
static int read_place(struct reader *r, struct slice line)
{
    const struct {
        const char *key;
        enum namespace space;
        struct slice *to;
    } places[] = {
        {"ob=", OBJECTS, &r->object},
        {"fl=", FILES, &r->file},
        {"fi=", FILES, NULL},
        {"fe=", FILES, NULL},
        {"cob=", OBJECTS, &r->called_object},
        {"cfi=", FILES, &r->called_file},
        {"cfl=", FILES, &r->called_file},
        {"cfn=", FUNCTIONS, &r->called},
    };
    struct slice name;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (slice_starts(line, places[i].key)) {
            struct slice text = slice_from(line, strlen(places[i].key));
            TRY(read_name(r, places[i].space, text, &name));
            if (places[i].to != NULL)
                *places[i].to = name;
            return 0;
        }
    if (!slice_starts(line, "fn=") || r->columns == 0)
        return 0; /* jumps, and what later versions may have */
    TRY(read_name(r, FUNCTIONS, slice_from(line, strlen("fn=")), &name));
    r->function_file = r->file;
    return find_function(r, name, r->file, r->object, &r->function);
}

static int read_line(struct reader *r, struct slice line)
{
    r->line++;
    line = slice_trim(line);
    if (line.length == 0 || *line.text == '#')
        return 0;
    if (is_cost(line))
        return read_cost_line(r, line);
    if (slice_starts(line, "calls=")) {
        r->call_follows = true;
        return 0;
    }
    const char *colon = memchr(line.text, ':', line.length);
    const char *equals = memchr(line.text, '=', line.length);
    if (equals == NULL || (colon != NULL && colon < equals))
        return read_header(r, line);
    return read_place(r, line);
}

bool callgrind_detect(const unsigned char *data, size_t size)
{
    static const char *const heads[] = {"version: 1", "creator: ", "positions: ", "events: "};
    struct slice text = {(const char *)data, size}, line;
    bool first = true;
    for (; slice_line(&text, &line); first = false) {
        line = slice_trim(line);
        if (first && slice_is(line, "# callgrind format"))
            return true;
        if (line.length == 0 || *line.text == '#')
            continue;
        bool head = false;
        for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
            head = head || slice_starts(line, heads[i]);
        if (!head)
            return false;
        /* "creator: x 5" might be a stack as well; two lines of a head are none. */
        return slice_line(&text, &line) && memchr(line.text, ':', line.length) != NULL;
    }
    return false;
}

static int read_text(struct reader *r)
{
    struct slice rest = r->bytes, line;
    while (slice_line(&rest, &line))
        TRY(read_line(r, line));
    if (r->columns == 0)
        return refuse(r->intake->error, "tells no events");
    return call_graph_add(&r->graph, r->intake);
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {
        .bytes = bytes, .intake = intake, .positions = 1, .function = UINT32_MAX};
    int status = callgrind_detect((const unsigned char *)bytes.text, bytes.length)
                     ? read_text(&r)
                     : refuse(intake->error, "not what callgrind writes");
    call_graph_free(&r.graph);
    for (size_t i = 0; i < NAMESPACES; i++)
        free(r.told[i].list);
    return status;
}

static int callgrind_read(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {".callgrind", NULL};

const struct format format_callgrind = {
    .name = "callgrind",
    .endings = endings,
    .write = callgrind_write,
    .read = callgrind_read,
};
