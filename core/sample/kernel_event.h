/*
 * The kernel's own sampling of one thread: an event on the thread's CPU clock, that writes the
 * kernel's call chain into a ring at each period and signals that very thread.
 *
 * It takes no descriptor: what the event needs lives as long as its ring is mapped, and the
 * number is closed at once. So a program that closes all descriptors ends none of ours, none of
 * its own is ever taken for ours, and their number is no limit. It ends when the ring is
 * unmapped, with its thread's life, and with exec; in the child of a fork there is neither.
 *
 * The ring is kernel_event_bytes() of locked memory, of which the kernel allows each user so
 * much (perf_event_mlock_kb for each CPU, and RLIMIT_MEMLOCK).
 */
#ifndef CPROF_SAMPLE_KERNEL_EVENT_H
#define CPROF_SAMPLE_KERNEL_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct perf_event_mmap_page;

struct kernel_event {
    struct perf_event_mmap_page *ring;
    int fd; /* until it begins */
};

/* What one takes of locked memory. */
size_t kernel_event_bytes(void);

/* Makes one for a thread of this process, that does nothing yet. 0; -EACCES, -EPERM or -ENOSYS:
 * not allowed here; -ENOMEM: no memory for the ring; or another negative errno. */
int kernel_event_open(struct kernel_event *event, pid_t tid, int signal, uint64_t period_ns);

/* From now on it samples. The one who has opened it calls this at once, or gives it up. */
void kernel_event_begin(struct kernel_event *event);
void kernel_event_give_up(struct kernel_event *event);

/* Ends one that has begun. Nobody may be reading the ring. */
void kernel_event_end(struct perf_event_mmap_page *ring);

#endif
