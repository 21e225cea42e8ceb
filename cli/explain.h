/*
 * Why a filter has left nothing of a profile: which of its parts matches no sample, and what
 * there is instead. One line on standard error for each.
 */
#ifndef CPROF_CLI_EXPLAIN_H
#define CPROF_CLI_EXPLAIN_H

#include <stdbool.h>

#include "profile/combine.h"

/* A list of words for people, "a, b, c": each once, as long as there is room. */
#define EXPLAIN_LIST 512
struct word_list {
    char text[EXPLAIN_LIST];
    size_t left_out; /* that had no room; one may count several times */
};
void word_list_add(struct word_list *list, const char *word);

/* Is there a label of that key? If not, says which keys there are. */
bool explain_key(const struct profile *all, const char *key);

/* `all` is the profile before the filter. */
void explain_filter(const struct profile_filter *filter, const struct profile *all);

#endif
