/* What the collector makes of a program that loads one library after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <unistd.h>

#include "base/clock.h"
#include "collect/collector.h"
#include "sample/wake.h"

enum { LIBRARIES = 3, TRIES = 20, TICK_MS = 250 };

static char folder[] = "/tmp/cprof-collector-XXXXXX";
static struct budget budget;
static struct exporter *exporter;
static _Atomic uint32_t wake;
static atomic_bool unknown;
static _Atomic size_t copies;
static const struct source_set cpu_only = {.period[SOURCE_CPU] = NS_PER_SECOND / 100,
                                           .making[SOURCE_CPU] = NS_PER_SECOND / 100};

static struct collector *start(struct modules **modules, struct profile **model)
{
    static const struct exporter_options nowhere;
    char error[256];
    *modules = modules_new(&budget);
    *model = profile_new(&budget);
    exporter = exporter_new(&nowhere, error, sizeof error);
    const struct collector_config config = {
        .gather = {.budget = &budget,
                   .model = *model,
                   .sources = &cpu_only,
                   .max_frames = 64,
                   .copies = &copies},
        .modules = *modules,
        .exporter = exporter,
        .interval = 3600,
        .wake = &wake,
        .unknown = &unknown,
    };
    struct collector *collector;
    assert_non_null(config.exporter);
    assert_int_equal(collector_start(&config, &collector), 0);
    return collector;
}

/* Loads a library and does what a handler does at its first sample there. Returns when handlers
 * may do so again. */
static uint64_t meet_new_library(int number)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%d.so", folder, number);
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL)
        fail_msg("%s", dlerror());
    assert_false(atomic_exchange(&unknown, true));
    wake_post(&wake);
    while (atomic_load(&unknown))
        usleep(100);
    return clock_ns(CLOCK_MONOTONIC);
}

/* Were it allowed once a tick only, the second and the third time would be a tick apart, on
 * any machine. On a busy one they may be so all the same: it has some tries. */
static void a_program_may_load_several_libraries_a_tick(void **state)
{
    (void)state;
    struct modules *modules;
    struct profile *model;
    struct collector *collector = start(&modules, &model);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < TRIES && least >= TICK_MS / 2; i++) {
        uint64_t met[LIBRARIES];
        for (int k = 0; k < LIBRARIES; k++)
            met[k] = meet_new_library(i * LIBRARIES + k);
        uint64_t apart = (met[LIBRARIES - 1] - met[LIBRARIES - 2]) / (NS_PER_SECOND / 1000);
        least = apart < least ? apart : least;
    }
    assert_true(least < TICK_MS / 2);
    assert_int_equal(collector_stop(collector, 10), 0);
    exporter_stop(exporter, 10, NULL);
    collector_free(collector);
    modules_free(modules);
    profile_free(model);
}

static int copy_libraries(void **state)
{
    char command[512];
    (void)state;
    budget_init(&budget, 32 << 20);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(command, sizeof command, "for n in $(seq 0 %d); do cp %s %s/$n.so || exit 1; done",
             TRIES * LIBRARIES - 1, PLUGIN, folder);
    return system(command);
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_may_load_several_libraries_a_tick),
    };
    return cmocka_run_group_tests(tests, copy_libraries, remove_folder);
}
