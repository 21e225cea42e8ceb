/* The end of a program: it is held only by a server that is about to answer. Where a test would
 * be held, it would be so for an hour. */
#include "running.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "samples.h"
#include "server.h"

static const struct reply hang[] = {{.manner = REPLY_HANG}};
static const struct reply later[] = {
    SEND("HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n")};
static const struct reply fine[] = {OK_REPLY};

/* With samples, so that there is something to deliver. */
static void start_sending(const char *url)
{
    const struct cprof_options options = {.service_name = "test",
                                          .exporter = "otlp",
                                          .endpoint = url,
                                          .library_directory = HTTP_MODULE_DIRECTORY};
    if (cprof_start(&options, NULL, error, sizeof error) != 0)
        fail_msg("%s", error);
    burn_seven(0.1);
}

/* What is said when a program ends that has sent to this address. */
static int end_after(const char *url, const char *timeout, struct cprof_stats *stats,
                     char **said)
{
    setenv("CPROF_EXIT_TIMEOUT", timeout, 1);
    capture_errors();
    start_sending(url);
    int status = cprof_end(-1);
    *said = captured_errors();
    cprof_stats(stats);
    unsetenv("CPROF_EXIT_TIMEOUT");
    return status;
}

/* Nobody listens there. */
static const char *closed_url(void)
{
    static char url[128];
    struct server *server = server_start(fine, 1);
    snprintf(url, sizeof url, "%s", server_url(server));
    server_stop(server);
    return url;
}

static size_t lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* One line says that a profile is lost, and why; the counts do too. */
static void assert_dropped(int status, const struct cprof_stats *stats, char *said,
                           const char *why)
{
    if (lines(said) != 1 || strstr(said, "1 profile could not be delivered") == NULL ||
        strstr(said, why) == NULL)
        fail_msg("%s", said);
    free(said);
    assert_int_equal(status, -ETIMEDOUT);
    assert_int_equal(stats->profiles_dropped, 1);
}

static void a_server_that_is_away_holds_nobody(void **state)
{
    (void)state;
    struct cprof_stats stats;
    char *said;
    int status = end_after(closed_url(), "3600", &stats, &said);
    assert_dropped(status, &stats, said, "connect");
}

static void a_server_that_puts_off_holds_nobody(void **state)
{
    (void)state;
    struct cprof_stats stats;
    char *said;
    struct server *server = server_start(later, 1);
    int status = end_after(server_url(server), "3600", &stats, &said);
    server_stop(server);
    assert_dropped(status, &stats, said, "HTTP 503");
}

static void a_server_that_hangs_holds_it_for_the_time_that_was_given(void **state)
{
    (void)state;
    struct cprof_stats stats;
    char *said;
    struct server *server = server_start(hang, 1);
    int status = end_after(server_url(server), "0.3", &stats, &said);
    assert_int_equal(server_requests(server), 1);
    server_stop(server);
    assert_dropped(status, &stats, said, "no answer");
}

static void a_server_that_answers_gets_the_last_profile(void **state)
{
    (void)state;
    struct cprof_stats stats;
    char *said;
    struct server *server = server_start(fine, 1);
    int status = end_after(server_url(server), "60", &stats, &said);
    assert_int_equal(server_requests(server), 1);
    server_stop(server);
    assert_string_equal(said, "");
    free(said);
    assert_int_equal(status, 0);
    assert_int_equal(stats.profiles_exported, 1);
}

/* ---- with a spool ---- */

static void assert_kept(const char *url)
{
    struct cprof_stats stats;
    char *said;
    setenv("CPROF_SPOOL_DIR", folder, 1);
    end_after(url, "3600", &stats, &said);
    unsetenv("CPROF_SPOOL_DIR");
    assert_string_equal(said, "");
    free(said);
    assert_int_equal(stats.profiles_dropped, 0);
    assert_int_equal(files(), 1);
}

static void with_a_spool_a_server_that_is_away_holds_nobody(void **state)
{
    (void)state;
    assert_kept(closed_url());
}

static void with_a_spool_a_server_that_hangs_holds_nobody(void **state)
{
    (void)state;
    struct server *server = server_start(hang, 1);
    assert_kept(server_url(server));
    server_stop(server);
}

/* ---- without waiting at all ---- */

static void without_time_files_are_written_all_the_same(void **state)
{
    (void)state;
    setenv("CPROF_EXIT_TIMEOUT", "0", 1);
    start(NULL, 100);
    burn_seven(0.2);
    assert_int_equal(cprof_end(-1), 0);
    unsetenv("CPROF_EXIT_TIMEOUT");
    assert_int_equal(access(output, R_OK), 0);
}

/* ---- SIGTERM ---- */

static void die_by_sigterm(const char *url)
{
    setenv("CPROF_EXIT_TIMEOUT", "3000", 1);
    start_sending(url);
    kill(getpid(), SIGTERM);
    for (;;)
        pause();
}

static void sigterm_is_held_up_by_no_server_that_is_away(void **state)
{
    (void)state;
    int status;
    const char *url = closed_url();
    capture_errors();
    pid_t child = fork();
    if (child == 0)
        die_by_sigterm(url);
    waitpid(child, &status, 0);
    char *said = captured_errors();
    assert_int_equal(lines(said), 1);
    assert_non_null(strstr(said, "1 profile could not be delivered"));
    free(said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* ---- a process of which only cprof's threads are left ---- */

static void sigterm_ends_what_waits_for_a_server_after_its_last_thread(void **state)
{
    (void)state;
    int status;
    struct server *server = server_start(hang, 1);
    pid_t child = fork();
    if (child == 0) {
        setenv("CPROF_EXIT_TIMEOUT", "3000", 1);
        start_sending(server_url(server));
        pthread_exit(NULL);
    }
    while (server_requests(server) == 0)
        usleep(1000);
    while (waitpid(child, &status, WNOHANG) == 0) {
        kill(child, SIGTERM); /* the second counts at once */
        usleep(1000);
    }
    server_stop(server);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

int main(int argc, char **argv)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        TEST(a_server_that_is_away_holds_nobody),
        TEST(a_server_that_puts_off_holds_nobody),
        TEST(a_server_that_hangs_holds_it_for_the_time_that_was_given),
        TEST(a_server_that_answers_gets_the_last_profile),
        IN_FOLDER(with_a_spool_a_server_that_is_away_holds_nobody),
        IN_FOLDER(with_a_spool_a_server_that_hangs_holds_nobody),
        TEST(without_time_files_are_written_all_the_same),
        TEST(sigterm_is_held_up_by_no_server_that_is_away),
        TEST(sigterm_ends_what_waits_for_a_server_after_its_last_thread),
    };
    return RUN(tests, argc, argv);
}
