#include "engine/alone.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own_thread.h"
#include "sample/timer.h"

#define FEW 16 /* more threads than cprof itself ever has */
#define BUSY_NS                                                                                \
    20000000ul /* CPU time since the last turn: not at rest, and not at an end soon */

/* [collector] The main thread by its CPU clock. */
static struct {
    pid_t pid;
    uint64_t ran;    /* at the last turn */
    uint64_t looked; /* before the last look, which found it living */
    bool ended;
} main_thread;

/* How many there are, those that have ended and are kept (the main one) included; 0: unknown.
 */
static size_t count_threads(void)
{
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 2 ? tasks.st_nlink - 2 : 0;
}

/* A file of a thread's, as text; "" when there is none. */
static void read_of(long tid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/%s", tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[length < 0 ? 0 : length] = '\0';
}

/* The state follows the name, which may hold anything. */
static bool is_zombie(void)
{
    char text[512];
    read_of((long)getpid(), "stat", text, sizeof text);
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") Z", 3) == 0;
}

/* To end takes CPU time: as long as its clock stands, a thread that lived lives on. */
static bool main_thread_has_ended(void)
{
    if (main_thread.pid != getpid())
        memset(&main_thread, 0, sizeof main_thread);
    main_thread.pid = getpid();
    if (main_thread.ended)
        return true;
    uint64_t before = main_thread.ran;
    uint64_t ran = main_thread.ran = thread_ran_ns(main_thread.pid);
    if (ran != 0 && (ran == main_thread.looked || ran - before >= BUSY_NS))
        return false;
    main_thread.looked = ran;
    return main_thread.ended = is_zombie();
}

static bool is_own(long tid)
{
    char name[32];
    read_of(tid, "comm", name, sizeof name);
    return strncmp(name, OWN_THREAD_PREFIX, strlen(OWN_THREAD_PREFIX)) == 0;
}

/* Are there `count` threads, the main one and our own? A list can end early when threads end
 * meanwhile, but then it is shorter than that. A thread that starts another before it ends is
 * no gap: the other is further back in the list. */
static bool all_are_own(size_t count)
{
    size_t seen = 0;
    bool own = true;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return false;
    for (struct dirent *entry; own && (entry = readdir(tasks)) != NULL;) {
        long tid = atol(entry->d_name);
        seen += tid > 0;
        own = tid <= 0 || tid == (long)getpid() || is_own(tid);
    }
    closedir(tasks);
    return own && seen == count;
}

bool alone(void)
{
    if (!main_thread_has_ended())
        return false;
    size_t count = count_threads();
    return count > 0 && count <= FEW && all_are_own(count);
}
