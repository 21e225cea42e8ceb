#include "base/own_thread.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof/sample.h"

#define STACK_SIZE ((size_t)1 << 20)

struct beginning {
    const char *name;
    void *(*run)(void *);
    void *argument;
};

/* Laid out when the thread begins, as malloc's hooks ask (cprof/sample.h). */
static CPROF_THREAD_LOCAL bool own;

bool own_thread_is_current(void)
{
    return own;
}

/* Named from both sides: the collector's looks at all threads as the first thing it does, and
 * whoever started one relies on its name. */
static void *begin(void *given)
{
    const struct beginning beginning = *(struct beginning *)given;
    free(given);
    own = true;
    pthread_setname_np(pthread_self(), beginning.name);
    return beginning.run(beginning.argument);
}

static int create(pthread_t *thread, struct beginning *beginning)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &attributes, begin, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int own_thread_start_quietly(pthread_t *thread, const char *name, void *(*run)(void *),
                             void *argument)
{
    struct beginning *beginning = malloc(sizeof *beginning);
    if (beginning == NULL)
        return -ENOMEM;
    *beginning = (struct beginning){.name = name, .run = run, .argument = argument};
    int error = create(thread, beginning);
    if (error != 0)
        free(beginning);
    return -error;
}

int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument)
{
    int error = own_thread_start_quietly(thread, name, run, argument);
    if (error == 0)
        pthread_setname_np(*thread, name);
    return error;
}

/* "NAME\n" */
static bool is_named(const char *task, const char *name)
{
    char path[64], line[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", task);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    if (file != NULL)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, name) == 0;
}

bool own_thread_exists(const char *name)
{
    bool found = false;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(tasks)) != NULL;)
        found = entry->d_name[0] != '.' && is_named(entry->d_name, name);
    closedir(tasks);
    return found;
}
