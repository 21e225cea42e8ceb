#include "format/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNPACK_FACTOR 64             /* bytes of memory for a byte of input */
#define UNPACK_SLACK ((size_t)65536) /* what a tiny input may take beyond that */
#define BLOCK_SIZE ((size_t)65536)   /* of what messages lie in, but for larger ones */

void wire_number(struct buffer *out, uint64_t value)
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
    wire_number(out, (uint64_t)field << 3 | WIRE_LENGTH);
    wire_number(out, protobuf_c_message_get_packed_size(message));
    wire_append(out, message);
}

void wire_bytes(struct buffer *out, unsigned field, const void *data, size_t size)
{
    wire_number(out, (uint64_t)field << 3 | WIRE_LENGTH);
    wire_number(out, size);
    buffer_append(out, data, size);
}

void wire_buffer(struct buffer *out, unsigned field, const struct buffer *message)
{
    wire_number(out, (uint64_t)field << 3 | WIRE_LENGTH);
    wire_number(out, message->size);
    wire_concatenate(out, message);
}

void wire_varint(struct buffer *out, unsigned field, uint64_t value)
{
    if (value != 0) /* proto3: what is absent is zero */
        wire_varint_always(out, field, value);
}

void wire_varint_always(struct buffer *out, unsigned field, uint64_t value)
{
    wire_number(out, (uint64_t)field << 3 | WIRE_VARINT);
    wire_number(out, value);
}

void wire_fixed64(struct buffer *out, unsigned field, uint64_t value)
{
    unsigned char bytes[sizeof(value)];
    for (size_t i = 0; i < sizeof(bytes); i++, value >>= 8)
        bytes[i] = (unsigned char)value;
    wire_number(out, (uint64_t)field << 3 | WIRE_FIXED64);
    buffer_append(out, bytes, sizeof(bytes));
}

/* --- walking --- */

/* How much content a field has behind its tag, and for those that tell it, its size. */
static bool take_size(struct wire_cursor *cursor, enum wire_type type, uint64_t *size)
{
    struct wire_cursor ahead = *cursor;
    uint64_t number;
    switch (type) {
    case WIRE_VARINT:
        if (!wire_next_number(&ahead, &number))
            return false;
        *size = (uint64_t)(ahead.at - cursor->at);
        return true;
    case WIRE_LENGTH:
        return wire_next_number(cursor, size);
    case WIRE_FIXED64:
        *size = sizeof(uint64_t);
        return true;
    case WIRE_FIXED32:
        *size = sizeof(uint32_t);
        return true;
    default:
        return false;
    }
}

static bool take_content(struct wire_cursor *cursor, struct wire_field *field)
{
    uint64_t size;
    if (!take_size(cursor, field->type, &size) || size > (size_t)(cursor->end - cursor->at))
        return false;
    field->data = cursor->at;
    field->size = (size_t)size;
    cursor->at += size;
    return true;
}

int wire_next(struct wire_cursor *cursor, struct wire_field *field)
{
    uint64_t tag;
    if (cursor->at == cursor->end)
        return 0;
    field->start = cursor->at;
    if (!wire_next_number(cursor, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return -EBADMSG;
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    return take_content(cursor, field) ? 1 : -EBADMSG;
}

int wire_read_numbers(struct wire_cursor message, uint64_t *numbers, uint32_t last)
{
    struct wire_field field;
    int status;
    memset(numbers, 0, (last + 1) * sizeof(*numbers));
    while ((status = wire_next(&message, &field)) > 0)
        if (field.type == WIRE_VARINT && field.number <= last) {
            struct wire_cursor content = wire_content(&field);
            wire_next_number(&content, &numbers[field.number]);
        }
    return status;
}

/* --- unpacking --- */

/* What a message's parts lie in, one after the other: thousands of them are made and let go
 * together, for which malloc() would take longer than the decoding. */
struct wire_block {
    struct wire_block *next;
    size_t size, used;
    max_align_t content[];
};

static struct wire_block *new_block(struct wire_tree *tree, size_t size)
{
    struct wire_block *block = malloc(sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    *block = (struct wire_block){.next = tree->blocks, .size = size};
    tree->blocks = block;
    return block;
}

static void *bounded_alloc(void *closure, size_t size)
{
    struct wire_tree *tree = closure;
    struct wire_block *block = tree->blocks;
    if (size > tree->limit - tree->used)
        return NULL;
    size_t rounded = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    if (block == NULL || rounded > block->size - block->used)
        block = new_block(tree, rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE);
    if (block == NULL)
        return NULL;
    void *part = (unsigned char *)block->content + block->used;
    block->used += rounded;
    tree->used += rounded < tree->limit - tree->used ? rounded : tree->limit - tree->used;
    return part;
}

/* All parts go together, with the next message. */
static void bounded_free(void *closure, void *data)
{
    (void)closure;
    (void)data;
}

/* Keeps the oldest block, which is enough for most rows. */
static void clear(struct wire_tree *tree)
{
    while (tree->blocks != NULL && tree->blocks->next != NULL) {
        struct wire_block *block = tree->blocks;
        tree->blocks = block->next;
        free(block);
    }
    if (tree->blocks != NULL)
        tree->blocks->used = 0;
    tree->used = 0;
    tree->message = NULL;
}

int wire_unpack(struct wire_tree *tree, const ProtobufCMessageDescriptor *type,
                const unsigned char *data, size_t size, char error[FORMAT_ERROR_SIZE])
{
    size_t limit =
        size < FORMAT_MAX_INFLATED / UNPACK_FACTOR ? size * UNPACK_FACTOR : FORMAT_MAX_INFLATED;
    clear(tree);
    tree->limit = limit + UNPACK_SLACK;
    tree->allocator = (ProtobufCAllocator){
        .alloc = bounded_alloc, .free = bounded_free, .allocator_data = tree};
    tree->message = protobuf_c_message_unpack(type, &tree->allocator, size, data);
    if (tree->message != NULL)
        return 0;
    snprintf(error, FORMAT_ERROR_SIZE, "not a valid %s message, or too large a one (%zu bytes)",
             type->name, size);
    return -EBADMSG;
}

void wire_release(struct wire_tree *tree)
{
    clear(tree);
    free(tree->blocks);
    tree->blocks = NULL;
}
