#include "pull/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const forms = "must be 127.0.0.1:PORT, [::1]:PORT or unix:/PATH";

/* The path with %p put in. */
static bool parse_unix(const char *path, struct pull_address *address)
{
    struct sockaddr_un *file = &address->to.file;
    size_t used = 0;
    file->sun_family = AF_UNIX;
    for (; *path != '\0' && used < sizeof file->sun_path; path++) {
        size_t room = sizeof file->sun_path - used;
        if (path[0] == '%' && path[1] == 'p') {
            path++;
            used += (size_t)snprintf(file->sun_path + used, room, "%ld", (long)getpid());
        } else {
            file->sun_path[used++] = *path;
        }
    }
    if (used >= sizeof file->sun_path || file->sun_path[0] != '/')
        return false;
    file->sun_path[used] = '\0';
    address->length = sizeof *file;
    return true;
}

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;
    unsigned long number = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (number == 0 || number > 65535 || *end != '\0')
        return false;
    *port = htons((in_port_t)number);
    return true;
}

static bool is_loopback(const struct pull_address *address)
{
    if (address->to.any.sa_family == AF_INET)
        return ntohl(address->to.ip4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address->to.ip6.sin6_addr);
}

const char *pull_address_parse(const char *text, bool others, struct pull_address *address)
{
    *address = (struct pull_address){.length = 0};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, address) ? NULL
                                             : "must be unix: and an absolute path of at most "
                                               "107 bytes";
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    if (length == 0 || length >= sizeof host)
        return forms;
    memcpy(host, text, length);
    host[length] = '\0';
    bool port;
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        address->to.ip6.sin6_family = AF_INET6;
        address->length = sizeof address->to.ip6;
        port = inet_pton(AF_INET6, host + 1, &address->to.ip6.sin6_addr) == 1 &&
               parse_port(colon + 1, &address->to.ip6.sin6_port);
    } else {
        const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
        address->to.ip4.sin_family = AF_INET;
        address->length = sizeof address->to.ip4;
        port = inet_pton(AF_INET, number, &address->to.ip4.sin_addr) == 1 &&
               parse_port(colon + 1, &address->to.ip4.sin_port);
    }
    if (!port)
        return forms;
    address->audience = is_loopback(address) ? PULL_LOCAL : PULL_PUBLIC;
    return others || address->audience == PULL_LOCAL
               ? NULL
               : "other hosts could read profiles there; set "
                 "CPROF_LISTEN_PUBLIC=true if they may";
}
