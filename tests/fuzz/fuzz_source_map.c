/* Source maps: any text is read, and every place can be asked for. */
#include <string.h>

#include "source_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source_place place;
    struct source_map *maps[] = {source_map_read((const char *)data, size),
                                 source_map_read_inline((const char *)data, size)};
    for (int i = 0; i < 2; i++) {
        size_t length = 0;
        for (uint32_t line = 0; maps[i] != NULL && line < 8; line++)
            for (uint32_t column = 0; column < 64; column += 7)
                if (source_map_find(maps[i], line, column, false, &place))
                    length += strlen(place.file) + (place.name ? strlen(place.name) : 0);
        if (maps[i] != NULL && length > source_map_size(maps[i]) * 1024)
            return 1;
        source_map_free(maps[i]);
    }
    return 0;
}
