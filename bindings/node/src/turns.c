#include "turns.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <node_api.h>

#include "cprof/loop.h"

/* How uv_loop_t begins, which programs read as well (uv.h). */
struct uv_loop {
    void *data;
    unsigned active_handles;
    void *handle_queue[2];
    union {
        void *unused;
        unsigned count;
    } active_requests;
};

/* How each handle begins. */
struct uv_handle {
    void *data;
};

enum { UV_PREPARE = 9, UV_METRICS_IDLE_TIME = 1 }; /* of uv_handle_type, uv_loop_option */

static struct {
    size_t (*handle_size)(int type);
    int (*prepare_init)(struct uv_loop *loop, struct uv_handle *handle);
    int (*prepare_start)(struct uv_handle *handle, void (*call)(struct uv_handle *handle));
    int (*prepare_stop)(struct uv_handle *handle);
    void (*unref)(struct uv_handle *handle);
    void (*close)(struct uv_handle *handle, void (*call)(struct uv_handle *handle));
    int (*loop_configure)(struct uv_loop *loop, int option, ...);
    uint64_t (*metrics_idle_time)(struct uv_loop *loop);
} uv;

struct turns {
    struct uv_loop *uv_loop;
    struct uv_handle *handle;
    struct cprof_loop *loop; /* NULL: not followed */
    napi_async_cleanup_hook_handle ending;
};

static bool find_all(void)
{
    const struct {
        void **into;
        const char *name;
    } wanted[] = {
        {(void **)&uv.handle_size, "uv_handle_size"},
        {(void **)&uv.prepare_init, "uv_prepare_init"},
        {(void **)&uv.prepare_start, "uv_prepare_start"},
        {(void **)&uv.prepare_stop, "uv_prepare_stop"},
        {(void **)&uv.unref, "uv_unref"},
        {(void **)&uv.close, "uv_close"},
        {(void **)&uv.loop_configure, "uv_loop_configure"},
        {(void **)&uv.metrics_idle_time, "uv_metrics_idle_time"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if ((*wanted[i].into = dlsym(RTLD_DEFAULT, wanted[i].name)) == NULL)
            return false;
    return true;
}

static uint64_t waited(void *closure)
{
    return uv.metrics_idle_time(closure);
}

/* libuv is about to wait. */
static void on_prepare(struct uv_handle *handle)
{
    struct turns *turns = handle->data;
    if (turns->loop == NULL)
        return;
    cprof_loop_waits(turns->loop);
    cprof_loop_holds(turns->loop, turns->uv_loop->active_handles,
                     turns->uv_loop->active_requests.count);
}

static void on_closed(struct uv_handle *handle)
{
    struct turns *turns = handle->data;
    (void)napi_remove_async_cleanup_hook(turns->ending);
    free(turns->handle);
    free(turns);
}

/* The environment waits until its loop has closed the handle. */
static void on_end(napi_async_cleanup_hook_handle ending, void *data)
{
    struct turns *turns = data;
    (void)ending;
    turns_leave(turns);
    uv.close(turns->handle, on_closed);
}

static bool make_handle(struct turns *turns)
{
    turns->handle = calloc(1, uv.handle_size(UV_PREPARE));
    if (turns->handle == NULL || uv.prepare_init(turns->uv_loop, turns->handle) != 0)
        return false;
    turns->handle->data = turns;
    uv.unref(turns->handle);
    return true;
}

struct turns *turns_new(napi_env env)
{
    struct uv_loop *loop = NULL;
    struct turns *turns = find_all() ? calloc(1, sizeof *turns) : NULL;
    if (turns == NULL || napi_get_uv_event_loop(env, (struct uv_loop_s **)&loop) != napi_ok) {
        free(turns);
        return NULL;
    }
    turns->uv_loop = loop;
    (void)uv.loop_configure(loop, UV_METRICS_IDLE_TIME); /* which Node has done */
    if (!make_handle(turns)) {
        free(turns->handle);
        free(turns);
        return NULL;
    }
    if (napi_add_async_cleanup_hook(env, on_end, turns, &turns->ending) != napi_ok) {
        uv.close(turns->handle, on_closed);
        return NULL;
    }
    return turns;
}

void turns_follow(struct turns *turns, const char *name)
{
    if (turns == NULL || (turns->loop != NULL && cprof_loop_is_current(turns->loop)))
        return;
    turns_leave(turns);
    const struct cprof_loop_options options = {
        .name = name, .waited = waited, .closure = turns->uv_loop, .resources = true};
    turns->loop = cprof_loop_enter(&options);
    if (turns->loop != NULL)
        (void)uv.prepare_start(turns->handle, on_prepare);
}

void turns_leave(struct turns *turns)
{
    if (turns == NULL || turns->loop == NULL)
        return;
    (void)uv.prepare_stop(turns->handle);
    cprof_loop_leave(turns->loop);
    turns->loop = NULL;
}
