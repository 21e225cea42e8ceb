/* Dumps: circles of waiting threads, and the pages for people and programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dump/deadlock.h"
#include "dump/pages.h"

static const struct dump_origin origin = {.service = "shop", .runtime = "cpython", .pid = 4711};

static struct dump *new_dump(void)
{
    struct profile *profile = profile_new(NULL);
    profile_add_value_type(profile, 0, "threads", "count");
    return dump_new(profile);
}

/* Thread 100 + i waits for the lock 0x1000 + i that `holder` has; 0: for nobody. */
static void add_waiting(struct dump *dump, pid_t holder)
{
    struct dump_thread *thread = dump_add(dump);
    thread->tid = (pid_t)(99 + dump->count);
    thread->wait = (struct wait){.state = WAIT_WAITING,
                                 .reason = CPROF_WAIT_LOCK,
                                 .lock = 0x1000U + dump->count,
                                 .holder = holder};
    snprintf(thread->name, sizeof thread->name, "t%zu", dump->count - 1);
}

static bool is_held(void *closure, const struct dump_thread *thread)
{
    const pid_t *moved = closure;
    return thread->tid != *moved;
}

/* How many circles there are where that thread has moved on. */
static unsigned circles(struct dump *dump, pid_t moved)
{
    deadlock_link(dump);
    return deadlock_find(dump, is_held, &moved);
}

static void threads_that_wait_in_a_circle_are_a_deadlock(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    add_waiting(dump, 102); /* 100, a tail: it waits for one of the circle */
    add_waiting(dump, 103); /* 101 → 103 → 102 → 101 */
    add_waiting(dump, 101);
    add_waiting(dump, 102);
    add_waiting(dump, 0);
    assert_int_equal(circles(dump, 0), 1);
    const unsigned expected[] = {0, 1, 1, 1, 0};
    for (size_t i = 0; i < dump->count; i++)
        assert_int_equal(dump->threads[i].deadlock, expected[i]);
    dump_free(dump);
}

static void a_chain_is_no_deadlock(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    add_waiting(dump, 101);
    add_waiting(dump, 102);
    add_waiting(dump, 0);
    add_waiting(dump, 999); /* of a thread that is not there */
    assert_int_equal(circles(dump, 0), 0);
    dump_free(dump);
}

static void two_circles_are_two(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    add_waiting(dump, 101);
    add_waiting(dump, 100);
    add_waiting(dump, 103);
    add_waiting(dump, 102);
    add_waiting(dump, 104); /* with itself */
    assert_int_equal(circles(dump, 0), 3);
    dump_free(dump);
}

static void a_circle_in_which_one_has_moved_on_is_none(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    add_waiting(dump, 101);
    add_waiting(dump, 102);
    add_waiting(dump, 100);
    assert_int_equal(circles(dump, 101), 0);
    dump_free(dump);
}

/* ---- pages ---- */

static profile_id stack_of(struct profile *p, const char *name)
{
    const struct profile_function function = {.name = profile_string(p, name),
                                              .filename = profile_string(p, "/app/shop.py"),
                                              .start_line = 1};
    const struct profile_line line = {.function = profile_function(p, &function), .line = 7};
    const struct profile_location location = {
        .line_count = 1, .lines = &line, .type = CPROF_FRAME_CPYTHON};
    profile_id id = profile_location(p, &location);
    return profile_stack(p, &id, 1);
}

/* Twenty that wait in get(), one that runs in spin(), and two in a deadlock. */
static struct dump *known_dump(void)
{
    struct dump *dump = new_dump();
    add_waiting(dump, 101);
    add_waiting(dump, 100);
    for (size_t i = 0; i < 20; i++) {
        add_waiting(dump, 0);
        struct dump_thread *thread = &dump->threads[dump->count - 1];
        thread->wait.lock = 0;
        thread->still_ns = 90 * 1000000000ULL;
        thread->stack = stack_of(dump->profile, "get");
    }
    add_waiting(dump, 0);
    struct dump_thread *runs = &dump->threads[dump->count - 1];
    runs->wait = (struct wait){.state = WAIT_RUNNING};
    runs->stack = stack_of(dump->profile, "spin");
    runs->age_ns = 1500000000ULL;
    circles(dump, 0);
    return dump;
}

static char *page_of(const struct dump *dump, enum dump_format format)
{
    struct buffer out = {0};
    assert_int_equal(dump_write(dump, &origin, format, &out), 0);
    buffer_append(&out, "", 1);
    return (char *)out.data;
}

static void people_read_deadlocks_first_and_equal_stacks_once(void **state)
{
    struct dump *dump = known_dump();
    char *text = page_of(dump, DUMP_TEXT);
    (void)state;
    const char *const parts[] = {
        "shop, process 4711 (cpython)",
        "23 threads: 1 running, 0 runnable, 22 waiting",
        "Deadlock: t0 (100) waits for the lock 0x1001, which t1 (101) holds; t1 (101) waits "
        "for "
        "the lock 0x1002, which t0 (100) holds.",
        "1 thread running\n  t22 (122), sampled 1.5 s ago\n      spin  /app/shop.py:7\n",
        "20 threads waiting, lock\n  t2 (102), for at least 90 s\n",
        "  … and 4 more\n      get  /app/shop.py:7\n",
    };
    const char *at = text;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *found = strstr(at, parts[i]);
        if (found == NULL)
            print_message("%s", text);
        assert_non_null(found);
        at = found;
    }
    assert_null(strstr(text, "t18"));
    buffer_free(&(struct buffer){.data = (unsigned char *)text});
    dump_free(dump);
}

static void programs_get_every_thread(void **state)
{
    struct dump *dump = known_dump();
    char *json = page_of(dump, DUMP_JSON);
    (void)state;
    assert_non_null(strstr(json, "{\"tid\":121,\"id\":0,\"name\":\"t21\",\"state\":\"waiting\","
                                 "\"reason\":\"lock\",\"unmoved_seconds\":90.000,"));
    assert_non_null(strstr(json, "\"holder\":101,\"deadlock\":1"));
    assert_non_null(strstr(json, "{\"count\":20,\"frames\":[{\"function\":\"get\",\"file\":"
                                 "\"/app/shop.py\",\"line\":7,\"type\":\"cpython\"}]}"));
    buffer_free(&(struct buffer){.data = (unsigned char *)json});
    dump_free(dump);
}

static void tasks_stand_behind_threads(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    struct dump_thread *task = dump_add(dump);
    task->kind = DUMP_TASK;
    task->id = 7;
    task->wait = (struct wait){.state = WAIT_WAITING, .reason = CPROF_WAIT_SLEEP};
    task->stack = stack_of(dump->profile, "nap");
    snprintf(task->name, sizeof task->name, "Task-1");
    add_waiting(dump, 0);
    char *text = page_of(dump, DUMP_TEXT), *json = page_of(dump, DUMP_JSON);
    assert_non_null(strstr(text, "\n1 thread: 0 running, 0 runnable, 1 waiting\n1 task\n"));
    assert_non_null(strstr(strstr(text, "\n1 thread waiting"),
                           "\n1 task waiting, sleep\n  Task-1\n      nap  /app/shop.py:7\n"));
    assert_non_null(strstr(json, "\"tasks\":[\n{\"id\":7,\"name\":\"Task-1\",\"state\":"
                                 "\"waiting\",\"reason\":\"sleep\","));
    buffer_free(&(struct buffer){.data = (unsigned char *)text});
    buffer_free(&(struct buffer){.data = (unsigned char *)json});
    dump_free(dump);
}

static void add_handle(struct dump *dump, const char *peer)
{
    struct dump_thread *handle = dump_add(dump);
    handle->kind = DUMP_HANDLE;
    handle->id = dump->count;
    handle->stack = stack_of(dump->profile, "TCPSocketWrap");
    snprintf(handle->wait.peer, sizeof handle->wait.peer, "%s", peer);
}

static void equal_handles_are_counted_and_more_than_are_shown_is_said(void **state)
{
    struct dump *dump = new_dump();
    (void)state;
    for (int i = 0; i < 20; i++)
        add_handle(dump, "10.0.0.1:5432");
    add_handle(dump, "");
    dump->limited[DUMP_HANDLE] = true;
    char *text = page_of(dump, DUMP_TEXT), *json = page_of(dump, DUMP_JSON);
    assert_non_null(strstr(text, "\nmore than 21 handles\n"));
    assert_non_null(strstr(text, "\n20 handles open 10.0.0.1:5432\n      TCPSocketWrap  "));
    assert_non_null(strstr(text, "\n1 handle open\n      TCPSocketWrap  "));
    assert_non_null(strstr(json, "\"complete\":false"));
    assert_non_null(strstr(json, "\"handles\":[\n{\"id\":1,\"peer\":\"10.0.0.1:5432\","));
    assert_non_null(strstr(json, "\"greenlets\":[],\"fibers\":[]"));
    buffer_free(&(struct buffer){.data = (unsigned char *)text});
    buffer_free(&(struct buffer){.data = (unsigned char *)json});
    dump_free(dump);
}

static void formats_are_known_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(dump_format_of("text", 4), DUMP_TEXT);
    assert_int_equal(dump_format_of("json", 4), DUMP_JSON);
    assert_int_equal(dump_format_of("pprof", 5), DUMP_PPROF);
    assert_int_equal(dump_format_of("jso", 3), -1);
    assert_int_equal(dump_format_of("", 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_wait_in_a_circle_are_a_deadlock),
        cmocka_unit_test(a_chain_is_no_deadlock),
        cmocka_unit_test(two_circles_are_two),
        cmocka_unit_test(a_circle_in_which_one_has_moved_on_is_none),
        cmocka_unit_test(people_read_deadlocks_first_and_equal_stacks_once),
        cmocka_unit_test(programs_get_every_thread),
        cmocka_unit_test(tasks_stand_behind_threads),
        cmocka_unit_test(equal_handles_are_counted_and_more_than_are_shown_is_said),
        cmocka_unit_test(formats_are_known_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
