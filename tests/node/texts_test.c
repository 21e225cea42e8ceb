/* Source texts and source maps that nobody writes, but somebody may serve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "methods.h"
#include "room.h"
#include "source_map.h"

static size_t room, limit = SIZE_MAX;

bool room_take(size_t bytes)
{
    bool has = bytes <= limit && room <= limit - bytes;
    room += has ? bytes : 0;
    return has;
}

void room_give(size_t bytes)
{
    room -= bytes;
}

static char *repeated(const char *text, size_t times)
{
    size_t size = strlen(text);
    char *all = malloc(size * times + 1);
    assert_non_null(all);
    for (size_t i = 0; i < times; i++)
        memcpy(all + size * i, text, size);
    all[size * times] = '\0';
    return all;
}

static void find(const char *text, struct methods *methods)
{
    const struct characters characters = {.one = (const uint8_t *)text,
                                          .length = (uint32_t)strlen(text)};
    *methods = (struct methods){0};
    assert_true(methods_find(&characters, methods));
}

static void test_as_many_classes_and_methods_as_there_are(void **state)
{
    enum { TIMES = 200000 };
    struct methods methods;
    char *text = repeated("class A{m(){}}", TIMES);
    (void)state;
    find(text, &methods);
    assert_int_equal(methods.class_count, TIMES);
    assert_int_equal(methods.count, TIMES);
    assert_int_equal(methods.list[TIMES - 1].class_, TIMES - 1);
    methods_free(&methods);
    assert_int_equal(room, 0);
    free(text);
}

static void test_brackets_as_deep_as_they_are(void **state)
{
    enum { DEEP = 10000 };
    struct methods methods;
    char *open = repeated("[", DEEP), *close = repeated("]", DEEP);
    char *text = malloc(2 * DEEP + 32);
    (void)state;
    assert_non_null(text);
    sprintf(text, "%s%s;class A{m(){}}", open, close);
    find(text, &methods);
    assert_non_null(methods_class(&methods, 2 * DEEP + (uint32_t)strlen(";class A{m")));
    methods_free(&methods);
    assert_int_equal(room, 0);
    free(text);
    free(open);
    free(close);
}

/* The reading ends there; what it has found stays. */
static void test_where_there_is_no_room(void **state)
{
    struct methods methods;
    char *text = repeated("class A{m(){}}", 200000);
    const struct characters all = {.one = (const uint8_t *)text,
                                   .length = (uint32_t)strlen(text)};
    (void)state;
    for (limit = 0; limit < 1 << 20; limit = limit * 2 + 16) {
        methods = (struct methods){0};
        assert_false(methods_find(&all, &methods));
        assert_in_range(room, 0, limit);
        if (methods.count > 0)
            assert_non_null(methods_class(&methods, (uint32_t)strlen("class A{m")));
        methods_free(&methods);
        assert_int_equal(room, 0);
    }
    limit = SIZE_MAX;
    free(text);
}

/* An escape without digits takes more room than it had: seen with AddressSanitizer. */
static void test_escape_that_ends_with_its_string(void **state)
{
    static const char text[] = "{\"version\":3,\"sourceRoot\":\"aaaaaaaaaaaaaaaaaaa\\u\","
                               "\"sources\":[\"b\"],\"mappings\":\"AAAA\"}";
    struct source_place place;
    (void)state;
    struct source_map *map = source_map_read(text, strlen(text));
    assert_non_null(map);
    assert_true(source_map_find(map, 1, 1, false, &place));
    assert_string_equal(place.file, "aaaaaaaaaaaaaaaaaaa\xef\xbf\xbd/b");
    source_map_free(map);
}

/* A megabyte before each of two thousand sources would be two gigabytes. */
static void test_long_root(void **state)
{
    char *root = repeated("a", 1 << 20), *sources = repeated("\"b\",", 2000);
    char *text = malloc((2 << 20));
    (void)state;
    assert_non_null(text);
    size_t size = (size_t)snprintf(text, 2 << 20,
                                   "{\"version\":3,\"sourceRoot\":\"%s\",\"sources\":[%s\"b\"],"
                                   "\"mappings\":\"AAAA\"}",
                                   root, sources);
    struct source_map *map = source_map_read(text, size);
    assert_non_null(map);
    assert_in_range(source_map_size(map), 0, 129 << 20);
    source_map_free(map);
    free(text);
    free(sources);
    free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_many_classes_and_methods_as_there_are),
        cmocka_unit_test(test_brackets_as_deep_as_they_are),
        cmocka_unit_test(test_where_there_is_no_room),
        cmocka_unit_test(test_escape_that_ends_with_its_string),
        cmocka_unit_test(test_long_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
