/* Where a process can be found, and what is no place for that. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/folder.h"

static char runtime[64], folder[CONTROL_PATH_SIZE];
static const char *why;

static int make_runtime(void **state)
{
    (void)state;
    strcpy(runtime, "/tmp/cprof-test-XXXXXX");
    return mkdtemp(runtime) == NULL || setenv("XDG_RUNTIME_DIR", runtime, 1) != 0;
}

static int remove_runtime(void **state)
{
    char path[CONTROL_PATH_SIZE];
    (void)state;
    snprintf(path, sizeof path, "%s/cprof", runtime);
    if (unlink(path) != 0)
        rmdir(path);
    return rmdir(runtime);
}

static bool is_in_runtime(void)
{
    return strncmp(folder, runtime, strlen(runtime)) == 0;
}

static void it_is_made_for_its_user_alone(void **state)
{
    struct stat status;
    (void)state;
    mode_t before = umask(0);
    assert_int_equal(control_folder(folder, &why), 0);
    umask(before);
    assert_true(is_in_runtime());
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(control_folder(folder, &why), 0); /* and found again */
    assert_true(is_in_runtime());
}

static void one_that_others_can_open_is_not_used(void **state)
{
    char path[CONTROL_PATH_SIZE];
    (void)state;
    snprintf(path, sizeof path, "%s/cprof", runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0750), 0);
    if (control_folder(folder, &why) == 0)
        assert_false(is_in_runtime());
}

static void a_link_is_not_followed(void **state)
{
    char path[CONTROL_PATH_SIZE];
    (void)state;
    snprintf(path, sizeof path, "%s/cprof", runtime);
    assert_int_equal(symlink(runtime, path), 0);
    if (control_folder(folder, &why) == 0)
        assert_false(is_in_runtime());
}

static void paths_that_no_socket_could_have_are_left(void **state)
{
    char long_name[128];
    (void)state;
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[0] = '/';
    long_name[sizeof long_name - 1] = '\0';
    assert_false(control_folder_of(0, "", long_name, 0, folder));
    assert_false(control_folder_of(0, "", "run", 0, folder));
    assert_false(control_folder_of(0, "", NULL, 0, folder));
    assert_true(control_folder_of(1, "/proc/7/root", NULL, 1000, folder));
    assert_string_equal(folder, "/proc/7/root/tmp/cprof-1000");
    assert_false(control_folder_of(2, "", "/run", 0, folder));
}

static void leave(const char *path)
{
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(access(path, F_OK), 0);
}

static void only_what_ended_processes_of_this_namespace_left_is_swept(void **state)
{
    const unsigned long space = control_own_namespace();
    char ended[CONTROL_PATH_SIZE], living[CONTROL_PATH_SIZE], other[CONTROL_PATH_SIZE];
    char foreign[CONTROL_PATH_SIZE + 8];
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_int_equal(control_folder(folder, &why), 0);
    control_path(folder, space, child, CONTROL_STANDBY, ended);
    control_path(folder, space, getpid(), CONTROL_SOCKET, living);
    control_path(folder, space + 1, child, CONTROL_SOCKET, other);
    snprintf(foreign, sizeof foreign, "%s/notes", folder);
    leave(ended), leave(living), leave(other), leave(foreign);
    control_sweep(folder);
    assert_int_equal(access(ended, F_OK), -1);
    assert_int_equal(unlink(living), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(unlink(foreign), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_runtime, remove_runtime)
    const struct CMUnitTest tests[] = {
        TEST(it_is_made_for_its_user_alone),
        TEST(one_that_others_can_open_is_not_used),
        TEST(a_link_is_not_followed),
        TEST(paths_that_no_socket_could_have_are_left),
        TEST(only_what_ended_processes_of_this_namespace_left_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
