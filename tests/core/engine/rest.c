#include "rest.h"

#ifdef __SANITIZE_ADDRESS__
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own_thread.h"
#include "sample/timer.h"

#define LIMIT_NS 10000000000ul

/* Is it ours? From /proc/self/task/TID/stat: "TID (NAME) STATE". */
static bool is_own(const char *tid, bool *sleeps)
{
    char path[64], line[128] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", tid);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    if (file != NULL)
        fclose(file);
    const char *name = strchr(line, '('), *end = strrchr(line, ')');
    *sleeps = end != NULL && strncmp(end, ") S", 3) == 0;
    return name != NULL && strncmp(name + 1, OWN_THREAD_PREFIX, strlen(OWN_THREAD_PREFIX)) == 0;
}

/* Do they all sleep? `ran`: the CPU time that they have had. */
static bool look(uint64_t *ran)
{
    bool all = true;
    *ran = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        bool sleeps;
        if (!is_own(entry->d_name, &sleeps))
            continue;
        all &= sleeps;
        *ran += thread_ran_ns(atoi(entry->d_name));
    }
    if (tasks != NULL)
        closedir(tasks);
    return all;
}

/* Two looks, as they are not seen all at one time. Who waits for the allocator's lock sleeps
 * too, but then another of them holds it, and runs. */
static void await_rest(void)
{
    uint64_t limit = clock_ns(CLOCK_MONOTONIC) + LIMIT_NS, before, ran = 0;
    bool rest;
    do {
        before = ran;
        rest = look(&ran);
        if (!rest || ran != before)
            usleep(1000);
    } while ((!rest || ran != before) && clock_ns(CLOCK_MONOTONIC) < limit);
}

/* The handlers that are called before a fork are called in reverse order. */
int rest_at_forks(void)
{
    return pthread_atfork(await_rest, NULL, NULL);
}
#else
int rest_at_forks(void)
{
    return 0;
}
#endif
