#include "collect/gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "collect/blocks.h"
#include "collect/held.h"
#include "collect/labelling.h"
#include "collect/recall.h"
#include "collect/stacks.h"
#include "collect/takeover.h"
#include "cprof/asleep.h"
#include "cprof/sample.h"
#include "sample/loops.h"

#define NS_PER_US 1000
#define PROFILE_SHARE 2 /* an interval's profile may take 1/PROFILE_SHARE of the budget */

struct gather {
    struct gather_config config;
    struct naming *naming;
    struct stacks stacks;
    struct labelling labelling;
    struct takeover takeover;
    struct recall recall;
    struct blocks blocks; /* the live ones, where the source heap is asked for */
    struct profile *profile;
    uint64_t interval; /* its serial, from 1 */
    /* Where samples have times: that of the record at hand, or 0; and from the clock of records
     * to Unix time. */
    uint64_t sample_time, clock_offset;
    struct held held;
    uint64_t moment; /* that the sample at hand is of, CLOCK_MONOTONIC; 0: of now */
    struct gather_counts counts;
};

/* ---- life ---- */

/* What is full is handed on, and its receiver needs room to take it over. */
static struct profile *new_profile(const struct gather_config *config, struct budget *budget)
{
    struct profile *profile = profile_new_like(config->model, budget);
    if (profile != NULL && config->budget != NULL)
        profile_bound(profile, config->budget->limit / PROFILE_SHARE);
    return profile;
}

static void begin_interval(struct gather *gather, struct profile *profile)
{
    gather->profile = profile;
    gather->interval++;
    gather->clock_offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    labelling_forget(&gather->labelling);
    takeover_forget(&gather->takeover);
    recall_forget(&gather->recall);
}

static bool allocate(struct gather *gather)
{
    const struct gather_config *config = &gather->config;
    gather->naming = naming_new(config->budget, config->runtime);
    gather->profile = new_profile(config, config->budget);
    return stacks_init(&gather->stacks, gather->naming, config->max_frames,
                       config->library_directory, config->copies) &&
           gather->naming != NULL && gather->profile != NULL;
}

/* True: it has those that there are. */
static bool take_over_blocks(struct gather *gather)
{
    struct blocks *blocks = gather->config.blocks;
    if (blocks == NULL || blocks->list == NULL)
        return false;
    gather->blocks = *blocks;
    gather->blocks.model = gather->config.model;
    *blocks = (struct blocks){0};
    return true;
}

static void list_blocks(struct gather *gather)
{
    if (!gather->config.sources->open[SOURCE_HEAP] || take_over_blocks(gather))
        return;
    if (blocks_init(&gather->blocks, gather->config.model, gather->config.budget) != 0)
        log_warn("no heap profiles: CPROF_MEMORY_LIMIT leaves no room for them");
}

struct gather *gather_new(const struct gather_config *config)
{
    struct gather *gather = calloc(1, sizeof *gather);
    if (gather == NULL)
        return NULL;
    gather->config = *config;
    gather->labelling.config =
        (struct labelling_config){.runtime = config->runtime,
                                  .labels = config->labels,
                                  .label_count = config->label_count,
                                  .thread_labels = config->thread_labels};
    gather->takeover.budget = config->budget;
    gather->held.budget = config->budget;
    gather->interval = 1;
    gather->clock_offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    if (allocate(gather)) {
        list_blocks(gather);
        return gather;
    }
    gather_free(gather);
    return NULL;
}

void gather_free(struct gather *gather)
{
    if (gather == NULL)
        return;
    blocks_free(&gather->blocks);
    held_free(&gather->held);
    profile_free(gather->profile);
    stacks_free(&gather->stacks);
    naming_free(gather->naming);
    takeover_free(&gather->takeover);
    free(gather);
}

void gather_yield_blocks(struct gather *gather, struct blocks *blocks)
{
    blocks_inherit(blocks, &gather->blocks, gather->profile);
}

/* ---- samples ---- */

static profile_id link_of(struct gather *gather, const struct cprof_context *context)
{
    static const uint8_t none[sizeof context->trace_id];
    if (memcmp(context->trace_id, none, sizeof none) == 0)
        return 0;
    struct profile_link link;
    memcpy(link.trace_id, context->trace_id, sizeof link.trace_id);
    memcpy(link.span_id, context->span_id, sizeof link.span_id);
    return profile_link(gather->profile, &link);
}

/* The running profile's id of a location of the dictionary. */
static profile_id take_over(struct gather *gather, profile_id location)
{
    return takeover_location(&gather->takeover, gather->profile,
                             naming_dictionary(gather->naming), location);
}

static profile_id take_over_all(struct gather *gather, const struct stack *stack)
{
    return takeover_stack(&gather->takeover, gather->profile, naming_dictionary(gather->naming),
                          stack);
}

/* A sample's labels and what it counts. */
struct valued {
    profile_id labels;
    int64_t values[SOURCE_COLUMNS];
};

static struct valued value(struct gather *gather, const struct thread_view *thread,
                           const struct thread_last *where, enum source_number number,
                           const struct counted *counted, uint32_t wait)
{
    const struct labelled *labels =
        labelling_of(&gather->labelling, gather->profile, thread, where->label_set, wait);
    struct valued valued = {.labels = labels->id};
    source_at(number)->count(counted, valued.values);
    if (number == counted->maker)
        gather->counts.unlabelled += labels->overflow ? counted->weight : 0;
    return valued;
}

/* The same labels with the time of the record at hand. */
static profile_id timed(const struct gather *gather, profile_id labels)
{
    struct profile *p = gather->profile;
    if (gather->sample_time == 0)
        return labels;
    return labelling_with(p, labels,
                          (struct profile_label){.key = profile_string(p, PROFILE_TIME),
                                                 .is_number = true,
                                                 .number = (int64_t)gather->sample_time,
                                                 .unit = profile_string(p, "nanoseconds")});
}

/* Where the sample's thread was: a wait for work is in no turn of a loop. */
static bool is_in_turn(const struct gather *gather, const struct thread_last *where,
                       enum source_number maker)
{
    if (maker == SOURCE_CPU)
        return loops_any();
    return maker == SOURCE_OFFCPU && loops_any() &&
           waits_get(&gather->labelling.waits, where->wait).reason != CPROF_WAIT_IDLE;
}

/* -ENOMEM of profile_add() has counted the sample on "[overflow]". */
static void add_row(struct gather *gather, const struct thread_view *thread,
                    const struct thread_last *where, enum source_number maker,
                    const struct held_row *row)
{
    struct held_row own = *row;
    if (!is_in_turn(gather, where, maker)) {
        (void)profile_add(gather->profile, row->sheet, row->stack, row->link, row->labels,
                          row->values);
        return;
    }
    own.tid = atomic_load_explicit(&thread->thread->tid, memory_order_relaxed);
    own.time = gather->moment != 0 ? gather->moment : clock_ns(CLOCK_MONOTONIC);
    held_add(&gather->held, gather->profile, &own);
}

/* Adds to every sheet in which its maker's records count; what it counts in its maker's own,
 * asked for or not, is returned. CPU time beside waiting is a state of its own; alone it needs
 * no word. */
static struct valued count(struct gather *gather, const struct thread_view *thread,
                           const struct thread_last *where, const struct counted *counted)
{
    const struct source_set *sources = gather->config.sources;
    const struct valued own =
        value(gather, thread, where, counted->maker, counted, where->wait);
    bool counts = counted->amount != 0;
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        enum source_number number = (enum source_number)i;
        if (!source_counts(sources, number, counted->maker))
            continue;
        uint32_t wait = where->wait != 0 ? where->wait : WAITS_RUNNING;
        const struct valued valued = number == counted->maker
                                         ? own
                                         : value(gather, thread, where, number, counted, wait);
        struct held_row row = {.sheet = source_sheet(sources, number),
                               .stack = where->stack,
                               .link = where->link,
                               .labels = timed(gather, valued.labels)};
        memcpy(row.values, valued.values, sizeof row.values);
        add_row(gather, thread, where, counted->maker, &row);
        counts = true;
    }
    if (counts && counted->maker != SOURCE_OFFCPU) /* whose weight is time */
        gather->counts.samples += counted->amount != 0 ? 1 : counted->weight;
    return own;
}

/* What no record brought: CPU time, and waiting. */
static void count_time(struct gather *gather, const struct thread_view *thread,
                       const struct thread_last *where, enum source_number maker,
                       uint32_t weight)
{
    const struct counted counted = {
        .maker = maker, .weight = weight, .period = gather->config.sources->making[maker]};
    (void)count(gather, thread, where, &counted);
}

/* Where the sheet alloc is not asked for, what its samples count is for the heap alone. */
static void count_record(struct gather *gather, const struct thread_view *thread,
                         const struct record *record, const struct thread_last *where)
{
    enum source_number number = (enum source_number)record->source;
    uint64_t usual = gather->config.sources->making[number];
    const struct counted counted = {.maker = number,
                                    .weight = record->weight,
                                    .amount = record->amount,
                                    .period = record->period != 0 ? record->period : usual};
    if (gather->config.timestamps)
        gather->sample_time = record->time_ns + gather->clock_offset;
    struct thread_last with = *where;
    if (record->kind != 0 && number != SOURCE_LOCK)
        with.wait = LABELLING_KIND(number, record->kind);
    gather->moment = record->time_ns;
    const struct valued valued = count(gather, thread, &with, &counted);
    gather->sample_time = gather->moment = 0;
    if (number == SOURCE_ALLOC || number == SOURCE_HEAP)
        gather->counts.alloc_bytes += (uint64_t)valued.values[1];
    if (record->block != 0)
        blocks_add(&gather->blocks, &(struct allocated){.stack = where->stack,
                                                        .link = where->link,
                                                        .labels = valued.labels,
                                                        .slot = record->block - 1,
                                                        .shift = record->block_shift,
                                                        .time = record->time_ns,
                                                        .objects = valued.values[0],
                                                        .bytes = valued.values[1]});
}

/* What the dictionary says of an interpreter frame: its name, file and line. */
bool gather_frame(const struct gather *gather, const struct record *record, size_t index,
                  struct cprof_function *function)
{
    if (index >= record->frame_count)
        return false;
    const struct profile *names = naming_dictionary(gather->naming);
    struct name name = naming_frame(gather->naming, &record_frames(record)[index]);
    const struct profile_location *location = profile_get_location(names, name.location);
    if (location->line_count == 0)
        return false;
    const struct profile_function *found =
        profile_get_function(names, location->lines[0].function);
    *function = (struct cprof_function){.name = profile_text(names, found->name),
                                        .file = profile_text(names, found->filename),
                                        .line = location->lines[0].line};
    return true;
}

/* Those innermost, as far as they are known. Returns how many. */
static size_t inner_functions(const struct gather *gather, const struct record *record,
                              struct cprof_function functions[CPROF_WAIT_FUNCTIONS])
{
    size_t count = 0;
    while (count < CPROF_WAIT_FUNCTIONS &&
           gather_frame(gather, record, count, &functions[count]))
        count++;
    return count;
}

/* The names of a stack's innermost functions, native ones too. */
static size_t inner_names(const struct gather *gather, const struct stack *stack,
                          const char *names[CPROF_WAIT_NATIVE])
{
    const struct profile *known = naming_dictionary(gather->naming);
    size_t count = 0;
    for (size_t i = 0; i < stack->depth; i++) {
        const struct profile_location *at = profile_get_location(known, stack->locations[i]);
        for (size_t line = 0; line < at->line_count && count < CPROF_WAIT_NATIVE; line++)
            names[count++] = profile_text(
                known, profile_get_function(known, at->lines[line].function)->name);
    }
    return count;
}

static enum cprof_wait waits_for_work(const struct gather *gather, const struct stack *stack)
{
    const struct cprof_asleep *asleep = gather->config.runtime->asleep;
    const char *names[CPROF_WAIT_NATIVE];
    return asleep->is_out_of_work != NULL &&
                   asleep->is_out_of_work(names, inner_names(gather, stack, names))
               ? CPROF_WAIT_IDLE
               : CPROF_WAIT_UNKNOWN;
}

enum cprof_wait gather_waits_for(const struct gather *gather, const struct record *record,
                                 const struct stack *stack)
{
    const struct cprof_runtime *runtime = gather->config.runtime;
    struct cprof_function functions[CPROF_WAIT_FUNCTIONS];
    if ((record->source != SOURCE_OFFCPU && record->source != SOURCE_LOCK) || runtime == NULL ||
        runtime->asleep == NULL || runtime->asleep->waits_for == NULL)
        return CPROF_WAIT_UNKNOWN;
    if (record->frame_count == 0)
        return waits_for_work(gather, stack);
    return runtime->asleep->waits_for(functions, inner_functions(gather, record, functions));
}

enum cprof_wait gather_task_waits_for(const struct gather *gather, const struct record *record)
{
    const struct cprof_runtime *runtime = gather->config.runtime;
    struct cprof_function functions[CPROF_WAIT_FUNCTIONS];
    if (runtime == NULL || runtime->asleep == NULL || runtime->asleep->task_wait == NULL)
        return CPROF_WAIT_UNKNOWN;
    size_t count = inner_functions(gather, record, functions);
    return count > 0 ? runtime->asleep->task_wait(functions, count) : CPROF_WAIT_UNKNOWN;
}

/* The stack of a record that is not known, and what gather_add() returns. If it is settled it
 * is recalled the next time, by the key in *made. */
static int make_stack(struct gather *gather, const struct record *record,
                      const struct module_map *map, bool may_wait, struct recalled *made)
{
    const struct stack stack = stacks_of(&gather->stacks, record, map);
    if (stack.later && may_wait)
        return -EAGAIN;
    made->waits_for = gather_waits_for(gather, record, &stack);
    made->stack = take_over_all(gather, &stack);
    made->truncated = stack.truncated;
    made->failed = stack.failed;
    bool settled = made->stack != 0 && !stack.passing && !stack.missed;
    if (settled && made->key != 0)
        recall_keep(&gather->recall, made);
    return stack.missed;
}

/* A record's stack, known or not; the status as make_stack(). */
static int find_stack(struct gather *gather, const struct record *record,
                      const struct module_map *map, bool may_wait, struct recalled *stack)
{
    *stack = (struct recalled){.key = recall_key(record)};
    const struct recalled *known =
        recall_find(&gather->recall, naming_version(gather->naming), stack->key);
    if (known == NULL)
        return make_stack(gather, record, map, may_wait, stack);
    *stack = *known;
    return 0;
}

static struct thread_last last_of(struct gather *gather, const struct record *record,
                                  const struct recalled *stack)
{
    return (struct thread_last){.interval = gather->interval,
                                .time_ns = record->time_ns,
                                .stack = stack->stack,
                                .link = link_of(gather, &record->context),
                                .label_set = record->context.label_set};
}

/* Where the lock of a record was asked for. */
static void name_site(const struct gather *gather, const struct record *record,
                      char site[WAIT_SITE_SIZE])
{
    const struct cprof_runtime *runtime = gather->config.runtime;
    struct cprof_function function;
    size_t i = 0;
    if (runtime == NULL || runtime->asleep == NULL || runtime->asleep->is_of_locks == NULL)
        return;
    while (gather_frame(gather, record, i, &function) &&
           runtime->asleep->is_of_locks(&function))
        i++;
    if (!gather_frame(gather, record, i, &function) || function.file[0] == '\0')
        return;
    const char *slash = strrchr(function.file, '/');
    snprintf(site, WAIT_SITE_SIZE, "%.48s:%lld", slash != NULL ? slash + 1 : function.file,
             (long long)function.line);
}

/* Why one waits for a lock that is an interpreter's own; else CPROF_WAIT_UNKNOWN. */
static enum cprof_wait interpreter_s(uint64_t lock)
{
    return lock == CPROF_LOCK_GVL   ? CPROF_WAIT_GVL
           : lock == CPROF_LOCK_GIL ? CPROF_WAIT_GIL
                                    : CPROF_WAIT_UNKNOWN;
}

/* The number of the wait that a record of a lock tells. The interpreter's is asked for
 * anywhere, and has no address. */
static uint32_t wait_for_lock(struct gather *gather, const struct record *record,
                              enum cprof_wait known)
{
    struct wait wait = {.state = WAIT_WAITING,
                        .reason = CPROF_WAIT_LOCK,
                        .task = (record->kind & RECORD_OF_TASK) != 0,
                        .lock = record->lock,
                        .holder = record->holder,
                        .holder_kind = record->kind & ~RECORD_OF_TASK};
    enum cprof_wait own = interpreter_s(record->lock);
    if (own != CPROF_WAIT_UNKNOWN) {
        wait.reason = own;
        wait.lock = 0;
    } else {
        name_site(gather, record, wait.site);
        if (known == CPROF_WAIT_IDLE)
            wait_refine(&wait, known);
    }
    return waits_number(&gather->labelling.waits, &wait);
}

/* The same of one who has made others wait: an interpreter's own lock is told from others. */
static uint32_t blamed_for(struct gather *gather, const struct record *record)
{
    const struct wait wait = {.state = WAIT_BLAMED, .reason = interpreter_s(record->lock)};
    return wait.reason != CPROF_WAIT_UNKNOWN ? waits_number(&gather->labelling.waits, &wait)
                                             : 0;
}

int gather_add(struct gather *gather, const struct thread_view *thread,
               const struct record *record, const struct module_map *map, bool may_wait)
{
    struct recalled stack;
    int status = find_stack(gather, record, map, may_wait, &stack);
    if (status == -EAGAIN)
        return status;
    struct thread_last here = last_of(gather, record, &stack);
    if (record->source == SOURCE_LOCK)
        here.wait = wait_for_lock(gather, record, stack.waits_for);
    else if (record->source == SOURCE_BLAME)
        here.wait = blamed_for(gather, record);
    count_record(gather, thread, record, &here);
    here.wait = 0;
    thread->thread->last = here;
    gather->counts.truncated += stack.truncated ? record->weight : 0;
    gather->counts.failed += stack.failed ? record->weight : 0;
    gather->counts.unlinked += record->context.unreadable ? record->weight : 0;
    return status;
}

int gather_place(struct gather *gather, const struct record *record, const struct wait *wait,
                 const struct module_map *map, bool may_wait, struct thread_last *where)
{
    struct recalled stack;
    struct wait found = *wait;
    int status = find_stack(gather, record, map, may_wait, &stack);
    if (status == -EAGAIN)
        return status;
    wait_refine(&found, stack.waits_for);
    *where = last_of(gather, record, &stack);
    where->wait = waits_number(&gather->labelling.waits, &found);
    gather->counts.looks++;
    gather->counts.looks_cut += stack.truncated;
    return 0;
}

/* The stack of one frame, that is a location of the dictionary. */
static struct thread_last place_of(struct gather *gather, profile_id location)
{
    profile_id frame = take_over(gather, location);
    return (struct thread_last){.stack = profile_stack(gather->profile, &frame, 1)};
}

void gather_add_owed(struct gather *gather, const struct thread_view *thread, uint32_t weight)
{
    struct thread_last last = thread->thread->last;
    if (last.interval != gather->interval)
        last = place_of(gather, naming_unseen(gather->naming));
    count_time(gather, thread, &last, SOURCE_CPU, weight);
}

void gather_add_blocked(struct gather *gather, const struct thread_view *thread,
                        uint32_t weight)
{
    const struct thread_last place = place_of(gather, naming_blocked(gather->naming));
    count_time(gather, thread, &place, SOURCE_CPU, weight);
    gather->counts.blocked += weight;
}

static void add_off_cpu(struct gather *gather, const struct thread_view *thread,
                        struct thread_last where, uint32_t wait, uint32_t weight)
{
    if (where.interval != gather->interval)
        where = place_of(gather, naming_unseen(gather->naming));
    where.wait = wait;
    gather->moment = clock_ns(CLOCK_MONOTONIC) - (uint64_t)weight * NS_PER_US / 2;
    count_time(gather, thread, &where, SOURCE_OFFCPU, weight);
    gather->moment = 0;
}

/* Adds to the sheet of a lock's source, with the labels of that wait. */
static void add_native(struct gather *gather, enum source_number number,
                       const struct thread_view *thread, const struct thread_last *where,
                       uint32_t wait, uint32_t times, uint32_t weight)
{
    const int64_t values[SOURCE_COLUMNS] = {times, (int64_t)weight * NS_PER_US};
    const struct labelled *labels =
        labelling_of(&gather->labelling, gather->profile, thread, where->label_set, wait);
    (void)profile_add(gather->profile, source_sheet(gather->config.sources, number),
                      where->stack, where->link, timed(gather, labels->id), values);
}

/* Is that in this interval, at a native lock, and does the source count such? */
static bool counts_native(const struct gather *gather, enum source_number number,
                          const struct thread_last *where, struct wait *wait)
{
    const struct source_set *sources = gather->config.sources;
    if (sources->period[number] == 0 || !sources->open[number] ||
        where->interval != gather->interval || where->wait == 0)
        return false;
    *wait = waits_get(&gather->labelling.waits, where->wait);
    return wait_is_native(wait);
}

void gather_add_waited(struct gather *gather, const struct thread_view *thread,
                       const struct thread_last *where, uint32_t weight, uint32_t times)
{
    static const struct thread_last nowhere = {.wait = WAITS_OF_REASON(CPROF_WAIT_UNKNOWN)};
    const struct thread_last *at = where != NULL ? where : &nowhere;
    struct wait wait;
    add_off_cpu(gather, thread, *at, at->wait, weight);
    if (counts_native(gather, SOURCE_LOCK, at, &wait))
        add_native(gather, SOURCE_LOCK, thread, at, at->wait, times, weight);
}

void gather_add_blame(struct gather *gather, const struct thread_last *where,
                      const struct thread_view *holder, const struct thread_last *here,
                      uint32_t weight)
{
    struct thread_last at = here != NULL ? *here : holder->thread->last;
    struct wait wait;
    if (!counts_native(gather, SOURCE_BLAME, where, &wait))
        return;
    if (at.interval != gather->interval)
        at = place_of(gather, naming_unseen(gather->naming));
    wait.state = WAIT_BLAMED;
    wait.holder = 0;
    add_native(gather, SOURCE_BLAME, holder, &at, waits_number(&gather->labelling.waits, &wait),
               1, weight);
}

void gather_add_delayed(struct gather *gather, const struct thread_view *thread,
                        uint32_t weight)
{
    add_off_cpu(gather, thread, thread->thread->last, WAITS_RUNNABLE, weight);
}

/* ---- tasks ---- */

void gather_place_task(struct gather *gather, const struct record *record,
                       const struct module_map *map, struct thread_last *where)
{
    struct recalled stack;
    (void)find_stack(gather, record, map, false, &stack);
    const struct wait wait = {
        .state = WAIT_WAITING, .reason = gather_task_waits_for(gather, record), .task = true};
    *where = last_of(gather, record, &stack);
    where->wait = waits_number(&gather->labelling.waits, &wait);
}

void gather_add_task_waited(struct gather *gather, const struct thread_last *where,
                            uint32_t weight)
{
    const struct source_set *sources = gather->config.sources;
    const struct counted counted = {
        .maker = SOURCE_OFFCPU, .weight = weight, .period = sources->making[SOURCE_OFFCPU]};
    const struct valued valued =
        value(gather, NULL, where, SOURCE_OFFCPU, &counted, where->wait);
    (void)profile_add(gather->profile, source_sheet(sources, SOURCE_OFFCPU), where->stack,
                      where->link, timed(gather, valued.labels), valued.values);
}

/* ---- for a survey ---- */

struct stack gather_stack(struct gather *gather, const struct record *record,
                          const struct module_map *map)
{
    return stacks_of(&gather->stacks, record, map);
}

const struct profile *gather_running(const struct gather *gather, uint64_t *interval)
{
    *interval = gather->interval;
    return gather->profile;
}

const struct gather_config *gather_settings(const struct gather *gather)
{
    return &gather->config;
}

/* ---- intervals ---- */

void gather_tick(struct gather *gather)
{
    rewalk_tick(&gather->stacks.rewalk);
    held_settle(&gather->held, gather->profile, false);
    blocks_tick(&gather->blocks);
}

struct naming *gather_naming(struct gather *gather)
{
    return gather->naming;
}

/* What stands at the end of an interval. */
static void add_levels(struct gather *gather, bool last)
{
    blocks_close(&gather->blocks, gather->profile,
                 source_sheet(gather->config.sources, SOURCE_HEAP), clock_ns(CLOCK_MONOTONIC),
                 last);
}

static struct profile *close_into(struct gather *gather, struct budget *budget)
{
    struct profile *closed = gather->profile;
    struct profile *fresh = new_profile(&gather->config, budget);
    if (fresh == NULL)
        return NULL;
    add_levels(gather, false);
    held_settle(&gather->held, closed, false);
    held_carry(&gather->held, closed, fresh);
    naming_restart(gather->naming);
    begin_interval(gather, fresh);
    return closed;
}

struct profile *gather_close(struct gather *gather)
{
    return close_into(gather, gather->config.budget);
}

/* Without what is held it would have to wait for the next. */
struct profile *gather_flush(struct gather *gather)
{
    held_settle(&gather->held, gather->profile, true);
    return gather_close(gather);
}

/* What can't wait draws from where more is left: a profile that is made in the last corner of
 * the budget would have no room for a single stack. */
struct profile *gather_cut(struct gather *gather)
{
    struct budget *budget = gather->config.budget, *spare = gather->config.spare;
    held_settle(&gather->held, gather->profile, true);
    bool spares = spare != NULL && budget_left(spare) > budget_left(budget);
    return close_into(gather, spares ? spare : budget);
}

struct profile *gather_end(struct gather *gather)
{
    held_settle(&gather->held, gather->profile, true);
    add_levels(gather, true);
    struct profile *last = gather->profile;
    gather->profile = NULL;
    return last;
}

void gather_count(const struct gather *gather, struct gather_counts *counts)
{
    *counts = gather->counts;
    counts->heap_bytes = (uint64_t)gather->blocks.bytes;
}

size_t gather_stacks(const struct gather *gather)
{
    return gather->profile != NULL ? profile_stack_count(gather->profile) - 1 : 0;
}
