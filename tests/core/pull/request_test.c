/* What the pull endpoint listens on, and what it makes of requests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "pull/address.h"
#include "pull/request.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void only_this_host_may_connect_unless_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int family; /* 0: refused */
        bool others;
    } cases[] = {
        {"127.0.0.1:6060", AF_INET, false},
        {"127.1.2.3:1", AF_INET, false},
        {"localhost:65535", AF_INET, false},
        {"[::1]:6060", AF_INET6, false},
        {"unix:/run/app.sock", AF_UNIX, false},
        {"unix:/run/app-%p.sock", AF_UNIX, false},
        {"0.0.0.0:6060", 0, false},
        {"0.0.0.0:6060", AF_INET, true},
        {"[::]:6060", 0, false},
        {"[::]:6060", AF_INET6, true},
        {"10.0.0.1:6060", 0, false},
        {"[::ffff:10.0.0.1]:6060", 0, false},
        {":6060", 0, true},
        {"6060", 0, true},
        {"127.0.0.1", 0, true},
        {"127.0.0.1:", 0, true},
        {"127.0.0.1:0", 0, true},
        {"127.0.0.1:65536", 0, true},
        {"127.0.0.1:60x", 0, true},
        {"127.0.0.1:-1", 0, true},
        {"example.com:80", 0, true},
        {"[::1:6060", 0, true},
        {"[]:1", 0, true},
        {"", 0, true},
        {"unix:app.sock", 0, true},
        {"unix:", 0, true},
        {"unix:/run/"
         "a-name-that-is-longer-than-what-the-kernel-has-room-for-in-the-address-of-a-"
         "socket-whose-limit-is-one-hundred-and-seven-bytes",
         0, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pull_address address;
        const char *allowed = pull_address_parse(cases[i].text, cases[i].others, &address);
        if (cases[i].family == 0)
            assert_non_null(allowed);
        else
            assert_null(allowed);
        if (cases[i].family != 0)
            assert_int_equal(address.to.any.sa_family, cases[i].family);
    }
}

static void requests_are_taken_by_their_letter(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int error;
        enum pull_page page;
        double seconds;
    } cases[] = {
        {"GET /debug/pprof/ HTTP/1.1\r\nHost: localhost:6060\r\n\r\n", 0, PULL_INDEX, 30},
        {"GET /debug/pprof/profile HTTP/1.0\n\n", 0, PULL_PROFILE, 30},
        {"GET /debug/pprof/profile?seconds=5 HTTP/1.1\r\n\r\n", 0, PULL_PROFILE, 5},
        {"GET /debug/pprof/profile?x=1&seconds=0.5&y HTTP/1.1\r\n\r\n", 0, PULL_PROFILE, 0.5},
        {"GET /debug/pprof/profile?seconds=0 HTTP/1.1\r\n\r\n", 400, PULL_PROFILE, 0},
        {"GET /debug/pprof/profile?seconds=601 HTTP/1.1\r\n\r\n", 400, PULL_PROFILE, 601},
        {"GET /debug/pprof/profile?seconds=-1 HTTP/1.1\r\n\r\n", 400, PULL_PROFILE, 30},
        {"GET /debug/pprof/profile?seconds=1e9 HTTP/1.1\r\n\r\n", 400, PULL_PROFILE, 30},
        {"GET /debug/pprof/profile?seconds= HTTP/1.1\r\n\r\n", 400, PULL_PROFILE, 30},
        {"GET /debug/pprof/heap HTTP/1.1\r\n\r\n", 0, PULL_HEAP, 0},
        {"GET /debug/pprof/heap?seconds=5 HTTP/1.1\r\n\r\n", 0, PULL_HEAP, 5},
        {"GET /debug/pprof/allocs?gc=1 HTTP/1.1\r\n\r\n", 0, PULL_ALLOCS, 0},
        {"GET /debug/pprof/heap?gc=0 HTTP/1.1\r\n\r\n", 0, PULL_HEAP, 0},
        {"GET /debug/pprof/heap?gc=yes HTTP/1.1\r\n\r\n", 400, PULL_HEAP, 0},
        {"GET /debug/pprof/threads?format=json HTTP/1.1\r\n\r\n", 0, PULL_THREADS, 30},
        {"GET /debug/pprof/threads?format=a-format-too-long HTTP/1.1\r\n\r\n", 400,
         PULL_THREADS, 30},
        {"GET /debug/pprof/mutex HTTP/1.1\r\n\r\n", 0, PULL_LOCKS, 0},
        {"GET /debug/pprof/block?seconds=5 HTTP/1.1\r\n\r\n", 0, PULL_LOCKS, 5},
        {"GET /debug/pprof/goroutine HTTP/1.1\r\n\r\n", 404, PULL_INDEX, 30},
        {"GET /etc/passwd HTTP/1.1\r\n\r\n", 404, PULL_INDEX, 30},
        {"POST /debug/pprof/profile HTTP/1.1\r\n\r\n", 405, PULL_INDEX, 0},
        {"GET /debug/pprof/\r\n\r\n", 400, PULL_INDEX, 0},
        {"GET /debug/pprof/ HTTP/2.0\r\n\r\n", 400, PULL_INDEX, 0},
        {"\r\n\r\n", 400, PULL_INDEX, 0},
        {"GET /debug/pprof/ HTTP/1.1\r\nHost: evil.example:6060\r\n\r\n", 403, PULL_INDEX, 30},
        {"GET /debug/pprof/ HTTP/1.1\r\nhost:\t127.0.0.1:6060 \r\n\r\n", 0, PULL_INDEX, 30},
        {"GET /debug/pprof/ HTTP/1.1\r\nHOST: [::1]:6060\r\n\r\n", 0, PULL_INDEX, 30},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pull_request request;
        size_t size = strlen(cases[i].head);
        assert_true(pull_request_parse(cases[i].head, size, PULL_LOCAL, &request));
        assert_int_equal(request.error, cases[i].error);
        assert_int_equal(request.page, cases[i].page);
        assert_true(request.seconds == cases[i].seconds);
        assert_true(request.collect == (strstr(cases[i].head, "gc=1") != NULL));
        for (size_t part = 0; part + 1 < size; part++) /* comes in any pieces */
            if (memcmp(cases[i].head, "\r\n", 2) != 0)
                assert_false(pull_request_parse(cases[i].head, part, PULL_LOCAL, &request));
    }
}

static void what_changes_something_is_the_owners_alone(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int error, elsewhere; /* for the owner; for others */
        enum pull_page page;
    } cases[] = {
        {"GET /cprof/status HTTP/1.0\r\n\r\n", 0, 404, PULL_STATUS},
        {"POST /cprof/stop HTTP/1.0\r\n\r\n", 0, 405, PULL_STOP},
        {"POST /cprof/start?types=cpu%40200hz&rate=7&output=/a%20b HTTP/1.0\r\n\r\n", 0, 405,
         PULL_START},
        {"GET /cprof/stop HTTP/1.0\r\n\r\n", 405, 404, PULL_INDEX},
        {"POST /cprof/status HTTP/1.0\r\n\r\n", 405, 405, PULL_INDEX},
        {"POST /cprof/start?types=%4 HTTP/1.0\r\n\r\n", 400, 405, PULL_START},
        {"POST /cprof/start?types=%00 HTTP/1.0\r\n\r\n", 400, 405, PULL_START},
        {"POST /cprof/start?rate=-1 HTTP/1.0\r\n\r\n", 400, 405, PULL_START},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pull_request request;
        size_t size = strlen(cases[i].head);
        assert_true(pull_request_parse(cases[i].head, size, PULL_LOCAL, &request));
        assert_int_equal(request.error, cases[i].elsewhere);
        assert_true(pull_request_parse(cases[i].head, size, PULL_OWNER, &request));
        assert_int_equal(request.error, cases[i].error);
        assert_int_equal(request.page, cases[i].page);
        if (request.page == PULL_START && request.error == 0) {
            assert_string_equal(request.types, "cpu@200hz");
            assert_string_equal(request.output, "/a b");
            assert_int_equal(request.rate, 7);
        }
    }
}

static void a_text_has_its_length(void **state)
{
    (void)state;
    char head[PULL_TYPES_SIZE + 64];
    struct pull_request request;
    for (int length = PULL_TYPES_SIZE - 1; length <= PULL_TYPES_SIZE; length++) {
        int size = snprintf(head, sizeof head, "POST /cprof/start?types=%0*d HTTP/1.0\r\n\r\n",
                            length, 0);
        assert_true(pull_request_parse(head, (size_t)size, PULL_OWNER, &request));
        assert_int_equal(request.error, length < PULL_TYPES_SIZE ? 0 : 400);
    }
}

static void a_server_for_other_hosts_takes_any_name(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    struct pull_request request;
    assert_true(pull_request_parse(head, sizeof head - 1, PULL_PUBLIC, &request));
    assert_int_equal(request.error, 0);
}

static void a_head_without_end_is_refused(void **state)
{
    (void)state;
    static char head[PULL_MAX_HEAD];
    memset(head, 'a', sizeof head);
    struct pull_request request;
    assert_false(pull_request_parse(head, sizeof head - 1, PULL_LOCAL, &request));
    assert_true(pull_request_parse(head, sizeof head, PULL_LOCAL, &request));
    assert_int_equal(request.error, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_this_host_may_connect_unless_told),
        cmocka_unit_test(requests_are_taken_by_their_letter),
        cmocka_unit_test(what_changes_something_is_the_owners_alone),
        cmocka_unit_test(a_text_has_its_length),
        cmocka_unit_test(a_server_for_other_hosts_takes_any_name),
        cmocka_unit_test(a_head_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
