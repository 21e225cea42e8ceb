/* Profiles of blocks, with the engine running and without. */
#include "running.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/state.h"
#include "format/format.h"

static char path[2][128];

static void names(const char *one, const char *other)
{
    snprintf(path[0], sizeof path[0], "%s/%s", directory, one);
    snprintf(path[1], sizeof path[1], "%s/%s", directory, other);
    unlink(path[0]);
    unlink(path[1]);
}

static int begin(const char *file, uint64_t *capture)
{
    const struct cprof_options options = {.output = file, .rate = 200};
    return cprof_capture_begin(&options, NULL, capture, error, sizeof error);
}

static void end(uint64_t capture)
{
    if (cprof_capture_end(capture, 60, error, sizeof error) != 0)
        fail_msg("%s", error);
}

static void assert_file_has(const char *file, double seven, double three)
{
    struct profile *p = format_read_file(file, error);
    if (p == NULL)
        fail_msg("%s", error);
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.05);
    assert_close(seconds_in(p, "burn_three", NULL, NULL), three, 0.05);
    profile_free(p);
}

static void a_block_is_captured_beside_the_running_profile(void **state)
{
    (void)state;
    uint64_t capture;
    names("block.pb.gz", "none");
    start(NULL, 200);
    double seven = burn_to_a_sample(burn_seven, 0.3);
    assert_int_equal(begin(path[0], &capture), CPROF_JOINED);
    double three = burn_to_a_sample(burn_three, 1.0);
    end(capture);
    assert_true(cprof_is_running());
    seven += burn_to_a_sample(burn_seven, 0.3);
    assert_int_equal(cprof_stop(60), 0);
    assert_file_has(path[0], 0, three);
    assert_file_has(output, seven, three);
}

static void a_block_starts_the_engine_where_none_runs(void **state)
{
    (void)state;
    uint64_t capture;
    names("alone.pb.gz", "none");
    assert_int_equal(begin(path[0], &capture), 0);
    assert_true(cprof_is_running());
    double three = burn_to_a_sample(burn_three, 1.0);
    end(capture);
    assert_false(cprof_is_running());
    assert_file_has(path[0], 0, three);
}

static void blocks_that_overlap_have_what_each_of_them_surrounds(void **state)
{
    (void)state;
    uint64_t one, other;
    names("one.pb.gz", "other.pb.gz");
    assert_int_equal(begin(path[0], &one), 0);
    double before = burn_to_a_sample(burn_seven, 0.3);
    assert_int_equal(begin(path[1], &other), CPROF_JOINED);
    double in_both = burn_to_a_sample(burn_three, 0.7);
    end(one);
    double after = burn_to_a_sample(burn_seven, 0.5);
    assert_true(cprof_is_running());
    end(other);
    assert_false(cprof_is_running());
    assert_file_has(path[0], before, in_both);
    assert_file_has(path[1], after, in_both);
}

static void blocks_that_name_one_file_share_it(void **state)
{
    (void)state;
    uint64_t one, other;
    names("shared.pb.gz", "none");
    assert_int_equal(begin(path[0], &one), 0);
    double three = burn_to_a_sample(burn_three, 0.7);
    assert_int_equal(begin(path[0], &other), CPROF_JOINED);
    three += burn_to_a_sample(burn_three, 0.7);
    end(one);
    assert_int_not_equal(access(path[0], F_OK), 0);
    three += burn_to_a_sample(burn_three, 0.7);
    end(other);
    assert_false(cprof_is_running());
    assert_file_has(path[0], 0, three);
}

static void numbered_blocks_have_a_file_each(void **state)
{
    (void)state;
    uint64_t one, other;
    char file[160];
    names("block-%n.pb.gz", "none");
    assert_int_equal(begin(path[0], &one), 0);
    assert_int_equal(begin(path[0], &other), CPROF_JOINED);
    double three = burn_to_a_sample(burn_three, 0.7);
    end(other);
    end(one);
    for (uint64_t i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/block-%d.pb.gz", directory, (int)(i ? other : one));
        assert_file_has(file, 0, three);
    }
}

static void one_block_too_many_is_refused_in_one_line_and_the_others_go_on(void **state)
{
    (void)state;
    uint64_t captures[CPROF_CAPTURES], more;
    names("many-%n.pb.gz", "more.pb.gz");
    for (int i = 0; i < CPROF_CAPTURES; i++)
        assert_true(begin(path[0], &captures[i]) >= 0);
    assert_int_equal(begin(path[1], &more), -EBUSY);
    assert_non_null(strstr(error, "more.pb.gz"));
    for (int i = 0; i < CPROF_CAPTURES; i++)
        end(captures[i]);
    assert_false(cprof_is_running());
    assert_int_equal(begin(path[1], &more), 0);
    end(more);
    assert_int_equal(access(path[1], F_OK), 0); /* nothing ran in it, and it says so */
}

static void a_file_that_can_not_be_written_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const files[] = {"x.nonsense", "/nowhere/x.html", "%q.html", ""};
    uint64_t capture;
    for (int running = 0; running < 2; running++) {
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            assert_int_equal(begin(files[i], &capture), -EINVAL);
            assert_non_null(strstr(error, files[i]));
            assert_int_equal(cprof_is_running(), running);
        }
        if (!running)
            start(NULL, 100);
    }
    assert_int_equal(cprof_stop(60), 0);
    assert_false(cprof_is_running());
}

static void what_the_program_s_end_finds_open_is_written(void **state)
{
    (void)state;
    uint64_t capture;
    names("open.pb.gz", "none");
    assert_int_equal(begin(path[0], &capture), 0);
    double three = burn_to_a_sample(burn_three, 1.0);
    assert_int_equal(cprof_end(60), 0);
    assert_file_has(path[0], 0, three);
    assert_int_equal(cprof_capture_end(capture, 60, error, sizeof error), -EALREADY);
    start(NULL, 100); /* a later run does not know it */
    assert_int_equal(cprof_capture_end(capture, 60, error, sizeof error), -EALREADY);
    assert_int_equal(cprof_stop(60), 0);
    assert_false(cprof_is_running());
}

/* What the running test's child says of itself: seconds that it burned. */
static double *told;

static int share_told(void **state)
{
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED || make_directory(state) != 0;
}

static int in_child(uint64_t capture)
{
    cprof_fork_child();
    *told = burn_to_a_sample(burn_three, 1.0);
    return cprof_capture_end(capture, 60, error, sizeof error) == 0 && !cprof_is_running() ? 0
                                                                                           : 1;
}

static void a_forked_child_continues_a_block_in_a_file_of_its_own(void **state)
{
    (void)state;
    uint64_t capture;
    int status;
    names("forks.pb.gz", "none");
    assert_int_equal(begin(path[0], &capture), 0);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0)
        _exit(in_child(capture));
    cprof_fork_parent();
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    end(capture);
    assert_file_has(path[0], seven, 0);
    snprintf(path[1], sizeof path[1], "%s/forks.%ld.pb.gz", directory, (long)child);
    assert_file_has(path[1], 0, *told);
}

static void a_block_that_sigterm_ends_is_written(void **state)
{
    (void)state;
    uint64_t capture;
    int status;
    names("killed.pb.gz", "none");
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        if (begin(path[0], &capture) != 0)
            _exit(1);
        *told = burn_to_a_sample(burn_three, 1.0);
        raise(SIGTERM);
        sleep(60);
        _exit(2);
    }
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_file_has(path[0], 0, *told);
}

/* ---- where the memory limit is used up ---- */

/* All that is left, as a server that is away takes it, bit by bit. Returns how much. */
static size_t use_up(void)
{
    size_t taken = 0;
    for (size_t piece = (size_t)1 << 30; piece > 0; piece /= 2)
        while (budget_take(&engine.budget, piece))
            taken += piece;
    return taken;
}

static void a_block_has_its_samples_where_the_memory_limit_is_used_up(void **state)
{
    (void)state;
    uint64_t capture;
    names("full.pb.gz", "none");
    start(NULL, 200);
    double all = burn_to_a_sample(burn_seven, 0.3), three = burn_to_a_sample(burn_three, 0.3);
    assert_int_equal(cprof_flush(60), 0);      /* their names are known */
    all += burn_to_a_sample(burn_seven, 0.05); /* its buffer went to others while it waited */
    size_t taken = use_up();
    all += burn_to_a_sample(burn_seven, 0.3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(begin(path[0], &capture), CPROF_JOINED);
        double in_block = burn_to_a_sample(burn_three, 1.0);
        end(capture);
        assert_file_has(path[0], 0, in_block);
        unlink(path[0]);
        three += in_block;
    }
    budget_give(&engine.budget, taken);
    assert_int_equal(cprof_stop(60), 0);
    struct profile *p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "burn_three", NULL, NULL), three, 0.1);
    assert_close(seconds_in(p, NULL, NULL, NULL), all + three,
                 0.1); /* the rest is [overflow] */
    profile_free(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_block_is_captured_beside_the_running_profile),
        TEST(a_block_starts_the_engine_where_none_runs),
        TEST(blocks_that_overlap_have_what_each_of_them_surrounds),
        TEST(blocks_that_name_one_file_share_it),
        TEST(numbered_blocks_have_a_file_each),
        TEST(a_block_has_its_samples_where_the_memory_limit_is_used_up),
        TEST(one_block_too_many_is_refused_in_one_line_and_the_others_go_on),
        TEST(a_file_that_can_not_be_written_is_refused_at_once),
        TEST(what_the_program_s_end_finds_open_is_written),
        TEST(a_forked_child_continues_a_block_in_a_file_of_its_own),
        TEST(a_block_that_sigterm_ends_is_written),
    };
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, share_told, remove_directory);
}
