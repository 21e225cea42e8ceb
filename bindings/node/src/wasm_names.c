#include "wasm_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "code_events.h"
#include "isolate.h"
#include "isolate_list.h"
#include "room.h"

struct wasm_function {
    uintptr_t start, limit;
    size_t name, length; /* in the text */
};

enum { SHARE = 100, NAME_MAX_BYTES = 512, FIRST = 1024 };

static uint64_t now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

/* ---- a look ---- */

/* What the look that is under way has found; NULL: none is. */
static _Thread_local struct wasm_names *found;

/* A list with room for `more` beyond `used`. NULL: there is none, and the list is as it was. */
static void *grown(void *list, size_t used, size_t more, size_t *capacity, size_t size)
{
    size_t wanted = *capacity;
    while (wanted < used + more)
        wanted = wanted == 0 ? FIRST : 2 * wanted;
    if (list != NULL && wanted == *capacity)
        return list;
    if (!room_take((wanted - *capacity) * size)) {
        room_tell(ROOM_LIMIT);
        return NULL;
    }
    void *room = realloc(list, wanted * size);
    if (room == NULL)
        room_give((wanted - *capacity) * size);
    else
        *capacity = wanted;
    return room;
}

/* V8 writes "JS:name-number-compiler", before V8 11 "Function:…": what lies between. False: no
 * function's code. */
static bool cut_name(const char **text, size_t *length)
{
    const char *colon = memchr(*text, ':', *length);
    size_t first = colon != NULL ? (size_t)(colon + 1 - *text) : 0, last = *length;
    while (last > first && (*text)[last - 1] >= 'a' && (*text)[last - 1] <= 'z')
        last--;
    size_t digits = last > first && (*text)[last - 1] == '-' ? --last : 0;
    while (last > first && (*text)[last - 1] >= '0' && (*text)[last - 1] <= '9')
        last--;
    if (digits == 0 || last == digits || last <= first + 1 || (*text)[last - 1] != '-')
        return false;
    *text += first;
    *length = last - 1 - first;
    *length = *length < NAME_MAX_BYTES ? *length : NAME_MAX_BYTES;
    return true;
}

static void on_code(const struct v8_code_event *event)
{
    struct wasm_names *names = found;
    const char *text = event->name.text;
    size_t length = event->name.length;
    if (names == NULL || event->type != EVENT_ADDED || event->form != FORM_WASM ||
        event->size > UINTPTR_MAX - event->start || !cut_name(&text, &length))
        return;
    struct wasm_function *list =
        grown(names->list, names->count, 1, &names->capacity, sizeof *list);
    names->list = list != NULL ? list : names->list;
    char *all = grown(names->text, names->text_size, length, &names->text_capacity, 1);
    names->text = all != NULL ? all : names->text;
    if (list == NULL || all == NULL)
        return;
    memcpy(all + names->text_size, text, length);
    list[names->count++] = (struct wasm_function){event->start, event->start + event->size,
                                                  names->text_size, length};
    names->text_size += length;
}

static int compare(const void *left, const void *right)
{
    const struct wasm_function *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static void free_lists(struct wasm_names *names)
{
    room_give(names->capacity * sizeof *names->list + names->text_capacity);
    free(names->list);
    free(names->text);
    names->list = NULL;
    names->text = NULL;
    names->count = names->capacity = names->text_size = names->text_capacity = 0;
}

/* With isolates_lock(). */
static void replace(struct wasm_names *names, const struct wasm_names *by)
{
    free_lists(names);
    names->list = by->list;
    names->count = by->count;
    names->capacity = by->capacity;
    names->text = by->text;
    names->text_size = by->text_size;
    names->text_capacity = by->text_capacity;
    names->wanted = false;
    atomic_fetch_add(&names->generation, 1);
}

void wasm_names_look(struct isolate *isolate)
{
    struct wasm_names fresh = {.count = 0};
    isolates_lock();
    bool due = wasm_names_due(isolate);
    isolates_unlock();
    if (!due)
        return;
    uint64_t begun = now(CLOCK_THREAD_CPUTIME_ID);
    found = &fresh;
    code_events_set(isolate->v8, CODE_EVENTS_ALL, on_code);
    code_events_set(isolate->v8, 0, NULL);
    found = NULL;
    if (fresh.count > 0)
        qsort(fresh.list, fresh.count, sizeof *fresh.list, compare);
    uint64_t taken = now(CLOCK_THREAD_CPUTIME_ID) - begun;
    isolates_lock();
    replace(&isolate->wasm_names, &fresh);
    isolate->wasm_names.next_look = now(CLOCK_MONOTONIC) + SHARE * taken;
    isolates_unlock();
}

bool wasm_names_due(const struct isolate *isolate)
{
    return isolate->wasm_names.wanted && now(CLOCK_MONOTONIC) >= isolate->wasm_names.next_look;
}

void wasm_names_forget(struct isolate *isolate)
{
    free_lists(&isolate->wasm_names);
    isolate->wasm_names.wanted = false;
    isolate->wasm_names.next_look = 0;
}

/* ---- answers ---- */

static const struct wasm_function *find(const struct wasm_names *names, uintptr_t pc)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (names->list[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    const struct wasm_function *last = low > 0 ? &names->list[low - 1] : NULL;
    return last != NULL && pc < last->limit ? last : NULL;
}

int wasm_names_tell(struct isolate *isolate, uint64_t position, struct cprof_function *function)
{
    static char name[NAME_MAX_BYTES + 1];
    struct wasm_names *names = &isolate->wasm_names;
    const struct wasm_function *at = find(names, (uintptr_t)(position & (UINT64_MAX >> 16)));
    *function = (struct cprof_function){.name = "(wasm)", .type = CPROF_FRAME_V8JS};
    if (at != NULL) {
        snprintf(name, sizeof name, "%.*s", (int)at->length, names->text + at->name);
        function->name = name;
        function->file = "wasm://wasm";
        return 0;
    }
    if (position >> 48 != atomic_load(&names->generation) || code_events_set == NULL)
        return 0; /* it has been looked for */
    names->wanted = true;
    return wasm_names_due(isolate) ? -EAGAIN : 0;
}
