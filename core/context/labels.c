#include "cprof/labels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Drains after which no sample can name a set that was released before the first of them: one
 * that a handler was still at, and the one that takes its sample away. */
#define LAST_DRAINS 2

/* A place's set; its index is number % CPROF_LABEL_SETS_MAX. */
struct place {
    uint32_t number; /* 0 = free */
    uint32_t holders;
    uint64_t released; /* drains at the time when the last holder let go */
    uint64_t hash;
    size_t size;
    char *text;         /* key, NUL, value, NUL, … */
    struct place *next; /* in its bucket */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all of these */
static struct place places[CPROF_LABEL_SETS_MAX];
static struct place *buckets[CPROF_LABEL_SETS_MAX];
static uint32_t latest; /* number given out last */
static uint64_t drains;
static uint64_t exhausted; /* drains + 1 when no place was left: none is freed until the next */

void cprof_labels_lock(void)
{
    pthread_mutex_lock(&lock);
}

void cprof_labels_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* How much of a text is kept. */
static size_t kept(const char *text)
{
    size_t size = strnlen(text, CPROF_LABEL_BYTES_MAX + 1);
    if (size > CPROF_LABEL_BYTES_MAX)
        for (size = CPROF_LABEL_BYTES_MAX; size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80;)
            size--; /* not within a character */
    return size;
}

static char *put(char *to, const char *text)
{
    size_t size = kept(text);
    memcpy(to, text, size);
    to[size] = '\0';
    return to + size + 1;
}

/* All texts one after the other, each with its NUL: to be freed. NULL: there are none. */
static char *join(const struct cprof_pair *labels, size_t count, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < count; i++)
        *size += kept(labels[i].key) + 1 + kept(labels[i].value) + 1;
    char *text = *size > 0 ? malloc(*size) : NULL;
    char *end = text;
    for (size_t i = 0; text != NULL && i < count; i++)
        end = put(put(end, labels[i].key), labels[i].value);
    return text;
}

static struct place **bucket_of(uint64_t hash)
{
    return &buckets[hash % CPROF_LABEL_SETS_MAX];
}

static struct place *find(uint64_t hash, const char *text, size_t size)
{
    for (struct place *place = *bucket_of(hash); place != NULL; place = place->next)
        if (place->hash == hash && place->size == size && memcmp(place->text, text, size) == 0)
            return place;
    return NULL;
}

static void clear(struct place *place)
{
    struct place **link = bucket_of(place->hash);
    while (*link != place)
        link = &(*link)->next;
    *link = place->next;
    free(place->text);
    *place = (struct place){0};
}

/* The next number whose place is free, or can be; NULL: there is none. */
static struct place *next_place(void)
{
    if (exhausted == drains + 1)
        return NULL;
    for (int tries = 0; tries < CPROF_LABEL_SETS_MAX; tries++) {
        latest += latest == UINT32_MAX ? 2 : 1; /* 0 is nobody's */
        struct place *place = &places[latest % CPROF_LABEL_SETS_MAX];
        if (place->number == 0)
            return place;
        if (place->holders == 0 && place->released + LAST_DRAINS <= drains) {
            clear(place);
            return place;
        }
    }
    exhausted = drains + 1;
    return NULL;
}

/* Takes over text. */
static struct place *add(uint64_t hash, char *text, size_t size)
{
    struct place *place = next_place();
    if (place == NULL) {
        free(text);
        return NULL;
    }
    *place = (struct place){
        .number = latest, .hash = hash, .size = size, .text = text, .next = *bucket_of(hash)};
    *bucket_of(hash) = place;
    return place;
}

uint32_t cprof_labels_hold(const struct cprof_pair *labels, size_t count)
{
    size_t size;
    char *text = join(labels, count < CPROF_LABELS_MAX ? count : CPROF_LABELS_MAX, &size);
    if (text == NULL)
        return 0;
    uint64_t hash = hash_bytes(text, size);
    uint32_t number = 0;
    pthread_mutex_lock(&lock);
    struct place *place = find(hash, text, size);
    if (place != NULL)
        free(text);
    else
        place = add(hash, text, size);
    if (place != NULL) {
        place->holders++;
        number = place->number;
    }
    pthread_mutex_unlock(&lock);
    return number;
}

void cprof_labels_release(uint32_t set)
{
    struct place *place = &places[set % CPROF_LABEL_SETS_MAX];
    pthread_mutex_lock(&lock);
    if (set != 0 && place->number == set && place->holders > 0 && --place->holders == 0)
        place->released = drains;
    pthread_mutex_unlock(&lock);
}

void cprof_labels_of(uint32_t set,
                     void (*each)(void *closure, const char *key, const char *value),
                     void *closure)
{
    const struct place *place = &places[set % CPROF_LABEL_SETS_MAX];
    pthread_mutex_lock(&lock);
    size_t size = set != 0 && place->number == set ? place->size : 0;
    for (size_t at = 0; at < size;) {
        const char *key = place->text + at, *value = key + strlen(key) + 1;
        each(closure, key, value);
        at = (size_t)(value + strlen(value) + 1 - place->text);
    }
    pthread_mutex_unlock(&lock);
}

void cprof_labels_drained(void)
{
    pthread_mutex_lock(&lock);
    drains++;
    pthread_mutex_unlock(&lock);
}
