#include "export/label_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/combine.h"

/* What goes first stands first. */
enum { RANK_RESOURCE = 100, RANK_LABEL, RANK_SERVICE, RANK_NEVER };

static int rank_of(const char *key, bool of_resource)
{
    static const char *const first[] = {"thread.id",    "process.runtime.version",
                                        "k8s.pod.uid",  "process.runtime.name",
                                        "container.id", "host.name",
                                        "thread.name",  "process.pid"};
    static const char *const last[] = {"service.", "k8s.pod.name", "k8s.namespace.name"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (strcmp(key, first[i]) == 0)
            return (int)i;
    if (strcmp(key, "service.name") == 0)
        return RANK_NEVER;
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (strncmp(key, last[i], strlen(last[i])) == 0)
            return RANK_SERVICE;
    return of_resource ? RANK_RESOURCE : RANK_LABEL;
}

/* The name that goes next of those looked at so far. */
struct choice {
    const struct label_limit *limit;
    const char *key; /* NULL: none yet */
    int rank;
};

static struct profile_keys left_off(const struct label_limit *limit)
{
    return (struct profile_keys){(const char *const *)limit->left_off, limit->count};
}

/* Of one rank the last in the alphabet goes, so that it is the same one in each profile. */
static void consider(struct choice *choice, const char *key, bool of_resource)
{
    const struct profile_keys gone = left_off(choice->limit);
    const int rank = rank_of(key, of_resource);
    bool sooner = choice->key == NULL || rank < choice->rank ||
                  (rank == choice->rank && strcmp(key, choice->key) > 0);
    if (rank == RANK_NEVER || !sooner || profile_keys_have(&gone, key))
        return;
    choice->key = key;
    choice->rank = rank;
}

/* NULL: there is no more. */
static const char *next_key(const struct label_limit *limit, const struct profile *p)
{
    struct choice choice = {.limit = limit};
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++)
        consider(&choice, profile_text(p, profile_attribute(p, PROFILE_RESOURCE, i)->key),
                 true);
    for (profile_id id = 0; id < profile_label_set_count(p); id++) {
        struct profile_label_set set = profile_get_labels(p, id);
        for (uint32_t i = 0; i < set.count; i++)
            consider(&choice, profile_text(p, set.labels[i].key), false);
    }
    return choice.key;
}

bool label_limit_learn(struct label_limit *limit, const struct profile *profile,
                       const struct label_names *names)
{
    if (names->had <= names->most)
        return false;
    limit->most = names->most;
    for (size_t excess = names->had - names->most; excess > 0; excess--) {
        const char *key = limit->count < LABEL_LIMIT_MOST ? next_key(limit, profile) : NULL;
        char *copy = key != NULL ? strdup(key) : NULL;
        if (copy == NULL)
            return false;
        limit->left_off[limit->count++] = copy;
    }
    return true;
}

struct profile *label_limit_apply(const struct label_limit *limit,
                                  const struct profile *profile)
{
    const struct profile_keys gone = left_off(limit);
    return profile_without(profile, &gone);
}

void label_limit_tell(const struct label_limit *limit, char *text, size_t size)
{
    int length = snprintf(text, size,
                          "the server takes %zu label names a series: %zu %s left off from now "
                          "on:",
                          limit->most, limit->count, limit->count == 1 ? "is" : "are");
    for (size_t i = 0; i < limit->count && (size_t)length < size; i++)
        length += snprintf(text + length, size - (size_t)length, "%s %s", i > 0 ? "," : "",
                           limit->left_off[i]);
}

void label_limit_free(struct label_limit *limit)
{
    for (size_t i = 0; i < limit->count; i++)
        free(limit->left_off[i]);
    limit->count = 0;
}
