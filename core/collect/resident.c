#include "collect/resident.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* "SIZE RESIDENT …", in pages */
uint64_t resident_bytes(void)
{
    char text[128], *second;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    (void)strtoull(text, &second, 10);
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
