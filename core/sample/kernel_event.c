#include "sample/kernel_event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A page that says how far the ring is written, and the ring. */
size_t kernel_event_bytes(void)
{
    return 2 * (size_t)sysconf(_SC_PAGESIZE);
}

static int open_event(pid_t tid, uint64_t period_ns)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attributes,
        .config = PERF_COUNT_SW_TASK_CLOCK,
        .sample_period = period_ns,
        .sample_type = PERF_SAMPLE_CALLCHAIN,
        .exclude_callchain_user = 1,
        .disabled = 1,
        .wakeup_events = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool send_signals(int fd, pid_t tid, int signal)
{
    const struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = tid};
    return fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_SETSIG, signal) == 0 &&
           fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) == 0;
}

int kernel_event_open(struct kernel_event *event, pid_t tid, int signal, uint64_t period_ns)
{
    *event = (struct kernel_event){.fd = open_event(tid, period_ns)};
    if (event->fd < 0)
        return -errno;
    void *ring =
        mmap(NULL, kernel_event_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, event->fd, 0);
    int error = ring != MAP_FAILED ? 0 : errno == EPERM ? -ENOMEM : -errno;
    if (error == 0) {
        event->ring = ring;
        error = send_signals(event->fd, tid, signal) ? 0 : -errno;
    }
    if (error != 0)
        kernel_event_give_up(event);
    return error;
}

/* Somebody may close all descriptors in these few microseconds: then it is not ours. */
void kernel_event_begin(struct kernel_event *event)
{
    if (ioctl(event->fd, PERF_EVENT_IOC_ENABLE, 0) == 0)
        close(event->fd);
}

void kernel_event_give_up(struct kernel_event *event)
{
    if (event->ring != NULL)
        munmap(event->ring, kernel_event_bytes());
    close(event->fd);
}

void kernel_event_end(struct perf_event_mmap_page *ring)
{
    munmap(ring, kernel_event_bytes());
}
