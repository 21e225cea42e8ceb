/*
 * Collapsed stacks, Brendan Gregg's: a line for each stack, root first, "a;b;c 5". The number
 * is of samples where the profile counts those, else of its default value. Threads, labels,
 * links, files and lines have no place in it.
 *
 * The format knows no escape, so a ';' in a name becomes ':' and a line break a space.
 *
 * Reading is strict, as any text could be meant: a line that is no stack with a count is
 * refused. A blank and a count is an empty stack, as py-spy writes of a thread that has not
 * begun.
 */
#include "format/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frames.h"
#include "format/gzip.h"
#include "format/named_frame.h"
#include "format/names.h"
#include "format/refuse.h"
#include "format/slice.h"
#include "format/summary.h"
#include "profile/clamp.h"
#include "profile/combine.h"

#define COLLAPSED_MILLION 1000000
#define COLLAPSED_MILLIONTHS "millionths" /* the unit of counts that are not whole */

/* Writing */

struct writer {
    const struct profile *profile;
    struct frame_table frames;
    uint32_t *path;      /* of one stack; room for the deepest */
    struct names stacks; /* the lines without their numbers; "" is the empty stack */
    int64_t *counts;     /* by line */
};

static void append_name(struct buffer *line, const char *name)
{
    size_t start = line->size;
    buffer_append(line, name, strlen(name));
    for (size_t i = start; i < line->size; i++) {
        if (line->data[i] == ';')
            line->data[i] = ':';
        if (line->data[i] == '\n' || line->data[i] == '\r')
            line->data[i] = ' ';
    }
}

static void append_stack(struct writer *w, struct profile_stack stack, struct buffer *line)
{
    size_t depth = frame_table_expand(&w->frames, stack, w->path);
    if (depth == 0)
        append_name(line, NAMED_FRAME_UNKNOWN);
    for (size_t i = 0; i < depth; i++) {
        if (i > 0)
            buffer_append(line, ";", 1);
        append_name(line, w->frames.frames[w->path[i]].text);
    }
    buffer_append(line, "", 1); /* ends the text */
}

/* Stacks that differ only in what the format leaves out become one line. */
static int count_stacks(struct writer *w, size_t column)
{
    struct buffer line = {0};
    const size_t sheet = profile_column_sheet(w->profile, column);
    const size_t end = profile_first_sample(w->profile, sheet + 1);
    for (size_t i = profile_first_sample(w->profile, sheet); i < end && line.error == 0; i++) {
        struct profile_sample sample = profile_get_sample(w->profile, i);
        line.size = 0;
        append_stack(w, profile_get_stack(w->profile, sample.stack), &line);
        if (line.error != 0)
            break;
        uint32_t number = names_text(&w->stacks, (const char *)line.data);
        w->counts[number] =
            clamp_add(w->counts[number], profile_value(w->profile, &sample, column));
    }
    int status = w->stacks.failed ? -ENOMEM : line.error;
    buffer_free(&line);
    return status;
}

static bool writer_init(struct writer *w, const struct profile *p)
{
    *w = (struct writer){.profile = p};
    if (frame_table_init(&w->frames, p, FRAMES_OF_PROGRAM) != 0) {
        w->frames = (struct frame_table){0};
        return false;
    }
    w->path = malloc((frame_table_deepest(&w->frames) + 1) * sizeof(*w->path));
    w->counts = calloc(profile_sample_count(p) + 1, sizeof(*w->counts));
    return names_init(&w->stacks, p) && w->path != NULL && w->counts != NULL;
}

static void writer_free(struct writer *w)
{
    if (w->frames.profile != NULL)
        frame_table_free(&w->frames);
    names_free(&w->stacks);
    free(w->path);
    free(w->counts);
}

/* " 5\n"; of a value in millionths " 0.3\n". */
static int write_count(char *text, size_t size, int64_t count, bool millionths)
{
    const char *sign = count < 0 ? "-" : "";
    uint64_t rest = count < 0 ? -(uint64_t)count : (uint64_t)count;
    if (!millionths || rest % COLLAPSED_MILLION == 0)
        return snprintf(text, size, " %s%" PRIu64 "\n", sign,
                        millionths ? rest / COLLAPSED_MILLION : rest);
    return snprintf(text, size, " %s%" PRIu64 ".%06" PRIu64 "\n", sign,
                    rest / COLLAPSED_MILLION, rest % COLLAPSED_MILLION);
}

static int collapsed_write(const struct profile *p, struct buffer *out)
{
    struct writer w;
    int samples = profile_value_column(p, "samples");
    size_t column = profile_default_column(p);
    if (samples >= 0 &&
        profile_column_sheet(p, (size_t)samples) == profile_column_sheet(p, column))
        column = (size_t)samples;
    const bool millionths = strcmp(profile_unit(p, column), COLLAPSED_MILLIONTHS) == 0;
    int status = -ENOMEM;
    if (profile_value_count(p) == 0)
        return -ENODATA;
    if (writer_init(&w, p))
        status = count_stacks(&w, column);
    for (uint32_t i = 1; status == 0 && i < names_count(&w.stacks); i++) {
        const struct table_string *stack = names_at(&w.stacks, i);
        char count[48];
        int length = write_count(count, sizeof(count), w.counts[i], millionths);
        buffer_append(out, stack->text, stack->length);
        buffer_append(out, count, (size_t)length);
    }
    writer_free(&w);
    return status != 0 ? status : out->error;
}

/* Reading */

/* What all lines of a file have, found before any is read. */
struct shape {
    bool fractions;  /* a count that is not whole: all are then read in millionths */
    bool two_counts; /* difffolded.pl's: what there was before, what there is now */
};

struct reader {
    struct profile *p; /* the sum */
    struct shape shape;
    struct profile_place places[PROFILE_MAX_VALUES];
    size_t stacks;      /* lines that are one */
    size_t line;        /* its number */
    bool indented;      /* it begins with a blank */
    profile_id *frames; /* of one line, leaf first */
    size_t capacity;
    char *error;
};

/* A number of stacks, whole and in millionths. */
struct count {
    int64_t whole, millionths;
    bool fraction;
};

#define EXACT 9007199254740992.0 /* doubles below have room for halves */

/* Without what is behind the point. */
static int64_t to_integer(double value)
{
    const double most = 9223372036854774784.0;
    return value > most ? INT64_MAX : value < -most ? INT64_MIN : (int64_t)value;
}

/* "12", "-3", "4.7", "1e-05" and nothing else. */
static bool parse_count(struct slice slice, struct count *count)
{
    char text[48], *end;
    if (slice.length == 0 || slice.length >= sizeof(text))
        return false;
    memcpy(text, slice.text, slice.length);
    text[slice.length] = '\0';
    if (text[strspn(text, "+-.0123456789eE")] != '\0' || strpbrk(text, "0123456789") == NULL)
        return false;
    double value = strtod(text, &end);
    if (*end != '\0')
        return false;
    if (strpbrk(text, ".eE") == NULL)
        count->whole = strtoll(text, NULL, 10); /* all of its digits */
    else
        count->whole = to_integer(value);
    count->fraction = value > -EXACT && value < EXACT && (double)count->whole != value;
    count->millionths = count->fraction
                            ? to_integer(value * COLLAPSED_MILLION + (value < 0 ? -0.5 : 0.5))
                            : clamp_multiply(count->whole, COLLAPSED_MILLION);
    return true;
}

/* Cuts the number off the end of a line. False: there is none, or nothing before it. */
static bool take_count(struct slice *line, struct count *count)
{
    size_t start = line->length;
    while (start > 0 && !slice_is_blank(line->text[start - 1]))
        start--;
    struct slice rest = slice_trim((struct slice){line->text, start});
    if (rest.length == 0 ||
        !parse_count((struct slice){line->text + start, line->length - start}, count))
        return false;
    *line = rest;
    return true;
}

static bool reserve_frames(struct reader *r, size_t count)
{
    if (count <= r->capacity)
        return true;
    profile_id *frames = realloc(r->frames, 2 * count * sizeof(*frames));
    if (frames == NULL)
        return false;
    r->frames = frames;
    r->capacity = 2 * count;
    return true;
}

/* What stands behind the last `separator` that has something before it, but for `closing` bytes
 * at the end: a place may have parentheses of its own, but never half of a pair. */
static bool find_place(struct slice name, const char *separator, size_t closing,
                       struct slice *place)
{
    size_t length = strlen(separator), end = name.length - closing;
    long open = (long)closing; /* parentheses whose opening ones are further left */
    for (size_t at = end; at-- > 1 && open >= 0;) {
        bool here = end - at > length && memcmp(name.text + at, separator, length) == 0;
        if (here && open == 0) {
            *place = (struct slice){name.text + at + length, end - at - length};
            return true;
        }
        open += (name.text[at] == ')') - (name.text[at] == '(');
    }
    return false;
}

/* Takes what stands behind `separator` as the place if it is one: a file with a line, or with
 * `modules` a shared object. */
static bool take_place(struct named_frame *frame, const char *separator, size_t closing,
                       bool modules)
{
    struct slice place;
    if (!find_place(frame->name, separator, closing, &place))
        return false;
    size_t name_length = (size_t)(place.text - frame->name.text) - strlen(separator);
    if (named_frame_take_line(&place, &frame->line)) {
        frame->file = place;
        frame->type = named_frame_type(place);
    } else if (modules && memmem(place.text, place.length, ".so", 3) != NULL) {
        frame->module = place;
        frame->type = CPROF_FRAME_NATIVE;
    } else {
        return false;
    }
    frame->name.length = name_length;
    return true;
}

/* "app.py:work:12" is that of Python's own sampling profiler. */
static bool take_python(struct named_frame *frame)
{
    struct slice place = frame->name;
    int64_t line;
    if (!named_frame_take_line(&place, &line))
        return false;
    const char *colon = memrchr(place.text, ':', place.length);
    if (colon == NULL)
        return false;
    const struct slice file = {place.text, (size_t)(colon - place.text)};
    const struct slice name = slice_from(place, file.length + 1);
    if (name.length == 0 || !(slice_ends(file, ".py") || slice_starts(file, "<frozen ")))
        return false;
    *frame = (struct named_frame){
        .name = name, .file = file, .line = line, .type = CPROF_FRAME_CPYTHON};
    return true;
}

/* "work (app.py:12)" and "crc32 (libz.so.1)" are py-spy's, "work - app.rb:12" rbspy's,
 * "read_[k]" is perf's and stands for the kernel. Any other name is just that. */
static struct named_frame parse_frame(const char *name, size_t length)
{
    struct named_frame frame = {.name = {name, length}};
    if (slice_ends(frame.name, ")") && take_place(&frame, " (", 1, true))
        return frame;
    if (take_place(&frame, " - ", 0, false) || take_python(&frame))
        return frame;
    if (length > 4 && slice_ends(frame.name, "_[k]")) {
        frame.name.length -= 4;
        frame.type = CPROF_FRAME_KERNEL;
    }
    return frame;
}

static int refuse_line(struct reader *r, struct slice line)
{
    const size_t shown = 60;
    return refuse(r->error, "line %zu is no stack with a count behind it: \"%.*s%s\"", r->line,
                  (int)(line.length < shown ? line.length : shown), line.text,
                  line.length < shown ? "" : "…");
}

/* "" is the empty stack. */
static int add_stack(struct reader *r, struct slice stack, const int64_t *values)
{
    size_t depth = stack.length != 0;
    for (size_t i = 0; i < stack.length; i++)
        depth += stack.text[i] == ';';
    if (!reserve_frames(r, depth))
        return refuse_memory(r->error);
    const char *at = stack.text, *end = stack.text + stack.length;
    for (size_t i = depth; i-- > 0;) {
        const char *next = memchr(at, ';', (size_t)(end - at));
        if (next == NULL)
            next = end;
        const struct named_frame frame = parse_frame(at, (size_t)(next - at));
        r->frames[i] = named_frame_intern(r->p, &frame);
        at = next + 1;
    }
    r->stacks++;
    profile_id id = profile_stack(r->p, r->frames, depth);
    int status = profile_add_row(r->p, r->places[0].column, id, 0, 0, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int64_t value_of(const struct reader *r, const struct count *count)
{
    return r->shape.fractions ? count->millionths : count->whole;
}

static bool is_empty_stack(const struct reader *r, struct slice line, struct count *count)
{
    return r->indented && parse_count(line, count);
}

static int read_line(struct reader *r, struct slice line)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    struct count now, before;
    if (is_empty_stack(r, line, &now))
        line.length = 0;
    else if (!take_count(&line, &now))
        return refuse_line(r, line);
    profile_put(values, r->places[0], value_of(r, &now));
    if (r->shape.two_counts && take_count(&line, &before))
        profile_put(values, r->places[1], value_of(r, &before));
    return add_stack(r, line, values);
}

/* Takes what a line tells of the shape of all; a number before the count may be part of a name
 * unless it stands in every line. */
static int look_at_line(struct reader *r, struct slice line)
{
    struct slice whole = line;
    struct count now, before;
    if (is_empty_stack(r, line, &now)) {
        r->shape.fractions |= now.fraction;
        return 0; /* with no others these are just numbers */
    }
    if (!take_count(&line, &now))
        return refuse_line(r, whole);
    bool two = take_count(&line, &before);
    r->shape.two_counts = two && (r->shape.two_counts || r->stacks == 0);
    r->shape.fractions |= now.fraction || (two && before.fraction);
    r->stacks++;
    return 0;
}

/* Calls `each` for all lines but empty ones and comments, until one fails. */
static int for_each_line(struct reader *r, struct slice text,
                         int (*each)(struct reader *r, struct slice line))
{
    struct slice line;
    r->line = r->stacks = 0;
    while (slice_line(&text, &line)) {
        r->indented = line.length > 0 && slice_is_blank(*line.text);
        line = slice_trim(line);
        r->line++;
        if (line.length > 0 && *line.text != '#')
            TRY(each(r, line));
    }
    return 0;
}

/* All that the format says of a profile but its stacks. */
static int read_head(struct reader *r)
{
    const bool fractions = r->shape.fractions;
    const char *unit = fractions ? COLLAPSED_MILLIONTHS : "count";
    const char *type = fractions ? "weight" : "samples";
    struct profile *head = profile_new(NULL);
    int status = head != NULL ? profile_add_value_type(head, 0, type, unit) : -ENOMEM;
    if (status == 0 && r->shape.two_counts) {
        status = profile_add_value_type(head, 0, "before", unit);
        profile_header(head)->default_type = profile_string(head, type);
    }
    if (status == 0)
        status = profile_merge_head(r->p, head, r->places);
    profile_free(head);
    return refuse_merge(r->error, status);
}

static int read_text(struct reader *r, struct slice text)
{
    TRY(for_each_line(r, text, look_at_line));
    if (r->stacks == 0)
        return refuse(r->error, "no stacks in it");
    TRY(read_head(r));
    return for_each_line(r, text, read_line);
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    static const char mark[] = "\xef\xbb\xbf"; /* editors' "this is UTF-8" */
    const unsigned char *nul = size != 0 ? memchr(data, 0, size) : NULL;
    struct reader r = {.p = sum, .error = error};
    if (nul != NULL)
        return refuse(error, "not text: byte %zu is 0", (size_t)(nul - data));
    size_t skip = size >= 3 && memcmp(data, mark, 3) == 0 ? 3 : 0;
    int status = read_text(&r, (struct slice){(const char *)data + skip, size - skip});
    free(r.frames);
    return status;
}

static int collapsed_read(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}

static const char *const endings[] = {".collapsed", ".folded", ".txt", ".collapsed.gz",
                                      ".folded.gz", ".txt.gz", NULL};

const struct format format_collapsed = {
    .name = "collapsed",
    .endings = endings,
    .write = collapsed_write,
    .read = collapsed_read,
};
