/*
 * What Python allocates without malloc: blocks of up to 512 bytes of the object and mem
 * domains, that pymalloc makes of memory of its own. Larger ones go on to malloc, whose hooks
 * count them (core/alloc/malloc.h), and so does everything where the domains are malloc itself
 * (PYTHONMALLOC=malloc). So each byte is counted once.
 *
 * The domains' malloc, calloc and realloc are wrapped, free is not. Instead a small block that
 * is sampled is asked for with 513 bytes: pymalloc gets that from malloc and gives it back
 * there, as it does with every large one, and so malloc's hooks see its end. Its address there
 * may differ from Python's (debug hooks put their marks before it).
 *
 * A domain's allocator keeps its context, which our functions pass on as they get it:
 * PyMem_SetAllocator copies a struct while others read it, and whatever mixture they see, the
 * original gets what it would get without us. Who has wrapped us in the meantime keeps us in
 * his chain, and we only pass through from then on.
 *
 * Where 513 bytes do not reach malloc (mimalloc: PYTHONMALLOC=mimalloc, free-threaded Python)
 * the blocks are counted, and are not followed to their end.
 */
#ifndef CPROF_PYTHON_ALLOCS_H
#define CPROF_PYTHON_ALLOCS_H

/* [start] See struct cprof_runtime. With the GIL or without. */
int allocs_open(const char **why);
void allocs_close(void);

#endif
