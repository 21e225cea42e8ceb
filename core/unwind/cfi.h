/*
 * The call frame information of .eh_frame, read into rules that a walker can follow in a few
 * instructions.
 *
 * The reader works on a private copy of the bytes and trusts none of them: every read is
 * bounded, a number that makes no sense ends the entry it is in, and where the rules below
 * cannot express what the bytes say they tell just that. It allocates nothing and has no state
 * between calls: the collector compiles whole modules with it (table.h), handlers look up
 * single frames (mapped.h).
 */
#ifndef CPROF_UNWIND_CFI_H
#define CPROF_UNWIND_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a frame's canonical frame address (CFA) is found. */
enum cfa_kind {
    CFA_NONE,        /* the bytes say nothing, or nothing that makes sense */
    CFA_BEYOND,      /* the bytes say more than rules express: see remote.h */
    CFA_REGISTER,    /* register + offset */
    CFA_DEREFERENCE, /* the word at register + offset, plus extra */
    CFA_PLT,         /* register + offset, plus 8 once (pc & 15) >= extra: linkers write this
                        for the stubs of a .plt, which push in their midst */
    CFA_SIGNAL,      /* a signal trampoline: the caller's registers are in a ucontext_t */
};

/* Where a caller's register is. */
enum saved_kind {
    SAVED_SAME,     /* still in the register */
    SAVED_AT_CFA,   /* the word at CFA + offset */
    SAVED_AT,       /* the word at reg + offset */
    SAVED_REGISTER, /* in reg */
    SAVED_LOST,     /* nowhere; of the return address: this is a thread's first function */
    SAVED_UNKNOWN,  /* somewhere that we do not express */
};

struct saved_register {
    int16_t offset;
    uint8_t kind; /* enum saved_kind */
    uint8_t reg;  /* DWARF's number */
};

/* What holds at one pc. No padding: rules are compared as bytes. */
struct unwind_rule {
    int32_t cfa_offset;
    int16_t cfa_extra;
    uint8_t cfa_kind;                       /* enum cfa_kind */
    uint8_t cfa_reg;                        /* DWARF's number */
    struct saved_register ra, sp, fp, base; /* sp: SAVED_SAME means the CFA itself */
};

_Static_assert(sizeof(struct unwind_rule) == 24, "compared as bytes");

/* A copy of the part of memory that holds .eh_frame. */
struct cfi_section {
    const uint8_t *bytes;
    size_t size;
    uint64_t address; /* where bytes[0] was in memory */
};

/* One frame description entry: the code [start, limit) and its instructions. */
struct cfi_entry {
    uint64_t start, limit;
    struct cfi_section instructions;
    struct cfi_section initial; /* the common instructions that run before */
    uint64_t code_align;
    int64_t data_align;
    uint8_t encoding; /* of addresses, DW_EH_PE_… */
    bool signal;      /* a signal trampoline's */
};

/* Where the common information of the entry at `offset` lies; 0 when there is no entry. */
uint64_t cfi_common_address(const struct cfi_section *section, size_t offset);

/* Reads the entry at `offset` of the section; its common information is looked for in `common`,
 * which may be the same section. -EINVAL when it is none that can be read. */
int cfi_entry_read(const struct cfi_section *section, size_t offset,
                   const struct cfi_section *common, struct cfi_entry *entry);

/* Steps over the record at *offset. False at the end of the section; *is_entry tells a frame
 * description from common information. */
bool cfi_next(const struct cfi_section *section, size_t *offset, bool *is_entry);

/* Calls `row` for every pc at which a new rule begins to hold, in ascending order. */
void cfi_entry_rows(const struct cfi_entry *entry,
                    void (*row)(void *closure, uint64_t pc, const struct unwind_rule *rule),
                    void *closure);

/* What .eh_frame_hdr says: where .eh_frame begins, and of the search table that linkers write
 * there, which is sorted by pc. */
struct cfi_index {
    uint64_t eh_frame; /* address of .eh_frame */
    uint64_t base;     /* of .eh_frame_hdr: what the pairs are relative to */
    uint64_t pairs;    /* address of `count` pairs; 0: no table in the usual encoding */
    uint64_t count;
};

/* One pair of the search table: where an entry's code begins, and where the entry lies. */
struct cfi_pair {
    int32_t pc, entry;
};

/* Reads the .eh_frame_hdr at address `header` of the section; -EINVAL when there is none. The
 * table behind it need not lie in the section. */
int cfi_index_read(const struct cfi_section *section, uint64_t header, struct cfi_index *index);

#endif
