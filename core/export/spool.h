/*
 * Profiles that wait on disk: a folder of files, each one profile in OTLP (what the file sink
 * writes too, so that the command reads them), named
 *
 *     cprof-KEY-TIME-UNIQUE-SIZE-CRC.otlp        (hexadecimal: 16-16-16-8-8 digits)
 *
 * KEY stands for what the profiles are delivered to and by whom (sink, address, service): files
 * of another key are somebody else's. TIME (Unix, in ns) orders them, SIZE and CRC-32 tell a
 * torn one. A file appears whole under its name or not at all, for its owner only.
 *
 * Any process of the same user may share the folder; whoever holds a file's lock (fcntl: it
 * dies with its process, and is not inherited by children) may deliver it, and then unlinks
 * it. So what a killed process left is taken up by the next one, or by a neighbour.
 *
 * When the files of a key are over the limit, the oldest go. Any thread may put; one at a time
 * takes.
 */
#ifndef CPROF_EXPORT_SPOOL_H
#define CPROF_EXPORT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

struct spool;

/* A file that this process holds. */
struct spool_item {
    int file;
    char name[96];
    unsigned char *data; /* until one of the two ends below */
    size_t size;
};

/* Makes the folder (not its parents) where it is missing. NULL with a line in `error` when it
 * can't be written to. `key` is any text. */
struct spool *spool_open(const char *folder, const char *key, size_t limit, char *error,
                         size_t error_size);
void spool_close(struct spool *spool);

/* Writes a profile's bytes down. 0, or a negative errno. *dropped grows by the files that had
 * to go. */
int spool_put(struct spool *spool, const struct buffer *bytes, uint64_t *dropped);

/* Locks the oldest file that nobody holds: 0; -ENOENT when there is none; -EBADMSG for a
 * damaged one, which is removed, with a line in `error`; another errno when it can't be read
 * now. After 0 the caller ends with one of the two below. */
int spool_take(struct spool *spool, struct spool_item *item, char *error, size_t error_size);
void spool_done(struct spool *spool, struct spool_item *item); /* delivered, or lost for good */
void spool_back(struct spool *spool, struct spool_item *item); /* it waits on, now on the disk
                                                                   itself (fdatasync) */

/* Files that wait for this key, whoever holds them. */
size_t spool_count(struct spool *spool);

#endif
