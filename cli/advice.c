#include "advice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/summary.h"
#include "profile/clamp.h"
#include "profile/unit.h"

/* Rules as bits. */
typedef uint64_t rule_set;
_Static_assert(RULES_MOST <= 64, "a rule is a bit of rule_set");

/* What a sample has of one rule's frames: the outermost of them. */
struct match {
    rule_set rules;
    uint32_t outer[RULES_MOST]; /* by rule: what called it */
};

struct asking {
    const struct profile *profile;
    const struct frame_table *frames;
    rule_set *meant, *excused; /* by frame: rules whose frame it is; whose excuse */
    bool *serves;              /* by frame: requests */
    rule_set asked;            /* rules whose column is there */
    size_t columns[RULES_MOST];
    bool idle_counts;        /* the CPU column is one that has idle time */
    struct advice *found;    /* by rule */
    bool *spans[RULES_MOST]; /* by link: has a sample that matches; NULL where nobody asks */
    bool *any_span;          /* by link: has a sample */
    int64_t cpu;
    size_t cpu_column;
};

/* --- frames --- */

static unsigned kind_of(const struct frame *frame)
{
    static const unsigned kinds[] = {
        [CPROF_FRAME_UNKNOWN] = RULE_ANY,   [CPROF_FRAME_NATIVE] = RULE_NATIVE,
        [CPROF_FRAME_KERNEL] = RULE_NATIVE, [CPROF_FRAME_CPYTHON] = RULE_PYTHON,
        [CPROF_FRAME_RUBY] = RULE_RUBY,     [CPROF_FRAME_V8JS] = RULE_JS,
    };
    return (size_t)frame->type < sizeof(kinds) / sizeof(kinds[0]) ? kinds[frame->type] : 0;
}

static void judge_frame(struct asking *a, uint32_t index)
{
    const struct frame *frame = &a->frames->frames[index];
    const char *file = profile_text(a->profile, frame->file);
    const char *module = profile_text(a->profile, frame->module);
    const unsigned kind = kind_of(frame);
    for (size_t i = 0; i < rule_count; i++) {
        const rule_set bit = (rule_set)1 << i;
        if (!rules[i].frames || !(a->asked & bit))
            continue;
        if (rules[i].in & kind && rule_matches(rules[i].frames, frame->text, file, module))
            a->meant[index] |= bit;
        if (rules[i].excuse && rule_matches(rules[i].excuse, frame->text, file, module))
            a->excused[index] |= bit;
    }
    a->serves[index] = rule_matches(rule_handlers, frame->text, file, module);
}

/* Frames of one function say the same to every rule. */
static void judge_frames(struct asking *a)
{
    const struct frame *frames = a->frames->frames;
    for (uint32_t i = 0; i < a->frames->frame_count; i++) {
        if (i > 0 && frames[i].function == frames[i - 1].function &&
            frames[i].type == frames[i - 1].type && frames[i].module == frames[i - 1].module) {
            a->meant[i] = a->meant[i - 1];
            a->excused[i] = a->excused[i - 1];
            a->serves[i] = a->serves[i - 1];
        } else {
            judge_frame(a, i);
        }
    }
}

/* --- samples --- */

static rule_set rules_with(enum rule_measure measure, bool in_request)
{
    rule_set set = 0;
    for (size_t i = 0; i < rule_count; i++)
        if (in_request ? rules[i].in_request : rules[i].measure == measure)
            set |= (rule_set)1 << i;
    return set;
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* Who calls the frame at `depth`. Of a rule about a library's files, the next one outside whose
 * file is in another folder: the library's own functions are not who is to hear of it. */
static uint32_t caller_of(const struct asking *a, const struct rule *rule,
                          const uint32_t *stack, size_t depth)
{
    const struct frame *frames = a->frames->frames;
    const char *own = profile_text(a->profile, frames[stack[depth]].file);
    const size_t length = strchr(rule->frames, '@') ? folder_length(own) : 0;
    for (size_t k = depth; k-- > 0;) {
        const char *file = profile_text(a->profile, frames[stack[k]].file);
        if (length == 0 || folder_length(file) != length || strncmp(file, own, length) != 0)
            return stack[k];
    }
    return ADVICE_NO_FRAME;
}

/* Goes from the root inwards: what stands outside may excuse, or be a request. */
static void match_stack(const struct asking *a, const uint32_t *stack, size_t depth,
                        bool in_span, struct match *match)
{
    const rule_set of_requests = rules_with(RULE_SHARE, true);
    rule_set closed = in_span ? 0 : of_requests;
    match->rules = 0;
    for (size_t k = 0; k < depth; k++) {
        rule_set found = a->meant[stack[k]] & ~closed & ~match->rules;
        for (size_t i = 0; found >> i; i++)
            if (found >> i & 1)
                match->outer[i] = caller_of(a, &rules[i], stack, k);
        match->rules |= found;
        if (a->serves[stack[k]])
            closed &= ~of_requests;
        closed |= a->excused[stack[k]];
    }
}

static const struct profile_label *label_of(const struct profile *profile, profile_id labels,
                                            const char *key)
{
    struct profile_label_set set = profile_get_labels(profile, labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(profile, set.labels[i].key), key) == 0)
            return &set.labels[i];
    return NULL;
}

/* Adds the rules that ask for no frame. */
static void match_labels(const struct asking *a, const struct profile_sample *sample,
                         uint32_t leaf, struct match *match)
{
    for (size_t i = 0; i < rule_count; i++) {
        const struct rule *rule = &rules[i];
        if (rule->frames || !(a->asked >> i & 1))
            continue;
        const struct profile_label *label =
            rule->label_key ? label_of(a->profile, sample->labels, rule->label_key) : NULL;
        if (rule->label_key &&
            (!label || label->is_number ||
             strcmp(profile_text(a->profile, label->text), rule->label_value)))
            continue;
        match->rules |= (rule_set)1 << i;
        match->outer[i] = leaf;
    }
}

static void add_site(struct advice *advice, uint32_t frame, profile_id stack, int64_t value)
{
    size_t i = 0;
    while (i < advice->site_count && advice->sites[i].frame != frame)
        i++;
    if (i == ADVICE_SITES)
        return;
    struct advice_site *site = &advice->sites[i];
    if (i == advice->site_count) {
        *site = (struct advice_site){.frame = frame};
        advice->site_count++;
    }
    site->value = clamp_add(site->value, value);
    if (value > site->heaviest) {
        site->heaviest = value;
        site->stack = stack;
    }
}

/* How many looks a record stands for: what its sheet counts, else its value by the period. */
static int64_t looks_of(const struct asking *a, const struct profile_sample *sample,
                        int64_t value)
{
    const int64_t period = profile_period_const(a->profile, sample->sheet)->value;
    for (size_t i = 0; i < profile_value_count(a->profile); i++)
        if (profile_column_sheet(a->profile, i) == sample->sheet &&
            strcmp(profile_unit(a->profile, i), "count") == 0)
            return profile_value(a->profile, sample, i);
    return period > 1 && value > period ? value / period : 1;
}

static rule_set rule_named(const char *name)
{
    for (size_t i = 0; i < rule_count; i++)
        if (strcmp(rules[i].name, name) == 0)
            return (rule_set)1 << i;
    return 0;
}

/* A sample is counted by the rule that says most about it. */
static void leave_behind(struct match *match)
{
    for (size_t i = 0; match->rules >> i && i < rule_count; i++)
        if (rules[i].behind && match->rules & rule_named(rules[i].behind))
            match->rules &= ~((rule_set)1 << i);
}

static void count_matches(struct asking *a, const struct profile_sample *sample,
                          const struct match *match)
{
    for (size_t i = 0; match->rules >> i && i < rule_count; i++) {
        if (!(match->rules >> i & 1))
            continue;
        struct advice *advice = &a->found[i];
        int64_t value = profile_value(a->profile, sample, a->columns[i]);
        if (value <= 0)
            continue;
        advice->value = clamp_add(advice->value, value);
        advice->samples = clamp_add(advice->samples, looks_of(a, sample, value));
        add_site(advice, match->outer[i], sample->stack, value);
        if (a->spans[i] && sample->link)
            a->spans[i][sample->link] = true;
    }
}

static bool is_idle(const struct asking *a, uint32_t leaf)
{
    const char *name = a->frames->frames[leaf].text;
    return strcmp(name, "(idle)") == 0 || strcmp(name, "(program)") == 0;
}

static int count_samples(struct asking *a)
{
    const struct profile *profile = a->profile;
    uint32_t *stack = calloc(frame_table_deepest(a->frames) + 1, sizeof(*stack));
    struct match match;
    for (size_t i = 0; stack && i < profile_sample_count(profile); i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        size_t depth =
            frame_table_expand(a->frames, profile_get_stack(profile, sample.stack), stack);
        uint32_t leaf = depth > 0 ? stack[depth - 1] : ADVICE_NO_FRAME;
        int64_t cpu = profile_value(profile, &sample, a->cpu_column);
        if (cpu > 0 && !(a->idle_counts && depth > 0 && is_idle(a, leaf)))
            a->cpu = clamp_add(a->cpu, cpu);
        a->any_span[sample.link] = true;
        match_stack(a, stack, depth, sample.link != 0, &match);
        match_labels(a, &sample, leaf, &match);
        leave_behind(&match);
        count_matches(a, &sample, &match);
    }
    free(stack);
    return stack ? 0 : -ENOMEM;
}

/* --- spans --- */

static size_t count_set(const bool *spans, size_t count)
{
    size_t set = 0;
    for (size_t i = 1; spans && i < count; i++)
        set += spans[i];
    return set;
}

static int compare_traces(const void *left, const void *right)
{
    return memcmp(((const struct profile_link *)left)->trace_id,
                  ((const struct profile_link *)right)->trace_id, 16);
}

/* The most spans of one trace; 0 without memory, as if there were none. */
static size_t most_of_a_trace(const struct profile *profile, const bool *spans)
{
    const size_t count = profile_link_count(profile);
    struct profile_link *list = calloc(count, sizeof(*list));
    size_t used = 0, most = 0;
    for (profile_id id = 1; list && id < count; id++)
        if (spans[id])
            list[used++] = *profile_get_link(profile, id);
    if (used > 0)
        qsort(list, used, sizeof(*list), compare_traces);
    for (size_t i = 0, first = 0; i < used; i++) {
        if (compare_traces(&list[i], &list[first]))
            first = i;
        if (i - first + 1 > most)
            most = i - first + 1;
    }
    free(list);
    return most;
}

/* --- judging --- */

static double measure(struct asking *a, size_t rule)
{
    struct advice *advice = &a->found[rule];
    const size_t links = profile_link_count(a->profile), all = count_set(a->any_span, links);
    const double seconds = (double)profile_header_const(a->profile)->duration_ns / 1e9;
    advice->spans = count_set(a->spans[rule], links);
    switch (rules[rule].measure) {
    case RULE_SPANS:
        return all >= ADVICE_LEAST_SPANS ? (double)advice->spans / (double)all : 0;
    case RULE_REPEAT:
        advice->spans = most_of_a_trace(a->profile, a->spans[rule]);
        return (double)advice->spans;
    case RULE_RATE:
        return seconds > 0 ? (double)advice->value / seconds : 0;
    default:
        return a->cpu > 0 ? (double)advice->value / (double)a->cpu : 0;
    }
}

static int compare_sites(const void *left, const void *right)
{
    const struct advice_site *a = left, *b = right;
    if (a->value != b->value)
        return a->value > b->value ? -1 : 1;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

static int compare_advice(const void *left, const void *right)
{
    const struct advice *a = left, *b = right;
    double over_a = a->measured / a->rule->threshold, over_b = b->measured / b->rule->threshold;
    if (over_a != over_b)
        return over_a > over_b ? -1 : 1;
    return (a->rule > b->rule) - (a->rule < b->rule);
}

static void judge(struct asking *a, struct advice_list *list)
{
    for (size_t i = 0; i < rule_count; i++) {
        struct advice *advice = &a->found[i];
        if (!(a->asked >> i & 1))
            continue;
        list->asked++;
        advice->rule = &rules[i];
        advice->column = a->columns[i];
        advice->measured = measure(a, i);
        if (advice->samples < ADVICE_LEAST_SAMPLES || advice->measured < rules[i].threshold)
            continue;
        qsort(advice->sites, advice->site_count, sizeof(*advice->sites), compare_sites);
        list->list[list->count++] = *advice;
    }
    if (list->count > 0)
        qsort(list->list, list->count, sizeof(*list->list), compare_advice);
}

/* The column that CPU time is in, or -1; *idle: with the time that nothing ran. */
static int find_cpu(const struct profile *profile, bool *idle)
{
    static const char *const columns[] = {"cpu", "wall", "samples"};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        int column = profile_value_column(profile, columns[i]);
        *idle = i > 0;
        if (column >= 0)
            return column;
    }
    return -1;
}

/* Finds the column of each rule, and so the rules that can be asked. A share of CPU time needs
 * time. */
static void find_columns(struct asking *a)
{
    const int cpu = find_cpu(a->profile, &a->idle_counts);
    a->cpu_column = cpu < 0 ? 0 : (size_t)cpu;
    for (size_t i = 0; i < rule_count && cpu >= 0; i++) {
        int column = rules[i].value ? profile_value_column(a->profile, rules[i].value) : cpu;
        bool of_time = rules[i].value && rules[i].measure != RULE_RATE;
        if (column < 0)
            continue;
        if (of_time && unit_ratio(profile_unit(a->profile, (size_t)column),
                                  profile_unit(a->profile, a->cpu_column)) != 1)
            continue;
        a->columns[i] = (size_t)column;
        a->asked |= (rule_set)1 << i;
    }
}

static int ask(struct asking *a, struct advice_list *list)
{
    const size_t frames = (size_t)a->frames->frame_count + 1;
    const size_t links = profile_link_count(a->profile);
    const rule_set with_spans = rules_with(RULE_SPANS, false) | rules_with(RULE_REPEAT, false);
    bool room = true;
    a->meant = calloc(frames, sizeof(*a->meant));
    a->excused = calloc(frames, sizeof(*a->excused));
    a->serves = calloc(frames, sizeof(*a->serves));
    a->any_span = calloc(links, sizeof(*a->any_span));
    a->found = calloc(rule_count, sizeof(*a->found));
    list->list = calloc(rule_count, sizeof(*list->list));
    for (size_t i = 0; i < rule_count; i++)
        if (with_spans >> i & 1) {
            a->spans[i] = calloc(links, sizeof(bool));
            room = room && a->spans[i];
        }
    if (!room || !a->meant || !a->excused || !a->serves || !a->any_span || !a->found ||
        !list->list)
        return -ENOMEM;
    find_columns(a);
    judge_frames(a);
    int status = a->asked ? count_samples(a) : 0;
    if (!status)
        judge(a, list);
    list->cpu = a->cpu;
    list->cpu_column = a->cpu_column;
    return status;
}

int advice_make(struct advice_list *advice, const struct profile *profile)
{
    *advice = (struct advice_list){0};
    int status = frame_table_init(&advice->frames, profile, FRAMES_OF_PROGRAM);
    if (status)
        return -ENOMEM;
    struct asking a = {.profile = profile, .frames = &advice->frames};
    status = ask(&a, advice);
    free(a.meant);
    free(a.excused);
    free(a.serves);
    free(a.any_span);
    free(a.found);
    for (size_t i = 0; i < rule_count; i++)
        free(a.spans[i]);
    if (status)
        advice_free(advice);
    return status;
}

void advice_free(struct advice_list *advice)
{
    free(advice->list);
    frame_table_free(&advice->frames);
    *advice = (struct advice_list){0};
}
