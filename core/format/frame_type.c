#include "format/frame_type.h"

#include <string.h>

static const char *const words[FRAME_TYPE_COUNT] = {
    [CPROF_FRAME_UNKNOWN] = "",      [CPROF_FRAME_NATIVE] = "native",
    [CPROF_FRAME_KERNEL] = "kernel", [CPROF_FRAME_CPYTHON] = "cpython",
    [CPROF_FRAME_RUBY] = "ruby",     [CPROF_FRAME_V8JS] = "v8js",
};

const char *frame_type_name(enum cprof_frame_type type)
{
    return (unsigned)type < FRAME_TYPE_COUNT ? words[type] : "";
}

enum cprof_frame_type frame_type_parse(const char *name)
{
    for (enum cprof_frame_type type = 0; type < FRAME_TYPE_COUNT; type++)
        if (strcmp(words[type], name) == 0)
            return type;
    return CPROF_FRAME_UNKNOWN;
}
