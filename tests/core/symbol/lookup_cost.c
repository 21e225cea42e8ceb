/*
 * What naming costs: lookup_cost FILE [ADDRESSES] prints the time and memory of reading the
 * symbols of a file, of the first lookup with lines, and of random ones, as they come and by
 * ascending address.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "symbol/demangle.h"
#include "symbol/dwarf.h"
#include "symbol/symtab.h"

static long resident_kib(const char *field)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        if (!strncmp(line, field, strlen(field)))
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    }
    if (status)
        fclose(status);
    return kib;
}

static uint64_t begun;

static double microseconds(void)
{
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begun) / 1e3;
}

static void begin(void)
{
    begun = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static int ascending(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void name_all(const struct symtab *symtab, const struct elf *elf,
                     const uint64_t *addresses, size_t count)
{
    char name[DEMANGLE_OUTPUT], readable[DEMANGLE_OUTPUT];
    begin();
    for (size_t i = 0; i < count; i++) {
        struct code_range range = CODE_RANGE_ALL;
        if (!symtab_find(symtab, elf, addresses[i], name, sizeof name, &range))
            demangle(name, readable, sizeof readable);
    }
    printf("names:          %8.2f us an address\n", microseconds() / (double)count);
}

static void find_all(struct dwarf *dwarf, struct strings *strings, const uint64_t *addresses,
                     size_t count, const char *order)
{
    struct symbol_line lines[SYMBOL_MAX_INLINED];
    size_t found = 0;
    begin();
    for (size_t i = 0; i < count; i++)
        found += dwarf_find(dwarf, addresses[i], strings, lines, SYMBOL_MAX_INLINED) > 0;
    printf("lines, %s: %8.2f us an address, %zu of %zu found\n", order,
           microseconds() / (double)count, found, count);
}

int main(int argc, char **argv)
{
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    struct budget budget;
    struct elf elf;
    struct symtab symtab;
    struct dwarf_index index;
    struct dwarf dwarf;
    struct strings strings;
    budget_init(&budget, 0);
    dwarf_index_init(&index, &budget);
    strings_init(&strings, &budget);
    long before = resident_kib("VmRSS:");
    begin();
    if (argc < 2 || elf_open(&elf, open(argv[1], O_RDONLY)) ||
        symtab_load(&symtab, &elf, &budget))
        return fprintf(stderr, "usage: lookup_cost FILE-WITH-SYMBOLS [ADDRESSES]\n"), 1;
    printf("symbols:        %8.2f ms, %zu functions, %zu KiB held, resident +%ld KiB\n",
           microseconds() / 1e3, symtab.count, budget_used(&budget) / 1024,
           resident_kib("VmRSS:") - before);
    uint64_t *addresses = calloc(count, sizeof *addresses);
    for (size_t i = 0; addresses && i < count; i++)
        addresses[i] =
            symtab.base + symtab.functions[(size_t)random() * 4801 % symtab.count].offset + 1;
    name_all(&symtab, &elf, addresses, count);
    if (dwarf_open(&dwarf, &elf, &index)) {
        struct symbol_line lines[SYMBOL_MAX_INLINED];
        begin();
        dwarf_find(&dwarf, addresses[0], &strings, lines, SYMBOL_MAX_INLINED);
        printf("first line:     %8.2f ms, %zu ranges of %zu units\n", microseconds() / 1e3,
               index.range_count, index.unit_count);
        find_all(&dwarf, &strings, addresses, count, "random");
        qsort(addresses, count, sizeof *addresses, ascending);
        find_all(&dwarf, &strings, addresses, count, "sorted");
        dwarf_close(&dwarf);
    }
    printf("at rest:        %8zu KiB held, resident +%ld KiB, at most +%ld KiB\n",
           budget_used(&budget) / 1024, resident_kib("VmRSS:") - before,
           resident_kib("VmHWM:") - before);
    free(addresses);
    dwarf_index_free(&index);
    strings_free(&strings);
    symtab_free(&symtab);
    elf_close(&elf);
    return 0;
}
