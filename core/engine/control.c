#include "engine/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "control/folder.h"
#include "engine/dumping.h"
#include "engine/state.h"
#include "format/json.h"

#define ORDER_WAIT 5.0     /* seconds, for the runtime to obey */
#define LIFECYCLE_WAIT 2.0 /* seconds, for starts and stops that are under way */

enum order_state {
    ORDER_NONE,
    ORDER_READY, /* the runtime is to take it */
    ORDER_TAKEN,
    ORDER_DONE,
};

static struct {
    pthread_mutex_t lock; /* held for moments */
    bool open, closing;
    const char *language;
    char *service;
    time_t since;                    /* the engine was started, or we were loaded */
    char types[128];                 /* that are on */
    char origin[32];                 /* who started it; "": the program */
    char *store;                     /* its history, when last it ran, or NULL */
    bool woken;                      /* somebody is going to ask */
    struct pull_server *server;      /* NULL: not made yet */
    char socket[CONTROL_PATH_SIZE];  /* where it listens; "": it does not */
    char standby[CONTROL_PATH_SIZE]; /* the file of one that stands by, or "" */
    struct {
        enum order_state state;
        struct cprof_order order;
        struct pull_request request; /* has its strings */
        int status;
        char why[PULL_WHY_SIZE];
        pthread_cond_t changed;
    } order;
    /* Of the server's thread. */
    unsigned recordings;
    bool began; /* the engine runs for them alone */
} control = {.lock = PTHREAD_MUTEX_INITIALIZER, .order.changed = PTHREAD_COND_INITIALIZER};

/* ---- what it tells ---- */

static void put_text(struct buffer *out, const char *key, const char *text)
{
    json_raw(out, key);
    json_string(out, text, strlen(text));
}

static void put_number(struct buffer *out, const char *key, int64_t number)
{
    json_raw(out, key);
    json_integer(out, number);
}

/* With the lock. */
static void describe(struct buffer *out, const char *state)
{
    put_number(out, "{\"pid\":", getpid());
    put_text(out, ",\"state\":", state);
    put_text(out, ",\"service\":", control.service != NULL ? control.service : "");
    put_text(out, ",\"language\":", control.language);
    put_text(out, ",\"version\":", CPROF_VERSION);
    put_number(out, ",\"since\":", control.since);
    put_text(out, ",\"types\":", control.types);
    put_text(out, ",\"origin\":", control.origin);
    put_text(out, ",\"store\":", control.store != NULL ? control.store : "");
    json_raw(out, "}\n");
}

static void tell_status(void *unused, struct buffer *out)
{
    (void)unused;
    pthread_mutex_lock(&control.lock);
    describe(out, engine_runs() ? "on" : "standby");
    pthread_mutex_unlock(&control.lock);
}

/* ---- orders ---- */

/* With the lock. What has become of an order that was waited for, with a line for people. */
static int settle(char why[PULL_WHY_SIZE])
{
    enum order_state state = control.order.state;
    if (state == ORDER_DONE) {
        control.order.state = ORDER_NONE;
        snprintf(why, PULL_WHY_SIZE, "%s", control.order.why);
        return control.order.status;
    }
    snprintf(why, PULL_WHY_SIZE, "%s",
             control.closing ? "the program is ending"
             : state == ORDER_TAKEN
                 ? "the program is still at it; look with cprof ps what came of it"
                 : "the program's main thread does not get to a point where it could: it is "
                   "in native code, or another handler has SIGURG");
    if (state == ORDER_READY)
        control.order.state = ORDER_NONE;
    return -ETIMEDOUT;
}

/* [server] Has the runtime obey. */
static int give_order(enum cprof_order_kind kind, const struct pull_request *request,
                      const char *origin, const char *exporter, char why[PULL_WHY_SIZE])
{
    const struct timespec until = time_in(ORDER_WAIT);
    struct pull_request *own = &control.order.request;
    pthread_mutex_lock(&control.lock);
    if (control.order.state != ORDER_NONE || control.closing) {
        pthread_mutex_unlock(&control.lock);
        snprintf(why, PULL_WHY_SIZE, "the program has not done what it was asked before");
        return -EBUSY;
    }
    *own = *request;
    control.order.order =
        (struct cprof_order){.kind = kind,
                             .options = {.origin = origin,
                                         .exporter = exporter,
                                         .types = own->types[0] != '\0' ? own->types : NULL,
                                         .output = own->output[0] != '\0' ? own->output : NULL,
                                         .rate = own->rate}};
    control.order.state = ORDER_READY;
    syscall(SYS_tgkill, getpid(), getpid(), CONTROL_SIGNAL);
    while (control.order.state != ORDER_DONE && !control.closing &&
           pthread_cond_timedwait(&control.order.changed, &control.lock, &until) != ETIMEDOUT)
        continue;
    int status = settle(why);
    pthread_mutex_unlock(&control.lock);
    return status;
}

static int start_as_asked(const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    if (engine_runs()) {
        pthread_mutex_lock(&control.lock);
        snprintf(why, PULL_WHY_SIZE, "it is on already: %s%s", control.types,
                 control.began ? ", while a profile is recorded" : "");
        pthread_mutex_unlock(&control.lock);
        return -EALREADY;
    }
    int status = give_order(CPROF_ORDER_START, request, "cprof start", NULL, why);
    if (status == 0 && !engine_runs()) { /* OTEL_SDK_DISABLED, or stopped again */
        snprintf(why, PULL_WHY_SIZE, "it was not started: is OTEL_SDK_DISABLED true?");
        return -ECANCELED;
    }
    if (status == 0)
        snprintf(why, PULL_WHY_SIZE, "on");
    return status;
}

static int stop_as_asked(const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    if (!engine_runs()) {
        snprintf(why, PULL_WHY_SIZE, "it is off already");
        return -EALREADY;
    }
    int status = give_order(CPROF_ORDER_STOP, request, NULL, NULL, why);
    control.began = control.began && status != 0;
    if (status == 0 && why[0] == '\0')
        snprintf(why, PULL_WHY_SIZE, "off");
    return status;
}

int control_collect(char why[PULL_WHY_SIZE])
{
    static const struct pull_request none;
    pthread_mutex_lock(&control.lock);
    bool open = control.open;
    pthread_mutex_unlock(&control.lock);
    if (open)
        return give_order(CPROF_ORDER_COLLECT, &none, NULL, NULL, why);
    snprintf(
        why, PULL_WHY_SIZE,
        "gc=1 is not done here: the program was started without CPROF_ENABLED, and can't be "
        "asked to collect");
    return -ENOTSUP;
}

static int obey(void *unused, const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    (void)unused;
    return request->page == PULL_START ? start_as_asked(request, why)
                                       : stop_as_asked(request, why);
}

/* ---- recordings ---- */

struct recording {
    struct profile *profile;
    unsigned run; /* of the engine */
};

/* [server] Where the engine runs for recordings alone, the last one gives it back. */
static void release(void)
{
    static const struct pull_request none;
    char why[PULL_WHY_SIZE];
    if (control.recordings > 0 || !control.began)
        return;
    control.began = false;
    (void)give_order(CPROF_ORDER_RELEASE, &none, NULL, NULL, why);
}

static int tap(struct recording *recording)
{
    if (!lock_within(&engine.lifecycle, LIFECYCLE_WAIT))
        return -ETIMEDOUT;
    int status = engine_is_made() ? collector_tap(engine.collector, &engine.budget, true,
                                                  &recording->profile)
                                  : -ENOENT;
    recording->run = engine.run;
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

static void *begin(void *unused, const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    (void)unused;
    if (control.recordings == CONTROL_TAPS) {
        snprintf(why, PULL_WHY_SIZE, "other profiles are being taken; try again");
        return NULL;
    }
    if (!engine_runs()) {
        if (give_order(CPROF_ORDER_START, request, "cprof record", "none", why) != 0)
            return NULL;
        control.began = true;
    }
    struct recording *recording = malloc(sizeof *recording);
    int status = recording != NULL ? tap(recording) : -ENOMEM;
    if (status == 0) {
        control.recordings++;
        return recording;
    }
    free(recording);
    release();
    snprintf(why, PULL_WHY_SIZE, "no profile can be taken: %s", strerror(-status));
    return NULL;
}

/* Its profile has gone with the collector where the engine has been stopped meanwhile. */
static int untap(struct recording *recording, bool complete)
{
    if (!lock_within(&engine.lifecycle, LIFECYCLE_WAIT))
        return -ETIMEDOUT;
    int status = engine_is_made() && engine.run == recording->run
                     ? collector_untap(engine.collector, recording->profile, complete)
                     : -ECANCELED;
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

static int end(void *unused, void *ended, struct buffer *out)
{
    struct recording *recording = ended;
    (void)unused;
    int status = untap(recording, out != NULL);
    if (status == 0 && out != NULL)
        status = format_pprof.write(recording->profile, out);
    if (status != -ETIMEDOUT && status != -ECANCELED)
        profile_free(recording->profile);
    free(recording);
    control.recordings--;
    release();
    return status;
}

/* ---- dumps ---- */

static int dump(const struct pull_request *request, struct buffer *out, const char **type,
                char why[PULL_WHY_SIZE])
{
    if (!lock_within(&engine.lifecycle, LIFECYCLE_WAIT)) {
        snprintf(why, PULL_WHY_SIZE, "a start or stop of cprof is under way; try again");
        return -ETIMEDOUT;
    }
    int status = -ECANCELED;
    if (engine_is_made())
        status = dumping_answer(engine.collector, request, out, type, why);
    else
        snprintf(why, PULL_WHY_SIZE, "profiling is not on yet, or not any more");
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

/* Where profiling is off it is on for that moment, as for a recording. */
static int tell_threads(void *unused, const struct pull_request *request, struct buffer *out,
                        const char **type, char why[PULL_WHY_SIZE])
{
    (void)unused;
    if (!engine_runs()) {
        int status = give_order(CPROF_ORDER_START, request, "cprof dump", "none", why);
        if (status != 0)
            return status == -EINVAL ? -ECANCELED : status;
        control.began = true;
    }
    int status = dump(request, out, type, why);
    release();
    return status;
}

/* ---- listening, and standing by ---- */

static void remove_file(char path[CONTROL_PATH_SIZE])
{
    if (path[0] != '\0')
        unlink(path);
    path[0] = '\0';
}

static int find_path(enum control_file file, char path[CONTROL_PATH_SIZE], const char **why)
{
    char folder[CONTROL_PATH_SIZE];
    int status = control_folder(folder, why);
    if (status == 0)
        status = control_path(folder, control_own_namespace(), getpid(), file, path);
    return status;
}

static bool become_idle(void *unused);

static struct pull_server *make_server(void)
{
    static const struct pull_source source = {.begin = begin,
                                              .end = end,
                                              .threads = tell_threads,
                                              .status = tell_status,
                                              .order = obey,
                                              .idle = become_idle};
    if (control.server == NULL)
        control.server = pull_new(&source);
    return control.server;
}

static int listen_at(const char *path)
{
    struct pull_address address = {.audience = PULL_OWNER};
    struct sockaddr_un *file = &address.to.file;
    if (strlen(path) >= sizeof file->sun_path)
        return -ENAMETOOLONG;
    file->sun_family = AF_UNIX;
    memcpy(file->sun_path, path, strlen(path));
    address.length = sizeof *file;
    return make_server() != NULL ? pull_open(control.server, &address) : -ENOMEM;
}

/* With the lock. */
static int start_listening(void)
{
    const char *why = NULL;
    if (control.socket[0] != '\0')
        return 0;
    char path[CONTROL_PATH_SIZE];
    int status = find_path(CONTROL_SOCKET, path, &why);
    if (status == 0)
        status = listen_at(path);
    if (status == 0) {
        memcpy(control.socket, path, sizeof path);
        remove_file(control.standby);
    } else {
        log_info("process %ld can't be asked: %s", (long)getpid(),
                 why != NULL ? why : strerror(-status));
    }
    return status;
}

static int write_file(const char *path, const struct buffer *content)
{
    char next[CONTROL_PATH_SIZE + 8];
    snprintf(next, sizeof next, "%s.new", path);
    FILE *file = fopen(next, "we");
    if (file == NULL)
        return -errno;
    bool written = fwrite(content->data, 1, content->size, file) == content->size;
    written = fclose(file) == 0 && written && rename(next, path) == 0;
    if (!written)
        unlink(next);
    return written ? 0 : -EIO;
}

/* With the lock; no thread serves, or the calling one. 0 or a negative errno with *why. */
static int stand_by(const char **why)
{
    struct buffer content = {0};
    if (control.server != NULL)
        pull_close(control.server);
    control.socket[0] = '\0';
    control.types[0] = control.origin[0] = '\0';
    int status = find_path(CONTROL_STANDBY, control.standby, why);
    if (status == 0) {
        describe(&content, "standby");
        status = content.error == 0 ? write_file(control.standby, &content) : -ENOMEM;
    }
    if (status != 0)
        control.standby[0] = '\0';
    buffer_free(&content);
    return status;
}

static bool become_idle(void *unused)
{
    const char *why;
    (void)unused;
    pthread_mutex_lock(&control.lock);
    bool idle = !control.woken;
    control.woken = false;
    if (idle && !control.closing && !engine_runs())
        stand_by(&why);
    pthread_mutex_unlock(&control.lock);
    return idle;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    return own_thread_start(thread, OWN_THREAD_PREFIX "control", run, argument);
}

/* With the lock. Somebody wants to ask. */
static void serve(void)
{
    control.woken = true;
    if (start_listening() == 0 && pull_run(control.server, start_thread) != 0)
        log_info("process %ld can't be asked: there is no thread to be had", (long)getpid());
}

/* Has somebody left the file that says so? */
static bool is_knocked(void)
{
    char path[CONTROL_PATH_SIZE];
    const char *why;
    return find_path(CONTROL_KNOCK, path, &why) == 0 && unlink(path) == 0;
}

/* ---- the seam ---- */

static int open_with(char *service, const char *language, char *error, size_t error_size)
{
    char folder[CONTROL_PATH_SIZE];
    const char *why = NULL;
    control.open = true;
    control.language = language;
    control.service = service;
    control.since = time(NULL);
    int status = engine_runs() ? 0 : stand_by(&why);
    if (status == 0 && control_folder(folder, &why) == 0)
        control_sweep(folder);
    if (status != 0)
        snprintf(error, error_size, "it can't be asked: %s",
                 why != NULL ? why : strerror(-status));
    return status;
}

int control_open(const char *language, char *error, size_t error_size)
{
    pthread_mutex_lock(&control.lock);
    char *service = control.open ? NULL : config_service_name();
    int status = control.open ? -EALREADY : -ENOMEM;
    if (service != NULL)
        status = open_with(service, language, error, error_size);
    pthread_mutex_unlock(&control.lock);
    return status;
}

bool cprof_control_take(struct cprof_order *order)
{
    pthread_mutex_lock(&control.lock);
    bool ready = control.order.state == ORDER_READY;
    if (ready) {
        *order = control.order.order;
        control.order.state = ORDER_TAKEN;
    }
    if (control.open && !control.closing && is_knocked())
        serve();
    pthread_mutex_unlock(&control.lock);
    return ready;
}

void cprof_control_done(int status, const char *why)
{
    pthread_mutex_lock(&control.lock);
    if (control.order.state == ORDER_TAKEN) {
        control.order.status = status;
        snprintf(control.order.why, sizeof control.order.why, "%s", why != NULL ? why : "");
        control.order.state = ORDER_DONE;
        pthread_cond_broadcast(&control.order.changed);
    }
    pthread_mutex_unlock(&control.lock);
}

/* ---- what happens to the engine ---- */

void control_begun(void)
{
    const struct config *config = &engine.config;
    pthread_mutex_lock(&control.lock);
    if (control.open && !control.closing) {
        char *service = strdup(config->service_name);
        if (service != NULL) {
            free(control.service);
            control.service = service;
        }
        control.since = time(NULL);
        source_set_names(&config->sources, control.types, sizeof control.types);
        snprintf(control.origin, sizeof control.origin, "%s",
                 config->origin != NULL ? config->origin : "");
        free(control.store);
        control.store =
            config->store_folder != NULL ? realpath(config->store_folder, NULL) : NULL;
    }
    pthread_mutex_unlock(&control.lock);
}

void control_listen(void)
{
    pthread_mutex_lock(&control.lock);
    if (control.open && !control.closing)
        start_listening();
    pthread_mutex_unlock(&control.lock);
}

void control_look(void)
{
    if (pthread_mutex_trylock(&control.lock) != 0)
        return;
    if (control.socket[0] != '\0' && !control.closing && !pull_is_running(control.server) &&
        pull_is_asked(control.server))
        serve();
    pthread_mutex_unlock(&control.lock);
}

void control_stopped(void)
{
    const char *why;
    pthread_mutex_lock(&control.lock);
    bool served = control.server != NULL && pull_is_running(control.server);
    control.types[0] = control.origin[0] = '\0';
    control.since = time(NULL);
    if (control.open && !control.closing && !served)
        stand_by(&why);
    pthread_mutex_unlock(&control.lock);
}

void control_close(void)
{
    pthread_mutex_lock(&control.lock);
    bool first = control.open && !control.closing;
    control.closing = control.open;
    remove_file(control.standby);
    pthread_cond_broadcast(&control.order.changed);
    pthread_mutex_unlock(&control.lock);
    if (!first || control.server == NULL)
        return;
    pull_rest(control.server);
    pull_close(control.server);
}

void control_unlink(void)
{
    if (pthread_mutex_trylock(&control.lock) != 0)
        return;
    remove_file(control.socket);
    remove_file(control.standby);
    pthread_mutex_unlock(&control.lock);
}

/* ---- fork ---- */

void control_fork_lock(void)
{
    pthread_mutex_lock(&control.lock);
    if (control.server != NULL)
        pull_fork_lock(control.server);
}

void control_fork_unlock(void)
{
    if (control.server != NULL)
        pull_fork_unlock(control.server);
    pthread_mutex_unlock(&control.lock);
}

void control_fork_child(void)
{
    if (control.server != NULL)
        pull_fork_child(control.server);
    control.server = NULL; /* its locks are held: left where it lies */
    control.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    control.order.changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    control.order.state = ORDER_NONE;
    control.socket[0] = control.standby[0] = '\0';
    control.closing = control.woken = control.began = false;
    control.recordings = 0;
}

void control_forked(void)
{
    const char *why;
    pthread_mutex_lock(&control.lock);
    if (control.open && !control.closing && !engine_runs())
        stand_by(&why);
    pthread_mutex_unlock(&control.lock);
}
