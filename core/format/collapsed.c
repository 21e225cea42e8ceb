/*
 * Collapsed stacks, Brendan Gregg's: a line for each stack, root first, "a;b;c 5". The number
 * is of samples where the profile counts those, else of its default value. Threads, labels,
 * links, files and lines have no place in it.
 *
 * The format knows no escape, so a ';' in a name becomes ':' and a line break a space.
 */
#include "format/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frames.h"
#include "format/names.h"
#include "format/refuse.h"
#include "format/summary.h"
#include "profile/clamp.h"
#include "profile/combine.h"

#define UNKNOWN "[unknown]"

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
        append_name(line, UNKNOWN);
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
    for (size_t i = 0; i < profile_sample_count(w->profile) && line.error == 0; i++) {
        struct profile_sample sample = profile_get_sample(w->profile, i);
        line.size = 0;
        append_stack(w, profile_get_stack(w->profile, sample.stack), &line);
        if (line.error != 0)
            break;
        uint32_t number = names_text(&w->stacks, (const char *)line.data);
        w->counts[number] = clamp_add(w->counts[number], sample.values[column]);
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

static int collapsed_write(const struct profile *p, struct buffer *out)
{
    struct writer w;
    int column = profile_value_column(p, "samples");
    int status = -ENOMEM;
    if (profile_value_count(p) == 0)
        return -ENODATA;
    if (writer_init(&w, p))
        status = count_stacks(&w, column >= 0 ? (size_t)column : profile_default_column(p));
    for (uint32_t i = 1; status == 0 && i < names_count(&w.stacks); i++) {
        const struct table_string *stack = names_at(&w.stacks, i);
        char count[32];
        int length = snprintf(count, sizeof(count), " %" PRId64 "\n", w.counts[i]);
        buffer_append(out, stack->text, stack->length);
        buffer_append(out, count, (size_t)length);
    }
    writer_free(&w);
    return status != 0 ? status : out->error;
}

/* Reading */

struct reader {
    struct profile *p; /* the sum */
    size_t columns[PROFILE_MAX_VALUES];
    size_t stacks;      /* lines that are one */
    profile_id *frames; /* of one line, leaf first */
    size_t capacity;
    char *error;
};

/* "12", "-3", or "4.7" and nothing else; fractions, which some tools write, are rounded. */
static bool parse_count(const char *text, int64_t *count)
{
    char *end;
    if (text[strspn(text, "-.0123456789")] != '\0')
        return false;
    *count = strtoll(text, &end, 10);
    if (end == text)
        return false;
    if (*end == '.' && end[1] >= '5' && *count<INT64_MAX && * count> INT64_MIN)
        *count += *text == '-' ? -1 : 1;
    return *end == '\0' || (*end == '.' && end[1 + strspn(end + 1, "0123456789")] == '\0');
}

/* The number at the end of a line, and where the stack ends. Without one the line counts 1. */
static int64_t read_count(const char *line, size_t length, size_t *stack_length)
{
    char text[32];
    int64_t count;
    const char *space = memrchr(line, ' ', length);
    size_t size = space != NULL ? (size_t)(line + length - space) - 1 : 0;
    *stack_length = length;
    if (size == 0 || size >= sizeof(text))
        return 1;
    memcpy(text, space + 1, size);
    text[size] = '\0';
    if (!parse_count(text, &count))
        return 1;
    *stack_length = (size_t)(space - line);
    return count;
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

/* What other profilers put into a frame's name. */
struct frame_text {
    struct slice {
        const char *text;
        size_t length;
    } name, file, module;
    int64_t line;
    enum cprof_frame_type type;
};

static bool ends_with(struct slice slice, const char *ending)
{
    size_t length = strlen(ending);
    return slice.length >= length &&
           memcmp(slice.text + slice.length - length, ending, length) == 0;
}

/* Cuts "…:12" into what is before the colon, and the number. */
static bool take_line(struct slice *slice, int64_t *line)
{
    size_t digits = 0;
    while (digits < slice->length && slice->text[slice->length - digits - 1] >= '0' &&
           slice->text[slice->length - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits > 9 || slice->length < digits + 2 ||
        slice->text[slice->length - digits - 1] != ':')
        return false;
    *line = strtol(slice->text + slice->length - digits, NULL, 10);
    slice->length -= digits + 1;
    return true;
}

/* The type that a source file's ending tells. */
static enum cprof_frame_type type_of_file(struct slice file)
{
    static const struct {
        const char *ending;
        enum cprof_frame_type type;
    } types[] = {
        {".py", CPROF_FRAME_CPYTHON}, {".rb", CPROF_FRAME_RUBY},   {".js", CPROF_FRAME_V8JS},
        {".mjs", CPROF_FRAME_V8JS},   {".cjs", CPROF_FRAME_V8JS},  {".ts", CPROF_FRAME_V8JS},
        {".c", CPROF_FRAME_NATIVE},   {".cc", CPROF_FRAME_NATIVE}, {".cpp", CPROF_FRAME_NATIVE},
        {".h", CPROF_FRAME_NATIVE},   {".rs", CPROF_FRAME_NATIVE},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (ends_with(file, types[i].ending))
            return types[i].type;
    return file.length > 7 && memcmp(file.text, "<frozen", 7) == 0 ? CPROF_FRAME_CPYTHON
                                                                   : CPROF_FRAME_UNKNOWN;
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
static bool take_place(struct frame_text *frame, const char *separator, size_t closing,
                       bool modules)
{
    struct slice place;
    if (!find_place(frame->name, separator, closing, &place))
        return false;
    size_t name_length = (size_t)(place.text - frame->name.text) - strlen(separator);
    if (take_line(&place, &frame->line)) {
        frame->file = place;
        frame->type = type_of_file(place);
    } else if (modules && memmem(place.text, place.length, ".so", 3) != NULL) {
        frame->module = place;
        frame->type = CPROF_FRAME_NATIVE;
    } else {
        return false;
    }
    frame->name.length = name_length;
    return true;
}

/* "work (app.py:12)" and "crc32 (libz.so.1)" are py-spy's, "work - app.rb:12" rbspy's,
 * "read_[k]" is perf's and stands for the kernel. Any other name is just that. */
static struct frame_text parse_frame(const char *name, size_t length)
{
    struct frame_text frame = {.name = {name, length}};
    if (ends_with(frame.name, ")") && take_place(&frame, " (", 1, true))
        return frame;
    if (take_place(&frame, " - ", 0, false))
        return frame;
    if (length > 4 && ends_with(frame.name, "_[k]")) {
        frame.name.length -= 4;
        frame.type = CPROF_FRAME_KERNEL;
    }
    return frame;
}

static profile_id intern(struct reader *r, struct slice slice)
{
    return profile_string_n(r->p, slice.text, slice.length);
}

static profile_id read_frame(struct reader *r, const char *name, size_t length)
{
    struct frame_text frame = parse_frame(name, length);
    struct profile_function function = {
        .name = length != 0 ? intern(r, frame.name) : profile_string(r->p, UNKNOWN),
        .filename = intern(r, frame.file),
    };
    struct profile_line line = {.function = profile_function(r->p, &function),
                                .line = frame.line};
    struct profile_mapping mapping = {.filename = intern(r, frame.module)};
    struct profile_location location = {
        .type = frame.type,
        .mapping = profile_mapping(r->p, &mapping),
        .line_count = 1,
        .lines = &line,
    };
    return profile_location(r->p, &location);
}

static int read_line(struct reader *r, const char *line, size_t length)
{
    size_t stack_length, depth = 1;
    int64_t count = read_count(line, length, &stack_length);
    for (size_t i = 0; i < stack_length; i++)
        depth += line[i] == ';';
    if (!reserve_frames(r, depth))
        return -ENOMEM;
    const char *at = line, *end = line + stack_length;
    for (size_t i = depth; i-- > 0;) {
        const char *next = memchr(at, ';', (size_t)(end - at));
        if (next == NULL)
            next = end;
        r->frames[i] = read_frame(r, at, (size_t)(next - at));
        at = next + 1;
    }
    int64_t values[PROFILE_MAX_VALUES] = {0};
    values[r->columns[0]] = count;
    r->stacks++;
    return profile_add(r->p, profile_stack(r->p, r->frames, depth), 0, 0, values);
}

/* Without what is not part of the line: spaces around it, a carriage return. */
static size_t trim(const char **line, size_t length)
{
    const char *blank = " \t\r";
    while (length > 0 && memchr(blank, (*line)[length - 1], 3) != NULL)
        length--;
    while (length > 0 && memchr(blank, **line, 3) != NULL) {
        ++*line;
        length--;
    }
    return length;
}

static int read_lines(struct reader *r, const char *text, size_t size)
{
    const char *end = text + size;
    for (const char *line = text; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        const char *start = line;
        size_t length = trim(&start, (size_t)((next != NULL ? next : end) - line));
        if (length > 0 && *start != '#' && read_line(r, start, length) != 0)
            return refuse_memory(r->error);
        line = next != NULL ? next + 1 : end;
    }
    return 0;
}

/* All that the format says of a profile but its stacks. */
static int read_head(struct reader *r)
{
    struct profile *head = profile_new(NULL);
    int status = head != NULL ? profile_add_value_type(head, "samples", "count") : -ENOMEM;
    if (status == 0)
        status = profile_merge_head(r->p, head, r->columns);
    profile_free(head);
    return refuse_merge(r->error, status);
}

static int collapsed_read(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE])
{
    const unsigned char *nul = size != 0 ? memchr(data, 0, size) : NULL;
    struct reader r = {.p = sum, .error = error};
    if (nul != NULL)
        return refuse(error, "not text: byte %zu is 0", (size_t)(nul - data));
    TRY(read_head(&r));
    int status = read_lines(&r, (const char *)data, size);
    free(r.frames);
    if (status == 0 && r.stacks == 0)
        return refuse(error, "no stacks in it");
    return status;
}

static const char *const endings[] = {".collapsed", ".folded", ".txt", NULL};

const struct format format_collapsed = {
    .name = "collapsed",
    .endings = endings,
    .write = collapsed_write,
    .read = collapsed_read,
};
