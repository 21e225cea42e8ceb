/*
 * Delivery to an OpenTelemetry server: OTLP over HTTP, one profile a request, with the manners
 * that the OTLP specification asks of a client.
 *
 * A profile is encoded anew for every attempt. That costs some milliseconds at most twice a
 * minute in an outage, and in return nothing but the profile itself has to be kept.
 */
#include "export/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/answer.h"
#include "export/http.h"
#include "export/retry.h"
#include "format/format.h"

#define OTLP_PROFILES_VERSION "1.10" /* of opentelemetry-proto; servers differ in it */
#define MAX_REQUEST                                                                            \
    ((size_t)64 << 20) /* bytes before compression, as the specification caps                  \
                        */
#define GZIP_LEVEL 1

enum { WANT_RETRY_AFTER, WANT_CONTENT_TYPE, WANT_LOCATION, WANT_COUNT };

struct sink_otlp {
    struct sink sink;
    const struct http_library *http;
    struct http_client *client; /* NULL: the module could not be loaded */
    char *url_shown;            /* without userinfo and query */
    struct cprof_pair *headers; /* owned, texts too */
    size_t header_count;
    double timeout;
    bool gzip;
    struct http_wanted wanted[WANT_COUNT];
    struct http_response response;
};

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

/* The URL as it may be shown: without user:password@ and without a query. */
static char *url_for_people(const char *url)
{
    char *shown = strdup(url);
    if (shown == NULL)
        return NULL;
    shown[strcspn(shown, "?#")] = '\0';
    char *host = strstr(shown, "://");
    host = host ? host + 3 : shown;
    char *path = host + strcspn(host, "/");
    for (char *at = path; at > host; at--) {
        if (at[-1] == '@') {
            memmove(host, at, strlen(at) + 1);
            break;
        }
    }
    return shown;
}

static int copy_headers(struct sink_otlp *otlp, const struct exporter_options *options)
{
    const struct cprof_pair fixed[] = {{"Content-Type", "application/x-protobuf"},
                                       {"Content-Encoding", "gzip"}};
    size_t fixed_count = otlp->gzip ? 2 : 1;
    size_t total = fixed_count + options->otlp_header_count;
    otlp->headers = calloc(total, sizeof *otlp->headers);
    if (otlp->headers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < total; i++) {
        const struct cprof_pair *from =
            i < fixed_count ? &fixed[i] : &options->otlp_headers[i - fixed_count];
        struct cprof_pair *to = &otlp->headers[otlp->header_count++];
        to->key = strdup(from->key);
        to->value = strdup(from->value);
        if (to->key == NULL || to->value == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* Read here, in the thread that starts the profiler, and never later: the program may change
 * its environment at any time. Plain http takes the lower-case name only, because a CGI server
 * turns a client's "Proxy:" header into HTTP_PROXY. */
static void find_proxy(const char *url, struct http_options *http)
{
    static const char *const for_http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const for_https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                            "ALL_PROXY", NULL};
    bool secure = strncasecmp(url, "https:", 6) == 0;
    for (const char *const *name = secure ? for_https : for_http; *name; name++)
        if ((http->proxy = getenv(*name)) != NULL)
            break;
    http->no_proxy = getenv("no_proxy");
    if (http->no_proxy == NULL)
        http->no_proxy = getenv("NO_PROXY");
}

/* A program whose HTTP module is missing runs on: the profiles are counted as failed. */
static int connect_client(struct sink_otlp *otlp, const struct exporter_options *options)
{
    char reason[512];
    otlp->http = http_load(options->library_directory, reason, sizeof reason);
    if (otlp->http == NULL) {
        log_error("profiles can't be sent: %s", reason);
        return 0;
    }
    struct http_options http = {
        .url = options->otlp_endpoint,
        .user_agent = "OTel-OTLP-Exporter-cprof/" CPROF_VERSION,
        .certificate = options->certificate,
        .client_key = options->client_key,
        .client_certificate = options->client_certificate,
    };
    find_proxy(http.url, &http);
    otlp->client = otlp->http->open(&http);
    if (otlp->client == NULL)
        return -ENOMEM;
    log_debug("otlp: profiles go to %s with %s, OTLP profiles %s", otlp->url_shown,
              otlp->http->describe(), OTLP_PROFILES_VERSION);
    return 0;
}

static int encode(const struct sink_otlp *otlp, const struct profile *profile,
                  struct buffer *body)
{
    struct buffer plain = {0};
    int error = format_otlp.write(profile, &plain);
    if (error == 0 && plain.size > MAX_REQUEST)
        error = -EFBIG;
    if (error != 0 || !otlp->gzip) {
        *body = plain;
        return error;
    }
    error = buffer_gzip(&plain, body, GZIP_LEVEL);
    buffer_free(&plain);
    return error;
}

/* 2xx: the profile is taken, unless the answer says that it was not. */
static void judge_success(const struct sink_otlp *otlp, struct delivery *delivery)
{
    const struct http_response *response = &otlp->response;
    const char *type = otlp->wanted[WANT_CONTENT_TYPE].value;
    struct answer partial = {0};
    if (strncasecmp(type, "text/html", 9) == 0) {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail,
                 "HTTP %d with a web page: no OTLP server answers at this address",
                 response->status);
        return;
    }
    delivery->status = DELIVERY_DONE;
    snprintf(delivery->detail, sizeof delivery->detail, "HTTP %d", response->status);
    if (strncasecmp(type, "application/x-protobuf", 22) != 0 ||
        !answer_partial_success(response->body, response->body_size, &partial))
        return;
    if (partial.number > 0)
        delivery->status = DELIVERY_REFUSED;
    if (partial.number > 0 || partial.text[0] != '\0') {
        delivery->warn = true;
        snprintf(delivery->detail, sizeof delivery->detail, "%s by the server: %s",
                 partial.number > 0 ? "rejected" : "taken with a warning",
                 partial.text[0] ? partial.text : "no reason given");
    }
}

/* What the server itself says of an error, or nothing. */
static void server_message(const struct sink_otlp *otlp, char *text, size_t size)
{
    const struct http_response *response = &otlp->response;
    const char *type = otlp->wanted[WANT_CONTENT_TYPE].value;
    struct answer status;
    text[0] = '\0';
    if (strncasecmp(type, "application/x-protobuf", 22) == 0) {
        if (answer_status(response->body, response->body_size, &status) && status.text[0])
            snprintf(text, size, ": %s", status.text);
    } else if (response->body_size > 0 && strncasecmp(type, "text/html", 9) != 0) {
        memcpy(text, ": ", 3);
        answer_printable(text + 2, size - 2, response->body, response->body_size);
    }
}

static const char *advice(int status)
{
    switch (status) {
    case 401:
    case 403:
        return " (check OTEL_EXPORTER_OTLP_HEADERS)";
    case 404:
        return " (check that the path ends in /v1development/profiles, and that the collector "
               "runs with --feature-gates=service.profilesSupport and a profiles pipeline)";
    case 413:
        return " (the profile is larger than the server takes)";
    default:
        return "";
    }
}

static void judge_error(const struct sink_otlp *otlp, struct delivery *delivery)
{
    int status = otlp->response.status;
    bool retry = status == 429 || status == 502 || status == 503 || status == 504;
    char message[ANSWER_TEXT_SIZE + 2];
    delivery->status = retry ? DELIVERY_RETRY : DELIVERY_REFUSED;
    if (retry)
        delivery->retry_after = retry_after(otlp->wanted[WANT_RETRY_AFTER].value, time(NULL));
    if (status >= 300 && status < 400) {
        char *target = url_for_people(otlp->wanted[WANT_LOCATION].value);
        char shown[ANSWER_TEXT_SIZE] = "";
        if (target != NULL)
            answer_printable(shown, sizeof shown, target, strlen(target));
        free(target);
        snprintf(delivery->detail, sizeof delivery->detail,
                 "HTTP %d: redirects are not followed, this one goes to %s", status, shown);
        return;
    }
    server_message(otlp, message, sizeof message);
    snprintf(delivery->detail, sizeof delivery->detail, "HTTP %d%s%s", status, message,
             advice(status));
}

static void judge(const struct sink_otlp *otlp, struct delivery *delivery)
{
    const struct http_response *response = &otlp->response;
    switch (response->outcome) {
    case HTTP_ANSWERED:
        if (response->status >= 200 && response->status < 300)
            judge_success(otlp, delivery);
        else
            judge_error(otlp, delivery);
        return;
    case HTTP_UNREACHABLE:
    case HTTP_BROKEN:
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

static void otlp_deliver(struct sink *sink, const struct profile *profile,
                         struct delivery *delivery)
{
    struct sink_otlp *otlp = (struct sink_otlp *)sink;
    struct buffer body = {0};
    delivery->profiles = 1;
    int error = otlp->client ? encode(otlp, profile, &body) : -ENOTCONN;
    if (error != 0) {
        delivery->status = error == -ENOMEM ? DELIVERY_RETRY : DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%s",
                 error == -ENOTCONN ? "libcprof_http.so could not be loaded"
                 : error == -EFBIG  ? "the profile is larger than 64 MiB"
                                    : strerror(-error));
        buffer_free(&body);
        return;
    }
    struct http_request request = {
        .method = "POST",
        .headers = otlp->headers,
        .header_count = otlp->header_count,
        .body = body.data,
        .body_size = body.size,
        .timeout = otlp->timeout,
    };
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    otlp->http->perform(otlp->client, &request, &otlp->response);
    judge(otlp, delivery);
    if (delivery->status == DELIVERY_DONE)
        delivery->bytes = body.size;
    log_debug("otlp: %zu bytes to %s in %llu ms: %s (OTLP profiles %s)", body.size,
              otlp->url_shown,
              (unsigned long long)((clock_ns(CLOCK_MONOTONIC) - start) / 1000000),
              delivery->detail, OTLP_PROFILES_VERSION);
    buffer_free(&body);
}

static void otlp_interrupt(struct sink *sink)
{
    struct sink_otlp *otlp = (struct sink_otlp *)sink;
    if (otlp->client)
        otlp->http->cancel(otlp->client);
}

static void otlp_close(struct sink *sink)
{
    struct sink_otlp *otlp = (struct sink_otlp *)sink;
    if (otlp->client)
        otlp->http->close(otlp->client);
    for (size_t i = 0; i < otlp->header_count; i++) {
        free((char *)otlp->headers[i].key);
        free((char *)otlp->headers[i].value);
    }
    free(otlp->headers);
    free(otlp->url_shown);
    free(otlp);
}

/* The program runs on for months: a mistyped path is told at its start, not at each export. */
static int check_file(const char *variable, const char *path, char *error, size_t error_size)
{
    if (path == NULL || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
        return 0;
    int result = -errno;
    snprintf(error, error_size, "%s: can't read %s: %s", variable, path, strerror(-result));
    return result;
}

static int check_files(const struct exporter_options *options, char *error, size_t error_size)
{
    const struct cprof_pair files[] = {
        {"OTEL_EXPORTER_OTLP_CERTIFICATE", options->certificate},
        {"OTEL_EXPORTER_OTLP_CLIENT_KEY", options->client_key},
        {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", options->client_certificate},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files && result == 0; i++)
        result = check_file(files[i].key, files[i].value, error, error_size);
    return result;
}

static int check_options(const struct exporter_options *options, char *error, size_t error_size)
{
    const char *url = options->otlp_endpoint;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
        snprintf(error, error_size,
                 "OTEL_EXPORTER_OTLP_ENDPOINT: an address begins with http:// or https://");
        return -EINVAL;
    }
    if (options->otlp_protocol != EXPORT_HTTP_PROTOBUF) {
        snprintf(error, error_size,
                 "OTEL_EXPORTER_OTLP_PROTOCOL: this version sends http/protobuf only");
        return -EINVAL;
    }
    for (size_t i = 0; i < options->otlp_header_count; i++) {
        if (!header_is_clean(&options->otlp_headers[i])) {
            snprintf(error, error_size,
                     "OTEL_EXPORTER_OTLP_HEADERS: header number %zu has a character that "
                     "HTTP does not allow in its name or value",
                     i + 1);
            return -EINVAL;
        }
    }
    return check_files(options, error, error_size);
}

struct sink *sink_otlp_new(const struct exporter_options *options, char *error,
                           size_t error_size)
{
    if (check_options(options, error, error_size) != 0)
        return NULL;
    struct sink_otlp *otlp = calloc(1, sizeof *otlp);
    if (otlp == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    otlp->sink = (struct sink){.name = "otlp",
                               .deliver = otlp_deliver,
                               .interrupt = otlp_interrupt,
                               .close = otlp_close};
    otlp->timeout = options->otlp_timeout;
    otlp->gzip = options->otlp_gzip;
    otlp->wanted[WANT_RETRY_AFTER].name = "Retry-After";
    otlp->wanted[WANT_CONTENT_TYPE].name = "Content-Type";
    otlp->wanted[WANT_LOCATION].name = "Location";
    otlp->response.wanted = otlp->wanted;
    otlp->response.wanted_count = WANT_COUNT;
    otlp->url_shown = url_for_people(options->otlp_endpoint);
    if (otlp->url_shown == NULL || copy_headers(otlp, options) != 0 ||
        connect_client(otlp, options) != 0) {
        snprintf(error, error_size, "out of memory");
        otlp_close(&otlp->sink);
        return NULL;
    }
    return &otlp->sink;
}
