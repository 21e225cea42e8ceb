/*
 * Files that a folder keeps, for the spool and for the store: how one is written so that it is
 * there whole or not at all, how it is locked, and how a torn one is known. What the files are
 * called is their owners' business.
 *
 * Names carry what is to be known without opening a file, in hexadecimal of fixed width, with
 * the file's size and CRC-32 among it. Locks are fcntl's: they die with their process and are
 * not inherited by children, but do not part threads, and any closing of a file in the process
 * ends its lock. Files are their owner's alone (0600), and other users' are left alone.
 *
 * No state; any thread.
 */
#ifndef CPROF_STORE_FILES_H
#define CPROF_STORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

/* ---- names: each reads on from *text and moves it ---- */

bool files_read_text(const char **text, const char *expected);
bool files_read_hex(const char **text, int digits, uint64_t *number);
/* "-" and the number. */
bool files_read_field(const char **text, int digits, uint64_t *number);

/* ---- folders ---- */

/* The real path of a folder that can be written to, made (not its parents) where it is missing.
 * The caller frees. NULL with a line in `error` that names the variable. */
char *files_make_folder(const char *variable, const char *folder, char *error,
                        size_t error_size);

/* A descriptor of it, or a negative errno. */
int files_open_folder(const char *folder);

/* ---- files ---- */

uint32_t files_checksum(const unsigned char *data, size_t size);

/* Opens and locks a plain file of this user's that is still there: its descriptor, -EBUSY when
 * it is not ours to have, or another negative errno. */
int files_open_locked(int folder, const char *name);

/* Is the open file the one that bears the name still? The name may have gone to another file
 * between opening and locking. */
bool files_still_named(int folder, const char *name, int file);

/* Reads a file of that size and checksum; the caller frees *data. 0, -ENOMEM, or -EBADMSG: it
 * is another. */
int files_load(int file, size_t size, uint32_t crc, unsigned char **data);

/* A new file with those bytes, locked: its descriptor, or a negative errno, and then nothing is
 * left of it. */
int files_write(int folder, const char *name, const struct buffer *bytes);

#endif
