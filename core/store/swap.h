/*
 * One file of a store takes the place of several, whoever is killed when. The new one is
 * written under its half-written name; then a small file, ".cprof-store.swap", says that it
 * stands for the others, and from that moment on it does; then it gets its name, the others go,
 * and the small file goes. Who finds that file, and may tend the folder, finishes what it says;
 * who only reads takes it at its word. It holds a line of its own, the new file's name, a line
 * for each old one, and a checksum of all that.
 *
 * Called by whoever tends the folder (store.h), but for swap_read().
 */
#ifndef CPROF_STORE_SWAP_H
#define CPROF_STORE_SWAP_H

#include "store/entry.h"

struct swap {
    struct entry made;
    struct entries old;
};

/* What an unfinished swap says. 0; -ENOENT: there is none; -EBADMSG: it says nothing, and so
 * never came to be; or another negative errno. The caller ends with swap_free(). */
int swap_read(int folder, struct swap *swap);
void swap_free(struct swap *swap);

/* Puts the half-written file of that entry, which is on the disk, in the place of the old ones.
 * 0, or a negative errno: all is as it was, without the half-written one. */
int swap_make(int folder, const struct entry *made, const struct entry *old, size_t count);

/* Finishes one that is found, or takes away what never came to be. */
void swap_recover(int folder);

/* What counts for a reader: takes the old ones out of the list, and puts in the new one. 0 or
 * -ENOMEM; *made is the unique of that one if it bears its half-written name still, or 0. */
int swap_apply(int folder, struct entries *entries, uint64_t *half);

#endif
