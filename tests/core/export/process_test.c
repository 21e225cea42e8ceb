/* The exporter and the process it lives in: what is loaded, and fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/exporter.h"
#include "samples.h"
#include "server.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED_ALLOCATOR 1
#else
#define SANITIZED_ALLOCATOR 0
#endif

static struct exporter_options otlp_options(const char *url)
{
    return (struct exporter_options){.otlp = {.url = url, .timeout = 5, .packing = PACK_GZIP},
                                     .library_directory = HTTP_MODULE_DIRECTORY};
}

static bool mapped(const char *library)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, library) != NULL;
    fclose(maps);
    return found;
}

/* Must run before any test that sends. */
static void a_process_that_only_writes_files_loads_no_network_library(void **state)
{
    (void)state;
    char error[256], path[] = "/tmp/cprof-process-XXXXXX.otlp";
    close(mkstemps(path, 5));
    const struct exporter_options options = {.output = path};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    exporter_submit(exporter, make_profile(1, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(file_total(path), 1);
    assert_false(mapped("libcurl"));
    assert_false(mapped("libssl"));
    unlink(path);
}

static void a_missing_http_module_is_one_line_and_counted(void **state)
{
    (void)state;
    char error[256];
    struct exporter_options options = otlp_options("http://127.0.0.1:9/");
    struct exporter_stats stats;
    options.library_directory = "/no/such/folder";
    capture_errors();
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    exporter_submit(exporter, make_profile(1, NULL));
    int flushed = exporter_flush(exporter, 5);
    exporter_submit(exporter, make_profile(1, NULL));
    exporter_stop(exporter, 5, &stats);
    char *told = captured_errors();
    assert_non_null(strstr(told, "/no/such/folder/libcprof_http.so"));
    assert_int_equal(flushed, -EIO);
    assert_int_equal(stats.failed, 2);
    free(told);
}

/* The mask of blocked signals of this process's thread of that name; 0 when there is none. */
static unsigned long long blocked_signals(const char *thread)
{
    char path[512], line[256];
    unsigned long long blocked = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        bool named = false;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            if (strncmp(line, "Name:\t", 6) == 0)
                named = strncmp(line + 6, thread, strlen(thread)) == 0;
            if (named)
                sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (status != NULL)
            fclose(status);
    }
    closedir(tasks);
    return blocked;
}

static void the_thread_leaves_the_programs_signals_alone(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPROF, SIGALRM};
    char error[256];
    struct exporter_options options = otlp_options("http://127.0.0.1:9/");
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    unsigned long long blocked = blocked_signals("cprof-export");
    exporter_stop(exporter, 1, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        assert_true(blocked >> (signals[i] - 1) & 1);
}

static void a_forked_child_gives_back_what_the_run_took(void **state)
{
    (void)state;
    char error[256], path[] = "/tmp/cprof-process-XXXXXX.otlp";
    struct budget budget;
    budget_init(&budget, 1 << 20);
    close(mkstemps(path, 5));
    const struct exporter_options options = {.output = path, .budget = &budget};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    exporter_submit(exporter, make_profile(1, &budget));
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_true(budget_used(&budget) > 0);
    exporter_submit(exporter, make_profile(1, &budget));
    assert_int_equal(exporter_flush(exporter, 10), 0);
    pid_t child = fork();
    if (child == 0) {
        exporter_abandon(exporter);
        _exit(budget_used(&budget) == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(file_total(path), 2);
    assert_int_equal(budget_used(&budget), 0);
    assert_int_equal(status, 0);
    unlink(path);
}

static int child_with_its_own_exporter(struct exporter *inherited, const char *url)
{
    char error[256];
    struct exporter_options options = otlp_options(url);
    exporter_abandon(inherited);
    struct exporter *own = exporter_new(&options, error, sizeof error);
    if (own == NULL)
        return 1;
    exporter_submit(own, make_profile(5, NULL));
    return exporter_stop(own, 10, NULL) == 0 ? 0 : 2;
}

static void parent_and_child_each_deliver_their_own_after_fork(void **state)
{
    (void)state;
    if (SANITIZED_ALLOCATOR) {
        print_message("SKIP the sanitizer's allocator does not survive fork with threads\n");
        skip();
    }
    char error[256];
    const struct reply slow[] = {{REPLY_CLOSE, "", 0}, OK_REPLY};
    const struct reply well[] = {OK_REPLY};
    for (int round = 0; round < 20; round++) {
        struct server *for_parent = server_start(slow, 2), *for_child = server_start(well, 1);
        struct exporter_options options = otlp_options(server_url(for_parent));
        struct exporter *exporter = exporter_new(&options, error, sizeof error);
        struct exporter_stats stats;
        capture_errors();
        for (int i = 0; i < 10; i++)
            exporter_submit(exporter, make_profile(1, NULL));
        usleep((useconds_t)round * 300); /* the exporter is somewhere else each time */
        pid_t child = fork();
        if (child == 0)
            _exit(child_with_its_own_exporter(exporter, server_url(for_child)));
        int status = -1;
        waitpid(child, &status, 0);
        int stopped = exporter_stop(exporter, 20, &stats);
        char *told = captured_errors();
        if (status != 0)
            print_message("child's status %#x in round %d: %s\n", (unsigned)status, round,
                          told);
        free(told);
        assert_int_equal(status, 0);
        assert_int_equal(stopped, 0);
        assert_int_equal(stats.exported, 10);
        assert_int_equal(server_requests(for_parent), 11);
        assert_int_equal(server_requests(for_child), 1);
        server_stop(for_parent);
        server_stop(for_child);
    }
}

#define MAX_FILES 256

/* What stands behind each descriptor; 0 where there is none. */
static void list_files(ino_t inodes[MAX_FILES])
{
    struct stat status;
    for (int file = 0; file < MAX_FILES; file++)
        inodes[file] = fstat(file, &status) == 0 ? status.st_ino : 0;
}

static int child_that_exports_over(struct exporter *inherited, const char *url)
{
    ino_t before[MAX_FILES], after[MAX_FILES];
    list_files(before);
    int result = child_with_its_own_exporter(inherited, url);
    list_files(after);
    for (int file = 0; file < MAX_FILES && result == 0; file++)
        if (before[file] != 0 && before[file] != after[file])
            result = 3; /* closed, or given to something else */
    return result;
}

static void a_child_leaves_the_descriptors_and_the_connection_of_its_parent_alone(void **state)
{
    (void)state;
    if (SANITIZED_ALLOCATOR) {
        print_message("SKIP the sanitizer's allocator does not survive fork with threads\n");
        skip();
    }
    char error[256];
    const struct reply well[] = {OK_REPLY};
    struct server *for_parent = server_start(well, 1), *for_child = server_start(well, 1);
    struct exporter_options options = otlp_options(server_url(for_parent));
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    for (int round = 0; round < 10; round++) {
        exporter_submit(exporter, make_profile(1, NULL));
        assert_int_equal(exporter_flush(exporter, 10), 0); /* the connection is open and idle */
        pid_t child = fork();
        if (child == 0)
            _exit(child_that_exports_over(exporter, server_url(for_child)));
        int status = -1;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(server_requests(for_parent), 10);
    assert_int_equal(server_connections(for_parent), 1); /* nobody ended it, or spoke on it */
    assert_int_equal(server_requests(for_child), 10);
    server_stop(for_parent);
    server_stop(for_child);
}

static size_t files_in(const char *folder)
{
    size_t count = 0;
    DIR *files = opendir(folder);
    for (struct dirent *file; (file = readdir(files)) != NULL;)
        count += file->d_name[0] == 'c';
    closedir(files);
    return count;
}

static void a_child_does_not_deliver_what_its_parent_is_delivering(void **state)
{
    (void)state;
    if (SANITIZED_ALLOCATOR) {
        print_message("SKIP the sanitizer's allocator does not survive fork with threads\n");
        skip();
    }
    char error[256], folder[] = "/tmp/cprof-fork-XXXXXX";
    assert_non_null(mkdtemp(folder));
    /* The request that comes first hangs; the child's, on a connection of its own, would be
     * answered well. One server, so that both share the spool's key. */
    const struct reply hang[] = {{REPLY_HANG, "", 0}};
    struct server *server = server_start(hang, 1);
    struct exporter_options options = otlp_options(server_url(server));
    options.spool_folder = folder;
    options.spool_limit = 1 << 20;
    options.otlp.timeout = 30;
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    exporter_submit(exporter, make_profile(1, NULL));
    assert_true(WAIT_FOR(server_requests(server) > 0)); /* the parent holds the file now */
    pid_t child = fork();
    if (child == 0) {
        exporter_abandon(exporter);
        struct exporter *own = exporter_new(&options, error, sizeof error);
        int idle = exporter_flush(own, 10); /* nothing that it could take */
        exporter_stop(own, 1, NULL);
        _exit(idle == 0 && files_in(folder) == 1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    capture_errors();
    exporter_stop(exporter, 0, NULL);
    free(captured_errors());
    assert_int_equal(status, 0);
    assert_int_equal(server_requests(server), 1);
    assert_int_equal(files_in(folder), 1);
    server_stop(server);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

#define HOST_PAIRS 8

/* Sockets with one byte waiting in each end. */
static bool open_pairs(int ends[][2])
{
    bool opened = true;
    for (int i = 0; i < HOST_PAIRS; i++)
        opened &= socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) == 0 &&
                  write(ends[i][0], "h", 1) == 1 && write(ends[i][1], "h", 1) == 1;
    return opened;
}

/* They are open, and hold just that byte. */
static bool pairs_are_untouched(int ends[][2])
{
    char bytes[16];
    bool untouched = true;
    for (int i = 0; i < HOST_PAIRS; i++)
        for (int end = 0; end < 2; end++)
            untouched &=
                recv(ends[i][end], bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT) == 1 &&
                bytes[0] == 'h';
    return untouched;
}

/* What a program does that makes a daemon of itself: every descriptor is closed, and the
 * numbers are given out again. */
static int daemon_with_an_exporter(const char *url)
{
    char error[256];
    int ends[HOST_PAIRS][2];
    struct exporter_options options = otlp_options(url);
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    exporter_submit(exporter, make_profile(1, NULL));
    if (exporter_flush(exporter, 10) != 0)
        return 1;
    if (syscall(__NR_close_range, 3, ~0U, 0) != 0 || !open_pairs(ends))
        return 2;
    exporter_submit(exporter, make_profile(2, NULL));
    if (exporter_flush(exporter, 10) != 0)
        return 3;
    if (!pairs_are_untouched(ends))
        return 4;
    if (syscall(__NR_close_range, 3, ~0U, 0) != 0 || !open_pairs(ends) ||
        exporter_stop(exporter, 10, NULL))
        return 5;
    return pairs_are_untouched(ends) ? 0 : 6;
}

static void a_program_that_closes_all_descriptors_keeps_its_new_ones(void **state)
{
    (void)state;
    if (SANITIZED_ALLOCATOR) {
        print_message("SKIP the sanitizer's allocator does not survive fork with threads\n");
        skip();
    }
    const struct reply well[] = {OK_REPLY};
    struct server *server = server_start(well, 1);
    pid_t child = fork();
    if (child == 0)
        _exit(daemon_with_an_exporter(server_url(server)));
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(server_requests(server), 2);
    server_stop(server);
}

/* How many descriptors a program that this one starts would inherit, but for the pair by which
 * libcurl wakes itself, which some versions leave so: it leads to nobody. */
static size_t inherited(void)
{
    size_t count = 0;
    for (int file = 3; file < MAX_FILES; file++) {
        int flags = fcntl(file, F_GETFD), family = 0;
        socklen_t size = sizeof family;
        bool pair =
            getsockopt(file, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_UNIX;
        count += flags >= 0 && !(flags & FD_CLOEXEC) && !pair;
    }
    return count;
}

static void a_program_that_is_started_inherits_no_connection_and_no_spooled_file(void **state)
{
    (void)state;
    const struct reply hang[] = {{REPLY_HANG, "", 0}};
    struct server *server = server_start(hang, 1);
    char error[256], folder[] = "/tmp/cprof-inherit-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct exporter_options options = otlp_options(server_url(server));
    options.spool_folder = folder;
    options.spool_limit = 1 << 20;
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    capture_errors();
    size_t before = inherited();
    exporter_submit(exporter, make_profile(1, NULL));
    assert_true(WAIT_FOR(server_requests(server) > 0));
    size_t during = inherited();
    exporter_stop(exporter, 0, NULL);
    free(captured_errors());
    server_stop(server);
    assert_int_equal(during, before);
    assert_int_equal(files_in(folder), 1);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    unsetenv("http_proxy");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_only_writes_files_loads_no_network_library),
        cmocka_unit_test(a_missing_http_module_is_one_line_and_counted),
        cmocka_unit_test(a_forked_child_gives_back_what_the_run_took),
        cmocka_unit_test(the_thread_leaves_the_programs_signals_alone),
        cmocka_unit_test(a_program_that_closes_all_descriptors_keeps_its_new_ones),
        cmocka_unit_test(a_program_that_is_started_inherits_no_connection_and_no_spooled_file),
        cmocka_unit_test(a_child_leaves_the_descriptors_and_the_connection_of_its_parent_alone),
        cmocka_unit_test(a_child_does_not_deliver_what_its_parent_is_delivering),
        cmocka_unit_test(parent_and_child_each_deliver_their_own_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
