#include "look/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 256

/* The bytes read, or a negative errno. */
static ssize_t read_file(pid_t tid, const char *name, char text[TEXT_MAX])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && access("/proc/self/task", F_OK) == 0 ? -ESRCH : -errno;
    ssize_t length = read(fd, text, TEXT_MAX - 1);
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
    ssize_t length = read_file(tid, "syscall", text);
    return length < 0 ? (int)length : kernel_asleep_read(text, (size_t)length, asleep);
}

uint64_t kernel_run_delay(pid_t tid)
{
    char text[TEXT_MAX];
    unsigned long long ran, waited;
    if (read_file(tid, "schedstat", text) <= 0 || sscanf(text, "%llu %llu", &ran, &waited) != 2)
        return 0;
    return waited;
}
