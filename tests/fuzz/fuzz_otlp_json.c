#include <string.h>

#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fuzzer need not find the way in: whatever it makes stands in a message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "{\"resourceProfiles\":[";
    struct buffer bytes = {0};
    if (size > 0 && data[0] != '{')
        buffer_append(&bytes, head, strlen(head));
    buffer_append(&bytes, data, size);
    if (bytes.data == NULL)
        return 0;
    int result = fuzz_format(&format_otlp, bytes.data, bytes.size);
    buffer_free(&bytes);
    return result;
}
