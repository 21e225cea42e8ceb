#include "symbol/codemap.h"

#include <errno.h>
#include <string.h>

#include "symbol/bytes.h"

/* Pointer encodings of the one form of .eh_frame_hdr that linkers write (LSB, "DWARF
 * Extensions"): a table of pairs of 32-bit offsets from the header's own address. */
#define EH_UDATA4 0x03
#define EH_DATAREL_SDATA4 0x3b
#define EH_PCREL_SDATA4 0x1b
#define EH_HEADER 12 /* version, three encodings, pointer to .eh_frame, number of pairs */
#define EH_PAIR 8    /* start of a function, its FDE */
#define PAIRS 256    /* read at a time */

#define STUB_SIZE 16
#define RELOCATIONS 256 /* read at a time */

static const Elf64_Phdr *eh_frame_header(const struct elf *elf)
{
    for (size_t i = 0; i < elf->header.e_phnum; i++) {
        if (elf->segments[i].p_type == PT_GNU_EH_FRAME)
            return &elf->segments[i];
    }
    return NULL;
}

struct pair {
    uint64_t start, fde; /* vaddr */
};

/* A part of the table: a search ends with one read of it, which takes as long as that of a
 * single pair. */
struct pairs {
    int32_t raw[PAIRS][2];
};

static int read_pairs(const struct elf *elf, const Elf64_Phdr *header, uint64_t first,
                      uint64_t count, struct pairs *pairs)
{
    return elf_read(elf, header->p_offset + EH_HEADER + first * EH_PAIR, pairs->raw,
                    (size_t)count * EH_PAIR);
}

static struct pair pair_at(const struct pairs *pairs, const Elf64_Phdr *header, uint64_t i)
{
    const int32_t *raw = pairs->raw[i];
    return (struct pair){.start = header->p_vaddr + (uint64_t)(int64_t)raw[0],
                         .fde = header->p_vaddr + (uint64_t)(int64_t)raw[1]};
}

/* How many bytes the function of an FDE has; 0 when that is not known. The FDE has the
 * table's start again, in its CIE's encoding: if it is there as PC-relative 32 bits, so is
 * the length. */
static uint64_t length_of(const struct elf *elf, const struct pair *pair)
{
    uint64_t offset;
    struct {
        uint32_t length, cie;
        int32_t start;
        uint32_t size;
    } fde;
    if (elf_offset_of(elf, pair->fde, &offset) || elf_read(elf, offset, &fde, sizeof fde))
        return 0;
    return pair->fde + 8 + (uint64_t)(int64_t)fde.start == pair->start ? fde.size : 0;
}

/* The last pair that starts at or below the vaddr. 0, or -ENOENT. */
static int find_pair(const struct elf *elf, uint64_t vaddr, struct pair *pair)
{
    const Elf64_Phdr *header = eh_frame_header(elf);
    uint8_t raw[EH_HEADER];
    if (!header || elf_read(elf, header->p_offset, raw, sizeof raw) || raw[0] != 1 ||
        raw[1] != EH_PCREL_SDATA4 || raw[2] != EH_UDATA4 || raw[3] != EH_DATAREL_SDATA4)
        return -ENOENT;
    struct bytes bytes = bytes_of(raw + EH_HEADER - 4, 4);
    struct pairs pairs;
    uint64_t low = 0, count = bytes_u32(&bytes); /* the last that starts at or below vaddr is
                                                    among `count` from low on, or low is 0 */
    while (count > PAIRS) {
        uint64_t half = count / 2;
        if (read_pairs(elf, header, low + half, 1, &pairs))
            return -ENOENT;
        low = pair_at(&pairs, header, 0).start <= vaddr ? low + half : low;
        count -= half;
    }
    if (count == 0 || read_pairs(elf, header, low, count, &pairs))
        return -ENOENT;
    uint64_t last = 0;
    while (count > 1) {
        uint64_t half = count / 2;
        last = pair_at(&pairs, header, last + half).start <= vaddr ? last + half : last;
        count -= half;
    }
    *pair = pair_at(&pairs, header, last);
    return pair->start <= vaddr ? 0 : -ENOENT;
}

int codemap_start(const struct elf *elf, uint64_t vaddr, uint64_t *start,
                  struct code_range *range)
{
    struct pair pair;
    uint64_t length;
    if (find_pair(elf, vaddr, &pair) ||
        vaddr - pair.start >= (length = length_of(elf, &pair))) {
        code_range_narrow(range, vaddr, vaddr + 1);
        return -ENOENT;
    }
    code_range_narrow(range, pair.start, pair.start + length);
    *start = pair.start;
    return 0;
}

/* The vaddr of the GOT slot that a stub jumps through; 0 when the code is something else. */
#if defined(__x86_64__)
static uint64_t slot_of(uint64_t stub, const uint8_t code[STUB_SIZE])
{
    for (size_t i = 0; i + 6 <= STUB_SIZE; i++) {
        if (code[i] != 0xff || code[i + 1] != 0x25) /* jmp *displacement(%rip) */
            continue;
        int32_t displacement;
        memcpy(&displacement, code + i + 2, sizeof displacement);
        return stub + i + 6 + (uint64_t)(int64_t)displacement;
    }
    return 0;
}
#elif defined(__aarch64__)
static uint64_t slot_of(uint64_t stub, const uint8_t code[STUB_SIZE])
{
    uint32_t words[STUB_SIZE / 4];
    memcpy(words, code, STUB_SIZE);
    for (size_t i = 0; i < 2; i++) { /* a BTI may stand first */
        uint32_t adrp = words[i], load = words[i + 1];
        if ((adrp & 0x9f00001f) != 0x90000010 || (load & 0xffc003ff) != 0xf9400211)
            continue; /* not adrp x16, page; ldr x17, [x16, #offset] */
        uint64_t pages = (uint64_t)((adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3));
        pages = (pages ^ 0x100000) - 0x100000; /* sign of 21 bits */
        return ((stub + 4 * i) & ~0xfffULL) + (pages << 12) + ((load >> 10 & 0xfff) << 3);
    }
    return 0;
}
#endif

static int symbol_name(const struct elf *elf, const Elf64_Shdr *table, uint64_t index,
                       char *name, size_t capacity)
{
    Elf64_Sym symbol;
    if (table->sh_link >= elf->section_count || index >= table->sh_size / sizeof symbol ||
        elf_read(elf, table->sh_offset + index * sizeof symbol, &symbol, sizeof symbol))
        return -ENOENT;
    const Elf64_Shdr *names = &elf->sections[table->sh_link];
    if (names->sh_type != SHT_STRTAB || symbol.st_name >= names->sh_size ||
        elf_read_string(elf, names->sh_offset + symbol.st_name, name, capacity))
        return -ENOENT;
    return name[0] ? 0 : -ENOENT;
}

/* The symbol whose address the relocations of one section put into a GOT slot. */
static int name_of_slot(const struct elf *elf, const Elf64_Shdr *relocations, uint64_t slot,
                        char *name, size_t capacity)
{
    if (relocations->sh_link >= elf->section_count)
        return -ENOENT;
    const Elf64_Shdr *symbols = &elf->sections[relocations->sh_link];
    Elf64_Rela batch[RELOCATIONS];
    uint64_t total = relocations->sh_size / sizeof *batch;
    for (uint64_t first = 0; first < total; first += RELOCATIONS) {
        size_t count = total - first < RELOCATIONS ? (size_t)(total - first) : RELOCATIONS;
        if (elf_read(elf, relocations->sh_offset + first * sizeof *batch, batch,
                     count * sizeof *batch))
            return -ENOENT;
        for (size_t i = 0; i < count; i++) {
            if (batch[i].r_offset == slot && symbols->sh_type == SHT_DYNSYM)
                return symbol_name(elf, symbols, ELF64_R_SYM(batch[i].r_info), name, capacity);
        }
    }
    return -ENOENT;
}

int codemap_stub(const struct elf *elf, uint64_t vaddr, char *name, size_t capacity,
                 struct code_range *range)
{
    const Elf64_Shdr *section = elf_section_at(elf, vaddr);
    uint8_t code[STUB_SIZE];
    uint64_t offset;
    if (!section || strncmp(elf_section_name(elf, section), ".plt", 4))
        return -ENOENT;
    /* .plt.got may have stubs of 8 bytes; every other kind is 16, aligned to its section. */
    uint64_t step = section->sh_entsize == 8 ? 8 : STUB_SIZE;
    uint64_t stub = vaddr - (vaddr - section->sh_addr) % step;
    code_range_narrow(range, stub, stub + step);
    memset(code, 0, sizeof code);
    if (elf_offset_of(elf, stub, &offset) ||
        elf_read_some(elf, offset, code, (size_t)step) != (ssize_t)step)
        return -ENOENT;
    uint64_t slot = slot_of(stub, code);
    if (!slot)
        return -ENOENT;
    for (size_t i = 0; i < elf->section_count; i++) {
        if (elf->sections[i].sh_type == SHT_RELA &&
            !name_of_slot(elf, &elf->sections[i], slot, name, capacity))
            return 0;
    }
    return -ENOENT;
}
