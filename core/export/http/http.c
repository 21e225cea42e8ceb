/* libcprof_http.so: export/http.h on top of libcurl. */
#include "export/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef CPROF_ZSTD
#include <zstd.h>
#endif

#include "base/clock.h"
#include "export/authorities.h"

/* A descriptor that tells whether its neighbours are still ours. */
struct canary {
    int file;
    dev_t device;
    ino_t inode;
};

struct http_client {
    CURL *easy;
    bool http2;
    char *url;
    _Atomic bool cancelled;
    char error[CURL_ERROR_SIZE];
    pthread_mutex_t lock; /* for cancel(): the two below */
    CURLM *multi;         /* made at the first request; keeps the connection; drives `easy`,
                             because only a multi handle can be woken from outside */
    struct canary canary; /* opened just before it */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char description[96];

static void initialise(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const curl_version_info_data *about = curl_version_info(CURLVERSION_NOW);
    snprintf(description, sizeof description, "libcurl/%s %s", about->version,
             about->ssl_version ? about->ssl_version : "without TLS");
}

static const char *describe(void)
{
    pthread_once(&once, initialise);
    return description;
}

/* An answer longer than the bound has said all that we want to know: the transfer ends with
 * CURLE_WRITE_ERROR, which outcome_of() takes as an answer. */
static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct http_response *response = context;
    size_t offered = size * count, room = HTTP_MAX_BODY - response->body_size;
    if (response->take != NULL)
        return response->take(response->closure, data, offered) ? offered : 0;
    size_t taken = offered < room ? offered : room;
    memcpy(response->body + response->body_size, data, taken);
    response->body_size += taken;
    return taken;
}

/* Called for every header line and trailer, "Name: value\r\n". */
static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    struct http_response *response = context;
    size_t length = size * count;
    const char *colon = memchr(line, ':', length);
    if (colon == NULL)
        return length;
    size_t name_length = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    for (size_t i = 0; i < response->wanted_count; i++) {
        struct http_wanted *wanted = &response->wanted[i];
        if (strlen(wanted->name) == name_length &&
            strncasecmp(wanted->name, line, name_length) == 0)
            snprintf(wanted->value, sizeof wanted->value, "%.*s", (int)(end - value), value);
    }
    return length;
}

/* Newer libcurl names protocols by text and deprecates the bits. */
static void allow_only_http(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* libcurl's own sockets would be inherited by every program that the host starts. */
static curl_socket_t open_socket(void *context, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    (void)context;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* libcurl before 8.0 fails (error 16) when it uses a clear-text HTTP/2 connection again:
 * https://github.com/curl/curl/issues/10634 */
#define REUSES_CLEAR_HTTP2 0x080000

static void set_up_http2(CURL *easy, const struct http_options *options)
{
    const curl_version_info_data *about = curl_version_info(CURLVERSION_NOW);
    bool secure = strncasecmp(options->url, "https:", 6) == 0;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     secure ? (long)CURL_HTTP_VERSION_2TLS
                            : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    if (!secure && about->version_num < REUSES_CLEAR_HTTP2)
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static void set_up_authorities(CURL *easy, const struct http_options *options)
{
    struct authorities usual = {0};
#if LIBCURL_VERSION_NUM >= 0x074600
    const curl_version_info_data *about = curl_version_info(CURLVERSION_NOW);
    if (about->age >= CURLVERSION_SEVENTH)
        usual = (struct authorities){.file = about->cainfo, .folder = about->capath};
#endif
    const char *file = options->certificate;
    if (file == NULL && options->authorities == NULL)
        file = authorities_of_system(usual);
    if (file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    if (options->authorities != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, options->authorities);
}

static void set_up(CURL *easy, const struct http_options *options)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700 /* else closing waits for a name server's answer */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    allow_only_http(easy);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
    /* Empty texts, not NULL: NULL lets libcurl look into the environment. */
    curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy ? options->proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, options->no_proxy ? options->no_proxy : "");
    /* What a proxy says of its tunnel is not the server's answer. */
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (options->http2)
        set_up_http2(easy, options);
    if (options->unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options->unix_socket);
    set_up_authorities(easy, options);
    if (options->client_certificate)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->client_certificate);
    if (options->client_key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->client_key);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
}

static bool canary_open(struct canary *canary)
{
    struct stat status;
    canary->file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (canary->file < 0)
        return false;
    if (fstat(canary->file, &status) != 0) {
        close(canary->file);
        return false;
    }
    canary->device = status.st_dev;
    canary->inode = status.st_ino;
    return true;
}

static bool canary_lives(const struct canary *canary)
{
    struct stat status;
    return fstat(canary->file, &status) == 0 && status.st_dev == canary->device &&
           status.st_ino == canary->inode;
}

/* A program that makes a daemon of itself closes all descriptors, and what it opens then has
 * our numbers: libcurl must never touch those again. Its handle is left as it is. */
static void leave_foreign_descriptors(struct http_client *client)
{
    if (client->multi && !canary_lives(&client->canary))
        client->multi = NULL;
}

/* Makes what requests are driven with. False: no memory, or no descriptors. */
static bool make_multi(struct http_client *client)
{
    pthread_mutex_lock(&client->lock);
    leave_foreign_descriptors(client);
    if (client->multi == NULL && canary_open(&client->canary)) {
        client->multi = curl_multi_init();
        if (client->multi == NULL)
            close(client->canary.file);
    }
    bool made = client->multi != NULL;
    pthread_mutex_unlock(&client->lock);
    return made;
}

static void close_client(struct http_client *client)
{
    leave_foreign_descriptors(client);
    curl_easy_cleanup(client->easy);
    if (client->multi) {
        curl_multi_cleanup(client->multi);
        close(client->canary.file);
    }
    pthread_mutex_destroy(&client->lock);
    free(client->url);
    free(client);
}

static struct http_client *open_client(const struct http_options *options)
{
    pthread_once(&once, initialise);
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->http2 = options->http2;
    client->url = strdup(options->url);
    client->easy = curl_easy_init();
    if (client->easy == NULL || client->url == NULL) {
        curl_easy_cleanup(client->easy);
        free(client->url);
        free(client);
        return NULL;
    }
    pthread_mutex_init(&client->lock, NULL);
    set_up(client->easy, options);
    curl_easy_setopt(client->easy, CURLOPT_ERRORBUFFER, client->error);
    return client;
}

static void append(struct curl_slist **list, bool *complete, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(struct curl_slist **list, bool *complete, const char *format, ...)
{
    char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&line, format, arguments);
    va_end(arguments);
    struct curl_slist *longer = length < 0 ? NULL : curl_slist_append(*list, line);
    if (longer == NULL)
        *complete = false;
    else
        *list = longer;
    if (length >= 0)
        free(line);
}

/* libcurl's header list; false when memory ran out. */
static bool make_headers(const struct http_request *request, struct curl_slist **list)
{
    bool complete = true;
    /* libcurl would otherwise ask before it sends a large body, and wait for the answer. */
    append(list, &complete, "Expect:");
    for (size_t i = 0; i < request->header_count; i++) {
        const struct cprof_pair *header = &request->headers[i];
        /* "Name;" is libcurl's way to write a header without a value. */
        append(list, &complete, *header->value ? "%s: %s" : "%s;%s", header->key,
               header->value);
    }
    return complete;
}

static enum http_outcome outcome_of(CURLcode code, const struct http_response *response)
{
    switch (code) {
    case CURLE_OK:
        return HTTP_ANSWERED;
    case CURLE_WRITE_ERROR:
        return response->body_size == HTTP_MAX_BODY ? HTTP_ANSWERED : HTTP_BROKEN;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return HTTP_UNREACHABLE;
    case CURLE_URL_MALFORMAT:
    case CURLE_FAILED_INIT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return HTTP_IMPOSSIBLE;
    default:
        return HTTP_BROKEN;
    }
}

static uint64_t deadline_after(double seconds)
{
    return clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * (double)NS_PER_SECOND);
}

/* Drives the transfer until it ends, however it does. */
static CURLcode transfer(struct http_client *client, uint64_t deadline)
{
    for (;;) {
        int running = 0;
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        int queued;
        const CURLMsg *message = curl_multi_info_read(client->multi, &queued);
        if (message != NULL && message->msg == CURLMSG_DONE)
            return message->data.result;
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (atomic_load(&client->cancelled))
            return CURLE_ABORTED_BY_CALLBACK;
        if (now >= deadline)
            return CURLE_OPERATION_TIMEDOUT;
        int wait_ms = (int)((deadline - now) / 1000000 + 1);
        if (curl_multi_poll(client->multi, NULL, 0, wait_ms, NULL) != CURLM_OK)
            return CURLE_FAILED_INIT;
    }
}

static void set_request(const struct http_client *client, const struct http_request *request,
                        struct http_response *response, struct curl_slist *headers)
{
    CURL *easy = client->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url ? request->url : client->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (request->body == NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, response);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, response);
}

static void explain(const struct http_client *client, CURLcode code,
                    const struct http_request *request, struct http_response *response)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(response->error, sizeof response->error, "no complete answer within %g s",
                 request->timeout);
    else if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
        snprintf(response->error, sizeof response->error, "the answer is not HTTP");
    else
        snprintf(response->error, sizeof response->error, "%.200s%s",
                 client->error[0] ? client->error : curl_easy_strerror(code),
                 client->http2 && response->status == 0 && response->outcome == HTTP_BROKEN
                     ? " (does this port speak gRPC?)"
                     : "");
}

static bool came_as_http2(const struct http_client *client)
{
    long version = 0;
    curl_easy_getinfo(client->easy, CURLINFO_HTTP_VERSION, &version);
    return version >= CURL_HTTP_VERSION_2_0;
}

/* Over TLS the server may choose; and a libcurl without HTTP/2 does not ask for it. */
static void refuse_old_http(struct http_response *response)
{
    const curl_version_info_data *about = curl_version_info(CURLVERSION_NOW);
    response->outcome = HTTP_IMPOSSIBLE;
    snprintf(response->error, sizeof response->error, "%s HTTP/2",
             about->features & CURL_VERSION_HTTP2 ? "the server does not speak"
                                                  : "this libcurl was built without");
}

static void perform(struct http_client *client, const struct http_request *request,
                    struct http_response *response)
{
    struct curl_slist *headers = NULL;
    response->body_size = 0;
    response->status = 0;
    response->error[0] = client->error[0] = '\0';
    for (size_t i = 0; i < response->wanted_count; i++)
        response->wanted[i].value[0] = '\0';

    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (make_multi(client) && make_headers(request, &headers)) {
        set_request(client, request, response, headers);
        curl_multi_add_handle(client->multi, client->easy);
        code = transfer(client, deadline_after(request->timeout));
        curl_multi_remove_handle(client->multi, client->easy);
        long status = 0;
        curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
        response->status = (int)status;
    }
    response->outcome =
        code == CURLE_ABORTED_BY_CALLBACK ? HTTP_CANCELLED : outcome_of(code, response);
    if (response->outcome != HTTP_ANSWERED)
        explain(client, code, request, response);
    else if (client->http2 && !came_as_http2(client))
        refuse_old_http(response);
    curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
}

static void cancel(struct http_client *client)
{
    atomic_store(&client->cancelled, true);
    pthread_mutex_lock(&client->lock);
    if (client->multi && canary_lives(&client->canary))
        curl_multi_wakeup(client->multi);
    pthread_mutex_unlock(&client->lock);
}

#ifdef CPROF_ZSTD
#define ZSTD_LEVEL 1

static int pack_zstd(const void *data, size_t size, void **packed, size_t *packed_size)
{
    size_t bound = ZSTD_compressBound(size);
    *packed = malloc(bound);
    if (*packed == NULL)
        return -ENOMEM;
    *packed_size = ZSTD_compress(*packed, bound, data, size, ZSTD_LEVEL);
    if (!ZSTD_isError(*packed_size))
        return 0;
    free(*packed); /* with room enough, nothing but memory can be missing */
    return -ENOMEM;
}
#endif

__attribute__((visibility("default"))) extern const struct http_library cprof_http;

const struct http_library cprof_http = {
    .version = HTTP_LIBRARY_VERSION,
    .describe = describe,
#ifdef CPROF_ZSTD
    .zstd = pack_zstd,
#endif
    .open = open_client,
    .perform = perform,
    .cancel = cancel,
    .close = close_client,
};
