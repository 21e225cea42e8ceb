#include "symbol/symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512     /* symbols read at a time */
#define DIGIT_BITS 11 /* three digits make an offset */
#define DIGITS (1u << DIGIT_BITS)
#define MAX_SYMBOLS (8u << 20)
#define MAX_NESTING 16 /* functions within functions: entry points of assembler routines */
#define MAX_ALIASES 32 /* names looked at */
#define ALIAS_NAME 256 /* bytes of a name that the choice between aliases looks at */

/* While the table is built, the top bits of a size hold how good a symbol is: the best of an
 * address stays. After that only GUESSED is left. */
#define SIZE_BITS 28
#define SIZE_MASK ((1u << SIZE_BITS) - 1)
enum rank { RANK_GLOBAL, RANK_LOCAL, RANK_GUESSED };

static uint32_t rank_of(const struct symtab_function *function)
{
    return function->size >> SIZE_BITS;
}

static bool is_code(const struct elf *elf, const Elf64_Sym *symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info), bind = ELF64_ST_BIND(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx >= elf->section_count ||
        !symbol->st_name || !(elf->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR))
        return false;
    /* Labels of assembler code without a type: only what was meant to be seen. */
    return type == STT_FUNC || type == STT_GNU_IFUNC ||
           (type == STT_NOTYPE && bind != STB_LOCAL);
}

/* Fills *function; false when the symbol is no function of interest. */
static bool convert(const struct elf *elf, uint64_t base, const Elf64_Sym *symbol,
                    struct symtab_function *function)
{
    if (!is_code(elf, symbol))
        return false;
    const Elf64_Shdr *section = &elf->sections[symbol->st_shndx];
    uint64_t into = symbol->st_value - section->sh_addr;
    if (symbol->st_value < section->sh_addr || into >= section->sh_size ||
        symbol->st_value < base || symbol->st_value - base > UINT32_MAX)
        return false;
    uint64_t room = section->sh_size - into;
    uint64_t size = symbol->st_size && symbol->st_size < room ? symbol->st_size : room;
    uint32_t rank = !symbol->st_size                              ? RANK_GUESSED
                    : ELF64_ST_BIND(symbol->st_info) == STB_LOCAL ? RANK_LOCAL
                                                                  : RANK_GLOBAL;
    *function = (struct symtab_function){
        .offset = (uint32_t)(symbol->st_value - base),
        .size = (uint32_t)(size < SIZE_MASK ? size : SIZE_MASK) | rank << SIZE_BITS,
        .name = symbol->st_name,
    };
    return true;
}

static size_t symbol_count(const Elf64_Shdr *table)
{
    uint64_t total = table->sh_size / sizeof(Elf64_Sym);
    return total < MAX_SYMBOLS ? (size_t)total : MAX_SYMBOLS;
}

/* Goes through a symbol table; with `functions` NULL it only counts. */
static size_t collect(const struct elf *elf, uint64_t base, const Elf64_Shdr *table,
                      struct symtab_function *functions, size_t capacity)
{
    uint64_t total = symbol_count(table);
    size_t found = 0;
    for (uint64_t first = 0; first < total; first += BATCH) {
        Elf64_Sym symbols[BATCH];
        size_t count = total - first < BATCH ? (size_t)(total - first) : BATCH;
        if (elf_read(elf, table->sh_offset + first * sizeof *symbols, symbols,
                     count * sizeof *symbols))
            break;
        for (size_t i = 0; i < count && (!functions || found < capacity); i++) {
            struct symtab_function function;
            if (!convert(elf, base, &symbols[i], &function))
                continue;
            if (functions)
                functions[found] = function;
            found++;
        }
    }
    return found;
}

/* One pass of the sort by address: puts them in the order of some bits of their offsets. */
static void order_by_digit(const struct symtab_function *from, struct symtab_function *to,
                           size_t count, unsigned shift)
{
    size_t places[DIGITS] = {0};
    for (size_t i = 0; i < count; i++)
        places[from[i].offset >> shift & (DIGITS - 1)]++;
    for (size_t i = 0, place = 0; i < DIGITS; i++) {
        size_t here = places[i];
        places[i] = place;
        place += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].offset >> shift & (DIGITS - 1)]++] = from[i];
}

static int by_rank(const void *left, const void *right)
{
    const struct symtab_function *a = left, *b = right;
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* By address, those of one by rank. A node has 86,000 of them: by their digits they are sorted
 * in a tenth of what comparing them takes. False: out of memory. */
static bool sort(struct symtab_function *functions, size_t count)
{
    struct symtab_function *other = malloc(count * sizeof *other);
    if (!other)
        return false;
    order_by_digit(functions, other, count, 0);
    order_by_digit(other, functions, count, DIGIT_BITS);
    order_by_digit(functions, other, count, 2 * DIGIT_BITS);
    memcpy(functions, other, count * sizeof *other);
    free(other);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && functions[end].offset == functions[first].offset;)
            end++;
        if (end - first > 1)
            qsort(functions + first, end - first, sizeof *functions, by_rank);
    }
    return true;
}

/* Of each address keeps the symbols of the best rank, and of guessed ones (no size of their
 * own) only those outside every function; these end where the next function begins. */
static size_t thin_out(struct symtab_function *functions, size_t count)
{
    size_t kept = 0;
    uint64_t covered = 0; /* end of the sized functions so far */
    for (size_t i = 0; i < count; i++) {
        struct symtab_function now = functions[i];
        uint32_t rank = rank_of(&now);
        const struct symtab_function *last = kept ? &functions[kept - 1] : NULL;
        bool same = last && last->offset == now.offset;
        if ((same && rank_of(last) < rank) || (rank == RANK_GUESSED && now.offset < covered))
            continue;
        if (rank != RANK_GUESSED && (uint64_t)now.offset + (now.size & SIZE_MASK) > covered)
            covered = (uint64_t)now.offset + (now.size & SIZE_MASK);
        functions[kept++] = now;
    }
    uint64_t next = UINT64_MAX; /* start of the nearest function above */
    for (size_t i = kept; i-- > 0;) {
        struct symtab_function *function = &functions[i];
        bool guessed = rank_of(function) == RANK_GUESSED;
        function->size &= SIZE_MASK;
        if (i + 1 < kept && functions[i + 1].offset != function->offset)
            next = functions[i + 1].offset;
        if (guessed && next - function->offset < function->size)
            function->size = (uint32_t)(next - function->offset);
    }
    return kept;
}

/* Allocates the table for `count` functions, or frees it for 0; keeps the books. */
static bool resize(struct symtab *symtab, size_t count)
{
    size_t size = sizeof *symtab->functions;
    if (count == 0) {
        free(symtab->functions);
        budget_give(symtab->budget, symtab->count * size);
        symtab->functions = NULL;
        symtab->count = 0;
        return true;
    }
    if (count > symtab->count && !budget_take(symtab->budget, (count - symtab->count) * size))
        return false;
    struct symtab_function *functions = realloc(symtab->functions, count * size);
    if (!functions) {
        if (count > symtab->count)
            budget_give(symtab->budget, (count - symtab->count) * size);
        return false;
    }
    if (count < symtab->count)
        budget_give(symtab->budget, (symtab->count - count) * size);
    symtab->functions = functions;
    symtab->count = count;
    return true;
}

/* For as many functions as there are symbols; where that is too much, for as many as there are
 * functions, which have to be counted. */
static bool make_room(struct symtab *symtab, const struct elf *elf, const Elf64_Shdr *table)
{
    return resize(symtab, symbol_count(table)) ||
           resize(symtab, collect(elf, symtab->base, table, NULL, 0));
}

int symtab_load(struct symtab *symtab, const struct elf *elf, struct budget *budget)
{
    const Elf64_Shdr *table = elf_section_of_type(elf, SHT_SYMTAB);
    *symtab = (struct symtab){.budget = budget, .base = elf_base(elf)};
    if (!table)
        table = elf_section_of_type(elf, SHT_DYNSYM);
    if (!table || table->sh_link >= elf->section_count)
        return -ENOENT;
    const Elf64_Shdr *names = &elf->sections[table->sh_link];
    if (names->sh_type != SHT_STRTAB)
        return -ENOENT;
    symtab->names_offset = names->sh_offset;
    symtab->names_size = names->sh_size;
    if (!make_room(symtab, elf, table))
        return -ENOMEM;
    size_t count = collect(elf, symtab->base, table, symtab->functions, symtab->count);
    int status = !count ? -ENOENT : !sort(symtab->functions, count) ? -ENOMEM : 0;
    if (status == 0)
        count = thin_out(symtab->functions, count); /* at least the first stays */
    if (status == 0)
        resize(symtab, count);
    else
        symtab_free(symtab);
    return status;
}

void symtab_free(struct symtab *symtab)
{
    budget_give(symtab->budget, symtab->count * sizeof *symtab->functions);
    free(symtab->functions);
    *symtab = (struct symtab){.budget = symtab->budget};
}

/* The last function of those with the greatest offset that is not above `offset`; count when
 * all are above. */
static size_t last_at_or_below(const struct symtab *symtab, uint32_t offset)
{
    size_t low = 0, high = symtab->count; /* functions[low - 1] <= offset < functions[high] */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symtab->functions[middle].offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : symtab->count;
}

static int read_name(const struct symtab *symtab, const struct elf *elf, uint32_t name,
                     char *buffer, size_t capacity)
{
    if (name >= symtab->names_size)
        return -ENOENT;
    if (symtab->names_size - name < capacity - 1)
        capacity = (size_t)(symtab->names_size - name) + 1;
    if (elf_read_string(elf, symtab->names_offset + name, buffer, capacity))
        return -ENOENT;
    buffer[strcspn(buffer, "@")] = '\0'; /* linkers append versions: "write@@GLIBC_2.2.5" */
    return buffer[0] ? 0 : -ENOENT;
}

/* Lower is better. "malloc" before "__libc_malloc", "fwrite" before "_IO_fwrite". */
static size_t awkwardness(const char *name)
{
    size_t underscores = strspn(name, "_");
    bool mangled = !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2);
    return (mangled ? 0 : underscores * 1000) + strlen(name);
}

/* The best name among the functions up to `last` that share its address. */
static int choose_name(const struct symtab *symtab, const struct elf *elf, size_t last,
                       char *name, size_t capacity)
{
    const struct symtab_function *functions = symtab->functions;
    uint32_t offset = functions[last].offset, best = functions[last].name;
    size_t least = SIZE_MAX;
    if (!last || functions[last - 1].offset != offset)
        return read_name(symtab, elf, best, name, capacity);
    for (size_t i = last, seen = 0; seen < MAX_ALIASES; i--, seen++) {
        char alias[ALIAS_NAME];
        if (!read_name(symtab, elf, functions[i].name, alias, sizeof alias) &&
            awkwardness(alias) < least) {
            least = awkwardness(alias);
            best = functions[i].name;
        }
        if (!i || functions[i - 1].offset != offset)
            break;
    }
    return read_name(symtab, elf, best, name, capacity);
}

int symtab_find(const struct symtab *symtab, const struct elf *elf, uint64_t vaddr, char *name,
                size_t capacity, struct code_range *range)
{
    if (!symtab->count)
        return -ENOENT;
    if (vaddr < symtab->base || vaddr - symtab->base > UINT32_MAX) {
        code_range_narrow(range, vaddr, vaddr + 1);
        return -ENOENT;
    }
    const struct symtab_function *functions = symtab->functions;
    uint32_t offset = (uint32_t)(vaddr - symtab->base);
    size_t at = last_at_or_below(symtab, offset);
    size_t next = at < symtab->count ? at + 1 : 0; /* the first that starts above */
    if (next < symtab->count)
        code_range_narrow(range, 0, symtab->base + functions[next].offset);
    for (int depth = 0; at < symtab->count && depth < MAX_NESTING; at--, depth++) {
        uint64_t start = symtab->base + functions[at].offset;
        uint64_t limit = start + functions[at].size;
        code_range_narrow(range, vaddr < limit ? start : limit,
                          vaddr < limit ? limit : UINT64_MAX);
        if (vaddr < limit)
            return choose_name(symtab, elf, at, name, capacity);
    }
    return -ENOENT;
}
