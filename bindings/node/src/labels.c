#include "labels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct label_set {
    size_t size;
    char *text;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static struct label_set sets[LABEL_SETS_MAX];            /* number 1 is at index 0 */
static uint32_t set_count;

static uint32_t find_or_add(const char *text, size_t size)
{
    for (uint32_t i = 0; i < set_count; i++)
        if (sets[i].size == size && memcmp(sets[i].text, text, size) == 0)
            return i + 1;
    char *copy = set_count < LABEL_SETS_MAX ? malloc(size) : NULL;
    if (copy == NULL)
        return 0;
    memcpy(copy, text, size);
    sets[set_count] = (struct label_set){.size = size, .text = copy};
    return ++set_count;
}

uint32_t labels_intern(const char *text, size_t size)
{
    if (size == 0 || text[size - 1] != '\0')
        return 0;
    pthread_mutex_lock(&lock);
    uint32_t set = find_or_add(text, size);
    pthread_mutex_unlock(&lock);
    return set;
}

void labels_of(uint32_t set, void (*each)(void *closure, const char *key, const char *value),
               void *closure)
{
    struct label_set found = {0};
    pthread_mutex_lock(&lock);
    if (set > 0 && set <= set_count)
        found = sets[set - 1]; /* its text stays for good */
    pthread_mutex_unlock(&lock);
    for (const char *at = found.text; found.size > 0 && at < found.text + found.size;) {
        const char *value = at + strlen(at) + 1;
        if (value >= found.text + found.size)
            break;
        each(closure, at, value);
        at = value + strlen(value) + 1;
    }
}
