/*
 * The order of the labels of one set: by key, as bytes, so that equal sets are equal however
 * they came. Pure functions.
 */
#ifndef CPROF_PROFILE_LABEL_ORDER_H
#define CPROF_PROFILE_LABEL_ORDER_H

#include "profile/profile.h"

/* What of several labels with one key stays: the last, or each different value. */
enum label_choice { LABEL_LAST, LABEL_VALUES };

/* A label on its way into a set. */
struct ordered_label {
    const struct profile_label *label; /* of the caller's array: of equal keys the last wins */
    const char *key, *text;            /* its strings; the text for LABEL_VALUES only */
};

/* Sorts the labels and keeps what is chosen; returns how many are in `set`, which has room for
 * all. */
uint32_t label_order(struct ordered_label *ordered, size_t count, enum label_choice choice,
                     struct profile_label *set);

#endif
