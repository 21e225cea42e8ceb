/* The private folder that the profiles of one run go to: no other user can see what is in it,
 * or find it, but a program that root runs may go on as another user and write to it. */
#ifndef CPROF_CLI_TEMPORARY_H
#define CPROF_CLI_TEMPORARY_H

#include <limits.h>

#include "profile/profile.h"

/* Makes it in a folder of its own below TMPDIR. 0 or -errno. */
int temporary_make(char path[PATH_MAX]);

/* Merges the profiles in it, with all that load.h keeps of when things were; *profile is NULL
 * when there are none. A file that can't be read is reported and left out. 0, or -errno when
 * merging failed, which has been reported. */
int temporary_merge(const char *path, struct profile **profile);

/* Removes both folders and the files in it. */
void temporary_remove(const char *path);

#endif
