#include "collect/labelling.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "sample/kinds.h"
#include "source/source.h"

void labelling_forget(struct labelling *labelling)
{
    memset(labelling->cache, 0, sizeof labelling->cache);
    memset(labelling->set_hashes, 0, sizeof labelling->set_hashes);
    labelling->set_count = 0;
    waits_forget(&labelling->waits);
}

/* ---- the sets kept apart ---- */

/* The order of the pairs makes another set of the same labels, which costs no more than its
 * place: runtimes give them in the order in which they were set. */
static void hash_label(void *closure, const char *key, const char *value)
{
    uint64_t *hash = closure;
    *hash = hash_combine(*hash, hash_bytes(key, strlen(key)));
    *hash = hash_combine(*hash, hash_bytes(value, strlen(value)));
}

/* Is the content of the runtime's set one of those that this interval keeps apart? */
static bool admit_set(struct labelling *labelling, uint32_t label_set)
{
    uint64_t *hashes = labelling->set_hashes, hash = 1;
    labelling->config.runtime->labels(label_set, hash_label, &hash);
    hash |= hash == 0;
    size_t slot = hash & (2 * LABELLING_MAX_SETS - 1);
    while (hashes[slot] != 0 && hashes[slot] != hash)
        slot = (slot + 1) & (2 * LABELLING_MAX_SETS - 1);
    if (hashes[slot] == hash)
        return true;
    if (labelling->set_count == LABELLING_MAX_SETS)
        return false;
    hashes[slot] = hash;
    labelling->set_count++;
    return true;
}

/* ---- one sample's ---- */

struct label_list {
    struct profile *profile;
    size_t count;
    struct profile_label labels[LABELLING_MAX_LABELS];
};

static void add_label(struct label_list *list, struct profile_label label)
{
    if (list->count == LABELLING_MAX_LABELS)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (list->labels[i].key == label.key)
            return;
    list->labels[list->count++] = label;
}

static void add_text(void *closure, const char *key, const char *value)
{
    struct label_list *list = closure;
    add_label(list, (struct profile_label){.key = profile_string(list->profile, key),
                                           .text = profile_string(list->profile, value)});
}

static void add_thread(struct label_list *list, const struct thread_view *thread)
{
    add_label(list, (struct profile_label){.key = profile_string(list->profile, "thread.id"),
                                           .number = (int64_t)thread->id,
                                           .is_number = true});
    if (thread->name[0] != '\0')
        add_text(list, "thread.name", thread->name);
}

/* A task by its name, else the thread. */
static void add_holder(struct label_list *list, const struct wait *wait)
{
    const char *task = kinds_text(wait->holder_kind);
    char text[THREAD_NAME_SIZE];
    if (task != NULL) {
        add_text(list, "lock.holder", task);
        return;
    }
    if (wait->holder == 0)
        return;
    threads_name(wait->holder, text);
    if (text[0] == '\0')
        snprintf(text, sizeof text, "%d", (int)wait->holder);
    add_text(list, "lock.holder", text);
}

/* What it waits for, and on whom. */
static void add_wait(struct label_list *list, const struct wait *wait)
{
    char text[32];
    if (wait_state_word(wait->state) != NULL)
        add_text(list, "thread.state", wait_state_word(wait->state));
    if (wait->task)
        add_text(list, "kind", "task");
    if (wait_reason_word(wait->reason) != NULL)
        add_text(list, "wait.reason", wait_reason_word(wait->reason));
    if (wait->peer[0] != '\0')
        add_text(list, "wait.peer", wait->peer);
    if (wait->site[0] != '\0')
        add_text(list, "lock.site", wait->site);
    if (wait->lock != 0) {
        snprintf(text, sizeof text, "0x%llx", (unsigned long long)wait->lock);
        add_text(list, "lock.address", text);
    }
    add_holder(list, wait);
}

static void add_kind(struct label_list *list, uint32_t kind)
{
    const struct source *source = source_at((enum source_number)(kind >> 16 & 0x7fff));
    const char *text = kinds_text(kind & 0xffff);
    if (source == NULL || source->label == NULL || text == NULL)
        return;
    char first[KINDS_TEXT + 1];
    const char *second = source->second_label != NULL ? strchr(text, source->separator) : NULL;
    snprintf(first, sizeof first, "%.*s", second != NULL ? (int)(second - text) : KINDS_TEXT,
             text);
    add_text(list, source->label, first);
    if (second != NULL)
        add_text(list, source->second_label, second + 1);
}

static void make(struct labelling *labelling, struct profile *profile,
                 const struct thread_view *thread, struct labelled *made)
{
    const struct labelling_config *config = &labelling->config;
    bool labelled = made->label_set != 0 && config->runtime->labels != NULL;
    made->overflow = labelled && !admit_set(labelling, made->label_set);
    struct label_list list = {.profile = profile};
    if (config->thread_labels && thread != NULL)
        add_thread(&list, thread);
    if (made->wait >= LABELLING_KIND(0, 0)) {
        add_kind(&list, made->wait);
    } else if (made->wait != 0) {
        const struct wait wait = waits_get(&labelling->waits, made->wait);
        add_wait(&list, &wait);
    }
    if (made->overflow)
        add_text(&list, "labels", PROFILE_OVERFLOW);
    else if (labelled)
        config->runtime->labels(made->label_set, add_text, &list);
    for (size_t i = 0; i < config->label_count; i++)
        add_text(&list, config->labels[i].key, config->labels[i].value);
    made->id = profile_labels(profile, list.labels, list.count);
}

const struct labelled *labelling_of(struct labelling *labelling, struct profile *profile,
                                    const struct thread_view *thread, uint32_t label_set,
                                    uint32_t wait)
{
    uint64_t numbers = (uint64_t)wait << 32 | label_set;
    uint64_t identity = thread != NULL ? thread->identity : 0;
    size_t slot = hash_combine(identity, numbers) & (LABELLING_CACHED - 1);
    struct labelled *cached = &labelling->cache[slot];
    if (cached->id == 0 || cached->identity != identity || cached->label_set != label_set ||
        cached->wait != wait) {
        *cached = (struct labelled){.identity = identity, .label_set = label_set, .wait = wait};
        make(labelling, profile, thread, cached);
    }
    return cached;
}

profile_id labelling_with(struct profile *profile, profile_id labels,
                          struct profile_label label)
{
    enum { MOST = LABELLING_MAX_LABELS + 1 }; /* time and turn may both come last */
    struct profile_label list[MOST + 1];
    const struct profile_label_set set = profile_get_labels(profile, labels);
    const uint32_t count = set.count < MOST ? set.count : MOST;
    if (count > 0)
        memcpy(list, set.labels, count * sizeof *list);
    list[count] = label;
    return profile_labels(profile, list, count + 1);
}
