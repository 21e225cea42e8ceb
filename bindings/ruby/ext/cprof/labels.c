#include "labels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* All pairs of a set, one after the other: key, NUL, value, NUL. */
struct label_set {
    size_t size;
    char *text;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static struct label_set sets[LABEL_SETS_MAX];            /* number 1 is at index 0 */
static uint32_t set_count;

static VALUE text_of(VALUE pairs)
{
    VALUE text = rb_str_new(NULL, 0);
    for (long i = 0; i < RARRAY_LEN(pairs); i++) {
        VALUE pair = rb_check_array_type(RARRAY_AREF(pairs, i));
        for (long j = 0; j < 2; j++) {
            VALUE part = rb_ary_entry(pair, j);
            const char *string = StringValueCStr(part);
            rb_str_cat(text, string, (long)strlen(string) + 1);
        }
    }
    return text;
}

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

uint32_t labels_intern(VALUE pairs)
{
    if (RARRAY_LEN(pairs) == 0)
        return 0;
    VALUE text = text_of(pairs);
    pthread_mutex_lock(&lock);
    uint32_t set = find_or_add(RSTRING_PTR(text), (size_t)RSTRING_LEN(text));
    pthread_mutex_unlock(&lock);
    RB_GC_GUARD(text);
    return set;
}

/* Cprof.labels keeps the pairs and their number there. */
uint32_t labels_of_fiber(void)
{
    static ID id;
    if (id == 0)
        id = rb_intern("__cprof_labels");
    VALUE labels = rb_thread_local_aref(rb_thread_current(), id);
    if (!RB_TYPE_P(labels, T_ARRAY))
        return 0;
    VALUE number = rb_ary_entry(labels, 1);
    return RB_FIXNUM_P(number) ? (uint32_t)FIX2ULONG(number) : 0;
}

void labels_of(uint32_t set, void (*each)(void *closure, const char *key, const char *value),
               void *closure)
{
    struct label_set found = {0};
    pthread_mutex_lock(&lock);
    if (set > 0 && set <= set_count)
        found = sets[set - 1]; /* its text stays for good */
    pthread_mutex_unlock(&lock);
    for (const char *at = found.text; at < found.text + found.size;) {
        const char *value = at + strlen(at) + 1;
        each(closure, at, value);
        at = value + strlen(value) + 1;
    }
}

void labels_fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

void labels_fork_done(void)
{
    pthread_mutex_unlock(&lock);
}
