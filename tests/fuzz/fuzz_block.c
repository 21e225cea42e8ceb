/* Blocks: what could be read must survive as every format's does, and be a block again. */
#include "format/block.h"
#include "format/digest.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add_again(void *closure, struct profile *interval)
{
    block_writer_add(closure, interval);
    profile_free(interval);
    return 0;
}

static int compare(void *closure, struct profile *interval)
{
    *(uint64_t *)closure += checksum(interval);
    profile_free(interval);
    return 0;
}

/* Added up as history does, also what ends in damage. */
struct adding {
    struct profile *sum;
    uint64_t version;
    struct tally tally;
};

static int add_head(void *closure, const struct profile *head, struct block_target *target)
{
    struct adding *adding = closure;
    if (!profile_merges_in_place(adding->sum, head))
        tally_flush(&adding->tally, adding->sum);
    const struct profile *before = adding->sum;
    int status = profile_merge_apart_head(&adding->sum, head, target->places, &target->extra);
    adding->version += adding->sum != before;
    target->sum = adding->sum;
    target->version = adding->version;
    target->tally = &adding->tally;
    return status;
}

static int drop(void *closure, struct profile *levels)
{
    (void)closure;
    profile_free(levels);
    return 0;
}

static void add_up(const uint8_t *data, size_t size)
{
    static struct adding adding;
    char error[FORMAT_ERROR_SIZE];
    adding = (struct adding){.sum = profile_new(NULL)};
    const struct block_visitor visitor = {.closure = &adding, .take = drop, .into = add_head};
    block_read(data, size, &visitor, error);
    tally_flush(&adding.tally, adding.sum);
    tally_free(&adding.tally);
    profile_free(adding.sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    add_up(data, size);
    char error[FORMAT_ERROR_SIZE] = "";
    struct buffer again = {0};
    struct block_writer *writer = block_writer_new(NULL, 0);
    const struct block_visitor visitor = {.closure = writer, .take = add_again};
    if (block_read(data, size, &visitor, error) == 0) {
        uint64_t first = 0, second = 0;
        const struct block_visitor one = {.closure = &first, .take = compare};
        const struct block_visitor other = {.closure = &second, .take = compare};
        check(block_writer_end(writer, &again) == 0);
        check(block_read(data, size, &one, error) == 0);
        check(block_read(again.data, again.size, &other, error) == 0 && first == second);
    } else {
        check(error[0] != '\0');
    }
    struct digest digest;
    if (digest_read(data, size, &digest) == 0)
        digest_free(&digest);
    buffer_free(&again);
    block_writer_free(writer);
    return fuzz_format(&format_block, data, size);
}
