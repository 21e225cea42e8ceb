/* The exporter against a server that does what servers do on bad days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/exporter.h"
#include "samples.h"
#include "server.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct exporter_options options_for(const char *url)
{
    return (struct exporter_options){.otlp = {.url = url, .timeout = 5, .packing = PACK_GZIP},
                                     .service_name = "test",
                                     .library_directory = HTTP_MODULE_DIRECTORY};
}

static struct exporter *start_for(const struct server *server)
{
    struct exporter_options options = options_for(server_url(server));
    return start_exporter(&options);
}

static double seconds_since(uint64_t start)
{
    return (double)(clock_ns(CLOCK_MONOTONIC) - start) / (double)NS_PER_SECOND;
}

static void wait_for_requests(struct server *server, size_t count)
{
    assert_true(WAIT_FOR(server_requests(server) >= count));
}

static void a_healthy_server_gets_the_profile_as_it_is(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    const struct cprof_pair headers[] = {{"X-Scope-OrgID", "tenant-1"}, {"X-Empty", ""}};
    struct exporter_options options = options_for(server_url(server));
    options.otlp.headers = headers;
    options.otlp.header_count = 2;
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    exporter_submit(exporter, make_profile(70, NULL));
    exporter_submit(exporter, make_profile(30, NULL));
    exporter_submit(exporter, profile_new(NULL)); /* empty: never sent */
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);

    assert_int_equal(server_requests(server), 2);
    const struct request *first = server_request(server, 0);
    const struct request *second = server_request(server, 1);
    assert_int_equal(encoded_total(first->body, first->body_size), 70);
    assert_int_equal(encoded_total(second->body, second->body_size), 30);
    assert_non_null(strstr(first->head, "POST /v1development/profiles HTTP/1.1\r\n"));
    assert_non_null(strstr(first->head, "\r\nContent-Type: application/x-protobuf\r\n"));
    assert_non_null(strstr(first->head, "\r\nContent-Encoding: gzip\r\n"));
    assert_non_null(strstr(first->head, "\r\nUser-Agent: OTel-OTLP-Exporter-cprof/"));
    assert_non_null(strstr(first->head, "\r\nX-Scope-OrgID: tenant-1\r\n"));
    assert_non_null(strstr(first->head, "\r\nX-Empty:\r\n"));
    assert_null(strstr(first->head, "Expect:"));
    assert_int_equal(stats.exported, 2);
    assert_int_equal(stats.failed + stats.dropped, 0);
    assert_int_equal(stats.bytes_sent, first->body_size + second->body_size);
    assert_true(stats.cpu_ns > 0);
    server_stop(server);
}

static void without_gzip_the_body_is_plain(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter_options options = options_for(server_url(server));
    options.otlp.packing = PACK_NONE;
    struct exporter *exporter = start_exporter(&options);
    exporter_submit(exporter, make_profile(5, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    const struct request *request = server_request(server, 0);
    assert_null(strstr(request->head, "Content-Encoding"));
    assert_int_equal(request->body[0], 0x0a); /* field 1 of ProfilesData, not gzip's magic */
    assert_int_equal(encoded_total(request->body, request->body_size), 5);
    server_stop(server);
}

static void zstd_is_sent_when_asked_for(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter_options options = options_for(server_url(server));
    options.otlp.packing = PACK_ZSTD;
    struct exporter *exporter = start_exporter(&options);
    exporter_submit(exporter, make_profile(5, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    const struct request *request = server_request(server, 0);
    if (strstr(request->head, "Content-Encoding: gzip") != NULL) {
        server_stop(server);
        print_message("SKIP built without libzstd-dev\n");
        skip();
    }
    assert_non_null(strstr(request->head, "\r\nContent-Encoding: zstd\r\n"));
    assert_memory_equal(request->body, "\x28\xb5\x2f\xfd", 4); /* zstd's magic */
    server_stop(server);
}

static void a_unix_socket_is_a_server_too(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    char folder[] = "/tmp/cprof-socket-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/otlp.sock", folder);
    struct server *server = server_start_on(path, script, 1);
    struct exporter_options options = options_for("http://localhost/v1development/profiles");
    options.otlp.unix_socket = path;
    setenv("http_proxy", "http://127.0.0.1:9", 1); /* not for a socket */
    struct exporter *exporter = start_exporter(&options);
    unsetenv("http_proxy");
    exporter_submit(exporter, make_profile(5, NULL));
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    const struct request *request = server_request(server, 0);
    assert_non_null(strstr(request->head, "POST /v1development/profiles HTTP/1.1\r\n"));
    assert_non_null(strstr(request->head, "\r\nHost: localhost\r\n"));
    assert_int_equal(encoded_total(request->body, request->body_size), 5);
    server_stop(server);
    unlink(path);
    rmdir(folder);
}

/* Does it end by the client's timeout alone? The others get a long one, which a busy machine
 * does not reach. */
static bool lasts(const struct reply *trouble)
{
    return trouble->manner == REPLY_HANG || trouble->manner == REPLY_TRICKLE;
}

/* Each of these comes once, then the server is well. */
static void passing_trouble_is_retried_until_the_profile_is_delivered(void **state)
{
    (void)state;
    static const struct reply troubles[] = {
        SEND("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
        SEND("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        SEND("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        SEND("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"),
        {REPLY_CLOSE, "", 0},
        {REPLY_RESET, "", 0},
        {REPLY_HANG, "", 0},
        {REPLY_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 43},
        {REPLY_TRICKLE, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 43},
        {REPLY_TRICKLE, "HTTP/1.1 200 OK\r\nX-", 19},
        {REPLY_CLOSE, "\x16\x03\x01\x00\xde\xad garbage \r\n\r\n\x00\x01", 22},
        {REPLY_FLOOD, "", 0},
    };
    for (size_t i = 0; i < COUNT(troubles); i++) {
        const struct reply script[] = {troubles[i], OK_REPLY};
        struct server *server = server_start(script, 2);
        struct exporter_options options = options_for(server_url(server));
        options.otlp.timeout = lasts(&troubles[i]) ? 2 : 50;
        struct exporter *exporter = start_exporter(&options);
        struct exporter_stats stats;
        exporter_submit(exporter, make_profile(11, NULL));
        wait_for_requests(server, 1);
        assert_int_equal(exporter_flush(exporter, 60), 0);
        assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
        assert_int_equal(server_requests(server), 2);
        const struct request *again = server_request(server, 1);
        assert_int_equal(encoded_total(again->body, again->body_size), 11);
        assert_int_equal(stats.exported, 1);
        assert_int_equal(stats.failed + stats.dropped, 0);
        server_stop(server);
    }
}

#define EIGHT_LABELS                                                                           \
    "k8s.pod.name=a, host.name=b, os.type=c, "                                                 \
    "service.version=d, k8s.pod.uid=e, region=f, process.pid=g, a=h"
#define MANY_LABELS EIGHT_LABELS ", " EIGHT_LABELS ", " EIGHT_LABELS ", " EIGHT_LABELS

static void refusals_are_counted_and_never_retried(void **state)
{
    (void)state;
    static const struct {
        struct reply reply;
        const char *told;
    } cases[] = {
        {SEND("HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-protobuf\r\n"
              "Content-Length: 16\r\n\r\n\x08\x03\x12\x0c"
              "bad \x1bprofile"),
         "HTTP 400: bad ?profile"},
        {SEND("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
         "check OTEL_EXPORTER_OTLP_HEADERS"},
        {SEND("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: "
              "18\r\n\r\n404 page not found"),
         "--feature-gates=service.profilesSupport"},
        {SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), "larger than"},
        /* As Pyroscope says it, the labels themselves before what is wrong with them. */
        {SEND("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
              "Content-Length: 462\r\n\r\n"
              "profile series '{" MANY_LABELS "}' has 34 label names; limit 30"),
         "has 34 label names; limit 30 (send fewer: no CPROF_RESOURCE=full"},
        {SEND("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
              "Content-Length: 22\r\n\r\nMAXIMUM depth exceeded"),
         "depth exceeded (raise that limit in the server"},
        {SEND("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
              "Content-Length: 17\r\n\r\nprofile too large"),
         "profile too large (raise that limit in the server"},
        {SEND("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), "HTTP 500"},
        {SEND("HTTP/1.1 301 Moved\r\nLocation: https://me:secret@elsewhere/x?key=secret\r\n"
              "Content-Length: 0\r\n\r\n"),
         "this one goes to https://elsewhere/x"},
        {SEND("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
              "Content-Length: 13\r\n\r\n<html></html>"),
         "no server for profiles"},
        {SEND("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
              "Content-Length: 12\r\n\r\n\x0a\x0a\x08\x01\x12\x06no cpu"),
         "rejected by the server: no cpu"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server *server = server_start(&cases[i].reply, 1);
        struct exporter *exporter = start_for(server);
        struct exporter_stats stats;
        capture_errors();
        exporter_submit(exporter, make_profile(3, NULL));
        int flushed = exporter_flush(exporter, 10),
            flushed_again = exporter_flush(exporter, 10);
        int stopped = exporter_stop(exporter, 5, &stats);
        char *told = captured_errors();
        if (strstr(told, cases[i].told) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].told, told);
        assert_null(strstr(told, "secret"));
        assert_ptr_equal(strchr(told, '\n'), told + strlen(told) - 1); /* one line */
        assert_int_equal(flushed, -EIO);
        assert_int_equal(flushed_again, 0);
        assert_int_equal(stopped, 0);
        assert_int_equal(server_requests(server), 1);
        assert_int_equal(stats.failed, 1);
        assert_int_equal(stats.exported + stats.dropped, 0);
        free(told);
        server_stop(server);
    }
}

static struct profile *profile_of_a_pod(void)
{
    static const char *const attributes[] = {"service.name", "service.version", "k8s.pod.name",
                                             "k8s.pod.uid",  "cloud.region",    "host.name"};
    struct profile *profile = make_profile(3, NULL);
    for (size_t i = 0; i < COUNT(attributes); i++)
        profile_set_text(profile, PROFILE_RESOURCE, attributes[i], "x");
    for (int64_t thread = 1; thread <= 2; thread++) {
        const struct profile_label labels[] = {
            {.key = profile_string(profile, "thread.id"), .number = thread, .is_number = true},
            {.key = profile_string(profile, "endpoint"), .text = profile_string(profile, "/")},
        };
        profile_add(profile, 0, 0, 0, profile_labels(profile, labels, 2),
                    (int64_t[]){4, 40000000});
    }
    return profile;
}

/* Which of these names stand in a request. */
static void assert_names(const struct request *request, const char *const *names, size_t count,
                         bool there)
{
    for (size_t i = 0; i < count; i++)
        if ((memmem(request->body, request->body_size, names[i], strlen(names[i])) != NULL) !=
            there)
            fail_msg("%s is %s", names[i], there ? "missing" : "still there");
}

/* As Pyroscope has it, which tells the names of one series at a time. */
static void a_server_of_few_label_names_gets_those_that_tell_most(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 35\r\n\r\n"
             "x '{}' has 32 label names; limit 30"),
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 35\r\n\r\n"
             "y '{}' has 31 label names; limit 30"),
        OK_REPLY,
    };
    static const char *const left[] = {"thread.id", "k8s.pod.uid", "host.name"};
    static const char *const kept[] = {"service.name", "service.version", "k8s.pod.name",
                                       "cloud.region", "endpoint"};
    struct server *server = server_start(script, COUNT(script));
    struct exporter_options options = options_for(server_url(server));
    options.otlp.packing = PACK_NONE;
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    capture_errors();
    for (size_t profile = 1; profile <= 2; profile++) {
        exporter_submit(exporter, profile_of_a_pod());
        assert_int_equal(exporter_flush(exporter, 10), 0);
        assert_int_equal(server_requests(server), 2 + profile); /* what was learnt stays */
        const struct request *taken = server_request(server, 1 + profile);
        assert_names(taken, left, COUNT(left), false);
        assert_names(taken, kept, COUNT(kept), true);
        assert_int_equal(encoded_total(taken->body, taken->body_size), 11);
    }
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    char *told = captured_errors();
    assert_string_equal(told,
                        "cprof: otlp: the server takes 30 label names a series: 3 are left "
                        "off from now on: thread.id, k8s.pod.uid, host.name\n");
    assert_int_equal(stats.exported, 2);
    assert_int_equal(stats.failed + stats.dropped, 0);
    free(told);
    server_stop(server);
}

/* Numbers that make no sense, or names that are all needed, end in the refusal as it was. */
static void a_refusal_for_label_names_may_be_the_last_word(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 34\r\n\r\n"
             "x '{}' has 30 label names; limit 0"),
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 45\r\n\r\n"
             "x has 99999999999999999999 label names; limit"),
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 34\r\n\r\n"
             "x '{}' has 90 label names; limit 3"),
    };
    for (size_t i = 0; i < COUNT(script); i++) {
        struct server *server = server_start(&script[i], 1);
        struct exporter *exporter = start_for(server);
        capture_errors();
        exporter_submit(exporter, profile_of_a_pod());
        assert_int_equal(exporter_flush(exporter, 10), -EIO);
        assert_int_equal(exporter_stop(exporter, 5, NULL), 0);
        char *told = captured_errors();
        assert_non_null(strstr(told, "a profile is lost: HTTP 400"));
        assert_non_null(strstr(told, "CPROF_THREAD_LABELS=off"));
        assert_int_equal(server_requests(server), 1);
        free(told);
        server_stop(server);
    }
}

/* Whoever stops without a flush before is told as well. */
static void a_stop_says_that_the_only_profile_was_refused(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start_for(server);
    capture_errors();
    exporter_submit(exporter, make_profile(3, NULL));
    int stopped = exporter_stop(exporter, 5, NULL);
    free(captured_errors());
    assert_int_equal(stopped, -EIO);
    server_stop(server);
}

static void odd_successes_are_successes(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        SEND("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
        SEND(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
        SEND("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
             "Content-Length: 4\r\n\r\n\xff\xff\xff\xff"),
        {REPLY_FLOOD, "HTTP/1.1 200 OK\r\n\r\n", 19}, /* more than anybody wants to read */
    };
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct server *server = server_start(&replies[i], 1);
        struct exporter *exporter = start_for(server);
        struct exporter_stats stats;
        exporter_submit(exporter, make_profile(3, NULL));
        assert_int_equal(exporter_flush(exporter, 10), 0);
        assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
        assert_int_equal(server_requests(server), 1);
        assert_int_equal(stats.exported, 1);
        server_stop(server);
    }
}

static void a_warning_in_a_success_is_told_once(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
             "Content-Length: 9\r\n\r\n\x0a\x07\x12\x05hurry")};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    capture_errors();
    exporter_submit(exporter, make_profile(3, NULL));
    exporter_submit(exporter, make_profile(4, NULL));
    int flushed = exporter_flush(exporter, 10);
    char *told = captured_errors();
    exporter_stop(exporter, 5, &stats);
    assert_int_equal(flushed, 0);
    assert_string_equal(told, "cprof: otlp: taken with a warning by the server: hurry\n");
    assert_int_equal(stats.exported, 2);
    assert_int_equal(server_requests(server), 2);
    free(told);
    server_stop(server);
}

static void the_servers_retry_after_is_kept(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"), OK_REPLY};
    struct server *server = server_start(script, 2);
    struct exporter *exporter = start_for(server);
    exporter_submit(exporter, make_profile(3, NULL));
    wait_for_requests(server, 1);
    uint64_t first = clock_ns(CLOCK_MONOTONIC);
    wait_for_requests(server, 2);
    assert_true(seconds_since(first) > 1.9);
    assert_int_equal(exporter_stop(exporter, 5, NULL), 0);
    server_stop(server);
}

static void flush_cuts_a_wait_short(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"), OK_REPLY};
    struct server *server = server_start(script, 2);
    struct exporter *exporter = start_for(server);
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    exporter_submit(exporter, make_profile(3, NULL));
    wait_for_requests(server, 1); /* the answer may have been read by now, or not */
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_true(seconds_since(begin) < 5);
    assert_int_equal(exporter_stop(exporter, 5, NULL), 0);
    server_stop(server);
}

static void stop_keeps_its_time_when_the_server_hangs_and_files_lose_nothing(void **state)
{
    (void)state;
    static const struct reply script[] = {{REPLY_HANG, "", 0}};
    struct server *server = server_start(script, 1);
    char path[] = "/tmp/cprof-delivery-XXXXXX.otlp";
    close(mkstemps(path, 5));
    struct exporter_options options = options_for(server_url(server));
    options.output = path;
    options.otlp.timeout = 50;
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    exporter_submit(exporter, make_profile(40, NULL));
    wait_for_requests(server, 1);
    exporter_submit(exporter, make_profile(2, NULL)); /* while the request hangs */
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    assert_int_equal(exporter_stop(exporter, 0.5, &stats), -ETIMEDOUT);
    assert_true(seconds_since(begin) < 20); /* half a second, on a machine that is idle */
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.exported, 2);
    assert_int_equal(file_total(path), 42);
    unlink(path);
    server_stop(server);
}

static void flush_keeps_its_time_when_nobody_listens(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    server_stop(server); /* now the port is closed */
    capture_errors();
    exporter_submit(exporter, make_profile(1, NULL));
    exporter_submit(exporter, make_profile(1, NULL));
    int flushed = exporter_flush(exporter, 0.3);
    int stopped = exporter_stop(exporter, 0.3, &stats);
    char *told = captured_errors();
    assert_int_equal(flushed, -ETIMEDOUT);
    assert_int_equal(stopped, -ETIMEDOUT);
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.exported + stats.failed, 0);
    assert_non_null(strstr(told, "profiles are kept"));
    assert_null(strstr(strstr(told, "profiles are kept") + 1, "profiles are kept"));
    free(told);
}

static void everything_submitted_is_accounted_for_when_the_queue_overflows(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"), OK_REPLY};
    struct server *server = server_start(script, 2);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    int64_t arrived = 0;
    capture_errors();
    exporter_submit(exporter, make_profile(1, NULL));
    wait_for_requests(server, 1);
    for (int i = 0; i < 999; i++)
        exporter_submit(exporter, make_profile(1, NULL));
    assert_int_equal(exporter_flush(exporter, 60), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    char *told = captured_errors();
    for (size_t i = 1; i < server_requests(server); i++) {
        const struct request *request = server_request(server, i);
        arrived += encoded_total(request->body, request->body_size);
    }
    assert_true(stats.dropped > 0);
    assert_int_equal(stats.exported + stats.dropped, 1000);
    assert_int_equal(arrived, stats.exported);
    assert_non_null(strstr(told, "the oldest are dropped"));
    free(told);
    server_stop(server);
}

static void secrets_stay_out_of_every_line(void **state)
{
    (void)state;
    static const struct reply script[] = {SEND("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")};
    struct server *server = server_start(script, 1);
    char url[256], error[256];
    snprintf(url, sizeof url, "http://user:hunter2@%s?token=hunter2",
             server_url(server) + strlen("http://"));
    const struct cprof_pair good[] = {{"Authorization-Extra", "Bearer hunter2"}};
    const struct cprof_pair bad[] = {{"Authorization", "hunter2\r\nX: y"}};
    struct exporter_options options = options_for(url);
    options.otlp.headers = good;
    options.otlp.header_count = 1;
    log_set_level(LOG_DEBUG);
    capture_errors();
    struct exporter *exporter = start_exporter(&options);
    exporter_submit(exporter, make_profile(1, NULL));
    exporter_flush(exporter, 10);
    exporter_stop(exporter, 5, NULL);
    char *told = captured_errors();
    log_set_level(LOG_WARN);
    assert_null(strstr(told, "hunter2"));
    assert_non_null(strstr(told, "OTLP profiles 1.10"));
    assert_non_null(strstr(server_request(server, 0)->head, "\r\nAuthorization: Basic "));
    options.otlp.headers = bad;
    assert_null(exporter_new(&options, error, sizeof error));
    assert_null(strstr(error, "hunter2"));
    assert_non_null(strstr(error, "OTEL_EXPORTER_OTLP_HEADERS"));
    free(told);
    server_stop(server);
}

static void *submit_many(void *exporter)
{
    struct exporter_stats stats;
    for (int i = 0; i < 50; i++) {
        exporter_submit(exporter, make_profile(1, NULL));
        exporter_stats(exporter, &stats);
    }
    return NULL;
}

static void many_threads_may_submit_and_flush_at_once(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_create(&threads[i], NULL, submit_many, exporter);
    exporter_flush(exporter, 1);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(exporter_flush(exporter, 30), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(stats.exported, 200);
    assert_int_equal(server_requests(server), 200);
    server_stop(server);
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += lseek(fd, 0, SEEK_CUR) >= 0 || errno == ESPIPE;
    return count;
}

static void starting_and_stopping_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    size_t before = 0;
    for (int i = 0; i < 30; i++) {
        struct exporter *exporter = start_for(server);
        exporter_submit(exporter, make_profile(1, NULL));
        assert_int_equal(exporter_stop(exporter, 5, NULL), 0);
        usleep(20000); /* until the server has seen the end */
        if (i == 0)
            before = open_files();
    }
    assert_int_equal(open_files(), before);
    server_stop(server);
}

int main(void)
{
    static const char *const proxies[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < COUNT(proxies); i++)
        unsetenv(proxies[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_server_gets_the_profile_as_it_is),
        cmocka_unit_test(without_gzip_the_body_is_plain),
        cmocka_unit_test(zstd_is_sent_when_asked_for),
        cmocka_unit_test(a_unix_socket_is_a_server_too),
        cmocka_unit_test(passing_trouble_is_retried_until_the_profile_is_delivered),
        cmocka_unit_test(refusals_are_counted_and_never_retried),
        cmocka_unit_test(a_server_of_few_label_names_gets_those_that_tell_most),
        cmocka_unit_test(a_refusal_for_label_names_may_be_the_last_word),
        cmocka_unit_test(a_stop_says_that_the_only_profile_was_refused),
        cmocka_unit_test(odd_successes_are_successes),
        cmocka_unit_test(a_warning_in_a_success_is_told_once),
        cmocka_unit_test(the_servers_retry_after_is_kept),
        cmocka_unit_test(flush_cuts_a_wait_short),
        cmocka_unit_test(stop_keeps_its_time_when_the_server_hangs_and_files_lose_nothing),
        cmocka_unit_test(flush_keeps_its_time_when_nobody_listens),
        cmocka_unit_test(everything_submitted_is_accounted_for_when_the_queue_overflows),
        cmocka_unit_test(secrets_stay_out_of_every_line),
        cmocka_unit_test(many_threads_may_submit_and_flush_at_once),
        cmocka_unit_test(starting_and_stopping_leaves_no_descriptor_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
