/*
 * Where CRuby keeps what the walker reads, by version, and the proof that it is so here.
 *
 * The numbers are those of CRuby's own headers on 64-bit Linux. layout_check() walks a known
 * Ruby stack with them and compares the outcome with what Ruby itself says of that stack; the
 * walker runs only when they agree. Set once, under the GVL and before sampling begins;
 * handlers only read it.
 */
#ifndef CPROF_RUBY_LAYOUT_H
#define CPROF_RUBY_LAYOUT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ruby.h>

/* rb_thread_t, rb_execution_context_t */
#define THREAD_SELF 16
#define THREAD_RACTOR 24
#define EC_VM_STACK 0
#define EC_VM_STACK_SIZE 8 /* in words */
#define EC_CFP 16
#define EC_TAG 24
#define EC_THREAD 48

/* rb_control_frame_t; its environment pointer `ep` has its data at negative indices */
#define FRAME_PC 0
#define FRAME_ISEQ 16
#define FRAME_EP 32
#define EP_METHOD (-2)   /* method entry, or what stands for one */
#define EP_PREVIOUS (-1) /* the enclosing environment, in blocks */
#define EP_FLAGS 0
#define FLAG_LOCAL 0x0002
#define FLAG_FINISH 0x0020
#define FLAG_CFRAME 0x0080
#define FRAME_TYPE_MASK 0x7fff0001
#define FRAME_TYPE_METHOD 0x11110001 /* most others are its multiples */
#define FRAME_TYPE_CFUNC 0x55550001
#define FRAME_TYPE_RESCUE 0x78880001
#define FRAME_TYPE_DUMMY 0x79990001

/* rb_iseq_t and its body */
#define ISEQ_BODY 16
#define BODY_SIZE 4
#define BODY_ENCODED 8

/* Internal objects that frames refer to: the kind stands above the type in the flags. */
#define IMEMO_TYPE 0x1a
#define IMEMO_KIND(flags) (((flags) >> 12) & 0xf)
#define IMEMO_SVAR 2
#define IMEMO_METHOD 6
#define IMEMO_ISEQ 7
#define SVAR_METHOD 8
#define METHOD_CLASS 8
#define METHOD_DEFINITION 16
#define METHOD_OWNER 32

/* rb_method_definition_t: its type in the low bits, then what is particular to the type */
#define DEFINITION_TYPE_MASK 0xf
#define DEFINITION_CFUNC 1
#define DEFINITION_FUNCTION 8

/* struct rb_vm_tag: one on the C stack of every running rb_vm_exec() (and of others). The
 * setjmp buffer holds the address to resume at, perhaps mangled, but alike for one place. */
#ifdef RUBY_JMP_BUF
#define TAG_BUFFER_SIZE sizeof(RUBY_JMP_BUF)
#if defined(__x86_64__) && defined(__GLIBC__)
#define TAG_FRAME (16 + 1 * 8)
#define TAG_STACK (16 + 6 * 8)
#define TAG_RESUME (16 + 7 * 8)
#endif
#else /* __builtin_setjmp */
#define TAG_BUFFER_SIZE (5 * sizeof(void *))
#define TAG_FRAME (16 + 0 * 8)
#define TAG_RESUME (16 + 1 * 8)
#define TAG_STACK (16 + 2 * 8)
#endif
#define TAG_PREVIOUS (ptrdiff_t)(16 + TAG_BUFFER_SIZE)

#if defined(RUBY_JMP_BUF) && defined(TAG_RESUME)
/* glibc keeps the registers of a jmp_buf rotated and xored with a secret of the process. */
static inline uintptr_t layout_demangle(uintptr_t word)
{
    uintptr_t secret;
    __asm__("mov %%fs:0x30, %0" : "=r"(secret));
    return (word >> 17 | word << 47) ^ secret;
}
#endif

struct layout {
    unsigned thread_ec;    /* offset of rb_thread_t.ec */
    unsigned frame_size;   /* of rb_control_frame_t */
    uintptr_t loop_resume; /* what the tags of rb_vm_exec() resume at; 0 = not known */
    bool trusted;          /* layout_check() agreed: frames may be walked */
    uintptr_t main_ractor; /* the one rb_ractor_t that is never freed */
    uintptr_t main_runs;   /* where that keeps the context that runs; 0 = not known */
};

extern struct layout layout;

static inline uintptr_t word_at(uintptr_t base, ptrdiff_t offset)
{
    return *(const uintptr_t *)(base + (uintptr_t)offset);
}

/* Under the GVL, in a C method that Ruby code has called (its interpreter loop has the
 * innermost tag). Fills `layout`. Returns false, with a line in `why`, when this Ruby cannot be
 * walked. */
bool layout_check(char *why, size_t size);

/* The rb_thread_t of a Thread object. */
void *layout_thread(VALUE thread);

#endif
