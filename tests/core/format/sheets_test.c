/* Profiles of several sheets through each format and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/format.h"
#include "format/summary.h"
#include "profile/combine.h"
#include "samples.h"

static void add_heap(struct profile *p, int count)
{
    int sheet = profile_add_sheet(p);
    assert_true(sheet > 0);
    profile_add_value_type(p, (size_t)sheet, "inuse_objects", "count");
    profile_add_value_type(p, (size_t)sheet, "inuse_space", "bytes");
    profile_set_period(p, (size_t)sheet, "space", "bytes", 524288);
    for (int i = 1; i <= count; i++) {
        profile_id location = named_location(p, "kept", i);
        profile_add(p, (size_t)sheet, profile_stack(p, &location, 1), 0, 0,
                    (int64_t[]){i, 1000 * i});
    }
}

/* CPU time and live heap; one stack is in both. */
static struct profile *cpu_and_heap(void)
{
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 3, 60);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", 60);
    add_heap(p, 10);
    profile_id location = named_location(p, "kept", 1);
    profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){1, 10000000});
    return p;
}

static struct profile *through(const struct format *format, const struct profile *p)
{
    struct buffer bytes = {0};
    char error[FORMAT_ERROR_SIZE] = "";
    assert_int_equal(format->write(p, &bytes), 0);
    struct profile *read = format_read(format, bytes.data, bytes.size, error);
    if (read == NULL)
        fail_msg("%s: %s", format->name, error);
    buffer_free(&bytes);
    return read;
}

static int64_t total_of(const struct profile *p, const char *type)
{
    return column_total(p, (size_t)profile_value_column(p, type));
}

static const struct profile_period *period_of(const struct profile *p, const char *type)
{
    return profile_period_const(p,
                                profile_column_sheet(p, (size_t)profile_value_column(p, type)));
}

static void assert_same_totals(const struct profile *a, const struct profile *b)
{
    assert_int_equal(profile_value_count(a), profile_value_count(b));
    for (size_t i = 0; i < profile_value_count(a); i++)
        assert_int_equal(column_total(a, i), total_of(b, profile_type(a, i)));
}

static void assert_same_bytes(const struct profile *a, const struct profile *b)
{
    struct profile *x = profile_compact(a), *y = profile_compact(b);
    struct buffer left = {0}, right = {0};
    assert_int_equal(format_otlp.write(x, &left), 0);
    assert_int_equal(format_otlp.write(y, &right), 0);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    buffer_free(&left);
    buffer_free(&right);
    profile_free(x);
    profile_free(y);
}

static void otlp_keeps_sheets(void **state)
{
    (void)state;
    struct profile *p = cpu_and_heap(), *read = through(&format_otlp, p);
    assert_int_equal(profile_sheet_count(read), 2);
    assert_int_equal(profile_sample_count(read), profile_sample_count(p));
    assert_same_totals(p, read);
    assert_same_bytes(p, read);
    assert_int_equal(period_of(read, "cpu")->value, 10000000);
    assert_int_equal(period_of(read, "inuse_space")->value, 524288);
    assert_string_equal(profile_text(read, period_of(read, "inuse_space")->type.type), "space");
    /* What the profile says of itself counts once, not once a column. */
    assert_int_equal(profile_attribute(read, PROFILE_ATTRIBUTES, 0)->number, 60);
    profile_free(read);
    profile_free(p);
}

/* Sheets of one period and other stacks; what counts one thing in two units has its own. */
static void otlp_tells_sheets_of_one_period_by_their_samples(void **state)
{
    (void)state;
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "alloc_objects", "count");
    profile_add_value_type(p, 0, "alloc_space", "bytes");
    profile_set_period(p, 0, "space", "bytes", 524288);
    profile_header(p)->time_ns = 1700000000000000000;
    for (int i = 0; i < 5; i++) {
        profile_id location = named_location(p, "churn", i);
        profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){1, i});
    }
    add_heap(p, 10);
    struct profile *read = through(&format_otlp, p);
    assert_int_equal(profile_sheet_count(read), 2);
    assert_same_totals(p, read);
    assert_same_bytes(p, read);
    profile_free(read);
    profile_free(p);
}

/* What has another period is another sheet, though it has the same stacks. */
static void otlp_tells_sheets_of_one_set_of_stacks_by_their_periods(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    for (int i = 1; i <= 10; i++) {
        profile_id location = named_location(p, "kept", i);
        profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){i, i * 10000000});
    }
    add_heap(p, 10);
    struct profile *read = through(&format_otlp, p);
    assert_int_equal(profile_sheet_count(read), 2);
    assert_same_bytes(p, read);
    profile_free(read);
    profile_free(p);
}

/* As Go's heap profiles are, and the Collector's of these. */
static void columns_of_one_sheet_stay_together_in_otlp(void **state)
{
    (void)state;
    static const char *const types[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                        "inuse_space"};
    struct profile *p = profile_new(NULL);
    for (int i = 0; i < 4; i++)
        profile_add_value_type(p, 0, types[i], i % 2 ? "bytes" : "count");
    profile_header(p)->time_ns = 1700000000000000000;
    for (int known = 0; known < 2; known++) {
        for (int i = 0; i < 20; i++) {
            profile_id location = named_location(p, "f", i);
            profile_add(p, 0, profile_stack(p, &location, 1), 0, 0,
                        (int64_t[]){i, i * 100, i % 3, (i % 3) * 100});
        }
        struct profile *read = through(&format_otlp, p);
        assert_int_equal(profile_sheet_count(read), 1);
        assert_int_equal(profile_sample_count(read), 20);
        assert_int_equal(profile_period_const(read, 0)->value, known ? 524288 : 0);
        assert_same_totals(p, read);
        profile_free(read);
        profile_set_period(p, 0, "space", "bytes", 524288);
    }
    profile_free(p);
}

static void other_formats_give_the_union_of_sheets(void **state)
{
    (void)state;
    static const struct format *const formats[] = {&format_pprof, &format_html};
    struct profile *p = cpu_and_heap();
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        struct profile *read = through(formats[i], p);
        assert_int_equal(profile_sheet_count(read), 1);
        assert_same_totals(p, read);
        assert_int_equal(period_of(read, "cpu")->value, 10000000);
        assert_string_equal(profile_text(read, period_of(read, "cpu")->type.type), "cpu");
        profile_free(read);
    }
    struct profile *read = through(&format_pprof, p);
    assert_int_equal(profile_sample_count(read), profile_sample_count(p) - 1); /* in both */
    assert_int_equal(profile_merge(read, p), 0);
    assert_int_equal(total_of(read, "inuse_space"), 2 * total_of(p, "inuse_space"));
    profile_free(read);
    profile_free(p);
}

static void assert_contains(const struct format *format, const struct profile *p,
                            const char *text, bool expected)
{
    struct buffer bytes = {0};
    assert_int_equal(format->write(p, &bytes), 0);
    buffer_append(&bytes, "", 1);
    if ((strstr((const char *)bytes.data, text) != NULL) != expected)
        fail_msg("%s: \"%s\" %s", format->name, text, expected ? "is missing" : "is there");
    buffer_free(&bytes);
}

static void one_value_is_that_of_the_chosen_column_and_its_sheet(void **state)
{
    (void)state;
    struct profile *p = cpu_and_heap();
    struct profile_summary summary;
    struct profile *counts = through(&format_collapsed, p);
    assert_int_equal(column_total(counts, 0), total_of(p, "samples"));
    profile_free(counts);
    assert_int_equal(profile_summarize(p, &summary), 0);
    assert_int_equal(summary.samples, total_of(p, "samples"));
    profile_header(p)->default_type = profile_string(p, "inuse_space");
    assert_contains(&format_collapsed, p, "kept 55000", true);
    assert_contains(&format_collapsed, p, " 0\n", false);
    assert_contains(&format_speedscope, p, "\"unit\":\"bytes\"", true);
    assert_contains(&format_speedscope, p, "\"endValue\":55000", true);
    assert_int_equal(profile_summarize(p, &summary), 0);
    assert_int_equal(summary.samples, 10); /* of the heap: nothing else counts them */
    profile_free(p);
}

static void several_inputs_of_sheets_are_read_into_one_profile(void **state)
{
    (void)state;
    static const struct format *const formats[] = {&format_otlp, &format_pprof, &format_html,
                                                   &format_otlp};
    struct profile *p = cpu_and_heap(), *sum = profile_new(NULL), *merged = profile_new(NULL);
    char error[FORMAT_ERROR_SIZE];
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        struct buffer bytes = {0};
        struct profile *read = through(formats[i], p);
        assert_int_equal(formats[i]->write(p, &bytes), 0);
        assert_int_equal(formats[i]->read(bytes.data, bytes.size, sum, error), 0);
        assert_int_equal(profile_merge(merged, read), 0);
        assert_same_bytes(sum, merged);
        assert_int_equal(profile_sheet_count(sum), 2);
        assert_int_equal(total_of(sum, "cpu"), (int64_t)(i + 1) * total_of(p, "cpu"));
        profile_free(read);
        buffer_free(&bytes);
    }
    profile_free(merged);
    profile_free(sum);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(otlp_keeps_sheets),
        cmocka_unit_test(otlp_tells_sheets_of_one_period_by_their_samples),
        cmocka_unit_test(otlp_tells_sheets_of_one_set_of_stacks_by_their_periods),
        cmocka_unit_test(columns_of_one_sheet_stay_together_in_otlp),
        cmocka_unit_test(other_formats_give_the_union_of_sheets),
        cmocka_unit_test(one_value_is_that_of_the_chosen_column_and_its_sheet),
        cmocka_unit_test(several_inputs_of_sheets_are_read_into_one_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
