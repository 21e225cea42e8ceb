/*
 * Source maps (ECMA-426): from a place in generated JavaScript to the place it was made from.
 * Index maps (sections) included.
 *
 * A map is read once, on the collector, and keeps its mappings in their compact form, with
 * marks from which a search starts; what a program was not written to hold (sourcesContent) is
 * not kept. Everything in it comes from others: it is checked, bounded, and where it breaks off
 * or contradicts itself, what came before holds.
 */
#ifndef CPROF_NODE_SOURCE_MAP_H
#define CPROF_NODE_SOURCE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_map;

struct source_place {
    const char *file;      /* as the map says it, behind its sourceRoot; belongs to the map */
    const char *name;      /* what stands there was called so; NULL = the map does not say */
    uint32_t line, column; /* from 1 */
};

/* From the text of a map. NULL: it is none, or there is no memory. Free with source_map_free.
 */
struct source_map *source_map_read(const char *text, size_t size);
void source_map_free(struct source_map *map);
size_t source_map_size(const struct source_map *map); /* bytes of memory */

/* The same from `data:…;base64,…`, from behind the "data:". */
struct source_map *source_map_read_inline(const char *url, size_t size);

/* Where the generated line and column (from 1) came from; `exact` asks for a mapping that
 * begins there. False: the map does not say. */
bool source_map_find(const struct source_map *map, uint32_t line, uint32_t column, bool exact,
                     struct source_place *place);

#endif
