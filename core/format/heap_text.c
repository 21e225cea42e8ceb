/*
 * Heap profiles in text, as gperftools' tcmalloc (HEAPPROFILE=x) and jemalloc (MALLOC_CONF=
 * prof:true) write them and jeprof and pprof read them (gperftools, docs/heapprofile.html;
 * jemalloc, src/prof_data.c): blocks and bytes that live and, in brackets, that were ever
 * allocated, for each stack of return addresses; then the memory map. There are no names in it.
 * Of tcmalloc a line each,
 *
 *     heap profile:  270:  275800 [  300: 290000] @ heap_v2/524288
 *       1:  4096 [  1:  4096] @ 0x4010a0 0x401233
 *
 * of jemalloc the stack first, and the sum of all threads behind "t*":
 *
 *     heap_v2/524288
 *       t*: 28106: 56637512 [0: 0]
 *     @ 0x4010a0 0x401233
 *       t*: 13: 6688 [0: 0]
 *
 * "heap_v2/PERIOD" says that one allocation in so many bytes was taken; what a stack has is
 * then scaled up by 1 / (1 - e^(-size/PERIOD)) of its mean size, as pprof does it.
 */
#include "format/heap_text.h"

#include <math.h>

#include "format/intake.h"
#include "format/maps.h"
#include "format/refuse.h"

#define TCMALLOC "heap profile:"
#define JEMALLOC "heap_v2/"
#define MAPS "MAPPED_LIBRARIES:"

enum { INUSE_OBJECTS, INUSE_SPACE, ALLOC_OBJECTS, ALLOC_SPACE, COUNTS };

struct reader {
    struct intake *intake;
    struct maps maps;
    double period;  /* bytes; 0: every allocation was taken */
    bool allocated; /* some stack has what was ever allocated */
    size_t line;
    struct slice stack; /* jemalloc's, of the counts that follow */
};

bool heap_text_detect(const unsigned char *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    return slice_starts(text, TCMALLOC) || slice_starts(text, JEMALLOC);
}

/* --- one line --- */

/* Steps over blanks and the sign, if one is wanted, and reads a number; false: none is there.
 */
static bool take_count(struct slice *line, char sign, double *count)
{
    uint64_t number;
    *line = slice_trim(*line);
    if (sign != '\0') {
        if (line->length == 0 || *line->text != sign)
            return false;
        *line = slice_trim(slice_from(*line, 1));
    }
    size_t digits = slice_digits(*line, 10, &number);
    *line = slice_from(*line, digits);
    *count = (double)number;
    return digits > 0;
}

/* "1: 4096 [2: 8192]", and what stands behind it. */
static bool take_counts(struct slice *line, double counts[COUNTS])
{
    static const char signs[COUNTS] = {'\0', ':', '[', ':'};
    for (int i = 0; i < COUNTS; i++)
        if (!take_count(line, signs[i], &counts[i]))
            return false;
    *line = slice_trim(*line);
    if (line->length == 0 || *line->text != ']')
        return false;
    *line = slice_trim(slice_from(*line, 1));
    return true;
}

/* What some bytes in blocks of their mean size stand for. */
static void scale(const struct reader *r, double *objects, double *space)
{
    if (r->period <= 1 || *objects <= 0 || *space <= 0)
        return;
    double seen = -expm1(-*space / *objects / r->period);
    *objects /= seen;
    *space /= seen;
}

static int64_t whole(double number)
{
    const double most = 9223372036854774784.0;
    return number < most ? (int64_t)number : INT64_MAX;
}

/* "@ 0x4010a0 0x401233": where calls return to; one less is in the call. */
static int read_stack(struct reader *r, struct slice stack, profile_id **frames, size_t *depth)
{
    struct slice word;
    uint64_t address;
    *depth = 0;
    /* An address takes three bytes at least, and a blank. */
    *frames = intake_frames(r->intake, stack.length / 4 + 1);
    while (*frames != NULL && slice_word(&stack, &word)) {
        if (slice_starts(word, "0x"))
            word = slice_from(word, 2);
        if (slice_digits(word, 16, &address) != word.length || address == 0)
            return refuse(r->intake->error, "line %zu has no addresses", r->line);
        address--;
        struct profile_location location = {
            .address = address,
            .mapping = maps_find(&r->maps, r->intake->sum, address),
            .type = CPROF_FRAME_NATIVE,
        };
        (*frames)[(*depth)++] = profile_location(r->intake->sum, &location);
    }
    return 0;
}

static int add(struct reader *r, struct slice stack, double counts[COUNTS])
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    profile_id *frames;
    size_t depth;
    scale(r, &counts[INUSE_OBJECTS], &counts[INUSE_SPACE]);
    scale(r, &counts[ALLOC_OBJECTS], &counts[ALLOC_SPACE]);
    for (size_t i = 0; i < profile_value_count(r->intake->head); i++)
        values[i] = whole(counts[i]);
    TRY(read_stack(r, stack, &frames, &depth));
    return intake_add(r->intake, frames, depth, 0, values);
}

static int read_line(struct reader *r, struct slice line)
{
    double counts[COUNTS];
    line = slice_trim(line);
    if (line.length == 0 || slice_starts(line, "#"))
        return 0;
    if (slice_starts(line, "@")) { /* jemalloc's, before its counts */
        r->stack = slice_from(line, 1);
        return 0;
    }
    if (slice_starts(line, "t*:")) {
        line = slice_from(line, 3);
        if (!take_counts(&line, counts))
            return refuse(r->intake->error, "line %zu has no counts", r->line);
        return r->stack.text != NULL ? add(r, r->stack, counts) : 0; /* else the sum of all */
    }
    if (*line.text == 't') /* one thread's part of it */
        return 0;
    if (!take_counts(&line, counts) || !slice_starts(line, "@"))
        return refuse(r->intake->error, "line %zu is neither a stack nor its counts", r->line);
    return add(r, slice_from(line, 1), counts);
}

/* --- the whole --- */

/* "heap_v2/524288", and what is ever allocated where the first line says so. */
static int read_first(struct reader *r, struct slice line)
{
    static const char *const types[COUNTS] = {"inuse_objects", "inuse_space", "alloc_objects",
                                              "alloc_space"};
    double counts[COUNTS] = {0};
    uint64_t period;
    if (slice_starts(line, TCMALLOC)) {
        line = slice_from(line, strlen(TCMALLOC));
        if (!take_counts(&line, counts) || !slice_starts(line, "@"))
            return refuse(r->intake->error, "line 1 has no counts");
        line = slice_trim(slice_from(line, 1));
    }
    if (slice_starts(line, JEMALLOC) &&
        slice_digits(slice_from(line, strlen(JEMALLOC)), 10, &period) > 0) {
        r->period = (double)period;
        profile_set_period(r->intake->head, 0, "space", "bytes",
                           period < INT64_MAX ? (int64_t)period : INT64_MAX);
    }
    for (int i = 0; i < (r->allocated ? COUNTS : ALLOC_OBJECTS); i++)
        TRY(intake_column(r->intake, types[i], i % 2 == 0 ? "count" : "bytes"));
    profile_header(r->intake->head)->default_type =
        profile_string(r->intake->head, types[INUSE_SPACE]);
    return intake_begin(r->intake);
}

/* Does any stack have what was ever allocated? jemalloc has 0 there, but when it is asked. */
static bool has_allocated(struct slice text)
{
    struct slice line, rest;
    while (slice_line(&text, &line)) {
        const char *bracket = line.length > 0 ? memchr(line.text, '[', line.length) : NULL;
        double count;
        if (bracket == NULL)
            continue;
        rest = slice_from(line, (size_t)(bracket - line.text));
        if (take_count(&rest, '[', &count) && count > 0)
            return true;
    }
    return false;
}

static int read_lines(struct reader *r, struct slice text)
{
    struct slice line;
    for (r->line = 1; slice_line(&text, &line); r->line++)
        TRY(r->line == 1 ? read_first(r, line) : read_line(r, line));
    return 0;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake};
    struct slice stacks = bytes, maps = {0};
    const char *end = memmem(bytes.text, bytes.length, MAPS, strlen(MAPS));
    if (end != NULL) {
        stacks.length = (size_t)(end - bytes.text);
        maps = slice_from(bytes, stacks.length + strlen(MAPS));
    }
    r.allocated = has_allocated(stacks);
    int status = 0;
    if (!heap_text_detect((const unsigned char *)bytes.text, bytes.length))
        status = refuse(intake->error, "not a heap profile of gperftools or jemalloc");
    else if (!maps_read(&r.maps, intake->sum, maps))
        status = refuse_memory(intake->error);
    else
        status = read_lines(&r, stacks);
    maps_free(&r.maps);
    return status;
}

static int heap_text_read(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {NULL};

const struct format format_heap_text = {
    .name = "heap",
    .endings = endings,
    .read = heap_text_read,
};
