/*
 * Names of just-in-time compiled code: /tmp/perf-PID.map, the text file in which runtimes
 * tell perf where they put which function ("START SIZE NAME", hex), or jit-PID.dump, the binary
 * one (jitdump, as LLVM writes it). Only a regular file of our
 * own user is believed. It grows while the program runs: what was appended is read at the
 * first lookup after perfmap_rest(), and where entries overlap, the later one counts, since
 * code memory is reused.
 *
 * In memory are 16 bytes an entry, drawn from the budget; names stay in the file. When the
 * budget or PERFMAP_MAX entries are spent, later entries are not known. Collector only.
 */
#ifndef CPROF_SYMBOL_PERFMAP_H
#define CPROF_SYMBOL_PERFMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

#define PERFMAP_MAX (1u << 18)

struct perfmap_entry {
    uint64_t start;
    uint32_t size;
    uint32_t name; /* offset in the file */
};

struct perfmap {
    struct budget *budget;
    struct perfmap_entry *entries; /* by start; of equal ones the later line is last */
    size_t count, capacity;
    uint64_t read; /* bytes of the file that have been parsed */
    int fd;        /* -1 while at rest */
    bool missing;  /* looked for since the last rest, and not there */
};

void perfmap_init(struct perfmap *map, struct budget *budget);
void perfmap_free(struct perfmap *map);

/* 0 and the name of the code at `address`, or -ENOENT. `path` is the map's. */
int perfmap_find(struct perfmap *map, const char *path, uintptr_t address, char *name,
                 size_t capacity);

/* Closes the file until the next lookup. */
void perfmap_rest(struct perfmap *map);

#endif
