#include "export/secrets.h"

#include <stdlib.h>
#include <string.h>

#define SHORTEST 6
#define SEPARATORS " \t,;:=&?#@"

static bool add_word(struct secrets *secrets, const char *word, size_t length)
{
    if (length < SHORTEST || strncmp(word, "Bearer", length) == 0)
        return true;
    char **words = realloc(secrets->words, (secrets->count + 1) * sizeof *words);
    char *copy = strndup(word, length);
    if (words != NULL)
        secrets->words = words;
    if (words == NULL || copy == NULL) {
        free(copy);
        return false;
    }
    secrets->words[secrets->count++] = copy;
    return true;
}

static bool add_words(struct secrets *secrets, const char *text, size_t length)
{
    const char *end = text + length;
    bool complete = true;
    while (text < end) {
        size_t word = strcspn(text, SEPARATORS);
        if (word > (size_t)(end - text))
            word = (size_t)(end - text);
        complete &= add_word(secrets, text, word);
        text += word + 1;
    }
    return complete;
}

bool secrets_add(struct secrets *secrets, const char *text)
{
    return add_words(secrets, text, strlen(text));
}

bool secrets_add_url(struct secrets *secrets, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *query = host + strcspn(host, "?#");
    return (at == NULL || add_words(secrets, host, (size_t)(at - host))) &&
           (*query == '\0' || secrets_add(secrets, query + 1));
}

/* Where the longest word that stands here ends. */
static size_t longest_at(const struct secrets *secrets, const char *text, size_t size)
{
    size_t longest = 0;
    for (size_t i = 0; i < secrets->count; i++) {
        const char *word = secrets->words[i];
        size_t length = strlen(word);
        if (word[0] == text[0] && length > longest && length <= size &&
            memcmp(word, text, length) == 0)
            longest = length;
    }
    return longest;
}

/* Words may lie in each other, and overlap: each is looked for in the text as it came, which
 * still stands from the byte on that is next to be starred. */
void secrets_hide(const struct secrets *secrets, void *text, size_t size)
{
    char *bytes = text;
    size_t hidden = 0;
    for (size_t i = 0; i < size && secrets->count > 0; i++) {
        size_t end = i + longest_at(secrets, bytes + i, size - i);
        hidden = end > hidden ? end : hidden;
        if (i < hidden)
            bytes[i] = '*';
    }
}

void secrets_free(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++)
        free(secrets->words[i]);
    free(secrets->words);
}
