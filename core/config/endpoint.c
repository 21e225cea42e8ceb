#include "config/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "export/url.h"

#define UNIX_SCHEME "unix:"

static bool begins_with(const char *text, const char *beginning)
{
    return strncasecmp(text, beginning, strlen(beginning)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* The address may hold user:password. */
static int refuse(const struct complaint *complaint, struct setting setting,
                  const char *allowed)
{
    char *shown = url_for_people(setting.value);
    setting.value = shown != NULL ? shown : "";
    int status = value_refuse(complaint, setting, allowed);
    free(shown);
    return status;
}

static int parse_unix(const struct complaint *complaint, struct setting setting,
                      const struct endpoint_rules *rules, struct endpoint *endpoint)
{
    const char *path = setting.value + strlen(UNIX_SCHEME);
    if (strncmp(path, "//", 2) == 0)
        path += 2;
    if (path[0] != '/' || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return refuse(complaint, setting,
                      "must be unix: and an absolute path of at most 107 bytes");
    endpoint->socket = strdup(path);
    if (endpoint->socket != NULL &&
        asprintf(&endpoint->url, "http://localhost%s", rules->path) >= 0)
        return 0;
    free(endpoint->socket);
    *endpoint = (struct endpoint){0};
    return value_no_memory(complaint);
}

int endpoint_parse(const struct complaint *complaint, struct setting setting,
                   const struct endpoint_rules *rules, struct endpoint *endpoint)
{
    const char *address = setting.value, *scheme = "", *path = rules->path;
    *endpoint = (struct endpoint){0};
    if (begins_with(address, UNIX_SCHEME))
        return parse_unix(complaint, setting, rules, endpoint);
    bool bare = !begins_with(address, "http://") && !begins_with(address, "https://");
    if (bare && (!rules->grpc || strstr(address, "://") != NULL))
        return refuse(complaint, setting,
                      "must be a URL that begins with http:// or https://, or unix:/path");
    if (bare)
        scheme = rules->insecure ? "http://" : "https://";
    size_t length = strlen(address);
    if (rules->grpc) {
        const char *host = bare ? address : strstr(address, "://") + 3;
        length = (size_t)(host - address) + strcspn(host, "/?#");
    } else if (!rules->path_is_ours || ends_with(address, path) ||
               (rules->other_path && ends_with(address, rules->other_path))) {
        path = "";
    } else {
        while (address[length - 1] == '/')
            length--;
    }
    if (asprintf(&endpoint->url, "%s%.*s%s", scheme, (int)length, address, path) >= 0)
        return 0;
    endpoint->url = NULL;
    return value_no_memory(complaint);
}
