#include "format/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

size_t utf8_length(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || size > length)
        return 0;
    uint32_t code = s[0] & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code >= least[size] && code <= 0x10ffff && !surrogate ? size : 0;
}

bool utf8_valid(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(text + i, length - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

char *utf8_mend(const char *text, size_t length, size_t *mended_length)
{
    if (length > SIZE_MAX / 4)
        return NULL;
    char *mended = malloc(length * 3 + 1), *to = mended;
    if (mended == NULL)
        return NULL;
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(text + i, length - i);
        memcpy(to, size != 0 ? text + i : REPLACEMENT, size != 0 ? size : 3);
        to += size != 0 ? size : 3;
        i += size != 0 ? size : 1;
    }
    *to = '\0';
    *mended_length = (size_t)(to - mended);
    return mended;
}
