/*
 * Names for native code: address -> functions (inlined ones included), file, line; and the
 * build ids of modules. Runs on the collector only, one thread at a time; never in a sampled
 * thread and never in a handler.
 *
 * Sources, best first: .symtab, a separate debug file by build id or .gnu_debuglink, .dynsym,
 * the vDSO's own symbols, PLT stubs as "name@plt", /tmp/perf-PID.map for anonymous code; lines
 * from DWARF where it is there. A pc of a module without a symbol is "module+0xoffset", an
 * address of no module "[unknown]".
 *
 * Symbol tables are read at the first need of a module and draw from the budget; when it is
 * spent, further modules are named "module+0xoffset". DWARF is opened for a batch and closed
 * by symbolizer_rest(). Strings live as long as the symbolizer or until symbolizer_forget()
 * of their module.
 */
#ifndef CPROF_SYMBOL_SYMBOLIZER_H
#define CPROF_SYMBOL_SYMBOLIZER_H

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
    size_t count; /* at least 1 */
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

/* `address` is inside the instruction (return addresses: pc - 1). Always gives a name. */
void symbolizer_lookup(struct symbolizer *symbolizer, const struct module *module,
                       uintptr_t address, struct symbol *symbol);

/* The identity of a module's file; cached. */
const struct module_identity *symbolizer_identity(struct symbolizer *symbolizer,
                                                  const struct module *module);

/* A module is gone (dlclose): its tables may go. */
void symbolizer_forget(struct symbolizer *symbolizer, uint64_t module_serial);

/* The batch is over: closes what is costly to keep open. */
void symbolizer_rest(struct symbolizer *symbolizer);

#endif
