/*
 * A spool's folder as spool.c and spool_merge.c see it: names of files, locks, lists. Internal
 * to the spool (spool.h tells what the names mean).
 *
 * Besides the profiles there are hidden files, each for a moment, and after a crash until the
 * folder is read again:
 *
 *     .cprof-KEY-UNIQUE.tmp    is being written, and will be the file of that UNIQUE
 *     .cprof-KEY-INTO-….part   was "cprof-KEY-….otlp", and is in the file whose UNIQUE is INTO
 *
 * A merged file replaces two others so: it is written as .tmp; both become its parts; it gets
 * its name, which settles it; the parts go. Who finds parts that nobody locks finishes for the
 * one who died: where the .tmp is still there nothing is settled, and they get their names
 * back; else they go. A .tmp whose parts are there stays until they are not.
 */
#ifndef CPROF_EXPORT_SPOOL_FOLDER_H
#define CPROF_EXPORT_SPOOL_FOLDER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/spool.h"

#define SPOOL_LISTED 64 /* the oldest files, remembered between two readings */
#define SPOOL_HELD 8 /* one that is delivered, two that are merged, one or two that must go */
#define SPOOL_MAX_FILES 10000

/* What a name tells. */
struct spool_entry {
    uint64_t time, unique;
    uint32_t parts, size, crc;
};

struct spool {
    char *folder;
    uint64_t key;
    size_t limit;
    uint32_t writer;                         /* never 0 */
    struct spool_entry listed[SPOOL_LISTED]; /* the taker's: oldest first */
    size_t listed_count, listed_next;
    pthread_mutex_t putting;   /* taken before `lock`: one file is half-written at a time */
    pthread_mutex_t lock;      /* those below: fcntl's locks do not part threads */
    uint64_t held[SPOOL_HELD]; /* uniques of files that a thread has in hand; 0: free */
    uint64_t writing;          /* unique of the half-written file */
    uint64_t tried;            /* unique of the file that was put back last */
    bool crowded;              /* at the last put: it is time to merge */
};

void spool_write_name(char name[SPOOL_NAME_SIZE], uint64_t key,
                      const struct spool_entry *entry);
bool spool_is_older(const struct spool_entry *a, const struct spool_entry *b);

/* The folder's descriptor, or a negative errno. */
int spool_open_folder(const struct spool *spool);

/* Reports each file of the key, whoever holds it, and clears up after the dead. Called with
 * `lock` held. 0 or a negative errno. */
int spool_read_folder(const struct spool *spool,
                      void (*each)(void *context, const struct spool_entry *entry),
                      void *context);

/* Takes a file in hand: opens and locks it. 0; or a negative errno: it is gone, another has it,
 * or it is nobody's to have. Without its bytes yet. */
int spool_hold(struct spool *spool, int folder, const struct spool_entry *entry,
               struct spool_item *item);
/* Reads it. 0, -ENOMEM, or -EBADMSG: it is not what its name says. */
int spool_load(struct spool_item *item, const struct spool_entry *entry);
/* Lets go of it, and frees its bytes. */
void spool_let_go(struct spool *spool, struct spool_item *item);

/* The bytes as a half-written file of that entry's, locked: its descriptor or a negative errno,
 * and then nothing is left. Called with `putting` held. */
int spool_write_half(struct spool *spool, int folder, const struct buffer *bytes,
                     const struct spool_entry *entry);
/* Gives it its name: 0, or a negative errno. */
int spool_settle_half(const struct spool *spool, int folder, const struct spool_entry *entry);
void spool_remove_half(const struct spool *spool, int folder, const struct spool_entry *entry);

/* Makes a file that is held a part of the one with that unique, and undoes that. */
int spool_hide(const struct spool *spool, int folder, const struct spool_item *item,
               uint64_t into);
int spool_show(const struct spool *spool, int folder, const struct spool_item *item,
               uint64_t into);
void spool_remove_part(const struct spool *spool, int folder, const struct spool_item *item,
                       uint64_t into);

#endif
