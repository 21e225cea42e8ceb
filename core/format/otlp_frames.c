#include "format/otlp_frames.h"

enum { HEAD = 4 };

bool otlp_next_frame(struct wire_cursor *file, struct wire_cursor *message)
{
    const unsigned char *at = file->at;
    if (file->end - at < HEAD)
        return false;
    size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (size > (size_t)(file->end - at - HEAD))
        return false;
    *message = (struct wire_cursor){at + HEAD, at + HEAD + size};
    file->at = message->end;
    return true;
}

bool otlp_first_frame(const unsigned char *data, size_t size, struct wire_cursor *message)
{
    enum { FIRST_TAG = 0x0a, SECOND_TAG = 0x12 }; /* resource_profiles, dictionary */
    struct wire_cursor file = {data, data + size};
    return otlp_next_frame(&file, message) && message->at != message->end &&
           (*message->at == FIRST_TAG || *message->at == SECOND_TAG);
}

void otlp_put_frame(struct buffer *frames, const struct buffer *message)
{
    unsigned char head[HEAD];
    for (size_t i = 0; i < HEAD; i++)
        head[i] = (unsigned char)(message->size >> (8 * (HEAD - 1 - i)));
    buffer_append(frames, head, sizeof(head));
    wire_concatenate(frames, message);
}
