/*
 * A block: many profiles ("intervals") in few bytes. What neighbours in time share, they share
 * here: one table each of strings, mappings, functions, locations, stacks, links and label sets
 * serves all of them. Stacks are a trie, root first; tables are columns of differences
 * (columns.h); the whole is packed with gzip, whose checksum tells a damaged block. The format
 * is cprof's own, for its store; format_block reads and writes it as any other.
 *
 * After the magic bytes come, each as columns.h writes a table, with the number of its columns:
 *
 *     strings 1 (length), their bytes · mappings 7 · functions 4 · locations 6 · lines 3 ·
 *     nodes 2 (parent, location) · stacks 1 (node) · links: a number, 24 bytes each ·
 *     label sets 1 (length) · labels 5 · layouts 1 (sheets) · sheets 4 · columns 2 ·
 *     intervals 14 (enum block_field), 16 bytes of profile_id each ·
 *     and of each interval the size of what follows, and for each sheet a table of factors
 *     (a row, one for each column) and one of samples 3 + columns (stack, link, label set,
 *     values).
 *
 * What a strip of time shows of it stands in gzip's own header, for those who unpack nothing
 * (digest.h).
 *
 * Ids count from 1 in the order of a table; 0 is the zero value, as in profile.h. A value but a
 * sheet's first is stored less factor times the first: nanoseconds that are samples times the
 * period become zeros.
 *
 * A writer belongs to one thread and keeps within the memory that it is given. A reader takes
 * untrusted bytes, as format.h says, and holds one interval at a time beside what they share.
 */
#ifndef CPROF_FORMAT_BLOCK_H
#define CPROF_FORMAT_BLOCK_H

#include <stdbool.h>

#include "format/columns.h"
#include "format/format.h"
#include "format/tally.h"

#define BLOCK_MAGIC                                                                            \
    "\x93"                                                                                     \
    "CPROF\x01\n"
#define BLOCK_MAGIC_SIZE (sizeof(BLOCK_MAGIC) - 1)
#define BLOCK_MAX_INTERVALS 4096

/* The columns of the tables, for both halves. */
enum block_field {
    BLOCK_TIME,
    BLOCK_DURATION,
    BLOCK_DEFAULT_TYPE,
    BLOCK_DOC_URL,
    BLOCK_DROP_FRAMES,
    BLOCK_KEEP_FRAMES,
    BLOCK_SCOPE_NAME,
    BLOCK_SCOPE_VERSION,
    BLOCK_PROGRAM,
    BLOCK_LAYOUT,
    BLOCK_ATTRIBUTES, /* and the two behind it: label sets, as enum profile_attributes counts */
    BLOCK_FIELDS = BLOCK_ATTRIBUTES + PROFILE_COMMENTS + 1 + 1, /* the last: 0, for later */
};
enum {
    BLOCK_STRING_WIDTH = 1,
    BLOCK_MAPPING_WIDTH = 7,
    BLOCK_FUNCTION_WIDTH = 4,
    BLOCK_LOCATION_WIDTH = 6,
    BLOCK_LINE_WIDTH = 3,
    BLOCK_NODE_WIDTH = 2,
    BLOCK_STACK_WIDTH = 1,
    BLOCK_SET_WIDTH = 1,
    BLOCK_LABEL_WIDTH = 5,
    BLOCK_LAYOUT_WIDTH = 1,
    BLOCK_SHEET_WIDTH = 4,
    BLOCK_COLUMN_WIDTH = 2,
    BLOCK_KEY_WIDTH = 3, /* of a sample, before its values */
};

/* ---- writing ---- */

struct block_writer;

/* One that draws on the budget (NULL: none) and holds at most so many bytes; 0: no bound. NULL:
 * out of memory. */
struct block_writer *block_writer_new(struct budget *budget, size_t memory);
void block_writer_free(struct block_writer *writer);

/* The block is going to be rewritten soon: it may be larger, if it is packed in less time. */
void block_writer_hasten(struct block_writer *writer);

/* Adds a profile as an interval of its own. 0; -ENOSPC: it does not fit into this block, which
 * stays as it was and takes no more; -ENODATA: it has no values; or -ENOMEM, and then the
 * writer is of no use. */
int block_writer_add(struct block_writer *writer, const struct profile *profile);
size_t block_writer_count(const struct block_writer *writer);

/* The same of an interval whose samples come apart (block_add.h): begins one with all that
 * stands once in `head`; gives room for those of a sheet, as ids of the shared profile; and
 * ends it, or takes it back if `status` is not 0. 0, or as block_writer_add(), and then the
 * writer takes no more. */
int block_writer_begin(struct block_writer *writer, const struct profile *head);
struct profile *block_writer_shared(struct block_writer *writer);
int block_writer_room(struct block_writer *writer, size_t sheet, size_t rows,
                      struct columns **samples);
int block_writer_close(struct block_writer *writer, int status);

/* Appends the block. 0 or -ENOMEM. */
int block_writer_end(struct block_writer *writer, struct buffer *out);

/* Appends a block of that profile alone, in half of the time: its tables are the block's, also
 * what no sample reaches. Packed hastily; of the budget (NULL: none) go its samples. 0,
 * -ENODATA: it has no values; or -ENOMEM. */
int block_write_alone(const struct profile *profile, struct budget *budget, struct buffer *out);

/* ---- reading ---- */

/* Where an interval's samples are added up. */
struct block_target {
    struct block_writer *writer; /* NULL; or where the interval goes as it is, begun: `sum` is
                                  * the shared profile of that */
    struct profile *sum;
    uint64_t version;    /* another one: `sum` has been replaced */
    struct tally *tally; /* which the visitor empties into the sum; NULL: none */
    struct profile_place places[PROFILE_MAX_VALUES]; /* of the interval's columns in it */
    struct profile_extra extra;                      /* labels, of it, that the samples get */
};

#define BLOCK_WHOLE 1

struct block_visitor {
    void *closure;
    /* Is this interval wanted? NULL: all are. Times are Unix times in ns. */
    bool (*wants)(void *closure, uint64_t from, uint64_t to);
    /* Takes an interval, which it owns from then on. What is not 0 ends the reading. */
    int (*take)(void *closure, struct profile *interval);
    /* NULL, or: intervals are added up straight from the block, whose tables are translated
     * once for all of them. Gives the sum all that stands once in `head`, which is the interval
     * without its samples, and says where these go. Levels do not add up (measures.h): take()
     * gets an interval that has any, with these alone and without metrics. BLOCK_WHOLE: take()
     * is to get this one, as it is; what else is not 0 ends the reading. */
    int (*into)(void *closure, const struct profile *head, struct block_target *target);
};

/* Is this what a block unpacks to? */
bool block_detect(const unsigned char *data, size_t size);

/* Shows each interval of a block, packed or not, to the visitor, in their order. 0, what take()
 * returned, or a negative errno with a line in `error`: intervals before the damage may have
 * been shown, unless it is the checksum, which is looked at first. */
int block_read(const unsigned char *data, size_t size, const struct block_visitor *visitor,
               char error[FORMAT_ERROR_SIZE]);

/* The same in steps, so that another thread may take those that cost nearly as much as adding
 * up, for the block that is next. Opening unpacks and checks it: `data` has to outlive a block
 * that is not packed. Preparing reads the samples of what the visitor wants, if these are not
 * too much to lie about; what is wrong with them, showing it says. One thread at a time. */
struct block;
int block_open(const unsigned char *data, size_t size, struct block **block,
               char error[FORMAT_ERROR_SIZE]);
void block_prepare(struct block *block, const struct block_visitor *visitor);
int block_show(struct block *block, const struct block_visitor *visitor,
               char error[FORMAT_ERROR_SIZE]);
void block_close(struct block *block);

#endif
