/* What a day of history takes: 8,640 intervals of a service through ageing, by an accelerated
 * clock, beside the same intervals as single pprof files. Prints bytes, and CPU time for each
 * interval of 10 s. The service: 200 of 6,000 stacks of 12 to 36 frames in each interval, those
 * that are frequent mostly the same; names and files as long as Python's are. 61
 * different intervals come in turn: to make one costs more than to keep it.
 *
 *     bench_store [FOLDER]         keeps FOLDER; without it, a folder of its own that goes
 *     bench_store --month FOLDER   30 days in FOLDER (made if it is empty) as the default ages
 * leave them, and how long a strip of their time and their sum take; the service is busy: 50
 * samples a second
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "format/format.h"
#include "store/read.h"
#include "store/store.h"

#define INTERVALS 8640
#define STACKS 200 /* of an interval */
#define POOL 6000  /* of the service */
#define LOCATIONS 3000
#define THREADS 8
#define DIFFERENT 61

static uint64_t random_state = 42;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((random_state >> 33) * bound >> 31);
}

/* Of the profile that is being made; 0: not yet. */
static profile_id made[LOCATIONS];

static profile_id make_location(struct profile *p, uint32_t number)
{
    char name[96], file[96];
    snprintf(name, sizeof name, "package.module%u.Class%u.method_%u", number % 40, number % 300,
             number);
    snprintf(file, sizeof file, "/srv/app/lib/python3.13/site-packages/package/module%u.py",
             number % 40);
    const struct profile_function function = {.name = profile_string(p, name),
                                              .filename = profile_string(p, file),
                                              .start_line = number % 1000};
    const struct profile_line line = {.function = profile_function(p, &function),
                                      .line = number % 1000 + 3};
    return profile_location(p, &(struct profile_location){.type = CPROF_FRAME_CPYTHON,
                                                          .line_count = 1,
                                                          .lines = &line});
}

static profile_id location(struct profile *p, uint32_t number)
{
    if (made[number] == 0)
        made[number] = make_location(p, number);
    return made[number];
}

/* Stack `number` of the pool: its outer frames are those of its neighbours. */
static profile_id stack(struct profile *p, uint32_t number)
{
    profile_id frames[36];
    const uint32_t depth = 12 + number % 25;
    for (uint32_t i = 0; i < depth; i++) {
        uint32_t from_root = depth - 1 - i;
        uint32_t group = from_root < 8 ? 0 : from_root < 16 ? number / 200 : number;
        frames[i] = location(p, (from_root * 97 + group * 31) % LOCATIONS);
    }
    return profile_stack(p, frames, depth);
}

static profile_id thread(struct profile *p, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "worker-%u", number);
    const struct profile_label labels[] = {
        {.key = profile_string(p, "thread.id"), .is_number = true, .number = 7000 + number},
        {.key = profile_string(p, "thread.name"), .text = profile_string(p, name)}};
    return profile_labels(p, labels, 2);
}

static struct profile *interval(uint64_t seconds)
{
    struct profile *p = profile_new(NULL);
    memset(made, 0, sizeof made);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    profile_set_period(p, 0, "cpu", "nanoseconds", 10000000);
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "shop");
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", 4711);
    profile_header(p)->duration_ns = seconds * NS_PER_SECOND;
    for (uint64_t i = 0; i < STACKS * seconds / 10; i++) {
        uint32_t which = random_below(random_below(POOL) + 1);
        int64_t count = 1 + random_below(4);
        profile_add(p, 0, stack(p, which), 0, thread(p, random_below(THREADS)),
                    (int64_t[]){count, count * 10000000});
    }
    return p;
}

static size_t size_of_folder(const char *path, size_t *files)
{
    size_t size = 0;
    struct stat status;
    DIR *folder = opendir(path);
    *files = 0;
    for (struct dirent *file; folder != NULL && (file = readdir(folder)) != NULL;)
        if (fstatat(dirfd(folder), file->d_name, &status, 0) == 0 && S_ISREG(status.st_mode)) {
            size += (size_t)status.st_size;
            ++*files;
        }
    closedir(folder);
    return size;
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *file; folder != NULL && (file = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), file->d_name, 0);
    closedir(folder);
    rmdir(path);
}

static int64_t total_of(const struct profile *p)
{
    int64_t total = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++)
        total += profile_get_sample(p, i).values[0];
    return total;
}

static int count(void *closure, struct profile *p)
{
    *(int64_t *)closure += total_of(p);
    profile_free(p);
    return 0;
}

static void again(void *closure)
{
    *(int64_t *)closure = 0;
}

static void print_reading(const char *path, uint64_t from, uint64_t to, const char *what)
{
    char error[FORMAT_ERROR_SIZE] = "";
    int64_t samples = 0;
    const struct store_range range = {.from = from, .to = to};
    const struct store_visitor visitor = {.closure = &samples, .take = count, .again = again};
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    if (store_read(path, &range, &visitor, error) != 0)
        printf("%s\n", error);
    printf("reading %-14s %10lld samples  %8.1f ms\n", what, (long long)samples,
           (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6);
}

/* ---- sums ---- */

struct adding {
    struct profile *sum;
    uint64_t version;
    struct tally tally;
};

static int add_head(void *closure, const struct profile *head, struct block_target *target)
{
    struct adding *adding = closure;
    if (!profile_merges_in_place(adding->sum, head))
        tally_flush(&adding->tally, adding->sum);
    const struct profile *before = adding->sum;
    int status = profile_merge_apart_head(&adding->sum, head, target->places, &target->extra);
    adding->version += adding->sum != before;
    target->sum = adding->sum;
    target->version = adding->version;
    target->tally = &adding->tally;
    return status;
}

/* Straight from the blocks, as the command does. */
static void print_adding_up(const char *path, uint64_t from, uint64_t to, const char *what)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct adding adding = {.sum = profile_new(NULL)};
    int64_t samples = 0;
    const struct store_range range = {.from = from, .to = to};
    const struct store_visitor visitor = {
        .closure = &adding, .take = count, .into = add_head, .again = again};
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t own = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (store_read(path, &range, &visitor, error) != 0)
        printf("%s\n", error);
    tally_flush(&adding.tally, adding.sum);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    own = clock_ns(CLOCK_THREAD_CPUTIME_ID) - own;
    start = clock_ns(CLOCK_MONOTONIC) - start;
    count(&samples, adding.sum);
    tally_free(&adding.tally);
    printf("adding up %-13s %10lld samples  %8.1f ms, %.1f of CPU, %.1f of it here\n", what,
           (long long)samples, (double)start / 1e6, (double)cpu / 1e6, (double)own / 1e6);
}

/* ---- a month ---- */

static void add_mark(void *closure, const struct store_mark *mark)
{
    *(int64_t *)closure += mark->total / 10000000;
}

static void print_survey(const char *path, const char *what)
{
    char error[FORMAT_ERROR_SIZE] = "";
    int64_t samples = 0;
    const struct store_range range = {.service = "shop", .to = UINT64_MAX};
    const struct store_survey survey = {.closure = &samples, .mark = add_mark, .again = again};
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    if (store_survey(path, &range, &survey, error) != 0)
        printf("%s\n", error);
    printf("a strip of %-12s %10lld samples  %8.1f ms\n", what, (long long)samples,
           (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6);
}

/* Intervals of that length from one time to another. */
static void put_all(struct store *store, uint64_t seconds, uint64_t from, uint64_t to)
{
    enum { IN_TURN = 5 };
    struct profile *different[IN_TURN];
    const uint64_t length = seconds * NS_PER_SECOND;
    size_t size;
    for (size_t i = 0; i < IN_TURN; i++)
        different[i] = interval(seconds);
    for (uint64_t i = 0; from + length <= to; from += length, i++) {
        profile_header(different[i % IN_TURN])->time_ns = from;
        store_put(store, different[i % IN_TURN], from + length, &size);
        if (store_wants_tending(store))
            store_tend(store, from + length);
    }
    for (size_t i = 0; i < IN_TURN; i++)
        profile_free(different[i]);
}

/* When it ends. */
static uint64_t make_month(struct store *store)
{
    const uint64_t hour = 3600 * NS_PER_SECOND;
    const uint64_t end = clock_ns(CLOCK_REALTIME) / hour * hour;
    put_all(store, 3600, end - 719 * hour, end - 24 * hour);
    put_all(store, 60, end - 24 * hour, end - hour);
    put_all(store, 10, end - hour, end);
    return end;
}

static void month(struct store *store, const char *path)
{
    const uint64_t hour = 3600 * NS_PER_SECOND;
    uint64_t begin, end;
    size_t files;
    char error[FORMAT_ERROR_SIZE];
    if (store_extent(path, NULL, &begin, &end, error) != 0 || end == 0)
        end = make_month(store);
    double size = (double)size_of_folder(path, &files) / 1e6;
    printf("30 days in the store        %6.1f MB (%zu files)\n", size, files);
    print_survey(path, "30 days");
    print_adding_up(path, end - 24 * hour, end, "the last day");
    print_adding_up(path, 0, UINT64_MAX, "30 days");
}

/* Of one core, and of what the service takes itself: a sample is 10 ms. */
static void print_cost(uint64_t putting, uint64_t tending, int64_t samples)
{
    const double own = (double)(putting + tending), service = (double)samples * 10e6;
    printf("CPU of 10 s: writing %.2f ms, tending %.2f ms: %.3f %% of one core, %.3f %% of the "
           "service's %.1f s\n",
           (double)putting / INTERVALS / 1e6, (double)tending / INTERVALS / 1e6,
           own / INTERVALS / 1e8, own / service * 100, service / INTERVALS / 1e9);
}

/* What others' documents say of theirs: docs/store.md has the sources. */
static void print_others(void)
{
    puts("Pyroscope: a maintainer's estimate is 250 GB for 1000 clients and a month: 8.3 MB a "
         "day each\n"
         "Parca: no bytes; its document told of all of it in memory, for 6 hours");
}

int main(int argc, char **argv)
{
    const bool is_month = argc == 3 && strcmp(argv[1], "--month") == 0;
    char own[] = "/tmp/cprof-bench-store-XXXXXX", error[FORMAT_ERROR_SIZE];
    const char *path = is_month ? argv[2] : argc > 1 ? argv[1] : mkdtemp(own);
    struct store_options options = {.folder = path, .service = "shop", .limit = STORE_LIMIT};
    ages_parse(AGES_DEFAULT, &options.ages);
    struct store *store = store_open(&options, error, sizeof error);
    if (store == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (is_month) {
        month(store, path);
        store_close(store);
        return 0;
    }
    const uint64_t end = clock_ns(CLOCK_REALTIME);
    const uint64_t begin = end - INTERVALS * 10 * NS_PER_SECOND;
    uint64_t putting = 0, tending = 0;
    size_t single = 0, size, files;
    struct profile *different[DIFFERENT];
    int64_t total[DIFFERENT], samples = 0;
    for (size_t i = 0; i < DIFFERENT; i++) {
        struct buffer file = {0};
        different[i] = interval(10);
        total[i] = total_of(different[i]);
        format_pprof.write(different[i], &file);
        single += file.size;
        buffer_free(&file);
    }
    single = single / DIFFERENT * INTERVALS;
    for (uint64_t i = 0; i < INTERVALS; i++) {
        uint64_t now = begin + (i + 1) * 10 * NS_PER_SECOND;
        struct profile *p = different[i % DIFFERENT];
        profile_header(p)->time_ns = now - 10 * NS_PER_SECOND;
        samples += total[i % DIFFERENT];
        uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        store_put(store, p, now, &size);
        uint64_t put = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        if (store_wants_tending(store))
            store_tend(store, now);
        tending += clock_ns(CLOCK_THREAD_CPUTIME_ID) - put;
        putting += put - start;
    }
    for (size_t i = 0; i < DIFFERENT; i++)
        profile_free(different[i]);
    size = size_of_folder(path, &files);
    printf("a day as single pprof files %6.1f MB (%d files)\n", (double)single / 1e6,
           INTERVALS);
    printf("a day in the store          %6.1f MB (%zu files), 1/%.0f\n", (double)size / 1e6,
           files, (double)single / (double)size);
    print_cost(putting, tending, samples);
    print_others();
    print_reading(path, end - 3600 * NS_PER_SECOND, end, "the last hour");
    print_reading(path, begin, end, "the day");
    print_adding_up(path, begin, end, "the day");
    print_survey(path, "the day");
    if (argc <= 1) {
        for (int i = 0; i < 400; i++)
            store_tend(store, end + 7 * 86400 * NS_PER_SECOND);
        size = size_of_folder(path, &files);
        printf("the day a week later        %6.1f MB (%zu files)\n", (double)size / 1e6, files);
        print_reading(path, begin, end, "that");
        remove_folder(path);
    }
    store_close(store);
    return 0;
}
