/*
 * The text that `perf script` prints (linux, tools/perf/Documentation/perf-script.txt), with
 * whatever fields it was asked for: a line for each sample,
 *
 *     python3  6637/6640 [001]  1461.289313:    1001001 cpu-clock:
 *
 * and one for each frame below it, the leaf first, or a single one behind it:
 *
 *         ffffffff8161f663 alloc_pages+0x143 ([kernel.kallsyms])
 *
 * CPU, time and period may lack. Each event is a column in its own counts, cpu-clock and
 * task-clock are cpu/nanoseconds; the number of samples is one beside them. A frame's address
 * is that in its file, as perf prints it. What runtimes say of their code to perf is taken
 * apart: Python's "py::work:/app/a.py", V8's "JS:*work /app/a.js:12:5".
 */
#include "format/perf_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/intake.h"
#include "format/named_frame.h"
#include "format/refuse.h"

#define EVENTS_MAX (PROFILE_MAX_VALUES - 1) /* beside the number of samples */
#define EVENT_NAME_MAX 128

/* A sample's first line. */
struct head {
    struct slice command, event; /* an event of no length: not told */
    uint64_t thread, period;
    double seconds;
    bool has_time, has_period;
    struct slice rest; /* behind the event: a frame, or a tracepoint's words */
};

/* --- one line --- */

static bool is_number(struct slice word)
{
    uint64_t number;
    return word.length > 0 && slice_digits(word, 10, &number) == word.length;
}

/* "1461.289313:" */
static bool take_time(struct slice word, double *seconds)
{
    uint64_t whole, part;
    size_t digits = slice_digits(word, 10, &whole);
    if (digits == 0 || digits + 3 > word.length || word.text[digits] != '.')
        return false;
    struct slice rest = slice_from(word, digits + 1);
    size_t places = slice_digits(rest, 10, &part);
    if (places == 0 || places + 1 != rest.length || rest.text[places] != ':')
        return false;
    double fraction = (double)part;
    while (places-- > 0)
        fraction /= 10;
    *seconds = (double)whole + fraction;
    return true;
}

/* "6637", or "6637/6640", the process and the thread. */
static bool take_thread(struct slice word, uint64_t *thread)
{
    size_t digits = slice_digits(word, 10, thread);
    if (digits > 0 && digits < word.length && word.text[digits] == '/') {
        word = slice_from(word, digits + 1);
        digits = slice_digits(word, 10, thread);
    }
    return digits > 0 && digits == word.length;
}

/* "[001]" */
static bool is_cpu(struct slice word)
{
    return slice_starts(word, "[") && slice_ends(word, "]") &&
           is_number((struct slice){word.text + 1, word.length - 2});
}

/* What stands behind the thread. False: that was none. */
static bool take_tail(struct slice line, struct head *head)
{
    struct slice word = {0};
    if (!slice_word(&line, &word))
        return false;
    bool cpu = is_cpu(word);
    if (cpu && !slice_word(&line, &word))
        return false;
    head->has_time = take_time(word, &head->seconds);
    if (head->has_time && !slice_word(&line, &word))
        word.length = 0;
    head->has_period = is_number(word);
    if (head->has_period) {
        slice_digits(word, 10, &head->period);
        if (!slice_word(&line, &word))
            word.length = 0;
    }
    bool event =
        word.length > 1 && slice_ends(word, ":") && !(*word.text >= '0' && *word.text <= '9');
    head->event = (struct slice){word.text, event ? word.length - 1 : 0};
    head->rest = slice_trim(line);
    return event || (head->has_time && word.length == 0);
}

/* The thread is the first number that has a tail behind it: commands may have blanks and
 * numbers in their names. */
static bool take_head(struct slice line, struct head *head)
{
    struct slice rest = line, word;
    *head = (struct head){0};
    if (line.length == 0 || slice_is_blank(*line.text) || !slice_word(&rest, &word))
        return false;
    while (slice_word(&rest, &word))
        if (take_thread(word, &head->thread) && take_tail(rest, head)) {
            head->command =
                slice_trim((struct slice){line.text, (size_t)(word.text - line.text)});
            return true;
        }
    return false;
}

static void cut_offset(struct slice *name)
{
    uint64_t offset;
    for (size_t at = name->length; at-- > 3;)
        if (memcmp(name->text + at - 3, "+0x", 3) == 0 &&
            at + slice_digits(slice_from(*name, at), 16, &offset) == name->length &&
            at < name->length) {
            name->length = at - 3;
            return;
        }
}

/* "(/usr/lib/libc.so.6)" at the end of a frame's line. */
static struct slice take_module(struct slice *line)
{
    static const char deleted[] = " (deleted))";
    if (!slice_ends(*line, ")"))
        return (struct slice){0};
    struct slice whole = *line;
    whole.length -= slice_ends(*line, deleted) ? strlen(deleted) : 1;
    for (size_t at = whole.length; at-- > 0;)
        if (whole.text[at] == '(' && (at == 0 || slice_is_blank(whole.text[at - 1]))) {
            *line = slice_trim((struct slice){line->text, at});
            return slice_from(whole, at + 1);
        }
    return (struct slice){0};
}

static bool is_kernel(const struct named_frame *frame)
{
    const uint64_t upper_half = (uint64_t)1 << 63;
    return slice_starts(frame->module, "[kernel") || slice_starts(frame->module, "[guest.k") ||
           slice_ends(frame->module, ".ko") || frame->address >= upper_half;
}

/* What runtimes call their code: "py::name:file", "JS:*name file:line:column". */
static void take_runtime_name(struct named_frame *frame)
{
    static const char *const javascript[] = {
        "JS:", "LazyCompile:", "Function:", "Script:", "Eval:"};
    struct slice name = frame->name;
    const char *colon;
    if (slice_starts(name, "py::")) {
        name = slice_from(name, 4);
        colon = memchr(name.text, ':', name.length);
        frame->name.text = name.text;
        frame->name.length = colon != NULL ? (size_t)(colon - name.text) : name.length;
        if (colon != NULL)
            frame->file = slice_from(name, frame->name.length + 1);
        frame->type = CPROF_FRAME_CPYTHON;
        return;
    }
    for (size_t i = 0; i < sizeof(javascript) / sizeof(*javascript); i++) {
        if (!slice_starts(name, javascript[i]))
            continue;
        name = slice_from(name, strlen(javascript[i]));
        while (name.length > 0 && memchr("*~^+", *name.text, 4) != NULL)
            name = slice_from(name, 1);
        size_t blank = name.length;
        while (blank > 0 && name.text[blank - 1] != ' ')
            blank--;
        struct slice place = slice_from(name, blank);
        frame->type = CPROF_FRAME_V8JS;
        frame->name = slice_trim((struct slice){name.text, blank > 0 ? blank : name.length});
        if (blank > 0 && named_frame_take_line(&place, &frame->column) &&
            named_frame_take_line(&place, &frame->start_line))
            frame->file = place;
        return;
    }
}

/* "ffffffff8161f663 alloc_pages+0x143 ([kernel.kallsyms])". False: it is no frame. */
static bool take_frame(struct slice line, struct named_frame *frame)
{
    struct slice word;
    *frame = (struct named_frame){.type = CPROF_FRAME_NATIVE};
    line = slice_trim(line);
    struct slice rest = line;
    if (!slice_word(&rest, &word))
        return false;
    bool address = slice_digits(word, 16, &frame->address) == word.length;
    frame->name = slice_trim(address ? rest : line);
    frame->module = take_module(&frame->name);
    if (!address && !slice_is(frame->module, "inlined"))
        return false;
    cut_offset(&frame->name);
    if (slice_is(frame->name, "[unknown]"))
        frame->name.length = 0;
    if (frame->module.length > 0 &&
        (slice_is(frame->module, "[unknown]") || slice_is(frame->module, "inlined")))
        frame->module.length = 0;
    if (frame->name.length > 0)
        take_runtime_name(frame);
    if (frame->type == CPROF_FRAME_NATIVE && is_kernel(frame))
        frame->type = CPROF_FRAME_KERNEL;
    return frame->name.length > 0 || address;
}

bool perf_script_detect(const unsigned char *data, size_t size)
{
    struct slice text = {(const char *)data, size}, line;
    struct named_frame frame;
    struct head head;
    while (slice_line(&text, &line)) {
        if (slice_trim(line).length == 0 || *line.text == '#')
            continue;
        if (!take_head(line, &head))
            return false;
        if (head.has_time && take_frame(head.rest, &frame))
            return true;
        return slice_line(&text, &line) && line.length > 0 && slice_is_blank(*line.text) &&
               take_frame(line, &frame);
    }
    return false;
}

/* --- events --- */

struct event {
    char name[EVENT_NAME_MAX];
    bool clock; /* counts nanoseconds of CPU time */
};

struct reader {
    struct intake *intake;
    struct event events[EVENTS_MAX]; /* those with a period, by column less one */
    size_t event_count;
    double first, last; /* times; first > last: not told */
    struct head head;   /* of the sample at hand */
    bool in_sample;
    struct named_frame *frames; /* of it, leaf first */
    size_t depth, room;
};

/* Without the modifiers behind it ("cycles:ppp"); what else stands behind a colon is a
 * tracepoint's name. */
static struct slice event_name(struct slice event)
{
    for (size_t at = event.length; at-- > 1;) {
        if (event.text[at] == ':')
            return (struct slice){event.text, at};
        if (memchr("ukhIGHpPSDWeb", event.text[at], 13) == NULL)
            break;
    }
    return event;
}

static struct event *find_event(struct reader *r, struct slice event)
{
    struct slice name = event_name(event);
    for (size_t i = 0; i < r->event_count; i++)
        if (slice_is(name, r->events[i].name))
            return &r->events[i];
    return NULL;
}

/* Before anything is read: which columns there are, and what time they cover. */
static int survey(struct reader *r, struct slice text)
{
    struct slice line;
    struct head head;
    while (slice_line(&text, &line)) {
        if (!take_head(line, &head))
            continue;
        if (head.has_time) {
            r->first = head.seconds < r->first ? head.seconds : r->first;
            r->last = head.seconds > r->last ? head.seconds : r->last;
        }
        if (!head.has_period || head.event.length == 0 || find_event(r, head.event) != NULL)
            continue;
        struct slice name = event_name(head.event);
        if (r->event_count == EVENTS_MAX)
            return refuse(r->intake->error, "more than %d events", EVENTS_MAX);
        if (name.length >= EVENT_NAME_MAX)
            return refuse(r->intake->error, "an event's name has %zu characters", name.length);
        struct event *event = &r->events[r->event_count++];
        memcpy(event->name, name.text, name.length);
        event->clock = slice_is(name, "cpu-clock") || slice_is(name, "task-clock");
    }
    return 0;
}

static int add_column(struct reader *r, const struct event *event)
{
    int status = event->clock
                     ? profile_add_value_type(r->intake->head, 0, "cpu", "nanoseconds")
                     : profile_add_value_type(r->intake->head, 0, event->name, "count");
    return status == -EEXIST ? 0 : refuse_merge(r->intake->error, status);
}

static int read_head(struct reader *r)
{
    struct profile *head = r->intake->head;
    const double nanoseconds = 1e9;
    TRY(intake_column(r->intake, "samples", "count"));
    for (size_t i = 0; i < r->event_count; i++)
        TRY(add_column(r, &r->events[i]));
    if (r->event_count > 0)
        profile_header(head)->default_type = profile_string(head, profile_type(head, 1));
    if (r->last > r->first)
        profile_header(head)->duration_ns = (uint64_t)((r->last - r->first) * nanoseconds);
    return intake_begin(r->intake);
}

/* --- samples --- */

static int end_sample(struct reader *r)
{
    const struct head *head = &r->head;
    int64_t values[PROFILE_MAX_VALUES] = {1};
    if (!r->in_sample)
        return 0;
    r->in_sample = false;
    const struct event *event = head->has_period ? find_event(r, head->event) : NULL;
    if (event != NULL) {
        const char *type = event->clock ? "cpu" : event->name;
        int column = profile_value_column(r->intake->head, type);
        values[column] = head->period < INT64_MAX ? (int64_t)head->period : INT64_MAX;
    }
    profile_id *frames = intake_frames(r->intake, r->depth);
    for (size_t i = 0; i < r->depth && frames != NULL; i++)
        frames[i] = named_frame_intern(r->intake->sum, &r->frames[i]);
    int64_t thread = head->thread < INT64_MAX ? (int64_t)head->thread : INT64_MAX;
    profile_id labels = intake_thread(r->intake, head->command, thread);
    return intake_add(r->intake, frames, r->depth, labels, values);
}

static int add_frame(struct reader *r, const struct named_frame *frame)
{
    if (r->depth == r->room) {
        size_t room = 2 * r->room + 64;
        struct named_frame *frames = realloc(r->frames, room * sizeof(*frames));
        if (frames == NULL)
            return refuse_memory(r->intake->error);
        r->frames = frames;
        r->room = room;
    }
    r->frames[r->depth++] = *frame;
    return 0;
}

/* "  app.c:12" below a frame is its source, where perf was asked for that. */
static void take_source(struct reader *r, struct slice line)
{
    struct slice place = slice_trim(line);
    int64_t number;
    if (r->depth == 0 || !named_frame_take_line(&place, &number) ||
        memchr(place.text, ' ', place.length) != NULL)
        return;
    r->frames[r->depth - 1].file = place;
    r->frames[r->depth - 1].line = number;
}

static int read_line(struct reader *r, struct slice line)
{
    struct named_frame frame;
    if (slice_trim(line).length == 0)
        return end_sample(r);
    if (r->in_sample && slice_is_blank(*line.text)) {
        if (take_frame(line, &frame))
            return add_frame(r, &frame);
        take_source(r, line);
        return 0;
    }
    TRY(end_sample(r));
    r->in_sample = take_head(line, &r->head);
    r->depth = 0;
    return r->in_sample && take_frame(r->head.rest, &frame) ? add_frame(r, &frame) : 0;
}

static int read_text(struct reader *r, struct slice text)
{
    struct slice rest = text, line;
    TRY(survey(r, text));
    TRY(read_head(r));
    while (slice_line(&rest, &line))
        TRY(read_line(r, line));
    return end_sample(r);
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake, .first = 1e300};
    if (!perf_script_detect((const unsigned char *)bytes.text, bytes.length))
        return refuse(intake->error, "not what perf script prints");
    int status = read_text(&r, bytes);
    free(r.frames);
    return status;
}

static int perf_script_read(const unsigned char *data, size_t size, struct profile *sum,
                            char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {NULL};

const struct format format_perf_script = {
    .name = "perf",
    .endings = endings,
    .read = perf_script_read,
};
