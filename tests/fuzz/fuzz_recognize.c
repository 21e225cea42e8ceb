#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is recognised, by that format; what is not, is refused by nobody. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct format *format = format_by_content(data, size);
    return format != NULL && format->read != NULL ? fuzz_format(format, data, size) : 0;
}
