/* Hashing for the core's tables: not keyed, so never for data an attacker could choose to
 * flood a table with, unless that table is bounded. All of ours are. */
#ifndef CPROF_BASE_HASH_H
#define CPROF_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The 64-bit finalizer of MurmurHash3 (Austin Appleby, public domain). */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

static inline uint64_t hash_combine(uint64_t seed, uint64_t value)
{
    return hash_u64(seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2)));
}

static inline uint64_t hash_bytes(const void *data, size_t length)
{
    const unsigned char *p = data;
    uint64_t h = hash_u64(length + 0x9e3779b97f4a7c15ULL);
    for (; length >= 8; p += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ hash_u64(word)) * 0x9fb21c651e98df25ULL;
    }
    uint64_t tail = 0;
    memcpy(&tail, p, length);
    return hash_u64(h ^ tail);
}

#endif
