/* A process that is asked: woken, started, recorded, stopped, amid forks and starts of its own.
 */
#include "running.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own_thread.h"
#include "control/folder.h"

#define CLIENTS 4
#define ROUNDS 15

/* ---- the runtime: its handler wakes a thread that obeys ---- */

static sem_t called;
static atomic_bool deaf; /* it does not get to it */

static void on_call(int signal_number)
{
    (void)signal_number;
    sem_post(&called);
}

static void obey(const struct cprof_order *order)
{
    char why[256] = "";
    int status = order->kind == CPROF_ORDER_START
                     ? cprof_start(&order->options, NULL, why, sizeof why)
                 : order->kind == CPROF_ORDER_STOP ? cprof_stop_all(20)
                                                   : cprof_stop(20);
    cprof_control_done(status < 0 ? status : 0, status < 0 ? why : NULL);
}

static void *run_runtime(void *unused)
{
    struct cprof_order order;
    for (;;) {
        while (sem_wait(&called) != 0)
            continue;
        if (!atomic_load(&deaf) && cprof_control_take(&order))
            obey(&order);
    }
    return unused;
}

static void start_runtime(void)
{
    const struct sigaction action = {.sa_handler = on_call, .sa_flags = SA_RESTART};
    pthread_t thread;
    sem_init(&called, 0, 0);
    sigaction(CONTROL_SIGNAL, &action, NULL);
    assert_int_equal(own_thread_start(&thread, OWN_THREAD_PREFIX "runtime", run_runtime, NULL),
                     0);
    pthread_detach(thread);
}

/* ---- what it leaves to be found by ---- */

static char folder[CONTROL_PATH_SIZE];

static bool has(enum control_file file)
{
    char path[CONTROL_PATH_SIZE];
    control_path(folder, control_own_namespace(), getpid(), file, path);
    return access(path, F_OK) == 0;
}

static void wait_for(enum control_file file)
{
    for (int i = 0; i < 3000 && !has(file); i++)
        usleep(10000);
    assert_true(has(file));
}

static void knock(void)
{
    char path[CONTROL_PATH_SIZE];
    control_path(folder, control_own_namespace(), getpid(), CONTROL_KNOCK, path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    kill(getpid(), CONTROL_SIGNAL);
}

/* ---- clients ---- */

static int dial(void)
{
    char path[CONTROL_PATH_SIZE];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    control_path(folder, control_own_namespace(), getpid(), CONTROL_SOCKET, path);
    memcpy(to.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Waits in poll(), where TSan lets a signal through. */
static ssize_t receive(int fd, void *bytes, size_t size)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    while (poll(&polled, 1, -1) < 0)
        continue;
    return read(fd, bytes, size);
}

/* The status of the answer, whose beginning goes to `text`; 0: there was none. */
static int ask(const char *request, char *text, size_t size)
{
    char head[256], rest[4096];
    int fd = dial(), status = 0;
    if (fd < 0)
        return 0;
    int length = snprintf(head, sizeof head, "%s HTTP/1.0\r\n\r\n", request);
    size_t used = 0;
    if (send(fd, head, (size_t)length, MSG_NOSIGNAL) == length)
        for (ssize_t got; (got = receive(fd, rest, sizeof rest)) > 0;)
            for (ssize_t i = 0; i < got && used + 1 < size; i++)
                text[used++] = rest[i];
    text[used] = '\0';
    close(fd);
    sscanf(text, "HTTP/1.0 %d", &status);
    return status;
}

static void expect(const char *request, int status, const char *words)
{
    char text[1024];
    assert_int_equal(ask(request, text, sizeof text), status);
    if (strstr(text, words) == NULL)
        fail_msg("%s: %s", request, text);
}

/* ---- tests ---- */

static void it_stands_by_until_somebody_knocks(void **state)
{
    (void)state;
    assert_true(has(CONTROL_STANDBY));
    assert_false(has(CONTROL_SOCKET));
    assert_false(own_thread_exists(OWN_THREAD_PREFIX "control"));
    kill(getpid(), CONTROL_SIGNAL); /* somebody else's use of the signal */
    usleep(100000);
    assert_false(has(CONTROL_SOCKET));
    knock();
    wait_for(CONTROL_SOCKET);
    assert_false(has(CONTROL_STANDBY));
    assert_false(has(CONTROL_KNOCK));
    expect("GET /cprof/status", 200, "\"state\":\"standby\"");
    wait_for(CONTROL_STANDBY);
    assert_false(has(CONTROL_SOCKET));
}

static void it_obeys(void **state)
{
    (void)state;
    knock();
    wait_for(CONTROL_SOCKET);
    expect("POST /cprof/stop", 409, "off already");
    expect("POST /cprof/start?types=nonsense", 409, "nonsense");
    expect("POST /cprof/start?types=cpu%40200hz", 200, "on");
    assert_true(cprof_is_running());
    expect("GET /cprof/status", 200, "\"types\":\"cpu\"");
    expect("POST /cprof/start", 409, "on already: cpu");
    expect("GET /debug/pprof/profile?seconds=0.1", 200, "octet-stream");
    expect("POST /cprof/stop", 200, "off");
    assert_false(cprof_is_running());
}

static void a_recording_gives_back_what_it_has_started(void **state)
{
    char text[256];
    (void)state;
    knock();
    wait_for(CONTROL_SOCKET);
    expect("GET /debug/pprof/profile?seconds=0.2", 200, "octet-stream");
    assert_false(cprof_is_running());
    /* A client that goes before its time. */
    int fd = dial();
    assert_true(fd >= 0);
    static const char request[] = "GET /debug/pprof/profile?seconds=60 HTTP/1.0\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    for (int i = 0; i < 1000 && !cprof_is_running(); i++)
        usleep(10000);
    assert_true(cprof_is_running());
    close(fd);
    for (int i = 0; i < 1000 && cprof_is_running(); i++)
        usleep(10000);
    assert_false(cprof_is_running());
    assert_int_equal(ask("GET /cprof/status", text, sizeof text), 200);
}

static void a_stop_of_the_programs_ends_a_recording_without_harm(void **state)
{
    const struct cprof_options options = {.exporter = "none"};
    (void)state;
    assert_int_equal(cprof_start(&options, NULL, error, sizeof error), 0);
    wait_for(CONTROL_SOCKET);
    int fd = dial();
    assert_true(fd >= 0);
    static const char request[] = "GET /debug/pprof/profile?seconds=0.5 HTTP/1.0\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    usleep(700000 / 4);
    assert_int_equal(cprof_stop(20), 0);
    assert_int_equal(cprof_start(&options, NULL, error, sizeof error), 0);
    char text[64] = "";
    while (receive(fd, text, sizeof text - 1) > 0)
        continue;
    close(fd);
    assert_int_equal(cprof_stop(20), 0);
}

static void what_the_runtime_does_not_do_is_said_and_withdrawn(void **state)
{
    (void)state;
    knock();
    wait_for(CONTROL_SOCKET);
    atomic_store(&deaf, true);
    expect("POST /cprof/start", 503, "main thread");
    atomic_store(&deaf, false);
    kill(getpid(), CONTROL_SIGNAL);
    usleep(100000);
    assert_false(cprof_is_running());
}

/* ---- all at once ---- */

static void *ask_again_and_again(void *number)
{
    static const char *const requests[] = {"GET /cprof/status", "POST /cprof/start",
                                           "GET /debug/pprof/profile?seconds=0.05",
                                           "POST /cprof/stop"};
    char text[256];
    for (int i = 0; i < ROUNDS; i++) {
        if (!has(CONTROL_SOCKET))
            knock();
        ask(requests[((size_t)(intptr_t)number + (size_t)i) % 4], text, sizeof text);
    }
    return NULL;
}

#ifndef __SANITIZE_THREAD__
static void fork_a_child(void)
{
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        cprof_fork_child();
        _exit(has(CONTROL_STANDBY) || cprof_is_running() ? 0 : 1);
    }
    cprof_fork_parent();
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}
#endif

static void clients_amid_forks_starts_and_stops_hang_nobody(void **state)
{
    const struct cprof_options options = {.exporter = "none"};
    pthread_t clients[CLIENTS];
    (void)state;
    for (intptr_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, ask_again_and_again, (void *)i), 0);
    for (int i = 0; i < ROUNDS; i++) {
        if (cprof_start(&options, NULL, error, sizeof error) >= 0)
            cprof_stop(20);
#ifndef __SANITIZE_THREAD__ /* whose children can't start threads */
        fork_a_child();
#endif
    }
    for (size_t i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    cprof_stop_all(20);
    wait_for(CONTROL_STANDBY);
}

static void the_end_takes_its_files_away(void **state)
{
    (void)state;
    knock();
    wait_for(CONTROL_SOCKET);
    cprof_end(1);
    assert_false(has(CONTROL_SOCKET));
    assert_false(has(CONTROL_STANDBY));
    assert_false(own_thread_exists(OWN_THREAD_PREFIX "control"));
}

static int open_control(void **state)
{
    const char *why;
    if (make_directory(state) != 0 || setenv("XDG_RUNTIME_DIR", directory, 1) != 0 ||
        setenv("CPROF_EXPORTER", "none", 1) != 0)
        return -1;
    start_runtime();
    int status = cprof_control_open("c", error, sizeof error);
    return status != 0 ? status : control_folder(folder, &why);
}

static int close_control(void **state)
{
    DIR *files = opendir(folder);
    for (const struct dirent *file; files != NULL && (file = readdir(files)) != NULL;)
        unlinkat(dirfd(files), file->d_name, 0); /* what children have left */
    if (files != NULL)
        closedir(files);
    rmdir(folder);
    return remove_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stands_by_until_somebody_knocks),
        cmocka_unit_test(it_obeys),
        cmocka_unit_test(a_recording_gives_back_what_it_has_started),
        cmocka_unit_test(a_stop_of_the_programs_ends_a_recording_without_harm),
        cmocka_unit_test(what_the_runtime_does_not_do_is_said_and_withdrawn),
        cmocka_unit_test(clients_amid_forks_starts_and_stops_hang_nobody),
        cmocka_unit_test(the_end_takes_its_files_away),
    };
    return cmocka_run_group_tests(tests, open_control, close_control);
}
