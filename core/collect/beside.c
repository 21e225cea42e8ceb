#include "collect/beside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "collect/naming.h"
#include "look/waits.h"

#define FRAMES_MAX 256 /* of one of them */

/* A stack that has been named. */
struct named {
    uint64_t hash; /* of its frames; 0: none */
    profile_id stack;
    enum cprof_wait reason;
};

struct beside {
    const struct beside_config *config;
    struct record *room; /* for the frames of one */
    size_t first;        /* behind the threads */
    bool later;          /* a name is missing yet */
    size_t counts[DUMP_KINDS];
    struct named named[BESIDE_STACKS];
};

/* ---- stacks ---- */

static const struct record *record_of(struct beside *beside, const struct cprof_task *task)
{
    struct record *record = beside->room;
    size_t count = task->count < FRAMES_MAX ? task->count : FRAMES_MAX;
    *record = (struct record){.frame_count = (uint16_t)count,
                              .native_end = WALK_COMPLETE,
                              .frames_complete = count == task->count,
                              .source = SOURCE_OFFCPU};
    if (count > 0)
        memcpy(record + 1, task->frames, count * sizeof *task->frames);
    return record;
}

static uint64_t hash_of(const struct cprof_task *task)
{
    uint64_t hash = hash_u64(task->count + 1);
    for (size_t i = 0; i < task->count; i++)
        hash =
            hash_combine(hash_combine(hash, task->frames[i].token), task->frames[i].position);
    return hash != 0 ? hash : 1;
}

static struct named name_stack(struct beside *beside, const struct cprof_task *task)
{
    const struct beside_config *config = beside->config;
    const struct record *record = record_of(beside, task);
    const struct stack stack = gather_stack(config->gather, record, config->map);
    const struct profile *names = naming_dictionary(gather_naming(config->gather));
    beside->later |= stack.later;
    return (struct named){
        .stack = takeover_stack(config->takeover, config->dump->profile, names, &stack),
        .reason = gather_task_waits_for(config->gather, record)};
}

static struct named find_stack(struct beside *beside, const struct cprof_task *task)
{
    const uint64_t hash = hash_of(task);
    struct named *place = &beside->named[hash % BESIDE_STACKS];
    if (place->hash != hash) {
        *place = name_stack(beside, task);
        place->hash = hash;
    }
    return *place;
}

/* Of what has no frames the one function is what it is. */
static profile_id stack_of_word(struct profile *profile, const char *word)
{
    const struct profile_function function = {.name = profile_string(profile, word)};
    const struct profile_line line = {.function = profile_function(profile, &function)};
    const struct profile_location location = {.line_count = 1, .lines = &line};
    const profile_id id = profile_location(profile, &location);
    return profile_stack(profile, &id, 1);
}

/* ---- labels ---- */

static void label(struct profile *p, struct dump_thread *added)
{
    const char *const texts[][2] = {
        {DUMP_KIND_LABEL, dump_kind_word(added->kind)},
        {added->kind == DUMP_TASK ? "task.name" : NULL, added->name},
        {"thread.state", dump_state(added)},
        {"wait.reason", wait_reason_word(added->wait.reason)},
        {"wait.peer", added->wait.peer}};
    struct profile_label labels[sizeof texts / sizeof *texts];
    const int64_t one = 1;
    size_t count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i][0] != NULL && texts[i][1] != NULL && texts[i][1][0] != '\0')
            labels[count++] = (struct profile_label){.key = profile_string(p, texts[i][0]),
                                                     .text = profile_string(p, texts[i][1])};
    added->labels = profile_labels(p, labels, count);
    (void)profile_add(p, 0, added->stack, added->link, added->labels, &one);
}

/* ---- what the runtime knows ---- */

/* NULL: there are too many of that kind, or there is no memory. */
static struct dump_thread *add(struct beside *beside, enum dump_kind kind)
{
    struct dump *dump = beside->config->dump;
    if (beside->counts[kind] == BESIDE_MAX) {
        dump->limited[kind] = true;
        return NULL;
    }
    beside->counts[kind]++;
    struct dump_thread *added = dump_add(dump);
    if (added != NULL)
        added->kind = kind;
    return added;
}

static enum dump_kind kind_of(enum cprof_beside kind)
{
    static const enum dump_kind kinds[] = {[CPROF_TASK] = DUMP_TASK,
                                           [CPROF_GREENLET] = DUMP_GREENLET,
                                           [CPROF_FIBER] = DUMP_FIBER,
                                           [CPROF_HANDLE] = DUMP_HANDLE};
    return kinds[kind];
}

static void fill_suspended(struct beside *beside, const struct cprof_task *task,
                           struct dump_thread *added)
{
    const struct named named = find_stack(beside, task);
    struct profile_link link;
    memcpy(link.trace_id, task->context.trace_id, sizeof link.trace_id);
    memcpy(link.span_id, task->context.span_id, sizeof link.span_id);
    added->stack = named.stack;
    added->wait.reason = named.reason;
    added->link = profile_link(beside->config->dump->profile, &link);
}

static bool add_one(void *closure, const struct cprof_task *task)
{
    struct beside *beside = closure;
    struct dump_thread *added = add(beside, kind_of(task->kind));
    if (added == NULL)
        return !beside->config->dump->limited[kind_of(task->kind)];
    added->id = task->id;
    snprintf(added->name, sizeof added->name, "%s", task->name != NULL ? task->name : "");
    if (task->kind == CPROF_HANDLE) {
        added->stack = stack_of_word(beside->config->dump->profile, task->type);
        wait_name_peer(task->fd, added->wait.peer);
        return true;
    }
    added->wait.state = task->waits ? WAIT_WAITING : WAIT_RUNNING;
    if (task->waits)
        fill_suspended(beside, task, added);
    return true;
}

static void add_known(struct beside *beside)
{
    beside->first = beside->config->dump->count;
    const struct cprof_runtime *runtime = gather_settings(beside->config->gather)->runtime;
    const struct cprof_asleep *asleep = runtime != NULL ? runtime->asleep : NULL;
    if (asleep != NULL && asleep->tasks != NULL)
        (void)asleep->tasks(add_one, beside, false);
    if (asleep != NULL && asleep->others != NULL)
        asleep->others(add_one, beside);
}

/* Their labels and samples, or nothing of them. */
static bool settle(struct beside *beside, bool last)
{
    struct dump *dump = beside->config->dump;
    if (beside->later && !last) {
        dump->count = beside->first;
        return false;
    }
    for (size_t i = beside->first; i < dump->count; i++)
        label(dump->profile, &dump->threads[i]);
    return true;
}

bool beside_add(const struct beside_config *config, bool last)
{
    struct beside *beside = calloc(1, sizeof *beside);
    struct record *room =
        calloc(1, sizeof(struct record) + FRAMES_MAX * sizeof(struct cprof_frame));
    bool done = true;
    if (beside != NULL && room != NULL) {
        beside->config = config;
        beside->room = room;
        add_known(beside);
        done = settle(beside, last);
    } else
        config->dump->incomplete = true;
    free(room);
    free(beside);
    return done;
}
