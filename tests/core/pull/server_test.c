/* The pull endpoint under clients of every kind; profiles are a fixed text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "pull/server.h"

#define PROFILE "GET /debug/pprof/profile?seconds=0.2 HTTP/1.1\r\n\r\n"
#define BODY "what was sampled"

static char path[64];
static atomic_int recordings;
static const char *body = BODY;

static void *begin(void *context, const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    (void)context, (void)request;
    if (atomic_fetch_add(&recordings, 1) < 2)
        return &recordings;
    atomic_fetch_sub(&recordings, 1);
    snprintf(why, PULL_WHY_SIZE, "other profiles are being taken; try again");
    return NULL;
}

static int end(void *context, void *recording, struct buffer *out)
{
    (void)context;
    assert_ptr_equal(recording, &recordings);
    atomic_fetch_sub(&recordings, 1);
    if (out != NULL)
        buffer_append(out, body, strlen(body));
    return 0;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    return -pthread_create(thread, NULL, run, argument);
}

/* NULL with a negative errno when it does not start. */
static struct pull_server *start_at(const struct pull_address *address,
                                    const struct pull_source *source, int *error)
{
    struct pull_server *server = pull_new(source);
    *error = pull_open(server, address);
    if (*error == 0)
        *error = pull_run(server, start_thread);
    if (*error == 0)
        return server;
    pull_rest(server); /* is nothing */
    pull_close(server);
    pull_free(server);
    return NULL;
}

static void end_of(struct pull_server *server)
{
    pull_rest(server);
    pull_close(server);
    pull_free(server);
}

static struct pull_server *start(int *error)
{
    const struct pull_source source = {.begin = begin, .end = end};
    char text[80];
    struct pull_address address;
    snprintf(path, sizeof path, "/tmp/cprof-pull-%ld.sock", (long)getpid());
    snprintf(text, sizeof text, "unix:%s", path);
    assert_null(pull_address_parse(text, false, &address));
    return start_at(&address, &source, error);
}

static struct pull_server *start_well(void)
{
    int error = 0;
    struct pull_server *server = start(&error);
    assert_int_equal(error, 0);
    return server;
}

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

/* What comes until the other side closes. */
static const char *receive(int fd)
{
    static char answer[4096];
    size_t size = 0;
    for (ssize_t got; (got = read(fd, answer + size, sizeof answer - 1 - size)) > 0;)
        size += (size_t)got;
    answer[size] = '\0';
    close(fd);
    return answer;
}

static const char *ask(const char *request)
{
    int fd = dial();
    assert_true(fd >= 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    return receive(fd);
}

static void a_profile_comes_whole_and_the_socket_is_the_owners(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    const char *answer = ask(PROFILE);
    assert_int_equal(strncmp(answer, "HTTP/1.0 200 OK\r\n", 17), 0);
    assert_non_null(strstr(answer, "Content-Length: 16\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, BODY);
    assert_non_null(strstr(ask("GET /debug/pprof/ HTTP/1.0\r\n\r\n"), "/debug/pprof/profile"));
    assert_int_equal(strncmp(ask("GET /x HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 ", 13), 0);
    end_of(server);
    assert_int_equal(stat(path, &status), -1);
}

static void too_many_at_once_are_told_to_come_again(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    int clients[4], good = 0, later = 0;
    for (int i = 0; i < 4; i++) {
        clients[i] = dial();
        assert_true(write(clients[i], PROFILE, sizeof PROFILE - 1) > 0);
    }
    for (int i = 0; i < 4; i++) {
        const char *answer = receive(clients[i]);
        good += strncmp(answer, "HTTP/1.0 200 ", 13) == 0;
        later += strncmp(answer, "HTTP/1.0 503 ", 13) == 0;
    }
    assert_int_equal(good + later, 4);
    assert_true(good >= 2);
    assert_int_equal(atomic_load(&recordings), 0);
    end_of(server);
}

static void clients_that_hang_or_go_away_are_no_one_elses_trouble(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    int idle[PULL_CONNECTIONS - 1];
    for (int i = 0; i < PULL_CONNECTIONS - 1; i++)
        idle[i] = dial();
    for (int i = 0; i < 20; i++) { /* away in the middle of everything */
        int fd = dial();
        assert_true(write(fd, PROFILE, (size_t)(i * 3) % sizeof PROFILE) >= 0);
        close(fd);
    }
    assert_int_equal(strncmp(ask(PROFILE), "HTTP/1.0 200 ", 13), 0);
    for (int i = 0; i < PULL_CONNECTIONS - 1; i++)
        close(idle[i]);
    end_of(server);
    assert_int_equal(atomic_load(&recordings), 0);
}

static void stopping_cuts_off_a_running_profile(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    int fd = dial();
    static const char request[] = "GET /debug/pprof/profile?seconds=600 HTTP/1.0\r\n\r\n";
    assert_true(write(fd, request, sizeof request - 1) > 0);
    for (int i = 0; i < 500 && atomic_load(&recordings) == 0; i++)
        usleep(10000);
    end_of(server);
    assert_int_equal(atomic_load(&recordings), 0);
    assert_string_equal(receive(fd), "");
}

static void
a_second_one_on_the_same_address_is_refused_and_a_dead_ones_file_is_not_in_the_way(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP ThreadSanitizer lets no thread begin in a forked child\n");
    skip();
#endif
    struct pull_server *server = start_well();
    int error = 0;
    assert_null(start(&error));
    assert_int_equal(error, -EADDRINUSE);
    pid_t child = fork(); /* leaves its file behind, as kill -9 does */
    if (child == 0) {
        pull_fork_child(server);
        char mine[64];
        snprintf(mine, sizeof mine, "%s", path);
        _exit(start(&error) == NULL || strcmp(mine, path) == 0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    char left[64];
    snprintf(left, sizeof left, "/tmp/cprof-pull-%ld.sock", (long)child);
    char text[80];
    snprintf(text, sizeof text, "unix:%s", left);
    struct pull_address address;
    assert_null(pull_address_parse(text, false, &address));
    const struct pull_source source = {.begin = begin, .end = end};
    struct pull_server *next = start_at(&address, &source, &error);
    assert_int_equal(error, 0);
    end_of(next);
    assert_int_equal(strncmp(ask(PROFILE), "HTTP/1.0 200 ", 13), 0);
    end_of(server);
}

static void a_forked_child_holds_nothing_of_its_parents(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    int open_before = dial();
    pull_fork_lock(server);
    pid_t child = fork();
    if (child == 0) {
        int sockets = 0;
        pull_fork_child(server);
        close(open_before);
        for (int fd = 3; fd < 64; fd++) {
            struct stat status;
            sockets += fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
        }
        _exit(sockets);
    }
    pull_fork_unlock(server);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    close(open_before);
    assert_int_equal(strncmp(ask(PROFILE), "HTTP/1.0 200 ", 13), 0);
    end_of(server);
}

/* Daemons close all descriptors, and what they open then has the same numbers. */
static void what_a_program_opens_after_it_closed_everything_stays_its_own(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP ThreadSanitizer takes a look at such a descriptor for a race\n");
    skip();
#endif
    struct pull_server *server = start_well();
    int ours[2 * PULL_CONNECTIONS], status;
    assert_int_equal(syscall(__NR_close_range, 3, ~0U, 0), 0);
    for (int i = 0; i < 2 * PULL_CONNECTIONS; i += 2)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ours + i), 0);
    pid_t child = fork();
    if (child == 0) {
        int closed = 0;
        pull_fork_child(server);
        for (int i = 0; i < 2 * PULL_CONNECTIONS; i++)
            closed += fcntl(ours[i], F_GETFD) < 0;
        _exit(closed);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    alarm(60); /* not a hang for ever */
    end_of(server);
    alarm(0);
    for (int i = 0; i < 2 * PULL_CONNECTIONS; i++) {
        char byte;
        assert_int_equal(read(ours[i], &byte, 1), -1);
        assert_int_equal(errno, EAGAIN);
    }
    for (int i = 0; i < 2 * PULL_CONNECTIONS; i++)
        close(ours[i]);
}

static void a_program_without_descriptors_left_does_not_spin(void **state)
{
    (void)state;
    struct pull_server *server = start_well();
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit few = {.rlim_cur = 64, .rlim_max = limit.rlim_max};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), last = client, fd;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while ((fd = dup(0)) >= 0)
        last = fd;
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    clock_t before = clock();
    usleep(500000);
    clock_t used = clock() - before;
    for (fd = client + 1; fd <= last; fd++)
        close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(used < CLOCKS_PER_SEC / 20);
    assert_int_equal(write(client, PROFILE, sizeof PROFILE - 1), sizeof PROFILE - 1);
    assert_int_equal(strncmp(receive(client), "HTTP/1.0 200 ", 13), 0);
    end_of(server);
}

/* ---- processes with one port ---- */

/* A port that is free, of which a listener stays open if wanted. */
static unsigned free_port(int *listener)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(*listener, 1), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&at, &size), 0);
    return ntohs(at.sin_port);
}

static struct pull_server *start_on(unsigned port, int *error)
{
    const struct pull_source source = {.begin = begin, .end = end};
    struct pull_address address;
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_null(pull_address_parse(text, false, &address));
    return start_at(&address, &source, error);
}

static const char *ask_port(unsigned port, const char *target, long process)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((in_port_t)port)};
    char request[128];
    int length = snprintf(request, sizeof request, "GET /debug/pprof/%s%ld HTTP/1.0\r\n\r\n",
                          target, process);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, request, (size_t)length), length);
    return receive(fd);
}

/* Another process with that port, which serves until it reads something. */
static pid_t start_sibling(unsigned port, int *input)
{
    int ends[2], ready[2], error;
    char byte;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        body = "what a sibling sampled";
        struct pull_server *server = start_on(port, &error);
        bool sibling = server != NULL && pull_is_sibling(server);
        byte = sibling ? 's' : 'x';
        sibling &= write(ready[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1;
        if (server != NULL)
            end_of(server);
        _exit(sibling ? 0 : 1);
    }
    close(ends[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 's');
    close(ready[0]);
    *input = ends[1];
    return child;
}

static void end_sibling(pid_t child, int input)
{
    int status;
    assert_int_equal(write(input, "", 1), 1);
    close(input);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define QUICK "profile?seconds=0.2&pid="

static void who_has_the_port_lists_its_siblings_and_hands_them_their_clients(void **state)
{
    int listener, error, inputs[2];
    unsigned port = free_port(&listener);
    pid_t children[2];
    char link[64];
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP ThreadSanitizer lets no thread begin in a forked child\n");
    skip();
#endif
    close(listener);
    struct pull_server *server = start_on(port, &error);
    assert_non_null(server);
    assert_false(pull_is_sibling(server));
    for (int i = 0; i < 2; i++)
        children[i] = start_sibling(port, &inputs[i]);
    for (int i = 0; i < 2; i++) {
        snprintf(link, sizeof link, "profile?pid=%ld&amp;", (long)children[i]);
        assert_non_null(strstr(ask_port(port, "?", 1), link));
        assert_non_null(strstr(ask_port(port, QUICK, children[i]), "what a sibling sampled"));
    }
    assert_non_null(strstr(ask_port(port, QUICK, getpid()), BODY));
    end_sibling(children[0], inputs[0]);
    assert_int_equal(strncmp(ask_port(port, QUICK, children[0]), "HTTP/1.0 404 ", 13), 0);
    assert_non_null(strstr(ask_port(port, QUICK, children[1]), "what a sibling sampled"));
    assert_int_equal(strncmp(ask_port(port, QUICK, -1), "HTTP/1.0 400 ", 13), 0);
    end_sibling(children[1], inputs[1]);
    end_of(server);
}

static void a_port_that_is_no_sibling_s_is_taken(void **state)
{
    int listener, error;
    unsigned port = free_port(&listener);
    (void)state;
    assert_null(start_on(port, &error));
    assert_int_equal(error, -EADDRINUSE);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_comes_whole_and_the_socket_is_the_owners),
        cmocka_unit_test(too_many_at_once_are_told_to_come_again),
        cmocka_unit_test(clients_that_hang_or_go_away_are_no_one_elses_trouble),
        cmocka_unit_test(stopping_cuts_off_a_running_profile),
        cmocka_unit_test(
            a_second_one_on_the_same_address_is_refused_and_a_dead_ones_file_is_not_in_the_way),
        cmocka_unit_test(a_forked_child_holds_nothing_of_its_parents),
        cmocka_unit_test(a_program_without_descriptors_left_does_not_spin),
        cmocka_unit_test(what_a_program_opens_after_it_closed_everything_stays_its_own),
        cmocka_unit_test(who_has_the_port_lists_its_siblings_and_hands_them_their_clients),
        cmocka_unit_test(a_port_that_is_no_sibling_s_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
