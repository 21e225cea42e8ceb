/* Servers that are away, for a while or for good: what waits in memory and on disk, and that
 * nothing of it is lost or counted twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "export/exporter.h"
#include "folder.h"
#include "samples.h"
#include "server.h"

#define BUSY_REPLY SEND("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct exporter *start_for(const char *url, bool spool, size_t limit)
{
    const struct exporter_options options = {
        .otlp = {.url = url, .timeout = 50, .packing = PACK_NONE},
        .service_name = "test",
        .spool_folder = spool ? folder : NULL,
        .spool_limit = limit,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    return start_exporter(&options);
}

static struct exporter *start(const char *url)
{
    return start_for(url, false, 0);
}

static struct exporter *start_spooling(const char *url)
{
    return start_for(url, true, 64 << 20);
}

static void wait_for_files(size_t count)
{
    assert_true(WAIT_FOR(files() == count));
}

static void wait_for_requests(struct server *server, size_t count)
{
    assert_true(WAIT_FOR(server_requests(server) >= count));
}

static void wait_until_fewer_wait(struct exporter *exporter, uint64_t bound)
{
    struct exporter_stats stats;
    do {
        exporter_stats(exporter, &stats);
        if (stats.waiting >= bound)
            usleep(1000);
    } while (stats.waiting >= bound);
}

static void a_long_outage_in_memory_is_merged_and_loses_no_sample(void **state)
{
    (void)state;
    static const struct reply script[] = {BUSY_REPLY, OK_REPLY};
    struct server *server = server_start(script, 2);
    struct exporter *exporter = start(server_url(server));
    struct exporter_stats stats;
    int64_t submitted = 0;
    for (int i = 1; i <= 3000; i++) { /* more than eight hours of intervals */
        struct profile *profile = make_profile(i, NULL);
        profile_set_number(profile, PROFILE_ATTRIBUTES, "cprof.samples", i);
        exporter_submit(exporter, profile);
        submitted += i;
        if (i == 1)
            wait_for_requests(server, 1);
        wait_until_fewer_wait(exporter, 340);
    }
    wait_until_fewer_wait(exporter, 271);
    exporter_stats(exporter, &stats);
    assert_true(stats.waiting > 180); /* no coarser than there is need for */
    assert_int_equal(exporter_flush(exporter, 60), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(arrived_since(server, 1), submitted);
    assert_int_equal(stats.exported, 3000);
    assert_int_equal(stats.dropped + stats.failed, 0);
    server_stop(server);
}

static void a_file_waits_through_the_end_of_its_process(void **state)
{
    (void)state;
    static const struct reply busy[] = {BUSY_REPLY}, well[] = {OK_REPLY};
    struct server *server = server_start(busy, 1);
    int port = server_port(server);
    struct exporter *exporter = start_spooling(server_url(server));
    struct exporter_stats stats;
    capture_errors();
    for (int i = 1; i <= 20; i++)
        exporter_submit(exporter, make_profile(i, NULL));
    wait_for_files(20);
    int stopped = exporter_stop(exporter, 0.2, &stats);
    free(captured_errors());
    server_stop(server);
    assert_int_equal(stopped, 0); /* nothing is dropped */
    assert_int_equal(stats.exported + stats.dropped + stats.failed, 0);
    assert_int_equal(files(), 20);

    server = server_start_at(port, well, 1);
    exporter = start_spooling(server_url(server));
    exporter_submit(exporter, make_profile(1000, NULL));
    assert_int_equal(exporter_flush(exporter, 30), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(arrived_since(server, 0), 1210);
    assert_int_equal(server_requests(server), 21);
    assert_int_equal(stats.exported, 21);
    assert_int_equal(files(), 0);
    server_stop(server);
}

static void a_hanging_server_holds_no_profile_in_memory(void **state)
{
    (void)state;
    static const struct reply hang[] = {{REPLY_HANG, "", 0}};
    struct server *server = server_start(hang, 1);
    struct exporter *exporter = start_spooling(server_url(server));
    exporter_submit(exporter, make_profile(1, NULL));
    wait_for_requests(server, 1);
    for (int i = 0; i < 5; i++)
        exporter_submit(exporter, make_profile(1, NULL));
    wait_for_files(6); /* while the first request is under way */
    assert_int_equal(server_requests(server), 1);
    capture_errors();
    exporter_stop(exporter, 0, NULL);
    free(captured_errors());
    assert_int_equal(files(), 6);
    server_stop(server);
}

static void check_private(const char *path, void *context)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(file_total(path) == *(int *)context); /* the command reads it too */
}

static void files_are_for_their_owner_and_readable_as_profiles(void **state)
{
    (void)state;
    static const struct reply busy[] = {BUSY_REPLY};
    struct server *server = server_start(busy, 1);
    struct stat status;
    int total = 7;
    rmdir(folder); /* it makes the folder, too */
    mode_t mask = umask(0);
    struct exporter *exporter = start_spooling(server_url(server));
    exporter_submit(exporter, make_profile(total, NULL));
    wait_until_fewer_wait(exporter, 1); /* it is written */
    umask(mask);
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(for_each_file(check_private, &total), 1);
    capture_errors();
    exporter_stop(exporter, 0, NULL);
    free(captured_errors());
    server_stop(server);
}

static void damage(const char *path, void *context)
{
    int *round = context;
    int file = open(path, O_RDWR);
    off_t size = lseek(file, 0, SEEK_END);
    switch ((*round)++) {
    case 0:
        assert_int_equal(ftruncate(file, size - 1), 0); /* torn */
        break;
    case 1:
        assert_int_equal(ftruncate(file, 0), 0);
        break;
    case 2:
        assert_int_equal(pwrite(file, "\xff", 1, size / 2), 1); /* a bit has turned */
        break;
    case 3:
        unlink(path);
        assert_int_equal(mkdir(path, 0700), 0);
        rmdir(path);
        assert_int_equal(symlink("/etc/passwd", path), 0); /* never followed, never removed */
        break;
    case 4:
        unlink(path);
        assert_int_equal(mkfifo(path, 0600), 0); /* nobody waits at its other end */
        break;
    }
    close(file);
}

static void damaged_and_foreign_files_cost_one_line_each_and_no_good_one(void **state)
{
    (void)state;
    static const struct reply busy[] = {BUSY_REPLY}, well[] = {OK_REPLY};
    struct server *server = server_start(busy, 1);
    int port = server_port(server), round = 0;
    struct exporter *exporter = start_spooling(server_url(server));
    struct exporter_stats stats;
    char path[512];
    capture_errors();
    for (int i = 0; i < 8; i++)
        exporter_submit(exporter, make_profile(100, NULL));
    wait_for_files(8);
    exporter_stop(exporter, 0, NULL);
    free(captured_errors());
    server_stop(server);
    for_each_file(damage, &round);
    static const char *const foreign[] = {"notes.txt", "cprof-1-2-3.otlp",
                                          ".cprof-0000000000000000-0000000000000000.tmp",
                                          ("cprof-0123456789abcdef-0123456789abcdef-"
                                           "0123456789abcdef-00000001-00000001-00000000.otlp")};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, foreign[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    capture_errors();
    server = server_start_at(port, well, 1);
    exporter = start_spooling(server_url(server));
    int flushed = exporter_flush(exporter, 30);
    exporter_stop(exporter, 5, &stats);
    char *told = captured_errors();
    assert_int_equal(arrived_since(server, 0), 300);
    assert_int_equal(flushed, -EIO);
    assert_int_equal(stats.exported, 3);
    assert_int_equal(stats.failed, 3);
    assert_non_null(strstr(told, "is damaged and removed"));
    assert_int_equal(files(), 2 + 4); /* the link, the pipe, what is not ours */
    free(told);
    server_stop(server);
}

static void the_folder_is_bounded_and_what_goes_is_counted(void **state)
{
    (void)state;
    static const struct reply script[] = {BUSY_REPLY, OK_REPLY};
    struct server *server = server_start(script, 2);
    struct exporter *exporter = start_for(server_url(server), true, 1000);
    struct exporter_stats stats;
    capture_errors();
    exporter_submit(exporter, make_profile(1, NULL));
    wait_for_requests(server, 1);
    for (int i = 0; i < 49; i++)
        exporter_submit(exporter, make_profile(1, NULL));
    wait_until_fewer_wait(exporter, 1);
    size_t kept = files();
    int flushed = exporter_flush(exporter, 30);
    exporter_stop(exporter, 5, &stats);
    free(captured_errors());
    assert_in_range(kept, 2, 49);
    assert_int_equal(flushed, 0);
    assert_int_equal(stats.exported, kept);
    assert_int_equal(stats.dropped, 50 - kept);
    assert_int_equal(arrived_since(server, 1), (int)kept);
    server_stop(server);
}

static void a_folder_that_goes_away_leaves_memory(void **state)
{
    (void)state;
    static const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start_spooling(server_url(server));
    struct exporter_stats stats;
    assert_int_equal(rmdir(folder), 0);
    capture_errors();
    for (int i = 0; i < 10; i++)
        exporter_submit(exporter, make_profile(3, NULL));
    bool arrived = WAIT_FOR(server_requests(server) >= 10);
    exporter_stop(exporter, 5, &stats);
    char *told = captured_errors();
    assert_true(arrived);
    assert_int_equal(arrived_since(server, 0), 30);
    assert_int_equal(stats.exported, 10);
    assert_non_null(strstr(told, "CPROF_SPOOL_DIR can't be written to"));
    free(told);
    server_stop(server);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void a_folder_that_can_t_be_made_is_told_at_start(void **state)
{
    (void)state;
    char error[256];
    const struct exporter_options options = {
        .otlp = {.url = "http://127.0.0.1:9/", .timeout = 1},
        .spool_folder = "/no/such/folder",
        .spool_limit = 1 << 20,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    assert_null(exporter_new(&options, error, sizeof error));
    assert_string_equal(error, "CPROF_SPOOL_DIR: '/no/such/folder': No such file or directory");
}

/* [child] Writes profiles down until it is killed. */
static void spool_for_ever(const char *url, int ready)
{
    char error[256];
    const struct exporter_options options = {
        .otlp = {.url = url, .timeout = 5},
        .service_name = "test",
        .spool_folder = folder,
        .spool_limit = 64 << 20,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    log_set_level(LOG_ERROR);
    for (;;) {
        exporter_submit(exporter, make_profile(5, NULL));
        wait_until_fewer_wait(exporter, 1); /* it is on disk */
        if (write(ready, "x", 1) != 1)
            _exit(1);
    }
}

static void processes_share_a_folder_and_a_survivor_delivers_what_the_killed_left(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("SKIP sanitizers do not survive fork with threads\n");
        skip();
    }
    static const struct reply busy[] = {BUSY_REPLY}, well[] = {OK_REPLY};
    struct server *server = server_start(busy, 1);
    int port = server_port(server), ready[2];
    struct exporter_stats stats;
    pid_t children[8];
    char byte;
    assert_int_equal(pipe(ready), 0);
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0)
            spool_for_ever(server_url(server), ready[1]);
    }
    close(ready[1]);
    for (int i = 0; i < 400; i++)
        assert_int_equal(read(ready[0], &byte, 1), 1);
    for (int i = 0; i < 8; i++)
        kill(children[i], SIGKILL);
    int written = 400;
    while (read(ready[0], &byte, 1) == 1)
        written++;
    close(ready[0]);
    for (int i = 0; i < 8; i++)
        waitpid(children[i], NULL, 0);
    server_stop(server);

    server = server_start_at(port, well, 1);
    struct exporter *exporter = start_spooling(server_url(server));
    assert_int_equal(exporter_flush(exporter, 60), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    /* A child may die between writing a file and telling of it. */
    assert_in_range(stats.exported, written, written + 8);
    assert_int_equal(arrived_since(server, 0), 5 * stats.exported);
    assert_int_equal(files(), 0);
    server_stop(server);
}

/* Many stacks, so that the profile can be cut. */
static struct profile *make_large(size_t stacks)
{
    struct profile *p = make_profile(1, NULL);
    const int64_t one = 1;
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", (int64_t)stacks + 1);
    for (size_t i = 0; i < stacks; i++) {
        const struct profile_location location = {.address = i + 1};
        profile_id frame = profile_location(p, &location);
        profile_add(p, 0, profile_stack(p, &frame, 1), 0, 0, &one);
    }
    return p;
}

static void a_profile_that_is_too_large_arrives_in_pieces(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
        SEND(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 34\r\n\r\n"
            "the profile exceeds the size limit"),
        OK_REPLY};
    for (int spool = 0; spool < 2; spool++) {
        struct server *server = server_start(script, 3);
        struct exporter *exporter = start_for(server_url(server), spool, 64 << 20);
        struct exporter_stats stats;
        exporter_submit(exporter, make_large(20000));
        assert_int_equal(exporter_flush(exporter, 30), 0);
        assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
        assert_int_equal(server_requests(server), 5); /* whole, half; quarters, half */
        assert_int_equal(arrived_since(server, 2), 20001);
        assert_int_equal(stats.failed + stats.dropped, 0);
        assert_int_equal(stats.exported, 1);
        server_stop(server);
    }
}

/* Two samples whose functions have names of 33 MiB: over the cap together, under it alone. */
static struct profile *make_huge(void)
{
    const size_t size = 33 << 20;
    struct profile *p = make_profile(1, NULL);
    const int64_t one = 1;
    char *name = malloc(size + 1);
    memset(name, 'n', size);
    name[size] = '\0';
    for (int i = 0; i < 2; i++) {
        name[0] = (char)('a' + i);
        const struct profile_function function = {.name = profile_string(p, name)};
        const struct profile_line line = {.function = profile_function(p, &function)};
        const struct profile_location location = {.line_count = 1, .lines = &line};
        profile_id frame = profile_location(p, &location);
        profile_add(p, 0, profile_stack(p, &frame, 1), 0, 0, &one);
    }
    free(name);
    return p;
}

static void more_than_64_mebibytes_are_never_sent_at_once(void **state)
{
    (void)state;
    static const struct reply script[] = {OK_REPLY};
    struct server *server = server_start(script, 1);
    struct exporter *exporter = start(server_url(server));
    struct exporter_stats stats;
    exporter_submit(exporter, make_huge());
    assert_int_equal(exporter_flush(exporter, 200), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(server_requests(server), 3); /* the small sample; each large one */
    for (size_t i = 0; i < 3; i++)
        assert_in_range(server_request(server, i)->body_size, 1, 64 << 20);
    assert_int_equal(arrived_since(server, 0), 3);
    assert_int_equal(stats.exported, 1);
    assert_int_equal(stats.failed + stats.dropped, 0);
    server_stop(server);
}

static void a_server_that_takes_nothing_is_not_asked_for_ever(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")};
    for (int pyroscope = 0; pyroscope < 2; pyroscope++) {
        struct server *server = server_start(script, 1);
        const struct transport_options to = {
            .url = server_url(server), .timeout = 50, .packing = PACK_NONE};
        struct exporter_options options = {.service_name = "test",
                                           .library_directory = HTTP_MODULE_DIRECTORY};
        *(pyroscope ? &options.pyroscope : &options.otlp) = to;
        struct exporter *exporter = start_exporter(&options);
        struct exporter_stats stats;
        capture_errors();
        exporter_submit(exporter, make_large(20000));
        int flushed = exporter_flush(exporter, 30);
        exporter_stop(exporter, 5, &stats);
        free(captured_errors());
        assert_int_equal(flushed, -EIO);
        assert_int_equal(stats.failed, 1);
        assert_in_range(server_requests(server), 3, 100);
        server_stop(server);
    }
}

#define SECRET "hunter2"
#define X65 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void check_no_secret(const char *path, void *context)
{
    static char bytes[1 << 16];
    (void)context;
    int file = open(path, O_RDONLY);
    ssize_t size = read(file, bytes, sizeof bytes);
    close(file);
    assert_true(size > 0);
    assert_null(memmem(bytes, (size_t)size, SECRET, strlen(SECRET)));
    assert_null(strstr(path, SECRET));
}

/* Everything that a run leaves behind, on good days and bad ones: log lines of all levels, the
 * spool, output files, the text of errors. */
static void secrets_are_in_nothing_that_is_produced(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        OK_REPLY,
        BUSY_REPLY,
        SEND("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"),
        SEND("HTTP/1.1 302 Go\r\nLocation: http://u:" SECRET "@x/?k=" SECRET
             "\r\nContent-Length: 0\r\n\r\n"),
        SEND("HTTP/1.1 401 No\r\nContent-Length: 26\r\n\r\nwrong key: Bearer " SECRET "!"),
        {REPLY_CLOSE, "garbage", 7},
        SEND("HTTP/1.1 400 No\r\nContent-Length: 202\r\n\r\n" X65 X65 X65 SECRET),
    };
    static const char *const hosts[] = {NULL, "127.0.0.1:9", "no.such.host.invalid", "[::bad"};
    const struct cprof_pair headers[] = {{"Authorization", "Bearer " SECRET},
                                         {"X-Key", SECRET}};
    static const bool keeps[] = {
        true /* by its proxy */, true, false, false, false, true, false};
    const size_t reply_count = sizeof replies / sizeof *replies;
    char output[128], url[256], error[256] = "";
    snprintf(output, sizeof output, "%s/run-%%n.otlp", folder);
    log_set_level(LOG_DEBUG);
    capture_errors();
    for (size_t i = 0; i < 2 * (reply_count + 3); i++) {
        size_t choice = i / 2;
        struct server *server = server_start(&replies[choice < reply_count ? choice : 0], 1);
        const char *host = choice < reply_count ? server_url(server) + strlen("http://")
                                                : hosts[choice - reply_count + 1];
        snprintf(url, sizeof url, "http://user:" SECRET "@%s?token=" SECRET, host);
        if (choice == 0)
            setenv("http_proxy", "http://user:" SECRET "@127.0.0.1:9", 1);
        const struct exporter_options options = {
            .otlp = {.url = url,
                     .protocol = i % 2 ? TRANSPORT_GRPC : TRANSPORT_HTTP,
                     .headers = headers,
                     .header_count = 2,
                     .timeout = 20},
            .output = output,
            .spool_folder = folder,
            .spool_limit = 1 << 20,
            .library_directory = HTTP_MODULE_DIRECTORY,
        };
        struct exporter *exporter = exporter_new(&options, error, sizeof error);
        if (exporter) {
            exporter_submit(exporter, make_profile(3, NULL));
            bool settles = i % 2 == 0 && choice < reply_count && !keeps[choice];
            exporter_flush(exporter, settles ? 20 : 0.3);
            exporter_stop(exporter, 0, NULL);
        }
        unsetenv("http_proxy");
        server_stop(server);
    }
    char *told = captured_errors();
    log_set_level(LOG_WARN);
    const char *leak = strstr(told, SECRET);
    if (leak != NULL)
        fail_msg("%.80s", leak - 60);
    assert_null(strstr(error, SECRET));
    assert_null(strstr(told, "xhunt")); /* a piece, where the answer is cut off */
    assert_non_null(strstr(told, "HTTP 401: wrong key: Bearer *******!"));
    assert_true(for_each_file(check_no_secret, NULL) > 3);
    free(told);
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_long_outage_in_memory_is_merged_and_loses_no_sample),
        IN_FOLDER(a_file_waits_through_the_end_of_its_process),
        IN_FOLDER(a_hanging_server_holds_no_profile_in_memory),
        IN_FOLDER(files_are_for_their_owner_and_readable_as_profiles),
        IN_FOLDER(damaged_and_foreign_files_cost_one_line_each_and_no_good_one),
        IN_FOLDER(the_folder_is_bounded_and_what_goes_is_counted),
        IN_FOLDER(a_folder_that_goes_away_leaves_memory),
        IN_FOLDER(a_folder_that_can_t_be_made_is_told_at_start),
        IN_FOLDER(processes_share_a_folder_and_a_survivor_delivers_what_the_killed_left),
        IN_FOLDER(a_profile_that_is_too_large_arrives_in_pieces),
        IN_FOLDER(more_than_64_mebibytes_are_never_sent_at_once),
        IN_FOLDER(secrets_are_in_nothing_that_is_produced),
        IN_FOLDER(a_server_that_takes_nothing_is_not_asked_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
