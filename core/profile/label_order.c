#include "profile/label_order.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const struct ordered_label *x, const struct ordered_label *y)
{
    int order = x->label->key == y->label->key ? 0 : strcmp(x->key, y->key);
    if (order == 0) /* the same, or different only behind a NUL */
        order = (x->label->key > y->label->key) - (x->label->key < y->label->key);
    return order;
}

static int compare_labels(const void *a, const void *b)
{
    const struct ordered_label *x = a, *y = b;
    int order = compare_keys(x, y);
    return order != 0 ? order : (x->label > y->label) - (x->label < y->label);
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_values(const void *a, const void *b)
{
    const struct ordered_label *x = a, *y = b;
    int order = compare_keys(x, y);
    if (order == 0)
        order = ORDER(x->label->is_number, y->label->is_number);
    if (order == 0)
        order = strcmp(x->text, y->text);
    if (order == 0)
        order = ORDER(x->label->text, y->label->text);
    if (order == 0)
        order = ORDER(x->label->number, y->label->number);
    return order != 0 ? order : ORDER(x->label->unit, y->label->unit);
}

uint32_t label_order(struct ordered_label *ordered, size_t count, enum label_choice choice,
                     struct profile_label *set)
{
    const bool values = choice == LABEL_VALUES;
    qsort(ordered, count, sizeof(*ordered), values ? compare_values : compare_labels);
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count || ordered[i + 1].label->key != ordered[i].label->key ||
                    (values && compare_values(&ordered[i], &ordered[i + 1]) != 0);
        if (last)
            set[kept++] = *ordered[i].label;
    }
    return kept;
}
