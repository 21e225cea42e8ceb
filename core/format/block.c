/* A block as a format like the others: written with one interval, read as the sum of all. */
#include "format/block.h"

#include <errno.h>

#include "format/refuse.h"
#include "profile/combine.h"

static int write_one(const struct profile *profile, struct buffer *out)
{
    struct block_writer *writer = block_writer_new(NULL, 0);
    int status = writer != NULL ? block_writer_add(writer, profile) : -ENOMEM;
    if (status == 0)
        status = block_writer_end(writer, out);
    block_writer_free(writer);
    return status;
}

struct sum {
    struct profile *profile;
    int status; /* of merging */
};

static int add_interval(void *closure, struct profile *interval)
{
    struct sum *sum = closure;
    if (sum->profile == NULL) {
        sum->profile = interval;
        return 0;
    }
    sum->status = profile_merge_apart(&sum->profile, interval);
    profile_free(interval);
    return sum->status;
}

static int read_all(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct sum own = {0};
    const struct block_visitor visitor = {.closure = &own, .take = add_interval};
    int status = block_read(data, size, &visitor, error);
    if (own.status != 0)
        status = refuse_merge(error, own.status);
    else if (status == 0 && own.profile != NULL)
        status = refuse_merge(error, profile_merge(sum, own.profile));
    profile_free(own.profile);
    return status;
}

static const char *const endings[] = {".block", NULL};

const struct format format_block = {
    .name = "block", .endings = endings, .write = write_one, .read = read_all};
