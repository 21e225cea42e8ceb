#include "samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "format/format.h"

static profile_id frame(struct profile *p, const char *name)
{
    const struct profile_function function = {.name = profile_string(p, name)};
    const struct profile_line line = {.function = profile_function(p, &function), .line = 1};
    const struct profile_location location = {
        .type = CPROF_FRAME_CPYTHON, .line_count = 1, .lines = &line};
    return profile_location(p, &location);
}

struct profile *make_profile(int64_t count, struct budget *budget)
{
    struct profile *p = profile_new(budget);
    profile_add_value_type(p, 0, "samples", "count");
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "test");
    struct profile_header *header = profile_header(p);
    header->time_ns = 1700000000000000000;
    header->duration_ns = 10000000000;
    profile_set_period(p, 0, "cpu", "nanoseconds", 10000000);
    header->scope_name = profile_string(p, "cprof");
    memset(header->profile_id, (int)count | 1, sizeof header->profile_id);
    const profile_id stack[] = {frame(p, "work"), frame(p, "main")};
    profile_add(p, 0, profile_stack(p, stack, 2), 0, 0, &count);
    return p;
}

int64_t sample_total(const struct profile *profile)
{
    int64_t total = 0;
    for (size_t i = 0; i < profile_sample_count(profile); i++)
        total += profile_get_sample(profile, i).values[0];
    return total;
}

int64_t encoded_total(const unsigned char *bytes, size_t size)
{
    char error[FORMAT_ERROR_SIZE];
    struct profile *profile = format_read(&format_otlp, bytes, size, error);
    int64_t total = profile ? sample_total(profile) : -1;
    if (profile)
        profile_free(profile);
    else
        fprintf(stderr, "unreadable: %s\n", error);
    return total;
}

int64_t file_total(const char *path)
{
    char error[FORMAT_ERROR_SIZE];
    struct profile *profile = format_read_file(path, error);
    int64_t total = profile ? sample_total(profile) : -1;
    if (profile)
        profile_free(profile);
    return total;
}

int64_t arrived_since(struct server *server, size_t first)
{
    int64_t total = 0;
    for (size_t i = first; i < server_requests(server); i++) {
        const struct request *request = server_request(server, i);
        total += encoded_total(request->body, request->body_size);
    }
    return total;
}

uint64_t told_since(struct server *server, size_t first)
{
    struct unreported told = {0};
    for (size_t i = first; i < server_requests(server); i++) {
        const struct request *request = server_request(server, i);
        char error[FORMAT_ERROR_SIZE];
        struct profile *profile =
            format_read(&format_otlp, request->body, request->body_size, error);
        if (profile)
            unreported_lost(&told, profile);
        profile_free(profile);
    }
    return told.dropped;
}

struct exporter *start_exporter(const struct exporter_options *options)
{
    char error[256] = "";
    struct exporter *exporter = exporter_new(options, error, sizeof error);
    if (exporter == NULL)
        fail_msg("%s", error);
    return exporter;
}

static int stderr_before, capture_file;

void capture_errors(void)
{
    fflush(stderr);
    stderr_before = dup(STDERR_FILENO);
    capture_file = memfd_create("captured", MFD_CLOEXEC);
    dup2(capture_file, STDERR_FILENO);
}

char *captured_errors(void)
{
    fflush(stderr);
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    off_t size = lseek(capture_file, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    if (pread(capture_file, text, (size_t)size, 0) != size)
        text[0] = '\0';
    close(capture_file);
    return text;
}
