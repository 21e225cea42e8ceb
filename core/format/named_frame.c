#include "format/named_frame.h"

#include <stdlib.h>

enum cprof_frame_type named_frame_type(struct slice file)
{
    static const struct {
        const char *ending;
        enum cprof_frame_type type;
    } types[] = {
        {".py", CPROF_FRAME_CPYTHON}, {".rb", CPROF_FRAME_RUBY},   {".js", CPROF_FRAME_V8JS},
        {".mjs", CPROF_FRAME_V8JS},   {".cjs", CPROF_FRAME_V8JS},  {".ts", CPROF_FRAME_V8JS},
        {".c", CPROF_FRAME_NATIVE},   {".cc", CPROF_FRAME_NATIVE}, {".cpp", CPROF_FRAME_NATIVE},
        {".h", CPROF_FRAME_NATIVE},   {".rs", CPROF_FRAME_NATIVE},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (slice_ends(file, types[i].ending))
            return types[i].type;
    return slice_starts(file, "<frozen") ? CPROF_FRAME_CPYTHON : CPROF_FRAME_UNKNOWN;
}

bool named_frame_take_line(struct slice *place, int64_t *line)
{
    size_t digits = 0;
    while (digits < place->length && place->text[place->length - digits - 1] >= '0' &&
           place->text[place->length - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits > 9 || place->length < digits + 2 ||
        place->text[place->length - digits - 1] != ':')
        return false;
    uint64_t number;
    slice_digits(slice_from(*place, place->length - digits), 10, &number);
    *line = (int64_t)number;
    place->length -= digits + 1;
    return true;
}

static profile_id intern(struct profile *p, struct slice slice)
{
    return slice.length > 0 ? profile_string_n(p, slice.text, slice.length) : 0;
}

profile_id named_frame_intern(struct profile *p, const struct named_frame *frame)
{
    const bool nameless = frame->name.length == 0 && frame->address != 0;
    struct profile_function function = {
        .name = frame->name.length != 0 ? intern(p, frame->name)
                                        : profile_string(p, NAMED_FRAME_UNKNOWN),
        .filename = intern(p, frame->file),
        .start_line = frame->start_line,
    };
    struct profile_line line = {.line = frame->line, .column = frame->column};
    struct profile_mapping mapping = {.filename = intern(p, frame->module)};
    struct profile_location location = {
        .type = frame->type,
        .mapping = profile_mapping(p, &mapping),
        .address = frame->address,
        .line_count = nameless ? 0 : 1,
        .lines = &line,
    };
    if (!nameless)
        line.function = profile_function(p, &function);
    return profile_location(p, &location);
}
