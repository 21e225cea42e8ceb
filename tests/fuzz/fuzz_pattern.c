#include <stdlib.h>
#include <string.h>

#include "profile/pattern.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* The pattern, a NUL, and a text. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct pattern *pattern;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    size_t length = strlen(text), rest = size > length ? size - length - 1 : 0;
    if (pattern_new(text, &pattern) == 0) {
        const char *name = text + length + (size > length);
        /* What matches whole is found. */
        if (pattern_matches(pattern, name, rest) && !pattern_finds(pattern, name, rest))
            abort();
    }
    pattern_free(pattern);
    free(text);
    return 0;
}
