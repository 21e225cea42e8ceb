/*
 * Protobuf, one message at a time. Writers pack each row of a table as soon as it is put
 * together, so that an encoding never exists as a tree of objects beside its bytes. Readers
 * walk the fields of a message where they lie, and unpack row after row into the same memory;
 * or unpack the whole input, with an allocator that says no past a bound: a small input cannot
 * unfold into a large tree.
 */
#ifndef CPROF_FORMAT_WIRE_H
#define CPROF_FORMAT_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "format/format.h"

/* Append a field of the message that `out` is to be. */
void wire_message(struct buffer *out, unsigned field, const ProtobufCMessage *message);
void wire_bytes(struct buffer *out, unsigned field, const void *data, size_t size);
void wire_buffer(struct buffer *out, unsigned field, const struct buffer *message);
void wire_varint(struct buffer *out, unsigned field, uint64_t value); /* nothing for 0 */
void wire_varint_always(struct buffer *out, unsigned field, uint64_t value);
void wire_fixed64(struct buffer *out, unsigned field, uint64_t value);

/* Appends a number as it stands, without a tag. */
void wire_number(struct buffer *out, uint64_t value);

/* Append fields without a tag around them: both say more of the same message. */
void wire_append(struct buffer *out, const ProtobufCMessage *message);
void wire_concatenate(struct buffer *out, const struct buffer *message);

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    const unsigned char *start; /* of its tag */
    const unsigned char *data;  /* of its content; of a varint its bytes */
    size_t size;                /* of the content */
};

/* What is left of a message. */
struct wire_cursor {
    const unsigned char *at, *end;
};

/* 1 with the next field, 0 at the end, -EBADMSG for bytes that are no field. */
int wire_next(struct wire_cursor *cursor, struct wire_field *field);

static inline struct wire_cursor wire_content(const struct wire_field *field)
{
    return (struct wire_cursor){field->data, field->data + field->size};
}

/* The next number of a field, of which a packed one has several: begin with a cursor over its
 * content. False for a varint that does not end. Inline: a profile is numbers, most of them of
 * one byte or two. */
static inline bool wire_next_number(struct wire_cursor *cursor, uint64_t *number)
{
    const unsigned char *at = cursor->at;
    uint64_t value = 0;
    for (unsigned shift = 0; at != cursor->end && shift < 64; shift += 7) {
        value |= (uint64_t)(*at & 0x7f) << shift;
        if (*at++ < 0x80) {
            cursor->at = at;
            *number = value;
            return true;
        }
    }
    return false;
}

/* The numbers of a message that has hardly anything else: numbers[f] is that of field f, up to
 * `last`; 0 where it has none, the last where it has several. 0 or -EBADMSG. */
int wire_read_numbers(struct wire_cursor message, uint64_t *numbers, uint32_t last);

/* A decoded message and the memory that it lies in, which the next one takes over. Begins as
 * {0}; must not move while it holds a message. */
struct wire_tree {
    ProtobufCMessage *message;
    ProtobufCAllocator allocator;
    struct wire_block *blocks; /* the newest first */
    size_t limit, used;        /* bytes of the message */
};

/* 0; -EBADMSG with a line in `error` for bytes that are no such message, or that would take
 * more than 64 times their size. Ends what the tree held before. */
int wire_unpack(struct wire_tree *tree, const ProtobufCMessageDescriptor *type,
                const unsigned char *data, size_t size, char error[FORMAT_ERROR_SIZE]);
void wire_release(struct wire_tree *tree);

#endif
