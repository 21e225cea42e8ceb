/* Profiles as files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/exporter.h"
#include "samples.h"

static char folder[] = "/tmp/cprof-file-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct exporter *start(const char *output, char error[256])
{
    const struct exporter_options options = {.output = output, .service_name = "shop/eu"};
    return exporter_new(&options, error, 256);
}

static size_t files_in_folder(void)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

static void one_file_holds_the_whole_run(void **state)
{
    (void)state;
    char error[256];
    const char *path = in_folder("run.otlp");
    struct exporter *exporter = start(path, error);
    struct exporter_stats stats;
    struct stat status;
    for (int i = 1; i <= 10; i++)
        exporter_submit(exporter, make_profile(i, NULL));
    assert_int_equal(exporter_flush(exporter, 10), 0);
    assert_int_equal(file_total(path), 55);
    exporter_submit(exporter, make_profile(45, NULL));
    assert_int_equal(exporter_stop(exporter, 10, &stats), 0);
    assert_int_equal(file_total(path), 100);
    assert_int_equal(stats.exported, 11);
    assert_int_equal(stats.failed + stats.dropped, 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(files_in_folder(), 1); /* no temporary file stays */
    unlink(path);
}

static void a_crash_after_the_first_interval_leaves_a_file(void **state)
{
    (void)state;
    char error[256];
    const char *path = in_folder("run.otlp");
    struct exporter *exporter = start(path, error);
    exporter_submit(exporter, make_profile(7, NULL));
    for (int i = 0; i < 500 && access(path, F_OK) != 0; i++)
        usleep(10000);
    assert_int_equal(file_total(path), 7); /* neither flushed nor stopped */
    exporter_stop(exporter, 10, NULL);
    unlink(path);
}

static void a_sequence_number_makes_a_file_of_every_interval(void **state)
{
    (void)state;
    char error[256];
    struct exporter *exporter = start(in_folder("%s-%n-%t.otlp"), error);
    exporter_submit(exporter, make_profile(1, NULL));
    exporter_submit(exporter, make_profile(2, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(file_total(in_folder("shop_eu-1-1700000000.otlp")), 1);
    assert_int_equal(file_total(in_folder("shop_eu-2-1700000000.otlp")), 2);
    assert_int_equal(files_in_folder(), 2);
    unlink(in_folder("shop_eu-1-1700000000.otlp"));
    unlink(in_folder("shop_eu-2-1700000000.otlp"));
}

static void bad_outputs_are_told_at_the_start_in_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *output, *told;
    } cases[] = {
        {"/no/such/folder/x.otlp", "can't write to /no/such/folder: No such file"},
        {"/proc/x.otlp", "can't write to /proc"},
        {"/tmp/x.jpeg", "the ending must be one of"},
        {"/tmp/x", "the ending must be one of"},
        {"/tmp/%q.otlp", "after % comes p, n, t, s or %"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char error[256] = "";
        if (i == 1 && access("/proc", W_OK) == 0)
            continue; /* root may write anywhere, as access() sees it */
        assert_null(start(cases[i].output, error));
        if (strstr(error, cases[i].told) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].told, error);
        assert_non_null(strstr(error, "CPROF_OUTPUT"));
        assert_null(strchr(error, '\n'));
    }
}

static void a_program_that_changes_its_directory_keeps_its_output(void **state)
{
    (void)state;
    char error[256], before[512];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    struct exporter *exporter = start("here.otlp", error);
    assert_int_equal(chdir("/"), 0);
    exporter_submit(exporter, make_profile(9, NULL));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(file_total(in_folder("here.otlp")), 9);
    unlink(in_folder("here.otlp"));
}

static void the_run_is_rescued_when_its_folder_vanishes(void **state)
{
    (void)state;
    char error[256], rescued[300];
    mkdir(in_folder("gone"), 0700);
    setenv("TMPDIR", folder, 1);
    struct exporter *exporter = start(in_folder("gone/run.otlp"), error);
    struct exporter_stats stats;
    rmdir(in_folder("gone"));
    unsetenv("TMPDIR"); /* what it was at the start counts */
    capture_errors();
    exporter_submit(exporter, make_profile(13, NULL));
    int stopped = exporter_stop(exporter, 10, &stats);
    char *told = captured_errors();
    snprintf(rescued, sizeof rescued, "%s/cprof-%ld-run.otlp", folder, (long)getpid());
    assert_int_equal(stopped, 0);
    assert_int_equal(file_total(rescued), 13);
    assert_non_null(strstr(told, rescued));
    assert_int_equal(stats.exported, 1);
    free(told);
    unlink(rescued);
}

static void an_interval_that_cannot_be_written_is_counted(void **state)
{
    (void)state;
    char error[256];
    mkdir(in_folder("gone"), 0700);
    struct exporter *exporter = start(in_folder("gone/%n.otlp"), error);
    struct exporter_stats stats;
    rmdir(in_folder("gone"));
    capture_errors();
    exporter_submit(exporter, make_profile(13, NULL));
    int flushed = exporter_flush(exporter, 10);
    exporter_stop(exporter, 10, &stats);
    free(captured_errors());
    assert_int_equal(flushed, -EIO);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.exported + stats.dropped, 0);
}

/* Functions that no interval before has seen. */
static struct profile *new_code(int interval, struct budget *budget)
{
    struct profile *p = make_profile(1, budget);
    char name[64];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "function_%d_of_interval_%d", i, interval);
        const struct profile_function function = {.name = profile_string(p, name)};
        const struct profile_line line = {.function = profile_function(p, &function)};
        profile_id location =
            profile_location(p, &(struct profile_location){.line_count = 1, .lines = &line});
        profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){1});
    }
    return p;
}

static void a_run_without_end_leaves_room_for_each_interval(void **state)
{
    (void)state;
    char error[256];
    struct budget budget;
    budget_init(&budget, 1 << 20);
    const char *path = in_folder("run.otlp");
    const struct exporter_options options = {.output = path, .budget = &budget};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    struct exporter_stats stats;
    capture_errors();
    for (int i = 0; i < 50; i++) {
        struct profile *interval = new_code(i, &budget);
        assert_int_equal(profile_error(interval), 0);
        exporter_submit(exporter, interval);
        assert_int_equal(exporter_flush(exporter, 10), 0);
        assert_true(budget_used(&budget) <= budget.limit / 4);
    }
    int stopped = exporter_stop(exporter, 10, &stats);
    char *told = captured_errors();
    assert_int_equal(stopped, 0);
    assert_int_equal(file_total(path), 50 * 301);
    assert_int_equal(stats.exported, 50);
    assert_non_null(strstr(told, "[overflow]"));
    free(told);
    unlink(path);
}

static void a_run_is_written_though_all_memory_is_taken_before_its_first_interval(void **state)
{
    (void)state;
    char error[256];
    struct budget budget;
    budget_init(&budget, 1 << 20);
    const char *path = in_folder("run.otlp");
    const struct exporter_options options = {.output = path, .budget = &budget};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    struct profile *interval = new_code(0, &budget);
    size_t taken = budget.limit;
    while (taken > 0 && !budget_take(&budget, taken))
        taken -= taken > 64 ? 64 : taken;
    assert_int_not_equal(taken, 0);
    assert_false(budget_take(&budget, 64));
    exporter_submit(exporter, interval);
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(file_total(path), 301);
    budget_give(&budget, taken);
    assert_int_equal(budget_used(&budget), 0);
    unlink(path);
}

static void all_memory_comes_back(void **state)
{
    (void)state;
    char error[256];
    struct budget budget;
    budget_init(&budget, 64 << 20);
    const struct exporter_options options = {.output = in_folder("run.otlp"),
                                             .budget = &budget};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    for (int i = 0; i < 20; i++)
        exporter_submit(exporter, make_profile(1, &budget));
    assert_int_equal(exporter_stop(exporter, 10, NULL), 0);
    assert_int_equal(budget_used(&budget), 0);
    unlink(in_folder("run.otlp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file_holds_the_whole_run),
        cmocka_unit_test(a_crash_after_the_first_interval_leaves_a_file),
        cmocka_unit_test(a_sequence_number_makes_a_file_of_every_interval),
        cmocka_unit_test(bad_outputs_are_told_at_the_start_in_one_line),
        cmocka_unit_test(a_program_that_changes_its_directory_keeps_its_output),
        cmocka_unit_test(the_run_is_rescued_when_its_folder_vanishes),
        cmocka_unit_test(an_interval_that_cannot_be_written_is_counted),
        cmocka_unit_test(a_run_without_end_leaves_room_for_each_interval),
        cmocka_unit_test(a_run_is_written_though_all_memory_is_taken_before_its_first_interval),
        cmocka_unit_test(all_memory_comes_back),
    };
    if (mkdtemp(folder) == NULL)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
