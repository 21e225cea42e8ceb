#include "format/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define UNPACK_FACTOR 64             /* bytes of memory for a byte of input */
#define UNPACK_SLACK ((size_t)65536) /* what a tiny input may take beyond that */

enum wire_type { WIRE_VARINT = 0, WIRE_LENGTH = 2 };

static void put_varint(struct buffer *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t count = 0;
    do {
        bytes[count++] = (unsigned char)(value | 0x80);
        value >>= 7;
    } while (value != 0);
    bytes[count - 1] &= 0x7f;
    buffer_append(out, bytes, count);
}

void wire_append(struct buffer *out, const ProtobufCMessage *message)
{
    unsigned char *at = buffer_extend(out, protobuf_c_message_get_packed_size(message));
    if (at != NULL)
        protobuf_c_message_pack(message, at);
}

void wire_concatenate(struct buffer *out, const struct buffer *message)
{
    buffer_append(out, message->data, message->size);
    if (out->error == 0)
        out->error = message->error;
}

void wire_message(struct buffer *out, unsigned field, const ProtobufCMessage *message)
{
    put_varint(out, (uint64_t)field << 3 | WIRE_LENGTH);
    put_varint(out, protobuf_c_message_get_packed_size(message));
    wire_append(out, message);
}

void wire_bytes(struct buffer *out, unsigned field, const void *data, size_t size)
{
    put_varint(out, (uint64_t)field << 3 | WIRE_LENGTH);
    put_varint(out, size);
    buffer_append(out, data, size);
}

void wire_buffer(struct buffer *out, unsigned field, const struct buffer *message)
{
    put_varint(out, (uint64_t)field << 3 | WIRE_LENGTH);
    put_varint(out, message->size);
    wire_concatenate(out, message);
}

void wire_varint(struct buffer *out, unsigned field, uint64_t value)
{
    if (value == 0)
        return; /* proto3: what is absent is zero */
    put_varint(out, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(out, value);
}

/* A block carries its size, so that what is freed can be used again: while it scans,
 * protobuf-c holds lists that it lets go before the end. */
union block {
    size_t size;
    max_align_t aligned;
};

static void *bounded_alloc(void *closure, size_t size)
{
    struct wire_tree *tree = closure;
    if (size > tree->limit - tree->used ||
        sizeof(union block) > tree->limit - tree->used - size)
        return NULL;
    union block *block = malloc(sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->size = sizeof(*block) + size;
    tree->used += block->size;
    return block + 1;
}

static void bounded_free(void *closure, void *data)
{
    struct wire_tree *tree = closure;
    if (data == NULL)
        return;
    union block *block = (union block *)data - 1;
    tree->used -= block->size;
    free(block);
}

int wire_unpack(struct wire_tree *tree, const ProtobufCMessageDescriptor *type,
                const unsigned char *data, size_t size, char error[FORMAT_ERROR_SIZE])
{
    size_t limit =
        size < FORMAT_MAX_INFLATED / UNPACK_FACTOR ? size * UNPACK_FACTOR : FORMAT_MAX_INFLATED;
    *tree = (struct wire_tree){
        .allocator = {.alloc = bounded_alloc, .free = bounded_free, .allocator_data = tree},
        .limit = limit + UNPACK_SLACK,
    };
    tree->message = protobuf_c_message_unpack(type, &tree->allocator, size, data);
    if (tree->message != NULL)
        return 0;
    snprintf(error, FORMAT_ERROR_SIZE, "not a valid %s message, or too large a one (%zu bytes)",
             type->name, size);
    return -EBADMSG;
}

void wire_release(struct wire_tree *tree)
{
    protobuf_c_message_free_unpacked(tree->message, &tree->allocator);
    tree->message = NULL;
}
