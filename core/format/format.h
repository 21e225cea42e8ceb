/*
 * Profiles as bytes, and back. One pair of functions per format; `format_by_path` picks by
 * the file's ending as the interface lists them.
 *
 * Writers append to a growing buffer that the caller frees. Readers take untrusted bytes:
 * whatever those are, they give a profile or a negative errno with one line for people in
 * `error` ("truncated at byte 1234", "location 7 names function 99 of 12"), never crash, and
 * never take more than about 64 times the input's size or FORMAT_MAX_INFLATED bytes.
 * Thread-safe: no state.
 */
#ifndef CPROF_FORMAT_FORMAT_H
#define CPROF_FORMAT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

#define FORMAT_MAX_INFLATED ((size_t)1 << 30) /* bytes that no input may grow to */
#define FORMAT_ERROR_SIZE 256

struct buffer {
    unsigned char *data; /* malloc'ed; NULL when empty */
    size_t size, capacity;
    int error; /* sticky -ENOMEM: appends after it do nothing */
};

void buffer_free(struct buffer *buffer);
void buffer_append(struct buffer *buffer, const void *data, size_t size);
/* `size` more bytes for the caller to fill; NULL: no memory. Moves what `data` points to. */
unsigned char *buffer_extend(struct buffer *buffer, size_t size);

struct format {
    const char *name;           /* "pprof", "otlp", … */
    const char *const *endings; /* NULL-terminated: ".pb.gz", … */
    /* Which members a JSON object of this format has, NULL-terminated; they tell it from the
     * other formats' in JSON. NULL: it is none, or is known in another way. */
    const char *const *json_keys;
    int (*write)(const struct profile *profile, struct buffer *out); /* NULL: read only */
    /* Adds what is in the bytes to a profile, as profile_merge() would, without a profile in
     * between. After a failure a part of it may have been added. NULL for formats that are only
     * written. */
    int (*read)(const unsigned char *data, size_t size, struct profile *sum,
                char error[FORMAT_ERROR_SIZE]);
};

extern const struct format format_pprof; /* gzipped; reads raw or gzipped */
extern const struct format format_otlp;  /* ProfilesData; reads its JSON and files of many */
extern const struct format format_block; /* many profiles, for the store: block.h */
extern const struct format format_collapsed; /* a;b;c 5 */
extern const struct format
    format_gperftools; /* read only: the CPU profiles of its own format */
extern const struct format format_speedscope;  /* write only */
extern const struct format format_perf_script; /* read only: the text of perf script */
extern const struct format format_pstats;      /* what Python's cProfile writes */
extern const struct format format_callgrind;
extern const struct format format_gecko;       /* the Firefox Profiler's */
extern const struct format format_stackprof;   /* read only: Ruby's */
extern const struct format format_heap_text;   /* read only: gperftools' and jemalloc's heap */
extern const struct format format_cpuprofile;  /* V8's CPU profiles */
extern const struct format format_heapprofile; /* read only: V8's sampled heap */
extern const struct format format_html;        /* the flame graph page; reads its own */

/* By the path's ending, or NULL. Formats that are read only have none. */
const struct format *format_by_path(const char *path);
/* All of them, one after another; NULL past the last. */
const struct format *format_at(size_t number);
/* The names of those that are written, or their endings, with ", " between and "or" before the
 * last: for people. */
enum format_words { FORMAT_NAMES, FORMAT_ENDINGS };
void format_list(enum format_words words, char *text, size_t size);
/* By its name, or NULL. */
const struct format *format_by_name(const char *name);
/* By looking at the bytes (gzip, protobuf shapes, text), or NULL. Text that is nothing else may
 * be collapsed stacks. */
const struct format *format_by_content(const unsigned char *data, size_t size);

/* What the bytes hold. NULL with a line in `error`. */
struct profile *format_read(const struct format *format, const unsigned char *data, size_t size,
                            char error[FORMAT_ERROR_SIZE]);

/* Whole files; "-" is standard input. Reading goes by the content, and by the ending where the
 * content could be anything; a path that ends in .gz is packed when it is written. 0 or a
 * negative errno with a line in `error`. Writing is atomic: a temporary file beside the target,
 * mode 0600, renamed over it. */
struct profile *format_read_file(const char *path, char error[FORMAT_ERROR_SIZE]);
/* The same into a profile that may hold something, as struct format's read. */
int format_add_file(const char *path, struct profile *sum, char error[FORMAT_ERROR_SIZE]);
int format_write_file(const struct profile *profile, const char *path,
                      char error[FORMAT_ERROR_SIZE]);
/* Packs bytes for a path that ends in .gz, unless they are packed. 0 or -errno. */
int buffer_pack_for(const char *path, struct buffer *content);
/* Writes bytes that have been made already, as they are. */
int buffer_write_file(const struct buffer *buffer, const char *path,
                      char error[FORMAT_ERROR_SIZE]);

int buffer_gzip(const struct buffer *in, struct buffer *out, int level);
/* -EFBIG past `limit`; -EBADMSG for damaged input. */
int buffer_gunzip(const unsigned char *data, size_t size, size_t limit, struct buffer *out);

#endif
