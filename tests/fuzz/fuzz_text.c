#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Formats in lines of text, whether the bytes are theirs or not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct format *const formats[] = {&format_perf_script, &format_callgrind,
                                                   &format_heap_text};
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        fuzz_format(formats[i], data, size);
    return 0;
}
