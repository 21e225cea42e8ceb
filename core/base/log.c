#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
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

/* A pipe whose reader is slow or gone would block us, or raise SIGPIPE. */
static bool takes_lines(int file)
{
    struct pollfd ready = {.fd = file, .events = POLLOUT};
    int flags = fcntl(file, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC) && poll(&ready, 1, 0) == 1 &&
           ready.revents == POLLOUT;
}

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
