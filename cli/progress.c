#include "progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "terminal.h"
#include "units.h"

#define PATIENCE_MS 1000 /* of people, before they wonder */
#define REDRAW_MS 100

static struct {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t thread;
    bool running, stopping, shown;
    struct timespec since;
    const char *doing, *what;
    size_t count;
    _Atomic size_t done;
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void add_ms(struct timespec *time, long ms)
{
    time->tv_nsec += ms * 1000000;
    time->tv_sec += time->tv_nsec / 1000000000;
    time->tv_nsec %= 1000000000;
}

static void draw(const struct terminal *terminal)
{
    char done[UNITS_TEXT], count[UNITS_TEXT], text[2 * UNITS_TEXT + 300];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    units_count(done, (int64_t)line.done);
    units_count(count, (int64_t)line.count);
    int length = line.count > 0 ? snprintf(text, sizeof(text), "%s %s of %s %s …", line.doing,
                                           done, count, line.what)
                                : snprintf(text, sizeof(text), "%s %.200s … %ld s", line.doing,
                                           line.what, (long)(now.tv_sec - line.since.tv_sec));
    fputs("\r\033[K", stderr);
    terminal_print(terminal, STYLE_DIM, text, (size_t)length, terminal->width - 1, CUT_END,
                   false);
    fflush(stderr);
    line.shown = true;
}

/* Draws until it is told to stop. */
static void *keep_drawing(void *closure)
{
    struct terminal terminal = terminal_of(stderr);
    struct timespec next = line.since;
    (void)closure;
    add_ms(&next, PATIENCE_MS);
    pthread_mutex_lock(&line.lock);
    while (!line.stopping)
        if (pthread_cond_timedwait(&line.ended, &line.lock, &next) != 0) {
            draw(&terminal);
            add_ms(&next, REDRAW_MS);
        }
    pthread_mutex_unlock(&line.lock);
    return NULL;
}

static void start(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&line.ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    clock_gettime(CLOCK_MONOTONIC, &line.since);
    line.stopping = line.shown = false;
    line.running = pthread_create(&line.thread, NULL, keep_drawing, NULL) == 0;
}

void progress_begin(const char *doing, size_t count, const char *what)
{
    if (!terminal_can_redraw(stderr))
        return;
    pthread_mutex_lock(&line.lock);
    line.doing = doing;
    line.count = count;
    line.what = what;
    line.done = 0;
    pthread_mutex_unlock(&line.lock);
    if (!line.running)
        start();
}

void progress_step(void)
{
    line.done++;
}

static void clear(void)
{
    if (line.shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    line.shown = false;
}

void progress_clear(void)
{
    pthread_mutex_lock(&line.lock);
    clear();
    pthread_mutex_unlock(&line.lock);
}

void progress_end(void)
{
    if (!line.running)
        return;
    pthread_mutex_lock(&line.lock);
    line.stopping = true;
    pthread_cond_signal(&line.ended);
    pthread_mutex_unlock(&line.lock);
    pthread_join(line.thread, NULL);
    line.running = false;
    clear();
}
