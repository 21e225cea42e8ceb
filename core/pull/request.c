#include "pull/request.h"

#include <ctype.h>
#include <limits.h>
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

/* A number in plain digits, with at most one point. */
static bool parse_number(struct text value, const char *characters, double *number)
{
    char digits[16], *end;
    if (value.length == 0 || value.length >= sizeof digits)
        return false;
    memcpy(digits, value.at, value.length);
    digits[value.length] = '\0';
    if (digits[strspn(digits, characters)] != '\0')
        return false;
    *number = strtod(digits, &end);
    return *end == '\0' && *number > 0;
}

static bool parse_seconds(struct text value, double *seconds)
{
    return parse_number(value, "0123456789.", seconds) && *seconds <= PULL_MAX_SECONDS;
}

static bool parse_process(struct text value, long *process)
{
    double number = 0;
    bool valid = parse_number(value, "0123456789", &number) && number <= INT_MAX;
    *process = valid ? (long)number : 0;
    return valid;
}

static bool parse_rate(struct text value, unsigned *rate)
{
    double number = 0;
    bool valid = parse_number(value, "0123456789", &number) && number <= INT_MAX;
    *rate = valid ? (unsigned)number : 0;
    return valid;
}

/* As Go reads it: any number but 0. */
static bool parse_flag(struct text value, bool *flag)
{
    double number = 0;
    *flag = parse_number(value, "0123456789", &number);
    return *flag || is(value, "0");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Text without control characters, which may be written as %41. */
static bool parse_text(struct text value, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < value.length; i++) {
        int c = (unsigned char)value.at[i];
        if (c == '%') {
            int high = i + 2 < value.length ? hex_digit(value.at[i + 1]) : -1;
            int low = i + 2 < value.length ? hex_digit(value.at[i + 2]) : -1;
            c = high < 0 || low < 0 ? -1 : high * 16 + low;
            i += 2;
        }
        if (c < ' ' || c == 0x7f || used + 1 >= size)
            return false;
        text[used++] = (char)c;
    }
    text[used] = '\0';
    return true;
}

static void parse_query(struct text query, struct pull_request *request)
{
    while (query.length > 0) {
        struct text value = cut(&query, '&');
        struct text key = cut(&value, '=');
        if ((is(key, "seconds") && !parse_seconds(value, &request->seconds)) ||
            (is(key, "pid") && !parse_process(value, &request->process)) ||
            (is(key, "gc") && !parse_flag(value, &request->collect)) ||
            (is(key, "types") && !parse_text(value, request->types, sizeof request->types)) ||
            (is(key, "output") &&
             !parse_text(value, request->output, sizeof request->output)) ||
            (is(key, "format") &&
             !parse_text(value, request->format, sizeof request->format)) ||
            (is(key, "rate") && !parse_rate(value, &request->rate)))
            request->error = 400;
    }
}

/* The pages, each with who may have it. */
static const struct page {
    const char *path;
    enum pull_page page;
    bool owner; /* on the control socket alone */
    bool post;
} pages[] = {
    {"/", PULL_INDEX, false, false},
    {"/debug/pprof", PULL_INDEX, false, false},
    {"/debug/pprof/", PULL_INDEX, false, false},
    {"/debug/pprof/profile", PULL_PROFILE, false, false},
    {"/debug/pprof/heap", PULL_HEAP, false, false},
    {"/debug/pprof/allocs", PULL_ALLOCS, false, false},
    {"/debug/pprof/mutex", PULL_LOCKS, false, false},
    {"/debug/pprof/block", PULL_LOCKS, false, false},
    {"/debug/pprof/threads", PULL_THREADS, false, false},
    {"/metrics", PULL_METRICS, false, false},
    {"/cprof/status", PULL_STATUS, true, false},
    {"/cprof/start", PULL_START, true, true},
    {"/cprof/stop", PULL_STOP, true, true},
};

static const struct page *find_page(struct text path, enum pull_audience audience)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (is(path, pages[i].path) && (!pages[i].owner || audience == PULL_OWNER))
            return &pages[i];
    return NULL;
}

static void parse_target(struct text method, struct text target, enum pull_audience audience,
                         struct pull_request *request)
{
    struct text path = cut(&target, '?');
    const struct page *page = find_page(path, audience);
    bool post = page != NULL && page->post;
    if (!is(method, post ? "POST" : "GET")) {
        request->error = 405;
        return;
    }
    request->seconds = PULL_DEFAULT_SECONDS;
    if (page == NULL) {
        request->error = 404;
        return;
    }
    request->page = page->page;
    if (pull_adds_up(request->page))
        request->seconds = 0;
    if (request->page != PULL_INDEX)
        parse_query(target, request);
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

bool pull_request_parse(const char *head, size_t size, enum pull_audience audience,
                        struct pull_request *request)
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
    else
        parse_target(method, target, audience, request);
    if (request->error == 0 && audience == PULL_LOCAL)
        check_host(rest, request);
    return true;
}
