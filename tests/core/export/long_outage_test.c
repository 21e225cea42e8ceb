/* Ten minutes of 503, with the exporter's clock a hundred times as fast: the linker puts the
 * two functions below in the place of those by which it tells time (libcurl keeps its own). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/exporter.h"
#include "folder.h"
#include "samples.h"
#include "server.h"

#define SPEED 100
#define NS 1000000000LL
#define INTERVALS 60 /* of ten seconds */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);

static int64_t began; /* CLOCK_MONOTONIC */

static int64_t in_ns(const struct timespec *time)
{
    return time->tv_sec * NS + time->tv_nsec;
}

static struct timespec from_ns(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS, .tv_nsec = ns % NS};
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int error = __real_clock_gettime(clock, now);
    if (clock == CLOCK_MONOTONIC && began != 0)
        *now = from_ns(began + (in_ns(now) - began) * SPEED);
    return error;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    const struct timespec real = from_ns(began + (in_ns(until) - began) / SPEED);
    return __real_pthread_cond_timedwait(condition, mutex, &real);
}

static int start_clock(void **state)
{
    struct timespec now;
    if (began == 0) {
        __real_clock_gettime(CLOCK_MONOTONIC, &now);
        began = in_ns(&now);
    }
    return make_folder(state);
}

static uint64_t exported(struct exporter *exporter)
{
    struct exporter_stats stats;
    exporter_stats(exporter, &stats);
    return stats.exported;
}

/* Nobody flushes: the backoff alone brings the exporter back, often enough and not too often.
 */
static void check_ten_minutes(const char *spool_folder)
{
    static const struct reply busy[] = {SEND("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")},
                              well[] = {OK_REPLY};
    struct server *server = server_start(busy, 1);
    int port = server_port(server);
    const struct exporter_options options = {
        .otlp = {.url = server_url(server), .timeout = 50, .packing = PACK_GZIP},
        .service_name = "test",
        .spool_folder = spool_folder,
        .spool_limit = 1 << 20,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    struct exporter *exporter = start_exporter(&options);
    struct exporter_stats stats;
    int64_t submitted = 0;
    capture_errors();
    for (int i = 1; i <= INTERVALS; i++, submitted += i - 1) {
        exporter_submit(exporter, make_profile(i, NULL));
        usleep(10 * 1000000 / SPEED);
    }
    size_t refused = server_requests(server);
    server_stop(server);
    server = server_start_at(port, well, 1);
    bool all = WAIT_FOR(exported(exporter) == INTERVALS);
    int stopped = exporter_stop(exporter, 30 * SPEED, &stats);
    free(captured_errors());
    assert_true(all);
    assert_int_equal(stopped, 0);
    assert_int_equal(stats.failed + stats.dropped, 0);
    assert_int_equal(arrived_since(server, 0), submitted);
    assert_int_equal(server_requests(server), INTERVALS);
    /* 1 s, 1.5 s, … 30 s, each ±50 %; a busy machine answers late. */
    assert_in_range(refused, 5, 60);
    print_message("%zu attempts in ten minutes\n", refused);
    server_stop(server);
}

static void ten_minutes_of_503_lose_no_sample_in_memory(void **state)
{
    (void)state;
    check_ten_minutes(NULL);
}

static void ten_minutes_of_503_lose_no_sample_on_disk(void **state)
{
    (void)state;
    check_ten_minutes(folder);
    assert_int_equal(files(), 0);
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_minutes_of_503_lose_no_sample_in_memory,
                                        start_clock, remove_folder),
        cmocka_unit_test_setup_teardown(ten_minutes_of_503_lose_no_sample_on_disk, start_clock,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
