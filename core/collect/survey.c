#include "collect/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collect/beside.h"
#include "collect/labelling.h"
#include "collect/takeover.h"
#include "dump/deadlock.h"
#include "profile/carry.h"
#include "sample/by_tid.h"
#include "sample/timer.h"

#define PAUSE (NS_PER_SECOND / 200) /* between two passes */

/* What is known of a thread, by its record's index. */
struct surveyed {
    bool begun, done;
    pid_t tid;
    uint64_t ran_ns; /* its CPU clock: at the first look, or at the one that was taken */
    uintptr_t kept;  /* the runtime's word (cprof/asleep.h) */
};

struct survey {
    const struct survey_config *config;
    struct dump *dump;
    struct looker *looker;
    struct takeover takeover;
    struct labelling labelling;
    struct cprof_pair *labels; /* the user's, and the kind */
    uint64_t asked;            /* CLOCK_MONOTONIC */
    bool last;                 /* this is the last pass: what there is has to do */
    size_t left;               /* threads that want another pass */
    struct surveyed threads[THREADS_MAX];
};

/* ---- life ---- */

/* What stands once in the process's profiles, with the one column of a dump. */
static struct profile *new_profile(const struct profile *model, struct budget *budget)
{
    struct profile *p = profile_new(budget);
    if (p == NULL)
        return NULL;
    profile_adopt_header(p, model);
    for (size_t i = 0; i < profile_attribute_count(model, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(model, PROFILE_RESOURCE, i);
        const char *key = profile_text(model, attribute->key);
        if (attribute->is_number)
            profile_set_number(p, PROFILE_RESOURCE, key, attribute->number);
        else
            profile_set_text(p, PROFILE_RESOURCE, key, profile_text(model, attribute->text));
    }
    profile_set_period(p, 0, "threads", "count", 1);
    profile_add_value_type(p, 0, "threads", "count");
    profile_header(p)->time_ns = clock_ns(CLOCK_REALTIME);
    profile_header(p)->default_type = profile_string(p, "threads");
    if (profile_error(p) == 0)
        return p;
    profile_free(p);
    return NULL;
}

static struct dump *new_dump(const struct survey_config *config)
{
    const struct gather_config *gather = gather_settings(config->gather);
    struct profile *profile = new_profile(gather->model, config->looker.budget);
    struct dump *dump = profile != NULL ? dump_new(profile) : NULL;
    if (dump == NULL)
        profile_free(profile);
    return dump;
}

static void free_survey(struct survey *survey)
{
    dump_free(survey->dump);
    looker_free(survey->looker);
    takeover_free(&survey->takeover);
    free(survey->labels);
    budget_give(survey->config->looker.budget, sizeof *survey);
    free(survey);
}

/* The user's labels, and what kind of thing a thread is. False: no memory. */
static bool set_labels(struct survey *survey, const struct gather_config *gather)
{
    size_t count = gather->label_count;
    survey->labels = calloc(count + 1, sizeof *survey->labels);
    if (survey->labels == NULL)
        return false;
    if (count > 0)
        memcpy(survey->labels, gather->labels, count * sizeof *survey->labels);
    survey->labels[count] =
        (struct cprof_pair){.key = DUMP_KIND_LABEL, .value = dump_kind_word(DUMP_THREAD)};
    survey->labelling.config = (struct labelling_config){.runtime = gather->runtime,
                                                         .labels = survey->labels,
                                                         .label_count = count + 1,
                                                         .thread_labels = true};
    return true;
}

/* NULL: no memory. */
static struct survey *new_survey(const struct survey_config *config)
{
    const struct gather_config *gather = gather_settings(config->gather);
    struct budget *budget = config->looker.budget;
    if (!budget_take(budget, sizeof(struct survey)))
        return NULL;
    struct survey *survey = calloc(1, sizeof *survey);
    if (survey == NULL) {
        budget_give(budget, sizeof *survey);
        return NULL;
    }
    survey->config = config;
    survey->asked = clock_ns(CLOCK_MONOTONIC);
    survey->takeover.budget = budget;
    bool labelled = set_labels(survey, gather);
    survey->looker = looker_new(&config->looker);
    survey->dump = new_dump(config);
    if (labelled && survey->looker != NULL && survey->dump != NULL)
        return survey;
    free_survey(survey);
    return NULL;
}

/* ---- one thread ---- */

/* What it is, whatever its stack is. NULL: there is no memory. */
static struct dump_thread *add(struct survey *survey, const struct thread_view *view)
{
    struct dump_thread *added = dump_add(survey->dump);
    if (added == NULL)
        return NULL;
    added->tid = view->thread->tid;
    added->id = view->id;
    memcpy(added->name, view->name, sizeof added->name);
    return added;
}

/* Its labels, and its sample in the profile. */
static void label(struct survey *survey, const struct thread_view *view, uint32_t label_set,
                  struct dump_thread *thread)
{
    struct labelling *labelling = &survey->labelling;
    const int64_t one = 1;
    uint32_t wait =
        dump_state(thread) != NULL ? waits_number(&labelling->waits, &thread->wait) : 0;
    struct profile *profile = survey->dump->profile;
    thread->labels = labelling_of(labelling, profile, view, label_set, wait)->id;
    (void)profile_add(profile, 0, thread->stack, thread->link, thread->labels, &one);
}

static profile_id link_of(struct profile *profile, const struct cprof_context *context)
{
    struct profile_link link;
    memcpy(link.trace_id, context->trace_id, sizeof link.trace_id);
    memcpy(link.span_id, context->span_id, sizeof link.span_id);
    return profile_link(profile, &link);
}

/* One that sleeps. False: the runtime will know a name later. */
static bool add_asleep(struct survey *survey, const struct thread_view *view,
                       const struct record *record, struct wait *wait)
{
    const struct survey_config *config = survey->config;
    const struct stack stack =
        gather_stack(config->gather, record, config->map(config->closure));
    if (stack.later && !survey->last)
        return false;
    wait_refine(wait, gather_waits_for(config->gather, record, &stack));
    if (view->thread->tid == config->asker)
        *wait = (struct wait){.state = WAIT_RUNNING};
    struct dump_thread *added = add(survey, view);
    if (added == NULL)
        return true;
    added->view = DUMP_ASLEEP;
    added->wait = *wait;
    added->stack = takeover_stack(&survey->takeover, survey->dump->profile,
                                  naming_dictionary(gather_naming(config->gather)), &stack);
    added->link = link_of(survey->dump->profile, &record->context);
    if (view->thread->still_ran_ns == survey->threads[thread_index(view->thread)].ran_ns)
        added->still_ns = clock_ns(CLOCK_MONOTONIC) - view->thread->still_since_ns;
    label(survey, view, record->context.label_set, added);
    return true;
}

/* Its stack and span, as the running interval has them. */
static void carry_last(struct survey *survey, const struct thread_last *last,
                       struct dump_thread *thread)
{
    struct carrier carrier;
    uint64_t interval;
    const struct profile *running = gather_running(survey->config->gather, &interval);
    if (carrier_init(&carrier, survey->dump->profile, running) != 0)
        return;
    thread->stack = carry_stack(&carrier, last->stack);
    thread->link = carry_link(&carrier, last->link);
    carrier_free(&carrier);
}

static bool is_of_interval(const struct survey *survey, const struct thread_last *last)
{
    uint64_t interval;
    (void)gather_running(survey->config->gather, &interval);
    return last->interval == interval;
}

/* One that runs, by its last sample. */
static void add_awake(struct survey *survey, const struct thread_view *view, enum look_end end,
                      bool ran)
{
    const struct thread_last *last = &view->thread->last;
    bool sampled = is_of_interval(survey, last);
    struct dump_thread *added = add(survey, view);
    if (added == NULL)
        return;
    added->view = sampled ? DUMP_SAMPLED : DUMP_UNSEEN;
    if (end != LOOK_REFUSED || ran)
        added->wait.state = ran ? WAIT_RUNNING : WAIT_RUNNABLE;
    if (sampled)
        carry_last(survey, last, added);
    if (sampled && last->time_ns < survey->asked)
        added->age_ns = clock_ns(CLOCK_MONOTONIC) - last->time_ns;
    label(survey, view, sampled ? last->label_set : 0, added);
}

/* True: no other pass is wanted for it. */
static bool look_at(struct survey *survey, const struct thread_view *view)
{
    const struct survey_config *config = survey->config;
    struct surveyed *known = &survey->threads[thread_index(view->thread)];
    const struct record *record;
    struct wait wait;
    uint64_t ran_ns = thread_ran_ns(view->thread->tid);
    bool ran = known->begun && ran_ns != known->ran_ns;
    enum look_end end = look_take(survey->looker, config->map(config->closure), view, ran_ns,
                                  &known->kept, &record, &wait);
    if (end == LOOK_GONE || ran_ns == 0)
        return true;
    if (!known->begun || end == LOOK_TAKEN)
        known->ran_ns = ran_ns;
    known->begun = true;
    if (end == LOOK_TAKEN)
        return add_asleep(survey, view, record, &wait);
    bool fresh = is_of_interval(survey, &view->thread->last) &&
                 view->thread->last.time_ns >= survey->asked;
    if (fresh || survey->last)
        add_awake(survey, view, end, fresh || ran);
    return fresh || survey->last;
}

/* ---- all of them ---- */

/* Not those that have been seen; another thread that got such a one's record has not. */
static bool is_wanted(void *closure, const struct thread *thread)
{
    struct survey *survey = closure;
    struct surveyed *known = &survey->threads[thread_index(thread)];
    pid_t tid = thread->tid;
    if (known->tid != tid)
        *known = (struct surveyed){.tid = tid};
    return !known->done;
}

static void pass(struct survey *survey)
{
    struct thread_view view;
    survey->left = 0;
    for (size_t cursor = 0; threads_living(&cursor, is_wanted, survey, &view);) {
        struct surveyed *known = &survey->threads[thread_index(view.thread)];
        known->done = look_at(survey, &view);
        survey->left += !known->done;
    }
}

/* Does it still wait for the same, and has it not run? Who waits for the interpreter's lock
 * wakes up again and again to ask for it. */
static bool held(void *closure, const struct dump_thread *thread)
{
    struct survey *survey = closure;
    const struct survey_config *config = survey->config;
    const struct record *record;
    struct wait wait;
    struct thread *found = by_tid_find(thread->tid);
    if (found == NULL)
        return false;
    const struct thread_view view = {.thread = found, .id = thread->id};
    struct surveyed *known = &survey->threads[thread_index(found)];
    uint64_t ran_ns = thread_ran_ns(thread->tid);
    bool polls = thread->wait.reason == CPROF_WAIT_GIL || thread->wait.reason == CPROF_WAIT_GVL;
    if (!polls && ran_ns != known->ran_ns)
        return false;
    return look_take(survey->looker, config->map(config->closure), &view, ran_ns, &known->kept,
                     &record, &wait) == LOOK_TAKEN &&
           wait.reason == thread->wait.reason && wait.lock == thread->wait.lock &&
           wait.holder == thread->wait.holder;
}

/* What there is beside threads. True: no other try is wanted. */
static bool add_others(struct survey *survey)
{
    const struct survey_config *config = survey->config;
    const struct beside_config beside = {.gather = config->gather,
                                         .takeover = &survey->takeover,
                                         .map = config->map(config->closure),
                                         .dump = survey->dump};
    return beside_add(&beside, survey->last);
}

static struct dump *finish(struct survey *survey)
{
    struct dump *dump = survey->dump;
    deadlock_link(dump);
    deadlock_find(dump, held, survey);
    dump->time_ns = profile_header(dump->profile)->time_ns;
    dump->took_ns = clock_ns(CLOCK_MONOTONIC) - survey->asked;
    survey->dump = NULL;
    return dump;
}

int survey_take(const struct survey_config *config, struct dump **dump)
{
    struct survey *survey = new_survey(config);
    if (survey == NULL)
        return -ENOMEM;
    bool goes_on = true;
    pass(survey);
    while (goes_on && (survey->left > 0 || !add_others(survey))) {
        goes_on = config->rest(config->closure, PAUSE);
        survey->last = clock_ns(CLOCK_MONOTONIC) - survey->asked > SURVEY_PATIENCE;
        if (goes_on)
            pass(survey);
    }
    if (goes_on)
        *dump = finish(survey);
    free_survey(survey);
    return goes_on ? 0 : -ECANCELED;
}
