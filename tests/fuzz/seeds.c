/* Writes the seed corpus of the fuzzers: small valid files of every format, raw and gzipped. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "format/format.h"
#include "samples.h"

static int put(const char *folder, const char *name, unsigned number, const void *data,
               size_t size)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s-%u", folder, name, number);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return -errno;
    size_t written = fwrite(data, 1, size, file);
    return fclose(file) == 0 && written == size ? 0 : -EIO;
}

/* As the format writes it, and unpacked where it packs. */
static int put_format(const char *folder, const struct format *format, unsigned number,
                      const struct profile *p)
{
    struct buffer bytes = {0}, raw = {0};
    int status = format->write(p, &bytes);
    if (status == 0)
        status = put(folder, format->name, number, bytes.data, bytes.size);
    if (status == 0 && buffer_gunzip(bytes.data, bytes.size, FORMAT_MAX_INFLATED, &raw) == 0)
        status = put(folder, "raw", number, raw.data, raw.size);
    buffer_free(&bytes);
    buffer_free(&raw);
    return status;
}

int main(int argc, char **argv)
{
    static const struct format *const formats[] = {&format_pprof, &format_otlp,
                                                   &format_collapsed};
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
        return 2;
    }
    mkdir(argv[1], 0777);
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct profile *p = cpu_profile(NULL);
        profile_set_text(p, PROFILE_RESOURCE, "service.name", "checkout");
        profile_set_number(p, PROFILE_ATTRIBUTES, "cprof.samples", 12);
        profile_set_text(p, PROFILE_COMMENTS, "", "a comment");
        add_random_samples(p, seed, seed * 3);
        for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
            if (put_format(argv[1], formats[i], seed, p) != 0)
                return 1;
        profile_free(p);
    }
    return 0;
}
