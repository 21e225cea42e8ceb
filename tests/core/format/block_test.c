/* Blocks: many profiles in one, and each comes out as it went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/block.h"
#include "format/columns.h"
#include "format/digest.h"
#include "format/summary.h"
#include "profile/combine.h"
#include "samples.h"

#define MANY 30
#define SECOND 1000000000ULL

static struct profile *interval(unsigned number)
{
    struct profile *p = cpu_profile(NULL);
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", 4000 + number % 3);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", number);
    if (number % 7 == 0)
        profile_set_text(p, PROFILE_COMMENTS, "", "a comment");
    struct profile_header *header = profile_header(p);
    header->time_ns = (1000 + 10 * (uint64_t)number) * SECOND;
    header->duration_ns = 10 * SECOND;
    header->profile_id[0] = (uint8_t)(number + 1);
    add_random_samples(p, number % 5 + 1, 40 + number);
    return p;
}

/* One with a second sheet, big and negative values, and its own period. */
static struct profile *odd_interval(void)
{
    struct profile *p = interval(MANY);
    int sheet = profile_add_sheet(p);
    profile_add_value_type(p, (size_t)sheet, "inuse_space", "bytes");
    profile_add_value_type(p, (size_t)sheet, "x", "count");
    profile_set_period(p, (size_t)sheet, "space", "bytes", 524288);
    profile_id location = named_location(p, "kept", 1);
    profile_id stack = profile_stack(p, &location, 1);
    profile_add(p, (size_t)sheet, stack, 0, 0, (int64_t[]){2, 6});
    profile_add(p, (size_t)sheet, 0, 0, 0, (int64_t[]){INT64_MIN, INT64_MAX});
    return p;
}

static void assert_same(const struct profile *a, const struct profile *b)
{
    struct buffer left = {0}, right = {0};
    struct profile *x = profile_compact(a), *y = profile_compact(b);
    assert_int_equal(format_otlp.write(x, &left), 0);
    assert_int_equal(format_otlp.write(y, &right), 0);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    buffer_free(&left);
    buffer_free(&right);
    profile_free(x);
    profile_free(y);
}

static struct buffer block_of(struct profile *const *profiles, size_t count)
{
    struct buffer bytes = {0};
    struct block_writer *writer = block_writer_new(NULL, 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(block_writer_add(writer, profiles[i]), 0);
    assert_int_equal(block_writer_count(writer), count);
    assert_int_equal(block_writer_end(writer, &bytes), 0);
    block_writer_free(writer);
    return bytes;
}

struct expected {
    struct profile *const *profiles;
    size_t next;
    uint64_t from, to; /* what is wanted; 0: all */
};

static bool wants(void *closure, uint64_t from, uint64_t to)
{
    const struct expected *expected = closure;
    return from < expected->to && to > expected->from;
}

static int compare_next(void *closure, struct profile *p)
{
    struct expected *expected = closure;
    assert_same(p, expected->profiles[expected->next++]);
    profile_free(p);
    return 0;
}

static int refuse_any(void *closure, struct profile *p)
{
    (void)closure;
    profile_free(p);
    return -ECANCELED;
}

static void make(struct profile *profiles[MANY + 1])
{
    for (unsigned i = 0; i < MANY; i++)
        profiles[i] = interval(i);
    profiles[MANY] = odd_interval();
}

static void each_interval_comes_out_as_it_went_in(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer bytes = block_of(profiles, MANY + 1);
    struct expected expected = {.profiles = profiles};
    const struct block_visitor visitor = {.closure = &expected, .take = compare_next};
    assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), 0);
    assert_int_equal(expected.next, MANY + 1);

    struct expected some = {
        .profiles = profiles, .next = 5, .from = 1050 * SECOND, .to = 1080 * SECOND};
    const struct block_visitor part = {.closure = &some, .wants = wants, .take = compare_next};
    assert_int_equal(block_read(bytes.data, bytes.size, &part, error), 0);
    assert_int_equal(some.next, 8);

    const struct block_visitor none = {.take = refuse_any};
    assert_int_equal(block_read(bytes.data, bytes.size, &none, error), -ECANCELED);
    buffer_free(&bytes);
    for (size_t i = 0; i <= MANY; i++)
        profile_free(profiles[i]);
}

static void a_block_is_read_as_the_sum_of_its_intervals(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 1], *sum = profile_new(NULL);
    make(profiles);
    for (size_t i = 0; i <= MANY; i++)
        assert_int_equal(profile_merge_apart(&sum, profiles[i]), 0);
    struct buffer bytes = block_of(profiles, MANY + 1);
    assert_ptr_equal(format_by_content(bytes.data, bytes.size), &format_block);
    assert_ptr_equal(format_by_path("a.block"), &format_block);
    struct profile *read = format_read(&format_block, bytes.data, bytes.size, error);
    assert_non_null(read);
    assert_same(read, sum);
    profile_free(read);

    struct buffer one = {0};
    assert_int_equal(format_block.write(sum, &one), 0);
    read = format_read(&format_block, one.data, one.size, error);
    assert_non_null(read);
    assert_same(read, sum);
    profile_free(read);
    buffer_free(&one);
    buffer_free(&bytes);
    profile_free(sum);
    for (size_t i = 0; i <= MANY; i++)
        profile_free(profiles[i]);
}

/* Sums as history makes them: see block.h. */
struct adding {
    struct profile *sum, *levels;
    uint64_t version;
    struct tally tally;
    size_t intervals;
};

static int add_head(void *closure, const struct profile *head, struct block_target *target)
{
    struct adding *adding = closure;
    if (!profile_merges_in_place(adding->sum, head))
        assert_int_equal(tally_flush(&adding->tally, adding->sum), 0);
    const struct profile *before = adding->sum;
    assert_int_equal(profile_sample_count(head), 0);
    assert_int_equal(
        profile_merge_apart_head(&adding->sum, head, target->places, &target->extra), 0);
    adding->version += adding->sum != before;
    adding->intervals++;
    target->sum = adding->sum;
    target->version = adding->version;
    target->tally = &adding->tally;
    return 0;
}

static int add_levels(void *closure, struct profile *levels)
{
    struct adding *adding = closure;
    assert_null(adding->levels);
    adding->levels = levels;
    return 0;
}

/* One that counts in a unit that a sum of it and the others can't keep. */
static struct profile *coarse_interval(void)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "cpu", "microseconds");
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
    const profile_id location = named_location(p, "coarse", 1);
    profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){7});
    return p;
}

static void intervals_are_added_up_straight_from_a_block(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 2], *sum = profile_new(NULL);
    profiles[0] = coarse_interval();
    make(profiles + 1);
    struct profile *const odd = profiles[MANY + 1];
    struct profile *const parts[] = {profile_part(odd, false), profile_part(odd, true)};
    for (size_t i = 0; i <= MANY; i++)
        assert_int_equal(profile_merge_apart(&sum, profiles[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(profile_merge_apart(&sum, parts[i]), 0);
    struct buffer bytes = block_of(profiles, MANY + 2);
    struct adding *adding = calloc(1, sizeof(*adding));
    adding->sum = profile_new(NULL);
    const struct block_visitor visitor = {
        .closure = adding, .take = add_levels, .into = add_head};
    assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), 0);
    assert_int_equal(adding->intervals, MANY + 2);
    assert_int_equal(tally_flush(&adding->tally, adding->sum), 0);
    assert_non_null(adding->levels);
    assert_int_equal(profile_attribute_count(adding->levels, PROFILE_ATTRIBUTES), 0);
    assert_same(adding->levels, parts[1]);
    assert_int_equal(profile_merge_apart(&adding->sum, adding->levels), 0);
    assert_same(adding->sum, sum);
    for (size_t i = 0; i < 2; i++)
        profile_free(parts[i]);
    profile_free(adding->levels);
    profile_free(adding->sum);
    tally_free(&adding->tally);
    free(adding);
    profile_free(sum);
    buffer_free(&bytes);
    for (size_t i = 0; i < MANY + 2; i++)
        profile_free(profiles[i]);
}

/* More lines than a tally has, and stacks that none has room for, go into the sum as well. */
static void a_tally_that_is_full_goes_into_the_sum(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof(*tally));
    struct profile *sum = cpu_profile(NULL);
    const struct profile_place places[] = {{0, 1}, {1, 1000}};
    const profile_id location = named_location(sum, "here", 1);
    const profile_id stack = profile_stack(sum, &location, 1);
    bool flushed = false;
    for (int i = 0; i < 3 * TALLY_LINES; i++) {
        const struct profile_label label = {.key = profile_string(sum, "thread.id"),
                                            .is_number = true,
                                            .number = i % (TALLY_LINES + 1)};
        const struct tally_key key = {profile_labels(sum, &label, 1), 2, places};
        struct tally_line *line = tally_find(tally, sum, &key, &flushed);
        assert_non_null(line);
        assert_int_equal(flushed, i % TALLY_LINES == 0 && i > 0);
        assert_int_equal(tally_add(tally, line, stack, (int64_t[]){1, i}), 0);
        assert_int_equal(tally_add(tally, line, TALLY_CELLS, (int64_t[]){1, i}), -ENOMEM);
    }
    assert_int_equal(tally_flush(tally, sum), 0);
    int64_t values[2] = {0};
    for (size_t i = 0; i < profile_sample_count(sum); i++)
        for (size_t k = 0; k < 2; k++)
            values[k] += profile_get_sample(sum, i).values[k];
    assert_int_equal(profile_sample_count(sum), TALLY_LINES + 1);
    assert_int_equal(values[0], 3 * TALLY_LINES);
    assert_int_equal(values[1], 1000 * (3 * TALLY_LINES - 1) * 3 * TALLY_LINES / 2);
    tally_free(tally);
    assert_int_equal(tally->cells, 0);
    free(tally);
    profile_free(sum);
}

/* Two lines that have no room beside each other. */
static void lines_that_others_leave_no_room_begin_anew(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof(*tally));
    struct profile *sum = cpu_profile(NULL);
    const struct profile_place places[] = {{0, 1}, {1, 1}};
    const profile_id far = TALLY_CELLS / 5;
    bool flushed;
    for (int i = 0; i < 2; i++) {
        const struct profile_label label = {
            .key = profile_string(sum, "thread.id"), .is_number = true, .number = i};
        const struct tally_key key = {profile_labels(sum, &label, 1), 2, places};
        struct tally_line *line = tally_find(tally, sum, &key, &flushed);
        const int status = tally_add(tally, line, far, (int64_t[]){1, 10});
        assert_int_equal(status, i == 0 ? 0 : -ENOMEM);
        assert_int_equal(tally_make_room(tally, line, sum), i == 1);
        assert_int_equal(profile_sample_count(sum), i);
        assert_int_equal(tally->lines, 1 - i);
    }
    tally_free(tally);
    free(tally);
    profile_free(sum);
}

/* Neighbours of one program are mostly the same again. */
static void neighbours_take_a_quarter_of_the_bytes_of_single_files(void **state)
{
    (void)state;
    size_t single = 0;
    struct profile *profiles[MANY + 1];
    make(profiles);
    for (size_t i = 0; i <= MANY; i++) {
        struct buffer file = {0};
        assert_int_equal(format_pprof.write(profiles[i], &file), 0);
        single += file.size;
        buffer_free(&file);
    }
    struct buffer bytes = block_of(profiles, MANY + 1);
    print_message("%d intervals: %zu bytes as pprof files, %zu as a block\n", MANY + 1, single,
                  bytes.size);
    assert_true(bytes.size * 4 < single);
    buffer_free(&bytes);
    for (size_t i = 0; i <= MANY; i++)
        profile_free(profiles[i]);
}

static void a_writer_that_is_full_keeps_what_it_has(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct budget budget;
    budget_init(&budget, 0);
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer bytes = {0};
    struct block_writer *writer = block_writer_new(&budget, 200000);
    size_t fit = 0;
    while (fit <= MANY && block_writer_add(writer, profiles[fit]) == 0)
        fit++;
    assert_true(fit > 0 && fit <= MANY);
    assert_int_equal(block_writer_add(writer, profiles[0]), -ENOSPC);
    assert_int_equal(block_writer_count(writer), fit);
    assert_true(budget_used(&budget) <= 200000);
    assert_int_equal(block_writer_end(writer, &bytes), 0);
    block_writer_free(writer);
    assert_int_equal(budget_used(&budget), 0);

    struct expected expected = {.profiles = profiles};
    const struct block_visitor visitor = {.closure = &expected, .take = compare_next};
    assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), 0);
    assert_int_equal(expected.next, fit);
    buffer_free(&bytes);
    for (size_t i = 0; i <= MANY; i++)
        profile_free(profiles[i]);
}

static int drop(void *closure, struct profile *p)
{
    (void)closure;
    profile_free(p);
    return 0;
}

/* The checksum is looked at before anything is shown; behind it nothing is trusted either. */
static void damage_is_refused_with_a_line(void **state)
{
    (void)state;
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer bytes = block_of(profiles, MANY + 1), raw = {0};
    assert_int_equal(buffer_gunzip(bytes.data, bytes.size, FORMAT_MAX_INFLATED, &raw), 0);
    const struct block_visitor never = {.take = refuse_any}, any = {.take = drop};
    uint64_t random = 7;
    for (int i = 0; i < 200; i++) {
        char error[FORMAT_ERROR_SIZE] = "";
        uint32_t at = next_random(&random, (uint32_t)(bytes.size - 20)) + 12;
        unsigned char bit = (unsigned char)(1U << next_random(&random, 8));
        bytes.data[at] ^= bit;
        int status = block_read(bytes.data, bytes.size, &never, error);
        assert_true(status < 0 && status != -ECANCELED && error[0] != '\0');
        bytes.data[at] ^= bit;

        error[0] = '\0';
        at = next_random(&random, (uint32_t)raw.size);
        unsigned char old = raw.data[at];
        raw.data[at] = (unsigned char)next_random(&random, 256);
        if (block_read(raw.data, raw.size, &any, error) != 0)
            assert_true(error[0] != '\0');
        raw.data[at] = old;
        error[0] = '\0';
        assert_true(block_read(raw.data, at, &any, error) < 0 && error[0] != '\0');
    }
    buffer_free(&raw);
    buffer_free(&bytes);
    for (size_t i = 0; i <= MANY; i++)
        profile_free(profiles[i]);
}

/* A trie of a few thousand bytes can spell stacks without end. */
static void a_small_block_does_not_unfold_without_bound(void **state)
{
    (void)state;
    enum { DEEP = 20000 };
    char error[FORMAT_ERROR_SIZE] = "";
    struct buffer raw = {0};
    struct columns table = {0};
    buffer_append(&raw, BLOCK_MAGIC, BLOCK_MAGIC_SIZE);
    for (int i = 0; i < 3; i++)
        columns_write(&table, &raw); /* no strings, mappings, functions */
    assert_int_equal(columns_init(&table, 1, BLOCK_LOCATION_WIDTH), 0);
    columns_write(&table, &raw);
    columns_free(&table);
    columns_write(&table, &raw); /* no lines */
    assert_int_equal(columns_init(&table, DEEP, BLOCK_NODE_WIDTH), 0);
    for (size_t i = 0; i < DEEP; i++) {
        columns_row(&table, i)[0] = i;
        columns_row(&table, i)[1] = 1;
    }
    columns_write(&table, &raw);
    columns_free(&table);
    assert_int_equal(columns_init(&table, DEEP, BLOCK_STACK_WIDTH), 0);
    for (size_t i = 0; i < DEEP; i++)
        columns_row(&table, i)[0] = i + 1;
    columns_write(&table, &raw);
    columns_free(&table);
    const struct block_visitor any = {.take = drop};
    assert_int_equal(block_read(raw.data, raw.size, &any, error), -EBADMSG);
    assert_non_null(strstr(error, "longer than its size allows"));
    buffer_free(&raw);
}

/* Without unpacking: which service, and of each interval when it was and how much it has. */
static void a_digest_says_how_much_there_was_when(void **state)
{
    (void)state;
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer bytes = block_of(profiles, MANY + 1);
    struct digest digest;
    assert_int_equal(digest_read(bytes.data, 11, &digest), -EAGAIN);
    assert_int_equal(digest_read(bytes.data, bytes.size, &digest), 0);
    assert_string_equal(digest.service, "checkout");
    assert_int_equal(digest.intervals.rows, MANY + 1);
    for (size_t i = 0; i <= MANY; i++) {
        const uint64_t *row = columns_row(&digest.intervals, i);
        const struct profile_header *header = profile_header_const(profiles[i]);
        int64_t cpu = 0;
        for (size_t k = 0; k < profile_sample_count(profiles[i]); k++) {
            const struct profile_sample sample = profile_get_sample(profiles[i], k);
            cpu += profile_value(profiles[i], &sample, 1);
        }
        assert_true(row[DIGEST_TIME] == header->time_ns);
        assert_true(row[DIGEST_DURATION] == header->duration_ns);
        assert_true((int64_t)row[DIGEST_TOTAL] == cpu && cpu != 0);
        assert_string_equal(digest.types[row[DIGEST_TYPE]].name, "cpu");
        assert_string_equal(digest.types[row[DIGEST_TYPE]].unit, "nanoseconds");
        profile_free(profiles[i]);
    }
    digest_free(&digest);
    buffer_free(&bytes);
}

static void what_has_no_digest_or_a_damaged_one_says_so(void **state)
{
    (void)state;
    struct profile *p = interval(1);
    struct buffer bytes = block_of(&p, 1), plain = {0}, packed = {0};
    struct digest digest;
    buffer_append(&plain, "text", 4);
    assert_int_equal(buffer_gzip(&plain, &packed, 6), 0);
    assert_int_equal(digest_read(packed.data, packed.size, &digest), -ENODATA);
    assert_int_equal(digest_read((const unsigned char *)"no gzip, no digest", 18, &digest),
                     -ENODATA);
    const size_t end = 12 + (size_t)bytes.data[10] + 256 * (size_t)bytes.data[11];
    for (size_t i = 14; i < end; i++) {
        bytes.data[i] ^= 0x80;
        assert_int_equal(digest_read(bytes.data, bytes.size, &digest), -EBADMSG);
        bytes.data[i] ^= 0x80;
        assert_int_equal(digest_read(bytes.data, i, &digest), -EAGAIN);
    }
    buffer_free(&bytes);
    buffer_free(&plain);
    buffer_free(&packed);
    profile_free(p);
}

static int keep(void *closure, struct profile *p)
{
    *(struct profile **)closure = p;
    return 0;
}

/* Attributes are label sets in the file: who asks a profile for its labels must not meet them.
 */
static void a_profile_written_alone_comes_out_as_it_went_in(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 1];
    make(profiles);
    for (size_t i = 0; i < MANY + 1; i++) {
        struct buffer bytes = {0};
        struct digest digest;
        struct expected expected = {.profiles = &profiles[i]};
        const struct block_visitor visitor = {.closure = &expected, .take = compare_next};
        assert_int_equal(block_write_alone(profiles[i], NULL, &bytes), 0);
        assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), 0);
        assert_int_equal(expected.next, 1);
        assert_int_equal(digest_read(bytes.data, bytes.size, &digest), 0);
        assert_string_equal(digest.service, "checkout");
        assert_int_equal(
            columns_row(&digest.intervals, 0)[DIGEST_TOTAL],
            (uint64_t)digest_total(profiles[i], profile_default_column(profiles[i])));
        digest_free(&digest);
        buffer_free(&bytes);
    }
    for (size_t i = 0; i < MANY + 1; i++)
        profile_free(profiles[i]);
}

struct joining {
    struct block_writer *writer;
    size_t whole; /* that come as profiles */
};

static int join(void *closure, const struct profile *head, struct block_target *target)
{
    struct joining *joining = closure;
    if (profile_has_levels(head))
        return BLOCK_WHOLE;
    target->writer = joining->writer;
    target->sum = block_writer_shared(joining->writer);
    target->version = 1;
    return block_writer_begin(joining->writer, head);
}

static int join_whole(void *closure, struct profile *p)
{
    struct joining *joining = closure;
    int status = block_writer_add(joining->writer, p);
    joining->whole++;
    profile_free(p);
    return status;
}

/* Two blocks as one, of which the second is one that has a level. */
static void blocks_are_joined_straight_into_another(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer first = block_of(profiles, 7), second = block_of(profiles + 7, MANY + 1 - 7);
    struct buffer joined = {0}, at_once = block_of(profiles, MANY + 1);
    struct joining joining = {.writer = block_writer_new(NULL, 0)};
    const struct block_visitor visitor = {
        .closure = &joining, .take = join_whole, .into = join};
    assert_int_equal(block_read(first.data, first.size, &visitor, error), 0);
    assert_int_equal(block_read(second.data, second.size, &visitor, error), 0);
    assert_int_equal(joining.whole, 1);
    assert_int_equal(block_writer_end(joining.writer, &joined), 0);
    struct expected expected = {.profiles = profiles};
    const struct block_visitor comparing = {.closure = &expected, .take = compare_next};
    assert_int_equal(block_read(joined.data, joined.size, &comparing, error), 0);
    assert_int_equal(expected.next, MANY + 1);
    struct digest one, other;
    assert_int_equal(digest_read(joined.data, joined.size, &one), 0);
    assert_int_equal(digest_read(at_once.data, at_once.size, &other), 0);
    assert_memory_equal(one.intervals.cells, other.intervals.cells,
                        (MANY + 1) * DIGEST_WIDTH * sizeof(uint64_t));
    digest_free(&one);
    digest_free(&other);
    block_writer_free(joining.writer);
    struct buffer *const buffers[] = {&first, &second, &joined, &at_once};
    for (size_t i = 0; i < 4; i++)
        buffer_free(buffers[i]);
    for (size_t i = 0; i < MANY + 1; i++)
        profile_free(profiles[i]);
}

static void a_writer_that_is_full_takes_none_apart(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profiles[MANY + 1];
    make(profiles);
    struct buffer bytes = block_of(profiles, MANY), out = {0};
    struct joining joining = {.writer = block_writer_new(NULL, 200000)};
    const struct block_visitor visitor = {
        .closure = &joining, .take = join_whole, .into = join};
    assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), -ENOSPC);
    const size_t count = block_writer_count(joining.writer);
    assert_in_range(count, 1, MANY - 1);
    assert_int_equal(block_writer_begin(joining.writer, profiles[0]), -ENOSPC);
    assert_int_equal(block_writer_end(joining.writer, &out), 0);
    struct expected expected = {.profiles = profiles};
    const struct block_visitor comparing = {.closure = &expected, .take = compare_next};
    assert_int_equal(block_read(out.data, out.size, &comparing, error), 0);
    assert_int_equal(expected.next, count);
    block_writer_free(joining.writer);
    buffer_free(&bytes);
    buffer_free(&out);
    for (size_t i = 0; i < MANY + 1; i++)
        profile_free(profiles[i]);
}

static void one_interval_alone_has_the_tables_of_its_samples_and_no_more(void **state)
{
    (void)state;
    struct profile *const odd = odd_interval();
    struct profile *read = NULL;
    struct buffer bytes = block_of(&odd, 1);
    char error[FORMAT_ERROR_SIZE];
    const struct block_visitor visitor = {.closure = &read, .take = keep};
    assert_int_equal(block_read(bytes.data, bytes.size, &visitor, error), 0);
    struct profile *compact = profile_compact(odd);
    assert_same(read, odd);
    assert_int_equal(profile_label_set_count(read), profile_label_set_count(compact));
    assert_int_equal(profile_stack_count(read), profile_stack_count(compact));
    assert_int_equal(profile_location_count(read), profile_location_count(compact));
    profile_free(compact);
    profile_free(read);
    profile_free(odd);
    buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_interval_comes_out_as_it_went_in),
        cmocka_unit_test(a_profile_written_alone_comes_out_as_it_went_in),
        cmocka_unit_test(blocks_are_joined_straight_into_another),
        cmocka_unit_test(a_writer_that_is_full_takes_none_apart),
        cmocka_unit_test(one_interval_alone_has_the_tables_of_its_samples_and_no_more),
        cmocka_unit_test(a_block_is_read_as_the_sum_of_its_intervals),
        cmocka_unit_test(intervals_are_added_up_straight_from_a_block),
        cmocka_unit_test(a_tally_that_is_full_goes_into_the_sum),
        cmocka_unit_test(lines_that_others_leave_no_room_begin_anew),
        cmocka_unit_test(neighbours_take_a_quarter_of_the_bytes_of_single_files),
        cmocka_unit_test(a_writer_that_is_full_keeps_what_it_has),
        cmocka_unit_test(damage_is_refused_with_a_line),
        cmocka_unit_test(a_digest_says_how_much_there_was_when),
        cmocka_unit_test(what_has_no_digest_or_a_damaged_one_says_so),
        cmocka_unit_test(a_small_block_does_not_unfold_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
