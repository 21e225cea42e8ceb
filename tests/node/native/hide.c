/*
 * Preloaded: dlsym() does not find symbols whose names hold one of the words of HIDDEN_SYMBOLS,
 * as in a Node that does not export them.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_hidden(const char *name)
{
    char words[1024];
    const char *hidden = getenv("HIDDEN_SYMBOLS");
    snprintf(words, sizeof words, "%s", hidden != NULL ? hidden : "");
    char *rest = words;
    for (char *word; (word = strtok_r(rest, ",", &rest)) != NULL;)
        if (strstr(name, word) != NULL)
            return true;
    return false;
}

void *dlsym(void *handle, const char *name)
{
    static void *(*original)(void *, const char *);
    if (original == NULL)
        *(void **)&original = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    return is_hidden(name) ? NULL : original(handle, name);
}
