/*
 * Protobuf, one message at a time. Writers pack each row of a table as soon as it is put
 * together, so that an encoding never exists as a tree of objects beside its bytes. Readers
 * unpack the whole input with an allocator that says no past a bound: a small input cannot
 * unfold into a large tree.
 */
#ifndef CPROF_FORMAT_WIRE_H
#define CPROF_FORMAT_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "format/format.h"

/* Append a field of the message that `out` is to be. */
void wire_message(struct buffer *out, unsigned field, const ProtobufCMessage *message);
void wire_bytes(struct buffer *out, unsigned field, const void *data, size_t size);
void wire_buffer(struct buffer *out, unsigned field, const struct buffer *message);
void wire_varint(struct buffer *out, unsigned field, uint64_t value);

/* Append fields without a tag around them: both say more of the same message. */
void wire_append(struct buffer *out, const ProtobufCMessage *message);
void wire_concatenate(struct buffer *out, const struct buffer *message);

/* A decoded message and the memory it may take. */
struct wire_tree {
    ProtobufCMessage *message;
    ProtobufCAllocator allocator;
    size_t limit, used; /* bytes */
};

/* 0; -EBADMSG with a line in `error` for bytes that are no such message, or that would take
 * more than 64 times their size. After 0 the caller ends with wire_release(). `tree` must not
 * move in between. */
int wire_unpack(struct wire_tree *tree, const ProtobufCMessageDescriptor *type,
                const unsigned char *data, size_t size, char error[FORMAT_ERROR_SIZE]);
void wire_release(struct wire_tree *tree);

#endif
