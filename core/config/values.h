/*
 * Settings, from arguments and variables, and reading their values: numbers, sizes, lists of
 * words and of pairs, as the interface spells them. Knows no setting by name.
 *
 * What makes no sense is refused with a line for people that names the setting, the value and
 * what is allowed. Functions that return int give 0, -EINVAL or -ENOMEM, and have complained
 * then.
 */
#ifndef CPROF_CONFIG_VALUES_H
#define CPROF_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>

#include "cprof/cprof.h"

#define VALUE_MAX_PAIRS 128 /* of one list */

/* A value together with the name under which the user gave it. */
struct setting {
    const char *name;
    const char *value; /* NULL: not given */
};

/* An environment variable; an empty one counts as unset. */
const char *value_of_variable(const char *name); /* NULL: not set */
struct setting setting_variable(const char *name);

/* The argument of that name if given, else the variable. */
struct setting setting_choose(const char *argument, const char *value, const char *variable);

/* Where the line for people goes. */
struct complaint {
    char *line;
    size_t size; /* 0: nowhere */
};

/* All three return the error. */
int value_complain(const struct complaint *complaint, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int value_refuse(const struct complaint *complaint, struct setting setting,
                 const char *allowed);
int value_no_memory(const struct complaint *complaint);

/* Replaces *to by a copy; a NULL text leaves it. */
int value_copy(const struct complaint *complaint, char **to, const char *text);

/* A decimal number from `low` to `high`, nothing around it. */
bool value_number(const char *text, double low, double high, double *number);
bool value_count(const char *text, size_t low, size_t high, size_t *count);

/* The same, with one of these units behind it, in any case ("10 s"); without one it is as it
 * stands. The list ends with a name that is NULL. */
struct unit {
    const char *name;
    double factor;
};
bool value_with_unit(const char *text, const struct unit *units, double low, double high,
                     double *number);

/* Bytes, with K, M or G for powers of 1024: 64M, 64MiB and 64 MB are the same. */
bool value_bytes(const char *text, size_t low, size_t *bytes);
bool value_is_true(const char *text);

/* Owned copies of key and value; a later pair wins over one with its key. */
struct pairs {
    struct cprof_pair *list;
    size_t count;
};

void pairs_free(struct pairs *pairs);

/* Adds a list that the program gave. */
int pairs_copy(const struct complaint *complaint, const char *argument, struct pairs *pairs,
               const struct cprof_pair *list, size_t count);

/* Adds k=v,k2=v2, percent-encoded. The value itself is not repeated in an error: headers hold
 * secrets. A '%' that begins no code stands for itself, unless the form is strict. */
enum pairs_form { PAIRS_LENIENT, PAIRS_STRICT };
int value_pairs(const struct complaint *complaint, struct setting setting, enum pairs_form form,
                struct pairs *pairs);

struct word {
    const char *text;
    bool *chosen; /* NULL: known, but not in this version */
};

/* Sets *chosen for each word of a comma list. What is known but not there yet is one
 * warning. */
int value_words(const struct complaint *complaint, struct setting setting,
                const struct word *words, size_t count, const char *allowed);

#endif
