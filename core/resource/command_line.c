#include "resource/command_line.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MASK "***"
#define GENERATED_LENGTH 20 /* characters from which letters with digits look generated */

/* A part of the arguments. */
struct word {
    const char *text;
    size_t length;
};

struct shown {
    char *text;
    size_t size, used; /* used < size */
};

static void show(struct shown *out, struct word word)
{
    size_t room = out->size - 1 - out->used;
    size_t length = word.length < room ? word.length : room;
    memcpy(out->text + out->used, word.text, length);
    out->used += length;
    out->text[out->used] = '\0';
}

static void show_text(struct shown *out, const char *text)
{
    show(out, (struct word){text, strlen(text)});
}

static bool contains_any(struct word word, const char *characters)
{
    for (size_t i = 0; i < word.length; i++)
        if (strchr(characters, word.text[i]) != NULL)
            return true;
    return false;
}

static bool speaks_of_secret(struct word name)
{
    static const char *const signs[] = {"pass", "pwd",    "secret",  "token", "key",
                                        "auth", "cred",   "cookie",  "sess",  "signature",
                                        "dsn",  "bearer", "private", "salt"};
    for (size_t s = 0; s < sizeof signs / sizeof *signs; s++) {
        size_t length = strlen(signs[s]);
        for (size_t i = 0; i + length <= name.length; i++)
            if (strncasecmp(name.text + i, signs[s], length) == 0)
                return true;
    }
    return false;
}

/* Long, of one piece, with letters and digits: hashes, keys, tokens. A word with slashes is
 * more likely a path, unless it mixes capitals in. */
static bool looks_generated(struct word word)
{
    size_t lower = 0, upper = 0, digits = 0, slashes = 0;
    for (size_t i = 0; i < word.length; i++) {
        unsigned char c = (unsigned char)word.text[i];
        if (c == '.' || c == ':' || c >= 0x80)
            return false;
        lower += islower(c) != 0;
        upper += isupper(c) != 0;
        digits += isdigit(c) != 0;
        slashes += c == '/';
    }
    if (word.length < GENERATED_LENGTH || digits == 0 || lower + upper == 0)
        return false;
    return slashes == 0 || (word.text[0] != '/' && lower > 0 && upper > 0 && digits > 1);
}

static size_t find(struct word word, const char *part)
{
    const char *at = memmem(word.text, word.length, part, strlen(part));
    return at != NULL ? (size_t)(at - word.text) : word.length;
}

/* An address without user and password, and without its query. */
static void show_url(struct shown *out, struct word word, size_t scheme_end)
{
    struct word rest = {word.text + scheme_end, word.length - scheme_end};
    show(out, (struct word){word.text, scheme_end});
    size_t host = 0, end = 0;
    while (end < rest.length && strchr("?#", rest.text[end]) == NULL)
        end++;
    /* The last '@' counts: a password may hold one, and a '/' that should have been encoded. */
    for (size_t i = 0; i < end; i++)
        if (rest.text[i] == '@')
            host = i + 1;
    if (host > 0)
        show_text(out, MASK "@");
    show(out, (struct word){rest.text + host, end - host});
    if (end < rest.length)
        show_text(out, "?" MASK);
}

static void show_value(struct shown *out, struct word word)
{
    size_t scheme = find(word, "://");
    if (scheme < word.length)
        show_url(out, word, scheme + 3);
    else if (looks_generated(word) || find(word, "@") < word.length)
        show_text(out, MASK);
    else
        show(out, word);
}

/* name=value, name:value, or a value alone. */
static void show_argument(struct shown *out, struct word word)
{
    size_t name = 0;
    while (name < word.length && strchr("=:", word.text[name]) == NULL)
        name++;
    bool named = name < word.length;
    bool url = named && word.length - name >= 3 && memcmp(word.text + name, "://", 3) == 0;
    if (word.length > 2 && memcmp(word.text, "-p", 2) == 0) {
        show_text(out, "-p" MASK);
    } else if (named && !url) {
        size_t value = name + 1;
        show(out, (struct word){word.text, value});
        if (speaks_of_secret((struct word){word.text, name}))
            show_text(out, MASK);
        else
            show_argument(out, (struct word){word.text + value, word.length - value});
    } else {
        show_value(out, word);
    }
}

/* Does the argument's value come as the next one? */
static bool announces_secret(struct word word)
{
    return word.length > 1 && word.text[0] == '-' && find(word, "=") == word.length &&
           speaks_of_secret(word);
}

/* Programs that set their title write all of it where the first argument was. True when what
 * follows is a secret. */
static bool show_title(struct shown *out, struct word word)
{
    bool secret = false;
    for (size_t i = 0; i < word.length;) {
        struct word part = {word.text + i, 0};
        while (i + part.length < word.length && part.text[part.length] != ' ')
            part.length++;
        if (i > 0)
            show_text(out, " ");
        if (secret && part.length > 0)
            show_text(out, MASK);
        else
            show_argument(out, part);
        secret = part.length > 0 ? announces_secret(part) : secret;
        i += part.length + 1;
    }
    return secret;
}

void command_line_show(const char *arguments, size_t size, char *text, size_t text_size)
{
    struct shown out = {.text = text, .size = text_size};
    bool secret = false;
    text[0] = '\0';
    for (size_t at = 0; at < size;) {
        struct word word = {arguments + at, strnlen(arguments + at, size - at)};
        bool hidden = secret || contains_any(word, " \t\r\n\"'`(){}[];|<>$\\");
        if (at > 0)
            show_text(&out, " ");
        secret = at > 0 ? announces_secret(word) : show_title(&out, word);
        if (at > 0 && hidden)
            show_text(&out, MASK);
        else if (at > 0)
            show_argument(&out, word);
        at += word.length + 1;
    }
}
