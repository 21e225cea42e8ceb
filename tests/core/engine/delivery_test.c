/* What the engine delivers when servers were away: the counts of what was lost, too. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cprof/cprof.h"
#include "folder.h"
#include "samples.h"
#include "server.h"

#define TEXT_SIZE (20 << 10)
#define TEXTS 15

static volatile uint64_t sink;

static void burn(double seconds)
{
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)(seconds * 1e9);
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        sink++;
}

/* Profiles of 300 KB: few fit into the smallest limits there are. */
static void start(const struct server *server)
{
    static char texts[TEXTS][TEXT_SIZE], keys[TEXTS][32];
    struct cprof_pair resource[TEXTS];
    char error[256] = "";
    for (int i = 0; i < TEXTS; i++) {
        memset(texts[i], 'a' + i, TEXT_SIZE - 1);
        snprintf(keys[i], sizeof keys[i], "text.%d", i);
        resource[i] = (struct cprof_pair){.key = keys[i], .value = texts[i]};
    }
    const struct cprof_options options = {.service_name = "test",
                                          .exporter = "otlp",
                                          .endpoint = server_url(server),
                                          .rate = 250,
                                          .interval = 0.1,
                                          .resource = resource,
                                          .resource_count = TEXTS,
                                          .library_directory = HTTP_MODULE_DIRECTORY};
    if (cprof_start(&options, NULL, error, sizeof error) != 0)
        fail_msg("%s", error);
}

static uint64_t dropped(void)
{
    struct cprof_stats stats;
    cprof_stats(&stats);
    return stats.profiles_dropped;
}

/* The server is away until more than a few profiles were dropped, and so are some that told of
 * those; then it comes back. */
static void check_counts(void)
{
    static const struct reply script[] = {
        SEND("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"), OK_REPLY};
    struct server *server = server_start(script, 2);
    struct cprof_stats stats;
    capture_errors();
    start(server);
    for (int i = 0; i < 1200 && dropped() < 10; i++)
        burn(0.05);
    int flushed = cprof_flush(60);
    burn(0.3); /* the next profile, at the latest, tells of the last of them */
    int stopped = cprof_stop(60);
    char *said = captured_errors();
    cprof_stats(&stats);
    if (flushed != 0 || stopped != 0)
        fail_msg("%d %d: %s", flushed, stopped, said);
    free(said);
    assert_true(stats.profiles_dropped >= 10);
    assert_int_equal(told_since(server, 1), stats.profiles_dropped);
    assert_int_equal(server_requests(server) - 1, stats.profiles_exported);
    server_stop(server);
}

static void drops_in_memory_are_told_by_the_profiles_that_arrive(void **state)
{
    (void)state;
    setenv("CPROF_MEMORY_LIMIT", "4M", 1);
    check_counts();
    unsetenv("CPROF_MEMORY_LIMIT");
}

static void drops_on_disk_are_told_by_the_profiles_that_arrive(void **state)
{
    (void)state;
    setenv("CPROF_SPOOL_DIR", folder, 1);
    setenv("CPROF_SPOOL_LIMIT", "1M", 1);
    check_counts();
    assert_int_equal(files(), 0);
    unsetenv("CPROF_SPOOL_DIR");
    unsetenv("CPROF_SPOOL_LIMIT");
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        IN_FOLDER(drops_in_memory_are_told_by_the_profiles_that_arrive),
        IN_FOLDER(drops_on_disk_are_told_by_the_profiles_that_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
