#include "names.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ruby.h>
#include <ruby/debug.h>
#include <ruby/version.h>

#include <cprof/cprof.h>
#include <cprof/readable.h>

#include "label.h"
#include "layout.h"
#include "walk.h"

#define KEEP_SECONDS 60
#define TIDY_SECONDS 10
#define CODES 32768 /* buckets, a power of two */
/* Rounds of tidying after which no sample can refer to code whose slot was freed: one that a
 * handler was still at, one that closes the time in question, one that tells of it. */
#define LAST_ROUNDS 3

/* Exported by Ruby, and missing in some: then only first lines are known. */
unsigned int rb_iseq_line_no(const void *iseq, size_t position) __attribute__((weak));

struct line_run {
    uint32_t position; /* the first instruction word of the run */
    uint32_t line;
};

/* What is known of one piece of code, for as long as samples may refer to it. */
struct code {
    struct code *next; /* in its bucket */
    uint64_t id;
    char *name; /* NULL: it was found to be nothing that has one */
    char *file; /* NULL for C functions */
    int64_t start_line;
    uintptr_t native;  /* of a method entry: the C function; 0 = not known */
    uintptr_t encoded; /* of an iseq: its instruction words */
    uint32_t size;
    uint32_t run_count;
    struct line_run *runs;
    size_t bytes;         /* drawn from CPROF_MEMORY_LIMIT */
    unsigned rounds_left; /* until it is freed; 0 = its slot is in use */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `codes`; held for moments */
static struct code *codes[CODES];
static size_t last_compaction; /* rb_gc_count() of it, 0 = none; under the GVL */
static _Atomic bool giving;

static void free_code(struct code *code)
{
    if (code != NULL) {
        cprof_memory_give(code->bytes);
        free(code->name);
        free(code->file);
        free(code->runs);
        free(code);
    }
}

static struct code **bucket(uint64_t id)
{
    return &codes[id % CODES];
}

static struct code *find_code(uint64_t id)
{
    struct code *code = *bucket(id);
    while (code != NULL && code->id != id)
        code = code->next;
    return code;
}

static bool iseq_bounds(uintptr_t iseq, uintptr_t *encoded, uint32_t *size)
{
    uintptr_t body;
    return cprof_read_alive_word(iseq + ISEQ_BODY, &body) &&
           cprof_read_alive(size, body + BODY_SIZE, sizeof *size) &&
           cprof_read_alive_word(body + BODY_ENCODED, encoded);
}

static int kind_of(uintptr_t object)
{
    uintptr_t flags;
    if (object % sizeof(uintptr_t) != 0 || object < 4096 ||
        !cprof_read_alive_word(object, &flags) || (flags & RUBY_T_MASK) != IMEMO_TYPE)
        return -1;
    return (int)IMEMO_KIND(flags);
}

/* The method entry behind what an environment holds: itself, or behind the special variables
 * of a frame that uses $~. 0 for frames outside of methods. */
static VALUE method_entry(uintptr_t object)
{
    if (kind_of(object) == IMEMO_SVAR && !cprof_read_alive_word(object + SVAR_METHOD, &object))
        return 0;
    return kind_of(object) == IMEMO_METHOD ? (VALUE)object : 0;
}

/* The C function of a method, or 0. */
static uintptr_t native_of(uintptr_t method)
{
    uintptr_t definition, type, function;
    if (!cprof_read_alive_word(method + METHOD_DEFINITION, &definition) ||
        !cprof_read_alive_word(definition, &type) ||
        (type & DEFINITION_TYPE_MASK) != DEFINITION_CFUNC ||
        !cprof_read_alive_word(definition + DEFINITION_FUNCTION, &function))
        return 0;
    return function;
}

/* The runs of equal lines among an iseq's instruction words. */
static void copy_lines(struct code *code, const void *iseq)
{
    if (rb_iseq_line_no == NULL || code->size == 0)
        return;
    struct line_run *runs = malloc(code->size * sizeof *runs);
    if (runs == NULL)
        return;
    for (uint32_t position = 0; position < code->size; position++) {
        uint32_t line = rb_iseq_line_no(iseq, position);
        if (code->run_count == 0 || runs[code->run_count - 1].line != line)
            runs[code->run_count++] = (struct line_run){.position = position, .line = line};
    }
    struct line_run *fitting = realloc(runs, code->run_count * sizeof *runs);
    code->runs = fitting != NULL ? fitting : runs;
}

static bool holds(const struct code *code, uint64_t pc)
{
    return pc >= code->encoded && (pc - code->encoded) / sizeof(uintptr_t) <= code->size;
}

static char *copy_string(VALUE string)
{
    return RB_TYPE_P(string, T_STRING)
               ? strndup(RSTRING_PTR(string), (size_t)RSTRING_LEN(string))
               : NULL;
}

/* What one slot asks for; filled in under rb_protect(), since naming allocates. */
struct naming {
    VALUE object, method;
    struct code *code;
};

static VALUE describe(VALUE argument)
{
    struct naming *naming = (struct naming *)argument;
    struct code *code = naming->code;
    code->name = label_of(naming->object, naming->method);
    if (code->encoded != 0) {
        VALUE first = rb_profile_frame_first_lineno(naming->object);
        code->file = copy_string(rb_profile_frame_path(naming->object));
        code->start_line = RB_INTEGER_TYPE_P(first) ? NUM2LL(first) : 0;
        copy_lines(code, (const void *)naming->object);
    }
    return Qnil;
}

/* An object that a handler met while another thread compacted the heap may be elsewhere now. */
static bool may_have_moved(const struct code_slot *slot)
{
    return slot->gc_count <= last_compaction;
}

/* Fills the code's fields; false when what lies at the slot's address is no code, or another
 * than the handler met. `method` receives its method entry, or 0. */
static bool name_slot(const struct code_slot *slot, uintptr_t object, struct code *code,
                      VALUE *method)
{
    struct naming naming = {.object = (VALUE)object, .code = code};
    int kind = kind_of(object);
    if (kind == IMEMO_ISEQ && slot->pc != 0) {
        if (!iseq_bounds(object, &code->encoded, &code->size))
            return false;
        *method = naming.method = method_entry(atomic_load(&slot->method));
    } else if (kind == IMEMO_METHOD && slot->pc == 0) {
        code->native = native_of(object);
    } else {
        return false;
    }
    int failed = 0;
    VALUE pending = rb_errinfo(); /* the program's $! */
    rb_protect(describe, (VALUE)&naming, &failed);
    if (failed)
        rb_set_errinfo(pending);
    return !failed && code->name != NULL;
}

/* Nobody may find the slot any more when its object is no longer kept alive. */
static void free_slot(struct code_table *table, size_t i)
{
    atomic_store(&table->slots[i].key, CODE_KEY_CLAIMED);
    atomic_fetch_and(&table->used[i / 64], ~(UINT64_C(1) << i % 64));
    atomic_fetch_and(&table->met[i / 64], ~(UINT64_C(1) << i % 64));
    atomic_fetch_sub(&table->taken, 1);
    atomic_store(&table->slots[i].key, CODE_KEY_GONE);
}

/* Calls `each` for the slots of all tables that have their bit set in `bits`. */
static void each_slot(_Atomic uint64_t *(*bits)(const struct code_table *),
                      void (*each)(struct code_table *table, size_t i, uintptr_t argument),
                      uintptr_t argument)
{
    size_t count = atomic_load(&code_table_count);
    for (size_t t = 0; t < count; t++) {
        struct code_table *table = &code_tables[t];
        for (size_t word = 0; word < table->count / 64; word++) {
            uint64_t set = atomic_load(&bits(table)[word]);
            for (; set != 0; set &= set - 1)
                each(table, word * 64 + (size_t)__builtin_ctzll(set), argument);
        }
    }
}

static _Atomic uint64_t *used(const struct code_table *table)
{
    return table->used;
}

static _Atomic uint64_t *met(const struct code_table *table)
{
    return table->met;
}

/* ---- room ---- */

/* Said once a run: nothing of it is wrong before, and everything new afterwards. */
static _Atomic bool told_full;

static void tell_full(void)
{
    if (!atomic_exchange(&told_full, true))
        cprof_say(
            "CPROF_MEMORY_LIMIT has no room for the names of further Ruby methods: new ones "
            "are [unknown]");
}

static bool make_table(struct code_table *table, size_t count)
{
    size_t bytes = count * sizeof *table->slots + 2 * (count / 8);
    if (!cprof_memory_take(bytes))
        return false;
    *table = (struct code_table){
        .slots = aligned_alloc(_Alignof(struct code_slot), count * sizeof *table->slots),
        .count = count,
        .used = calloc(count / 64, sizeof *table->used),
        .met = calloc(count / 64, sizeof *table->met)};
    if (table->slots != NULL && table->used != NULL && table->met != NULL) {
        memset(table->slots, 0, count * sizeof *table->slots);
        return true;
    }
    free(table->slots);
    free(table->used);
    free(table->met);
    cprof_memory_give(bytes);
    return false;
}

/* Adds a table when the last one is half full. Tables stay for the life of the process: a
 * handler may be in any. */
static void grow(void)
{
    pthread_mutex_lock(&lock);
    size_t count = atomic_load(&code_table_count);
    const struct code_table *last = &code_tables[count - 1];
    size_t taken = atomic_load(&last->taken);
    bool wanted = taken > last->count / 2;
    bool grown =
        wanted && count < CODE_TABLES && make_table(&code_tables[count], 2 * last->count);
    if (grown)
        atomic_store(&code_table_count, count + 1);
    pthread_mutex_unlock(&lock);
    if (!grown && taken > last->count / 4 * 3)
        tell_full();
}

/* What a code's name takes. False: there is no room. */
static bool take_bytes(struct code *code)
{
    size_t bytes = sizeof *code + strlen(code->name) + 1 +
                   (code->file != NULL ? strlen(code->file) + 1 : 0) +
                   code->run_count * sizeof *code->runs;
    if (!cprof_memory_take(bytes))
        return false;
    code->bytes = bytes;
    return true;
}

/* Whether what is known of the code under one method entry says all: a handler can't tell its
 * entries apart, or two of them make one name. */
static bool is_whole(const struct code_slot *slot, uintptr_t object, const struct code *code,
                     VALUE method)
{
    if (method != atomic_load(&slot->method))
        return true;
    const struct code_slot *first = code_first(object);
    if (first == NULL || first == slot)
        return false;
    pthread_mutex_lock(&lock);
    const struct code *other = find_code(atomic_load(&first->id));
    pthread_mutex_unlock(&lock);
    return other != NULL && other->name != NULL && strcmp(other->name, code->name) == 0;
}

/* What is not told any further apart goes by its first slot. */
static void settle(struct code_slot *slot, uintptr_t object, const struct code *code,
                   VALUE method)
{
    struct code_slot *first = code_first(object);
    if (slot->pc != 0 && is_whole(slot, object, code, method) && first != NULL)
        atomic_store(&first->whole, true);
    if (method != atomic_load(&slot->method))
        atomic_store(&slot->method, 0);
}

static void give_name(struct code_table *table, size_t i)
{
    struct code_slot *slot = &table->slots[i];
    uintptr_t object = atomic_load(&slot->key) & ~CODE_KEY_VARIANT;
    VALUE method = 0;
    struct code *code = calloc(1, sizeof *code);
    if (code == NULL)
        return; /* perhaps next time */
    code->id = atomic_load(&slot->id);
    bool named = !may_have_moved(slot) && name_slot(slot, object, code, &method);
    if (named && !take_bytes(code)) {
        tell_full();
        named = false;
    }
    if (named)
        settle(slot, object, code, method);
    atomic_store(&slot->state, CODE_NAMED);
    atomic_fetch_and(&table->met[i / 64], ~(UINT64_C(1) << i % 64));
    atomic_fetch_sub(&code_met, 1);
    if (!named) { /* whoever meets this address again starts afresh */
        free_slot(table, i);
        free(code->name);
        code->name = NULL;
        code->rounds_left = LAST_ROUNDS;
    }
    pthread_mutex_lock(&lock);
    code->next = *bucket(code->id);
    *bucket(code->id) = code;
    pthread_mutex_unlock(&lock);
}

static void name_one(struct code_table *table, size_t i, uintptr_t variant)
{
    const struct code_slot *slot = &table->slots[i];
    uintptr_t key = atomic_load(&slot->key);
    if (key >= CODE_KEY_FIRST && (key & CODE_KEY_VARIANT) == variant &&
        atomic_load(&slot->state) == CODE_MET)
        give_name(table, i);
}

void code_give_names(void)
{
    if (atomic_load(&code_met) == 0 || atomic_exchange(&giving, true))
        return;
    grow();
    each_slot(met, name_one, 0);
    each_slot(met, name_one,
              CODE_KEY_VARIANT); /* by then what they are variants of has its name */
    atomic_store(&giving, false);
}

static int64_t line_at(const struct code *code, uint64_t pc)
{
    uint64_t position = (pc - code->encoded) / sizeof(uintptr_t);
    /* JIT code does not always keep the pc up to date. */
    if (!holds(code, pc) || code->run_count == 0)
        return code->start_line;
    position -= position > 0; /* it points behind the instruction that runs */
    uint32_t low = 0, high = code->run_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (code->runs[middle].position <= position)
            low = middle;
        else
            high = middle;
    }
    return code->runs[low].line;
}

/* For code that sleeps no handler asks. From 3.3 on any thread may, while Ruby lives. */
static void ask_from_here(void)
{
#if RUBY_API_VERSION_CODE >= 30300
    if (cprof_is_running())
        walk_ask_for_names();
#endif
}

int code_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    *function = (struct cprof_function){.type = CPROF_FRAME_RUBY};
    if (frame->token == CODE_GC) {
        function->name = "(garbage collector)";
        return 0;
    }
    if (frame->token < CODE_FIRST)
        return -ENOENT;
    pthread_mutex_lock(&lock);
    const struct code *code = find_code(frame->token);
    pthread_mutex_unlock(&lock);
    if (code == NULL) {
        ask_from_here();
        return -EAGAIN;
    }
    if (code->name == NULL)
        return -ENOENT;
    function->name = code->name;
    function->file = code->file;
    function->start_line = code->start_line;
    function->native = code->native;
    function->line = code->encoded != 0 ? line_at(code, frame->position) : 0;
    return 0;
}

/* Frees the slot of code that has not been sampled for long: from then on Ruby may let it die
 * or move it. */
static void let_go(struct code_table *table, size_t i, uintptr_t now)
{
    struct code_slot *slot = &table->slots[i];
    if (atomic_load(&slot->key) < CODE_KEY_FIRST || atomic_load(&slot->state) != CODE_NAMED ||
        (uint32_t)now - atomic_load(&slot->last_seen) < KEEP_SECONDS)
        return;
    struct code *code = find_code(atomic_load(&slot->id));
    free_slot(table, i);
    if (code != NULL)
        code->rounds_left = LAST_ROUNDS;
}

/* Frees the names that no sample can refer to any more. */
static void forget_old(void)
{
    for (size_t i = 0; i < CODES; i++)
        for (struct code **link = &codes[i]; *link != NULL;) {
            struct code *code = *link;
            if (code->rounds_left > 0 && --code->rounds_left == 0) {
                *link = code->next;
                free_code(code);
            } else {
                link = &code->next;
            }
        }
}

bool code_drained(void)
{
    static uint32_t let_go_at;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    uint32_t now = (uint32_t)time.tv_sec;
    atomic_store(&walk_tick, now);
    if (now - let_go_at < TIDY_SECONDS)
        return false;
    let_go_at = now;
    pthread_mutex_lock(&lock);
    forget_old();
    each_slot(used, let_go, now);
    pthread_mutex_unlock(&lock);
    return true;
}

static void forget_slot(struct code_table *table, size_t i, uintptr_t unused)
{
    (void)unused;
    if (atomic_load(&table->slots[i].key) >= CODE_KEY_FIRST)
        free_slot(table, i);
}

void code_forget(void)
{
    if (atomic_load(&giving))
        return;
    each_slot(used, forget_slot, 0);
    atomic_store(&code_met, 0);
    atomic_store(&told_full, false);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < CODES; i++)
        for (struct code *code = codes[i], *next; code != NULL; code = next) {
            next = code->next;
            free_code(code);
        }
    memset(codes, 0, sizeof codes);
    pthread_mutex_unlock(&lock);
}

static void mark_slot(struct code_table *table, size_t i, uintptr_t unused)
{
    struct code_slot *slot = &table->slots[i];
    uintptr_t key = atomic_load(&slot->key);
    (void)unused;
    if (key < CODE_KEY_FIRST)
        return;
    uintptr_t object = key & ~CODE_KEY_VARIANT, method = atomic_load(&slot->method);
    if (atomic_load(&slot->state) == CODE_NAMED) {
        rb_gc_mark((VALUE)object);
        if (method != 0)
            rb_gc_mark((VALUE)method);
    } else { /* perhaps no object at all */
        rb_gc_mark_maybe((VALUE)object);
        rb_gc_mark_maybe((VALUE)method);
    }
}

static void pin(uintptr_t object)
{
    rb_gc_mark((VALUE)object);
}

/* Ruby's garbage collector calls this under the GVL: it keeps what slots refer to alive, and
 * where it is. So it does with the code of the collecting thread, which handlers may meet
 * only now. */
static void mark(void *unused)
{
    (void)unused;
    walk_objects(layout_thread(rb_thread_current()), pin);
    each_slot(used, mark_slot, 0);
}

/* Objects have moved in this garbage collection. */
static void compacted(void *unused)
{
    (void)unused;
    last_compaction = rb_gc_count();
}

/* Without RUBY_TYPED_WB_PROTECTED, so that every collection marks it anew. */
static const rb_data_type_t keeper_type = {
    .wrap_struct_name = "cprof/code",
    .function = {.dmark = mark, .dcompact = compacted},
    .flags = RUBY_TYPED_FREE_IMMEDIATELY,
};

void code_init(void)
{
    static VALUE keeper;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    atomic_store(&walk_tick, (uint32_t)time.tv_sec);
    rb_gc_register_address(&keeper);
    keeper = TypedData_Wrap_Struct(0, &keeper_type, code_tables);
}

void code_fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

void code_fork_done(void)
{
    pthread_mutex_unlock(&lock);
}
