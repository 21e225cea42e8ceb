/* What a format can hold comes back as it was. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "format/format.h"
#include "profile/combine.h"
#include "samples.h"

/* Equal content has equal bytes once it is in canonical order. OTLP keeps frame types and
 * hashes that pprof folds together, so it is the judge. */
static void assert_same_profile(const struct profile *a, const struct profile *b)
{
    struct profile *x = profile_compact(a), *y = profile_compact(b);
    struct buffer left = {0}, right = {0};
    assert_int_equal(format_otlp.write(x, &left), 0);
    assert_int_equal(format_otlp.write(y, &right), 0);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    assert_int_equal(profile_value_count(x), profile_value_count(y));
    assert_int_equal(profile_sample_count(x), profile_sample_count(y));
    for (size_t i = 0; i < profile_value_count(x); i++)
        assert_int_equal(column_total(x, i), column_total(y, i));
    buffer_free(&left);
    buffer_free(&right);
    profile_free(x);
    profile_free(y);
}

static struct profile *through(const struct format *format, const struct profile *p)
{
    struct buffer bytes = {0};
    char error[FORMAT_ERROR_SIZE] = "";
    assert_int_equal(format->write(p, &bytes), 0);
    struct profile *read = format_read(format, bytes.data, bytes.size, error);
    if (read == NULL)
        fail_msg("%s: %s", format->name, error);
    assert_ptr_equal(format_by_content(bytes.data, bytes.size), format);
    buffer_free(&bytes);
    return read;
}

static void describe(struct profile *p)
{
    profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", 4711);
    profile_set_text(p, PROFILE_RESOURCE, "host.id", "0042");
    profile_set_text(p, PROFILE_RESOURCE, "empty.looking", "\"\"");
    profile_set_text(p, PROFILE_RESOURCE, "command", "a=b \"c\" \xc3\xa9");
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples_dropped", 12);
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.delta", -5);
    profile_set_text(p, PROFILE_ATTRIBUTES, "cprof.version", "0.1");
    struct profile_header *h = profile_header(p);
    h->scope_name = profile_string(p, "cprof");
    h->scope_version = profile_string(p, "0.1.0");
}

static void otlp_gives_back_what_it_got(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 60; seed++) {
        struct profile *p = cpu_profile(NULL);
        describe(p);
        memset(profile_header(p)->profile_id, (int)seed, 16);
        add_random_samples(p, seed, seed * 5);
        struct profile *read = through(&format_otlp, p);
        assert_same_profile(p, read);
        profile_free(read);
        profile_free(p);
    }
}

/* pprof has no scope and no profile id; it takes a frame of unknown type that lies in a
 * mapping for a native one, which the random profiles do not have. */
static void pprof_gives_back_what_it_got(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 60; seed++) {
        struct profile *p = cpu_profile(NULL);
        describe(p);
        profile_header(p)->scope_name = profile_header(p)->scope_version = 0;
        add_random_samples(p, seed, seed * 5);
        struct profile *read = through(&format_pprof, p);
        assert_same_profile(p, read);
        profile_free(read);
        profile_free(p);
    }
}

static void pprof_keeps_its_header_and_comments(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    struct profile_header *h = profile_header(p);
    h->default_type = profile_string(p, "cpu");
    h->doc_url = profile_string(p, "https://example.org");
    h->drop_frames = profile_string(p, "malloc|free");
    h->keep_frames = profile_string(p, "main");
    profile_set_text(p, PROFILE_COMMENTS, "", "no attribute: x = 1");
    profile_add(p, 0, 0, 0, 0, (int64_t[]){1, -1});
    struct profile *read = through(&format_pprof, p);
    const struct profile_header *r = profile_header_const(read);
    assert_string_equal(profile_text(read, r->default_type), "cpu");
    assert_string_equal(profile_text(read, r->doc_url), "https://example.org");
    assert_string_equal(profile_text(read, r->drop_frames), "malloc|free");
    assert_string_equal(profile_text(read, r->keep_frames), "main");
    assert_int_equal(r->time_ns, h->time_ns);
    assert_int_equal(r->duration_ns, h->duration_ns);
    assert_int_equal(profile_period_const(read, 0)->value, profile_period_const(p, 0)->value);
    assert_int_equal(profile_attribute_count(read, PROFILE_COMMENTS), 1);
    assert_int_equal(profile_attribute_count(read, PROFILE_RESOURCE), 0);
    assert_int_equal(profile_get_sample(read, 0).values[1], -1);
    profile_free(read);
    profile_free(p);
}

static void columns_that_no_period_explains_are_profiles_of_their_own_in_otlp(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 3, 50);
    profile_id location = named_location(p, "odd", 1), stack = profile_stack(p, &location, 1);
    profile_add(p, 0, stack, 0, 0, (int64_t[]){3, 7}); /* not 3 periods */
    struct profile *read = through(&format_otlp, p);
    assert_int_equal(profile_value_count(read), 2);
    assert_int_equal(column_total(read, 0), column_total(p, 0));
    assert_int_equal(column_total(read, 1), column_total(p, 1));
    profile_free(read);
    profile_free(p);
}

static void many_columns_go_through_otlp(void **state)
{
    (void)state;
    static const char *const types[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                        "inuse_space"};
    struct profile *p = profile_new(NULL);
    for (int i = 0; i < 4; i++)
        profile_add_value_type(p, 0, types[i], i % 2 ? "bytes" : "count");
    for (int i = 0; i < 20; i++) {
        profile_id location = named_location(p, "f", i), stack = profile_stack(p, &location, 1);
        profile_add(p, 0, stack, 0, 0, (int64_t[]){i, i * 100, i % 3, (i % 3) * 100});
    }
    struct profile *read = through(&format_otlp, p);
    assert_int_equal(profile_value_count(read), 4);
    assert_int_equal(profile_sample_count(read), 20);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(column_total(read, i), column_total(p, i));
    profile_free(read);
    profile_free(p);
}

static void collapsed_gives_back_names_and_counts(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    add_random_samples(p, 5, 200);
    struct profile *once = through(&format_collapsed, p);
    struct profile *twice = through(&format_collapsed, once);
    assert_int_equal(column_total(once, 0), column_total(p, 0));
    assert_same_profile(once, twice);
    profile_free(twice);
    profile_free(once);
    profile_free(p);
}

static void collapsed_keeps_separators_out_of_names(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_id frames[] = {named_location(p, "leaf\nline", 1), named_location(p, "a;b c", 2)};
    profile_add(p, 0, profile_stack(p, frames, 2), 0, 0, (int64_t[]){5, 50});
    struct buffer out = {0};
    assert_int_equal(format_collapsed.write(p, &out), 0);
    buffer_append(&out, "", 1);
    assert_string_equal((const char *)out.data, "a:b c;leaf line 5\n");
    buffer_free(&out);
    profile_free(p);
}

static void nothing_is_written_of_an_empty_profile_to_otlp(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    struct buffer out = {0};
    assert_int_equal(format_otlp.write(p, &out), -ENODATA);
    assert_int_equal(out.size, 0);
    buffer_free(&out);
    profile_free(p);
}

static struct profile *profile_of_a_seed(uint64_t seed)
{
    struct profile *p = cpu_profile(NULL);
    describe(p);
    profile_header(p)->time_ns += seed * 1000;
    profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", (int64_t)seed);
    profile_set_number(p, PROFILE_RESOURCE, "process.pid", (int64_t)(seed / 2));
    add_random_samples(p, seed, 40 + seed * 5);
    return p;
}

/* Columns that the sum has not come last in it, and the other way round. */
static struct profile *with_columns(const char *first, const char *second)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, first, "count");
    profile_add_value_type(p, 0, second, "bytes");
    profile_id location = named_location(p, first, 1), stack = profile_stack(p, &location, 1);
    profile_add(p, 0, stack, 0, 0, (int64_t[]){3, 500});
    return p;
}

static void read_into(struct profile *sum, const struct format *format, const struct profile *p)
{
    struct buffer bytes = {0};
    char error[FORMAT_ERROR_SIZE] = "";
    assert_int_equal(format->write(p, &bytes), 0);
    if (format->read(bytes.data, bytes.size, sum, error) != 0)
        fail_msg("%s: %s", format->name, error);
    buffer_free(&bytes);
}

static void reading_into_a_profile_is_merging(void **state)
{
    (void)state;
    static const struct format *const formats[] = {&format_pprof, &format_otlp,
                                                   &format_collapsed};
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        struct profile *sum = profile_new(NULL), *merged = profile_new(NULL);
        for (uint64_t seed = 1; seed < 12; seed++) {
            struct profile *p = seed % 4 == 3   ? with_columns("objects", "space")
                                : seed % 4 == 1 ? with_columns("samples", "objects")
                                                : profile_of_a_seed(seed);
            struct profile *read = through(formats[i], p);
            assert_int_equal(profile_merge(merged, read), 0);
            read_into(sum, formats[i], p);
            assert_same_profile(sum, merged);
            profile_free(read);
            profile_free(p);
        }
        profile_free(sum);
        profile_free(merged);
    }
}

/* Receivers check; pprof and OTLP readers of others as well. */
static void text_that_is_not_utf8_is_mended(void **state)
{
    (void)state;
    struct profile *p = cpu_profile(NULL);
    profile_id location = named_location(p, "caf\xe9 \xed\xa0\x80 \xc3\xa9", 1);
    profile_add(p, 0, profile_stack(p, &location, 1), 0, 0, (int64_t[]){1, 10000000});
    static const struct format *const formats[] = {&format_pprof, &format_otlp};
    for (int i = 0; i < 2; i++) {
        struct profile *read = through(formats[i], p);
        struct profile_stack stack = profile_get_stack(read, profile_get_sample(read, 0).stack);
        const struct profile_location *l = profile_get_location(read, stack.locations[0]);
        profile_id name = profile_get_function(read, l->lines[0].function)->name;
        assert_string_equal(profile_text(read, name),
                            "caf\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9");
        profile_free(read);
    }
    profile_free(p);
}

/* The file and build id that go tool pprof names above every table. */
static void pprof_begins_with_the_programs_own_mapping(void **state)
{
    (void)state;
    static const char *const files[] = {"/lib/libpython3.so", "/bin/shop"};
    struct profile *p = cpu_profile(NULL);
    profile_header(p)->program = profile_string(p, files[1]);
    for (uint64_t i = 0; i < 2; i++) {
        struct profile_mapping mapping = {.start = 4096 * (i + 1),
                                          .limit = 4096 * (i + 2),
                                          .filename = profile_string(p, files[i])};
        struct profile_location location = {.mapping = profile_mapping(p, &mapping),
                                            .address = mapping.start,
                                            .type = CPROF_FRAME_NATIVE};
        profile_id id = profile_location(p, &location);
        profile_add(p, 0, profile_stack(p, &id, 1), 0, 0, (int64_t[]){1, 1});
    }
    struct profile *read = through(&format_pprof, p);
    assert_int_equal(profile_mapping_count(read), 3);
    const struct profile_mapping *first = profile_get_mapping(read, 1);
    assert_string_equal(profile_text(read, first->filename), "/bin/shop");
    profile_free(read);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(otlp_gives_back_what_it_got),
        cmocka_unit_test(pprof_gives_back_what_it_got),
        cmocka_unit_test(pprof_keeps_its_header_and_comments),
        cmocka_unit_test(pprof_begins_with_the_programs_own_mapping),
        cmocka_unit_test(columns_that_no_period_explains_are_profiles_of_their_own_in_otlp),
        cmocka_unit_test(many_columns_go_through_otlp),
        cmocka_unit_test(collapsed_gives_back_names_and_counts),
        cmocka_unit_test(collapsed_keeps_separators_out_of_names),
        cmocka_unit_test(nothing_is_written_of_an_empty_profile_to_otlp),
        cmocka_unit_test(reading_into_a_profile_is_merging),
        cmocka_unit_test(text_that_is_not_utf8_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
