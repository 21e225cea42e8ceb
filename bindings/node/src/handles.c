#include "handles.h"

#include <dlfcn.h>
#include <sys/socket.h>

#include "cprof/readable.h"
#include "isolate_list.h"

enum {
    LOOPS_MAX = 1024,
    NODES_MAX = 1 << 18, /* of one loop: a list that is torn into a circle ends */
    HANDLE_MAX = 1024,   /* bytes of the largest */
    REFERENCED = 1 << 3, /* flags */
    ACTIVE = 1 << 2,
    CLOSING = 1 << 0 | 1 << 1,
    INTERNAL = 1 << 4,
};

struct queue {
    struct queue *next, *previous;
};

/* How uv_loop_t begins. */
struct loop {
    void *data;
    unsigned active_handles;
    struct queue handles;
};

/* How each handle begins. */
struct handle {
    void *data;
    struct loop *loop;
    int type;
    void (*close)(void *handle);
    struct queue link;
    void *reserved[4];
    void *next_closing;
    unsigned flags;
};

/* uv_handle_type. */
static const struct kind {
    const char *name, *listening;
    bool always; /* shown though it does not keep the loop alive */
} kinds[] = {
    [1] = {"MessagePort", NULL, false},
    [3] = {"FSEventWrap", NULL, true},
    [4] = {"StatWatcher", NULL, true},
    [6] = {"Immediate", NULL, false},
    [7] = {"PipeWrap", "PipeServerWrap", true},
    [8] = {"PollWrap", NULL, true},
    [10] = {"ProcessWrap", NULL, true},
    [12] = {"TCPSocketWrap", "TCPServerWrap", true},
    [13] = {"Timeout", NULL, false},
    [14] = {"TTYWrap", NULL, true},
    [15] = {"UDPWrap", NULL, true},
    [16] = {"SignalWrap", NULL, false},
};

static struct {
    size_t (*handle_size)(int type);
    int (*fileno)(const void *handle, int *fd);
} uv;

static bool find_uv(void)
{
    uv.handle_size = (size_t(*)(int))dlsym(RTLD_DEFAULT, "uv_handle_size");
    uv.fileno = (int (*)(const void *, int *))dlsym(RTLD_DEFAULT, "uv_fileno");
    return uv.handle_size != NULL && uv.fileno != NULL;
}

static const struct kind *kind_of(const struct handle *handle)
{
    const size_t type = (size_t)handle->type;
    const struct kind *kind = type < sizeof kinds / sizeof kinds[0] ? &kinds[type] : NULL;
    bool shown = kind != NULL && kind->name != NULL &&
                 (handle->flags & (CLOSING | INTERNAL)) == 0 &&
                 (kind->always || (~handle->flags & (ACTIVE | REFERENCED)) == 0);
    return shown ? kind : NULL;
}

/* Of the copy of a handle; -1: it has none. */
static int descriptor_of(uintptr_t address, int type)
{
    _Alignas(16) char copy[HANDLE_MAX];
    const size_t size = uv.handle_size(type);
    int fd = -1;
    if (size > sizeof copy || !cprof_read_all(copy, address, size) || uv.fileno(copy, &fd) != 0)
        return -1;
    return fd;
}

static bool listens(int fd)
{
    int answer = 0;
    socklen_t size = sizeof answer;
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size) == 0 &&
           answer != 0;
}

/* False: no more are wanted. */
static bool show(uintptr_t address, const struct handle *handle,
                 bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    const struct kind *kind = kind_of(handle);
    if (kind == NULL)
        return true;
    const int fd = kind->always ? descriptor_of(address, handle->type) : -1;
    const struct cprof_task task = {
        .kind = CPROF_HANDLE,
        .id = address,
        .name = "",
        .type = kind->listening != NULL && listens(fd) ? kind->listening : kind->name,
        .fd = fd};
    return each(closure, &task);
}

static void show_loop(struct loop *loop,
                      bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    const uintptr_t head = (uintptr_t)&loop->handles;
    struct queue node;
    if (!cprof_read_all(&node, head, sizeof node))
        return;
    for (size_t left = NODES_MAX; (uintptr_t)node.next != head && left > 0; left--) {
        const uintptr_t address = (uintptr_t)node.next - offsetof(struct handle, link);
        struct handle handle;
        if (!cprof_read_all(&handle, address, sizeof handle) || handle.loop != loop ||
            !show(address, &handle, each, closure))
            return;
        node = handle.link;
    }
}

static size_t list_loops(void *loops[LOOPS_MAX])
{
    size_t count = 0;
    isolates_lock();
    for (struct isolate *at = isolates_first(); at != NULL && count < LOOPS_MAX; at = at->next)
        if (atomic_load(&at->open) && atomic_load(&at->uv_loop) != NULL)
            loops[count++] = atomic_load(&at->uv_loop);
    isolates_unlock();
    return count;
}

void handles_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    static bool found;
    void *loops[LOOPS_MAX];
    if (!found)
        found = find_uv();
    const size_t count = found ? list_loops(loops) : 0;
    for (size_t i = 0; i < count; i++)
        show_loop(loops[i], each, closure);
}
