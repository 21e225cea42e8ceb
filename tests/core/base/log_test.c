/* What cprof may do to a program's standard error: whole single lines, and never harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

static int before; /* the program's standard error while a test has its own there */

static void put_in_place(int file)
{
    before = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
}

static void put_back(void)
{
    dup2(before, STDERR_FILENO);
    close(before);
}

/* What a line makes of a pipe for standard error. */
static size_t logged(char *text, size_t size, const char *message)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    put_in_place(ends[1]);
    log_error("%s", message);
    put_back();
    close(ends[1]);
    ssize_t length = read(ends[0], text, size - 1);
    close(ends[0]);
    assert_true(length >= 0);
    text[length] = '\0';
    return (size_t)length;
}

static void a_message_is_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    char text[4096];
    logged(text, sizeof text, "a\nb\r\033[31mc\td");
    assert_string_equal(text, "cprof: a b  [31mc d\n");
}

static void a_long_message_is_cut_and_still_a_line(void **state)
{
    (void)state;
    char message[3000], text[4096];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    size_t length = logged(text, sizeof text, message);
    assert_true(length <= 1024);
    assert_int_equal(text[length - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
}

static void lines_above_the_level_are_not_written(void **state)
{
    (void)state;
    char text[64];
    log_set_level(LOG_ERROR);
    assert_true(log_enabled(LOG_ERROR));
    assert_false(log_enabled(LOG_WARN));
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    put_in_place(ends[1]);
    log_warn("not this");
    log_error("this");
    put_back();
    assert_int_equal(read(ends[0], text, sizeof text), strlen("cprof: this\n"));
    close(ends[0]);
    close(ends[1]);
    log_set_level(LOG_WARN);
}

static void a_full_pipe_does_not_hold_the_program_up(void **state)
{
    (void)state;
    int ends[2];
    static char filling[65536];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    assert_int_equal(write(ends[1], filling, 4096), 4096);
    put_in_place(ends[1]);
    alarm(10); /* ends the test if it hangs */
    log_error("nobody reads this");
    alarm(0);
    put_back();
    close(ends[0]);
    close(ends[1]);
}

static void a_closed_pipe_does_not_end_the_program(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    put_in_place(ends[1]);
    signal(SIGPIPE, SIG_DFL);
    log_error("nobody can read this");
    put_back();
    close(ends[1]);
}

/* ---- what lies under standard error's number ---- */

enum thing { PIPE, TERMINAL, LOG, DATABASE, CAUGHT, LOCAL, NETWORK };
enum marks { NO_MARKS, ALL_MARKED, ONE_MARKED };
enum place { AT_LOAD, PUT_LATER, GOT_LATER };

static const struct situation {
    const char *what;
    enum thing thing;
    enum place place;
    enum marks marks; /* close-on-exec, when the library is loaded */
    bool written;
} situations[] = {
    {"a pipe", PIPE, AT_LOAD, NO_MARKS, true},
    {"a terminal", TERMINAL, AT_LOAD, NO_MARKS, true},
    {"a log file", LOG, AT_LOAD, NO_MARKS, true},
    {"systemd's journal", LOCAL, AT_LOAD, NO_MARKS, true},
    {"Node's pipe", PIPE, AT_LOAD, ALL_MARKED, true},
    {"Node's terminal", TERMINAL, AT_LOAD, ALL_MARKED, true},
    {"Node's log file", LOG, AT_LOAD, ALL_MARKED, true},
    {"Node's journal", LOCAL, AT_LOAD, ALL_MARKED, true},
    {"a daemon's log file", LOG, PUT_LATER, NO_MARKS, true},
    {"a daemon's log pipe", PIPE, PUT_LATER, NO_MARKS, true},
    {"a log file under Node", LOG, PUT_LATER, ALL_MARKED, true},
    {"output that a test catches", CAUGHT, PUT_LATER, NO_MARKS, true},
    {"inetd's connection", NETWORK, AT_LOAD, NO_MARKS, false},
    {"a connection", NETWORK, GOT_LATER, NO_MARKS, false},
    {"a connection of old code", NETWORK, PUT_LATER, NO_MARKS, false},
    {"a local connection", LOCAL, GOT_LATER, NO_MARKS, false},
    {"a local connection of old code", LOCAL, PUT_LATER, NO_MARKS, false},
    {"a local connection, before the library came", LOCAL, AT_LOAD, ONE_MARKED, false},
    {"a database", DATABASE, GOT_LATER, NO_MARKS, false},
    {"a database of old code", DATABASE, PUT_LATER, NO_MARKS, false},
    {"a pipe between threads", PIPE, GOT_LATER, NO_MARKS, false},
    {"a database under Node", DATABASE, GOT_LATER, ALL_MARKED, false},
};

#define CHOSEN "LOG_TEST_SITUATION"
#define HELD 9 /* where the child finds the thing */

static const struct situation *chosen(void)
{
    const char *number = getenv(CHOSEN);
    return number != NULL ? &situations[atoi(number)] : NULL;
}

/* Runs before the constructors that have no priority: before the log is "loaded". */
__attribute__((constructor(101))) static void mark_before_the_library_comes(void)
{
    enum marks marks = chosen() != NULL ? chosen()->marks : NO_MARKS;
    for (int file = 0; file <= STDERR_FILENO; file++)
        if (marks == ALL_MARKED || (marks == ONE_MARKED && file == STDERR_FILENO))
            fcntl(file, F_SETFD, FD_CLOEXEC);
}

static int say_something_to(const struct situation *situation)
{
    if (situation->place != AT_LOAD)
        dup3(HELD, STDERR_FILENO, situation->place == GOT_LATER ? O_CLOEXEC : 0);
    log_error("a line");
    return 0;
}

static void connect_over_the_network(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&address, size), 0);
    ends[0] = accept(listener, NULL, NULL);
    close(listener);
}

/* ends[0] reads what is written to ends[1]. */
static void open_thing(enum thing thing, int ends[2])
{
    static const char folder[] = "/tmp";
    char path[] = "/tmp/log_test-XXXXXX";
    switch (thing) {
    case PIPE:
        assert_int_equal(pipe(ends), 0);
        break;
    case TERMINAL:
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        assert_int_equal(grantpt(ends[0]) | unlockpt(ends[0]), 0);
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
        break;
    case CAUGHT:
        ends[1] = open(folder, O_TMPFILE | O_RDWR, 0600);
        ends[0] = dup(ends[1]);
        break;
    case LOG:
    case DATABASE:
        ends[0] = mkstemp(path);
        ends[1] = open(path, thing == LOG ? O_WRONLY : O_RDWR);
        break;
    case LOCAL:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        break;
    case NETWORK:
        connect_over_the_network(ends);
        break;
    }
    assert_true(ends[0] >= 0 && ends[1] >= 0);
}

static void remove_thing(enum thing thing, int ends[2])
{
    char link[64], path[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", ends[1]);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0 && (thing == LOG || thing == DATABASE)) {
        path[length] = '\0';
        unlink(path);
    }
    close(ends[0]);
    close(ends[1]);
}

static _Noreturn void become(size_t number, int thing)
{
    char text[16];
    snprintf(text, sizeof text, "%zu", number);
    setenv(CHOSEN, text, 1);
    dup2(thing, HELD);
    if (situations[number].place == AT_LOAD)
        dup2(thing, STDERR_FILENO);
    execl("/proc/self/exe", "log_test", (char *)NULL);
    _exit(127);
}

static bool is_written(size_t number)
{
    int ends[2] = {-1, -1}, status;
    char text[64] = "";
    open_thing(situations[number].thing, ends);
    pid_t child = fork();
    if (child == 0)
        become(number, ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK);
    if (situations[number].thing == CAUGHT) /* one offset for both ends */
        lseek(ends[0], 0, SEEK_SET);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    remove_thing(situations[number].thing, ends);
    assert_true(length <= 0 || strncmp(text, "cprof: a line", 13) == 0);
    return length > 0;
}

static void lines_go_to_standard_error_and_to_nothing_that_took_its_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++)
        if (is_written(i) != situations[i].written)
            fail_msg("%s: a line is %swritten", situations[i].what,
                     situations[i].written ? "not " : "");
}

static void a_closed_standard_error_is_no_error(void **state)
{
    (void)state;
    before = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOTDIR;
    log_error("to nobody");
    int after = errno;
    put_back();
    assert_int_equal(after, ENOTDIR);
}

int main(void)
{
    if (chosen() != NULL)
        return say_something_to(chosen());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_one_line_whatever_is_in_it),
        cmocka_unit_test(a_long_message_is_cut_and_still_a_line),
        cmocka_unit_test(lines_above_the_level_are_not_written),
        cmocka_unit_test(a_full_pipe_does_not_hold_the_program_up),
        cmocka_unit_test(a_closed_pipe_does_not_end_the_program),
        cmocka_unit_test(lines_go_to_standard_error_and_to_nothing_that_took_its_number),
        cmocka_unit_test(a_closed_standard_error_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
