/* The regular expressions of pprof's files: what matches, what is refused, and that no pattern
 * takes for ever. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "profile/pattern.h"

static bool matches(const char *text, const char *name)
{
    struct pattern *pattern;
    assert_int_equal(pattern_new(text, &pattern), 0);
    bool result = pattern_matches(pattern, name, strlen(name));
    pattern_free(pattern);
    return result;
}

static void patterns_match_whole_names(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *yes[4], *no[4]; /* each ends with NULL */
    } cases[] = {
        {"malloc", {"malloc"}, {"mallocx", "xmalloc", ""}},
        {"runtime\\..*", {"runtime.", "runtime.gcBgMarkWorker"}, {"runtimex", "xruntime.a"}},
        {"a|bc|d*", {"a", "bc", "ddd"}, {"ab", "b"}},
        {"a|b|c|(?:x|y)+z", {"c", "xyxz", "b"}, {"z", "xy"}},
        {"", {""}, {"a"}},
        {"x*", {"", "x", "xxx"}, {"y"}},
        {"(ab+)?c", {"c", "abbc"}, {"ac"}},
        {"a{2}", {"aa"}, {"a", "aaa"}},
        {"a{2,}", {"aa", "aaa", "aaaa"}, {"a", ""}},
        {"a{1,}b{0,}", {"a", "aabbb"}, {"b"}},
        {"(ab){1,3}", {"ab", "ababab"}, {"", "abababab"}},
        {"a{0,2}", {"", "a", "aa"}, {"aaa"}},
        {"[a-c]x[^0-9]", {"axa", "cx-"}, {"dxa", "ax5"}},
        {"[]x-]+", {"]", "x-]"}, {"a"}},
        {"[[:alpha:]_]+", {"a_B"}, {"a1"}},
        {"\\d+\\w\\s\\.", {"12a ."}, {"a2a ."}},
        {"\\D\\W\\S", {"a-a"}, {"1-a"}},
        {"^a$|^b", {"a", "b"}, {"ab"}},
        {"a.*?b", {"ab", "axxb"}, {"a"}},
        {"(?P<name>a)(?:b)", {"ab"}, {"a"}},
        {".", {"x"}, {"\n", ""}},
        {"operator\\(\\)", {"operator()"}, {"operator"}},
        {"((a|b)*c){2}", {"abcc", "cac"}, {"c", "ccc"}},
        {"(?i)ab[c-e]", {"ABC", "abd", "aBE"}, {"abf"}},
        {"a(?i:b)c", {"aBc", "abc"}, {"ABc", "abC"}},
        {"a((?i)b)c|(?i)d", {"aBc", "D"}, {"abC", "Abc"}},
        {"(?i)[^a]", {"b"}, {"a", "A"}},
        {"(?is).(?-is:x).", {"\nxx"}, {"\nXx"}},
        {"\\ba.*b\\b", {"a-b", "a b", "a_b"}, {"x"}},
        {"a\\Bb\\b-", {"ab-"}, {"ab", "a-"}},
        {"\\Aa\\z", {"a"}, {"aa"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t k = 0; k < 4 && cases[i].yes[k] != NULL; k++)
            if (!matches(cases[i].pattern, cases[i].yes[k]))
                fail_msg("/%s/ should match \"%s\"", cases[i].pattern, cases[i].yes[k]);
        for (size_t k = 0; k < 4 && cases[i].no[k] != NULL; k++)
            if (matches(cases[i].pattern, cases[i].no[k]))
                fail_msg("/%s/ should not match \"%s\"", cases[i].pattern, cases[i].no[k]);
    }
}

static bool finds(const char *text, const char *name)
{
    struct pattern *pattern;
    assert_int_equal(pattern_new(text, &pattern), 0);
    bool result = pattern_finds(pattern, name, strlen(name));
    pattern_free(pattern);
    return result;
}

static void patterns_are_found_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool found;
    } cases[] = {
        {"alloc", "xmallocx", true},
        {"alloc", "alloc", true},
        {"alloc", "allo", false},
        {"^alloc", "xalloc", false},
        {"alloc$", "xalloc", true},
        {"alloc$", "allocx", false},
        {"", "", true},
        {"", "a", true},
        {"a*", "b", true},
        {"b+c", "abbbc", true},
        {"\\bfoo\\b", "a.foo()", true},
        {"\\bfoo\\b", "a_foo", false},
        {"\\bfoo", "foobar", true},
        {"foo\\b", "foobar", false},
        {"aab", "aaab", true},
        {"(?i)CART", "/cart", true},
        {"x|y|z$", "aaz", true},
        {"\\B", "", true},
        {"\\b", "", false},
        {"\\b", "a", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (finds(cases[i].pattern, cases[i].name) != cases[i].found)
            fail_msg("/%s/ in \"%s\"", cases[i].pattern, cases[i].name);
}

static void what_is_no_pattern_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "(",     ")",    "a)",    "[a",  "*",  "a|*",  "\\",  "a{",    "a{x",   "a{2,1}", "(?)",
        "(?x)a", "\\pL", "[b-a]", "[\\", "(?", "a{0}", "[[:", "(?P<a", "a{,2}", "[a-"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct pattern *pattern;
        if (pattern_new(broken[i], &pattern) != -EINVAL)
            fail_msg("/%s/ was taken", broken[i]);
        assert_null(pattern);
    }
}

static void no_pattern_takes_for_ever(void **state)
{
    (void)state;
    char text[5000], name[2000];
    struct pattern *pattern;
    assert_int_equal(pattern_new("((((a{9}){9}){9}){9}){9}", &pattern), -E2BIG);
    memset(text, '(', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pattern_new(text, &pattern), -E2BIG);
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(pattern_new(text, &pattern), -E2BIG);
    memset(text, '|', sizeof(text) - 1);
    assert_int_equal(pattern_new(text, &pattern), -E2BIG);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_false(matches("(a*)*(a*)*(a|a)*(a?){20}b", name));
    assert_true(matches("(a*)*(a*)*(a|a)*(a?){20}", name));
    assert_false(finds("(a*)*(a*)*(a|a)*(a?){20}b", name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_whole_names),
        cmocka_unit_test(patterns_are_found_anywhere),
        cmocka_unit_test(what_is_no_pattern_is_refused),
        cmocka_unit_test(no_pattern_takes_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
