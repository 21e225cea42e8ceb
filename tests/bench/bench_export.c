/*
 * What delivery costs:
 *   1. the exporter's CPU time for 10 s of 64 busy threads at 100 Hz (64,000 samples), sent to
 * a server on this machine, and the bytes beside gzipped pprof of the same profile;
 *   2. how often busy threads waited for anything while the exporter had everything to do: an
 *      interval of 0.1 s, a server that is away, hangs and comes back, a spool.
 * Prints only.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/export/server.h"
#include "cprof/cprof.h"
#include "export/exporter.h"
#include "format/format.h"

#define THREADS 64
#define SAMPLES_A_THREAD 1000
#define STACKS 2000 /* of the program */
#define DEPTH 30
#define LOCATIONS 4000
#define BUSY_THREADS 4

/* ---- 1. cost and size ---- */

static uint64_t random_number(void)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return state >> 33;
}

static profile_id add_location(struct profile *p, int i)
{
    char name[64], file[64];
    snprintf(name, sizeof name, "package.module%d.Class.method_%d", i % 40, i);
    snprintf(file, sizeof file, "/srv/app/package/module%d.py", i % 40);
    const struct profile_function function = {
        .name = profile_string(p, name), .filename = profile_string(p, file), .start_line = i};
    const struct profile_line line = {.function = profile_function(p, &function),
                                      .line = i + 3};
    return profile_location(p, &(struct profile_location){.type = CPROF_FRAME_CPYTHON,
                                                          .line_count = 1,
                                                          .lines = &line});
}

/* Outer frames are shared, as those of a program are. */
static void add_stacks(struct profile *p, profile_id *stacks)
{
    static profile_id locations[LOCATIONS];
    for (int i = 0; i < LOCATIONS; i++)
        locations[i] = add_location(p, i);
    for (int i = 0; i < STACKS; i++) {
        profile_id frames[DEPTH];
        for (int k = 0; k < DEPTH; k++) {
            uint64_t spread = 1U << (11 - k * 11 / DEPTH);
            frames[k] = locations[(random_number() % spread + (uint64_t)k * 97) % LOCATIONS];
        }
        stacks[i] = profile_stack(p, frames, DEPTH);
    }
}

static profile_id add_thread(struct profile *p, int i)
{
    char name[32];
    snprintf(name, sizeof name, "worker-%d", i);
    const struct profile_label labels[] = {
        {.key = profile_string(p, "thread.id"), .number = 140000000 + i, .is_number = true},
        {.key = profile_string(p, "thread.name"), .text = profile_string(p, name)}};
    return profile_labels(p, labels, 2);
}

/* A few stacks are hot, most are rare: the square of a random share. */
static struct profile *make_busy(void)
{
    static profile_id stacks[STACKS];
    struct profile *p = profile_new(NULL);
    struct profile_header *h = profile_header(p);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "bench");
    h->time_ns = clock_ns(CLOCK_REALTIME);
    h->duration_ns = 10 * NS_PER_SECOND;
    profile_set_period(p, 0, "cpu", "nanoseconds", 10000000);
    add_stacks(p, stacks);
    for (int thread = 0; thread < THREADS; thread++) {
        profile_id labels = add_thread(p, thread);
        for (int i = 0; i < SAMPLES_A_THREAD; i++) {
            uint64_t share = random_number() % 1000;
            profile_add(p, 0, stacks[share * share * STACKS / 1000000], 0, labels,
                        (int64_t[]){1, 10000000});
        }
    }
    return p;
}

static void send_one(const char *name, enum transport_packing packing,
                     const struct profile *profile)
{
    static const struct reply well[] = {OK_REPLY};
    double best = 0;
    uint64_t bytes = 0;
    for (int round = 0; round < 7; round++) {
        char error[256];
        struct server *server = server_start(well, 1);
        const struct exporter_options options = {
            .otlp = {.url = server_url(server), .packing = packing, .timeout = 10},
            .library_directory = HTTP_MODULE_DIRECTORY,
        };
        struct exporter_stats stats;
        struct exporter *exporter = exporter_new(&options, error, sizeof error);
        struct buffer encoded = {0};
        format_otlp.write(profile, &encoded); /* a copy: what is submitted is given away */
        exporter_submit(exporter, format_read(&format_otlp, encoded.data, encoded.size, error));
        exporter_flush(exporter, 10);
        exporter_stop(exporter, 5, &stats);
        buffer_free(&encoded);
        server_stop(server);
        double cost = (double)stats.cpu_ns / 1e6;
        best = best == 0 || cost < best ? cost : best;
        bytes = stats.bytes_sent;
    }
    printf("  OTLP %-5s %9llu bytes   %6.2f ms of the exporter's CPU, connection included\n",
           name, (unsigned long long)bytes, best);
}

static void print_pprof(const struct profile *profile)
{
    double best = 0;
    size_t bytes = 0;
    for (int round = 0; round < 7; round++) {
        struct buffer out = {0};
        uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        format_pprof.write(profile, &out);
        double cost = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / 1e6;
        best = best == 0 || cost < best ? cost : best;
        bytes = out.size;
        buffer_free(&out);
    }
    printf("  pprof gzip %9zu bytes   %6.2f ms to encode\n", bytes, best);
}

static void cost_of_64_threads(void)
{
    struct profile *profile = make_busy();
    printf("10 s of %d busy threads: %d samples, %zu of them different\n", THREADS,
           THREADS * SAMPLES_A_THREAD, profile_sample_count(profile));
    send_one("gzip", PACK_GZIP, profile);
    send_one("zstd", PACK_ZSTD, profile);
    send_one("none", PACK_NONE, profile);
    print_pprof(profile);
    profile_free(profile);
}

/* ---- 2. who waits ---- */

static atomic_bool running = true;

/* Computes without ever asking the kernel for anything: each voluntary switch is a wait that
 * somebody else caused. */
static void *be_busy(void *waits)
{
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    while (atomic_load_explicit(&running, memory_order_relaxed))
        for (volatile unsigned i = 0; i < 10000;)
            i++;
    getrusage(RUSAGE_THREAD, &after);
    *(long *)waits = after.ru_nvcsw - before.ru_nvcsw;
    return NULL;
}

static void waits_of_sampled_threads(int seconds)
{
    static const struct reply script[] = {
        OK_REPLY,
        SEND("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        {REPLY_HANG, "", 0},
        OK_REPLY,
        {REPLY_RESET, "", 0},
        OK_REPLY};
    char error[256], folder[] = "/tmp/cprof-bench-XXXXXX", command[64];
    struct server *server = server_start(script, sizeof script / sizeof *script);
    setenv("CPROF_SPOOL_DIR", mkdtemp(folder), 1);
    setenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", server_url(server), 1);
    setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "500", 1);
    setenv("CPROF_LOG", "error", 1);
    const struct cprof_options options = {.rate = 1000,
                                          .interval = 0.1,
                                          .exporter = "otlp",
                                          .library_directory = HTTP_MODULE_DIRECTORY};
    if (cprof_start(&options, NULL, error, sizeof error) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    pthread_t threads[BUSY_THREADS];
    long waits[BUSY_THREADS], sum = 0;
    for (int i = 0; i < BUSY_THREADS; i++)
        pthread_create(&threads[i], NULL, be_busy, &waits[i]);
    sleep((unsigned)seconds);
    atomic_store(&running, false);
    for (int i = 0; i < BUSY_THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += waits[i];
    }
    struct cprof_stats stats;
    cprof_stop(5);
    cprof_stats(&stats);
    printf("%d busy threads for %d s, %llu samples, %llu exports: they waited %ld times\n",
           BUSY_THREADS, seconds, (unsigned long long)stats.samples,
           (unsigned long long)stats.profiles_exported, sum);
    server_stop(server);
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0)
        perror(folder);
}

int main(void)
{
    cost_of_64_threads();
    waits_of_sampled_threads(10);
    return 0;
}
