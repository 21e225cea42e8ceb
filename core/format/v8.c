#include "format/v8.h"

/* Modules have URLs, CommonJS files paths or URLs, by Node's version. */
static struct slice path_of(struct slice url)
{
    return slice_starts(url, "file:///") ? slice_from(url, strlen("file://")) : url;
}

/* A position that is told from 0, as one from 1; 0: not told. */
static int64_t from_one(const struct nested *in, uint32_t row)
{
    int64_t number;
    return nested_integer(in, row, &number) && number >= 0 && number < INT64_MAX ? number + 1
                                                                                 : 0;
}

struct named_frame v8_frame(const struct nested *in, uint32_t node)
{
    const uint32_t call = nested_get(in, node, "callFrame");
    struct named_frame frame = {
        .name = nested_text(in, nested_get(in, call, "functionName")),
        .file = path_of(nested_text(in, nested_get(in, call, "url"))),
        .start_line = from_one(in, nested_get(in, call, "lineNumber")),
        .type = CPROF_FRAME_V8JS,
    };
    if (frame.name.length == 0)
        frame.name = slice_of(V8_ANONYMOUS);
    return frame;
}

bool v8_is_root(const struct named_frame *frame)
{
    return slice_is(frame->name, V8_ROOT) && frame->file.length == 0;
}
