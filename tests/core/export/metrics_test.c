/* Metrics go beside profiles: the newest alone, when they are due, and never at profiles' cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "export/exporter.h"
#include "samples.h"
#include "server.h"

#define REFUSED_REPLY SEND("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
#define PARTLY_REPLY                                                                           \
    SEND("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 4\r\n"    \
         "\r\n\x0a\x02\x08\x03") /* three points are rejected */

static struct exporter *start(const struct server *profiles, const struct server *metrics,
                              double interval)
{
    const struct exporter_options options = {
        .otlp = {.url = profiles ? server_url(profiles) : NULL, .timeout = 5},
        .metrics = {.url = server_url(metrics), .timeout = 5},
        .metrics_interval = interval,
        .service_name = "test",
        .library_directory = HTTP_MODULE_DIRECTORY};
    return start_exporter(&options);
}

static void report(struct exporter *exporter, const char *text)
{
    struct buffer message = {0};
    buffer_append(&message, text, strlen(text));
    exporter_report(exporter, &message);
    assert_null(message.data);
}

static bool got(struct server *server, size_t number, const char *text)
{
    const struct request *request = server_request(server, number);
    return request->body_size == strlen(text) && memcmp(request->body, text, strlen(text)) == 0;
}

static void newer_ones_take_the_place_of_those_that_wait(void **state)
{
    (void)state;
    const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start(NULL, server, 3600);
    struct exporter_stats stats;
    report(exporter, "first");
    assert_true(WAIT_FOR(server_requests(server) == 1));
    report(exporter, "second");
    report(exporter, "third");
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_int_equal(exporter_flush(exporter, 10), 0); /* nothing is new */
    report(exporter, "last");
    assert_int_equal(exporter_stop(exporter, 10, &stats), 0);
    assert_int_equal(server_requests(server), 3);
    assert_true(got(server, 0, "first") && got(server, 1, "third") && got(server, 2, "last"));
    assert_int_equal(stats.reports_sent, 3);
    assert_int_equal(stats.reports_failed, 0);
    server_stop(server);
}

static void who_refuses_them_has_the_profiles_and_fails_nothing(void **state)
{
    (void)state;
    const struct reply taking[] = {OK_REPLY}, refusing[] = {REFUSED_REPLY, PARTLY_REPLY};
    struct server *server = server_start(taking, 1), *none = server_start(refusing, 2);
    struct exporter *exporter = start(server, none, 0.001);
    struct exporter_stats stats;
    for (int i = 0; i < 3; i++) {
        report(exporter, "figures");
        exporter_submit(exporter, make_profile(10, NULL));
        assert_int_equal(exporter_flush(exporter, 10), 0);
    }
    assert_int_equal(exporter_stop(exporter, 10, &stats), 0);
    assert_int_equal(server_requests(server), 3);
    assert_int_equal(stats.exported, 3);
    assert_int_equal(stats.failed + stats.dropped, 0);
    assert_int_equal(stats.reports_failed, server_requests(none));
    assert_true(stats.reports_failed >= 3 && stats.reports_sent == 0);
    server_stop(server);
    server_stop(none);
}

static void a_server_that_hangs_holds_up_no_profile(void **state)
{
    (void)state;
    const struct reply taking[] = {OK_REPLY}, hanging[] = {{.manner = REPLY_HANG}};
    struct server *server = server_start(taking, 1), *deaf = server_start(hanging, 1);
    struct exporter *exporter = start(server, deaf, 0.001);
    struct exporter_stats stats;
    report(exporter, "figures");
    assert_true(WAIT_FOR(server_requests(deaf) == 1));
    exporter_submit(exporter, make_profile(10, NULL));
    assert_true(WAIT_FOR(server_requests(server) == 1));
    exporter_stop(exporter, 0.2, &stats);
    assert_int_equal(stats.exported, 1);
    assert_int_equal(stats.reports_sent, 0);
    server_stop(server);
    server_stop(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_ones_take_the_place_of_those_that_wait),
        cmocka_unit_test(who_refuses_them_has_the_profiles_and_fails_nothing),
        cmocka_unit_test(a_server_that_hangs_holds_up_no_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
