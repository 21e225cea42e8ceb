#include "base/own_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_SIZE ((size_t)1 << 20)

struct beginning {
    const char *name;
    void *(*run)(void *);
    void *argument;
};

/* Named from both sides: the collector's looks at all threads as the first thing it does, and
 * whoever started one relies on its name. */
static void *begin(void *given)
{
    const struct beginning beginning = *(struct beginning *)given;
    free(given);
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

int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument)
{
    struct beginning *beginning = malloc(sizeof *beginning);
    if (beginning == NULL)
        return -ENOMEM;
    *beginning = (struct beginning){.name = name, .run = run, .argument = argument};
    int error = create(thread, beginning);
    if (error != 0)
        free(beginning);
    else
        pthread_setname_np(*thread, name);
    return -error;
}
