/* SHA-256 against the examples of FIPS 180 and NIST's test vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "symbol/image.h"
#include "symbol/sha256.h"

static void assert_hash(const void *data, size_t size, size_t piece, const char *expected)
{
    struct sha256 sha;
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    sha256_begin(&sha);
    for (size_t at = 0; at < size; at += piece)
        sha256_add(&sha, (const char *)data + at, size - at < piece ? size - at : piece);
    sha256_end(&sha, digest);
    image_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, expected);
}

static void published_examples_hash_as_published(void **state)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    (void)state;
    assert_hash("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, 3,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash(two_blocks, 56, 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters_hash_alike_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 3, 63, 64, 65, 4096, 1000000};
    size_t size = 1000000;
    char *letters = malloc(size);
    (void)state;
    memset(letters, 'a', size);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        assert_hash(letters, size, pieces[i],
                    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(letters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_hash_as_published),
        cmocka_unit_test(a_million_letters_hash_alike_in_pieces_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
