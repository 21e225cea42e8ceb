/* What every decoder's fuzzer does: read the bytes; what could be read must survive being
 * written, read again, compacted and merged. */
#ifndef TESTS_FUZZ_FORMAT_H
#define TESTS_FUZZ_FORMAT_H

#include <stdlib.h>

#include "format/format.h"
#include "profile/combine.h"

static inline void check(bool holds)
{
    if (!holds)
        abort();
}

/* Values as they were: the sum over all samples and columns. */
static inline uint64_t checksum(const struct profile *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        struct profile_sample sample = profile_get_sample(p, i);
        for (size_t k = 0; k < profile_value_count(p); k++)
            sum += (uint64_t)profile_value(p, &sample, k);
    }
    return sum;
}

static inline int fuzz_format(const struct format *format, const uint8_t *data, size_t size)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *p = format_read(format, data, size, error);
    if (p == NULL) {
        check(error[0] != '\0');
        return 0;
    }
    const struct format *writer;
    for (size_t i = 0; (writer = format_at(i)) != NULL; i++) {
        struct buffer bytes = {0};
        if (writer->write == NULL || writer == &format_html) /* 100 KiB of scripts each */
            continue;
        if (writer->write(p, &bytes) == 0 && writer == &format_pprof) {
            struct profile *again = format_read(&format_pprof, bytes.data, bytes.size, error);
            check(again != NULL && checksum(again) == checksum(p));
            profile_free(again);
        }
        buffer_free(&bytes);
    }
    struct profile *compact = profile_compact(p), *merged = profile_new(NULL);
    check(compact != NULL && checksum(compact) == checksum(p));
    check(profile_merge(merged, compact) == 0 && profile_merge(merged, p) == 0);
    check(format->read(data, size, p, error) == 0 &&
          profile_sample_count(p) == profile_sample_count(merged));
    profile_free(merged);
    profile_free(compact);
    profile_free(p);
    return 0;
}

#endif
