#include "store/ages.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LONGEST (100ULL * 365 * 86400) /* seconds */

/* A whole number of seconds, minutes, hours or days, in ns. */
static bool read_time(const char **text, uint64_t *time)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    unsigned long long number = strtoull(*text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (*end != units[i].letter || number == 0 || number > LONGEST / units[i].seconds)
            continue;
        *time = number * units[i].seconds * NS_PER_SECOND;
        *text = end + 1;
        return true;
    }
    return false;
}

static bool read_age(const char **text, struct age *age)
{
    if (!read_time(text, &age->resolution) || **text != ':')
        return false;
    ++*text;
    return read_time(text, &age->keep) && age->resolution / NS_PER_SECOND <= UINT32_MAX &&
           age->resolution <= age->keep;
}

bool ages_parse(const char *text, struct ages *ages)
{
    *ages = (struct ages){0};
    for (;;) {
        struct age *age = &ages->list[ages->count];
        if (ages->count == AGES_MAX || !read_age(&text, age))
            return false;
        if (ages->count > 0 &&
            (age->resolution <= age[-1].resolution || age->keep <= age[-1].keep))
            return false;
        ages->count++;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

size_t ages_find(const struct ages *ages, uint64_t age)
{
    size_t which = 0;
    while (which < ages->count && age > ages->list[which].keep)
        which++;
    return which;
}

uint64_t ages_begin(const struct ages *ages, size_t which)
{
    return which > 0 ? ages->list[which - 1].keep : 0;
}
