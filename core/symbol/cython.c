#include "symbol/cython.h"

#include <stdio.h>
#include <string.h>

/* What follows the scopes. */
enum number { NONE, SOMETIMES, ALWAYS };

#define LAMBDA "__pyx_lambda_funcdef_"

static const struct kind {
    const char *prefix;
    enum number number;
    const char *method; /* the scopes are all, and this is what of them */
} kinds[] = {
    {"__pyx_pw_", ALWAYS, NULL},    /* what Python calls */
    {"__pyx_pf_", SOMETIMES, NULL}, /* its body, where that is not inlined */
    {"__pyx_f_", NONE, NULL},       /* cdef, cpdef */
    {"__pyx_gb_", ALWAYS, NULL},    /* the body of a generator or coroutine */
    {"__pyx_getprop_", NONE, NULL},
    {"__pyx_setprop_", NONE, NULL},
    {"__pyx_tp_new_", NONE, ".__new__"},
    {"__pyx_tp_dealloc_", NONE, ".__dealloc__"},
    {"__pyx_pymod_exec_", NONE, ".<module>"},
    {LAMBDA, NONE, NULL}, /* its body; older versions write no scopes there */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_number(const char *text)
{
    while (is_digit(*text))
        text++;
    return text;
}

/* "4Cart_": the scope's name and what is behind it. NULL: it does not begin so. */
static const char *scope_at(const char *text, const char **name, size_t *length)
{
    size_t size = 0;
    if (!is_digit(*text) || *text == '0')
        return NULL;
    for (; is_digit(*text) && size < 1000; text++)
        size = size * 10 + (size_t)(*text - '0');
    if (strnlen(text, size + 2) < size + 2 || text[size] != '_' || is_digit(text[0]))
        return NULL;
    *name = text;
    *length = size;
    return text + size + 1;
}

static bool is_function(const char *text, enum number number)
{
    const char *name = skip_number(text);
    return *name != '\0' && (number == SOMETIMES || (number == ALWAYS) == (name > text));
}

/* Could `text` be any scopes and then a function? */
static bool is_rest(const char *text, enum number number)
{
    const char *name;
    size_t length;
    bool found = is_function(text, number);
    while (!found && (text = scope_at(text, &name, &length)) != NULL)
        found = is_function(text, number);
    return found;
}

/* A body without a number is the first of its scope. "2is_open" may be that of "is", or the
 * second of this scope: short words in small letters are taken for the beginning of a name. */
static bool is_scope(const char *name, size_t length, const char *rest, enum number number)
{
    bool likely = length > 4 || (name[0] >= 'A' && name[0] <= 'Z') || rest[0] == '_';
    return is_rest(rest, number) && (number != SOMETIMES || likely || is_digit(rest[0]));
}

static bool is_lambda(const char *name)
{
    return strncmp(name, "lambda", 6) == 0 || strncmp(name, LAMBDA, sizeof LAMBDA - 1) == 0;
}

static const char *name_of(const char *final, const char *prefix)
{
    const char *name = skip_number(final);
    if (strcmp(prefix, "__pyx_gb_") == 0)
        return "<generator>";
    if (is_lambda(name))
        return "<lambda>";
    return strncmp(name, "genexpr", 7) == 0 ? "<genexpr>" : name;
}

/* The functions of a property go by its name. */
static bool is_accessor(const char *name)
{
    return strcmp(name, "__get__") == 0 || strcmp(name, "__set__") == 0 ||
           strcmp(name, "__del__") == 0;
}

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

bool cython_readable(const char *name, char *output, size_t capacity)
{
    static const char fused[] = "__pyx_fuse_"; /* one for each type, "__pyx_fuse_0__pyx_pw_…" */
    if (strncmp(name, fused, sizeof fused - 1) == 0)
        name = skip_number(name + sizeof fused - 1);
    const struct kind *kind = kind_of(name);
    if (kind == NULL)
        return false;
    const char *text = name + strlen(kind->prefix), *scope;
    char readable[1024] = "";
    size_t used = 0, length;
    for (const char *next; (next = scope_at(text, &scope, &length)) != NULL; text = next) {
        if (used > 0 && !is_scope(scope, length, next, kind->number))
            break;
        used += (size_t)snprintf(readable + used, sizeof readable - used, "%.*s.", (int)length,
                                 scope);
        if (used >= sizeof readable)
            return false;
    }
    bool alone =
        strcmp(kind->prefix, "__pyx_pymod_exec_") == 0 || strcmp(kind->prefix, LAMBDA) == 0;
    if ((used == 0 && !alone) || *skip_number(text) == '\0' || strncmp(text, "__pyx", 5) == 0)
        return false;
    const char *final = name_of(text, kind->prefix);
    if (is_accessor(final))
        snprintf(output, capacity, "%.*s", (int)used - 1, readable);
    else
        snprintf(output, capacity, "%s%s%s", readable, final, kind->method ? kind->method : "");
    return true;
}
