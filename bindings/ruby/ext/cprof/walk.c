/* Handler code: runs inside the sampling signal's handler. See walk.h.
 *
 * Reads Ruby's own stacks and nothing of its heap of objects, whose pages are unreadable while
 * the heap is being compacted. */
#include "walk.h"

#include "context.h"
#include "layout.h"
#include "threads.h"

/* Exported by Ruby, as are rb_during_gc() and rb_gc_count(): those are one load each, this one
 * adds a look at the thread. */
int ruby_thread_has_gvl_p(void);

#define PROBES_MAX 32
#define LOAD(count)                                                                            \
    ((count) / 4 * 3) /* slots of a table that are taken while there is another */

static struct code_slot first_slots[CODE_SLOTS];
static _Atomic uint64_t first_used[CODE_SLOTS / 64], first_met[CODE_SLOTS / 64];
struct code_table code_tables[CODE_TABLES] = {
    {.slots = first_slots, .count = CODE_SLOTS, .used = first_used, .met = first_met}};
_Atomic size_t code_table_count = 1;
_Atomic uint32_t walk_tick;
_Atomic uint32_t code_met;
void (*walk_ask_for_names)(void);
struct walk_range walk_jit;
const struct walk_thread *walk_older;
size_t walk_older_count;

static _Atomic uint64_t next_id = CODE_FIRST;

/* Before threads were followed this one ran it, or one with its id, which has ended: then so
 * have the frames of what is kept of it. */
static void *find_older(pid_t tid)
{
    for (size_t i = 0; i < walk_older_count; i++)
        if (walk_older[i].tid == tid)
            return walk_older[i].thread;
    return NULL;
}

/* The rb_thread_t that it runs, or NULL: none, or nobody knows. */
static const void *thread_of(const struct cprof_interrupted *interrupted)
{
    if (threads_running == NULL)
        threads_running = find_older(interrupted->tid);
    return threads_running != NULL ? threads_running : interrupted->thread_data;
}

uintptr_t walk_context(const void *thread)
{
    return thread != NULL && !threads_over ? word_at((uintptr_t)thread, layout.thread_ec) : 0;
}

/* Its own thread reads what is there. */
struct reader {
    char none;
};

static inline uintptr_t word(struct reader *reader, uintptr_t base, ptrdiff_t offset)
{
    (void)reader;
    return word_at(base, offset);
}

#include "walk_frames.h"

/* A slot of a table; NULL: none. */
struct place {
    struct code_table *table;
    size_t slot;
};

/* Tries to make the slot that of new code. False when somebody else was faster. */
static bool claim(const struct place *place, uintptr_t found, const struct met *met)
{
    struct code_slot *slot = &place->table->slots[place->slot];
    size_t word = place->slot / 64;
    uint64_t bit = UINT64_C(1) << place->slot % 64;
    if (!atomic_compare_exchange_strong(&slot->key, &found, CODE_KEY_CLAIMED))
        return false;
    atomic_store(&slot->state, CODE_CLAIMED);
    atomic_store(&slot->id, atomic_fetch_add(&next_id, 1));
    atomic_store(&slot->last_seen, atomic_load(&walk_tick));
    atomic_store(&slot->method, met->method);
    atomic_store(&slot->whole, false);
    slot->pc = met->pc;
    slot->gc_count = met->gc_count;
    atomic_store(&slot->state, CODE_MET);
    atomic_fetch_or(&place->table->used[word], bit);
    atomic_fetch_or(&place->table->met[word], bit);
    atomic_fetch_add(&place->table->taken, 1);
    atomic_store(&slot->key, met->key);
    atomic_fetch_add(&code_met, 1);
    return true;
}

static bool is_for(const struct code_slot *slot, const struct met *met)
{
    return atomic_load_explicit(&slot->key, memory_order_acquire) == met->key &&
           ((met->key & CODE_KEY_VARIANT) == 0 ||
            atomic_load_explicit(&slot->method, memory_order_relaxed) == met->method);
}

static size_t home_of(const struct met *met)
{
    uintptr_t both =
        (met->key & CODE_KEY_VARIANT) != 0 ? met->key ^ met->method << 7 : met->key;
    return (size_t)(both * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* The table's slot of what was met; NULL: there is none, and with `room`, unless that is known
 * already, where one could be. */
static inline struct code_slot *find_in(struct code_table *table, size_t home,
                                        const struct met *met, struct place *room)
{
    for (size_t probe = 0; probe < PROBES_MAX; probe++) {
        size_t i = (home + probe) & (table->count - 1);
        struct code_slot *slot = &table->slots[i];
        if (is_for(slot, met))
            return slot;
        uintptr_t found = atomic_load_explicit(&slot->key, memory_order_relaxed);
        if (room->table == NULL && found <= CODE_KEY_GONE)
            *room = (struct place){table, i};
        if (found == CODE_KEY_FREE)
            break;
    }
    return NULL;
}

/* The same in all tables. What was met first, and so is met most, lies in the first. */
static inline struct code_slot *find_slot(const struct met *met, struct place *room)
{
    size_t home = home_of(met);
    size_t count = atomic_load_explicit(&code_table_count, memory_order_acquire);
    *room = (struct place){0};
    for (size_t t = 0; t < count; t++) {
        struct code_table *table = &code_tables[t];
        struct code_slot *slot = find_in(table, home, met, room);
        if (slot != NULL)
            return slot;
        /* Full tables are slow to search. */
        if (t + 1 < count && room->table == table &&
            atomic_load_explicit(&table->taken, memory_order_relaxed) >= LOAD(table->count))
            room->table = NULL;
    }
    return NULL;
}

struct code_slot *code_first(uintptr_t object)
{
    const struct met met = {.key = object};
    struct place room;
    return find_slot(&met, &room);
}

/* Its id, or CODE_UNKNOWN when it is not there any more. */
static inline uint64_t use_slot(struct code_slot *slot, const struct met *met)
{
    uint32_t tick = atomic_load_explicit(&walk_tick, memory_order_relaxed);
    uint64_t id = atomic_load_explicit(&slot->id, memory_order_acquire);
    if (atomic_load_explicit(&slot->last_seen, memory_order_relaxed) != tick)
        atomic_store_explicit(&slot->last_seen, tick, memory_order_relaxed);
    /* Freed and taken by other code in between? */
    atomic_thread_fence(memory_order_seq_cst);
    return is_for(slot, met) ? id : CODE_UNKNOWN;
}

static uint64_t claim_at(const struct place *room, const struct met *met)
{
    if (room->table == NULL)
        return CODE_UNKNOWN;
    struct code_slot *slot = &room->table->slots[room->slot];
    uintptr_t found = atomic_load(&slot->key);
    if (found > CODE_KEY_GONE || !claim(room, found, met))
        return CODE_UNKNOWN;
    return atomic_load(&slot->id);
}

uint64_t code_identify(struct met *met)
{
    if (met->key < CODE_KEY_FIRST || met->key % sizeof(uintptr_t) != 0)
        return CODE_UNKNOWN;
    struct place room;
    struct code_slot *slot = find_slot(met, &room);
    if (slot == NULL)
        return claim_at(&room, met);
    uintptr_t method = atomic_load_explicit(&slot->method, memory_order_relaxed);
    uint64_t id = use_slot(slot, met);
    if (method == met->method || method == 0 || met->method == 0 || id == CODE_UNKNOWN ||
        atomic_load_explicit(&slot->whole, memory_order_relaxed))
        return id;
    met->key |= CODE_KEY_VARIANT;
    slot = find_slot(met, &room);
    return slot != NULL ? use_slot(slot, met) : claim_at(&room, met);
}

uintptr_t walk_loop_tag(uintptr_t tag)
{
    struct reader reader = {0};
    return loop_tag(&reader, tag);
}

/* Whether the thread runs Ruby just now. ruby_thread_has_gvl_p() says so as well of one that
 * waits for its next time slice. */
static bool has_gvl(const void *thread, const struct frames *frames)
{
    if (!ruby_thread_has_gvl_p())
        return false;
    return layout.main_runs == 0 ||
           word_at((uintptr_t)thread, THREAD_RACTOR) != layout.main_ractor ||
           word_at(layout.main_runs, 0) == frames->ec;
}

size_t walk(const struct cprof_interrupted *interrupted, struct cprof_frame *out,
            size_t capacity, bool *complete)
{
    struct frames frames;
    struct reader reader = {0};
    const void *thread = thread_of(interrupted);
    *complete = true;
    if (!layout.trusted || !find_frames(&reader, walk_context(thread), &frames))
        return 0;
    size_t count = 0;
    bool running = has_gvl(thread, &frames);
    if (rb_during_gc()) {
        if (running && capacity > 0)
            out[count++] = (struct cprof_frame){.token = CODE_GC};
        else
            frames.gc_count = rb_gc_count();
    }
    count = write_frames(&reader, &frames, interrupted->registers.sp, out, count, capacity,
                         complete);
    if (running &&
        (atomic_load_explicit(&code_met, memory_order_relaxed) > 0 || context_is_stale()))
        walk_ask_for_names();
    return count;
}

bool walk_runs(const struct cprof_interrupted *interrupted)
{
    struct frames frames;
    struct reader reader = {0};
    const void *thread = thread_of(interrupted);
    return layout.trusted && find_frames(&reader, walk_context(thread), &frames) &&
           has_gvl(thread, &frames);
}

void walk_objects(const void *thread, void (*each)(uintptr_t object))
{
    struct frames frames;
    struct reader reader = {0};
    if (!layout.trusted || !find_frames(&reader, walk_context(thread), &frames))
        return;
    for (size_t i = 0; i < frames.count; i++) {
        uintptr_t frame = frames.cfp + i * layout.frame_size;
        if ((frame_flags(&reader, frame) & FRAME_TYPE_MASK) == FRAME_TYPE_DUMMY)
            continue;
        each(frame_method(&reader, frame));
        each(word_at(frame, FRAME_ISEQ));
    }
}

bool walk_request(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    (void)thread;
    const struct context_record *record = context_here;
    if (record == NULL || context_is_stale())
        return false;
    *context =
        record->versions[atomic_load_explicit(&record->current, memory_order_relaxed) & 1];
    return true;
}

#ifdef TAG_RESUME
/* The registers that rb_vm_exec() would resume with if an exception were thrown to it. */
static struct cprof_registers resume_registers(uintptr_t tag)
{
#ifdef RUBY_JMP_BUF
    return (struct cprof_registers){
        .pc = layout_demangle(word_at(tag, TAG_RESUME)),
        .sp = layout_demangle(word_at(tag, TAG_STACK)),
        .fp = layout_demangle(word_at(tag, TAG_FRAME)),
    };
#else
    /* A label and no return address: the walker looks up what lies before what it is told. */
    return (struct cprof_registers){
        .pc = word_at(tag, TAG_RESUME) + 1,
        .sp = word_at(tag, TAG_STACK),
        .fp = word_at(tag, TAG_FRAME),
    };
#endif
}
#endif

/* JIT code keeps neither unwind tables nor frame pointers, but what called it is an interpreter
 * loop, and that one has left its registers in its tag. */
bool walk_step(const struct cprof_interrupted *thread, struct cprof_registers *registers,
               struct cprof_frame *frame)
{
    size_t size = atomic_load_explicit(&walk_jit.size, memory_order_acquire);
    if (registers->pc - walk_jit.start >= size)
        return false;
#ifdef TAG_RESUME
    struct frames frames;
    struct reader reader = {0};
    if (layout.loop_resume == 0 ||
        !find_frames(&reader, walk_context(thread_of(thread)), &frames))
        return false;
    uintptr_t tag = walk_loop_tag(word_at(frames.ec, EC_TAG));
    while (tag != 0 && tag < registers->sp)
        tag = next_loop_tag(&reader, tag);
    if (tag == 0)
        return false;
    *registers = resume_registers(tag);
    *frame = (struct cprof_frame){0};
    return true;
#else
    (void)thread;
    (void)frame;
    return false;
#endif
}
