/*
 * Texts that must not be shown: the values of a person's headers and what an address holds
 * besides host and path. Servers repeat them in their complaints ("invalid token …"), so what
 * they say is cleaned before it stands in a line: words that lie in each other or overlap, too.
 * Words of fewer than six bytes are no secrets. Belongs to its transport; hiding is
 * thread-safe.
 */
#ifndef CPROF_EXPORT_SECRETS_H
#define CPROF_EXPORT_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

struct secrets {
    char **words;
    size_t count;
};

/* False: out of memory. */
bool secrets_add(struct secrets *secrets, const char *text);    /* its words, as they stand */
bool secrets_add_url(struct secrets *secrets, const char *url); /* user, password, query */
/* In place, as stars. Of a text that is cut off before, a part of one may be left. */
void secrets_hide(const struct secrets *secrets, void *text, size_t size);
void secrets_free(struct secrets *secrets);

#endif
