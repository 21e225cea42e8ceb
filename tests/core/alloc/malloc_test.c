/* The hooks of malloc in a real process: what a library allocates, by whatever function, is in
 * the profile; what it frees is not in the heap; and nothing of ours is left where it is not
 * wanted. */
#include "running.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "format/format.h"
#include "sample/hook.h"

enum { LARGE = 1 << 20 };

struct plugin {
    void *library;
    void *(*malloc)(size_t);
    void (*free)(void *), (*delete)(void *), (*delete_array)(void *);
    void (*churn)(unsigned *);
    uintptr_t (*malloc_here)(void);
};

static struct plugin load_plugin(const char *path)
{
    struct plugin plugin = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (plugin.library == NULL)
        fail_msg("%s", dlerror());
    *(void **)&plugin.malloc = dlsym(plugin.library, "by_malloc");
    *(void **)&plugin.free = dlsym(plugin.library, "by_free");
    *(void **)&plugin.delete = dlsym(plugin.library, "by_delete");
    *(void **)&plugin.delete_array = dlsym(plugin.library, "by_delete_array");
    *(void **)&plugin.churn = dlsym(plugin.library, "churn");
    *(void **)&plugin.malloc_here = dlsym(plugin.library, "malloc_here");
    return plugin;
}

static void begin(const char *types)
{
    setenv("CPROF_TYPES", types, 1);
    start(NULL, 0);
    unsetenv("CPROF_TYPES");
    usleep(20000); /* the collector lays rings out */
}

static const struct way {
    const char *name;
    size_t end; /* which member of struct plugin frees it */
} ways[] = {
    {"by_malloc", offsetof(struct plugin, free)},
    {"by_calloc", offsetof(struct plugin, free)},
    {"by_realloc", offsetof(struct plugin, free)},
    {"by_reallocarray", offsetof(struct plugin, free)},
    {"by_posix_memalign", offsetof(struct plugin, free)},
    {"by_aligned_alloc", offsetof(struct plugin, free)},
    {"by_memalign", offsetof(struct plugin, free)},
    {"by_new", offsetof(struct plugin, delete)},
    {"by_new_array", offsetof(struct plugin, delete_array)},
};

enum { WAYS = sizeof ways / sizeof ways[0], EACH = 4 };

static void allocate_by_all(const struct plugin *plugin, void *blocks[WAYS][EACH])
{
    for (size_t i = 0; i < WAYS; i++) {
        void *(*allocate)(size_t);
        *(void **)&allocate = dlsym(plugin->library, ways[i].name);
        for (int j = 0; j < EACH; j++)
            blocks[i][j] = allocate(LARGE);
    }
}

static void free_all(const struct plugin *plugin, void *blocks[WAYS][EACH])
{
    for (size_t i = 0; i < WAYS; i++)
        for (int j = 0; j < EACH; j++)
            (*(void (*const *)(void *))((const char *)plugin + ways[i].end))(blocks[i][j]);
}

/* At a period of 1 KiB a MiB is met for certain. */
static void every_function_is_seen_once_and_so_is_its_end(void **state)
{
    (void)state;
    struct plugin plugin = load_plugin(PLUGIN);
    void *blocks[WAYS][EACH], *kept;
    begin("alloc@1k,heap");
    allocate_by_all(&plugin, blocks);
    free_all(&plugin, blocks);
    kept = plugin.malloc(LARGE);
    struct profile *p = stop_and_read();
    plugin.free(kept);
    for (size_t i = 0; i < WAYS; i++) {
        double expected = EACH + (i == 0 ? 1 : 0);
        double small = i == 2 ? EACH : 0; /* by_realloc begins with one of 16 bytes */
        assert_close(total(p, "alloc_objects", ways[i].name), expected, 0.5 + 64 * small);
        assert_close(total(p, "alloc_space", ways[i].name), expected * LARGE,
                     0.5 + 1100 * small);
    }
    assert_close(total(p, "inuse_space", "by_malloc"), LARGE, 0.5);
    assert_close(total(p, "inuse_space", NULL), LARGE, 0.02 * LARGE);
    profile_free(p);
    dlclose(plugin.library);
}

static void nothing_is_hooked_that_is_not_asked_for_and_all_is_undone(void **state)
{
    (void)state;
    struct plugin plugin = load_plugin(PLUGIN);
    uintptr_t before = plugin.malloc_here();
    begin("cpu");
    assert_int_equal(plugin.malloc_here(), before);
    cprof_stop(10);
    for (int i = 0; i < 3; i++) {
        begin("alloc");
        assert_int_not_equal(plugin.malloc_here(), before);
        cprof_stop(10);
        assert_int_equal(plugin.malloc_here(), before);
    }
    dlclose(plugin.library);
}

static void a_library_that_comes_later_is_seen(void **state)
{
    (void)state;
    begin("alloc@1k,heap");
    struct plugin plugin = load_plugin(PLUGIN);
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + 10 * NS_PER_SECOND;
    uintptr_t real = (uintptr_t)dlsym(RTLD_DEFAULT, "malloc");
    while (plugin.malloc_here() == real && clock_ns(CLOCK_MONOTONIC) < end)
        burn_until(CLOCK_THREAD_CPUTIME_ID, 0.02); /* one that does nothing is not looked at */
    void *block = plugin.malloc(LARGE);
    plugin.free(block);
    struct profile *p = stop_and_read();
    assert_close(total(p, "alloc_space", "by_malloc"), LARGE, 0.5);
    profile_free(p);
    dlclose(plugin.library);
}

static void a_forked_child_has_its_own(void **state)
{
    (void)state;
    struct plugin plugin = load_plugin(PLUGIN);
    begin("alloc@1k,heap");
    void *before = plugin.malloc(LARGE);
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        cprof_fork_child();
        usleep(200000);
        plugin.free(before);
        for (int i = 0; i < 3; i++)
            (void)plugin.malloc(LARGE);
        _exit(cprof_stop(10) != 0);
    }
    cprof_fork_parent();
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    struct profile *p = stop_and_read();
    assert_close(total(p, "inuse_space", "by_malloc"), LARGE, 0.5);
    profile_free(p);
    plugin.free(before);
    char path[128];
    snprintf(path, sizeof path, "%s/out.%d.pb.gz", directory, (int)child);
    p = format_read_file(path, error);
    if (p == NULL)
        fail_msg("%s", error);
    assert_close(total(p, "alloc_space", "by_malloc"), 3.0 * LARGE, 0.5);
    assert_close(total(p, "inuse_space", "by_malloc"), 3.0 * LARGE, 0.5);
    profile_free(p);
    dlclose(plugin.library);
}

/* ---- under fire ---- */

/* Under ASan a child of several threads may find the sanitizer's own locks held. */
#ifdef __SANITIZE_ADDRESS__
enum { FORKS = false };
#else
enum { FORKS = true };
#endif

static atomic_bool over;

static void *allocate_and_free(void *given)
{
    const struct plugin *plugin = given;
    unsigned random = (unsigned)(uintptr_t)&plugin;
    while (!over)
        plugin->churn(&random);
    return NULL;
}

static void *live_shortly(void *given)
{
    const struct plugin *plugin = given;
    unsigned random = 7;
    for (int i = 0; i < 20; i++)
        plugin->churn(&random);
    return NULL;
}

static void *start_threads(void *given)
{
    while (!over) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live_shortly, given) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

static void *load_and_unload(void *given)
{
    while (!over) {
        void *library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
        if (library != NULL)
            dlclose(library);
    }
    return NULL;
}

static void *fork_often(void *given)
{
    const struct plugin *plugin = given;
    while (!over) {
        unsigned random = 3;
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 50; i++)
                plugin->churn(&random);
            _exit(0);
        }
        if (child > 0)
            waitpid(child, NULL, 0);
        usleep(3000);
    }
    return NULL;
}

/* Threads that churn, begin and end, load and unload, fork; CPU signals; starts and stops. When
 * all is over nothing is left among the live blocks. */
static void nothing_breaks_and_nothing_stays_under_fire(void **state)
{
    (void)state;
    struct plugin plugin = load_plugin(PLUGIN);
    double seconds = getenv("CPROF_SOAK") != NULL ? atof(getenv("CPROF_SOAK")) : 3;
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    pthread_t threads[5];
    over = false;
    pthread_create(&threads[0], NULL, allocate_and_free, &plugin);
    pthread_create(&threads[1], NULL, allocate_and_free, &plugin);
    pthread_create(&threads[2], NULL, start_threads, &plugin);
    pthread_create(&threads[3], NULL, load_and_unload, OTHER_PLUGIN);
    pthread_create(&threads[4], NULL, FORKS ? fork_often : start_threads, &plugin);
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        begin("cpu@1000hz,alloc@1k,heap");
        usleep(150000);
        assert_int_equal(cprof_stop(30), 0);
    }
    begin("cpu@1000hz,alloc@16k,heap");
    for (int i = 0; i < 300 && hook_counts(CPROF_EVENT_ALLOC).taken < 100; i++)
        usleep(100000);
    over = true;
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    struct profile *p = stop_and_read();
    assert_true(total(p, "alloc_space", "churn") > 0);
    assert_true(total(p, "inuse_space", "churn") == 0);
    profile_free(p);
    dlclose(plugin.library);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(every_function_is_seen_once_and_so_is_its_end),
        TEST(nothing_is_hooked_that_is_not_asked_for_and_all_is_undone),
        TEST(a_library_that_comes_later_is_seen),
        TEST(a_forked_child_has_its_own),
        TEST(nothing_breaks_and_nothing_stays_under_fire),
    };
    return RUN(tests, argc, argv);
}
