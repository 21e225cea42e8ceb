#include "profile/age.h"

#include <stddef.h>
#include <string.h>

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const struct {
    uint64_t seconds;
    const char *word;
} classes[AGE_CLASSES + 1] = {
    {0, NULL}, {MINUTE, "1m"}, {10 * MINUTE, "10m"}, {HOUR, "1h"}, {DAY, "1d"}};

uint8_t age_class(uint64_t seconds)
{
    uint8_t class = AGE_CLASSES;
    while (classes[class].seconds > seconds)
        class --;
    return class;
}

uint8_t age_of_word(const char *word)
{
    uint8_t class = AGE_CLASSES;
    while (class > 0 && (word == NULL || strcmp(classes[class].word, word) != 0))
        class --;
    return class;
}

const char *age_word(uint8_t class)
{
    return classes[class].word;
}
