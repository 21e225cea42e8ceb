#include "look/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "symbol/kernel_names.h"

#define TEXT_MAX 256
#define STACK_TEXT 4096

/* The bytes read, and a NUL behind them; or a negative errno. */
static ssize_t read_file(pid_t tid, const char *name, char *text, size_t size)
{
    char path[64];
    text[0] = '\0';
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && access("/proc/self/task", F_OK) == 0 ? -ESRCH : -errno;
    ssize_t length = read(fd, text, size - 1);
    int error = errno;
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length < 0 ? -error : length;
}

/* Reads numbers; returns how many there were. */
static size_t read_numbers(const char *at, uint64_t *numbers, size_t capacity)
{
    for (size_t count = 0; count < capacity; count++) {
        char *end;
        numbers[count] = strtoull(at, &end, 16);
        if (end == at)
            return count;
        at = end;
    }
    return capacity;
}

int kernel_asleep_read(const char *text, size_t length, struct kernel_asleep *asleep)
{
    static const char running[] = "running";
    uint64_t numbers[KERNEL_ARGUMENTS + 2] = {0};
    char line[TEXT_MAX], *end;
    if (length == 0 || length >= sizeof line)
        return -EINVAL;
    memcpy(line, text, length);
    line[length] = '\0';
    if (strncmp(line, running, sizeof running - 1) == 0)
        return -EAGAIN;
    *asleep = (struct kernel_asleep){.call = strtol(line, &end, 10)};
    bool fault = asleep->call == KERNEL_PAGE_FAULT;
    size_t wanted = fault ? 2 : KERNEL_ARGUMENTS + 2;
    if (end == line || asleep->call < KERNEL_PAGE_FAULT ||
        read_numbers(end, numbers, wanted) != wanted)
        return -EINVAL;
    if (!fault)
        memcpy(asleep->arguments, numbers, sizeof asleep->arguments);
    asleep->at.sp = (uintptr_t)numbers[wanted - 2];
    asleep->at.pc = (uintptr_t)numbers[wanted - 1];
    return 0;
}

int kernel_asleep(pid_t tid, struct kernel_asleep *asleep)
{
    char text[TEXT_MAX];
    ssize_t length = read_file(tid, "syscall", text, sizeof text);
    return length < 0 ? (int)length : kernel_asleep_read(text, (size_t)length, asleep);
}

/* "7 (a) name) S 1 …": the name may have brackets of its own. */
char kernel_state(const char *stat)
{
    const char *end = strrchr(stat, ')');
    return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

int kernel_sleeps(pid_t tid, char function[KERNEL_NAME_SIZE])
{
    char text[TEXT_MAX];
    ssize_t length = read_file(tid, "stat", text, sizeof text);
    function[0] = '\0';
    if (length < 0)
        return (int)length;
    const char state = kernel_state(text);
    if (state == 'Z' || state == 'X')
        return -ESRCH;
    if (state != 'S' && state != 'D')
        return -EAGAIN;
    if (read_file(tid, "wchan", text, sizeof text) > 0 && text[0] != '0')
        snprintf(function, KERNEL_NAME_SIZE, "%.*s", (int)strcspn(text, "+. \t\r\n"), text);
    return 0;
}

/* The number at that place of the thread's schedstat; 0: not known. */
static uint64_t schedstat(pid_t tid, size_t place)
{
    char text[TEXT_MAX];
    unsigned long long numbers[3];
    if (read_file(tid, "schedstat", text, sizeof text) <= 0 ||
        sscanf(text, "%llu %llu %llu", &numbers[0], &numbers[1], &numbers[2]) != 3)
        return 0;
    return numbers[place];
}

uint64_t kernel_run_delay(pid_t tid)
{
    return schedstat(tid, 1);
}

uint64_t kernel_runs(pid_t tid)
{
    return schedstat(tid, 2);
}

/* ---- the kernel's own functions ---- */

static size_t name_length(const char *name)
{
    return strcspn(name, "+ \t\r\n");
}

/* A line is "[<0>] do_wait+0x54/0x100", with a module's name behind it in brackets if the
 * function is a module's. */
const char *kernel_stack_next(const char **text, size_t *length)
{
    while (**text != '\0') {
        const char *line = *text, *end = line + strcspn(line, "\n");
        const char *bracket = memchr(line, ']', (size_t)(end - line));
        *text = *end == '\n' ? end + 1 : end;
        if (bracket == NULL)
            continue;
        const char *name = bracket + 1 + strspn(bracket + 1, " \t");
        *length = name_length(name);
        if (*length != 0)
            return name;
    }
    return NULL;
}

static size_t read_stack(pid_t tid, uintptr_t *functions, size_t capacity)
{
    char text[STACK_TEXT];
    const char *rest = text, *name;
    size_t count = 0, length;
    text[0] = '\0';
    if (read_file(tid, "stack", text, sizeof text) <= 0)
        return 0;
    while (count < capacity && (name = kernel_stack_next(&rest, &length)) != NULL)
        functions[count++] = kernel_name_address(name, length);
    return count;
}

/* "0": it runs, or nobody is to know. */
static size_t read_function(pid_t tid, uintptr_t *functions, size_t capacity)
{
    char text[TEXT_MAX] = "";
    size_t length = read_file(tid, "wchan", text, sizeof text) > 0 ? name_length(text) : 0;
    if (capacity == 0 || length == 0 || text[0] == '0')
        return 0;
    functions[0] = kernel_name_address(text, length);
    return 1;
}

size_t kernel_functions(pid_t tid, enum kernel_word word, uintptr_t *functions, size_t capacity)
{
    if (word == KERNEL_STACK)
        return read_stack(tid, functions, capacity);
    return word == KERNEL_FUNCTION ? read_function(tid, functions, capacity) : 0;
}

/* Of itself a thread reads a stack, and no function that it waits in. */
enum kernel_word kernel_word(void)
{
    char text[STACK_TEXT];
    pid_t self = (pid_t)syscall(SYS_gettid);
    if (read_file(self, "stack", text, sizeof text) > 0)
        return KERNEL_STACK;
    return read_file(self, "wchan", text, sizeof text) > 0 ? KERNEL_FUNCTION : KERNEL_SILENT;
}
