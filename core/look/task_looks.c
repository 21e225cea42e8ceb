#include "look/task_looks.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "look/allowance.h"

#define MICROSECOND 1000U
#define STILL (20 * MICROSECOND)     /* of CPU time: less than a turn of an event loop takes */
#define FRAMES_MAX 256               /* of one task */
#define LONGEST (10 * NS_PER_SECOND) /* between two looks that read them */
#define STILL_EACH (NS_PER_SECOND / 4) /* between two looks while nothing runs, at most */

/* Where tasks wait, and how many do. */
struct waiting {
    struct thread_last where;
    uint32_t count;
};

struct task_looks {
    struct task_looks_config config;
    struct task_looks_counts counts;
    struct waiting *places;
    size_t count, capacity;
    size_t seen;    /* tasks that the look under way has met */
    uint64_t until; /* all is counted up to here: CLOCK_MONOTONIC */
    uint64_t ran;   /* the process but for this thread, when the tasks were read */
    uint64_t read;  /* when they were */
    bool known;     /* the places hold in the running interval */
    bool cut;       /* the look under way has left tasks out */
    bool warned;    /* that not all are looked at */
    uint64_t due;   /* the next look */
    uint64_t random;
    struct allowance allowance;
    struct record *record; /* and the room for FRAMES_MAX frames */
};

/* ---- life ---- */

enum { RECORD_SIZE = sizeof(struct record) + FRAMES_MAX * sizeof(struct cprof_frame) };

struct task_looks *task_looks_new(const struct task_looks_config *config)
{
    const size_t size = sizeof(struct task_looks) + RECORD_SIZE;
    if (!budget_take(config->budget, size))
        return NULL;
    struct task_looks *looks = calloc(1, sizeof *looks);
    struct record *record = calloc(1, RECORD_SIZE);
    if (looks == NULL || record == NULL) {
        budget_give(config->budget, size);
        free(looks);
        free(record);
        return NULL;
    }
    looks->config = *config;
    looks->record = record;
    looks->until = looks->random = clock_ns(CLOCK_MONOTONIC);
    looks->due = looks->until + config->period_ns;
    allowance_begin(&looks->allowance, TASK_LOOKS_SHARE, LONGEST);
    return looks;
}

void task_looks_free(struct task_looks *looks)
{
    if (looks == NULL)
        return;
    budget_give(looks->config.budget,
                sizeof *looks + RECORD_SIZE + looks->capacity * sizeof *looks->places);
    free(looks->places);
    free(looks->record);
    free(looks);
}

uint64_t task_looks_due(const struct task_looks *looks)
{
    return looks->due;
}

void task_looks_count(const struct task_looks *looks, struct task_looks_counts *counts)
{
    *counts = looks->counts;
}

/* ---- places ---- */

static bool is_same(const struct thread_last *a, const struct thread_last *b)
{
    return a->stack == b->stack && a->link == b->link && a->label_set == b->label_set &&
           a->wait == b->wait;
}

static bool has_room(struct task_looks *looks)
{
    if (looks->count < looks->capacity)
        return true;
    const size_t added = looks->capacity == 0 ? 16 : looks->capacity;
    if (!budget_take(looks->config.budget, added * sizeof *looks->places))
        return false;
    struct waiting *more =
        realloc(looks->places, (looks->capacity + added) * sizeof *looks->places);
    if (more == NULL) {
        budget_give(looks->config.budget, added * sizeof *looks->places);
        return false;
    }
    looks->places = more;
    looks->capacity += added;
    return true;
}

/* Tasks that wait alike were mostly made one after the other. */
static void add_place(struct task_looks *looks, const struct thread_last *where)
{
    enum { NEAR = 32 };
    for (size_t i = 0; i < looks->count && i < NEAR; i++) {
        struct waiting *place = &looks->places[looks->count - 1 - i];
        if (is_same(&place->where, where)) {
            place->count++;
            return;
        }
    }
    if (!has_room(looks)) {
        looks->cut = true;
        return;
    }
    looks->places[looks->count++] = (struct waiting){.where = *where, .count = 1};
}

/* So long has each task waited where it is. */
static void count_places(const struct task_looks *looks, uint64_t each_ns)
{
    const struct task_looks_receiver *receiver = looks->config.receiver;
    for (size_t i = 0; i < looks->count; i++) {
        const struct waiting *place = &looks->places[i];
        uint64_t left = each_ns / MICROSECOND * place->count;
        while (left > 0) {
            uint32_t part = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
            receiver->waited(receiver->closure, &place->where, part);
            left -= part;
        }
    }
}

/* The time since the last look, where tasks are by this one. What is no whole microsecond is
 * left for the next. */
static void count_since(struct task_looks *looks, uint64_t now)
{
    uint64_t each = (now - looks->until) / MICROSECOND * MICROSECOND;
    count_places(looks, each);
    looks->until += each;
}

/* ---- a look ---- */

static bool add_task(void *closure, const struct cprof_task *task)
{
    struct task_looks *looks = closure;
    const struct task_looks_receiver *receiver = looks->config.receiver;
    struct record *record = looks->record;
    struct thread_last where;
    if (looks->seen++ == TASKS_A_LOOK)
        return false;
    if (!task->waits)
        return true;
    const size_t count = task->count < FRAMES_MAX ? task->count : FRAMES_MAX;
    *record = (struct record){.frame_count = (uint16_t)count,
                              .native_end = WALK_COMPLETE,
                              .frames_complete = count == task->count,
                              .context = task->context,
                              .source = SOURCE_OFFCPU,
                              .time_ns = clock_ns(CLOCK_MONOTONIC)};
    memcpy(record + 1, task->frames, count * sizeof *task->frames);
    receiver->place(receiver->closure, record, &where);
    add_place(looks, &where);
    looks->counts.tasks++;
    return true;
}

static void read_tasks(struct task_looks *looks)
{
    looks->count = looks->seen = 0;
    looks->cut = false;
    (void)looks->config.asleep->tasks(add_task, looks, true);
    const bool many = looks->seen > TASKS_A_LOOK;
    looks->known = true;
    looks->counts.taken++;
    looks->counts.cut += looks->cut || many;
    if (many && !looks->warned) {
        looks->warned = true;
        log_warn("there are more than %d tasks: what those behind wait for is not counted",
                 TASKS_A_LOOK);
    }
}

/* What the process has run but for this thread, nearly. */
static uint64_t others_ran(void)
{
    const uint64_t own = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
}

/* Half of the time to one and a half of it. */
static uint64_t jittered(struct task_looks *looks, uint64_t time)
{
    looks->random = hash_u64(looks->random + 1);
    return time / 2 + looks->random % (time + 1);
}

/* Where nothing has run for long, after an eighth of that: to ask whether it has means to add
 * up all threads. */
static uint64_t next_look(struct task_looks *looks, uint64_t now)
{
    const uint64_t part = (now - looks->read) / 8, period = looks->config.period_ns;
    const uint64_t wait = part < STILL_EACH ? part : STILL_EACH;
    return now + jittered(looks, wait > period ? wait : period);
}

void task_looks_round(struct task_looks *looks)
{
    const uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), ran = others_ran();
    const bool still = looks->known && ran - looks->ran < STILL;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (!still) {
        if (!allowance_raise(&looks->allowance, now)) {
            looks->due = now + jittered(looks, looks->config.period_ns);
            return;
        }
        looks->ran = ran;
        read_tasks(looks);
        now = looks->read = clock_ns(CLOCK_MONOTONIC);
    }
    count_since(looks, now);
    looks->due = next_look(looks, now);
    const uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    allowance_take(&looks->allowance, took);
    looks->counts.cpu_ns += took;
}

void task_looks_settle(struct task_looks *looks)
{
    if (looks->known)
        count_since(looks, clock_ns(CLOCK_MONOTONIC));
    looks->known = false;
    looks->count = 0;
}
