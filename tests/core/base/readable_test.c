/* Looking at memory that may not be there. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cprof/readable.h"

#define PAGE 4096

/* Two pages, of which the second can't be read. */
static uint8_t *half_readable(void)
{
    uint8_t *pages =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    memset(pages, 7, PAGE);
    assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_NONE), 0);
    return pages;
}

static void what_is_not_there_is_an_answer(void **state)
{
    (void)state;
    uint8_t *pages = half_readable(), copy[64];
    uintptr_t end = (uintptr_t)pages + PAGE;
    assert_true(cprof_is_readable(end - 8));
    assert_false(cprof_is_readable(end));
    assert_false(cprof_is_readable(end - 4));
    assert_false(cprof_is_readable(0));
    assert_int_equal(cprof_read(copy, end - sizeof copy, sizeof copy), sizeof copy);
    assert_int_equal(copy[63], 7);
    assert_int_equal(cprof_read(copy, end, sizeof copy), -EFAULT);
    assert_false(cprof_read_alive(copy, end, sizeof copy));
    munmap(pages, 2 * PAGE);
}

static void pieces_are_read_up_to_one_that_is_not_there(void **state)
{
    (void)state;
    uint8_t *pages = half_readable(), copy[64];
    const struct iovec pieces[] = {{.iov_base = pages, .iov_len = 16},
                                   {.iov_base = pages + 100, .iov_len = 16},
                                   {.iov_base = pages + PAGE, .iov_len = 16}};
    assert_int_equal(cprof_read_pieces(copy, 48, pieces, 3), 32);
    munmap(pages, 2 * PAGE);
}

/* As a sandbox has it: process_vm_readv(2) is an answer of the filter's. */
static void forbid_the_call(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(0); /* an emulator has no filters, but may lack the call itself */
}

static bool reads_as_ever(void)
{
    uint8_t *pages = half_readable(), copy[64] = {0};
    uintptr_t end = (uintptr_t)pages + PAGE;
    const struct iovec pieces[] = {{.iov_base = pages, .iov_len = 16},
                                   {.iov_len = 0},
                                   {.iov_base = pages + 100, .iov_len = 16},
                                   {.iov_base = pages + PAGE, .iov_len = 16}};
    return cprof_read(copy, end - sizeof copy, sizeof copy) == sizeof copy && copy[63] == 7 &&
           cprof_read(copy, end, sizeof copy) == -EFAULT && cprof_read(copy, end - 1, 1) == 1 &&
           cprof_read(copy, end - 8, 16) == -EFAULT && cprof_read(copy, 0, 1) == -EFAULT &&
           cprof_read_pieces(copy, 48, pieces, 4) == 32;
}

static void what_a_sandbox_forbids_is_read_in_another_way(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        forbid_the_call();
        bool read = reads_as_ever();
        int highest = open("/dev/null", O_RDONLY);
        _exit(read && reads_as_ever() && open("/dev/null", O_RDONLY) == highest + 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void errno_stays_as_it_is(void **state)
{
    (void)state;
    uint8_t byte;
    errno = 77;
    assert_false(cprof_is_readable(0));
    assert_int_equal(cprof_read(&byte, 0, 1), -EFAULT);
    assert_int_equal(errno, 77);
}

static void *read_when_alone(void *main_thread)
{
    const uint8_t byte = 5;
    uint8_t copy = 0;
    pthread_join(*(pthread_t *)main_thread, NULL);
    _exit(cprof_read(&copy, (uintptr_t)&byte, 1) == 1 && copy == 5 ? 0 : 1);
}

/* Whose number is the process's. */
static void memory_is_there_after_the_main_thread_has_ended(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP ThreadSanitizer lets no thread begin in a forked child\n");
    skip();
#endif
    static pthread_t main_thread, reader;
    int status;
    pid_t child = fork();
    if (child == 0) {
        main_thread = pthread_self();
        pthread_create(&reader, NULL, read_when_alone, &main_thread);
        pthread_exit(NULL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_an_answer),
        cmocka_unit_test(pieces_are_read_up_to_one_that_is_not_there),
        cmocka_unit_test(what_a_sandbox_forbids_is_read_in_another_way),
        cmocka_unit_test(errno_stays_as_it_is),
        cmocka_unit_test(memory_is_there_after_the_main_thread_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
