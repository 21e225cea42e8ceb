#include "format/otlp_reader.h"

#include <stdlib.h>
#include <string.h>

#include "format/refuse.h"

#define MOST_OWN 256 /* each of its samples has them */

/* The number of an attribute among those of all resources; 0: out of memory. */
static profile_id number_attribute(struct otlp_resources *all, const struct profile *p,
                                   const struct profile_label *label)
{
    struct profile *to = all->interner;
    const struct profile_label copy = {
        .key = profile_string(to, profile_text(p, label->key)),
        .text = profile_string(to, profile_text(p, label->text)),
        .number = label->number,
        .is_number = label->is_number,
    };
    return profile_labels(to, &copy, 1);
}

/* What the resource has that not all have. */
int otlp_read_own_attributes(struct otlp_reader *r, const Otlp__Resource *in)
{
    struct profile_label label;
    free(r->own);
    r->own_count = 0;
    r->own = calloc((in != NULL ? in->n_attributes : 0) + 1, sizeof(*r->own));
    if (r->own == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(otlp_read_attribute(r, in->attributes[i], &label));
        profile_id number = number_attribute(r->resources, r->p, &label);
        bool shared =
            number < r->resources->room && r->resources->had_by[number] == r->resources->count;
        if (shared || label.key == 0 || (label.text == 0 && !label.is_number))
            continue;
        if (r->own_count == MOST_OWN)
            return refuse(r->error, "a resource has more than %d attributes that others lack",
                          MOST_OWN);
        r->own[r->own_count++] = label;
    }
    return 0;
}

/* Room for the attribute of that number. */
static bool reserve_attribute(struct otlp_resources *all, size_t number)
{
    if (number < all->room)
        return true;
    size_t room = 2 * number + 64;
    uint32_t *had_by = realloc(all->had_by, room * sizeof(*had_by));
    if (had_by != NULL)
        all->had_by = had_by;
    uint32_t *last = realloc(all->last, room * sizeof(*last));
    if (last != NULL)
        all->last = last;
    if (had_by == NULL || last == NULL)
        return false;
    memset(had_by + all->room, 0, (room - all->room) * sizeof(*had_by));
    memset(last + all->room, 0, (room - all->room) * sizeof(*last));
    all->room = room;
    return true;
}

int otlp_count_attributes(struct otlp_reader *r, const Otlp__Resource *in)
{
    struct otlp_resources *all = r->resources;
    struct profile_label label;
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(otlp_read_attribute(r, in->attributes[i], &label));
        profile_id number = number_attribute(all, r->p, &label);
        if (number == 0 || !reserve_attribute(all, number))
            return refuse_memory(r->error);
        all->had_by[number] += all->last[number] != all->count;
        all->last[number] = all->count;
    }
    return 0;
}
