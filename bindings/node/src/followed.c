#include "followed.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "cprof/sample.h"
#include "room.h"

enum {
    ENTRIES_MAX = 1 << 16, /* as many as the core lists */
    ENTRIES_ROOM = 1 << 12 /* for so many room is taken at a time */
};

#define NUMBER_MARK (UINTPTR_MAX / 2 + 1) /* the highest bit */
#define TABLE_BYTES (ENTRIES_MAX * sizeof(struct followed_entry))

/* V8's functions behind v8::Global. From V8 12 on one is made of a tagged pointer itself. */
static struct {
    uintptr_t *(*globalize)(void *isolate, uintptr_t object);
    uintptr_t *(*globalize_at)(void *isolate, const uintptr_t *object);
    void (*make_weak)(uintptr_t **handle);
    void (*dispose)(uintptr_t *handle);
} v8;

/* ---- handles ---- */

bool followed_find(void)
{
    *(void **)&v8.globalize =
        dlsym(RTLD_DEFAULT, "_ZN2v812api_internal18GlobalizeReferenceEPNS_8internal7IsolateEm");
    *(void **)&v8.globalize_at = dlsym(
        RTLD_DEFAULT, "_ZN2v812api_internal18GlobalizeReferenceEPNS_8internal7IsolateEPm");
    *(void **)&v8.make_weak = dlsym(RTLD_DEFAULT, "_ZN2v812api_internal8MakeWeakEPPm");
    *(void **)&v8.dispose = dlsym(RTLD_DEFAULT, "_ZN2v812api_internal13DisposeGlobalEPm");
    return (v8.globalize != NULL || v8.globalize_at != NULL) && v8.make_weak != NULL &&
           v8.dispose != NULL;
}

static uintptr_t *make_handle(void *v8_isolate, uintptr_t object)
{
    return v8.globalize != NULL ? v8.globalize(v8_isolate, object)
                                : v8.globalize_at(v8_isolate, &object);
}

bool followed_prove(void *v8_isolate, uintptr_t object)
{
    uintptr_t *handle = make_handle(v8_isolate, object);
    bool holds = handle != NULL && *handle == object;
    if (handle != NULL)
        v8.dispose(handle);
    return holds;
}

/* ---- entries ---- */

static bool is_taken(const struct followed_entry *entry)
{
    return (entry->number & NUMBER_MARK) != 0;
}

/* Of all isolates; never used again. The core looks at bits from the fifth on. */
static uintptr_t new_number(void)
{
    static _Atomic uintptr_t last;
    return NUMBER_MARK | (atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1) << 4;
}

static bool make_table(struct followed *followed)
{
    if (followed->entries != NULL)
        return true;
    void *table = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    followed->entries = table != MAP_FAILED ? table : NULL;
    return followed->entries != NULL;
}

/* One that was never used. */
static struct followed_entry *take_fresh(struct followed *followed)
{
    size_t more = ENTRIES_ROOM * sizeof *followed->entries;
    if (followed->used == ENTRIES_MAX || !make_table(followed))
        return NULL;
    if (followed->used * sizeof *followed->entries == followed->bytes) {
        if (!room_take(more))
            return NULL;
        followed->bytes += more;
    }
    return &followed->entries[followed->used++];
}

static struct followed_entry *take_free(struct followed *followed)
{
    if (followed->free == 0)
        return NULL;
    struct followed_entry *entry = &followed->entries[followed->free - 1];
    followed->free = (uint32_t)entry->number;
    return entry;
}

void followed_give(struct followed *followed, struct followed_entry *entry)
{
    *entry = (struct followed_entry){.number = followed->free};
    followed->free = (uint32_t)(entry - followed->entries) + 1;
}

/* Those that the core does not list any more. */
static void drop_unlisted(struct followed *followed)
{
    for (uint32_t i = 0; i < followed->used; i++) {
        struct followed_entry *entry = &followed->entries[i];
        if (!is_taken(entry) || cprof_is_listed((const void *)entry->number))
            continue;
        if (entry->handle != NULL)
            v8.dispose(entry->handle);
        followed_give(followed, entry);
    }
}

struct followed_entry *followed_take(struct followed *followed)
{
    struct followed_entry *entry = take_free(followed);
    if (entry == NULL)
        entry = take_fresh(followed);
    if (entry == NULL && followed->entries != NULL) {
        drop_unlisted(followed);
        entry = take_free(followed);
    }
    if (entry != NULL)
        *entry = (struct followed_entry){.number = new_number()};
    return entry;
}

void followed_keep(struct followed_entry *entry, void *v8_isolate, uintptr_t object)
{
    entry->handle = make_handle(v8_isolate, object);
    v8.make_weak(&entry->handle);
}

/* ---- ends ---- */

void followed_sweep(struct followed *followed)
{
    for (uint32_t i = 0; i < followed->used; i++) {
        struct followed_entry *entry = &followed->entries[i];
        if (!is_taken(entry) || entry->handle != NULL)
            continue;
        cprof_freed((const void *)entry->number);
        followed_give(followed, entry);
    }
}

void followed_end(struct followed *followed)
{
    for (uint32_t i = 0; i < followed->used; i++) {
        struct followed_entry *entry = &followed->entries[i];
        if (!is_taken(entry))
            continue;
        if (entry->handle != NULL)
            v8.dispose(entry->handle);
        cprof_freed((const void *)entry->number);
    }
    if (followed->entries != NULL)
        munmap(followed->entries, TABLE_BYTES);
    room_give(followed->bytes);
    *followed = (struct followed){0};
}
