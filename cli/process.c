#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define WAKE_NS (5 * NS_PER_SECOND) /* what a process may take to wake */
#define REFUSED_NS NS_PER_SECOND    /* how long one comes again that is refused */
#define ORDER_WAIT 20.0             /* seconds: more than a process gives itself */
#define LARGEST_ANSWER ((size_t)256 << 20)
#define LARGEST_ENVIRONMENT ((size_t)1 << 20)

/* ---- what /proc says ---- */

/* The file as text; the caller frees it. NULL with errno. */
static char *read_proc(pid_t pid, const char *name, size_t limit, size_t *size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(limit + 1) : NULL;
    if (text) {
        *size = fread(text, 1, limit, file);
        text[*size] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}

struct identity {
    uid_t user;
    long number;    /* in its own PID namespace */
    bool handles;   /* CONTROL_SIGNAL */
    bool is_zombie; /* has ended, and nobody has looked yet */
};

static bool read_identity(pid_t pid, struct identity *identity)
{
    size_t size;
    char *text = read_proc(pid, "status", 16384, &size);
    unsigned user = 0;
    unsigned long long caught = 0;
    *identity = (struct identity){.number = pid};
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        char state;
        if (sscanf(line, "State: %c", &state) == 1)
            identity->is_zombie = state == 'Z' || state == 'X';
        if (strncmp(line, "NSpid:", 6) == 0)
            for (char *end = (char *)line + 6; *end == '\t' || *end == ' ';)
                identity->number = strtol(end, &end, 10);
        if (sscanf(line, "SigCgt: %llx", &caught) == 1)
            identity->handles = (caught >> (CONTROL_SIGNAL - 1) & 1) != 0;
        sscanf(line, "Uid: %*u %u", &user);
    }
    identity->user = user;
    free(text);
    return text != NULL;
}

/* Its XDG_RUNTIME_DIR, or the one that its user would have; the caller frees it. */
static char *runtime_folder(pid_t pid, uid_t user)
{
    static const char name[] = "XDG_RUNTIME_DIR=";
    char usual[64], *found = NULL;
    size_t size = 0;
    char *all = read_proc(pid, "environ", LARGEST_ENVIRONMENT, &size);
    for (size_t at = 0; all && at < size && !found; at += strlen(all + at) + 1)
        if (strncmp(all + at, name, strlen(name)) == 0)
            found = strdup(all + at + strlen(name));
    free(all);
    snprintf(usual, sizeof usual, "/run/user/%lu", (unsigned long)user);
    return found ? found : strdup(usual);
}

static unsigned long namespace_of(pid_t pid)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%ld/ns/pid", (long)pid);
    return stat(path, &status) == 0 ? (unsigned long)status.st_ino : control_own_namespace();
}

/* ---- finding ---- */

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static bool look_in(struct process *process, const struct identity *identity)
{
    const unsigned long space = namespace_of(process->pid);
    if (!control_folder_is_of(process->folder, identity->user) ||
        control_path(process->folder, space, identity->number, CONTROL_KNOCK, process->knock))
        return false;
    control_path(process->folder, space, identity->number, CONTROL_SOCKET, process->file);
    process->state = PROCESS_LISTENS;
    if (exists(process->file))
        return true;
    control_path(process->folder, space, identity->number, CONTROL_STANDBY, process->file);
    process->state = PROCESS_STANDS_BY;
    /* Without the handler another program has come in its place. */
    return exists(process->file) && identity->handles;
}

void process_find(pid_t pid, struct process *process)
{
    struct identity identity;
    char root[64];
    *process = (struct process){.pid = pid, .state = PROCESS_GONE};
    if (!read_identity(pid, &identity) || identity.is_zombie)
        return;
    process->user = identity.user;
    if (geteuid() != 0 && geteuid() != identity.user) {
        process->state = PROCESS_FOREIGN;
        return;
    }
    char *runtime = runtime_folder(pid, identity.user);
    snprintf(root, sizeof root, "/proc/%ld/root", (long)pid);
    if (access(root, X_OK) != 0)
        root[0] = '\0';
    bool found = false;
    for (unsigned i = 0; i < 2 && !found; i++)
        found = control_folder_of(i, root, runtime, identity.user, process->folder) &&
                look_in(process, &identity);
    free(runtime);
    if (!found)
        process->state = PROCESS_WITHOUT;
}

static int fail_foreign(const struct process *process)
{
    const struct passwd *user = getpwuid(process->user);
    return user ? fail("process %ld belongs to %s: ask as that user, or as root",
                       (long)process->pid, user->pw_name)
                : fail("process %ld belongs to user %lu: ask as that user, or as root",
                       (long)process->pid, (unsigned long)process->user);
}

static int fail_without(const struct process *process)
{
    return fail("process %ld can't be asked: cprof is not in it, or it was not started with "
                "CPROF_ENABLED=on or CPROF_ENABLED=standby",
                (long)process->pid);
}

int process_parse_any(const struct command *command, int argc, char **argv,
                      struct process *process)
{
    unsigned long pid;
    if (argc - optind != 1)
        return wrong_usage(command, "which process: one PID is needed");
    int status = parse_number(command, "PID", argv[optind], 1, INT_MAX, &pid);
    if (status != GO_ON)
        return status;
    process_find((pid_t)pid, process);
    if (process->state == PROCESS_GONE)
        return process_fail(process, -ESRCH);
    return process->state == PROCESS_FOREIGN ? fail_foreign(process) : GO_ON;
}

int process_parse(const struct command *command, int argc, char **argv, struct process *process)
{
    int status = process_parse_any(command, argc, argv, process);
    return status == GO_ON && process->state == PROCESS_WITHOUT ? fail_without(process)
                                                                : status;
}

/* ---- waking ---- */

/* Until it listens. 0 or a negative errno. */
static int wake(struct process *process)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + WAKE_NS;
    int knock =
        open(process->knock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (knock < 0 && errno != EEXIST)
        return -errno;
    if (knock >= 0)
        close(knock);
    int error = syscall(SYS_tgkill, process->pid, process->pid, CONTROL_SIGNAL) ? -errno : 0;
    while (error == 0) {
        pid_t pid = process->pid;
        process_find(pid, process);
        if (process->state == PROCESS_LISTENS)
            return 0;
        if (process->state != PROCESS_STANDS_BY)
            return -ESRCH;
        if (clock_ns(CLOCK_MONOTONIC) >= until)
            error = -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    unlink(process->knock);
    return error;
}

/* ---- asking ---- */

/* Through the folder's descriptor, as an address has room for a short path only. */
static int connect_to(const struct process *process)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *name = strrchr(process->file, '/') + 1;
    int folder = open(process->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/%s", folder, name);
    int error = folder < 0 || fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0
                    ? -errno
                    : 0;
    if (folder >= 0)
        close(folder);
    if (error != 0 && fd >= 0)
        close(fd);
    return error != 0 ? error : fd;
}

/* Has one who was refused a reason to come again? The process may be about to listen, or have
 * stopped just now and stand by. */
static bool may_come_again(int error, uint64_t until)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    if ((error != -ECONNREFUSED && error != -ENOENT) || clock_ns(CLOCK_MONOTONIC) >= until)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* A connection to it, or a negative errno. */
static int reach(struct process *process)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + REFUSED_NS;
    for (;;) {
        int error = process->state == PROCESS_STANDS_BY ? wake(process) : 0;
        int connection = error != 0 ? error : connect_to(process);
        if (connection >= 0 || !may_come_again(connection, until))
            return connection;
        process_find(process->pid, process);
        if (process->state != PROCESS_LISTENS && process->state != PROCESS_STANDS_BY)
            return -ESRCH;
    }
}

int process_send(struct process *process, const char *method, const char *target)
{
    struct buffer request = {0};
    int connection = reach(process);
    if (connection < 0)
        return connection;
    buffer_append(&request, method, strlen(method));
    buffer_append(&request, " ", 1);
    buffer_append(&request, target, strlen(target));
    static const char rest[] = " HTTP/1.0\r\n\r\n";
    buffer_append(&request, rest, sizeof rest - 1);
    bool sent = request.error == 0 && send(connection, request.data, request.size,
                                           MSG_NOSIGNAL) == (ssize_t)request.size;
    buffer_free(&request);
    if (sent)
        return connection;
    close(connection);
    return -EPIPE;
}

/* What is left of a time, for poll(). */
static int milliseconds_until(uint64_t deadline)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    return deadline <= now ? 0 : (int)((deadline - now) / 1000000 + 1);
}

/* All that comes until the other side closes. */
static int read_all(int connection, uint64_t deadline, struct buffer *all)
{
    for (;;) {
        struct pollfd polled = {.fd = connection, .events = POLLIN};
        int ready = poll(&polled, 1, milliseconds_until(deadline));
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0)
            return -errno;
        char bytes[65536];
        ssize_t got = read(connection, bytes, sizeof bytes);
        if (got <= 0)
            return got == 0 ? all->error : -errno;
        buffer_append(all, bytes, (size_t)got);
        if (all->size > LARGEST_ANSWER)
            return -EBADMSG;
    }
}

/* Cuts off the head: the status, and whether all of the body is there. */
static int split(struct answer *answer)
{
    struct buffer *body = &answer->body;
    static const char key[] = "Content-Length:";
    const char *end = body->data ? memmem(body->data, body->size, "\r\n\r\n", 4) : NULL;
    char head[1024];
    size_t length = end ? (size_t)(end - (char *)body->data) : sizeof head;
    if (length >= sizeof head)
        return -EBADMSG;
    memcpy(head, body->data, length);
    head[length] = '\0';
    const char *announced = strstr(head, key);
    if (sscanf(head, "HTTP/1.%*d %d", &answer->status) != 1 || !announced)
        return -EBADMSG;
    body->size -= length + 4;
    memmove(body->data, body->data + length + 4, body->size);
    return strtoull(announced + strlen(key), NULL, 10) == body->size ? 0 : -EBADMSG;
}

int process_receive(int connection, double seconds, struct answer *answer)
{
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * (double)NS_PER_SECOND);
    *answer = (struct answer){0};
    int status = read_all(connection, deadline, &answer->body);
    close(connection);
    return status == 0 ? split(answer) : status;
}

int process_fail(const struct process *process, int error)
{
    const long pid = process->pid;
    switch (error) {
    case -ESRCH:
        return fail("there is no process %ld%s", pid, process->user ? " any more" : "");
    case -ETIMEDOUT:
        return fail("process %ld does not answer: its main thread is in native code or blocks "
                    "SIGURG, or the program handles that signal itself",
                    pid);
    case -EBADMSG:
    case -ECONNRESET:
    case -EPIPE:
        return kill(process->pid, 0) != 0 && errno == ESRCH
                   ? fail("process %ld ended meanwhile", pid)
                   : fail("process %ld gave no whole answer", pid);
    default:
        return fail("process %ld can't be asked: %s", pid, strerror(-error));
    }
}

int process_ask(struct process *process, const char *method, const char *target, double seconds,
                struct answer *answer)
{
    *answer = (struct answer){0};
    int connection = process_send(process, method, target);
    int error = connection < 0 ? connection : process_receive(connection, seconds, answer);
    if (error != 0)
        return process_fail(process, error);
    if (answer->status == 200)
        return GO_ON;
    return fail("process %ld: %.*s", (long)process->pid,
                (int)strcspn((char *)answer->body.data, "\n"), (char *)answer->body.data);
}

void process_escape(struct buffer *target, const char *key, const char *text)
{
    const char *separator = memchr(target->data, '?', target->size) ? "&" : "?";
    buffer_append(target, separator, 1);
    buffer_append(target, key, strlen(key));
    buffer_append(target, "=", 1);
    for (; *text; text++) {
        char code[4];
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                     (c >= 'a' && c <= 'z') || strchr("-._~/", c);
        snprintf(code, sizeof code, plain ? "%c" : "%%%02X", c);
        buffer_append(target, code, strlen(code));
    }
}

int process_order(const struct command *command, int argc, char **argv, struct buffer *target)
{
    struct process process;
    struct answer answer;
    buffer_append(target, "", 1);
    int status = target->error == 0 ? process_parse(command, argc, argv, &process)
                                    : fail("there is no memory");
    if (status != GO_ON)
        return status;
    status = process_ask(&process, "POST", (char *)target->data, ORDER_WAIT, &answer);
    if (status == GO_ON)
        printf("process %ld: %.*s\n", (long)process.pid,
               (int)strcspn((char *)answer.body.data, "\n"), (char *)answer.body.data);
    buffer_free(&answer.body);
    return status == GO_ON ? EXIT_DONE : status;
}
