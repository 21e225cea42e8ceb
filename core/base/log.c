#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic enum log_level current_level = LOG_WARN;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

int log_parse_level(const char *word, enum log_level *level)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_enabled(enum log_level level)
{
    return level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* ---- what is standard error ---- */

/* What lay under its number when we were loaded; no inode: nothing that was standard error. */
static struct stat original;

static bool is_marked(int file)
{
    int flags = fcntl(file, F_GETFD);
    return flags < 0 || (flags & FD_CLOEXEC) != 0;
}

/* A runtime that keeps its standard descriptors from its children, as Node does, marks all
 * three. A single one that is marked is something else. */
__attribute__((constructor)) static void remember_standard_error(void)
{
    bool runtime = is_marked(STDIN_FILENO) && is_marked(STDOUT_FILENO);
    if ((is_marked(STDERR_FILENO) && !runtime) || fstat(STDERR_FILENO, &original) != 0)
        original = (struct stat){0};
}

static bool is_original(const struct stat *now)
{
    return now->st_ino == original.st_ino && now->st_dev == original.st_dev &&
           now->st_rdev == original.st_rdev;
}

/* A log is only written, or appended to, or has no name (a test's that catches the output): a
 * database is neither. */
static bool is_log(int file, const struct stat *info)
{
    int flags = fcntl(file, F_GETFL);
    return info->st_nlink == 0 || (flags & O_ACCMODE) == O_WRONLY || (flags & O_APPEND) != 0;
}

static bool is_local_socket(int file)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static bool is_standard_error(int file)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return false;
    bool same = is_original(&info);
    if (!same && is_marked(file))
        return false;
    switch (info.st_mode & S_IFMT) {
    case S_IFCHR:
    case S_IFIFO:
        return true;
    case S_IFREG:
        return is_log(file, &info);
    case S_IFSOCK:
        return same && is_local_socket(file);
    default:
        return false;
    }
}

/* A pipe whose reader is slow or gone would block us, or raise SIGPIPE. */
static bool takes_lines(int file)
{
    struct pollfd ready = {.fd = file, .events = POLLOUT};
    return is_standard_error(file) && poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT;
}

/* ---- lines ---- */

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    char line[1024] = "cprof: ";
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (wanted > 0) {
        size_t room = sizeof line - used - 2;
        used += (size_t)wanted < room ? (size_t)wanted : room;
    }
    /* One line stays one line, whatever a file name or a server's answer contains. */
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    line[used++] = '\n';
    if (takes_lines(STDERR_FILENO)) {
        ssize_t written = write(STDERR_FILENO, line, used);
        (void)written; /* there is nobody left to tell */
    }
    errno = saved;
}
