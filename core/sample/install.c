#include "sample/install.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/own_thread.h"

#define LIBRARY_SIGNAL 33 /* glibc's SIGSETXID; no header names it */
#define OUR_FLAGS (SA_SIGINFO | SA_RESTART | SA_ONSTACK)
#define RESETS_MAX 20 /* times that the handler is installed again in one run */
#define MOVES_MAX 3   /* signals that are given up in one run */

/* The kernel's own structure, for signals that the C library does not speak of. */
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

/* Of other C libraries, and of sanitizers, there is none. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak)); /* NOLINT(bugprone-reserved-identifier) */

static struct {
    int signal;                   /* 0: none is chosen yet */
    bool refused;                 /* the library's is not to be taken */
    struct kernel_action library; /* glibc's own action, once it has been seen */
    unsigned resets, moves;       /* in this run */
} chosen;

/* Only the library's signal goes past the library: sanitizers keep book of the others. */
static bool get_action(int signal, struct kernel_action *action)
{
    struct sigaction now;
    if (signal == LIBRARY_SIGNAL)
        return syscall(SYS_rt_sigaction, signal, NULL, action, sizeof action->mask) == 0;
    if (sigaction(signal, NULL, &now) != 0)
        return false;
    *action =
        (struct kernel_action){.flags = (unsigned long)now.sa_flags,
                               .handler = (now.sa_flags & SA_SIGINFO) ? (void *)now.sa_sigaction
                                                                      : (void *)now.sa_handler};
    return true;
}

static void set_library_action(const struct kernel_action *action)
{
    syscall(SYS_rt_sigaction, LIBRARY_SIGNAL, action, NULL, sizeof action->mask);
}

static bool is_ours(const struct kernel_action *action)
{
    return action->handler == (void *)handler_on_signal;
}

/* ---- the library's signal ---- */

static void *do_nothing(void *unused)
{
    return unused;
}

/* glibc installs its handler with the first thread of the process. */
static void start_first_thread(void)
{
    pthread_t thread;
    if (own_thread_start(&thread, OWN_THREAD_PREFIX "first", do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

/* In libc.so.6, or, before 2.34, in libpthread.so.0; older ones are named libc-2.31.so. */
static bool lies_in_glibc(const void *handler)
{
    Dl_info module;
    if (dladdr(handler, &module) == 0 || module.dli_fname == NULL)
        return false;
    const char *slash = strrchr(module.dli_fname, '/');
    const char *name = slash != NULL ? slash + 1 : module.dli_fname;
    return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-", 5) == 0 ||
           strncmp(name, "libpthread", 10) == 0;
}

/* The loader is asked once in the life of a process and those that it forks: in the child of a
 * fork its lock may be held for ever. */
static bool is_library_handler(const struct kernel_action *action)
{
    if (action->handler == chosen.library.handler)
        return action->handler != NULL;
    return (action->flags & SA_SIGINFO) && lies_in_glibc(action->handler);
}

static bool has_library_signal(void)
{
    return !chosen.refused && gnu_get_libc_version != NULL && __tsan_init == NULL;
}

static bool library_signal_is_free(void)
{
    struct kernel_action now;
    if (!has_library_signal() || !get_action(LIBRARY_SIGNAL, &now))
        return false;
    if (now.handler == (void *)SIG_DFL || now.handler == (void *)SIG_IGN) {
        start_first_thread();
        get_action(LIBRARY_SIGNAL, &now);
    }
    if (is_ours(&now))
        return true;
    if (!is_library_handler(&now))
        return false;
    chosen.library = now;
    atomic_store(&handler_former, (handler_function *)now.handler);
    return true;
}

/* ---- choosing ---- */

/* Nobody's: default, or ignored by us since a stop. */
static bool is_free(int signal)
{
    struct kernel_action now;
    if (!get_action(signal, &now))
        return false;
    return is_ours(&now) || now.handler == (void *)SIG_DFL ||
           (now.handler == (void *)SIG_IGN && signal == chosen.signal);
}

static bool may_stay(void)
{
    if (chosen.signal == LIBRARY_SIGNAL)
        return library_signal_is_free();
    return chosen.signal != 0 && is_free(chosen.signal);
}

int handler_choose(void)
{
    if (may_stay())
        return chosen.signal;
    if (library_signal_is_free())
        return chosen.signal = LIBRARY_SIGNAL;
    if (is_free(SIGURG))
        return chosen.signal = SIGURG;
    /* The topmost two are what other profilers and runtimes take first. */
    for (int signal = SIGRTMAX - 2; signal > SIGRTMIN; signal--)
        if (is_free(signal))
            return chosen.signal = signal;
    return -EBUSY;
}

bool handler_foreign(char *path, size_t size)
{
    struct kernel_action now;
    Dl_info module;
    if (!has_library_signal() || !get_action(LIBRARY_SIGNAL, &now))
        return true;
    if (now.handler == (void *)SIG_DFL || now.handler == (void *)SIG_IGN || is_ours(&now) ||
        is_library_handler(&now))
        return false;
    if (dladdr(now.handler, &module) != 0 && module.dli_fname != NULL)
        snprintf(path, size, "%s", module.dli_fname);
    return true;
}

bool handler_maskable(void)
{
    return chosen.signal != LIBRARY_SIGNAL;
}

/* ---- coming and going ---- */

static void install(void)
{
    if (chosen.signal == LIBRARY_SIGNAL) {
        struct kernel_action action = chosen.library;
        action.handler = (void *)handler_on_signal;
        action.flags |= OUR_FLAGS;
        set_library_action(&action);
    } else {
        struct sigaction action = {.sa_sigaction = handler_on_signal, .sa_flags = OUR_FLAGS};
        sigemptyset(&action.sa_mask);
        sigaction(chosen.signal, &action, NULL);
    }
}

void handler_install(void)
{
    chosen.resets = chosen.moves = 0;
    install();
}

/* Ignoring, which is SIGURG's default, also discards what is queued. */
void handler_uninstall(void)
{
    struct kernel_action now;
    struct sigaction none = {.sa_handler = chosen.signal == SIGURG ? SIG_DFL : SIG_IGN};
    if (!get_action(chosen.signal, &now) || !is_ours(&now))
        return;
    if (chosen.signal == LIBRARY_SIGNAL)
        set_library_action(&chosen.library);
    else
        sigaction(chosen.signal, &none, NULL);
}

/* ---- staying ---- */

enum handler_place handler_keep(void)
{
    struct kernel_action now;
    if (!get_action(chosen.signal, &now) || is_ours(&now))
        return HANDLER_KEPT;
    bool library = chosen.signal == LIBRARY_SIGNAL && now.handler == chosen.library.handler;
    bool reset = now.handler == (void *)SIG_DFL || now.handler == (void *)SIG_IGN;
    if (!library && (!reset || ++chosen.resets > RESETS_MAX))
        return HANDLER_LOST;
    install();
    return library ? HANDLER_KEPT : HANDLER_RESTORED;
}

int handler_move(void)
{
    if (++chosen.moves > MOVES_MAX || may_stay())
        return -EBUSY;
    chosen.resets = 0;
    int signal = handler_choose();
    if (signal > 0)
        install();
    return signal;
}

/* ---- fork ---- */

uint64_t handler_block(void)
{
    uint64_t ours = chosen.signal != 0 ? (uint64_t)1 << (chosen.signal - 1) : 0, before = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &ours, &before, sizeof ours);
    return before;
}

void handler_unblock(uint64_t before)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
}

void handler_refuse_library(bool refuse)
{
    chosen.refused = refuse;
}
