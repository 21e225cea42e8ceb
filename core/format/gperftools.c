#include "format/gperftools.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gzip.h"
#include "format/maps.h"
#include "format/refuse.h"
#include "profile/clamp.h"
#include "profile/combine.h"
#include "profile/measures.h"

enum { HEAD_ZERO, HEAD_SIZE, HEAD_VERSION, HEAD_PERIOD, HEAD_PADDING, HEAD_WORDS };
#define HEAD_SIZE_VALUE 3
#define LONGEST_PERIOD 100000000u /* microseconds; what is longer is another file */

/* The words that are left. */
struct words {
    const unsigned char *at, *end;
    size_t width; /* 4 or 8 bytes */
    bool big;     /* the highest byte first */
};

static bool next_word(struct words *words, uint64_t *word)
{
    if ((size_t)(words->end - words->at) < words->width)
        return false;
    *word = 0;
    for (size_t i = 0; i < words->width; i++)
        *word = *word << 8 | words->at[words->big ? i : words->width - 1 - i];
    words->at += words->width;
    return true;
}

/* Takes the head; false: it is none of a machine like that. */
static bool take_head(struct words *words, uint64_t *period_us)
{
    uint64_t head[HEAD_WORDS];
    for (size_t i = 0; i < HEAD_WORDS; i++)
        if (!next_word(words, &head[i]))
            return false;
    *period_us = head[HEAD_PERIOD];
    return head[HEAD_ZERO] == 0 && head[HEAD_SIZE] == HEAD_SIZE_VALUE &&
           head[HEAD_VERSION] == 0 && head[HEAD_PERIOD] > 0 &&
           head[HEAD_PERIOD] <= LONGEST_PERIOD && head[HEAD_PADDING] == 0;
}

static bool open_words(const unsigned char *data, size_t size, struct words *words,
                       uint64_t *period_us)
{
    for (size_t width = 4; width <= 8; width += 4)
        for (int big = 0; big <= 1; big++) {
            *words = (struct words){data, data + size, width, big};
            if (take_head(words, period_us))
                return true;
        }
    return false;
}

bool gperftools_detect(const unsigned char *data, size_t size)
{
    struct words words;
    uint64_t period_us;
    return open_words(data, size, &words, &period_us);
}

struct reader {
    struct words words; /* from the first record on */
    struct profile *p;  /* the sum */
    char *error;
    int64_t period_ns;
    struct profile_place places[PROFILE_MAX_VALUES];
    struct maps maps;
    profile_id *frames; /* of one record */
    size_t frame_room;
    uint64_t trampoline; /* the address that a signal handler returns to; 0 = not told */
};

/* --- records --- */

struct record {
    uint64_t count, depth;
    struct words addresses;
};

/* 1 with the next record, 0 past the last, -EBADMSG. */
static int next_record(const struct reader *r, struct words *words, struct record *record)
{
    uint64_t first = 0;
    size_t at = (size_t)(words->at - r->words.at);
    if (!next_word(words, &record->count) || !next_word(words, &record->depth) ||
        record->depth > (size_t)(words->end - words->at) / words->width || record->depth == 0)
        return refuse(r->error, "damaged or cut short in the record at byte %zu",
                      at + HEAD_WORDS * words->width);
    record->addresses = *words;
    struct words ahead = *words;
    next_word(&ahead, &first);
    words->at += record->depth * words->width;
    return record->count != 0 || record->depth != 1 || first != 0;
}

/* Every sample was taken in a signal handler, whose return address stands second in nearly all
 * records if it is there at all; it is no part of the program. */
static int find_trampoline(struct reader *r)
{
    struct words words = r->words;
    struct record record = {0};
    uint64_t votes = 0, candidate = 0, records = 0, same = 0, leaf = 0, second = 0;
    int more;
    for (int pass = 0; pass < 2; pass++) { /* the majority, then whether it is one */
        words = r->words;
        while ((more = next_record(r, &words, &record)) > 0) {
            if (record.depth < 2)
                continue;
            next_word(&record.addresses, &leaf);
            next_word(&record.addresses, &second);
            if (pass == 1) {
                records++;
                same += second == candidate;
            } else if (votes == 0) {
                candidate = second;
                votes = 1;
            } else {
                votes += second == candidate ? 1 : (uint64_t)-1;
            }
        }
        TRY(more);
    }
    const uint64_t fewest = 20; /* of a handful of records many are alike by chance */
    if (records >= fewest && same >= records - records / 20)
        r->trampoline = candidate;
    return 0;
}

/* --- samples --- */

static profile_id read_frame(struct reader *r, uint64_t address)
{
    struct profile_location location = {.address = address,
                                        .mapping = maps_find(&r->maps, r->p, address),
                                        .type = CPROF_FRAME_NATIVE};
    return profile_location(r->p, &location);
}

static bool reserve_frames(struct reader *r, size_t depth)
{
    if (depth <= r->frame_room)
        return true;
    free(r->frames);
    r->frame_room = depth * 2;
    r->frames = malloc(r->frame_room * sizeof(*r->frames));
    return r->frames != NULL;
}

/* Addresses but the leaf's are of the instruction that is returned to: one less is in the call.
 * Where the walk found the leaf as well, it stands twice. */
static int read_record(struct reader *r, const struct record *record)
{
    struct words words = record->addresses;
    size_t depth = 0;
    uint64_t address = 0, leaf = 0;
    if (!reserve_frames(r, record->depth))
        return refuse_memory(r->error);
    for (uint64_t i = 0; i < record->depth; i++) {
        next_word(&words, &address);
        bool twice = i == 1 && (address == leaf || address == r->trampoline);
        if (i == 0)
            leaf = address;
        if (!twice)
            r->frames[depth++] = read_frame(r, i == 0 ? address : address - 1);
    }
    int64_t values[PROFILE_MAX_VALUES] = {0};
    int64_t count = record->count < INT64_MAX ? (int64_t)record->count : INT64_MAX;
    profile_put(values, r->places[0], count);
    profile_put(values, r->places[1], clamp_multiply(count, r->period_ns));
    profile_id stack = profile_stack(r->p, r->frames, depth);
    int status = profile_add_row(r->p, r->places[0].column, stack, 0, 0, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_head(struct reader *r)
{
    struct profile *head = profile_new(NULL);
    int status = -ENOMEM;
    if (head != NULL) {
        status = measure_fill_sheet(head, 0, "cpu", r->period_ns);
    }
    if (status == 0)
        status = profile_merge_head(r->p, head, r->places);
    profile_free(head);
    return refuse_merge(r->error, status);
}

static int read_profile(struct reader *r)
{
    struct words words = r->words;
    struct record record = {0};
    int more;
    TRY(read_head(r));
    TRY(find_trampoline(r));
    while (next_record(r, &words, &record) > 0)
        continue;
    const struct slice text = {(const char *)words.at, (size_t)(words.end - words.at)};
    if (!maps_read(&r->maps, r->p, text))
        return refuse_memory(r->error);
    words = r->words;
    while ((more = next_record(r, &words, &record)) > 0)
        TRY(read_record(r, &record));
    return profile_error(r->p) == 0 ? more : refuse_memory(r->error);
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct reader r = {.p = sum, .error = error};
    uint64_t period_us;
    if (!open_words(data, size, &r.words, &period_us))
        return refuse(error, "not a CPU profile of gperftools");
    r.period_ns = (int64_t)period_us * 1000;
    int status = read_profile(&r);
    maps_free(&r.maps);
    free(r.frames);
    return status;
}

static int gperftools_read(const unsigned char *data, size_t size, struct profile *sum,
                           char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}

static const char *const endings[] = {NULL};

const struct format format_gperftools = {
    .name = "gperftools",
    .endings = endings,
    .read = gperftools_read,
};
