#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

/* ---- where they come from ---- */

const char *value_of_variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

struct setting setting_variable(const char *name)
{
    return (struct setting){.name = name, .value = value_of_variable(name)};
}

struct setting setting_choose(const char *argument, const char *value, const char *variable)
{
    if (value != NULL && value[0] != '\0')
        return (struct setting){.name = argument, .value = value};
    return setting_variable(variable);
}

/* ---- complaints ---- */

int value_complain(const struct complaint *complaint, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (complaint->size > 0)
        vsnprintf(complaint->line, complaint->size, format, arguments);
    va_end(arguments);
    return status;
}

int value_refuse(const struct complaint *complaint, struct setting setting, const char *allowed)
{
    return value_complain(complaint, -EINVAL, "%s=%.100s: %s", setting.name, setting.value,
                          allowed);
}

int value_no_memory(const struct complaint *complaint)
{
    return value_complain(complaint, -ENOMEM, "out of memory");
}

/* ---- single values ---- */

int value_copy(const struct complaint *complaint, char **to, const char *text)
{
    if (text == NULL)
        return 0;
    char *copy = strdup(text);
    if (copy == NULL)
        return value_no_memory(complaint);
    free(*to);
    *to = copy;
    return 0;
}

bool value_number(const char *text, double low, double high, double *number)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    *number = strtod(text, &end);
    return *end == '\0' && isfinite(*number) && *number >= low && *number <= high;
}

bool value_count(const char *text, size_t low, size_t high, size_t *count)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < low || value > high)
        return false;
    *count = (size_t)value;
    return true;
}

bool value_with_unit(const char *text, const struct unit *units, double low, double high,
                     double *number)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    double value = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (; *end != '\0' && units->name != NULL; units++) {
        if (strcasecmp(end, units->name) == 0) {
            value *= units->factor;
            end += strlen(end);
            break;
        }
    }
    *number = value;
    return *end == '\0' && isfinite(value) && value >= low && value <= high;
}

/* What may follow a number of bytes: its shift, or -1. */
static int shift_of(const char *unit)
{
    static const char units[] = "KMG";
    while (*unit == ' ')
        unit++;
    const char *known = *unit != '\0' ? strchr(units, toupper((unsigned char)*unit)) : NULL;
    unit += known != NULL;
    bool end = *unit == '\0' || strcasecmp(unit, "b") == 0 ||
               (known != NULL && strcasecmp(unit, "ib") == 0) ||
               (known != NULL && strcasecmp(unit, "i") == 0);
    return !end ? -1 : known != NULL ? 10 * (int)(known - units + 1) : 0;
}

bool value_bytes(const char *text, size_t low, size_t *bytes)
{
    char digits[24];
    size_t length = strspn(text, "0123456789");
    int shift = shift_of(text + length);
    if (length == 0 || length >= sizeof digits || shift < 0)
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!value_count(digits, 1, SIZE_MAX >> shift, bytes))
        return false;
    *bytes <<= shift;
    return *bytes >= low;
}

bool value_is_true(const char *text)
{
    return strcasecmp(text, "true") == 0;
}

/* ---- lists of pairs ---- */

void pairs_free(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free((char *)pairs->list[i].key);
        free((char *)pairs->list[i].value);
    }
    free(pairs->list);
    *pairs = (struct pairs){0};
}

/* Sets a key; a later one wins. Takes ownership of both strings. */
static int pairs_set(struct pairs *pairs, char *key, char *value)
{
    int status = -ENOMEM;
    if (key == NULL || value == NULL)
        goto refused;
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->list[i].key, key) == 0) {
            free((char *)pairs->list[i].value);
            pairs->list[i].value = value;
            free(key);
            return 0;
        }
    }
    status = -E2BIG;
    if (pairs->count == VALUE_MAX_PAIRS)
        goto refused;
    if (pairs->list == NULL) {
        status = -ENOMEM;
        pairs->list = calloc(VALUE_MAX_PAIRS, sizeof *pairs->list);
        if (pairs->list == NULL)
            goto refused;
    }
    pairs->list[pairs->count++] = (struct cprof_pair){.key = key, .value = value};
    return 0;
refused:
    free(key);
    free(value);
    return status;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy of [from, to) without outer blanks and with %XX decoded; NULL: out of memory. Sets
 * *damaged for a '%' without two digits, or with those of NUL. */
static char *decode(const char *from, const char *to, bool *damaged)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    char *text = malloc((size_t)(to - from) + 1);
    char *out = text;
    while (text != NULL && from < to) {
        int high = *from == '%' && to - from > 2 ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (low >= 0 && high + low > 0) {
            *out++ = (char)(high << 4 | low);
            from += 3;
        } else {
            *damaged |= *from == '%';
            *out++ = *from++;
        }
    }
    if (text != NULL)
        *out = '\0';
    return text;
}

/* One k=v of a list, [at, end). 0, -EINVAL, -E2BIG or -ENOMEM. */
static int read_pair(const char *at, const char *end, enum pairs_form form, struct pairs *pairs)
{
    bool damaged = false;
    const char *equals = memchr(at, '=', (size_t)(end - at));
    if (equals == NULL)
        return -EINVAL;
    char *key = decode(at, equals, &damaged);
    char *value = decode(equals + 1, end, &damaged);
    if (key != NULL && (key[0] == '\0' || (damaged && form == PAIRS_STRICT))) {
        free(key);
        free(value);
        return -EINVAL;
    }
    return pairs_set(pairs, key, value);
}

int value_pairs(const struct complaint *complaint, struct setting setting, enum pairs_form form,
                struct pairs *pairs)
{
    const char *at = setting.value;
    while (at != NULL && *at != '\0') {
        const char *end = at + strcspn(at, ",");
        bool blank = strspn(at, " \t") >= (size_t)(end - at);
        int status = blank ? 0 : read_pair(at, end, form, pairs);
        if (status == -EINVAL)
            return value_complain(complaint, status, "%s: must be a list key=value,key=value%s",
                                  setting.name,
                                  form == PAIRS_STRICT ? ", percent-encoded" : "");
        if (status == -E2BIG)
            return value_complain(complaint, -EINVAL, "%s: more than %d pairs", setting.name,
                                  VALUE_MAX_PAIRS);
        if (status != 0)
            return value_no_memory(complaint);
        at = *end == ',' ? end + 1 : end;
    }
    return 0;
}

int pairs_copy(const struct complaint *complaint, const char *argument, struct pairs *pairs,
               const struct cprof_pair *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].key == NULL || list[i].key[0] == '\0' || list[i].value == NULL)
            return value_complain(complaint, -EINVAL, "%s: a pair needs a key and a value",
                                  argument);
        int status = pairs_set(pairs, strdup(list[i].key), strdup(list[i].value));
        if (status == -E2BIG)
            return value_complain(complaint, -EINVAL, "%s: more than %d pairs", argument,
                                  VALUE_MAX_PAIRS);
        if (status != 0)
            return value_no_memory(complaint);
    }
    return 0;
}

/* ---- comma lists of words ---- */

int value_words(const struct complaint *complaint, struct setting setting,
                const struct word *words, size_t count, const char *allowed)
{
    for (const char *at = setting.value; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        const char *word = at;
        at += length + (at[length] == ',');
        while (length > 0 && isspace((unsigned char)*word))
            word++, length--;
        while (length > 0 && isspace((unsigned char)word[length - 1]))
            length--;
        size_t i = 0;
        while (i < count && (strncmp(words[i].text, word, length) != 0 ||
                             words[i].text[length] != '\0' || length == 0))
            i++;
        if (i == count)
            return value_refuse(complaint, setting, allowed);
        if (words[i].chosen != NULL)
            *words[i].chosen = true;
        else
            log_warn("%s: %s is not available in this version", setting.name, words[i].text);
    }
    return 0;
}
