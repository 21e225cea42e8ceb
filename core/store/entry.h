/*
 * What a store's files are called, and a list of them. A file is a block (format/block.h) of
 * one service's profiles, of any of its processes:
 *
 *     cprof-KEY-RESOLUTION-FROM-TO-UNIQUE-COUNT-SIZE-CRC.block
 *           16  8          16   16 16     8     8    8   hexadecimal digits
 *
 * KEY stands for the service. RESOLUTION is the length in seconds that its intervals have been
 * merged to, 0 as they were taken; FROM and TO (Unix times in ns) are what they cover, COUNT
 * how many they are; SIZE and CRC-32 tell a torn file. All that is to be known for choosing
 * files stands in their names.
 *
 * Hidden beside them: ".cprof-store-UNIQUE.tmp" is being written (and locked), the rest is
 * swap.h's and store.h's.
 */
#ifndef CPROF_STORE_ENTRY_H
#define CPROF_STORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENTRY_NAME_SIZE 128

struct entry {
    uint64_t key, from, to, unique;
    uint32_t resolution, count, size, crc;
};

uint64_t entry_key(const char *service);
void entry_write_name(char name[ENTRY_NAME_SIZE], const struct entry *entry);
bool entry_parse_name(const char *name, struct entry *entry);
void entry_write_half_name(char name[ENTRY_NAME_SIZE], uint64_t unique);
bool entry_parse_half_name(const char *name, uint64_t *unique);

/* ---- lists ---- */

struct entries {
    struct entry *list;
    size_t count, room;
    uint64_t bytes; /* of the files */
};

/* 0 or -ENOMEM. */
int entries_add(struct entries *entries, const struct entry *entry);
void entries_remove(struct entries *entries, size_t index); /* keeps the order */
void entries_free(struct entries *entries);

/* By service and time; or by the end of what they cover. */
void entries_sort(struct entries *entries);
void entries_sort_by_end(struct entries *entries);

/* Adds the folder's files, and clears up half-written ones that nobody locks if it is the
 * caller's turn to tend it, who has no business with what is no plain file. 0 or a negative
 * errno. */
int entries_read(struct entries *entries, const char *folder, bool tending);

#endif
