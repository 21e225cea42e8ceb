#include "dump/pages.h"

#include <string.h>

#include "dump/json.h"
#include "dump/text.h"

static int write_pprof(const struct dump *dump, struct buffer *out)
{
    return format_pprof.write(dump->profile, out);
}

static const struct {
    const char *name, *type;
} formats[DUMP_FORMATS] = {
    [DUMP_TEXT] = {"text", "text/plain; charset=utf-8"},
    [DUMP_JSON] = {"json", "application/json"},
    [DUMP_PPROF] = {"pprof", "application/octet-stream"},
};

int dump_format_of(const char *name, size_t length)
{
    for (int i = 0; i < DUMP_FORMATS; i++)
        if (strlen(formats[i].name) == length && memcmp(formats[i].name, name, length) == 0)
            return i;
    return -1;
}

const char *dump_content_type(enum dump_format format)
{
    return formats[format].type;
}

int dump_write(const struct dump *dump, const struct dump_origin *origin,
               enum dump_format format, struct buffer *out)
{
    if (format == DUMP_PPROF)
        return write_pprof(dump, out);
    if (format == DUMP_JSON)
        dump_write_json(dump, origin, out);
    else
        dump_write_text(dump, origin, out);
    return out->error;
}
