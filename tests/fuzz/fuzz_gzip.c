/* Unpacking: within its limit, and what was packed comes out again. */
#include <stdlib.h>
#include <string.h>

#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t limit = 1 << 20;
    struct buffer unpacked = {0}, packed = {0}, again = {0};
    if (buffer_gunzip(data, size, limit, &unpacked) == 0) {
        if (unpacked.size > limit || buffer_gzip(&unpacked, &packed, 1) != 0 ||
            buffer_gunzip(packed.data, packed.size, limit, &again) != 0 ||
            again.size != unpacked.size ||
            (again.size != 0 && memcmp(again.data, unpacked.data, again.size) != 0))
            abort();
    }
    buffer_free(&unpacked);
    buffer_free(&packed);
    buffer_free(&again);
    return 0;
}
