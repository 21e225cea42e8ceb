#include "engine/dumping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/state.h"

static int fail(int status, char *why, size_t why_size)
{
    snprintf(why, why_size, "no dump can be taken: %s",
             status == -ETIMEDOUT   ? "the collector is at something else"
             : status == -ECANCELED ? "profiling has just been switched off"
             : status == -ENOMEM    ? "CPROF_MEMORY_LIMIT leaves no room"
                                    : strerror(-status));
    return status;
}

int dumping_write(struct collector *collector, enum dump_format format, struct buffer *out,
                  char *why, size_t why_size)
{
    const struct dump_origin origin = {.service = engine.config.service_name,
                                       .runtime = engine.runtime != NULL ? engine.runtime->name
                                                                         : "native",
                                       .pid = (long)getpid()};
    struct dump *dump = NULL;
    int status = collector_dump(collector, DUMPING_WAIT, &dump);
    if (status == 0)
        status = dump_write(dump, &origin, format, out);
    dump_free(dump);
    return status == 0 ? 0 : fail(status, why, why_size);
}

/* The format, or -EINVAL. */
static int parse_format(const char *format, char *why, size_t why_size)
{
    int known = dump_format_of(format, strlen(format));
    if (known >= 0)
        return known;
    snprintf(why, why_size, "format: '%s': text, json or pprof is allowed", format);
    return -EINVAL;
}

int dumping_answer(struct collector *collector, const struct pull_request *request,
                   struct buffer *out, const char **type, char why[PULL_WHY_SIZE])
{
    int format = request->format[0] == '\0' ? DUMP_TEXT
                                            : parse_format(request->format, why, PULL_WHY_SIZE);
    if (format < 0)
        return format;
    *type = dump_content_type((enum dump_format)format);
    return dumping_write(collector, (enum dump_format)format, out, why, PULL_WHY_SIZE);
}

int dumping_page(struct collector *collector, const char *format, char **page, size_t *size,
                 char *why, size_t why_size)
{
    int known = parse_format(format, why, why_size);
    struct buffer out = {0};
    if (known < 0)
        return known;
    int status = dumping_write(collector, (enum dump_format)known, &out, why, why_size);
    if (status != 0)
        buffer_free(&out);
    *page = (char *)out.data;
    *size = out.size;
    return status;
}
