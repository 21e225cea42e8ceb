#include "remote.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/http.h"
#include "export/url.h"

#define UNIX_SCHEME "unix:"
#define PPROF_FOLDER "/debug/pprof"

static bool begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

bool remote_is(const char *path)
{
    return begins_with(path, "http://") || begins_with(path, "https://") ||
           begins_with(path, UNIX_SCHEME);
}

/* --- the address --- */

struct address {
    char url[4096];
    char socket[PATH_MAX]; /* "": none */
    double seconds;        /* that the program is asked to look for */
};

/* unix:/run/app.sock and unix:/run/app.sock:/debug/pprof/heap, whose path is behind a colon. */
static int split_socket(struct address *address, const char *url)
{
    const char *socket = url + strlen(UNIX_SCHEME), *path = strstr(socket, ":/");
    size_t length = path ? (size_t)(path - socket) : strlen(socket);
    if (length == 0 || length >= sizeof(address->socket))
        return -EINVAL;
    memcpy(address->socket, socket, length);
    address->socket[length] = '\0';
    int wrote = snprintf(address->url, sizeof(address->url), "http://localhost%s",
                         path ? path + 1 : "");
    return (size_t)wrote < sizeof(address->url) ? 0 : -EINVAL;
}

static double seconds_of(const char *url)
{
    const char *query = strchr(url, '?'), *found = query ? strstr(query, "seconds=") : NULL;
    double seconds = found ? strtod(found + strlen("seconds="), NULL) : 0;
    return seconds > 0 && seconds <= REMOTE_LONGEST ? seconds : 0;
}

/* Is there no more than a server, or the folder of its profiles? */
static bool needs_page(const char *url)
{
    const char *host = strstr(url, "://") + 3, *path = host + strcspn(host, "/?");
    size_t length = strlen(path);
    if (length > 0 && path[length - 1] == '/')
        length--;
    return length == 0 ||
           (length == strlen(PPROF_FOLDER) && strncmp(path, PPROF_FOLDER, length) == 0);
}

static int find_address(struct address *address, const char *url)
{
    *address = (struct address){.socket = ""};
    int status = 0;
    if (begins_with(url, UNIX_SCHEME))
        status = split_socket(address, url);
    else if (snprintf(address->url, sizeof(address->url), "%s", url) >=
             (int)sizeof(address->url))
        status = -EINVAL;
    if (status)
        return status;
    if (needs_page(address->url)) {
        char *host = strstr(address->url, "://") + 3;
        host[strcspn(host, "/?")] = '\0';
        size_t used = strlen(address->url), room = sizeof(address->url) - used;
        if (snprintf(address->url + used, room, "%s/profile?seconds=%d", PPROF_FOLDER,
                     REMOTE_SECONDS) >= (int)room)
            return -EINVAL;
    }
    address->seconds = seconds_of(address->url);
    return 0;
}

/* --- the answer --- */

static bool take(void *closure, const void *data, size_t size)
{
    struct buffer *content = closure;
    if (size > REMOTE_MOST - content->size) {
        content->error = -EFBIG;
        return false;
    }
    buffer_append(content, data, size);
    return content->error == 0;
}

static void explain(const struct http_response *response, const struct buffer *content,
                    const char *shown, char error[FORMAT_ERROR_SIZE])
{
    int length = (int)strcspn(content->size > 0 ? (const char *)content->data : "", "\r\n");
    if (content->error == -EFBIG)
        snprintf(error, FORMAT_ERROR_SIZE, "%.160s: more than %zu MiB", shown,
                 REMOTE_MOST >> 20);
    else if (content->error)
        snprintf(error, FORMAT_ERROR_SIZE, "%.160s: out of memory", shown);
    else if (response->outcome != HTTP_ANSWERED)
        snprintf(error, FORMAT_ERROR_SIZE, "%.120s: %.120s", shown, response->error);
    else
        snprintf(error, FORMAT_ERROR_SIZE, "%.120s: answered %d%s%.*s", shown, response->status,
                 length > 0 ? ": " : "", length < 80 ? length : 80,
                 content->size > 0 ? (const char *)content->data : "");
}

static struct profile *parse(const struct buffer *content, const char *shown,
                             char error[FORMAT_ERROR_SIZE])
{
    char why[FORMAT_ERROR_SIZE] = "no format that I know";
    const struct format *format = format_by_content(content->data, content->size);
    struct profile *profile =
        format && format->read ? format_read(format, content->data, content->size, why) : NULL;
    if (!profile)
        snprintf(error, FORMAT_ERROR_SIZE, "%.100s: %.140s", shown, why);
    return profile;
}

/* Where libcprof_http.so lies: beside the command, as it is built, or where it is installed. */
static const struct http_library *load_http(char error[FORMAT_ERROR_SIZE])
{
    static const char *const places[] = {"", "/" CPROF_MODULE_FOLDER};
    char path[PATH_MAX], folder[PATH_MAX + 256];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const struct http_library *library = NULL;
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && !library && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(folder, sizeof(folder), "%s%s", path, places[i]);
        library = http_load(folder, error, FORMAT_ERROR_SIZE);
    }
    return library;
}

static struct profile *fetch(const struct http_library *http, struct address *address,
                             const char *shown, char error[FORMAT_ERROR_SIZE])
{
    const struct url_proxies proxies = url_proxies(address->url);
    const struct http_options options = {
        .url = address->url,
        .unix_socket = *address->socket ? address->socket : NULL,
        .proxy = proxies.proxy,
        .no_proxy = proxies.no_proxy,
        .user_agent = "cprof/" CPROF_VERSION,
    };
    const struct http_request request = {.method = "GET",
                                         .timeout = address->seconds + REMOTE_PATIENCE};
    struct buffer content = {0};
    struct http_response *response = calloc(1, sizeof(*response));
    struct http_client *client = response ? http->open(&options) : NULL;
    struct profile *profile = NULL;
    if (client) {
        response->take = take;
        response->closure = &content;
        http->perform(client, &request, response);
        http->close(client);
        buffer_append(&content, "", 1); /* ends a text */
        content.size -= content.error ? 0 : 1;
    }
    if (!client)
        snprintf(error, FORMAT_ERROR_SIZE, "%.160s: out of memory", shown);
    else if (content.error || response->outcome != HTTP_ANSWERED || response->status != 200)
        explain(response, &content, shown, error);
    else
        profile = parse(&content, shown, error);
    buffer_free(&content);
    free(response);
    return profile;
}

struct profile *remote_read(const char *url, char error[FORMAT_ERROR_SIZE])
{
    struct address *address = malloc(sizeof(*address));
    char *shown = url_for_people(url);
    struct profile *profile = NULL;
    const struct http_library *http = NULL;
    if (!address || !shown)
        snprintf(error, FORMAT_ERROR_SIZE, "out of memory");
    else if (find_address(address, url))
        snprintf(error, FORMAT_ERROR_SIZE, "%.160s: is no address", shown);
    else
        http = load_http(error);
    if (http)
        profile = fetch(http, address, shown, error);
    free(shown);
    free(address);
    return profile;
}
