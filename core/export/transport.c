#include "export/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/at_exit.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/answer.h"
#include "export/authorities.h"
#include "export/grpc.h"
#include "export/http.h"
#include "export/retry.h"
#include "export/secrets.h"
#include "export/sink.h"
#include "export/url.h"

#define GZIP_LEVEL 1
#define MAX_OWN_HEADERS 5

/* Headers of the answer that mean something to us. */
enum {
    WANT_RETRY_AFTER,
    WANT_CONTENT_TYPE,
    WANT_LOCATION,
    WANT_GRPC_STATUS,
    WANT_GRPC_MESSAGE,
    WANT_GRPC_DETAILS,
    WANT_COUNT
};

struct transport {
    const struct http_library *http;
    struct http_client *client; /* NULL: the module could not be loaded */
    struct transport_manner manner;
    enum transport_protocol protocol;
    enum transport_packing packing;
    char *url_shown;
    struct secrets secrets;
    struct cprof_pair *headers; /* owned, texts too */
    size_t header_count;
    double timeout;
    struct http_wanted wanted[WANT_COUNT];
    struct http_response response;
};

/* ---- opening ---- */

/* Why a person's header must not be sent as it is: a line break in it would start another
 * header. Says nothing of the value, which may be a key. */
static bool header_is_clean(const struct cprof_pair *header)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (*header->key == '\0' || header->key[strspn(header->key, token)] != '\0')
        return false;
    for (const char *c = header->value; *c != '\0'; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

/* The program runs on for months: a mistyped path is reported at its start, not at each export.
 */
static int check_files(const struct transport_options *options, const char *variables,
                       char *error, size_t error_size)
{
    const struct cprof_pair files[] = {{"CERTIFICATE", options->certificate},
                                       {"CLIENT_KEY", options->client_key},
                                       {"CLIENT_CERTIFICATE", options->client_certificate}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = files[i].value;
        if (path == NULL || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
            continue;
        int result = -errno;
        snprintf(error, error_size, "%s_%s: can't read %s: %s", variables, files[i].key, path,
                 strerror(-result));
        return result;
    }
    return 0;
}

static int check_options(const struct transport_options *options,
                         const struct transport_manner *manner, char *error, size_t error_size)
{
    const char *url = options->url, *variables = manner->variables;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
        snprintf(error, error_size, "%s_ENDPOINT: an address begins with http:// or https://",
                 variables);
        return -EINVAL;
    }
    for (size_t i = 0; i < options->header_count; i++) {
        if (!header_is_clean(&options->headers[i])) {
            snprintf(error, error_size,
                     "%s_HEADERS: header number %zu has a character that HTTP does not allow "
                     "in its name or value",
                     variables, i + 1);
            return -EINVAL;
        }
    }
    const char *files = manner->files != NULL ? manner->files : variables;
    return check_files(options, files, error, error_size);
}

static int add_header(struct transport *transport, const char *key, const char *value)
{
    struct cprof_pair *to = &transport->headers[transport->header_count++];
    to->key = strdup(key);
    to->value = strdup(value);
    return to->key != NULL && to->value != NULL ? 0 : -ENOMEM;
}

/* At most eight digits, says gRPC. */
static void grpc_timeout(double seconds, char text[16])
{
    double milliseconds = seconds * 1000;
    snprintf(text, 16, "%.0fm", milliseconds < 99999999 ? milliseconds : 99999999);
}

static int add_headers(struct transport *transport, const struct transport_options *options)
{
    static const char *const encodings[] = {
        [PACK_NONE] = NULL, [PACK_GZIP] = "gzip", [PACK_ZSTD] = "zstd"};
    bool grpc = transport->protocol == TRANSPORT_GRPC;
    const char *encoding = encodings[transport->packing];
    char timeout[16];
    grpc_timeout(transport->timeout, timeout);
    const struct cprof_pair own[MAX_OWN_HEADERS] = {
        {"Content-Type", grpc ? "application/grpc" : transport->manner.content_type},
        {grpc ? "grpc-encoding" : "Content-Encoding", encoding},
        {"te", grpc ? "trailers" : NULL},
        {"grpc-accept-encoding", grpc ? "identity" : NULL},
        {"grpc-timeout", grpc ? timeout : NULL},
    };
    transport->headers =
        calloc(MAX_OWN_HEADERS + options->header_count, sizeof *transport->headers);
    int error = transport->headers ? 0 : -ENOMEM;
    for (size_t i = 0; i < MAX_OWN_HEADERS && error == 0; i++)
        if (own[i].value != NULL)
            error = add_header(transport, own[i].key, own[i].value);
    for (size_t i = 0; i < options->header_count && error == 0; i++)
        error = add_header(transport, options->headers[i].key, options->headers[i].value);
    return error;
}

/* A program whose HTTP module is missing runs on: the profiles are counted as failed. */
static int connect_client(struct transport *transport, const struct transport_options *options,
                          const char *library_directory)
{
    char reason[512];
    transport->http = http_load(library_directory, reason, sizeof reason);
    if (transport->http == NULL) {
        log_error("%s: %s can't be sent: %s", transport->manner.name, transport->manner.goods,
                  reason);
        return 0;
    }
    struct url_proxies proxies = {0};
    if (options->unix_socket == NULL)
        proxies = url_proxies(options->url);
    struct authorities named = {0};
    if (options->certificate == NULL && strncasecmp(options->url, "https:", 6) == 0)
        named = authorities_named();
    const struct http_options http = {
        .url = options->url,
        .unix_socket = options->unix_socket,
        .http2 = transport->protocol == TRANSPORT_GRPC,
        .proxy = proxies.proxy,
        .no_proxy = proxies.no_proxy,
        .user_agent = "OTel-OTLP-Exporter-cprof/" CPROF_VERSION,
        .certificate = options->certificate ? options->certificate : named.file,
        .authorities = named.folder,
        .client_key = options->client_key,
        .client_certificate = options->client_certificate,
    };
    transport->client = transport->http->open(&http);
    at_exit_again(); /* the TLS library has registered what it cleans up */
    if (transport->client == NULL)
        return -ENOMEM;
    if (transport->packing == PACK_ZSTD && transport->http->zstd == NULL) {
        log_warn("%s_COMPRESSION=zstd: this build of cprof has no zstd, gzip is sent",
                 transport->manner.variables);
        transport->packing = PACK_GZIP;
    }
    log_debug("%s: %s go to %s with %s, %s", transport->manner.name, transport->manner.goods,
              transport->url_shown, transport->http->describe(), transport->manner.format);
    return 0;
}

static bool know_secrets(struct transport *transport, const struct transport_options *options)
{
    bool known = secrets_add_url(&transport->secrets, options->url);
    for (size_t i = 0; i < options->header_count; i++)
        known &= secrets_add(&transport->secrets, options->headers[i].value);
    return known;
}

static char *shown_address(const struct transport_options *options)
{
    char *shown = NULL;
    if (options->unix_socket == NULL)
        return url_for_people(options->url);
    return asprintf(&shown, "unix:%s", options->unix_socket) < 0 ? NULL : shown;
}

static void want_headers(struct transport *transport)
{
    static const char *const names[WANT_COUNT] = {
        [WANT_RETRY_AFTER] = "Retry-After",   [WANT_CONTENT_TYPE] = "Content-Type",
        [WANT_LOCATION] = "Location",         [WANT_GRPC_STATUS] = "grpc-status",
        [WANT_GRPC_MESSAGE] = "grpc-message", [WANT_GRPC_DETAILS] = "grpc-status-details-bin",
    };
    for (size_t i = 0; i < WANT_COUNT; i++)
        transport->wanted[i].name = names[i];
    transport->response.wanted = transport->wanted;
    transport->response.wanted_count = WANT_COUNT;
}

struct transport *transport_open(const struct transport_options *options,
                                 const struct transport_manner *manner,
                                 const char *library_directory, char *error, size_t error_size)
{
    if (check_options(options, manner, error, error_size) != 0)
        return NULL;
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    transport->manner = *manner;
    if (manner->goods == NULL)
        transport->manner.goods = "profiles";
    transport->protocol = options->protocol;
    transport->packing = options->packing;
    transport->timeout = options->timeout;
    want_headers(transport);
    transport->url_shown = shown_address(options);
    if (transport->url_shown == NULL || !know_secrets(transport, options) ||
        connect_client(transport, options, library_directory) != 0 ||
        add_headers(transport, options) != 0) {
        snprintf(error, error_size, "out of memory");
        transport_close(transport);
        return NULL;
    }
    return transport;
}

void transport_close(struct transport *transport)
{
    if (transport->client)
        transport->http->close(transport->client);
    for (size_t i = 0; i < transport->header_count; i++) {
        free((char *)transport->headers[i].key);
        free((char *)transport->headers[i].value);
    }
    free(transport->headers);
    secrets_free(&transport->secrets);
    free(transport->url_shown);
    free(transport);
}

void transport_interrupt(struct transport *transport)
{
    if (transport->client)
        transport->http->cancel(transport->client);
}

/* ---- judging an answer ---- */

static const char *wanted(const struct transport *transport, size_t which)
{
    return transport->wanted[which].value;
}

static bool has_type(const struct transport *transport, const char *type)
{
    return strncasecmp(wanted(transport, WANT_CONTENT_TYPE), type, strlen(type)) == 0;
}

static const char *advice(const struct transport *transport, int status)
{
    return transport->manner.advice ? transport->manner.advice(status) : "";
}

/* What to do about a refusal that names a limit, or what the sink advises. */
static const char *advice_to(const struct transport *transport, int status,
                             enum answer_limit limit)
{
    switch (limit) {
    case ANSWER_LIMIT_LABELS:
        return " (send fewer: no CPROF_RESOURCE=full, CPROF_THREAD_LABELS=off, fewer "
               "attributes "
               "and labels of your own; or raise the server's limit)";
    case ANSWER_LIMIT_SIZE:
    case ANSWER_LIMIT_OTHER:
        return " (raise that limit in the server, or let a shorter CPROF_INTERVAL make smaller "
               "profiles)";
    case ANSWER_NO_LIMIT:
        break;
    }
    return advice(transport, status);
}

/* What the server itself says of an error, or nothing. */
static void server_message(const struct transport *transport, char *text, size_t size)
{
    const struct http_response *response = &transport->response;
    struct answer status;
    text[0] = '\0';
    if (has_type(transport, "application/x-protobuf")) {
        if (answer_status(response->body, response->body_size, &status) && status.text[0])
            snprintf(text, size, ": %s", status.text);
    } else if (response->body_size > 0 && !has_type(transport, "text/html")) {
        memcpy(text, ": ", 3);
        answer_printable(text + 2, size - 2, response->body, response->body_size);
    }
}

static void tell_redirect(const struct transport *transport, struct delivery *delivery)
{
    char *target = url_for_people(wanted(transport, WANT_LOCATION));
    char shown[ANSWER_TEXT_SIZE] = "";
    if (target != NULL)
        answer_printable(shown, sizeof shown, target, strlen(target));
    free(target);
    snprintf(delivery->detail, sizeof delivery->detail,
             "HTTP %d: redirects are not followed, this one goes to %s",
             transport->response.status, shown);
}

/* gRPC's own rules for an answer that comes from something else on the way take the same
 * statuses for passing. */
static void judge_http_error(const struct transport *transport, struct delivery *delivery)
{
    int status = transport->response.status;
    bool retry = status == 429 || status == 502 || status == 503 || status == 504;
    char message[ANSWER_TEXT_SIZE + 2];
    delivery->status = retry ? DELIVERY_RETRY : DELIVERY_REFUSED;
    if (retry)
        delivery->retry_after = retry_after(wanted(transport, WANT_RETRY_AFTER), time(NULL));
    if (status >= 300 && status < 400) {
        tell_redirect(transport, delivery);
        return;
    }
    enum answer_limit limit = ANSWER_NO_LIMIT;
    if (status == 400 || status == 422)
        limit = answer_limit(transport->response.body, transport->response.body_size);
    if (status == 413 || limit == ANSWER_LIMIT_SIZE)
        delivery->status = DELIVERY_TOO_LARGE;
    if (limit == ANSWER_LIMIT_LABELS)
        answer_label_names(transport->response.body, transport->response.body_size,
                           &delivery->names);
    server_message(transport, message, sizeof message);
    snprintf(delivery->detail, sizeof delivery->detail, "HTTP %d%s%s", status, message,
             advice_to(transport, status, limit));
}

static void judge_http(const struct transport *transport, struct delivery *delivery)
{
    int status = transport->response.status;
    if (status < 200 || status >= 300) {
        judge_http_error(transport, delivery);
    } else if (has_type(transport, "text/html")) {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail,
                 "HTTP %d with a web page: no server for %s answers at this address", status,
                 transport->manner.goods);
    } else {
        delivery->status = DELIVERY_DONE;
        snprintf(delivery->detail, sizeof delivery->detail, "HTTP %d", status);
    }
}

static void judge_grpc_status(struct transport *transport, int code, struct delivery *delivery)
{
    char number[16], message[ANSWER_TEXT_SIZE + 2] = "";
    char *told = transport->wanted[WANT_GRPC_MESSAGE].value;
    const char *name = grpc_name(code, number);
    if (code == GRPC_OK) {
        delivery->status = DELIVERY_DONE;
        snprintf(delivery->detail, sizeof delivery->detail, "gRPC OK");
        return;
    }
    bool wish = grpc_retry_info(wanted(transport, WANT_GRPC_DETAILS), &delivery->retry_after);
    bool passing = grpc_is_passing(code, wish);
    grpc_decode_message(told);
    enum answer_limit limit = ANSWER_NO_LIMIT;
    if (grpc_as_http(code) == 400)
        limit = answer_limit(told, strlen(told));
    if (limit == ANSWER_LIMIT_LABELS)
        answer_label_names(told, strlen(told), &delivery->names);
    bool large = code == GRPC_RESOURCE_EXHAUSTED || limit == ANSWER_LIMIT_SIZE;
    delivery->status = passing ? DELIVERY_RETRY : large ? DELIVERY_TOO_LARGE : DELIVERY_REFUSED;
    if (*told != '\0') {
        memcpy(message, ": ", 3);
        answer_printable(message + 2, sizeof message - 2, told, strlen(told));
    }
    snprintf(delivery->detail, sizeof delivery->detail, "gRPC %s%s%s", name, message,
             passing ? "" : advice_to(transport, grpc_as_http(code), limit));
}

static void judge_grpc(struct transport *transport, struct delivery *delivery)
{
    int http = transport->response.status;
    int code = grpc_status(wanted(transport, WANT_GRPC_STATUS));
    if (code != GRPC_NO_STATUS) {
        judge_grpc_status(transport, code, delivery);
    } else if (http != 200) {
        judge_http_error(transport, delivery);
    } else {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail,
                 has_type(transport, "application/grpc")
                     ? "the answer ended without a grpc-status"
                     : "no gRPC server answers at this address");
    }
}

/* A gRPC server that refuses early says its status, and resets the stream then so that the rest
 * of the request is not sent: the status is its word, however the stream ended. */
static void judge(struct transport *transport, struct delivery *delivery)
{
    const struct http_response *response = &transport->response;
    switch (response->outcome) {
    case HTTP_ANSWERED:
        if (transport->protocol == TRANSPORT_GRPC)
            judge_grpc(transport, delivery);
        else
            judge_http(transport, delivery);
        return;
    case HTTP_BROKEN:
        if (transport->protocol == TRANSPORT_GRPC &&
            grpc_status(wanted(transport, WANT_GRPC_STATUS)) != GRPC_NO_STATUS) {
            judge_grpc(transport, delivery);
            return;
        }
        delivery->status = DELIVERY_RETRY;
        break;
    case HTTP_UNREACHABLE:
        delivery->status = DELIVERY_RETRY;
        break;
    case HTTP_CANCELLED:
        delivery->status = DELIVERY_RETRY;
        snprintf(delivery->detail, sizeof delivery->detail, "no answer before the end");
        return;
    case HTTP_IMPOSSIBLE:
        delivery->status = DELIVERY_REFUSED;
        break;
    }
    answer_printable(delivery->detail, sizeof delivery->detail, response->error,
                     strlen(response->error));
}

/* ---- sending ---- */

static int append_packed(const struct transport *transport, const struct buffer *message,
                         struct buffer *body)
{
    void *packed;
    size_t size;
    switch (transport->packing) {
    case PACK_GZIP:
        return buffer_gzip(message, body, GZIP_LEVEL);
    case PACK_ZSTD:
        if (transport->http->zstd(message->data, message->size, &packed, &size) != 0)
            return -ENOMEM;
        buffer_append(body, packed, size);
        free(packed);
        break;
    case PACK_NONE:
        buffer_append(body, message->data, message->size);
        break;
    }
    return body->error;
}

static int make_body(const struct transport *transport, const struct buffer *message,
                     struct buffer *body)
{
    bool grpc = transport->protocol == TRANSPORT_GRPC;
    unsigned char prefix[GRPC_PREFIX_SIZE] = {0};
    if (grpc)
        buffer_append(body, prefix, sizeof prefix);
    int error = append_packed(transport, message, body);
    if (error == 0 && grpc)
        grpc_prefix(body->data, transport->packing != PACK_NONE, body->size - sizeof prefix);
    return error;
}

static void hide_secrets(const struct transport *transport, char *text)
{
    secrets_hide(&transport->secrets, text, strlen(text));
}

/* Servers quote what they were sent, and what they say is cut off later. Other headers of the
 * answer are not shown, and an ordinary word may be among the secrets. */
static void hide_in_answer(struct transport *transport)
{
    struct http_response *response = &transport->response;
    secrets_hide(&transport->secrets, response->body, response->body_size);
    hide_secrets(transport, transport->wanted[WANT_LOCATION].value);
    hide_secrets(transport, transport->wanted[WANT_GRPC_MESSAGE].value);
}

static void post(struct transport *transport, const char *url, const struct buffer *body,
                 struct delivery *delivery)
{
    const struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = transport->headers,
        .header_count = transport->header_count,
        .body = body->data,
        .body_size = body->size,
        .timeout = transport->timeout,
    };
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    transport->http->perform(transport->client, &request, &transport->response);
    hide_in_answer(transport);
    judge(transport, delivery);
    hide_secrets(transport, delivery->detail);
    if (delivery->status == DELIVERY_DONE)
        delivery->bytes = body->size;
    log_debug("%s: %zu bytes to %s in %llu ms: %s (%s)", transport->manner.name, body->size,
              transport->url_shown,
              (unsigned long long)((clock_ns(CLOCK_MONOTONIC) - start) / 1000000),
              delivery->detail, transport->manner.format);
}

void transport_send(struct transport *transport, const char *url, const struct buffer *message,
                    struct delivery *delivery)
{
    struct buffer body = {0};
    int error = transport->client ? make_body(transport, message, &body) : -ENOTCONN;
    if (error == 0) {
        post(transport, url, &body, delivery);
    } else {
        delivery->status = error == -ENOMEM ? DELIVERY_RETRY : DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%s",
                 error == -ENOTCONN ? "libcprof_http.so could not be loaded"
                                    : strerror(-error));
    }
    buffer_free(&body);
}

const void *transport_reply(const struct transport *transport, size_t *size, const char **type)
{
    const struct http_response *response = &transport->response;
    *type = wanted(transport, WANT_CONTENT_TYPE);
    if (transport->protocol == TRANSPORT_GRPC)
        return grpc_message(response->body, response->body_size, size);
    *size = response->body_size;
    return response->body;
}

bool transport_partial(const struct transport *transport, struct answer *partial)
{
    const char *type;
    size_t size;
    const void *reply = transport_reply(transport, &size, &type);
    bool protobuf = strncasecmp(type, "application/x-protobuf", 22) == 0 ||
                    strncasecmp(type, "application/grpc", 16) == 0;
    return reply != NULL && protobuf && answer_partial_success(reply, size, partial) &&
           (partial->number > 0 || partial->text[0] != '\0');
}
