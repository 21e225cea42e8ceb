#include "pull/request.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *at;
    size_t length;
};

static bool is(struct text text, const char *other)
{
    return text.length == strlen(other) && memcmp(text.at, other, text.length) == 0;
}

/* Cuts off what stands before the separator; all of it when there is none. */
static struct text cut(struct text *rest, char separator)
{
    const char *end = memchr(rest->at, separator, rest->length);
    struct text part = {rest->at, end != NULL ? (size_t)(end - rest->at) : rest->length};
    size_t used = part.length + (end != NULL);
    rest->at += used;
    rest->length -= used;
    return part;
}

static struct text cut_line(struct text *rest)
{
    struct text line = cut(rest, '\n');
    if (line.length > 0 && line.at[line.length - 1] == '\r')
        line.length--;
    return line;
}

/* The empty line that ends the head. */
static bool is_complete(struct text head)
{
    while (head.length > 0) {
        const char *end = memchr(head.at, '\n', head.length);
        if (end == NULL)
            return false;
        if (cut_line(&head).length == 0)
            return true;
    }
    return false;
}

static bool parse_seconds(struct text value, double *seconds)
{
    char digits[16], *end;
    if (value.length == 0 || value.length >= sizeof digits)
        return false;
    memcpy(digits, value.at, value.length);
    digits[value.length] = '\0';
    if (digits[strspn(digits, "0123456789.")] != '\0')
        return false;
    *seconds = strtod(digits, &end);
    return *end == '\0' && *seconds > 0 && *seconds <= PULL_MAX_SECONDS;
}

static void parse_query(struct text query, struct pull_request *request)
{
    while (query.length > 0) {
        struct text value = cut(&query, '&');
        struct text key = cut(&value, '=');
        if (is(key, "seconds") && !parse_seconds(value, &request->seconds))
            request->error = 400;
    }
}

static void parse_target(struct text target, struct pull_request *request)
{
    struct text path = cut(&target, '?');
    request->seconds = PULL_DEFAULT_SECONDS;
    if (is(path, "/debug/pprof/") || is(path, "/debug/pprof") || is(path, "/")) {
        request->page = PULL_INDEX;
    } else if (is(path, "/debug/pprof/profile")) {
        request->page = PULL_PROFILE;
        parse_query(target, request);
    } else {
        request->error = 404;
    }
}

/* An address in digits, or localhost; with or without a port. */
static bool names_this_host(struct text host)
{
    while (host.length > 0 && isspace((unsigned char)*host.at))
        host.at++, host.length--;
    while (host.length > 0 && isspace((unsigned char)host.at[host.length - 1]))
        host.length--;
    if (host.length == 0 || host.at[0] == '[')
        return true;
    struct text name = cut(&host, ':');
    if (name.length == 9 && strncasecmp(name.at, "localhost", 9) == 0)
        return true;
    for (size_t i = 0; i < name.length; i++)
        if (!isdigit((unsigned char)name.at[i]) && name.at[i] != '.')
            return false;
    return true;
}

static void check_host(struct text head, struct pull_request *request)
{
    while (head.length > 0) {
        struct text line = cut_line(&head);
        struct text name = cut(&line, ':');
        if (name.length == 4 && strncasecmp(name.at, "host", 4) == 0 && !names_this_host(line))
            request->error = 403;
    }
}

bool pull_request_parse(const char *head, size_t size, bool local, struct pull_request *request)
{
    struct text rest = {head, size};
    *request = (struct pull_request){.error = 0};
    if (!is_complete(rest)) {
        request->error = size >= PULL_MAX_HEAD ? 431 : 0;
        return request->error != 0;
    }
    struct text line = cut_line(&rest);
    struct text method = cut(&line, ' '), target = cut(&line, ' ');
    if (line.length != 8 || memcmp(line.at, "HTTP/1.", 7) != 0)
        request->error = 400;
    else if (!is(method, "GET"))
        request->error = 405;
    else
        parse_target(target, request);
    if (request->error == 0 && local)
        check_host(rest, request);
    return true;
}
