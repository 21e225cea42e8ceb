#include "pull/siblings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/folder.h"

enum { WAITING = 8 };

/* ---- names ---- */

/* The address of a door: a zero, and a name, with the PID namespace in it: processes of other
 * containers may share the network, and have the same numbers. Returns its length. */
static socklen_t name_door(struct sockaddr_un *door, unsigned port, pid_t process, bool owner)
{
    *door = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(door->sun_path + 1, sizeof door->sun_path - 1, "cprof/%lu/%u/%ld%s",
                          control_own_namespace(), port, (long)process, owner ? "/owner" : "");
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

struct door {
    unsigned long namespace;
    unsigned port;
    long process;
    bool owner;
};

/* A line of /proc/net/unix. A connection through a door has the door's name too, but does not
 * listen. */
static bool read_door(const char *line, struct door *door)
{
    enum { LISTENS = 1 << 16 };
    unsigned flags;
    int end = 0;
    const char *name = strstr(line, " @cprof/");
    bool read = name != NULL && sscanf(line, "%*s %*s %*s %x", &flags) == 1 &&
                (flags & LISTENS) != 0 &&
                sscanf(name, " @cprof/%lu/%u/%ld%n", &door->namespace, &door->port,
                       &door->process, &end) == 3;
    door->owner = read && strncmp(name + end, "/owner", 6) == 0;
    return read;
}

/* Calls `each` for the doors of a port; it says whether to go on. */
static void each_door(unsigned port, bool (*each)(void *closure, const struct door *door),
                      void *closure)
{
    const unsigned long namespace = control_own_namespace();
    char line[512];
    FILE *sockets = fopen("/proc/net/unix", "re");
    bool more = true;
    while (more && sockets != NULL && fgets(line, sizeof line, sockets) != NULL) {
        struct door door;
        if (read_door(line, &door) && door.port == port && door.namespace == namespace)
            more = each(closure, &door);
    }
    if (sockets != NULL)
        fclose(sockets);
}

/* ---- who is there ---- */

struct listing {
    pid_t *list;
    size_t count, capacity;
};

static bool list_door(void *closure, const struct door *door)
{
    struct listing *listing = closure;
    if (listing->count < listing->capacity)
        listing->list[listing->count] = (pid_t)door->process;
    listing->count++;
    return true;
}

static int compare(const void *left, const void *right)
{
    const pid_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

size_t siblings_list(unsigned port, pid_t *list, size_t capacity)
{
    struct listing listing = {.list = list, .capacity = capacity};
    each_door(port, list_door, &listing);
    qsort(list, listing.count < capacity ? listing.count : capacity, sizeof *list, compare);
    return listing.count;
}

static bool find_owner(void *found, const struct door *door)
{
    *(bool *)found = door->owner;
    return !door->owner;
}

bool siblings_have(unsigned port)
{
    bool found = false;
    each_door(port, find_owner, &found);
    return found;
}

/* ---- doors ---- */

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 ? fd : -errno;
}

int siblings_open_door(unsigned port, bool owner)
{
    struct sockaddr_un door;
    socklen_t length = name_door(&door, port, getpid(), owner);
    int fd = new_socket();
    if (fd < 0 || (bind(fd, (struct sockaddr *)&door, length) == 0 && listen(fd, WAITING) == 0))
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* The user at the other end of a connection, or who listens there. */
static bool is_of(int connection, uid_t user)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           peer.uid == user;
}

bool siblings_trust(int connection)
{
    return is_of(connection, 0) || is_of(connection, geteuid());
}

static int connect_to(unsigned port, pid_t process)
{
    struct sockaddr_un door;
    int fd = new_socket(), error = -ECONNREFUSED;
    for (int owner = 0; fd >= 0 && owner <= 1; owner++) {
        socklen_t length = name_door(&door, port, process, owner == 1);
        if (connect(fd, (struct sockaddr *)&door, length) == 0)
            return fd;
        error = -errno;
    }
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : error;
}

/* ---- handing over ---- */

/* Room for one descriptor beside a message. */
union beside {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int siblings_hand(unsigned port, pid_t process, int connection, const void *bytes, size_t size)
{
    union beside beside = {.header = {.cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS,
                                      .cmsg_len = CMSG_LEN(sizeof connection)}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &beside,
                             .msg_controllen = sizeof beside};
    memcpy(CMSG_DATA(&beside.header), &connection, sizeof connection);
    int door = connect_to(port, process);
    if (door < 0)
        return door;
    /* Anybody can open a door of that name. Who began as root has workers of other users. */
    bool trusted = geteuid() == 0 || siblings_trust(door);
    ssize_t sent = trusted ? sendmsg(door, &message, MSG_NOSIGNAL) : -1;
    int error = !trusted ? -EACCES : sent < 0 ? -errno : (size_t)sent < size ? -EIO : 0;
    close(door);
    return error;
}

/* The descriptor that came beside a message; -1: none. */
static int descriptor_of(struct msghdr *message)
{
    int fd = -1;
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

ssize_t siblings_read(int *connection, void *bytes, size_t size)
{
    union beside beside;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &beside,
                             .msg_controllen = sizeof beside};
    ssize_t got = recvmsg(*connection, &message, MSG_CMSG_CLOEXEC);
    int handed = got > 0 ? descriptor_of(&message) : -1;
    if (handed < 0)
        return got;
    close(*connection);
    *connection = handed;
    fcntl(handed, F_SETFL, fcntl(handed, F_GETFL) | O_NONBLOCK);
    return got;
}
