/*
 * A cursor over untrusted bytes: reads little-endian numbers, LEB128 and strings, and never
 * leaves its range. Past the end every read gives 0 and `failed` is set and stays set, so a
 * parser may read a whole record and check once.
 */
#ifndef CPROF_SYMBOL_BYTES_H
#define CPROF_SYMBOL_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    const uint8_t *at = data;
    return (struct bytes){.at = at, .end = at + size};
}

static inline size_t bytes_left(const struct bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

static inline void bytes_fail(struct bytes *bytes)
{
    bytes->failed = true;
    bytes->at = bytes->end;
}

static inline void bytes_skip(struct bytes *bytes, uint64_t count)
{
    if (count > bytes_left(bytes))
        bytes_fail(bytes);
    else
        bytes->at += count;
}

/* An unsigned number of `size` (at most 8) bytes. */
static inline uint64_t bytes_number(struct bytes *bytes, size_t size)
{
    if (size > bytes_left(bytes)) {
        bytes_fail(bytes);
        return 0;
    }
    uint64_t value = 0;
    if (size == 0)
        return 0;
    memcpy(&value, bytes->at, size);
    bytes->at += size;
    return le64toh(value);
}

static inline uint8_t bytes_u8(struct bytes *bytes)
{
    if (bytes->at >= bytes->end) {
        bytes_fail(bytes);
        return 0;
    }
    return *bytes->at++;
}

static inline uint16_t bytes_u16(struct bytes *bytes)
{
    return (uint16_t)bytes_number(bytes, 2);
}

static inline uint32_t bytes_u32(struct bytes *bytes)
{
    return (uint32_t)bytes_number(bytes, 4);
}

static inline uint64_t bytes_uleb(struct bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0; bytes->at < bytes->end; shift += 7) {
        uint8_t byte = *bytes->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    bytes_fail(bytes);
    return 0;
}

static inline int64_t bytes_sleb(struct bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0; bytes->at < bytes->end;) {
        uint8_t byte = *bytes->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (byte & 0x80)
            continue;
        if (shift < 64 && (byte & 0x40))
            value |= ~0ULL << shift;
        return (int64_t)value;
    }
    bytes_fail(bytes);
    return 0;
}

/* A string that ends inside the range; NULL (and failed) when it does not. */
static inline const char *bytes_string(struct bytes *bytes)
{
    const uint8_t *nul = memchr(bytes->at, 0, bytes_left(bytes));
    if (!nul) {
        bytes_fail(bytes);
        return NULL;
    }
    const char *string = (const char *)bytes->at;
    bytes->at = nul + 1;
    return string;
}

#endif
