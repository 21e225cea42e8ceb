/* Reading what others write: ids and shapes that our own writers never use, and broken ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "format/format.h"
#include "format/wire.h"
#include "pprof.pb-c.h"
#include "profiles.pb-c.h"
#include "samples.h"

#define TEXT(literal)                                                                          \
    {                                                                                          \
        sizeof(literal) - 1, (uint8_t *)(literal)                                              \
    }

static struct profile *read_message(const struct format *format,
                                    const ProtobufCMessage *message,
                                    char error[FORMAT_ERROR_SIZE])
{
    struct buffer bytes = {0};
    wire_append(&bytes, message);
    *error = '\0';
    struct profile *p = format_read(format, bytes.data, bytes.size, error);
    assert_true((p == NULL) == (*error != '\0'));
    buffer_free(&bytes);
    return p;
}

static const char *leaf_name(const struct profile *p, size_t sample)
{
    struct profile_stack stack = profile_get_stack(p, profile_get_sample(p, sample).stack);
    const struct profile_location *location = profile_get_location(p, stack.locations[0]);
    return profile_text(p, profile_get_function(p, location->lines[0].function)->name);
}

/* A pprof file with ids that are no positions, for each test to change. */
struct foreign {
    Pprof__Profile profile;
    ProtobufCBinaryData strings[6];
    Pprof__ValueType type, *types[2];
    Pprof__Function function, *functions[2];
    Pprof__Line line, *lines[1];
    Pprof__Location location, bare, *locations[2];
    Pprof__Label label, *labels[1];
    Pprof__Sample sample, *samples[1];
    uint64_t location_ids[2];
    int64_t value;
};

static void make_foreign(struct foreign *f)
{
    const ProtobufCBinaryData strings[] = {TEXT(""),     TEXT("inuse_space"), TEXT("bytes"),
                                           TEXT("main"), TEXT("size"),        TEXT("comment")};
    memcpy(f->strings, strings, sizeof(strings));
    pprof__profile__init(&f->profile);
    pprof__value_type__init(&f->type);
    pprof__function__init(&f->function);
    pprof__line__init(&f->line);
    pprof__location__init(&f->location);
    pprof__location__init(&f->bare);
    pprof__label__init(&f->label);
    pprof__sample__init(&f->sample);
    f->type.type = 1;
    f->type.unit = 2;
    f->function.id = UINT64_MAX;
    f->function.name = 3;
    f->line.function_id = UINT64_MAX;
    f->line.line = 7;
    f->location.id = 1ULL << 40;
    f->location.is_folded = 1;
    f->bare.id = 12345678901ULL;
    f->bare.address = 0xdeadbeef;
    f->label.key = 4;
    f->label.num = -48;
    f->label.num_unit = 2;
    f->value = -512; /* a difference of two profiles */
    f->location_ids[0] = f->location.id;
    f->location_ids[1] = f->bare.id;
    f->types[0] = f->types[1] = &f->type;
    f->functions[0] = f->functions[1] = &f->function;
    f->lines[0] = &f->line;
    f->locations[0] = &f->location;
    f->locations[1] = &f->bare;
    f->labels[0] = &f->label;
    f->samples[0] = &f->sample;
    f->location.n_line = 1;
    f->location.line = f->lines;
    f->sample.n_location_id = 2;
    f->sample.location_id = f->location_ids;
    f->sample.n_value = 1;
    f->sample.value = &f->value;
    f->sample.n_label = 1;
    f->sample.label = f->labels;
    f->profile.n_sample_type = 1;
    f->profile.sample_type = f->types;
    f->profile.n_function = 1;
    f->profile.function = f->functions;
    f->profile.n_location = 2;
    f->profile.location = f->locations;
    f->profile.n_sample = 1;
    f->profile.sample = f->samples;
    f->profile.n_string_table = 6;
    f->profile.string_table = f->strings;
}

static void pprof_ids_are_any_numbers(void **state)
{
    (void)state;
    struct foreign f;
    char error[FORMAT_ERROR_SIZE];
    make_foreign(&f);
    struct profile *p = read_message(&format_pprof, &f.profile.base, error);
    assert_non_null(p);
    struct profile_sample sample = profile_get_sample(p, 0);
    struct profile_stack stack = profile_get_stack(p, sample.stack);
    assert_int_equal(stack.depth, 2);
    assert_string_equal(leaf_name(p, 0), "main");
    assert_true(profile_get_location(p, stack.locations[0])->folded);
    assert_int_equal(profile_get_location(p, stack.locations[1])->address, 0xdeadbeef);
    assert_int_equal(sample.values[0], -512);
    const struct profile_label *label = profile_get_labels(p, sample.labels).labels;
    assert_int_equal(label->number, -48);
    assert_string_equal(profile_text(p, label->unit), "bytes");
    profile_free(p);
}

static void assert_refused(struct foreign *f, const char *reason)
{
    char error[FORMAT_ERROR_SIZE];
    assert_null(read_message(&format_pprof, &f->profile.base, error));
    if (strstr(error, reason) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error, reason);
    make_foreign(f);
}

static void broken_pprof_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct foreign f;
    make_foreign(&f);
    f.location_ids[1] = 99;
    assert_refused(&f, "sample 0 names location 99, which is missing");
    f.line.function_id = 98;
    assert_refused(&f, "names function 98, which is missing");
    f.bare.mapping_id = 97;
    assert_refused(&f, "location 12345678901 names mapping 97, which is missing");
    f.function.name = 600;
    assert_refused(&f, "names string 600 of 6");
    f.function.name = -1;
    assert_refused(&f, "names string -1 of 6");
    f.profile.n_function = 2;
    assert_refused(&f, "two functions have the id 18446744073709551615");
    f.bare.id = 0;
    assert_refused(&f, "a location has the id 0");
    f.sample.n_value = 0;
    assert_refused(&f, "sample 0 has 0 values for 1 sample types");
    f.profile.n_sample_type = 0;
    assert_refused(&f, "no sample types");
    f.profile.n_sample_type = 2;
    assert_refused(&f, "two sample types are \"inuse_space\"");
    f.profile.n_string_table = 0;
    assert_refused(&f, "does not begin with the empty string");
}

/* OTLP as a collector passes it on: references instead of text, times instead of values. */
static void otlp_references_and_times_are_read(void **state)
{
    (void)state;
    ProtobufCBinaryData strings[] = {TEXT(""),      TEXT("samples"),      TEXT("count"),
                                     TEXT("leaf"),  TEXT("service.name"), TEXT("checkout"),
                                     TEXT("route"), TEXT("/cart")};
    Otlp__AnyValue name = OTLP__ANY_VALUE__INIT, route = OTLP__ANY_VALUE__INIT;
    name.value_case = route.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE_STRINDEX;
    name.string_value_strindex = 5;
    route.string_value_strindex = 7;
    Otlp__KeyValue service = OTLP__KEY_VALUE__INIT, *resource_attributes[] = {&service};
    service.key_strindex = 4;
    service.value = &name;
    Otlp__Resource resource = OTLP__RESOURCE__INIT;
    resource.n_attributes = 1;
    resource.attributes = resource_attributes;

    Otlp__Mapping mapping = OTLP__MAPPING__INIT, *mappings[] = {&mapping};
    Otlp__Function no_function = OTLP__FUNCTION__INIT, function = OTLP__FUNCTION__INIT;
    Otlp__Function *functions[] = {&no_function, &function};
    function.name_strindex = 3;
    Otlp__Line line = OTLP__LINE__INIT, *lines[] = {&line};
    line.function_index = 1;
    Otlp__Location no_location = OTLP__LOCATION__INIT, location = OTLP__LOCATION__INIT;
    Otlp__Location *locations[] = {&no_location, &location};
    location.n_lines = 1;
    location.lines = lines;
    Otlp__Stack no_stack = OTLP__STACK__INIT, stack = OTLP__STACK__INIT;
    Otlp__Stack *stacks[] = {&no_stack, &stack};
    stack.n_location_indices = 1;
    stack.location_indices = (int32_t[]){1};
    Otlp__KeyValueAndUnit no_attribute = OTLP__KEY_VALUE_AND_UNIT__INIT;
    Otlp__KeyValueAndUnit attribute = OTLP__KEY_VALUE_AND_UNIT__INIT;
    Otlp__KeyValueAndUnit *attributes[] = {&no_attribute, &attribute};
    attribute.key_strindex = 6;
    attribute.value = &route;
    Otlp__ProfilesDictionary dictionary = OTLP__PROFILES_DICTIONARY__INIT;
    dictionary.n_string_table = sizeof(strings) / sizeof(*strings);
    dictionary.string_table = strings;
    dictionary.n_mapping_table = 1;
    dictionary.mapping_table = mappings;
    dictionary.n_function_table = dictionary.n_location_table = 2;
    dictionary.function_table = functions;
    dictionary.location_table = locations;
    dictionary.n_stack_table = dictionary.n_attribute_table = 2;
    dictionary.stack_table = stacks;
    dictionary.attribute_table = attributes;

    Otlp__Sample sample = OTLP__SAMPLE__INIT, *samples[] = {&sample};
    sample.stack_index = 1;
    sample.n_attribute_indices = 1;
    sample.attribute_indices = (int32_t[]){1};
    sample.n_timestamps_unix_nano = 3;
    sample.timestamps_unix_nano = (uint64_t[]){10, 20, 30};
    Otlp__ValueType type = OTLP__VALUE_TYPE__INIT;
    type.type_strindex = 1;
    type.unit_strindex = 2;
    Otlp__Profile profile = OTLP__PROFILE__INIT, *profiles[] = {&profile, &profile};
    profile.sample_type = &type;
    profile.n_samples = 1;
    profile.samples = samples;
    Otlp__ScopeProfiles scope = OTLP__SCOPE_PROFILES__INIT, *scopes[] = {&scope};
    scope.n_profiles = 2; /* the same twice: it adds up */
    scope.profiles = profiles;
    Otlp__ResourceProfiles one = OTLP__RESOURCE_PROFILES__INIT, *all[] = {&one};
    one.resource = &resource;
    one.n_scope_profiles = 1;
    one.scope_profiles = scopes;
    Otlp__ProfilesData data = OTLP__PROFILES_DATA__INIT;
    data.n_resource_profiles = 1;
    data.resource_profiles = all;
    data.dictionary = &dictionary;

    char error[FORMAT_ERROR_SIZE];
    struct profile *p = read_message(&format_otlp, &data.base, error);
    if (p == NULL)
        fail_msg("%s", error);
    assert_int_equal(profile_sample_count(p), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct profile_sample timed = profile_get_sample(p, i);
        const struct profile_label_set set = profile_get_labels(p, timed.labels);
        assert_int_equal(timed.values[0], 2);
        assert_int_equal(set.count, 2);
        assert_string_equal(profile_text(p, set.labels[0].key), PROFILE_TIME);
        assert_int_equal(set.labels[0].number, 10 * (i + 1));
    }
    assert_string_equal(leaf_name(p, 0), "leaf");
    assert_string_equal(profile_label_text(p, profile_get_sample(p, 0).labels, "route"),
                        "/cart");
    const struct profile_label *resource_label = profile_attribute(p, PROFILE_RESOURCE, 0);
    assert_string_equal(profile_text(p, resource_label->key), "service.name");
    assert_string_equal(profile_text(p, resource_label->text), "checkout");
    profile_free(p);

    sample.stack_index = 2;
    assert_null(read_message(&format_otlp, &data.base, error));
    assert_string_equal(error, "index 2 names a stack of 2");
    sample.stack_index = -1;
    assert_null(read_message(&format_otlp, &data.base, error));
    sample.stack_index = 1;
    function.name_strindex = 8;
    assert_null(read_message(&format_otlp, &data.base, error));
    assert_string_equal(error, "index 8 names a string of 8");
}

/* An empty message is two bytes on the wire and a hundred in memory. */
static void a_small_input_does_not_unfold_into_a_large_tree(void **state)
{
    (void)state;
    static const struct format *const formats[] = {&format_pprof, &format_otlp};
    static const unsigned char tags[] = {0x12, 0x0a};
    const size_t count = 1 << 19;
    for (int i = 0; i < 2; i++) {
        struct buffer bytes = {0};
        char error[FORMAT_ERROR_SIZE] = "";
        for (size_t k = 0; k < count; k++)
            buffer_append(&bytes, (unsigned char[]){tags[i], 0}, 2);
        struct profile *p = format_read(formats[i], bytes.data, bytes.size, error);
        assert_null(p);
        assert_true(error[0] != '\0');
        buffer_free(&bytes);
    }
}

static void collapsed_is_read_as_others_write_it(void **state)
{
    (void)state;
    static const char text[] = "# a comment\r\n"
                               "main;work (app.py:12) 5\r\n"
                               "\n"
                               "main;tab\t2\n"
                               "main;whole 2.0\n"
                               "main;name 7 6\n"
                               "  main;padded   3  \n"
                               "main;;x 1\n"
                               "main;last 4";
    char error[FORMAT_ERROR_SIZE];
    struct profile *p =
        format_read(&format_collapsed, (const unsigned char *)text, sizeof(text) - 1, error);
    static const struct {
        const char *leaf;
        int64_t count;
    } expected[] = {{"work", 5},   {"tab", 2}, {"whole", 2}, {"name 7", 6},
                    {"padded", 3}, {"x", 1},   {"last", 4}};
    assert_non_null(p);
    assert_int_equal(profile_sample_count(p), sizeof(expected) / sizeof(*expected));
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        assert_string_equal(leaf_name(p, i), expected[i].leaf);
        assert_int_equal(profile_get_sample(p, i).values[0], expected[i].count);
    }
    profile_free(p);
}

static struct profile *read_text(const char *text, char error[FORMAT_ERROR_SIZE])
{
    return format_read(&format_collapsed, (const unsigned char *)text, strlen(text), error);
}

static void a_blank_and_a_count_is_an_empty_stack(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE];
    struct profile *p = read_text(" 1\na;b 3\n\t 0.5\n", error);
    assert_non_null(p);
    assert_int_equal(profile_sample_count(p), 2);
    assert_int_equal(profile_get_stack(p, profile_get_sample(p, 0).stack).depth, 0);
    assert_int_equal(profile_get_sample(p, 0).values[0], 1500000); /* millionths */
    assert_int_equal(profile_get_sample(p, 1).values[0], 3000000);
    profile_free(p);
}

/* Any text could be meant, so that nothing but stacks with counts is taken for them. */
static void text_that_is_no_stacks_is_refused_by_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"hello\n", "line 1 is no stack with a count behind it: \"hello\""},
        {"# x\n\na;b 5\n  a;b  \n", "line 4 is no stack with a count behind it: \"a;b\""},
        {"5\n", "line 1 "},
        {"a;b five\n", "line 1 "},
        {"a;b 5x\n", "line 1 "},
        {"a;b 1.2.3\n", "line 1 "},
        {"a;b -\n", "line 1 "},
        {"a;b .e\n", "line 1 "},
        {"a;b inf\n", "line 1 "},
        {"a;b 0x10\n", "line 1 "},
        {"a;b 2\n7\n", "line 2 "},
        {" 5\n 7\n", "no stacks in it"},
        {"", "no stacks in it"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char error[FORMAT_ERROR_SIZE] = "";
        assert_null(read_text(cases[i].text, error));
        if (strstr(error, cases[i].reason) == NULL)
            fail_msg("\"%s\" gave \"%s\"", cases[i].text, error);
    }
}

static void collapsed_fractions_keep_their_proportions(void **state)
{
    (void)state;
    static const int64_t counts[] = {300000, 2600000, 4000000, 10, -250000, INT64_MAX};
    char error[FORMAT_ERROR_SIZE];
    struct buffer out = {0};
    struct profile *p =
        read_text("a 0.3\nb 2.6\nc 4\nd 1e-05\ne -.25\nf 9223372036854775807\n", error);
    assert_non_null(p);
    assert_string_equal(profile_unit(p, 0), "millionths");
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        assert_int_equal(profile_get_sample(p, i).values[0], counts[i]);
    assert_int_equal(format_collapsed.write(p, &out), 0);
    buffer_append(&out, "", 1);
    assert_string_equal(out.data, "a 0.300000\nb 2.600000\nc 4\nd 0.000010\ne -0.250000\n"
                                  "f 9223372036854.775807\n");
    buffer_free(&out);
    profile_free(p);
}

/* difffolded.pl's files: a count before, a count now. */
static void two_counts_in_every_line_are_two_columns(void **state)
{
    (void)state;
    char error[FORMAT_ERROR_SIZE];
    struct profile *p = read_text("\xef\xbb\xbf"
                                  "a;b 10 12\na;c 0\t3\n",
                                  error);
    assert_non_null(p);
    assert_int_equal(profile_value_count(p), 2);
    assert_int_equal(profile_value_column(p, "samples"), 0);
    assert_int_equal(profile_value_column(p, "before"), 1);
    assert_string_equal(profile_text(p, profile_header_const(p)->default_type), "samples");
    assert_int_equal(column_total(p, 0), 15);
    assert_int_equal(column_total(p, 1), 10);
    assert_string_equal(leaf_name(p, 0), "b");
    profile_free(p);
    p = read_text("a;b 10 12\na;c 3\n", error); /* not in every line: part of the name */
    assert_string_equal(leaf_name(p, 0), "b 10");
    profile_free(p);
    p = read_text("a;c 3\na;b 10 12\n", error);
    assert_int_equal(profile_value_count(p), 1);
    profile_free(p);
}

/* What py-spy, rbspy and perf put behind a name becomes its place and type; what only looks
 * like it stays in the name. */
static void names_of_other_profilers_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *file, *module;
        int64_t line;
        enum cprof_frame_type type;
    } cases[] = {
        {"work (app.py:12)", "work", "app.py", "", 12, CPROF_FRAME_CPYTHON},
        {"<module> (a b/c (d).py:1)", "<module>", "a b/c (d).py", "", 1, CPROF_FRAME_CPYTHON},
        {"_find (<frozen importlib._bootstrap>:1176)", "_find", "<frozen importlib._bootstrap>",
         "", 1176, CPROF_FRAME_CPYTHON},
        {"deflate (libz.so.1.2.13)", "deflate", "", "libz.so.1.2.13", 0, CPROF_FRAME_NATIVE},
        {"encode (_json.c:1368)", "encode", "_json.c", "", 1368, CPROF_FRAME_NATIVE},
        {"block in Cart#total - /app/cart.rb:7", "block in Cart#total", "/app/cart.rb", "", 7,
         CPROF_FRAME_RUBY},
        {"handle (app.mjs:3)", "handle", "app.mjs", "", 3, CPROF_FRAME_V8JS},
        {"vfs_read_[k]", "vfs_read", "", "", 0, CPROF_FRAME_KERNEL},
        {"_[k]", "_[k]", "", "", 0, CPROF_FRAME_UNKNOWN},
        {"operator() (int)", "operator() (int)", "", "", 0, CPROF_FRAME_UNKNOWN},
        {"a (:12)", "a (:12)", "", "", 0, CPROF_FRAME_UNKNOWN},
        {"a (b:12345678901234567890)", "a (b:12345678901234567890)", "", "", 0,
         CPROF_FRAME_UNKNOWN},
        {" (x.py:1)", "(x.py:1)", "", "", 0, CPROF_FRAME_UNKNOWN},
        {"a - b", "a - b", "", "", 0, CPROF_FRAME_UNKNOWN},
        {"()", "()", "", "", 0, CPROF_FRAME_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[200], error[FORMAT_ERROR_SIZE];
        int length = snprintf(line, sizeof(line), "%s 1\n", cases[i].text);
        struct profile *p =
            format_read(&format_collapsed, (const unsigned char *)line, (size_t)length, error);
        assert_non_null(p);
        struct profile_stack stack = profile_get_stack(p, profile_get_sample(p, 0).stack);
        const struct profile_location *l = profile_get_location(p, stack.locations[0]);
        const struct profile_function *f = profile_get_function(p, l->lines[0].function);
        if (strcmp(profile_text(p, f->name), cases[i].name) == 0) {
            assert_string_equal(profile_text(p, f->filename), cases[i].file);
            assert_string_equal(profile_text(p, profile_get_mapping(p, l->mapping)->filename),
                                cases[i].module);
            assert_int_equal(l->lines[0].line, cases[i].line);
            assert_int_equal(l->type, cases[i].type);
        } else {
            fail_msg("\"%s\" became \"%s\"", cases[i].text, profile_text(p, f->name));
        }
        profile_free(p);
    }
}

/* A text has no sizes in it that could promise more than there is: only long lines, and numbers
 * beyond any. */
static void collapsed_of_any_size_is_read_in_bounds(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    struct buffer text = {0};
    char error[FORMAT_ERROR_SIZE];
    for (int i = 0; i < DEPTH; i++)
        buffer_append(&text, "f;", 2);
    static const char rest[] = "leaf 99999999999999999999\n"
                               "most 9223372036854775807\n"
                               "most 9223372036854775807\n"
                               "least -99999999999999999999\n";
    buffer_append(&text, rest, sizeof(rest) - 1);
    struct profile *p = format_read(&format_collapsed, text.data, text.size, error);
    assert_non_null(p);
    assert_int_equal(profile_get_stack(p, profile_get_sample(p, 0).stack).depth, DEPTH + 1);
    static const int64_t counts[] = {INT64_MAX, INT64_MAX, INT64_MIN};
    assert_int_equal(profile_sample_count(p), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(profile_get_sample(p, i).values[0], counts[i]);
    profile_free(p);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pprof_ids_are_any_numbers),
        cmocka_unit_test(broken_pprof_is_refused_with_the_reason),
        cmocka_unit_test(otlp_references_and_times_are_read),
        cmocka_unit_test(a_small_input_does_not_unfold_into_a_large_tree),
        cmocka_unit_test(collapsed_is_read_as_others_write_it),
        cmocka_unit_test(a_blank_and_a_count_is_an_empty_stack),
        cmocka_unit_test(text_that_is_no_stacks_is_refused_by_its_line),
        cmocka_unit_test(collapsed_fractions_keep_their_proportions),
        cmocka_unit_test(two_counts_in_every_line_are_two_columns),
        cmocka_unit_test(names_of_other_profilers_are_taken_apart),
        cmocka_unit_test(collapsed_of_any_size_is_read_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
