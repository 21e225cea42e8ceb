#include "format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gzip.h"
#include "format/json_read.h"
#include "format/refuse.h"
#include "format/slice.h"

static int read_all(int file, struct buffer *content)
{
    const size_t step = 65536;
    for (;;) {
        unsigned char *at = buffer_extend(content, step);
        if (at == NULL)
            return -ENOMEM;
        ssize_t got = read(file, at, step);
        content->size -= step - (got > 0 ? (size_t)got : 0);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (content->size > FORMAT_MAX_INFLATED)
            return -EFBIG;
    }
}

static int read_path(const char *path, struct buffer *content)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, content);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    int status = read_all(file, content);
    close(file);
    return status;
}

struct profile *format_read(const struct format *format, const unsigned char *data, size_t size,
                            char error[FORMAT_ERROR_SIZE])
{
    struct profile *profile = profile_new(NULL);
    if (profile == NULL)
        refuse_memory(error);
    else if (format->read(data, size, profile, error) == 0)
        return profile;
    profile_free(profile);
    return NULL;
}

/* Why nobody reads it. */
static int refuse_unknown(const struct buffer *content, char error[FORMAT_ERROR_SIZE])
{
    static const unsigned char zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    const size_t frame = 4; /* its length, where the Collector writes several */
    for (size_t at = 0; at <= frame; at += frame)
        if (content->size >= at + sizeof(zstd) &&
            memcmp(content->data + at, zstd, sizeof(zstd)) == 0)
            return refuse(error, "is packed by zstd, which cprof does not unpack");
    struct json_cursor json = {(const char *)content->data,
                               (const char *)content->data + content->size};
    if (json_detect(content->data, content->size) && json_skip(&json) != 0)
        return refuse(error, "is JSON that is damaged or cut short at byte %zu",
                      (size_t)(json.at - (const char *)content->data));
    if (json_detect(content->data, content->size))
        return refuse(error, "is JSON, but of no format that cprof knows");
    return refuse(error, "is in no format that cprof knows");
}

/* The bytes say what they are; only what they leave open is for the file's ending to say: any
 * text could be stacks. */
static const struct format *choose(const char *path, const struct buffer *content)
{
    const struct format *seen = format_by_content(content->data, content->size);
    const struct format *named = format_by_path(path);
    return named != NULL && (seen == NULL || seen == &format_collapsed) ? named : seen;
}

static int read_unpacked(const char *path, const struct buffer *content, struct profile *sum,
                         char error[FORMAT_ERROR_SIZE])
{
    if (content->size == 0)
        return refuse(error, "is empty");
    if (gzip_detect(content->data, content->size))
        return refuse(error, "is packed more than once");
    const struct format *format = choose(path, content);
    if (format == NULL)
        return refuse_unknown(content, error);
    if (format->read == NULL)
        return refuse(error, "%s is written only, not read", format->name);
    return format->read(content->data, content->size, sum, error);
}

static int read_content(const char *path, const struct buffer *content, struct profile *sum,
                        char error[FORMAT_ERROR_SIZE])
{
    struct buffer raw = {0};
    if (!gzip_detect(content->data, content->size))
        return read_unpacked(path, content, sum, error);
    int status = gzip_unpack(content->data, content->size, &raw, error);
    if (status == 0)
        status = read_unpacked(path, &raw, sum, error);
    buffer_free(&raw);
    return status;
}

int format_add_file(const char *path, struct profile *sum, char error[FORMAT_ERROR_SIZE])
{
    struct buffer content = {0};
    char why[FORMAT_ERROR_SIZE] = "";
    int status = read_path(path, &content);
    if (status != 0)
        snprintf(why, sizeof(why), "%s", strerror(-status));
    else
        status = read_content(path, &content, sum, why);
    if (status != 0)
        snprintf(error, FORMAT_ERROR_SIZE, "%.100s: %.140s",
                 strcmp(path, "-") == 0 ? "standard input" : path, why);
    buffer_free(&content);
    return status;
}

struct profile *format_read_file(const char *path, char error[FORMAT_ERROR_SIZE])
{
    struct profile *profile = profile_new(NULL);
    if (profile == NULL)
        refuse_memory(error);
    else if (format_add_file(path, profile, error) == 0)
        return profile;
    profile_free(profile);
    return NULL;
}

static int write_all(int file, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(file, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A new file beside the target, renamed over it when it is complete: whoever reads the path
 * sees the old content or the new, never a part. mkostemp() makes it readable by its owner
 * only: stacks and labels may tell of the program's users. */
static int replace_file(const char *path, const struct buffer *content)
{
    char *temporary;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return -ENOMEM;
    int file = mkostemp(temporary, O_CLOEXEC), status = 0;
    if (file < 0) {
        status = -errno;
    } else {
        status = write_all(file, content->data, content->size);
        if (close(file) != 0 && status == 0)
            status = -errno;
        if (status == 0 && rename(temporary, path) != 0)
            status = -errno;
        if (status != 0)
            unlink(temporary);
    }
    free(temporary);
    return status;
}

int buffer_write_file(const struct buffer *buffer, const char *path,
                      char error[FORMAT_ERROR_SIZE])
{
    int status = buffer->error != 0 ? buffer->error : replace_file(path, buffer);
    if (status != 0)
        snprintf(error, FORMAT_ERROR_SIZE, "%.200s: %s", path, strerror(-status));
    return status;
}

int buffer_pack_for(const char *path, struct buffer *content)
{
    const int level = 6;
    struct buffer packed = {0};
    if (!slice_ends(slice_of(path), ".gz") || gzip_detect(content->data, content->size))
        return 0;
    int status = buffer_gzip(content, &packed, level);
    buffer_free(content);
    *content = packed;
    return status;
}

int format_write_file(const struct profile *profile, const char *path,
                      char error[FORMAT_ERROR_SIZE])
{
    const struct format *format = format_by_path(path);
    struct buffer content = {0};
    if (format == NULL) {
        char endings_known[FORMAT_ERROR_SIZE];
        format_list(FORMAT_ENDINGS, endings_known, sizeof(endings_known));
        snprintf(error, FORMAT_ERROR_SIZE, "%.60s: no format has this ending; use %.150s", path,
                 endings_known);
        return -EINVAL;
    }
    int status = format->write(profile, &content);
    if (status == 0)
        status = buffer_pack_for(path, &content);
    if (status != 0)
        content.error = status;
    status = buffer_write_file(&content, path, error);
    buffer_free(&content);
    return status;
}
