#include "look/wait.h"

#include <arpa/inet.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __GLIBC__
#define IS_GLIBC 1
#else
#define IS_GLIBC 0
#endif

/* ---- which call means what ---- */

/* Which of its arguments, if any, is or leads to the descriptor that is waited for. */
enum descriptor { NO_FD, FD_FIRST, FD_OF_POLL };

struct meaning {
    long call;
    enum cprof_wait reason;
    enum descriptor descriptor;
};

/* A call that only some machines have is in the list of those. */
static const struct meaning meanings[] = {
#ifdef SYS_poll
    {SYS_poll, CPROF_WAIT_IO, FD_OF_POLL},
    {SYS_select, CPROF_WAIT_IO, NO_FD},
    {SYS_epoll_wait, CPROF_WAIT_IDLE, NO_FD},
    {SYS_accept, CPROF_WAIT_IDLE, NO_FD},
    {SYS_pause, CPROF_WAIT_SLEEP, NO_FD},
#endif
    {SYS_read, CPROF_WAIT_IO, FD_FIRST},
    {SYS_readv, CPROF_WAIT_IO, FD_FIRST},
    {SYS_pread64, CPROF_WAIT_IO, FD_FIRST},
    {SYS_preadv, CPROF_WAIT_IO, FD_FIRST},
    {SYS_write, CPROF_WAIT_IO, FD_FIRST},
    {SYS_writev, CPROF_WAIT_IO, FD_FIRST},
    {SYS_pwrite64, CPROF_WAIT_IO, FD_FIRST},
    {SYS_pwritev, CPROF_WAIT_IO, FD_FIRST},
    {SYS_sendfile, CPROF_WAIT_IO, FD_FIRST},
    {SYS_splice, CPROF_WAIT_IO, FD_FIRST},
    {SYS_recvfrom, CPROF_WAIT_IO, FD_FIRST},
    {SYS_recvmsg, CPROF_WAIT_IO, FD_FIRST},
    {SYS_recvmmsg, CPROF_WAIT_IO, FD_FIRST},
    {SYS_sendto, CPROF_WAIT_IO, FD_FIRST},
    {SYS_sendmsg, CPROF_WAIT_IO, FD_FIRST},
    {SYS_sendmmsg, CPROF_WAIT_IO, FD_FIRST},
    {SYS_connect, CPROF_WAIT_IO, FD_FIRST},
    {SYS_ppoll, CPROF_WAIT_IO, FD_OF_POLL},
    {SYS_pselect6, CPROF_WAIT_IO, NO_FD},
    {SYS_io_getevents, CPROF_WAIT_IO, NO_FD},
    {SYS_io_uring_enter, CPROF_WAIT_IO, NO_FD},
    {SYS_epoll_pwait, CPROF_WAIT_IDLE, NO_FD},
    {SYS_epoll_pwait2, CPROF_WAIT_IDLE, NO_FD},
    {SYS_accept4, CPROF_WAIT_IDLE, NO_FD},
    {SYS_rt_sigtimedwait, CPROF_WAIT_IDLE, NO_FD},
    {SYS_rt_sigsuspend, CPROF_WAIT_IDLE, NO_FD},
    {SYS_nanosleep, CPROF_WAIT_SLEEP, NO_FD},
    {SYS_clock_nanosleep, CPROF_WAIT_SLEEP, NO_FD},
    {SYS_futex, CPROF_WAIT_LOCK, NO_FD},
    {SYS_flock, CPROF_WAIT_LOCK, NO_FD},
    {SYS_fcntl, CPROF_WAIT_LOCK, NO_FD},
    {SYS_semop, CPROF_WAIT_LOCK, NO_FD},
    {SYS_semtimedop, CPROF_WAIT_LOCK, NO_FD},
    {SYS_wait4, CPROF_WAIT_CHILD, NO_FD},
    {SYS_waitid, CPROF_WAIT_CHILD, NO_FD},
    {SYS_fsync, CPROF_WAIT_DISK, NO_FD},
    {SYS_fdatasync, CPROF_WAIT_DISK, NO_FD},
    {SYS_msync, CPROF_WAIT_DISK, NO_FD},
    {SYS_sync_file_range, CPROF_WAIT_DISK, NO_FD},
    {SYS_openat, CPROF_WAIT_DISK, NO_FD},
    {SYS_newfstatat, CPROF_WAIT_DISK, NO_FD},
    {SYS_getdents64, CPROF_WAIT_DISK, NO_FD},
    {SYS_unlinkat, CPROF_WAIT_DISK, NO_FD},
    {SYS_ftruncate, CPROF_WAIT_DISK, NO_FD},
    {SYS_fallocate, CPROF_WAIT_DISK, NO_FD},
};

static const struct meaning *meaning_of(long call)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].call == call)
            return &meanings[i];
    return NULL;
}

/* ---- descriptors ---- */

void wait_name_peer(int fd, char peer[WAIT_PEER_SIZE])
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } address = {.room = {.ss_family = AF_UNSPEC}};
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (getpeername(fd, &address.any, &size) != 0)
        return;
    if (address.any.sa_family == AF_INET &&
        inet_ntop(AF_INET, &address.four.sin_addr, text, sizeof text) != NULL)
        snprintf(peer, WAIT_PEER_SIZE, "%s:%u", text, ntohs(address.four.sin_port));
    else if (address.any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &address.six.sin6_addr, text, sizeof text) != NULL)
        snprintf(peer, WAIT_PEER_SIZE, "[%s]:%u", text, ntohs(address.six.sin6_port));
    else if (address.any.sa_family == AF_UNIX && size > sizeof(sa_family_t) &&
             address.local.sun_path[0] == '/')
        snprintf(peer, WAIT_PEER_SIZE, "unix:%.*s", WAIT_PEER_SIZE - 6, address.local.sun_path);
}

static void look_at_descriptor(int fd, struct wait *wait)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
        wait->reason = CPROF_WAIT_DISK;
    else if (S_ISSOCK(status.st_mode))
        wait_name_peer(fd, wait->peer);
}

/* poll() of one descriptor, as sockets with a timeout do it. Of none it is a way to sleep. */
static void look_at_poll(const struct kernel_asleep *asleep, struct copied *copied,
                         struct wait *wait)
{
    struct pollfd first;
    if (asleep->arguments[1] == 0)
        wait->reason = CPROF_WAIT_SLEEP;
    else if (asleep->arguments[1] == 1 &&
             copied_read(copied, (uintptr_t)asleep->arguments[0], &first, sizeof first))
        look_at_descriptor(first.fd, wait);
}

/* Nor does select() without a set wait for anything but its end. */
static bool selects_nothing(const struct kernel_asleep *asleep)
{
    bool select = asleep->call == SYS_pselect6;
#ifdef SYS_select
    select |= asleep->call == SYS_select;
#endif
    return select && asleep->arguments[1] == 0 && asleep->arguments[2] == 0 &&
           asleep->arguments[3] == 0;
}

/* ---- locks ---- */

uintptr_t wait_futex(const struct kernel_asleep *asleep)
{
    return asleep->call == SYS_futex ? (uintptr_t)asleep->arguments[0] : 0;
}

/* As glibc has it; musl has a type before the futex, and the owner in it. */
struct mutex {
    uint32_t futex, count;
    int32_t owner;
    uint32_t users, kind;
};

enum { TYPE_OF_MUSL_MAX = 15, NORMAL_OF_MUSL = 0, KIND_MAX = 0x7ff };

/* By its word, as the kernel knows him of one that passes priorities on. */
static pid_t in_word(uint32_t word)
{
    return (pid_t)(word & FUTEX_TID_MASK);
}

static pid_t owner_of(uintptr_t futex, bool passes_on, struct copied *copied)
{
    struct mutex mutex;
    if (passes_on || !IS_GLIBC) {
        uint32_t around[2]; /* what stands before the futex, and it */
        if (!copied_read(copied, futex - sizeof around[0], around, sizeof around) ||
            (!passes_on && (around[0] & TYPE_OF_MUSL_MAX) == NORMAL_OF_MUSL))
            return 0;
        return in_word(around[1]);
    }
    if (!copied_read(copied, futex, &mutex, sizeof mutex) || mutex.users == 0 ||
        mutex.kind > KIND_MAX)
        return 0; /* a lock, but no pthread_mutex_t */
    return mutex.owner;
}

/* glibc's mutexes, its own inner locks and most other people's futexes have 2 in the word when
 * somebody waits; musl's have the highest bit, and something else than that. Conditions,
 * semaphores and joins wait otherwise, on words that stand for no lock. */
static bool is_contended(uint32_t word)
{
#ifdef __GLIBC__
    return word == 2;
#else
    return (word & FUTEX_WAITERS) != 0 && word != FUTEX_WAITERS && word != UINT32_MAX;
#endif
}

static void look_at_mutex(const struct kernel_asleep *asleep, struct copied *copied,
                          struct wait *wait)
{
    uint64_t command = asleep->arguments[1] & (uint64_t)FUTEX_CMD_MASK;
    bool passes_on = command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
    if (!passes_on && !(command == FUTEX_WAIT && is_contended((uint32_t)asleep->arguments[2])))
        return;
    wait->lock = asleep->arguments[0];
    pid_t owner = owner_of((uintptr_t)wait->lock, passes_on, copied);
    if (owner > 0 && syscall(SYS_tgkill, getpid(), owner, 0) == 0)
        wait->holder = owner;
}

/* ---- all of it ---- */

struct wait wait_of(const struct kernel_asleep *asleep, struct copied *copied)
{
    struct wait wait = {.state = WAIT_WAITING};
    const struct meaning *meaning = meaning_of(asleep->call);
    if (asleep->call == KERNEL_PAGE_FAULT)
        wait.reason = CPROF_WAIT_PAGE_FAULT;
    if (meaning == NULL)
        return wait;
    wait.reason = selects_nothing(asleep) ? CPROF_WAIT_SLEEP : meaning->reason;
    if (meaning->descriptor == FD_FIRST)
        look_at_descriptor((int)asleep->arguments[0], &wait);
    else if (meaning->descriptor == FD_OF_POLL)
        look_at_poll(asleep, copied, &wait);
    else if (asleep->call == SYS_futex)
        look_at_mutex(asleep, copied, &wait);
    return wait;
}

/* ---- by the kernel's function ---- */

/* How the names of functions begin, from Linux 4.14 to 6.18. */
static const struct {
    const char *name;
    enum cprof_wait reason;
} function_meanings[] = {
    {"hrtimer_nanosleep", CPROF_WAIT_SLEEP},
    {"do_nanosleep", CPROF_WAIT_SLEEP},
    {"alarm_timer_nsleep", CPROF_WAIT_SLEEP},
    {"do_pause", CPROF_WAIT_SLEEP},
    {"futex_", CPROF_WAIT_LOCK},
    {"__futex_", CPROF_WAIT_LOCK},
    {"do_futex", CPROF_WAIT_LOCK},
    {"rt_mutex_", CPROF_WAIT_LOCK},
    {"locks_lock_", CPROF_WAIT_LOCK},
    {"flock_lock_", CPROF_WAIT_LOCK},
    {"do_semtimedop", CPROF_WAIT_LOCK},
    {"__do_semtimedop", CPROF_WAIT_LOCK},
    {"do_epoll_wait", CPROF_WAIT_IDLE},
    {"ep_poll", CPROF_WAIT_IDLE},
    {"inet_csk_accept", CPROF_WAIT_IDLE},
    {"inet_csk_wait_for_connect", CPROF_WAIT_IDLE},
    {"do_sigtimedwait", CPROF_WAIT_IDLE},
    {"sigsuspend", CPROF_WAIT_IDLE},
    {"poll_schedule_timeout", CPROF_WAIT_IO},
    {"do_sys_poll", CPROF_WAIT_IO},
    {"do_select", CPROF_WAIT_IO},
    {"pipe_", CPROF_WAIT_IO},
    {"anon_pipe_", CPROF_WAIT_IO},
    {"wait_for_partner", CPROF_WAIT_IO},
    {"unix_stream_", CPROF_WAIT_IO},
    {"unix_wait_for_peer", CPROF_WAIT_IO},
    {"wait_woken", CPROF_WAIT_IO},
    {"sk_", CPROF_WAIT_IO},
    {"__skb_wait_for_more_packets", CPROF_WAIT_IO},
    {"inet_", CPROF_WAIT_IO},
    {"__inet_stream_connect", CPROF_WAIT_IO},
    {"eventfd_", CPROF_WAIT_IO},
    {"inotify_read", CPROF_WAIT_IO},
    {"timerfd_read", CPROF_WAIT_IO},
    {"io_cqring_wait", CPROF_WAIT_IO},
    {"n_tty_read", CPROF_WAIT_IO},
    {"do_wait", CPROF_WAIT_CHILD},
    {"kernel_wait4", CPROF_WAIT_CHILD},
    {"handle_userfault", CPROF_WAIT_PAGE_FAULT},
    {"folio_wait_", CPROF_WAIT_DISK},
    {"wait_on_page_", CPROF_WAIT_DISK},
    {"io_schedule", CPROF_WAIT_DISK},
    {"jbd2_", CPROF_WAIT_DISK},
    {"submit_bio_wait", CPROF_WAIT_DISK},
    {"blk_", CPROF_WAIT_DISK},
};

/* Of several the first one that fits. */
struct wait wait_of_function(const char *function)
{
    struct wait wait = {.state = WAIT_WAITING};
    for (size_t i = 0; i < sizeof function_meanings / sizeof *function_meanings; i++)
        if (strncmp(function, function_meanings[i].name, strlen(function_meanings[i].name)) ==
            0) {
            wait.reason = function_meanings[i].reason;
            break;
        }
    return wait;
}

static bool is_interpreter_s(enum cprof_wait reason)
{
    return reason == CPROF_WAIT_GIL || reason == CPROF_WAIT_GVL;
}

/* A mutex with an address is not the interpreter's lock. */
void wait_refine(struct wait *wait, enum cprof_wait known)
{
    bool lock = wait->reason == CPROF_WAIT_LOCK && wait->lock == 0;
    if (known == CPROF_WAIT_UNKNOWN || is_interpreter_s(wait->reason) ||
        wait->reason == CPROF_WAIT_PAGE_FAULT || (is_interpreter_s(known) && !lock))
        return;
    *wait = (struct wait){.state = WAIT_WAITING, .reason = known, .task = wait->task};
}

bool wait_is_native(const struct wait *wait)
{
    return wait->state == WAIT_WAITING && wait->reason == CPROF_WAIT_LOCK && wait->lock != 0 &&
           !wait->task;
}
