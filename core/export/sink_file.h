/* How CPROF_OUTPUT's pattern becomes a file's name. Thread-safe: no state. */
#ifndef CPROF_EXPORT_SINK_FILE_H
#define CPROF_EXPORT_SINK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file_name {
    pid_t pid;           /* %p */
    uint64_t sequence;   /* %n */
    time_t time;         /* %t */
    const char *service; /* %s; every byte but letters, digits, '.', '_' and '-' becomes '_' */
};

/* 0, -EINVAL for a % that is not followed by one of these or by another %, -ENAMETOOLONG. */
int sink_file_expand(const char *pattern, const struct file_name *name, char *path,
                     size_t size);

/* The path from the root on: the program may change its directory. NULL with errno. */
char *sink_file_absolute(const char *path);

/* What can be known before a file is written: 0, or a negative errno and why it can't be. */
int sink_file_check(const char *path, char *why, size_t size);

/* Is there a %p, or a %n (each interval gets a file of its own)? */
bool sink_file_has(const char *pattern, char which);

#endif
