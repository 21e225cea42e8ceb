/* The spool: what merging, dropping and crashes at any moment leave of the files in a folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "export/exporter.h"
#include "export/spool.h"
#include "folder.h"
#include "samples.h"
#include "server.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define BUSY_REPLY SEND("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
#define ROOMY ((size_t)1 << 20)

static struct spool *open_spool(size_t limit)
{
    char error[256] = "";
    struct spool *spool = spool_open(folder, "key", limit, error, sizeof error);
    if (spool == NULL)
        fail_msg("%s", error);
    return spool;
}

static int put_text(struct spool *spool, const char *text, bool mergeable)
{
    struct buffer bytes = {0};
    buffer_append(&bytes, text, strlen(text));
    int error = spool_put(spool, &bytes, 1, mergeable);
    buffer_free(&bytes);
    return error;
}

/* What spool_take() hands out until there is nothing, one after the other, "a|b|c"; each is
 * delivered. Parts are added up. */
static const char *take_all(struct spool *spool, uint32_t *parts)
{
    static char taken[1024];
    char error[256];
    struct spool_item item;
    size_t size = 0;
    *parts = 0;
    while (spool_take(spool, &item, error, sizeof error) == 0) {
        size += (size_t)snprintf(taken + size, sizeof taken - size, "%s%.*s", size ? "|" : "",
                                 (int)item.size, item.data);
        *parts += item.parts;
        spool_done(spool, &item);
    }
    taken[size] = '\0';
    return taken;
}

/* ---- several threads, other people's files ---- */

struct putting {
    struct spool *spool;
    int count, failed;
    size_t size;
};

static void *put_many(void *argument)
{
    struct putting *putting = argument;
    struct buffer bytes = {0};
    void *zeros = calloc(1, putting->size);
    buffer_append(&bytes, zeros, putting->size);
    for (int i = 0; i < putting->count; i++)
        putting->failed += spool_put(putting->spool, &bytes, 1, true) != 0;
    buffer_free(&bytes);
    free(zeros);
    return NULL;
}

/* The courier cuts one that was too large while the keeper writes the next. */
static void two_threads_that_put_do_not_clear_up_after_each_other(void **state)
{
    (void)state;
    char error[256] = "";
    struct spool *spool = spool_open(folder, "key", 256 << 20, error, sizeof error);
    assert_non_null(spool);
    struct putting large = {.spool = spool, .count = 20, .size = 2 << 20},
                   small = {.spool = spool, .count = 400, .size = 64};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, put_many, &large), 0);
    put_many(&small);
    pthread_join(thread, NULL);
    assert_int_equal(large.failed + small.failed, 0);
    assert_int_equal(spool_count(spool), 420);
    spool_close(spool);
}

static void copy_path(const char *path, void *copy)
{
    strcpy(copy, path);
}

/* 200 names that are older than that of the one file there is, of what nobody can write to. */
static void put_unusable(void)
{
    char name[512];
    const size_t time = strlen(folder) + strlen("/cprof-0123456789abcdef-");
    assert_int_equal(for_each_file(copy_path, name), 1);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name + time, 17, "%016x", i);
        name[time + 16] = '-';
        assert_int_equal(mkdir(name, 0700), 0);
    }
}

static void remove_folder_at(const char *path, void *context)
{
    (void)context;
    rmdir(path);
}

static void files_that_are_not_ours_do_not_hide_those_that_are(void **state)
{
    (void)state;
    char error[256] = "";
    struct buffer bytes = {0};
    struct spool_item item;
    buffer_append(&bytes, "profile", 7);
    struct spool *spool = spool_open(folder, "key", 1 << 20, error, sizeof error);
    assert_int_equal(spool_put(spool, &bytes, 1, true), 0);
    put_unusable();
    assert_int_equal(spool_take(spool, &item, error, sizeof error), 0);
    assert_memory_equal(item.data, "profile", 7);
    spool_done(spool, &item);
    assert_int_equal(spool_take(spool, &item, error, sizeof error), -ENOENT);
    spool_close(spool);
    buffer_free(&bytes);
    for_each_file(remove_folder_at, NULL);
}

/* ---- merging ---- */

/* Merges as the keeper does, with texts for profiles. False: there are no neighbours. */
static bool merge_texts(struct spool *spool)
{
    struct spool_item pair[2];
    struct buffer bytes = {0};
    if (spool_take_pair(spool, pair) != 0)
        return false;
    for (int i = 0; i < 2; i++)
        buffer_append(&bytes, pair[i].data, pair[i].size);
    assert_int_equal(spool_replace_pair(spool, pair, &bytes), 0);
    buffer_free(&bytes);
    return true;
}

/* So small a limit that the last of a few puts finds it three quarters full; a pair of the
 * others may be a sixteenth of it. */
#define TIGHT 1024
#define FILLER 780

static void put_filler(struct spool *spool)
{
    char text[FILLER + 1];
    memset(text, '.', FILLER);
    text[FILLER] = '\0';
    assert_int_equal(put_text(spool, text, true), 0);
}

static void neighbours_of_one_process_become_one_in_their_order(void **state)
{
    (void)state;
    uint32_t parts;
    struct spool *spool = open_spool(TIGHT), *other = open_spool(TIGHT);
    assert_int_equal(put_text(spool, "a", true), 0);
    assert_int_equal(put_text(other, "X", true), 0);
    assert_int_equal(put_text(spool, "b", true), 0);
    assert_int_equal(put_text(spool, "-", false), 0); /* a piece */
    assert_int_equal(put_text(spool, "c", true), 0);
    assert_false(merge_texts(spool)); /* there is room */
    put_filler(other);
    assert_int_equal(put_text(spool, "d", true), 0);
    assert_true(merge_texts(spool)); /* those that cover the least, the older first */
    assert_true(merge_texts(spool));
    assert_true(merge_texts(spool));
    assert_false(merge_texts(spool)); /* X has no neighbour of its size */
    assert_int_equal(files(), 4);
    const char *taken = take_all(spool, &parts);
    assert_int_equal(strncmp(taken, "abcd|X|-|.", 10), 0);
    assert_int_equal(parts, 7);
    spool_close(spool);
    spool_close(other);
}

static void a_file_that_may_have_arrived_keeps_its_name(void **state)
{
    (void)state;
    char error[256];
    uint32_t parts;
    struct spool_item item;
    struct spool *spool = open_spool(TIGHT);
    assert_int_equal(put_text(spool, "a", true), 0);
    assert_int_equal(put_text(spool, "b", true), 0);
    assert_int_equal(put_text(spool, "c", true), 0);
    put_filler(spool);
    assert_int_equal(spool_take(spool, &item, error, sizeof error), 0);
    assert_true(merge_texts(spool)); /* not with what is on its way */
    spool_back(spool, &item);
    assert_false(merge_texts(spool)); /* nor with what was */
    assert_int_equal(strncmp(take_all(spool, &parts), "a|bc|", 5), 0);
    spool_close(spool);
}

/* ---- crashes ---- */

/* The names of what lies in the folder: two files and the one that they are to become. */
struct actors {
    char a[512], b[512], half[512];
    char a_part[512], b_part[512], merged[512];
};

static void sort_in(const char *path, void *context)
{
    struct actors *actors = context;
    char first[8] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(first, sizeof first, file));
    fclose(file);
    strcpy(strcmp(first, "a") == 0 ? actors->a : actors->b, path);
}

/* "FOLDER/cprof-KEY-REST.otlp" as ".cprof-KEY-INTO-REST.part" */
static void part_name(char part[512], const char *name, const char *into)
{
    const char *base = strrchr(name, '/') + 1, *rest = base + strlen("cprof-") + 16;
    snprintf(part, 512, "%s/.%.22s-%s%.*s.part", folder, base, into,
             (int)(strlen(rest) - strlen(".otlp")), rest);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_actors(struct actors *actors)
{
    static const char into[] = "00000007deadbeef";
    struct spool *spool = open_spool(ROOMY);
    assert_int_equal(put_text(spool, "a", true), 0);
    assert_int_equal(put_text(spool, "b", true), 0);
    spool_close(spool);
    for_each_file(sort_in, actors);
    snprintf(actors->half, 512, "%s/.%.22s-%s.tmp", folder, strrchr(actors->a, '/') + 1, into);
    part_name(actors->a_part, actors->a, into);
    part_name(actors->b_part, actors->b, into);
    /* The CRC-32 of "ab". */
    snprintf(actors->merged, 512, "%.*s-%s-00000002-00000002-9e83486d.otlp",
             (int)(strlen(folder) + strlen("/cprof-") + 16 + 1 + 16), actors->a, into);
}

static void wherever_a_merger_dies_nothing_is_lost_or_doubled(void **state)
{
    (void)state;
    for (int step = 0; step <= 5; step++) {
        struct actors actors;
        uint32_t parts;
        make_actors(&actors);
        if (step < 3)
            write_file(actors.half, step == 0 ? "" : "ab"); /* half, whole */
        if (step == 2 || step == 3 || step == 4)
            assert_int_equal(rename(actors.a, actors.a_part), 0);
        if (step >= 3)
            assert_int_equal(rename(actors.b, actors.b_part), 0);
        if (step == 3)
            write_file(actors.half, "ab"); /* both are hidden, nothing is settled */
        if (step >= 4)
            write_file(actors.merged, "ab");
        if (step == 5)
            unlink(actors.a); /* one part has gone already */
        struct spool *spool = open_spool(ROOMY);
        assert_int_equal(spool_count(spool), step == 2 ? 1 : step == 3 ? 0 : step < 2 ? 2 : 1);
        const char *taken = take_all(spool, &parts);
        assert_string_equal(taken, step < 4 ? "a|b" : "ab");
        assert_int_equal(parts, 2);
        spool_count(spool); /* a second look clears up what the first had to leave */
        assert_int_equal(files(), 0);
        spool_close(spool);
    }
}

/* The step that the file system refuses: nothing can be hidden where names are taken. */
static void a_merge_that_fails_leaves_both(void **state)
{
    (void)state;
    uint32_t parts;
    struct spool_item pair[2];
    struct buffer bytes = {0};
    struct spool *spool = open_spool(TIGHT);
    assert_int_equal(put_text(spool, "a", true), 0);
    assert_int_equal(put_text(spool, "b", true), 0);
    put_filler(spool);
    assert_int_equal(spool_take_pair(spool, pair), 0);
    buffer_append(&bytes, "ab", 2);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, pair[1].name);
    unlink(path); /* somebody's rm */
    assert_int_equal(spool_replace_pair(spool, pair, &bytes), -ENOENT);
    buffer_free(&bytes);
    assert_int_equal(files(), 2);
    assert_int_equal(strncmp(take_all(spool, &parts), "a|.", 3), 0);
    spool_close(spool);
}

static void nobody_finishes_for_a_merger_that_lives(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("SKIP sanitizers do not survive fork with threads\n");
        skip();
    }
    int ready[2], end[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        struct spool_item pair[2];
        struct spool *spool = open_spool(TIGHT);
        put_text(spool, "a", true);
        put_text(spool, "b", true);
        put_filler(spool);
        bool held = spool_take_pair(spool, pair) == 0;
        _exit(write(ready[1], "x", 1) == 1 && read(end[0], &byte, 1) == 1 && held ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    uint32_t parts;
    struct spool *spool = open_spool(TIGHT);
    assert_int_equal(take_all(spool, &parts)[0], '.'); /* all but the pair */
    assert_int_equal(files(), 2);
    int status = -1;
    assert_int_equal(write(end[1], "x", 1), 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_string_equal(take_all(spool, &parts), "a|b");
    spool_close(spool);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(end[i]);
    }
}

/* ---- outages ---- */

static struct exporter *start_for(const char *url, bool spool, size_t limit,
                                  struct budget *budget)
{
    const struct exporter_options options = {
        .otlp = {.url = url, .timeout = 50, .packing = PACK_NONE},
        .service_name = "test",
        .spool_folder = spool ? folder : NULL,
        .spool_limit = limit,
        .budget = budget,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    return start_exporter(&options);
}

static bool nothing_waits_in_memory(struct exporter *exporter)
{
    struct exporter_stats stats;
    exporter_stats(exporter, &stats);
    return stats.waiting == 0;
}

static void submit_and_wait(struct exporter *exporter, struct profile *profile)
{
    exporter_submit(exporter, profile);
    while (!nothing_waits_in_memory(exporter))
        usleep(200);
}

/* Two hours of intervals in the room of a few minutes, and a new process after them. */
static void a_long_outage_on_disk_is_merged_and_loses_no_sample(void **state)
{
    (void)state;
    static const struct reply busy[] = {BUSY_REPLY}, well[] = {OK_REPLY};
    struct server *server = server_start(busy, 1);
    int port = server_port(server);
    struct exporter *exporter = start_for(server_url(server), true, 32 << 10, NULL);
    struct exporter_stats stats;
    int64_t submitted = 0;
    capture_errors();
    for (int i = 1; i <= 720; i++, submitted += i - 1)
        submit_and_wait(exporter, make_profile(i, NULL));
    size_t kept = files();
    exporter_stop(exporter, 0.2, &stats);
    free(captured_errors());
    server_stop(server);
    assert_in_range(kept, 20, 719); /* no coarser than there is need for */
    assert_int_equal(stats.exported + stats.dropped + stats.failed, 0);

    server = server_start_at(port, well, 1);
    exporter = start_for(server_url(server), true, 32 << 10, NULL);
    assert_int_equal(exporter_flush(exporter, 60), 0);
    assert_int_equal(exporter_stop(exporter, 5, &stats), 0);
    assert_int_equal(arrived_since(server, 0), submitted);
    assert_int_equal(stats.exported, 720); /* merged ones count as what they are made of */
    assert_int_equal(server_requests(server), kept);
    assert_int_equal(stats.dropped + stats.failed, 0);
    assert_int_equal(files(), 0);
    server_stop(server);
}

/* A profile as the collector closes it: it tells what the exporter has dropped since the last,
 * and again what was told in ones that were dropped themselves. */
static void submit_telling(struct exporter *exporter, struct exporter_stats *told)
{
    struct exporter_stats now;
    struct profile *profile = make_profile(1, NULL);
    exporter_stats(exporter, &now);
    profile_set_number(profile, PROFILE_ATTRIBUTES, "cprof.profiles_dropped",
                       (int64_t)(now.dropped + now.unreported.dropped - told->dropped -
                                 told->unreported.dropped));
    *told = now;
    exporter_submit(exporter, profile);
}

static void what_was_dropped_is_told_by_what_arrives(void **state)
{
    (void)state;
    static const struct reply script[] = {BUSY_REPLY, OK_REPLY};
    for (int spool = 0; spool < 2; spool++) {
        struct server *server = server_start(script, 2);
        struct budget budget;
        budget_init(&budget, 64 << 10);
        /* Limits that merging can't help with. */
        struct exporter *exporter =
            start_for(server_url(server), spool, 2000, spool ? NULL : &budget);
        struct exporter_stats told = {0}, stats;
        capture_errors();
        submit_telling(exporter, &told);
        assert_true(WAIT_FOR(server_requests(server) >= 1));
        for (int i = 0; i < 200; i++) {
            submit_telling(exporter, &told);
            if (spool)
                WAIT_FOR(nothing_waits_in_memory(exporter));
        }
        int flushed = exporter_flush(exporter, 60);
        submit_telling(exporter, &told); /* the first after the outage */
        exporter_stop(exporter, 30, &stats);
        free(captured_errors());
        assert_int_equal(flushed, 0);
        assert_true(stats.dropped > 0);
        assert_int_equal(stats.exported + stats.dropped, 202);
        assert_int_equal(arrived_since(server, 1), stats.exported);
        assert_int_equal(told_since(server, 1), stats.dropped);
        server_stop(server);
    }
}

/* A refused profile takes what it told with it; the next one tells it. */
static void what_was_refused_is_told_by_what_arrives(void **state)
{
    (void)state;
    static const struct reply script[] = {
        SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")};
    for (int spool = 0; spool < 2; spool++) {
        struct server *server = server_start(script, 1);
        struct exporter *exporter = start_for(server_url(server), spool, ROOMY, NULL);
        struct exporter_stats stats;
        struct profile *profile = make_profile(1, NULL);
        profile_set_number(profile, PROFILE_ATTRIBUTES, "cprof.profiles_dropped", 5);
        profile_set_number(profile, PROFILE_ATTRIBUTES, "cprof.profiles_failed", 3);
        capture_errors();
        exporter_submit(exporter, profile);
        assert_int_equal(exporter_flush(exporter, 30), -EIO);
        exporter_stop(exporter, 5, &stats);
        free(captured_errors());
        assert_int_equal(stats.failed, 1);
        assert_int_equal(stats.unreported.dropped, 5);
        assert_int_equal(stats.unreported.failed, 3);
        server_stop(server);
    }
}

/* ---- kill -9 amid merges ---- */

#define KILLS 40

/* A profile of one sample whose only frame is at that address. */
static struct profile *numbered_profile(uint64_t number)
{
    struct profile *p = profile_new(NULL);
    const struct profile_location location = {.address = number};
    const int64_t one = 1;
    profile_add_value_type(p, 0, "samples", "count");
    profile_set_period(p, 0, "cpu", "nanoseconds", 10000000);
    profile_id frame = profile_location(p, &location);
    profile_add(p, 0, profile_stack(p, &frame, 1), 0, 0, &one);
    return p;
}

/* [child] Writes so many numbered profiles down, and the number of each that is, unless it is
 * killed before. */
static void spool_numbers(uint64_t first, size_t count, int told)
{
    log_set_level(LOG_ERROR);
    struct exporter *exporter =
        start_for("http://127.0.0.1:9/v1development/profiles", true, 8 << 10, NULL);
    for (uint64_t i = first; i < first + count; i++) {
        submit_and_wait(exporter, numbered_profile(i));
        if (write(told, &i, sizeof i) != sizeof i)
            _exit(1);
    }
    for (;;)
        pause();
}

struct numbers {
    unsigned char *seen;
    size_t count;
};

static void note_numbers(const struct profile *profile, struct numbers *numbers)
{
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        const struct profile_sample sample = profile_get_sample(profile, i);
        const struct profile_stack stack = profile_get_stack(profile, sample.stack);
        uint64_t number = profile_get_location(profile, stack.locations[0])->address;
        assert_in_range(number, 1, numbers->count - 1);
        numbers->seen[number] += (unsigned char)sample.values[0];
    }
}

/* Reads all that is in the folder as one more process would; the parts of the coarsest file. */
static uint32_t read_back(struct numbers *numbers)
{
    static const char key[] = "otlp\nhttp://127.0.0.1:9/v1development/profiles\n\ntest";
    char error[FORMAT_ERROR_SIZE] = "";
    struct spool *spool = spool_open(folder, key, 8 << 10, error, sizeof error);
    assert_non_null(spool);
    uint32_t coarsest = 0;
    struct spool_item item;
    while (spool_take(spool, &item, error, sizeof error) == 0) {
        struct profile *profile = format_read(&format_otlp, item.data, item.size, error);
        assert_non_null(profile);
        assert_int_equal(sample_total(profile), item.parts);
        note_numbers(profile, numbers);
        profile_free(profile);
        coarsest = item.parts > coarsest ? item.parts : coarsest;
        spool_done(spool, &item);
    }
    spool_count(spool); /* a second look clears up what the first had to leave */
    spool_close(spool);
    assert_int_equal(files(), 0);
    return coarsest;
}

/* Reads the numbers that a child says it has written down, at most so many. Returns how many.
 */
static size_t hear(int from, size_t most, struct numbers *told)
{
    uint64_t number;
    size_t heard = 0;
    for (; heard < most && read(from, &number, sizeof number) == sizeof number; heard++)
        told->seen[number] = 1;
    return heard;
}

static void processes_killed_amid_merges_lose_and_double_nothing(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("SKIP sanitizers do not survive fork with threads\n");
        skip();
    }
    enum { EACH = 1000 };
    struct numbers told = {.count = (KILLS + 1) * EACH}, found = {.count = told.count};
    told.seen = calloc(told.count, 1);
    found.seen = calloc(found.count, 1);
    size_t written = 0;
    uint32_t coarsest = 0;
    for (unsigned round = 0; round < KILLS; round++) {
        /* Counted, not timed, so that a busy machine makes no difference: enough to be merged,
         * now and then so much that it is merged again, and never more than there is room for.
         * Then at any moment. */
        size_t enough = round % 8 == 0 ? 130 : 10 + (unsigned)rand() % 80;
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0 && alarm(60) == 0)
            spool_numbers(round * EACH + 1, enough + 20, ends[1]);
        close(ends[1]);
        written += hear(ends[0], enough, &told);
        usleep((unsigned)rand() % 2000);
        kill(child, SIGKILL);
        written += hear(ends[0], SIZE_MAX, &told);
        close(ends[0]);
        waitpid(child, NULL, 0);
        uint32_t parts = read_back(&found);
        coarsest = parts > coarsest ? parts : coarsest;
    }
    size_t lost = 0, unknown = 0;
    for (size_t i = 0; i < told.count; i++) {
        assert_true(found.seen[i] <= 1);
        lost += told.seen[i] && !found.seen[i];
        unknown += !told.seen[i] && found.seen[i];
    }
    print_message("%zu profiles by %d killed processes, %u in the coarsest file\n", written,
                  KILLS, coarsest);
    assert_int_equal(lost, 0);
    assert_true(unknown <= KILLS); /* whose writer died before it could say so */
    assert_true(coarsest > 2);
    free(told.seen);
    free(found.seen);
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        IN_FOLDER(two_threads_that_put_do_not_clear_up_after_each_other),
        IN_FOLDER(files_that_are_not_ours_do_not_hide_those_that_are),
        IN_FOLDER(neighbours_of_one_process_become_one_in_their_order),
        IN_FOLDER(a_file_that_may_have_arrived_keeps_its_name),
        IN_FOLDER(wherever_a_merger_dies_nothing_is_lost_or_doubled),
        IN_FOLDER(a_merge_that_fails_leaves_both),
        IN_FOLDER(nobody_finishes_for_a_merger_that_lives),
        IN_FOLDER(a_long_outage_on_disk_is_merged_and_loses_no_sample),
        IN_FOLDER(what_was_dropped_is_told_by_what_arrives),
        IN_FOLDER(what_was_refused_is_told_by_what_arrives),
        IN_FOLDER(processes_killed_amid_merges_lose_and_double_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
