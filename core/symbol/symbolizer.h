/*
 * Names for native code: address -> functions (inlined ones included), file, line; and the
 * build ids of modules. Runs on the collector only, one thread at a time; never in a sampled
 * thread and never in a handler. The thread needs 1 MiB of stack (demangle.h).
 *
 * Sources, best first: .symtab of the module or of its separate debug file (by build id or
 * .gnu_debuglink), .dynsym, the vDSO's own symbols, PLT stubs as "name@plt",
 * /tmp/perf-PID.map, a mapped jit-PID.dump or GDB's list of compiled objects for anonymous
 * code; lines and inlined functions from DWARF where it is there. Code without a symbol is
 * "module+0xoffset" with the offset of its function's start where the unwind tables tell it,
 * code of an anonymous module
 * "[anonymous]", an address of no module "[unknown]". A file that is not the one mapped
 * (upgraded, deleted) names nothing.
 *
 * What it costs: 12 bytes of memory a function from a module's first lookup on, drawn from
 * a quarter of the budget (when that is spent, further modules are named "module+0xoffset"); a
 * few us for the name of a function that was not met before (known.h); for its source, where
 * there is DWARF, 10 to 75 us, and several hundred where that needs a compilation unit that is
 * not at hand. So: keep what was looked up by (module, address), and ask for the source only of
 * what is shown. Files are open during a batch only (those of at most 8 modules, for each 3 MiB
 * of DWARF units beside the one in use): a host may close descriptors that it does not know,
 * and reuse their numbers. Units stay with us for a while after symbolizer_rest(), at most 4
 * MiB of them, as a program at work shows new addresses of the same few files in every batch.
 *
 * Strings live as long as the symbolizer or until symbolizer_forget() of their module.
 * They are UTF-8 without control characters, whatever the files hold.
 */
#ifndef CPROF_SYMBOL_SYMBOLIZER_H
#define CPROF_SYMBOL_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "unwind/modules.h"

#define SYMBOL_MAX_INLINED 16

struct symbol_line {
    const char *name;    /* demangled, for people; never NULL */
    const char *linkage; /* as in the symbol table; NULL when there is none */
    const char *file;    /* source file; NULL when unknown */
    int64_t line;        /* 0 = unknown */
    int64_t start_line;  /* 0 = unknown */
};

/* One address. lines[0] is the innermost inlined function, the last the function itself. */
struct symbol {
    uintptr_t start; /* of a function that no source names, where it is known; else 0 */
    bool has_source; /* DWARF was asked */
    size_t count;    /* at least 1 */
    struct symbol_line lines[SYMBOL_MAX_INLINED];
};

struct module_identity {
    char build_id[129]; /* GNU build id, hex; "" = none */
    char htlhash[33];   /* hex; "" when the file can't be read */
};

struct symbolizer;

struct symbolizer *symbolizer_new(struct budget *budget);
void symbolizer_free(struct symbolizer *symbolizer);

/* Where separate debug files are looked for, instead of /usr/lib/debug. Before the first
 * lookup; the string must stay. */
void symbolizer_set_debug_root(struct symbolizer *symbolizer, const char *root);

/* The function of an address, which is inside the instruction (return addresses: pc - 1).
 * Always gives a name. */
void symbolizer_lookup(struct symbolizer *symbolizer, const struct module *module,
                       uintptr_t address, struct symbol *symbol);

/* Of code that comes from no file, and has no other name: that by which its compiler has
 * registered it with debuggers (jit_objects.h), if it has. `module` is NULL for code that is
 * newer than the map. */
void symbolizer_add_registered(struct symbolizer *symbolizer, const struct module_map *map,
                               const struct module *module, uintptr_t address,
                               struct symbol *symbol);

/* What is registered: for finding out how such code is unwound. */
struct jit_objects *symbolizer_registered(struct symbolizer *symbolizer);

/* Adds its line, and the functions inlined there, to what symbolizer_lookup() found. */
void symbolizer_add_source(struct symbolizer *symbolizer, const struct module *module,
                           uintptr_t address, struct symbol *symbol);

/* The identity of a module's file; cached. */
const struct module_identity *symbolizer_identity(struct symbolizer *symbolizer,
                                                  const struct module *module);

/* A module is gone (dlclose): its tables may go. */
void symbolizer_forget(struct symbolizer *symbolizer, uint64_t module_serial);

/* Forgets every module that is not in the map. */
void symbolizer_keep(struct symbolizer *symbolizer, const struct module_map *map);

/* The batch is over: closes all files. Called a few times a second, or when there was one. */
void symbolizer_rest(struct symbolizer *symbolizer);

#endif
