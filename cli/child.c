#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* What cprof lets the program decide about: it's the same process group, so the keyboard's
 * signals reach the program by themselves. */
static const int left_to_child[] = {SIGINT, SIGQUIT};
static const int passed_on[] = {SIGTERM, SIGHUP};

#define LEFT_COUNT (sizeof(left_to_child) / sizeof(left_to_child[0]))
#define PASSED_COUNT (sizeof(passed_on) / sizeof(passed_on[0]))

struct signal_state {
    struct sigaction left[LEFT_COUNT], passed[PASSED_COUNT];
    sigset_t mask;
};

static volatile pid_t child_pid;

static void pass_on(int signal_number)
{
    int saved = errno;
    kill(child_pid, signal_number);
    errno = saved;
}

/* Signals to pass on stay blocked until there is somebody to pass them to. */
static void take_signals(struct signal_state *state)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct sigaction pass = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < PASSED_COUNT; i++)
        sigaddset(&blocked, passed_on[i]);
    sigprocmask(SIG_BLOCK, &blocked, &state->mask);
    for (size_t i = 0; i < LEFT_COUNT; i++)
        sigaction(left_to_child[i], &ignore, &state->left[i]);
    for (size_t i = 0; i < PASSED_COUNT; i++) {
        sigaction(passed_on[i], NULL, &state->passed[i]);
        if (state->passed[i].sa_handler != SIG_IGN)
            sigaction(passed_on[i], &pass, NULL);
    }
}

static void give_signals_back(const struct signal_state *state)
{
    for (size_t i = 0; i < LEFT_COUNT; i++)
        sigaction(left_to_child[i], &state->left[i], NULL);
    for (size_t i = 0; i < PASSED_COUNT; i++)
        sigaction(passed_on[i], &state->passed[i], NULL);
    sigprocmask(SIG_SETMASK, &state->mask, NULL);
}

/* In the child. Tells the parent through the pipe when there is no such program; the pipe
 * closes by itself when there is. */
static _Noreturn void become(char *const *argv, int output, int report)
{
    if (output != STDOUT_FILENO)
        dup2(output, STDOUT_FILENO);
    execvp(argv[0], argv);
    int error = errno;
    ssize_t written = write(report, &error, sizeof(error));
    _exit(written == sizeof(error) ? 127 : 126);
}

static int wait_for(pid_t pid, struct child_end *end)
{
    struct rusage usage;
    int status;
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR)
            return -errno;
    end->pid = pid;
    end->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    end->cpu_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_SECOND +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    return 0;
}

int child_run(char *const *argv, int output, struct child_end *end)
{
    int report[2], error = 0;
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    struct signal_state signals;
    take_signals(&signals);
    pid_t pid = fork();
    if (pid == 0) {
        give_signals_back(&signals);
        become(argv, output, report[1]);
    }
    int status = pid < 0 ? -errno : 0;
    close(report[1]);
    if (pid > 0) {
        child_pid = pid;
        sigprocmask(SIG_SETMASK, &signals.mask, NULL);
        if (read(report[0], &error, sizeof(error)) != sizeof(error))
            error = 0;
        status = wait_for(pid, end);
    }
    give_signals_back(&signals);
    close(report[0]);
    return status ? status : -error;
}

static _Noreturn void become_silent(char *const *argv, int output)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
    }
    dup2(output, STDOUT_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

int child_ask(char *const *argv, char *answer, size_t size)
{
    int output[2];
    if (pipe2(output, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become_silent(argv, output[1]);
    close(output[1]);
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(output[0], answer + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(output[0]);
    answer[length] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    struct child_end end = {0};
    return pid > 0 && wait_for(pid, &end) == 0 && end.exit_code == 0 ? 0 : -1;
}
