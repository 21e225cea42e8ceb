/* SHA-256 as FIPS 180-4 defines it: for htlhash only, so small rather than fast. */
#ifndef CPROF_SYMBOL_SHA256_H
#define CPROF_SYMBOL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

struct sha256 {
    uint32_t state[8];
    uint64_t length;   /* bytes hashed so far */
    uint8_t block[64]; /* the first length % 64 bytes are waiting */
};

void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t size);
void sha256_end(struct sha256 *sha, uint8_t digest[SHA256_SIZE]);

#endif
