/*
 * The digest of a block (block.h): how much there was when, in a few bytes an interval, to draw
 * the time of days by without unpacking them. It stands in the extra field of gzip's header
 * (RFC 1952, subfield "cp"), which other readers pass over, so that it is found in the first
 * 64 KiB of a file. The header's own checksum tells a damaged one.
 *
 *     service, a text · types: a number, and of each its name and its unit ·
 *     intervals 4 (enum digest_field), as columns.h writes a table
 *
 * A text is its length and its bytes. What would not fit into the field has no digest, and has
 * to be read in full. Owned by one thread; what is read is untrusted.
 */
#ifndef CPROF_FORMAT_DIGEST_H
#define CPROF_FORMAT_DIGEST_H

#include "format/columns.h"
#include "profile/profile.h"

#define DIGEST_MOST 65550 /* bytes that a file's beginning with it can have */
#define DIGEST_TYPES 16

/* Of an interval: Unix time and length in ns, and all that it has of the value that is its
 * default, of which type. */
enum digest_field { DIGEST_TIME, DIGEST_DURATION, DIGEST_TOTAL, DIGEST_TYPE, DIGEST_WIDTH };

struct digest {
    const char *service; /* "": not known */
    size_t type_count;
    struct {
        const char *name, *unit;
    } types[DIGEST_TYPES];
    struct columns intervals;
    char *texts; /* what the rest points into, of one that has been read */
};

/* All that a profile has of a column; int64_t's ends where it is more. */
int64_t digest_total(const struct profile *profile, size_t column);

/* The number of a type, which is added if it is new; DIGEST_TYPES: there is no room. */
size_t digest_type(struct digest *digest, const char *name, const char *unit);

/* Appends what is to be gzip's extra field; nothing where that is too small for it. */
void digest_write(const struct digest *digest, struct buffer *out);

/* The digest of a file that begins so. 0; -ENODATA: it has none; -EAGAIN: it goes on behind
 * `size`; -EBADMSG; or -ENOMEM. On success to be freed. */
int digest_read(const unsigned char *data, size_t size, struct digest *digest);
void digest_free(struct digest *digest);

#endif
