/* Pages, and what is packed within them: a mutation of a whole page never gets past gzip. */
#include "format/html_read.h"

#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct format json = {.name = "json", .read = html_read_json};
    return fuzz_format(size > 0 && *data == '<' ? &format_html : &json, data, size);
}
