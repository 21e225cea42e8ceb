/* Symbol tables, unwind table headers, PLT stubs and DWARF of an ELF file with any contents. */
#include "core/symbol/elf_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    elf_walk(data, size);
    return 0;
}
