#include "engine/capture.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/log.h"
#include "engine/output.h"
#include "export/sink_file.h"
#include "format/format.h"

#define SHARE 4         /* of the budget, as a whole run's file has it */
#define RESERVED 16     /* so much of the budget is kept for them */
#define RESCUE_WAIT 0.1 /* seconds */

struct capture {
    uint64_t id;             /* 0: free */
    unsigned uses;           /* blocks that share it */
    char *asked;             /* the pattern, absolute */
    char *own;               /* what this process writes for it */
    time_t began;            /* %t */
    struct profile *profile; /* the collector's, until it is untapped */
    struct output_claim claim;
};

/* The list, and what belongs to one, change only under the lock, which is held for moments. */
static struct {
    pthread_mutex_t lock;
    struct capture list[CAPTURES];
    uint64_t last_id;
    struct budget budget;
    char *service;
} captures = {.lock = PTHREAD_MUTEX_INITIALIZER};

int captures_open(struct budget *budget, const char *service)
{
    char *copy = strdup(service);
    if (copy == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&captures.lock);
    /* Not anew: what is written after its run has ended is still to be given back. */
    captures.budget.whole = budget;
    captures.budget.limit = budget->limit / SHARE;
    if (captures.budget.reserved == 0 && budget_used(&captures.budget) == 0)
        budget_reserve(&captures.budget, budget->limit / RESERVED);
    free(captures.service);
    captures.service = copy;
    pthread_mutex_unlock(&captures.lock);
    return 0;
}

struct budget *captures_budget(void)
{
    return &captures.budget;
}

static int file_of(const struct capture *capture, char *path, size_t size)
{
    const struct file_name name = {
        .pid = getpid(), .time = capture->began, .service = captures.service};
    return sink_file_expand(capture->own, &name, path, size);
}

static int refuse(char *error, size_t size, int status, const char *pattern, const char *why)
{
    if (size > 0)
        snprintf(error, size, "output: '%s': %s", pattern, why);
    return status;
}

static void drop(struct capture *capture)
{
    output_release(&capture->claim);
    free(capture->asked);
    free(capture->own);
    *capture = (struct capture){0};
}

/* The pattern with the number in place of each %n: two blocks of this process have two files,
 * and each may be claimed. NULL: no memory. */
static char *numbered(const char *pattern, uint64_t number)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return NULL;
    for (const char *c = pattern; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 'n') {
            fprintf(to, "%llu", (unsigned long long)number);
            c++;
            continue;
        }
        fputc(*c, to);
        if (c[0] == '%' && c[1] != '\0')
            fputc(*++c, to);
    }
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* Fills in all but the profile. */
static int prepare(struct capture *capture, const char *pattern, char *error, size_t error_size)
{
    char path[4096], why[256];
    *capture =
        (struct capture){.uses = 1, .asked = sink_file_absolute(pattern), .began = time(NULL)};
    capture->id = captures.last_id + 1;
    char *own = capture->asked != NULL ? numbered(capture->asked, capture->id) : NULL;
    capture->own = own != NULL ? output_claim(&capture->claim, own) : NULL;
    free(own);
    if (capture->own == NULL)
        return refuse(error, error_size, -ENOMEM, pattern, strerror(ENOMEM));
    int status = file_of(capture, path, sizeof path);
    if (status == -EINVAL)
        return refuse(error, error_size, status, pattern, "after % comes p, n, t, s or %");
    if (status != 0)
        return refuse(error, error_size, -EINVAL, pattern, strerror(-status));
    if (sink_file_check(path, why, sizeof why) != 0)
        return refuse(error, error_size, -EINVAL, pattern, why);
    return 0;
}

static struct capture *find(uint64_t id)
{
    for (size_t i = 0; i < CAPTURES; i++)
        if (captures.list[i].id == id)
            return &captures.list[i];
    return NULL;
}

/* Joins one that writes the same file: its id; 0: there is none. */
static uint64_t join(const char *pattern)
{
    uint64_t id = 0;
    char *asked = sink_file_absolute(pattern);
    bool alone = asked == NULL || sink_file_has(asked, 'n');
    pthread_mutex_lock(&captures.lock);
    for (size_t i = 0; i < CAPTURES && id == 0 && !alone; i++) {
        struct capture *capture = &captures.list[i];
        if (capture->id != 0 && strcmp(capture->asked, asked) == 0) {
            capture->uses++;
            id = capture->id;
        }
    }
    pthread_mutex_unlock(&captures.lock);
    free(asked);
    return id;
}

int captures_begin(struct collector *collector, const char *pattern, uint64_t *id, char *error,
                   size_t error_size)
{
    *id = join(pattern);
    if (*id != 0)
        return 0;
    struct capture *free_one = find(0), made;
    if (free_one == NULL)
        return refuse(error, error_size, -EBUSY, pattern,
                      "16 blocks are being profiled, and no more can be: this one is not");
    int status = prepare(&made, pattern, error, error_size);
    if (status == 0) {
        status = collector_tap(collector, &captures.budget, true, &made.profile);
        if (status != 0)
            refuse(error, error_size, status, pattern,
                   status == -ENOMEM ? "CPROF_MEMORY_LIMIT is used up: not profiled"
                                     : "the collector does not answer: not profiled");
    }
    if (status != 0) {
        drop(&made);
        return status;
    }
    pthread_mutex_lock(&captures.lock);
    *free_one = made;
    *id = captures.last_id = made.id;
    pthread_mutex_unlock(&captures.lock);
    return 0;
}

static int write_file(const struct capture *capture, char *error, size_t error_size)
{
    char path[4096], why[FORMAT_ERROR_SIZE];
    int status = file_of(capture, path, sizeof path);
    if (status != 0)
        return refuse(error, error_size, status, capture->own, strerror(-status));
    status = format_write_file(capture->profile, path, why);
    if (status != 0 && error_size > 0)
        snprintf(error, error_size, "%s", why);
    return status;
}

int captures_end(struct collector *collector, uint64_t id, char *error, size_t error_size)
{
    pthread_mutex_lock(&captures.lock);
    struct capture *capture = id != 0 ? find(id) : NULL, ended = {0};
    bool shared = capture != NULL && --capture->uses > 0;
    if (capture != NULL && !shared) {
        ended = *capture;
        *capture = (struct capture){0};
    }
    pthread_mutex_unlock(&captures.lock);
    if (shared || capture == NULL)
        return shared ? 0 : -EALREADY;
    int status = ended.profile != NULL ? collector_untap(collector, ended.profile, true) : -EIO;
    if (status == -ETIMEDOUT) { /* the profile stays the collector's */
        refuse(error, error_size, status, ended.own, "the collector does not answer");
    } else if (ended.profile == NULL) {
        refuse(error, error_size, status, ended.own, "the block could not be profiled");
    } else {
        if (status == -EIO)
            log_warn("%s: the block's last samples are missing", ended.own);
        status = write_file(&ended, error, error_size);
        profile_free(ended.profile);
    }
    drop(&ended);
    return status;
}

void captures_finish(void)
{
    for (size_t i = 0; i < CAPTURES; i++) {
        char error[FORMAT_ERROR_SIZE];
        pthread_mutex_lock(&captures.lock);
        struct capture ended = captures.list[i];
        captures.list[i] = (struct capture){0};
        pthread_mutex_unlock(&captures.lock);
        if (ended.id == 0)
            continue;
        if (ended.profile != NULL && write_file(&ended, error, sizeof error) != 0)
            log_warn("%s", error);
        drop(&ended); /* the profile is the collector's, which goes next */
    }
}

void captures_rescue(void)
{
    char error[FORMAT_ERROR_SIZE];
    if (!lock_within(&captures.lock, RESCUE_WAIT))
        return;
    for (size_t i = 0; i < CAPTURES; i++)
        if (captures.list[i].profile != NULL &&
            write_file(&captures.list[i], error, sizeof error) != 0)
            log_warn("%s", error);
    pthread_mutex_unlock(&captures.lock);
}

/* ---- fork ---- */

void captures_fork_lock(void)
{
    pthread_mutex_lock(&captures.lock);
}

void captures_fork_unlock(void)
{
    pthread_mutex_unlock(&captures.lock);
}

void captures_fork_child(bool at_rest)
{
    captures.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (!at_rest)
        budget_init(&captures.budget, 0);
    for (size_t i = 0; i < CAPTURES; i++) {
        captures.list[i].profile = NULL; /* went with the collector, or is left where it lies */
        output_release(&captures.list[i].claim);
    }
}

void captures_retap(struct collector *collector)
{
    for (size_t i = 0; i < CAPTURES; i++) {
        struct capture *capture = &captures.list[i];
        if (capture->id == 0 || capture->profile != NULL)
            continue;
        char *own = output_beside(capture->own, (long)getpid());
        if (own == NULL)
            continue;
        free(capture->own);
        capture->own = own;
        collector_tap(collector, &captures.budget, false, &capture->profile);
    }
}
