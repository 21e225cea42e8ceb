/* Its hook runs where Ruby makes an object: handler code. See slots.h. */
#include "slots.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <ruby/debug.h>
#include <ruby/version.h>

#include <cprof/cprof.h>
#include <cprof/sample.h>

#include "slots_live.h"
#include "slots_tick.h"

/* Exported by Ruby, and in no header: the first from 3.3 on. */
__attribute__((weak)) size_t rb_gc_obj_slot_size(VALUE object);
__attribute__((weak)) size_t rb_obj_memsize_of(VALUE object);

static struct {
    const char *refused; /* why none are counted; NULL: they are */
    size_t size;         /* of all slots; 0: rb_gc_obj_slot_size() knows */
    bool followed;       /* to their end */
    /* Under the GVL. */
    uint64_t random;
    double weight; /* what the look's objects stand for */
} slots;

/* ---- what an object of a look stands for ---- */

/* Objects of the turns that have passed, the older ones counting less, and of the one that
 * runs. */
static struct {
    VALUE key;           /* of Ruby's count */
    uint64_t begun;      /* that count when the turn began, */
    uint64_t look_begun; /* and the look */
    double turns, all, looked;
    double looked_now, stood_now; /* in the turn's look, and what they stood for */
    double missed;                /* for which none have stood; below 0: for too many */
} counts;

#define TURNS_MOST 64
/* Before anything is known: a program is a quarter slower in a look. Counts like two turns. */
#define WEIGHT_USUAL (SLOTS_TURN * 1.25)
#define TURNS_USUAL 2
/* Beyond these it is chance that so much or so little fell into looks. */
#define WEIGHT_LEAST (SLOTS_TURN * 0.875)
#define WEIGHT_MOST (SLOTS_TURN * 4.0)
/* What was missed goes with the looks of so many turns, a quarter of each at most. */
#define TURNS_MISSED 8
#define MISSED_MOST 0.25

static uint64_t count_objects(void)
{
    return rb_gc_stat(counts.key);
}

static double within(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static void end_turn(uint64_t now)
{
    double all = (double)(now - counts.begun);
    if (counts.turns >= TURNS_MOST) {
        counts.turns /= 2;
        counts.all /= 2;
        counts.looked /= 2;
    }
    counts.turns++;
    counts.all += all;
    counts.looked += counts.looked_now;
    counts.missed += all - counts.stood_now;
    counts.looked_now = counts.stood_now = 0;
    counts.begun = now;
}

/* From the past alone: so what a look sees has no part in what it stands for. */
static double choose_weight(void)
{
    if (counts.all <= 0)
        return WEIGHT_USUAL;
    double mean = counts.all / counts.turns, usual = TURNS_USUAL * mean;
    double weight = (counts.all + usual) / (counts.looked + usual / WEIGHT_USUAL);
    double missed = counts.missed / mean / TURNS_MISSED;
    return within(weight, WEIGHT_LEAST, WEIGHT_MOST) *
           (1 + within(missed, -MISSED_MOST, MISSED_MOST));
}

/* One of the two whole numbers beside it, by chance. */
static uint32_t draw_weight(void)
{
    slots.random = slots.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(slots.weight + (double)(slots.random >> 11) * 0x1p-53);
}

/* ---- the hook ---- */

static inline size_t size_of(VALUE object)
{
    return slots.size != 0 ? slots.size : rb_gc_obj_slot_size(object);
}

/* Its gap is counted in bytes of all objects, of which it sees one in SLOTS_TURN. */
__attribute__((noinline)) static void take(VALUE object, size_t size)
{
    const struct cprof_registers caller = cprof_caller();
    uint64_t period = cprof_due_now(CPROF_EVENT_ALLOC, size * SLOTS_TURN);
    if (period == 0)
        return;
    if (cprof_take_for(draw_weight(), CPROF_EVENT_ALLOC, period / SLOTS_TURN, size,
                       slots_live_number(), &caller))
        slots_live_add(object);
}

static void on_object(VALUE unused, const rb_trace_arg_t *event)
{
    (void)unused;
    if (!atomic_load_explicit(&slots_ticks.open, memory_order_relaxed))
        return;
    VALUE object = rb_tracearg_object((rb_trace_arg_t *)(uintptr_t)event);
    size_t size = size_of(object);
    if (cprof_count(CPROF_EVENT_ALLOC, size * SLOTS_TURN))
        take(object, size);
}

/* Ruby calls what is RAW by this type, whatever the header says of it. */
static rb_event_hook_func_t hook_function(void)
{
    void (*hook)(VALUE, const rb_trace_arg_t *) = on_object;
    rb_event_hook_func_t function;
    memcpy(&function, &hook, sizeof function);
    return function;
}

/* ---- looks ---- */

static void begin_look(uint64_t now)
{
    if (slots.followed)
        slots_live_begin();
    slots.weight = choose_weight();
    counts.look_begun = now;
    rb_add_event_hook2(hook_function(), RUBY_INTERNAL_EVENT_NEWOBJ, Qnil,
                       RUBY_EVENT_HOOK_FLAG_RAW_ARG | RUBY_EVENT_HOOK_FLAG_SAFE);
    atomic_store(&slots_ticks.looking, true);
}

static void end_look(uint64_t now)
{
    rb_remove_event_hook_with_data(hook_function(), Qnil);
    atomic_store(&slots_ticks.looking, false);
    double looked = (double)(now - counts.look_begun);
    counts.looked_now += looked;
    counts.stood_now += looked * slots.weight;
}

static void forget_counts(void)
{
    counts.turns = counts.all = counts.looked = counts.missed = 0;
    counts.looked_now = counts.stood_now = 0;
    counts.begun = counts.look_begun = count_objects();
}

/* A postponed job. */
static void turn(void *unused)
{
    (void)unused;
    bool open = atomic_load(&slots_ticks.open),
         wanted = open && atomic_load(&slots_ticks.wanted);
    bool over = atomic_exchange(&slots_ticks.over, false),
         looking = atomic_load(&slots_ticks.looking);
    if (!over && wanted == looking)
        return;
    uint64_t now = count_objects();
    if (looking && !wanted)
        end_look(now);
    if (over && open)
        end_turn(now);
    if (wanted && !looking)
        begin_look(now);
}

#if RUBY_API_VERSION_CODE >= 30300
static rb_postponed_job_handle_t turn_job;

static void ask_for_turn(void)
{
    rb_postponed_job_trigger(turn_job);
}

static void prepare_job(void)
{
    turn_job = rb_postponed_job_preregister(0, turn, NULL);
    slots_ask_for_turn = ask_for_turn;
}
#else
/* See module.c, which has filled the places that it needs. */
static void ask_for_turn(void)
{
    rb_postponed_job_register_one(0, turn, NULL);
}

static void prepare_job(void)
{
    slots_ask_for_turn = ask_for_turn;
}
#endif

/* ---- whether it can be ---- */

/* Is Ruby's event of a new object known to crash this patch release, always or where Ractors
 * are? (Ruby's bugs #19482 and #18464.) */
static bool is_release(const char *first, const char *last)
{
    return strncmp(ruby_version, first, strlen(first) - 1) == 0 &&
           strlen(ruby_version) == strlen(last) && strcmp(ruby_version, first) >= 0 &&
           strcmp(ruby_version, last) <= 0;
}

static bool knows_sizes(void)
{
    VALUE small = rb_obj_alloc(rb_cObject);
    if (rb_obj_memsize_of == NULL)
        return false;
    size_t size = rb_obj_memsize_of(small);
    if (RUBY_API_VERSION_CODE < 30200)
        slots.size = size;
    else if (rb_gc_obj_slot_size == NULL || rb_gc_obj_slot_size(small) != size)
        return false;
    RB_GC_GUARD(small);
    return size >= 40 && size <= 1024;
}

static const char *why_not(void)
{
    if (RUBY_API_VERSION_CODE >= 30500)
        return "this Ruby is not known";
    if (is_release("3.2.0", "3.2.2"))
        return "Ruby 3.2.0 to 3.2.2 may crash when new objects are told of; 3.2.3 does not";
    return knows_sizes() ? NULL : "this build of Ruby does not tell how large they are";
}

#if RUBY_API_VERSION_CODE < 30200
static void before_ractor(VALUE unused, void *unused_too)
{
    (void)unused;
    (void)unused_too;
    slots_give_up();
}

/* Invisible to who calls Ractor.new, whose place and arguments Ruby looks at. */
static void watch_for_ractors(void)
{
    static bool watching;
    if (watching || !is_release("3.1.0", "3.1.3"))
        return;
    watching = true;
    VALUE ractors = rb_const_get(rb_cObject, rb_intern("Ractor")), keywords = rb_hash_new();
    VALUE trace = rb_tracepoint_new(Qnil, RUBY_EVENT_CALL, before_ractor, NULL);
    rb_hash_aset(keywords, ID2SYM(rb_intern("target")),
                 rb_obj_method(ractors, ID2SYM(rb_intern("new"))));
    rb_funcallv_kw(trace, rb_intern("enable"), 1, &keywords, RB_PASS_KEYWORDS);
    rb_gc_register_mark_object(trace);
}
#else
static void watch_for_ractors(void)
{
}
#endif

void slots_init(void)
{
    counts.key = ID2SYM(rb_intern("total_allocated_objects"));
    slots.refused = why_not();
    slots.followed = slots_live_init();
    if (slots.refused == NULL)
        prepare_job();
}

void slots_started(void)
{
    if (!atomic_load(&slots_ticks.open))
        return;
    forget_counts();
    if (!slots.followed && cprof_lists_blocks())
        cprof_say("Ruby's objects are counted, but not followed to their end, which Ruby tells "
                  "from 3.3 on: what lives of them is not in the heap profile");
    watch_for_ractors();
}

void slots_settle(void)
{
    if (atomic_load(&slots_ticks.open))
        return;
    if (atomic_load(&slots_ticks.looking))
        end_look(count_objects());
    slots_live_end();
}

void slots_give_up(void)
{
    slots.refused = "this Ruby may crash when Ractors make new objects that are told of";
    if (!atomic_exchange(&slots_ticks.open, false))
        return;
    slots_settle();
    cprof_say("a Ractor begins: from here on Ruby's objects are not counted, as Ruby before "
              "3.1.4 would crash");
}

/* ---- in and out ---- */

static void seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    slots_ticks.seed = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uintptr_t)&now;
    slots.random = slots_ticks.seed | 1;
}

int slots_open(const char **why)
{
    *why = slots.refused;
    if (slots.refused != NULL)
        return -ENOTSUP;
    seed();
    atomic_store(&slots_ticks.open, true);
    return 0;
}

void slots_close(void)
{
    atomic_store(&slots_ticks.open, false);
}
