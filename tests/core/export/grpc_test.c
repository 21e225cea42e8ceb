/* OTLP over gRPC against a server that does what servers do on bad days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "export/answer.h"
#include "export/exporter.h"
#include "export/grpc.h"
#include "grpc_server.h"
#include "samples.h"
#include "server.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* google.rpc.Status {8, "", [RetryInfo {delay}]}, packed by hand from the field numbers. */
#define ANY_RETRY_INFO "\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
#define RETRY_IN_2_S "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg"

static struct exporter_options options_for(const char *url)
{
    return (struct exporter_options){
        .otlp = {.url = url, .protocol = TRANSPORT_GRPC, .packing = PACK_GZIP, .timeout = 5},
        .library_directory = HTTP_MODULE_DIRECTORY};
}

static struct exporter *start_for(const struct grpc_server *server)
{
    struct exporter_options options = options_for(grpc_server_url(server));
    return start_exporter(&options);
}

static void wait_for_calls(struct grpc_server *server, size_t count)
{
    assert_true(WAIT_FOR(grpc_server_calls(server) >= count));
}

/* The samples of the one message of a call's body, whose prefix is checked. */
static int64_t message_total(const struct grpc_call *call, bool packed)
{
    const unsigned char *body = call->body;
    assert_true(call->body_size > 5);
    assert_int_equal(body[0], packed);
    assert_int_equal(body[1] << 24 | body[2] << 16 | body[3] << 8 | body[4],
                     call->body_size - 5);
    return encoded_total(body + 5, call->body_size - 5);
}

static void a_healthy_server_gets_each_profile_as_one_call(void **state)
{
    (void)state;
    static const struct grpc_reply script[] = {GRPC_OK_REPLY};
    struct grpc_server *server = grpc_server_start(script, 1);
    const struct cprof_pair headers[] = {{"X-Scope-OrgID", "tenant-1"}};
    struct exporter_options options = options_for(grpc_server_url(server));
    options.otlp.headers = headers;
    options.otlp.header_count = 1;
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    for (int i = 1; i <= 5; i++)
        exporter_submit(exporter, make_profile(i, NULL));
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    static const char *const expected[] = {
        ":method: POST\n",
        ":scheme: http\n",
        ":path: /opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export\n",
        "content-type: application/grpc\n",
        "te: trailers\n",
        "grpc-encoding: gzip\n",
        "grpc-timeout: 5000m\n",
        "user-agent: OTel-OTLP-Exporter-cprof/",
        "x-scope-orgid: tenant-1\n",
    };
    const struct grpc_call *first = grpc_server_call(server, 0);
    for (size_t i = 0; i < COUNT(expected); i++)
        if (strstr(first->headers, expected[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", expected[i], first->headers);
    assert_int_equal(grpc_server_calls(server), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(message_total(grpc_server_call(server, i), true), i + 1);
    assert_int_equal(stats.exported, 5);
    assert_int_equal(stats.failed + stats.dropped, 0);
    grpc_server_stop(server);
}

static void without_packing_the_message_is_plain(void **state)
{
    (void)state;
    static const struct grpc_reply script[] = {GRPC_OK_REPLY};
    struct grpc_server *server = grpc_server_start(script, 1);
    struct exporter_options options = options_for(grpc_server_url(server));
    options.otlp.packing = PACK_NONE;
    struct exporter *exporter = start_exporter(&options);
    exporter_submit(exporter, make_profile(5, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    const struct grpc_call *call = grpc_server_call(server, 0);
    assert_null(strstr(call->headers, "grpc-encoding"));
    assert_int_equal(message_total(call, false), 5);
    grpc_server_stop(server);
}

/* Does it end by the client's timeout alone? The others get a long one, which a busy machine
 * does not reach. */
static bool lasts(const struct grpc_reply *trouble)
{
    return trouble->manner == GRPC_HANG || trouble->manner == GRPC_TRICKLE;
}

/* Each of these comes once, then the server is well. */
static void passing_trouble_is_retried_until_the_profile_is_delivered(void **state)
{
    (void)state;
    static const struct grpc_reply troubles[] = {
        {.manner = GRPC_TRAILERS_ONLY, .status = "1"},
        {.manner = GRPC_TRAILERS_ONLY, .status = "4"},
        {.manner = GRPC_TRAILERS_ONLY, .status = "10"},
        {.manner = GRPC_TRAILERS_ONLY, .status = "11"},
        {.manner = GRPC_TRAILERS_ONLY, .status = "14", .message = "come%20back"},
        {.manner = GRPC_ANSWER, .status = "14"}, /* as a trailer */
        {.manner = GRPC_TRAILERS_ONLY, .status = "15"},
        {.manner = GRPC_TRAILERS_ONLY, .status = "8", .details = RETRY_IN_2_S},
        {.manner = GRPC_TRAILERS_ONLY, .http = "429", .content_type = "text/plain"},
        {.manner = GRPC_TRAILERS_ONLY, .http = "502", .content_type = "text/plain"},
        {.manner = GRPC_TRAILERS_ONLY, .http = "503", .content_type = "text/plain"},
        {.manner = GRPC_TRAILERS_ONLY, .http = "504", .content_type = "text/plain"},
        {.manner = GRPC_HANG},
        {.manner = GRPC_CLOSE},
        {.manner = GRPC_RESET},
        {.manner = GRPC_RESET_STREAM},
        {.manner = GRPC_GOAWAY},
        {.manner = GRPC_TRICKLE},
        {.manner = GRPC_GARBAGE},
    };
    for (size_t i = 0; i < COUNT(troubles); i++) {
        const struct grpc_reply script[] = {troubles[i], GRPC_OK_REPLY};
        struct grpc_server *server = grpc_server_start(script, 2);
        struct exporter_options options = options_for(grpc_server_url(server));
        options.otlp.timeout = lasts(&troubles[i]) ? 2 : 50;
        struct exporter *exporter = start_exporter(&options);
        struct exporter_stats stats;
        capture_errors();
        exporter_submit(exporter, make_profile(11, NULL));
        wait_for_calls(server, 1);
        int flushed = exporter_flush(exporter, 60);
        exporter_stop(exporter, 5, &stats);
        char *told = captured_errors();
        if (flushed != 0 || grpc_server_calls(server) != 2)
            fail_msg("trouble %zu: %d, %zu calls, %s", i, flushed, grpc_server_calls(server),
                     told);
        assert_int_equal(message_total(grpc_server_call(server, 1), true), 11);
        assert_int_equal(stats.exported, 1);
        assert_int_equal(stats.failed + stats.dropped, 0);
        free(told);
        grpc_server_stop(server);
    }
}

static void refusals_are_counted_and_never_retried(void **state)
{
    (void)state;
    static const struct {
        struct grpc_reply reply;
        const char *told;
    } cases[] = {
        {{.manner = GRPC_TRAILERS_ONLY, .status = "2", .message = "o%C3%BCch%1b"},
         "gRPC UNKNOWN: o??ch?"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "3"}, "gRPC INVALID_ARGUMENT"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "5"}, "gRPC NOT_FOUND"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "6"}, "gRPC ALREADY_EXISTS"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "7"}, "check OTEL_EXPORTER_OTLP_HEADERS"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "8"}, "gRPC RESOURCE_EXHAUSTED"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "9"}, "gRPC FAILED_PRECONDITION"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "12"}, "service.profilesSupport"},
        {{.manner = GRPC_ANSWER, .status = "13"}, "gRPC INTERNAL"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "16"}, "check OTEL_EXPORTER_OTLP_HEADERS"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "77"}, "gRPC status 77"},
        {{.manner = GRPC_TRAILERS_ONLY, .status = "what"}, "without a grpc-status"},
        {{.manner = GRPC_NO_TRAILERS, .body = "\0\0\0\0", .body_size = 5},
         "without a grpc-status"},
        {{.manner = GRPC_NO_TRAILERS,
          .content_type = "text/html",
          .body = "<html>",
          .body_size = 6},
         "no gRPC server answers"},
        {{.manner = GRPC_TRAILERS_ONLY, .http = "404", .content_type = "text/plain"},
         "HTTP 404"},
        {{.manner = GRPC_TRAILERS_ONLY, .http = "301", .content_type = "text/plain"},
         "redirects are not followed"},
        {{.manner = GRPC_FLOOD}, "without a grpc-status"},
        {{.manner = GRPC_ANSWER,
          .status = "0",
          .body = "\0\0\0\0\x0c\x0a\x0a\x08\x01\x12\x06no cpu",
          .body_size = 17},
         "rejected by the server: no cpu"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct grpc_server *server = grpc_server_start(&cases[i].reply, 1);
        struct exporter *exporter = start_for(server);
        struct exporter_stats stats;
        capture_errors();
        exporter_submit(exporter, make_profile(3, NULL));
        int flushed = exporter_flush(exporter, 10);
        exporter_stop(exporter, 5, &stats);
        char *told = captured_errors();
        if (strstr(told, cases[i].told) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].told, told);
        if (strchr(told, '\n') != told + strlen(told) - 1)
            fail_msg("not one line: %s", told);
        assert_int_equal(flushed, -EIO);
        assert_int_equal(grpc_server_calls(server), 1);
        assert_int_equal(stats.failed, 1);
        assert_int_equal(stats.exported + stats.dropped, 0);
        free(told);
        grpc_server_stop(server);
    }
}

/* libcurl 7.88 loses the status when it comes in one piece with the reset: that is a broken
 * stream then, and the next attempt tells more. */
static void a_status_before_a_reset_counts(void **state)
{
    (void)state;
    static const struct grpc_reply script[] = {
        {.manner = GRPC_STATUS_AND_RESET, .status = "12"}};
    struct grpc_server *server = grpc_server_start(script, 1);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    capture_errors();
    exporter_submit(exporter, make_profile(3, NULL));
    for (int i = 0; i < 600; i++) {
        exporter_flush(exporter, 0.1); /* cuts the wait for the next attempt short */
        exporter_stats(exporter, &stats);
        if (stats.failed > 0)
            break;
    }
    exporter_stop(exporter, 5, &stats);
    char *told = captured_errors();
    assert_non_null(strstr(told, "gRPC UNIMPLEMENTED"));
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.exported + stats.dropped, 0);
    free(told);
    grpc_server_stop(server);
}

static void a_warning_or_an_unreadable_message_is_a_success(void **state)
{
    (void)state;
    static const struct grpc_reply replies[] = {
        {.manner = GRPC_ANSWER,
         .status = "0",
         .body = "\0\0\0\0\x09\x0a\x07\x12\x05hurry",
         .body_size = 14},
        {.manner = GRPC_ANSWER, .status = "0", .body = "\x01\0\0\0\x02??", .body_size = 7},
        {.manner = GRPC_ANSWER, .status = "0", .body = "\0\xff\xff\xff\xff", .body_size = 5},
        {.manner = GRPC_ANSWER, .status = "0"},
    };
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct grpc_server *server = grpc_server_start(&replies[i], 1);
        struct exporter *exporter = start_for(server);
        struct exporter_stats stats;
        capture_errors();
        exporter_submit(exporter, make_profile(3, NULL));
        int flushed = exporter_flush(exporter, 10);
        exporter_stop(exporter, 5, &stats);
        char *told = captured_errors();
        assert_string_equal(
            told, i ? "" : "cprof: otlp: taken with a warning by the server: hurry\n");
        assert_int_equal(flushed, 0);
        assert_int_equal(stats.exported, 1);
        free(told);
        grpc_server_stop(server);
    }
}

static void the_servers_retry_info_is_kept(void **state)
{
    (void)state;
    static const struct grpc_reply script[] = {
        {.manner = GRPC_TRAILERS_ONLY, .status = "14", .details = RETRY_IN_2_S}, GRPC_OK_REPLY};
    struct grpc_server *server = grpc_server_start(script, 2);
    struct exporter *exporter = start_for(server);
    capture_errors();
    exporter_submit(exporter, make_profile(3, NULL));
    wait_for_calls(server, 1);
    uint64_t first = clock_ns(CLOCK_MONOTONIC);
    wait_for_calls(server, 2);
    uint64_t waited = clock_ns(CLOCK_MONOTONIC) - first;
    int stopped = exporter_stop(exporter, 5, NULL);
    char *told = captured_errors();
    assert_true(waited > 19 * NS_PER_SECOND / 10);
    assert_non_null(strstr(told, "next attempt in 2.0 s"));
    assert_int_equal(stopped, 0);
    free(told);
    grpc_server_stop(server);
}

static void an_http_1_server_is_not_taken_for_grpc(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")};
    struct server *server = server_start(script, 1);
    struct exporter_options options = options_for(server_url(server));
    options.otlp.timeout = 1;
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    capture_errors();
    exporter_submit(exporter, make_profile(3, NULL));
    int flushed = exporter_flush(exporter, 1.5);
    exporter_stop(exporter, 0, &stats);
    char *told = captured_errors();
    assert_int_equal(flushed, -ETIMEDOUT);
    assert_int_equal(stats.exported, 0);
    assert_int_equal(stats.dropped, 1);
    assert_non_null(strstr(told, "does this port speak gRPC?"));
    free(told);
    server_stop(server);
}

static void too_large_a_message_arrives_in_pieces(void **state)
{
    (void)state;
    static const struct grpc_reply script[] = {
        {.manner = GRPC_TRAILERS_ONLY,
         .status = "8",
         .message = "grpc: received message larger than max (9 vs. 4)"},
        GRPC_OK_REPLY};
    struct grpc_server *server = grpc_server_start(script, 2);
    struct exporter *exporter = start_for(server);
    struct exporter_stats stats;
    struct profile *p = make_profile(1, NULL);
    const int64_t one = 1;
    for (size_t i = 0; i < 20000; i++) {
        const struct profile_location location = {.address = i + 1};
        profile_id frame = profile_location(p, &location);
        profile_add(p, 0, profile_stack(p, &frame, 1), 0, 0, &one);
    }
    exporter_submit(exporter, p);
    assert_int_equal(exporter_flush(exporter, 30), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(grpc_server_calls(server), 3);
    assert_int_equal(message_total(grpc_server_call(server, 1), true) +
                         message_total(grpc_server_call(server, 2), true),
                     20001);
    assert_int_equal(stats.exported, 1);
    grpc_server_stop(server);
}

static void retry_info_is_found_and_bounded(void **state)
{
    (void)state;
    uint64_t delay = 7;
    assert_true(grpc_retry_info(RETRY_IN_2_S, &delay));
    assert_int_equal(delay, 2 * NS_PER_SECOND);
    assert_true(grpc_retry_info(RETRY_IN_2_S "==", &delay)); /* padding is allowed */
    assert_false(grpc_retry_info("", &delay));
    assert_false(grpc_retry_info("!!!", &delay));
    assert_false(grpc_retry_info("CAgaMA", &delay)); /* cut off */
    static const struct {
        const char *value;
        size_t size;
        uint64_t delay;
    } durations[] = {
        {"\x12\x06\x0a\x04\x08\x01\x10\x05", 8, NS_PER_SECOND + 5},
        {"\x12\x0d\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15, 0}, /* −1 s */
        {"\x12\x08\x0a\x06\x08\xff\xff\xff\xff\x0f", 10, 3600 * NS_PER_SECOND},
        {"", 0, 0},
    };
    for (size_t i = 0; i < COUNT(durations); i++) {
        char status[128] = "\x08\x08\x1a";
        size_t any = sizeof ANY_RETRY_INFO - 1 + durations[i].size;
        status[3] = (char)any;
        memcpy(status + 4, ANY_RETRY_INFO, sizeof ANY_RETRY_INFO - 1);
        memcpy(status + 4 + sizeof ANY_RETRY_INFO - 1, durations[i].value, durations[i].size);
        assert_true(answer_retry_info(status, 4 + any, &delay));
        assert_int_equal(delay, durations[i].delay);
    }
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_server_gets_each_profile_as_one_call),
        cmocka_unit_test(without_packing_the_message_is_plain),
        cmocka_unit_test(passing_trouble_is_retried_until_the_profile_is_delivered),
        cmocka_unit_test(refusals_are_counted_and_never_retried),
        cmocka_unit_test(a_status_before_a_reset_counts),
        cmocka_unit_test(a_warning_or_an_unreadable_message_is_a_success),
        cmocka_unit_test(the_servers_retry_info_is_kept),
        cmocka_unit_test(an_http_1_server_is_not_taken_for_grpc),
        cmocka_unit_test(too_large_a_message_arrives_in_pieces),
        cmocka_unit_test(retry_info_is_found_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
