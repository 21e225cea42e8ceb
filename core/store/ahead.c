#include "store/ahead.h"

#include "base/own_thread.h"

static bool has_room(const struct ahead *ahead)
{
    return ahead->loaded - ahead->taken < AHEAD_MOST;
}

static void *run(void *given)
{
    struct ahead *ahead = given;
    pthread_mutex_lock(&ahead->lock);
    while (ahead->loaded < ahead->count && !ahead->ends) {
        if (!has_room(ahead)) {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
            continue;
        }
        const size_t number = ahead->loaded;
        pthread_mutex_unlock(&ahead->lock);
        void *loaded = ahead->load(ahead->closure, number);
        pthread_mutex_lock(&ahead->lock);
        ahead->held[number % AHEAD_MOST] = loaded;
        ahead->loaded++;
        pthread_cond_broadcast(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

void ahead_begin(struct ahead *ahead)
{
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    ahead->runs = ahead_is_worth(ahead) &&
                  own_thread_start_quietly(&ahead->thread, "cprof-read", run, ahead) == 0;
}

void *ahead_next(struct ahead *ahead)
{
    if (!ahead->runs)
        return ahead->load(ahead->closure, ahead->taken++);
    pthread_mutex_lock(&ahead->lock);
    while (ahead->loaded == ahead->taken)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    void *loaded = ahead->held[ahead->taken++ % AHEAD_MOST];
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    return loaded;
}

void ahead_end(struct ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->ends = true;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    if (ahead->runs)
        pthread_join(ahead->thread, NULL);
    for (; ahead->runs && ahead->taken < ahead->loaded; ahead->taken++)
        if (ahead->held[ahead->taken % AHEAD_MOST] != NULL)
            ahead->drop(ahead->held[ahead->taken % AHEAD_MOST]);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
}
