#include "engine/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/rewalk.h"
#include "engine/weave.h"

#define MAX_LABELS 64          /* of one sample */
#define CACHED_LABEL_SETS 1024 /* a power of two */
#define MAX_LABEL_SETS 1024    /* of the runtime, in an interval */
#define PROFILE_SHARE 2 /* an interval's profile may take 1/PROFILE_SHARE of the budget */

/* The label set made for a thread's identity and a runtime's label set. */
struct cached_labels {
    uint64_t identity;
    uint32_t label_set;
    bool overflow; /* the runtime's labels are not among them */
    profile_id id; /* 0: the slot is empty */
};

/* The contents of the runtime's label sets in the running interval, by hash. */
struct known_sets {
    size_t count;
    uint64_t hashes[2 * MAX_LABEL_SETS]; /* open addressing; 0: free */
};

struct gather {
    struct gather_config config;
    struct naming *naming;
    struct rewalk rewalk;
    struct profile *profile;
    struct gather_counts counts;
    /* The dictionary's locations in the running profile; 0 = not taken over yet. */
    profile_id *carried;
    size_t carried_count;
    struct cached_labels labels[CACHED_LABEL_SETS];
    struct known_sets sets;
    /* One sample's work: room for max_frames of each kind, and the truncated root. */
    struct name *native_names;
    enum cprof_role *roles;
    uint16_t *scratch;
    struct woven *woven;
    profile_id *locations;
};

/* ---- life ---- */

/* What is full is handed on, and its receiver needs room to take it over. */
static struct profile *new_profile(const struct gather_config *config)
{
    struct profile *profile = profile_new_like(config->model, config->budget);
    if (profile != NULL && config->budget != NULL)
        profile_bound(profile, config->budget->limit / PROFILE_SHARE);
    return profile;
}

static void begin_interval(struct gather *gather, struct profile *profile)
{
    gather->profile = profile;
    memset(gather->labels, 0, sizeof gather->labels);
    gather->sets = (struct known_sets){0};
    if (gather->carried != NULL)
        memset(gather->carried, 0, gather->carried_count * sizeof *gather->carried);
}

static bool allocate(struct gather *gather)
{
    size_t frames = gather->config.max_frames;
    gather->native_names = calloc(frames, sizeof *gather->native_names);
    gather->roles = calloc(frames, sizeof *gather->roles);
    gather->scratch = calloc(frames, sizeof *gather->scratch);
    gather->woven = calloc(2 * frames, sizeof *gather->woven);
    gather->locations = calloc(frames + 1, sizeof *gather->locations);
    gather->naming = naming_new(gather->config.budget, gather->config.runtime);
    gather->profile = new_profile(&gather->config);
    bool can_rewalk = rewalk_init(&gather->rewalk, gather->config.library_directory,
                                  gather->config.copies, frames);
    return can_rewalk && gather->native_names && gather->roles && gather->scratch &&
           gather->woven && gather->locations && gather->naming && gather->profile;
}

struct gather *gather_new(const struct gather_config *config)
{
    struct gather *gather = calloc(1, sizeof *gather);
    if (gather == NULL)
        return NULL;
    gather->config = *config;
    if (allocate(gather))
        return gather;
    gather_free(gather);
    return NULL;
}

void gather_free(struct gather *gather)
{
    if (gather == NULL)
        return;
    profile_free(gather->profile);
    naming_free(gather->naming);
    rewalk_free(&gather->rewalk);
    budget_give(gather->config.budget, gather->carried_count * sizeof *gather->carried);
    free(gather->carried);
    free(gather->native_names);
    free(gather->roles);
    free(gather->scratch);
    free(gather->woven);
    free(gather->locations);
    free(gather);
}

/* ---- locations ---- */

static profile_id carry_text(struct gather *gather, profile_id id)
{
    const struct profile *from = naming_dictionary(gather->naming);
    return profile_string_n(gather->profile, profile_text(from, id),
                            profile_text_length(from, id));
}

static profile_id carry_mapping(struct gather *gather, profile_id id)
{
    if (id == 0)
        return 0;
    struct profile_mapping mapping =
        *profile_get_mapping(naming_dictionary(gather->naming), id);
    mapping.filename = carry_text(gather, mapping.filename);
    mapping.build_id = carry_text(gather, mapping.build_id);
    mapping.htlhash = carry_text(gather, mapping.htlhash);
    return profile_mapping(gather->profile, &mapping);
}

static profile_id carry_function(struct gather *gather, profile_id id)
{
    struct profile_function function =
        *profile_get_function(naming_dictionary(gather->naming), id);
    function.name = carry_text(gather, function.name);
    function.system_name = carry_text(gather, function.system_name);
    function.filename = carry_text(gather, function.filename);
    return profile_function(gather->profile, &function);
}

static profile_id carry_location(struct gather *gather, profile_id id)
{
    struct profile_location location =
        *profile_get_location(naming_dictionary(gather->naming), id);
    struct profile_line lines[32];
    if (location.line_count > sizeof lines / sizeof *lines)
        location.line_count = sizeof lines / sizeof *lines;
    for (uint32_t i = 0; i < location.line_count; i++) {
        lines[i] = location.lines[i];
        lines[i].function = carry_function(gather, lines[i].function);
    }
    location.lines = lines;
    location.mapping = carry_mapping(gather, location.mapping);
    return profile_location(gather->profile, &location);
}

/* Makes the map as long as the dictionary. False: no room. */
static bool grow_carried(struct gather *gather)
{
    size_t old = gather->carried_count;
    size_t count = profile_location_count(naming_dictionary(gather->naming)) * 2;
    size_t bytes = (count - old) * sizeof *gather->carried;
    if (!budget_take(gather->config.budget, bytes))
        return false;
    profile_id *carried = realloc(gather->carried, count * sizeof *carried);
    if (carried == NULL) {
        budget_give(gather->config.budget, bytes);
        return false;
    }
    memset(carried + old, 0, bytes);
    gather->carried = carried;
    gather->carried_count = count;
    return true;
}

/* The running profile's id of a location of the dictionary. */
static profile_id take_over(struct gather *gather, profile_id id)
{
    if (id >= gather->carried_count && !grow_carried(gather))
        return carry_location(gather, id);
    if (gather->carried[id] == 0)
        gather->carried[id] = carry_location(gather, id);
    return gather->carried[id];
}

/* ---- labels ---- */

struct label_list {
    struct profile *profile;
    size_t count;
    struct profile_label labels[MAX_LABELS];
};

/* The first one to set a key wins. */
static void add_label(struct label_list *list, struct profile_label label)
{
    if (list->count == MAX_LABELS)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (list->labels[i].key == label.key)
            return;
    list->labels[list->count++] = label;
}

static void add_text_label(void *closure, const char *key, const char *value)
{
    struct label_list *list = closure;
    add_label(list, (struct profile_label){.key = profile_string(list->profile, key),
                                           .text = profile_string(list->profile, value)});
}

/* The order of the pairs makes another set of the same labels, which costs no more than its
 * place: runtimes tell them in the order in which they were given. */
static void hash_label(void *closure, const char *key, const char *value)
{
    uint64_t *hash = closure;
    *hash = hash_combine(*hash, hash_bytes(key, strlen(key)));
    *hash = hash_combine(*hash, hash_bytes(value, strlen(value)));
}

/* Is the content of the runtime's set one of those that this interval keeps apart? */
static bool admit_set(struct gather *gather, uint32_t label_set)
{
    struct known_sets *sets = &gather->sets;
    uint64_t hash = 1;
    gather->config.runtime->labels(label_set, hash_label, &hash);
    hash |= hash == 0;
    size_t slot = hash & (2 * MAX_LABEL_SETS - 1);
    while (sets->hashes[slot] != 0 && sets->hashes[slot] != hash)
        slot = (slot + 1) & (2 * MAX_LABEL_SETS - 1);
    if (sets->hashes[slot] == hash)
        return true;
    if (sets->count == MAX_LABEL_SETS)
        return false;
    sets->hashes[slot] = hash;
    sets->count++;
    return true;
}

static void make_labels(struct gather *gather, const struct thread_view *thread,
                        struct cached_labels *made)
{
    const struct gather_config *config = &gather->config;
    bool labelled = made->label_set != 0 && config->runtime->labels != NULL;
    made->overflow = labelled && !admit_set(gather, made->label_set);
    struct label_list list = {.profile = gather->profile};
    add_label(&list, (struct profile_label){.key = profile_string(gather->profile, "thread.id"),
                                            .number = (int64_t)thread->id,
                                            .is_number = true});
    if (thread->name[0] != '\0')
        add_text_label(&list, "thread.name", thread->name);
    if (made->overflow)
        add_text_label(&list, "labels", PROFILE_OVERFLOW);
    else if (labelled)
        config->runtime->labels(made->label_set, add_text_label, &list);
    for (size_t i = 0; i < config->label_count; i++)
        add_text_label(&list, config->labels[i].key, config->labels[i].value);
    made->id = profile_labels(gather->profile, list.labels, list.count);
}

static const struct cached_labels *
labels_of(struct gather *gather, const struct thread_view *thread, uint32_t label_set)
{
    size_t slot = hash_combine(thread->identity, label_set) & (CACHED_LABEL_SETS - 1);
    struct cached_labels *cached = &gather->labels[slot];
    if (cached->id == 0 || cached->identity != thread->identity ||
        cached->label_set != label_set) {
        *cached = (struct cached_labels){.identity = thread->identity, .label_set = label_set};
        make_labels(gather, thread, cached);
    }
    return cached;
}

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

/* ---- stacks ---- */

/* What a sample turned out to be, besides its locations. */
struct finding {
    bool truncated; /* the root is missing */
    bool failed;    /* a frame has no name */
    bool later;     /* … yet */
    bool missed;    /* native code that no module covers */
    bool based;     /* the native stack was followed to its base, whatever lies below */
};

/* Names `count` native frames, up to a base. Returns how many there are. */
static size_t name_native(struct gather *gather, const struct native_frame *native,
                          size_t count, const struct module_map *map, struct finding *finding)
{
    for (size_t i = 0; i < count; i++) {
        const struct name *name = &gather->native_names[i];
        gather->native_names[i] = naming_native(gather->naming, map, native[i].pc);
        gather->roles[i] = (enum cprof_role)name->role;
        finding->later |= name->later; /* its role may change as well */
        if (gather->roles[i] == CPROF_ROLE_BASE) {
            finding->based = true;
            return i + 1;
        }
    }
    return count;
}

/* Fills gather->locations; returns the depth. */
static size_t put_together(struct gather *gather, const struct record *record,
                           const struct module_map *map, struct finding *finding)
{
    size_t native_count = record->native_count;
    bool complete = record->native_end == WALK_COMPLETE;
    const struct native_frame *native =
        rewalk_native(&gather->rewalk, record, map, &native_count, &complete);
    const struct cprof_frame *frames = record_frames(record);
    native_count = name_native(gather, native, native_count, map, finding);
    const struct weave input = {.native = native,
                                .roles = gather->roles,
                                .native_count = native_count,
                                .sp = record->sp,
                                .frames = frames,
                                .frame_count = record->frame_count};
    size_t depth = weave(&input, gather->scratch, gather->woven);
    complete |= finding->based;
    finding->truncated = !complete || !record->frames_complete;
    finding->failed = !complete && record->native_end > WALK_FULL;
    if (depth > gather->config.max_frames) {
        depth = gather->config.max_frames;
        finding->truncated = true;
    }
    for (size_t i = 0; i < depth; i++) {
        const struct woven *w = &gather->woven[i];
        struct name name = w->interpreted ? naming_frame(gather->naming, &frames[w->index])
                                          : gather->native_names[w->index];
        finding->failed |= name.failed;
        finding->later |= name.later;
        finding->missed |= name.failed && !w->interpreted;
        gather->locations[i] = take_over(gather, name.location);
    }
    /* Native frames are off, and the thread runs nothing interpreted. */
    if (depth == 0 && !finding->truncated)
        gather->locations[depth++] = take_over(gather, naming_nothing(gather->naming));
    if (finding->truncated)
        gather->locations[depth++] = take_over(gather, naming_truncated(gather->naming));
    return depth;
}

int gather_add(struct gather *gather, const struct thread_view *thread,
               const struct record *record, const struct module_map *map, bool patient)
{
    struct finding finding = {0};
    size_t depth = put_together(gather, record, map, &finding);
    if (finding.later && patient)
        return -EAGAIN;
    profile_id stack = profile_stack(gather->profile, gather->locations, depth);
    profile_id link = link_of(gather, &record->context);
    const struct cached_labels *labels = labels_of(gather, thread, record->context.label_set);
    const int64_t values[] = {record->weight,
                              (int64_t)(record->weight * gather->config.period_ns)};
    /* -ENOMEM has counted the sample on "[overflow]". */
    (void)profile_add(gather->profile, stack, link, labels->id, values);
    gather->counts.samples += record->weight;
    gather->counts.truncated += finding.truncated ? record->weight : 0;
    gather->counts.failed += finding.failed ? record->weight : 0;
    gather->counts.unlinked += record->context.unreadable ? record->weight : 0;
    gather->counts.unlabelled += labels->overflow ? record->weight : 0;
    return finding.missed;
}

/* ---- intervals ---- */

void gather_tick(struct gather *gather)
{
    rewalk_tick(&gather->rewalk);
}

struct naming *gather_naming(struct gather *gather)
{
    return gather->naming;
}

struct profile *gather_close(struct gather *gather)
{
    struct profile *closed = gather->profile;
    struct profile *fresh = new_profile(&gather->config);
    if (fresh == NULL)
        return NULL;
    naming_restart(gather->naming);
    begin_interval(gather, fresh);
    return closed;
}

struct profile *gather_end(struct gather *gather)
{
    struct profile *last = gather->profile;
    gather->profile = NULL;
    return last;
}

void gather_count(const struct gather *gather, struct gather_counts *counts)
{
    *counts = gather->counts;
}

size_t gather_stacks(const struct gather *gather)
{
    return gather->profile != NULL ? profile_stack_count(gather->profile) - 1 : 0;
}
