#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All readers of JSON take the same bytes, whether they are theirs or not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct format *format;
    for (size_t i = 0; (format = format_at(i)) != NULL; i++)
        if (format->json_keys != NULL)
            fuzz_format(format, data, size);
    return 0;
}
