/*
 * Adding up a block's samples straight into a sum: rows of its tables become the sum's when a
 * sample first needs them, and each but once for all intervals. No profile is made of what only
 * passes through.
 *
 * Belongs to one reader, whose tables (block_tables.h) outlive it.
 */
#ifndef CPROF_FORMAT_BLOCK_ADD_H
#define CPROF_FORMAT_BLOCK_ADD_H

#include "format/block_tables.h"

struct block_adder {
    const struct block_tables *tables;
    struct profile *sum; /* NULL: none yet */
    uint64_t version;    /* of the target's sum */
    /* The sum's id of each row, by id; 0: not asked for yet, or nothing. */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links, *sets;
    profile_id *ids; /* what they lie in */
    size_t id_count;
    struct profile_extra extra; /* what `sets` have beside their own labels */
    struct tally_line **lines;  /* by label set, of the sheet at hand */
    /* One row's payload on its way. */
    profile_id *frames;
    struct profile_line *inlined;
    struct profile_label *labels;
};

/* 0 or -ENOMEM; to be freed in any case. */
int block_adder_init(struct block_adder *adder, const struct block_tables *tables);
void block_adder_free(struct block_adder *adder);

/* Adds the interval's samples where the target says, but for the columns that `without` names
 * (NULL: all go, also rows that are 0). 0 or -ENOMEM; to a writer, which takes all, or -ENOSPC:
 * it takes no more. */
int block_add(struct block_adder *adder, const struct block_interval *interval,
              const struct block_target *target, const bool *without);

#endif
