#include "loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "profile/hex.h"

/* A secret. By the system call, for which glibc has a function since 2.25. */
static int make_token(char token[33])
{
    unsigned char bytes[16];
    if (syscall(SYS_getrandom, bytes, sizeof(bytes), 0) != (long)sizeof(bytes))
        return -EIO;
    hex_write(token, bytes, sizeof(bytes));
    return 0;
}

static int listen_at(int server, unsigned port, unsigned *got)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(server, (struct sockaddr *)&address, size) < 0 || listen(server, 16) < 0 ||
        getsockname(server, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    *got = ntohs(address.sin_port);
    return 0;
}

int loopback_open(struct loopback *server, unsigned port)
{
    unsigned got = 0;
    int status = make_token(server->token);
    server->socket = status ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!status && server->socket < 0)
        status = -errno;
    if (!status)
        status = listen_at(server->socket, port, &got);
    if (status)
        loopback_close(server);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u/%s/", got, server->token);
    return status;
}

void loopback_close(struct loopback *server)
{
    if (server->socket >= 0)
        close(server->socket);
    server->socket = -1;
}

/* --- a request --- */

/* Up to the empty line; false: too large, too slow, or gone. */
static bool read_head(int client, char head[LOOPBACK_HEAD])
{
    const uint64_t deadline =
        clock_ns(CLOCK_MONOTONIC) + (uint64_t)LOOPBACK_PATIENCE * NS_PER_SECOND;
    size_t used = 0;
    while (used < LOOPBACK_HEAD - 1 && clock_ns(CLOCK_MONOTONIC) < deadline) {
        ssize_t got = recv(client, head + used, LOOPBACK_HEAD - 1 - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        head[used] = '\0';
        if (strlen(head) != used)
            return false;
        if (strstr(head, "\r\n\r\n"))
            return true;
    }
    return false;
}

/* Does the Host header name this machine? */
static bool is_ours(const char *head)
{
    static const char *const names[] = {"127.0.0.1", "localhost"};
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "host:", 5) != 0)
            continue;
        const char *host = line + 7 + strspn(line + 7, " ");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            size_t length = strlen(names[i]);
            if (strncasecmp(host, names[i], length) == 0 &&
                (host[length] == ':' || host[length] == '\r'))
                return true;
        }
        return false;
    }
    return false;
}

/* Finds page and query of "GET /TOKEN/page?query HTTP/1.1"; an HTTP status where that fails. */
static int parse_head(const struct loopback *server, char *head, char **page, char **query)
{
    static char nothing[1];
    const size_t token = strlen(server->token);
    if (strncmp(head, "GET /", 5) != 0)
        return 405;
    if (!is_ours(head))
        return 403;
    char *path = head + 5;
    path[strcspn(path, " \r\n")] = '\0';
    if (strncmp(path, server->token, token) != 0 || path[token] != '/')
        return 404;
    *page = path + token + 1;
    *query = strchr(*page, '?');
    if (*query)
        *(*query)++ = '\0';
    else
        *query = nothing;
    return 200;
}

/* --- an answer --- */

static bool send_all(int client, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(client, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static const char *reason(int status)
{
    return status == 200   ? "OK"
           : status == 403 ? "Forbidden"
           : status == 404 ? "Not Found"
           : status == 405 ? "Method Not Allowed"
                           : "Internal Server Error";
}

static void send_answer(int client, int status, const struct buffer *page)
{
    char head[512];
    int length =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
                 "Referrer-Policy: no-referrer\r\n"
                 "Cross-Origin-Resource-Policy: same-origin\r\n\r\n",
                 status, reason(status), page->size);
    if (send_all(client, head, (size_t)length))
        send_all(client, page->data, page->size);
}

static void serve_client(const struct loopback *server, int client, loopback_answer answer,
                         void *closure)
{
    static char head[LOOPBACK_HEAD];
    const struct timeval patience = {.tv_sec = LOOPBACK_PATIENCE};
    struct buffer page = {0};
    char *name = NULL, *query = NULL;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!read_head(client, head))
        return;
    int status = parse_head(server, head, &name, &query);
    if (status == 200)
        status = answer(closure, name, query, &page);
    if (page.error) {
        buffer_free(&page);
        page = (struct buffer){0};
        status = 500;
    }
    if (page.size == 0)
        loopback_escape(&page, reason(status));
    send_answer(client, status, &page);
    buffer_free(&page);
}

void loopback_serve(struct loopback *server, loopback_answer answer, void *closure,
                    const volatile sig_atomic_t *stop)
{
    while (!*stop) {
        int client = accept4(server->socket, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && errno != EINTR && errno != ECONNABORTED)
            return;
        if (client < 0)
            continue;
        serve_client(server, client, answer, closure);
        close(client);
    }
}

/* --- texts --- */

static int digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* "%2F" and "+" become what they stand for; a NUL ends the text. */
static void decode(char *text)
{
    char *out = text;
    for (; *text; text++) {
        if (*text == '%' && digit(text[1]) >= 0 && digit(text[2]) >= 0) {
            *out++ = (char)(digit(text[1]) * 16 + digit(text[2]));
            text += 2;
        } else {
            *out++ = *text == '+' ? ' ' : *text;
        }
    }
    *out = '\0';
}

bool loopback_parameter(char **query, char **name, char **value)
{
    char *at = *query, *end = at + strcspn(at, "&"), *equals = strchr(at, '=');
    if (!*at)
        return false;
    *query = *end ? end + 1 : end;
    *end = '\0';
    *name = at;
    *value = equals && equals < end ? equals + 1 : end;
    if (equals && equals < end)
        *equals = '\0';
    decode(*name);
    decode(*value);
    return true;
}

void loopback_escape(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        const char *escaped = *text == '<'    ? "&lt;"
                              : *text == '>'  ? "&gt;"
                              : *text == '&'  ? "&amp;"
                              : *text == '"'  ? "&quot;"
                              : *text == '\'' ? "&#39;"
                                              : NULL;
        if (escaped)
            buffer_append(out, escaped, strlen(escaped));
        else
            buffer_append(out, text, 1);
    }
}
