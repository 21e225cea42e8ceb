/* What cprof may do to a program's standard error: whole single lines, and never harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
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

static void a_socket_that_got_the_number_of_standard_error_stays_clean(void **state)
{
    (void)state;
    int ends[2];
    char text[64];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    before = dup(STDERR_FILENO);
    dup3(ends[1], STDERR_FILENO, O_CLOEXEC);
    log_error("not into the protocol");
    put_back();
    assert_int_equal(recv(ends[0], text, sizeof text, MSG_DONTWAIT), -1);
    close(ends[0]);
    close(ends[1]);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_one_line_whatever_is_in_it),
        cmocka_unit_test(a_long_message_is_cut_and_still_a_line),
        cmocka_unit_test(lines_above_the_level_are_not_written),
        cmocka_unit_test(a_full_pipe_does_not_hold_the_program_up),
        cmocka_unit_test(a_closed_pipe_does_not_end_the_program),
        cmocka_unit_test(a_socket_that_got_the_number_of_standard_error_stays_clean),
        cmocka_unit_test(a_closed_standard_error_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
