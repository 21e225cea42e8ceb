#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What Python and Ruby marshal, whether the bytes are that or not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct format *const formats[] = {&format_pstats, &format_stackprof};
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        fuzz_format(formats[i], data, size);
    return 0;
}
