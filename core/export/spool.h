/*
 * Profiles that wait on disk: a folder of files, each one profile in OTLP (what the file sink
 * writes too, so that the command reads them), named
 *
 *     cprof-KEY-TIME-UNIQUE-PARTS-SIZE-CRC.otlp  (hexadecimal: 16-16-16-8-8-8 digits)
 *
 * KEY stands for what the profiles are delivered to and by whom (sink, address, service): files
 * of another key are somebody else's. TIME (Unix, in ns) orders them; the upper half of UNIQUE
 * tells the process that wrote them (0: never to be merged); PARTS is how many profiles it is
 * made of (0: it is a piece of one that another file stands for); SIZE and CRC-32 tell a torn
 * one. A file appears whole under its name or not at all, for its owner only.
 *
 * Any process of the same user may share the folder; whoever holds a file's lock (fcntl: it
 * dies with its process, and is not inherited by children) may deliver it, and then unlinks
 * it. So what a killed process left is taken up by the next one, or by a neighbour.
 *
 * Bounded, for each key, by bytes and by 10,000 files. When three quarters are full, neighbours
 * of one process can be had as pairs, to be merged into a coarser one that takes their place at
 * once, whoever crashes when; only when the folder is full all the same must the oldest go. The
 * caller does both, as it knows what is in a file and what is to be reported of one that is
 * lost.
 *
 * Any thread may put and give up; one at a time takes; one at a time merges.
 */
#ifndef CPROF_EXPORT_SPOOL_H
#define CPROF_EXPORT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

#define SPOOL_NAME_SIZE 128

struct spool;

/* A file that this process holds. */
struct spool_item {
    int file;
    char name[SPOOL_NAME_SIZE];
    unsigned char *data; /* until one of the ends below */
    size_t size;
    uint64_t time, unique; /* as its name tells */
    uint32_t parts;
};

/* Makes the folder (not its parents) where it is missing. NULL with a line in `error` when it
 * can't be written to. `key` is any text. */
struct spool *spool_open(const char *folder, const char *key, size_t limit, char *error,
                         size_t error_size);
void spool_close(struct spool *spool);

/* Writes a profile's bytes down, made of so many profiles. `mergeable`: with others that this
 * spool has put. 0; -ENOBUFS: the folder is full; or another negative errno. */
int spool_put(struct spool *spool, const struct buffer *bytes, uint32_t parts, bool mergeable);

/* Locks the oldest file that nobody holds: 0; -ENOENT when there is none; -EBADMSG for a
 * damaged one, which is removed, with a line in `error`; another errno when it can't be read
 * now. After 0 the caller ends with one of the two below; after -EBADMSG item->parts tells. */
int spool_take(struct spool *spool, struct spool_item *item, char *error, size_t error_size);
void spool_done(struct spool *spool, struct spool_item *item); /* delivered, or lost for good */
void spool_back(struct spool *spool, struct spool_item *item); /* it waits on, now on the disk
                                                                   itself (fdatasync) */

/* Locks the oldest file that can be had, which must go to make room: 0, and the caller ends
 * with spool_done(); its data is NULL when it can't be read. -ENOENT: there is none. */
int spool_give_up(struct spool *spool, struct spool_item *item);

/* When it is time to merge: locks the two neighbours that cover the least together and are no
 * larger than is good for one file. 0, and the caller ends with one of the two below, or
 * -ENOENT. */
int spool_take_pair(struct spool *spool, struct spool_item pair[2]);
/* The bytes take the place of both. 0 or a negative errno: both are there as before. */
int spool_replace_pair(struct spool *spool, struct spool_item pair[2],
                       const struct buffer *bytes);
void spool_back_pair(struct spool *spool, struct spool_item pair[2]);

/* Files that wait for this key, whoever holds them. */
size_t spool_count(struct spool *spool);

#endif
