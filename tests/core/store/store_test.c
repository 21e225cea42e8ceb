/* The store: totals are exact at every age, the folder is bounded, and what is damaged or in
 * the way costs nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../export/folder.h"
#include "history.h"
#include "store/entry.h"
#include "store/files.h"
#include "store/swap.h"

#define DAY_INTERVALS 8640
#define ROOMY ((size_t)64 << 20)

static bool disk_full;

ssize_t __real_write(int file, const void *data, size_t size);
ssize_t __wrap_write(int file, const void *data, size_t size);
ssize_t __wrap_write(int file, const void *data, size_t size)
{
    if (!disk_full || file <= STDERR_FILENO)
        return __real_write(file, data, size);
    errno = ENOSPC;
    return -1;
}

static void add_size(const char *path, void *context)
{
    struct stat status;
    if (stat(path, &status) == 0)
        *(size_t *)context += (size_t)status.st_size;
}

static size_t folder_size(void)
{
    size_t size = 0;
    for_each_file(add_size, &size);
    return size;
}

/* What counts is written, not that it has reached the disk. */
int __wrap_fdatasync(int file);
int __wrap_fdatasync(int file)
{
    (void)file;
    return 0;
}

/* ---- ages ---- */

static void ages_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct ages ages;
    assert_true(ages_parse(AGES_DEFAULT, &ages));
    assert_int_equal(ages.count, 3);
    assert_int_equal(ages.list[1].resolution, MINUTE);
    assert_int_equal(ages.list[1].keep, 24 * HOUR);
    assert_int_equal(ages_find(&ages, 0), 0);
    assert_int_equal(ages_find(&ages, HOUR), 0);
    assert_int_equal(ages_find(&ages, HOUR + 1), 1);
    assert_int_equal(ages_find(&ages, 31 * 24 * HOUR), 3);
    static const char *const wrong[] = {
        "",
        "10s",
        "10s:",
        "10:1h",
        "10s:1h,",
        "10s:1h;1m",
        "0s:1h",
        "1h:10s",
        "1m:1h,10s:1d",
        "10s:1d,1m:1h",
        "-10s:1h",
        "10s:1h,1m",
        "10s:999999999d",
        "1s:1m,2s:2m,3s:3m,4s:4m,5s:5m,6s:6m,7s:7m,8s:8m,9s:9m",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (ages_parse(wrong[i], &ages))
            fail_msg("\"%s\" was taken", wrong[i]);
}

/* ---- a day ---- */

/* The day and what comes after it, by an accelerated clock. */
static void add_mark(void *closure, const struct store_mark *mark)
{
    struct held *held = closure;
    assert_string_equal(mark->service, "shop");
    assert_string_equal(mark->type, "cpu");
    assert_string_equal(mark->unit, "nanoseconds");
    assert_true(mark->to > mark->from);
    held->cpu += mark->total;
    held->intervals++;
}

static void forget_marks(void *closure)
{
    *(struct held *)closure = (struct held){0};
}

/* What a strip of time is drawn from says the same as the profiles. */
static void assert_surveyed(const struct held *all)
{
    char error[FORMAT_ERROR_SIZE];
    struct held marks = {0};
    const struct store_range range = {.service = "shop", .to = UINT64_MAX};
    const struct store_survey survey = {
        .closure = &marks, .mark = add_mark, .again = forget_marks};
    assert_int_equal(store_survey(folder, &range, &survey, error), 0);
    assert_int_equal(marks.intervals, all->intervals);
    assert_true(marks.cpu == all->cpu);
}

static void totals_are_exact_at_every_age(void **state)
{
    (void)state;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < DAY_INTERVALS; i++)
        history_put(store, i, 1);
    const uint64_t now = history_time(DAY_INTERVALS - 1);
    struct held all = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(all.status, 0);
    assert_int_equal(all.samples, history_sum(0, DAY_INTERVALS));
    assert_surveyed(&all);
    /* The last hour stands interval by interval, the rest by the minute. */
    struct held last = history_read("shop", now - HOUR, now);
    assert_int_equal(last.samples, history_sum(DAY_INTERVALS - 360, DAY_INTERVALS));
    assert_int_equal(last.intervals, 360);
    struct held old = history_read("shop", EPOCH, EPOCH + 22 * HOUR);
    assert_int_equal(old.samples, history_sum(0, 22 * 360));
    assert_int_equal(old.intervals, 22 * 60);
    assert_int_equal(old.shortest, MINUTE);
    for (uint64_t i = 0; i < 24; i++)
        assert_int_equal(history_read(NULL, EPOCH + i * HOUR, EPOCH + (i + 1) * HOUR).samples,
                         history_sum(360 * i, 360 * (i + 1)));
    assert_int_equal(history_read("other", 0, UINT64_MAX).intervals, 0);

    /* A week later all of it stands by the hour, and 31 days later it has gone. */
    for (int i = 0; i < 400; i++)
        store_tend(store, now + 7 * 24 * HOUR);
    all = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(all.samples, history_sum(0, DAY_INTERVALS));
    assert_int_equal(all.shortest, HOUR);
    assert_surveyed(&all);
    assert_int_equal(all.intervals, 24);
    assert_true(files() <= 4);
    assert_int_equal(history_read("shop", EPOCH + 5 * HOUR, EPOCH + 6 * HOUR).samples,
                     history_sum(5 * 360, 6 * 360));
    store_tend(store, now + 31 * 24 * HOUR);
    assert_int_equal(history_read("shop", 0, UINT64_MAX).intervals, 0);
    store_close(store);
}

/* Neighbours in time are shown once by ranges that follow each other, wherever these meet: at
 * each second of an interval, as seven and ten have no factor in common. */
static void ranges_that_meet_share_nothing(void **state)
{
    (void)state;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 60; i++)
        history_put(store, i, 1);
    for (uint64_t cut = 10; cut <= 590; cut += 7) {
        const uint64_t at = EPOCH + cut * SECOND;
        assert_int_equal(history_read("shop", EPOCH, at).samples +
                             history_read("shop", at, EPOCH + 600 * SECOND).samples,
                         history_sum(0, 60));
    }
    store_close(store);
}

/* ---- bounds ---- */

static void the_oldest_make_room_and_nothing_newer(void **state)
{
    (void)state;
    const size_t limit = (size_t)32 << 10;
    struct store *store = history_open("shop", limit, "10s:30d");
    for (uint64_t i = 0; i < 2000; i++) {
        history_put(store, i, 1);
        assert_true(folder_size() <= limit);
    }
    struct held held = history_read("shop", 0, UINT64_MAX);
    assert_true(held.earliest > EPOCH && held.earliest < history_time(1900));
    const uint64_t first = (held.earliest - EPOCH) / (10 * SECOND);
    assert_int_equal(held.samples, history_sum(first, 2000));
    store_close(store);
}

/* Lots that do not fit are made smaller, and tending comes to rest. */
static void little_memory_makes_smaller_blocks_and_ends(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, (size_t)800 << 10);
    history_budget = &budget;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 1080; i++)
        history_put(store, i, (int)(i % 40));
    int steps = 0;
    while (store_tend(store, history_time(1080) + 48 * HOUR) != 0)
        assert_true(++steps < 3000);
    assert_int_equal(history_read("shop", 0, UINT64_MAX).samples, history_sum(0, 1080));
    store_close(store);
    assert_int_equal(budget_used(&budget), 0);
    history_budget = NULL;
}

static void a_full_disk_loses_nothing_that_is_there(void **state)
{
    (void)state;
    size_t size;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 100; i++)
        history_put(store, i, 1);
    disk_full = true;
    for (uint64_t i = 100; i < 140; i++) {
        struct profile *p = history_profile(i, 1);
        assert_int_equal(store_put(store, p, history_time(i), &size), -ENOSPC);
        profile_free(p);
        store_tend(store, history_time(i) + 3 * HOUR); /* has much to rewrite, and can't */
    }
    disk_full = false;
    assert_int_equal(history_read("shop", 0, UINT64_MAX).samples, history_sum(0, 100));
    for (uint64_t i = 100; i < 140; i++)
        history_put(store, i, 1);
    for (int i = 0; i < 30; i++)
        store_tend(store, history_time(140) + 3 * HOUR);
    struct held held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.samples, history_sum(0, 140));
    assert_int_equal(held.longest, MINUTE);
    assert_int_equal(held.intervals, 24);
    store_close(store);
}

/* What a put says when it can't. */
static uint64_t fill(struct store *store, uint64_t first, uint64_t end, int *status)
{
    size_t size;
    *status = 0;
    for (uint64_t i = first; i < end; i++) {
        struct profile *p = history_profile(i, 1);
        *status = store_put(store, p, history_time(i), &size);
        profile_free(p);
        if (*status != 0)
            return i;
        store_tend(store, history_time(i));
    }
    return end;
}

/* A disk of its own, which only this process sees. */
static int fill_a_disk(void)
{
    int status;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=200k") != 0)
        return 77; /* not allowed here */
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    const uint64_t there = fill(store, 0, 1000, &status);
    if (status != -ENOSPC || there < 5)
        return 1;
    for (int i = 0; i < 20; i++) /* has much to rewrite, and may not be able to */
        store_tend(store, history_time(there) + 3 * HOUR);
    struct held held = history_read("shop", 0, UINT64_MAX);
    if (held.samples != history_sum(0, there) || held.damaged != 0)
        return 2;
    if (mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=20m") != 0)
        return 3;
    if (fill(store, there, there + 400, &status) != there + 400)
        return 4;
    for (int i = 0; i < 200; i++)
        store_tend(store, history_time(there + 400) + 3 * HOUR);
    held = history_read("shop", 0, UINT64_MAX);
    store_close(store);
    return held.samples == history_sum(0, there + 400) && held.longest == MINUTE ? 0 : 5;
}

static void a_disk_that_fills_loses_nothing_that_is_there(void **state)
{
    (void)state;
    int status;
    const pid_t child = fork();
    if (child == 0)
        _exit(fill_a_disk());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- levels ---- */

/* An interval that also says how much memory lives at its end. */
static void put_with_memory(struct store *store, uint64_t number, int pid, int64_t bytes)
{
    size_t size;
    struct profile *p = history_profile(number, pid);
    assert_int_equal(profile_add_sheet(p), 1);
    profile_add_value_type(p, 1, "inuse_objects", "count");
    profile_add_value_type(p, 1, "inuse_space", "bytes");
    profile_add(p, 1, 0, 0, 0, (int64_t[]){1, bytes});
    assert_int_equal(store_put(store, p, history_time(number), &size), 0);
    profile_free(p);
}

/* By minute and process, what stands there. */
struct memory {
    int64_t bytes[2][4], samples;
};

static int take_memory(void *closure, struct profile *p)
{
    struct memory *memory = closure;
    const uint64_t minute = (profile_header_const(p)->time_ns - EPOCH) / MINUTE;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *label = profile_attribute(p, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(p, label->key), "process.pid") != 0)
            continue;
        int bytes = profile_value_column(p, "inuse_space"),
            samples = profile_value_column(p, "samples");
        for (size_t s = 0; s < profile_sample_count(p); s++) {
            struct profile_sample sample = profile_get_sample(p, s);
            memory->bytes[label->number - 1][minute] +=
                profile_value(p, &sample, (size_t)bytes);
            memory->samples += profile_value(p, &sample, (size_t)samples);
        }
    }
    profile_free(p);
    return 0;
}

static void forget_memory(void *closure)
{
    *(struct memory *)closure = (struct memory){0};
}

/* Of memory a minute has what lived at its end, of CPU time all of it. */
static void of_levels_ageing_keeps_the_last(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE];
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 24; i++)
        for (int pid = 1; pid <= 2; pid++)
            put_with_memory(store, i, pid, 1000 * pid + (int64_t)i);
    for (int i = 0; i < 20; i++)
        store_tend(store, history_time(24) + 3 * HOUR);
    struct memory memory = {0};
    const struct store_range range = {.service = "shop", .to = UINT64_MAX};
    const struct store_visitor visitor = {
        .closure = &memory, .take = take_memory, .again = forget_memory};
    assert_int_equal(store_read(folder, &range, &visitor, error), 0);
    for (int pid = 1; pid <= 2; pid++)
        for (int minute = 0; minute < 4; minute++)
            assert_int_equal(memory.bytes[pid - 1][minute], 1000 * pid + 6 * minute + 5);
    assert_int_equal(memory.samples, 2 * history_sum(0, 24));
    store_close(store);
}

/* ---- neighbours ---- */

/* Each of two processes writes its own, and both tend all. */
static void write_hours(int pid)
{
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 1080; i++)
        history_put(store, i, pid);
    store_close(store);
}

static void two_processes_share_a_folder(void **state)
{
    (void)state;
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            write_hours(i + 1);
            _exit(0);
        }
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct held held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.damaged, 0);
    assert_int_equal(held.samples, 2 * history_sum(0, 1080));
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (int i = 0; i < 200; i++)
        store_tend(store, history_time(1080) + 26 * HOUR);
    held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.samples, 2 * history_sum(0, 1080));
    assert_int_equal(held.intervals, 2 * 3); /* by the hour, each process by itself */
    store_close(store);
}

/* ---- damage ---- */

static char victim[512];

static void choose_victim(const char *path, void *context)
{
    (void)context;
    const char *name = strrchr(path, '/') + 1;
    struct entry entry;
    if (entry_parse_name(name, &entry) && entry.count > 1 && victim[0] == '\0')
        snprintf(victim, sizeof victim, "%s", path);
}

static void a_damaged_block_costs_itself_and_one_line(void **state)
{
    (void)state;
    struct entry entry;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 200; i++)
        history_put(store, i, 1);
    victim[0] = '\0';
    for_each_file(choose_victim, NULL);
    assert_true(entry_parse_name(strrchr(victim, '/') + 1, &entry));
    int file = open(victim, O_RDWR);
    assert_int_equal(pwrite(file, "damaged", 7, entry.size / 2), 7);
    close(file);
    const uint64_t first = (entry.from - EPOCH) / (10 * SECOND);
    const int64_t rest = history_sum(0, 200) - history_sum(first, first + entry.count);
    struct held held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.status, 0);
    assert_int_equal(held.damaged, 1);
    assert_non_null(strstr(held.line, "is damaged; the rest is read"));
    assert_int_equal(held.samples, rest);
    assert_int_equal(access(victim, F_OK), 0); /* a reader takes nothing away */
    for (int i = 0; i < 50; i++)
        store_tend(store, history_time(200) + 3 * HOUR);
    held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.damaged, 0);
    assert_int_equal(held.samples, rest);
    assert_int_equal(held.longest, MINUTE);
    store_close(store);
}

/* What can have come of a file. */
static void cut(const char *path, size_t size)
{
    assert_int_equal(truncate(path, (off_t)size / 2), 0);
}

static void empty(const char *path, size_t size)
{
    (void)size;
    assert_int_equal(truncate(path, 0), 0);
}

static void lengthen(const char *path, size_t size)
{
    assert_int_equal(truncate(path, (off_t)size + 1), 0);
}

static void flip_bit(const char *path, off_t at)
{
    unsigned char byte;
    const int file = open(path, O_RDWR);
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void flip_first(const char *path, size_t size)
{
    (void)size;
    flip_bit(path, 0);
}

static void flip_digest(const char *path, size_t size)
{
    (void)size;
    flip_bit(path, 40);
}

static void flip_middle(const char *path, size_t size)
{
    flip_bit(path, (off_t)size / 2);
}

static void flip_last(const char *path, size_t size)
{
    flip_bit(path, (off_t)size - 1);
}

static void overwrite(const char *path, size_t size)
{
    const int file = open(path, O_RDWR);
    for (size_t i = 0; i < size; i += 10)
        assert_true(pwrite(file, "not ours\n", size - i < 9 ? size - i : 9, (off_t)i) > 0);
    close(file);
}

static void make_link(const char *path, size_t size)
{
    (void)size;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/hostname", path), 0);
}

static void make_directory(const char *path, size_t size)
{
    (void)size;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_pipe(const char *path, size_t size)
{
    (void)size;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void remove_path(const char *path, void *context)
{
    (void)context;
    remove(path);
}

static void assert_costs_itself(void (*damage)(const char *path, size_t size), bool is_file)
{
    struct entry entry;
    struct stat there;
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 70; i++)
        history_put(store, i, 1);
    victim[0] = '\0';
    for_each_file(choose_victim, NULL);
    assert_true(entry_parse_name(strrchr(victim, '/') + 1, &entry));
    damage(victim, entry.size);
    const uint64_t first = (entry.from - EPOCH) / (10 * SECOND);
    const int64_t rest = history_sum(0, 70) - history_sum(first, first + entry.count);
    struct held held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.status, 0);
    assert_int_equal(held.damaged, 1);
    assert_non_null(strstr(held.line, "; the rest is read"));
    assert_int_equal(held.samples, rest);
    int steps = 0;
    while (store_tend(store, history_time(70) + 3 * HOUR) == 1)
        assert_true(++steps < 50);
    held = history_read("shop", 0, UINT64_MAX);
    assert_int_equal(held.samples, rest);
    assert_int_equal(held.longest, MINUTE);
    assert_int_equal(held.damaged, !is_file); /* what is no file is left where it is */
    assert_int_equal(lstat(victim, &there), is_file ? -1 : 0);
    store_close(store);
    for_each_file(remove_path, NULL);
}

static void damage_of_each_kind_costs_one_file(void **state)
{
    (void)state;
    static void (*const damages[])(const char *path, size_t size) = {
        cut, empty, lengthen, flip_first, flip_digest, flip_middle, flip_last, overwrite,
    };
    static void (*const others[])(const char *path, size_t size) = {make_link, make_directory,
                                                                    make_pipe};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        assert_costs_itself(damages[i], true);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_costs_itself(others[i], false);
}

/* As nobody, in a folder that is another's. */
static int try_without_rights(void)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct store_options options = {.folder = folder, .service = "shop", .limit = ROOMY};
    const struct store_range range = {.to = UINT64_MAX};
    const struct store_visitor visitor = {.take = NULL};
    if ((geteuid() == 0 && setuid(65534) != 0) || !ages_parse(AGES_DEFAULT, &options.ages))
        return 1;
    if (store_open(&options, error, sizeof error) != NULL || strstr(error, folder) == NULL ||
        strchr(error, '\n') != NULL)
        return 2;
    error[0] = '\0';
    if (store_read(folder, &range, &visitor, error) != -EACCES || strstr(error, folder) == NULL)
        return 3;
    return 0;
}

static void a_folder_without_rights_is_one_line(void **state)
{
    (void)state;
    int status;
    assert_int_equal(chmod(folder, 0), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(try_without_rights());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(status, 0);
}

static void put_foreign(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void foreign_files_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"notes.txt", ".hidden", "cprof-1.block",
                                        "cprof-zz.otlp", ".cprof-store-12.tmp"};
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (size_t i = 0; i < 5; i++)
        put_foreign(names[i]);
    put_foreign(".cprof-store-00000000000000aa.tmp"); /* of one who died */
    size_t before = files();
    store_tend(store, EPOCH);
    assert_int_equal(files(), before - 1 + 1); /* that one has gone, the lock has come */
    store_close(store);
}

/* ---- swaps ---- */

static void list_one(struct entries *entries)
{
    entries_free(entries);
    assert_int_equal(entries_read(entries, folder, false), 0);
    entries_sort(entries);
}

/* A swap that was cut short by a crash counts from its word on, for readers at once. */
static void a_swap_counts_once_it_is_said(void **state)
{
    (void)state;
    struct entries entries = {0};
    struct store *store = history_open("shop", ROOMY, AGES_DEFAULT);
    for (uint64_t i = 0; i < 3; i++)
        history_put(store, i, 1);
    list_one(&entries);
    /* As if 0 and 1 had become a block that is called as the third file is. */
    char half[ENTRY_NAME_SIZE], name[ENTRY_NAME_SIZE], from[256], to[256], word[256];
    struct entry made = entries.list[2];
    entry_write_name(name, &made);
    made.unique = 77;
    entry_write_half_name(half, made.unique);
    snprintf(from, sizeof from, "%s/%s", folder, name);
    snprintf(to, sizeof to, "%s/%s", folder, half);
    assert_int_equal(rename(from, to), 0);
    struct buffer text = {0};
    buffer_append(&text, "cprof store swap 1\n", 19);
    const struct entry *const lines[] = {&made, &entries.list[0], &entries.list[1]};
    for (size_t i = 0; i < 3; i++) {
        entry_write_name(name, lines[i]);
        buffer_append(&text, name, strlen(name));
        buffer_append(&text, "\n", 1);
    }
    char crc[16];
    snprintf(crc, sizeof crc, "-%08x\n", files_checksum(text.data, text.size));
    buffer_append(&text, crc, strlen(crc));
    snprintf(word, sizeof word, "%s/.cprof-store.swap", folder);
    FILE *file = fopen(word, "w");
    fwrite(text.data, 1, text.size, file);
    fclose(file);
    assert_int_equal(history_read("shop", 0, UINT64_MAX).samples, history_count(2));
    store_tend(store, history_time(3));
    assert_int_equal(history_read("shop", 0, UINT64_MAX).samples, history_count(2));
    assert_int_equal(access(word, F_OK), -1);
    assert_int_equal(files(), 2); /* the block and the lock */

    /* A word that is torn says nothing. */
    file = fopen(word, "w");
    fwrite(text.data, 1, text.size - 3, file);
    fclose(file);
    assert_int_equal(history_read("shop", 0, UINT64_MAX).samples, history_count(2));
    store_tend(store, history_time(3));
    assert_int_equal(files(), 2);
    buffer_free(&text);
    entries_free(&entries);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_are_read_as_they_are_written),
        IN_FOLDER(totals_are_exact_at_every_age),
        IN_FOLDER(ranges_that_meet_share_nothing),
        IN_FOLDER(the_oldest_make_room_and_nothing_newer),
        IN_FOLDER(little_memory_makes_smaller_blocks_and_ends),
        IN_FOLDER(a_full_disk_loses_nothing_that_is_there),
        IN_FOLDER(a_disk_that_fills_loses_nothing_that_is_there),
        IN_FOLDER(of_levels_ageing_keeps_the_last),
        IN_FOLDER(two_processes_share_a_folder),
        IN_FOLDER(a_damaged_block_costs_itself_and_one_line),
        IN_FOLDER(damage_of_each_kind_costs_one_file),
        IN_FOLDER(a_folder_without_rights_is_one_line),
        IN_FOLDER(foreign_files_are_left_alone),
        IN_FOLDER(a_swap_counts_once_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
