/* The exporter's parts that need no thread and no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "export/answer.h"
#include "export/queue.h"
#include "export/retry.h"
#include "export/secrets.h"
#include "export/sink_file.h"
#include "samples.h"

enum { SINK_A = 1, SINK_B = 2 };

static void push(struct queue *queue, int64_t count, uint32_t waiting)
{
    struct queued *gone = queue_push(queue, queued_new(make_profile(count, NULL), waiting));
    assert_null(gone);
}

static void profile_stays_until_the_last_sink_took_it(void **state)
{
    (void)state;
    struct queue queue = {.max_count = 10, .max_bytes = SIZE_MAX};
    push(&queue, 1, SINK_A | SINK_B);
    push(&queue, 2, SINK_A | SINK_B);
    struct queued *first = queue_oldest(&queue, SINK_A);
    assert_null(queue_settle(&queue, first, SINK_A));
    assert_ptr_equal(queue_oldest(&queue, SINK_B), first);
    assert_ptr_equal(queue_oldest(&queue, SINK_A), first->next);
    struct queued *gone = queue_settle(&queue, first, SINK_B);
    assert_ptr_equal(gone, first);
    assert_int_equal(queue.count, 1);
    queued_free(gone);
    queued_free(queue_clear(&queue));
    assert_int_equal(queue.bytes, 0);
}

static void oldest_profile_goes_when_the_queue_is_full(void **state)
{
    (void)state;
    struct queue queue = {.max_count = 2, .max_bytes = SIZE_MAX};
    push(&queue, 1, SINK_A);
    push(&queue, 2, SINK_A);
    struct queued *gone = queue_push(&queue, queued_new(make_profile(3, NULL), SINK_A));
    assert_non_null(gone);
    assert_null(gone->next);
    assert_int_equal(sample_total(gone->profile), 1);
    assert_int_equal(sample_total(queue_oldest(&queue, SINK_A)->profile), 2);
    queued_free(gone);
    queued_free(queue_clear(&queue));
}

static void profile_under_delivery_is_never_evicted(void **state)
{
    (void)state;
    struct queue queue = {.max_count = 2, .max_bytes = SIZE_MAX};
    push(&queue, 1, SINK_A);
    push(&queue, 2, SINK_A);
    queue.oldest->readers = 1;
    struct queued *gone = queue_push(&queue, queued_new(make_profile(3, NULL), SINK_A));
    assert_int_equal(sample_total(gone->profile), 2);
    queued_free(gone);
    queued_free(queue_clear(&queue));
}

static void newest_profile_stays_even_when_it_alone_is_too_large(void **state)
{
    (void)state;
    struct queue queue = {.max_count = 9, .max_bytes = 1};
    push(&queue, 1, SINK_A);
    struct queued *gone = queue_push(&queue, queued_new(make_profile(2, NULL), SINK_A));
    assert_int_equal(sample_total(gone->profile), 1);
    assert_int_equal(queue.count, 1);
    queued_free(gone);
    queued_free(queue_clear(&queue));
}

static void backoff_grows_by_half_from_one_second_to_thirty(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 100; failures++) {
        uint64_t shortest = retry_backoff(failures, 0);
        assert_in_range(shortest, NS_PER_SECOND / 2, 15 * NS_PER_SECOND);
        assert_in_range(retry_backoff(failures, UINT64_MAX), shortest, 45 * NS_PER_SECOND);
        assert_true(retry_backoff(failures + 1, 0) >= shortest);
    }
    assert_int_equal(retry_backoff(1, 0), NS_PER_SECOND / 2);
    assert_int_equal(retry_backoff(2, 0), NS_PER_SECOND * 3 / 4);
    assert_int_equal(retry_backoff(50, 0), 15 * NS_PER_SECOND);
}

static void retry_after_is_read_in_both_forms(void **state)
{
    (void)state;
    const time_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
    assert_int_equal(retry_after("7", now), 7 * NS_PER_SECOND);
    assert_int_equal(retry_after("0", now), 0);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), 30 * NS_PER_SECOND);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), 0);
}

static void senseless_retry_after_is_ignored_and_a_long_one_cut(void **state)
{
    (void)state;
    static const char *const senseless[] = {"",
                                            "soon",
                                            "-5",
                                            "7 apples",
                                            "Sun, 06 Nox 1994 08:50:07 GMT",
                                            "1e9x",
                                            "Sun, 06",
                                            "\xff",
                                            "Sun, 06 ovD 1994 08:50:07 GMT",
                                            "Sun, -6 Nov 1994 08:50:07 GMT",
                                            "Sun, 32 Nov 1994 08:50:07 GMT",
                                            "Sun, 06 Nov -994 08:50:07 GMT",
                                            "Sun, 06 Jan 0000 08:50:07 GMT",
                                            "Sun, 06 Nov 1994 24:50:07 GMT"};
    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++)
        assert_int_equal(retry_after(senseless[i], 0), 0);
    assert_int_equal(retry_after("99999999999999999999", 0), 3600 * NS_PER_SECOND);
    assert_int_equal(retry_after("Fri, 31 Dec 9999 23:59:59 GMT", 0), 3600 * NS_PER_SECOND);
}

static void server_texts_are_read_and_made_printable(void **state)
{
    (void)state;
    struct answer answer;
    static const char status[] = "\x08\x03\x12\x09"
                                 "bad\x1b[31m!\x1a\x00";
    assert_true(answer_status(status, sizeof status - 1, &answer));
    assert_int_equal(answer.number, 3);
    assert_string_equal(answer.text, "bad?[31m!");
    static const char partial[] = "\x0a\x08\x08\x96\x01\x12\x03"
                                  "why";
    assert_true(answer_partial_success(partial, sizeof partial - 1, &answer));
    assert_int_equal(answer.number, 150);
    assert_string_equal(answer.text, "why");
    assert_true(answer_partial_success("", 0, &answer));
    assert_int_equal(answer.number, 0);
}

static void damaged_server_texts_are_refused(void **state)
{
    (void)state;
    struct answer answer;
    unsigned char bytes[64];
    uint64_t random = 1;
    for (int round = 0; round < 200000; round++) {
        size_t size = (size_t)round % sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (unsigned char)(random >> 56 & (round & 1 ? 0xff : 0x1f));
        }
        answer_limit(bytes, size);
        answer_status(bytes, size, &answer); /* reads nothing outside: the sanitizer's say */
        answer_partial_success(bytes, size, &answer);
        assert_true(strlen(answer.text) < ANSWER_TEXT_SIZE);
    }
    assert_false(answer_status("\x12\x7fshort", 7, &answer));
    assert_false(answer_status("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, &answer));
}

static void secrets_in_one_another_are_hidden_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"the key is prefix-hunter2-suffix!", "the key is *********************!"},
        {"the key is hunter2.", "the key is *******."},
        {"overlap2-suffix-more", "*******************e"},
        {"hunter2hunter2", "**************"},
        {"aaaaaaaaab", "*********b"},
        {"hunter, prefix, Bearer", "hunter, prefix, Bearer"},
    };
    struct secrets secrets = {0};
    assert_true(secrets_add(&secrets, "hunter2 prefix-hunter2-suffix Bearer"));
    assert_true(secrets_add(&secrets, "overlap2-suffix 2-suffix-mor aaaaaa"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        strcpy(text, cases[i].text);
        secrets_hide(&secrets, text, strlen(text));
        assert_string_equal(text, cases[i].shown);
    }
    secrets_free(&secrets);
}

static void output_patterns_become_file_names(void **state)
{
    (void)state;
    char path[64];
    const struct file_name name = {
        .pid = 42, .sequence = 7, .time = 1700000000, .service = "../shop/a b"};
    assert_int_equal(sink_file_expand("/o/%s-%p.%n.%t%%.otlp", &name, path, sizeof path), 0);
    assert_string_equal(path, "/o/.._shop_a_b-42.7.1700000000%.otlp");
    assert_int_equal(sink_file_expand("/o/%x", &name, path, sizeof path), -EINVAL);
    assert_int_equal(sink_file_expand("/o/%", &name, path, sizeof path), -EINVAL);
    assert_int_equal(sink_file_expand("/o/%t%t%t%t%t%t%t", &name, path, sizeof path),
                     -ENAMETOOLONG);
    assert_true(sink_file_has("a%%%n", 'n'));
    assert_false(sink_file_has("a%%n", 'n'));
    assert_false(sink_file_has("a%", 'n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profile_stays_until_the_last_sink_took_it),
        cmocka_unit_test(oldest_profile_goes_when_the_queue_is_full),
        cmocka_unit_test(profile_under_delivery_is_never_evicted),
        cmocka_unit_test(newest_profile_stays_even_when_it_alone_is_too_large),
        cmocka_unit_test(backoff_grows_by_half_from_one_second_to_thirty),
        cmocka_unit_test(retry_after_is_read_in_both_forms),
        cmocka_unit_test(senseless_retry_after_is_ignored_and_a_long_one_cut),
        cmocka_unit_test(server_texts_are_read_and_made_printable),
        cmocka_unit_test(damaged_server_texts_are_refused),
        cmocka_unit_test(secrets_in_one_another_are_hidden_whole),
        cmocka_unit_test(output_patterns_become_file_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
