#include "base/own_program.h"

#include <sys/types.h>
#include <unistd.h>

/* The process is known as its main thread, which has no program any more when it has ended; but
 * an emulator of another processor tells of the emulated program under that name only. */
size_t own_program(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0)
        length = readlink("/proc/thread-self/exe", path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t)length : 0;
}
