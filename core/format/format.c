#include "format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gzip.h"
#include "format/refuse.h"

static const struct format *const formats[] = {
    &format_pprof, &format_otlp, &format_speedscope, &format_html, &format_collapsed,
};
#define FORMAT_COUNT (sizeof(formats) / sizeof(*formats))

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), end = strlen(ending);
    return length > end && strcmp(path + length - end, ending) == 0;
}

const struct format *format_by_path(const char *path)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        for (const char *const *ending = formats[i]->endings; *ending != NULL; ending++)
            if (ends_with(path, *ending))
                return formats[i];
    return NULL;
}

/* Both protobuf formats begin with field 1 as a message: pprof with a sample type, which holds
 * nothing but two numbers, OTLP with ResourceProfiles, which holds messages. */
static const struct format *protobuf_format(const unsigned char *data, size_t size)
{
    enum { FIELD_1_MESSAGE = 0x0a, FIELD_1_NUMBER = 0x08, FIELD_2_NUMBER = 0x10 };
    if (size < 3 || data[0] != FIELD_1_MESSAGE)
        return NULL;
    bool two_numbers =
        data[1] == 0 ||
        ((data[2] == FIELD_1_NUMBER || data[2] == FIELD_2_NUMBER) && data[1] <= 22);
    return two_numbers ? &format_pprof : &format_otlp;
}

static bool is_text(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size && i < 4096; i++)
        if (data[i] < ' ' && data[i] != '\t' && data[i] != '\n' && data[i] != '\r')
            return false;
    return size > 0;
}

const struct format *format_by_content(const unsigned char *data, size_t size)
{
    struct buffer head = {0};
    const struct format *format;
    if (!gzip_detect(data, size)) {
        format = protobuf_format(data, size);
        return format == NULL && is_text(data, size) ? &format_collapsed : format;
    }
    /* Its first bytes are enough; that more follow is no error here. */
    buffer_gunzip(data, size, 16, &head);
    format = protobuf_format(head.data, head.size);
    buffer_free(&head);
    return format;
}

/* Files */

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

static int read_content(const char *path, const struct buffer *content, struct profile *sum,
                        char error[FORMAT_ERROR_SIZE])
{
    const struct format *format = format_by_path(path);
    if (format == NULL)
        format = format_by_content(content->data, content->size);
    if (content->size == 0)
        return refuse(error, "is empty");
    if (format == NULL)
        return refuse(error, "is in no format that cprof knows");
    if (format->read == NULL)
        return refuse(error, "%s is written only, not read", format->name);
    return format->read(content->data, content->size, sum, error);
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

int format_write_file(const struct profile *profile, const char *path,
                      char error[FORMAT_ERROR_SIZE])
{
    const struct format *format = format_by_path(path);
    struct buffer content = {0};
    if (format == NULL) {
        snprintf(error, FORMAT_ERROR_SIZE,
                 "%.120s: no format has this ending; use .pb.gz, .pprof, .otlp, .collapsed, "
                 ".speedscope.json or .html",
                 path);
        return -EINVAL;
    }
    int status = format->write(profile, &content);
    if (status != 0)
        content.error = status;
    status = buffer_write_file(&content, path, error);
    buffer_free(&content);
    return status;
}
