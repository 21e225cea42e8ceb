#include "format/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

unsigned char *buffer_extend(struct buffer *buffer, size_t size)
{
    if (buffer->error != 0)
        return NULL;
    if (size > buffer->capacity - buffer->size) {
        size_t capacity = buffer->capacity + buffer->capacity / 2;
        if (size > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4) {
            buffer->error = -ENOMEM;
            return NULL;
        }
        if (capacity < buffer->size + size)
            capacity = buffer->size + size;
        if (capacity < 256)
            capacity = 256;
        unsigned char *data = realloc(buffer->data, capacity);
        if (data == NULL) {
            buffer->error = -ENOMEM;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    unsigned char *at = buffer->data + buffer->size;
    buffer->size += size;
    return at;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    if (size == 0)
        return;
    unsigned char *at = buffer_extend(buffer, size);
    if (at != NULL)
        memcpy(at, data, size);
}
