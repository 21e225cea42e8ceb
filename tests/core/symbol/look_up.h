/* A symbol with its source, as most tests want it. */
#ifndef CPROF_TESTS_LOOK_UP_H
#define CPROF_TESTS_LOOK_UP_H

#include "symbol/symbolizer.h"

static inline void look_up(struct symbolizer *symbolizer, const struct module *module,
                           uintptr_t address, struct symbol *symbol)
{
    symbolizer_lookup(symbolizer, module, address, symbol);
    symbolizer_add_source(symbolizer, module, address, symbol);
}

#endif
