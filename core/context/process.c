#include "context/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common.pb-c.h"
#include "format/otlp.h"
#include "format/wire.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define NAME "OTEL_CTX"
#define VERSION 2
#define MAX_KEYS 256 /* their numbers are one byte */

/* What readers find at the beginning of the mapping. */
struct header {
    char signature[8];
    uint32_t version;
    uint32_t payload_size;
    _Atomic uint64_t published_at; /* CLOCK_BOOTTIME, ns; 0: being changed */
    uint64_t payload;              /* its address in this process */
};

_Static_assert(sizeof(struct header) == 32, "as the specification has it");

enum context_field { CONTEXT_ATTRIBUTES = 2 };
enum array_field { ARRAY_VALUES = 1 };

static struct {
    pthread_mutex_t lock;
    struct header *header;  /* NULL: nothing is published */
    struct buffer payload;  /* what readers see */
    struct buffer resource; /* the part of it that never changes in a run */
    bool records;           /* threads have records */
    char *keys[MAX_KEYS];
    int key_count;
} context = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Atomic bool process_context_shared;

/* ---- what is published ---- */

static ProtobufCBinaryData text(const char *chars)
{
    return (ProtobufCBinaryData){.len = strlen(chars), .data = (uint8_t *)chars};
}

static void put_attribute(struct buffer *out, const char *key, Otlp__AnyValue *value)
{
    Otlp__KeyValue row = OTLP__KEY_VALUE__INIT;
    row.key = text(key);
    row.value = value;
    wire_message(out, CONTEXT_ATTRIBUTES, &row.base);
}

static void put_schema(struct buffer *out)
{
    Otlp__AnyValue value = OTLP__ANY_VALUE__INIT;
    value.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
    value.string_value = text("tlsdesc_v1_dev");
    put_attribute(out, "threadlocal.schema_version", &value);
}

static void put_keys(struct buffer *out)
{
    struct buffer names = {0};
    for (int i = 0; i < context.key_count; i++) {
        Otlp__AnyValue name = OTLP__ANY_VALUE__INIT;
        name.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        name.string_value = text(context.keys[i]);
        wire_message(&names, ARRAY_VALUES, &name.base);
    }
    Otlp__AnyValue value = OTLP__ANY_VALUE__INIT;
    value.value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
    value.array_value = (ProtobufCBinaryData){.len = names.size, .data = names.data};
    if (names.error == 0)
        put_attribute(out, "threadlocal.attribute_key_map", &value);
    else
        out->error = names.error;
    buffer_free(&names);
}

/* A later time than the last, whatever the clock says. */
static uint64_t later_than(uint64_t last)
{
    uint64_t now = clock_ns(CLOCK_BOOTTIME);
    return now > last ? now : last + 1;
}

/* [locked] Brings what readers see up to date. A payload that has no memory stays as it was. */
static int update(void)
{
    struct header *header = context.header;
    struct buffer payload = {0};
    buffer_append(&payload, context.resource.data, context.resource.size);
    if (context.records) {
        put_schema(&payload);
        put_keys(&payload);
    }
    if (payload.error != 0) {
        buffer_free(&payload);
        return -ENOMEM;
    }
    uint64_t last = atomic_load_explicit(&header->published_at, memory_order_relaxed);
    atomic_store_explicit(&header->published_at, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    header->payload = (uint64_t)(uintptr_t)payload.data;
    header->payload_size = (uint32_t)payload.size;
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&header->published_at, later_than(last), memory_order_relaxed);
    buffer_free(&context.payload);
    context.payload = payload;
    return 0;
}

/* ---- the mapping ---- */

static size_t mapping_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* By its number: glibc has it since 2.27. */
static int make_memory_file(unsigned flags)
{
    return (int)syscall(__NR_memfd_create, NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
}

static int make_file(void)
{
    int file = make_memory_file(MFD_NOEXEC_SEAL);
    if (file < 0) /* a kernel before 6.3 does not know the last */
        file = make_memory_file(0);
    if (file >= 0 && ftruncate(file, (off_t)mapping_size()) != 0) {
        close(file);
        file = -1;
    }
    return file;
}

static int set_name(void)
{
    return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)(uintptr_t)context.header,
                 mapping_size(), NAME);
}

/* 0, with the mapping in context.header, or a negative errno. */
static int map(bool *named_by_file)
{
    int file = make_file();
    void *made = mmap(NULL, mapping_size(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
    int status = made == MAP_FAILED ? -errno : 0;
    if (file >= 0)
        close(file);
    if (status == 0 && madvise(made, mapping_size(), MADV_DONTFORK) != 0) {
        status = -errno;
        munmap(made, mapping_size());
    }
    if (status != 0)
        return status;
    *named_by_file = file >= 0;
    context.header = made;
    memcpy(context.header->signature, NAME, sizeof context.header->signature);
    context.header->version = VERSION;
    return 0;
}

/* Does this process publish a context already? Ours are gone when this is asked. */
static bool is_there(void)
{
    FILE *maps = fopen("/proc/thread-self/maps", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (maps != NULL && !found && getline(&line, &size, maps) > 0)
        found = strstr(line, "[anon_shmem:" NAME) != NULL ||
                strstr(line, "[anon:" NAME) != NULL || strstr(line, "/memfd:" NAME) != NULL;
    free(line);
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* [locked] */
static void take_down(void)
{
    atomic_store(&process_context_shared, false);
    if (context.header != NULL)
        munmap(context.header, mapping_size());
    context.header = NULL;
    buffer_free(&context.payload);
    buffer_free(&context.resource);
}

static int publish(const struct profile *model)
{
    if (is_there())
        return -EEXIST;
    int status = otlp_write_resource(model, &context.resource);
    bool named = false;
    if (status == 0)
        status = map(&named);
    if (status == 0)
        status = update();
    if (status == 0 && set_name() != 0 && !named)
        status = -ENOTSUP; /* nobody would find it */
    return status;
}

void process_context_open(void)
{
    atomic_store(&process_context_shared, true);
}

int process_context_publish(const struct profile *model)
{
    pthread_mutex_lock(&context.lock);
    int status = publish(model);
    if (status != 0)
        take_down();
    pthread_mutex_unlock(&context.lock);
    if (status == -EEXIST)
        log_info("the process publishes an OpenTelemetry context already: cprof leaves it at "
                 "that");
    else if (status != 0)
        log_info("the OpenTelemetry context is not published: %s", strerror(-status));
    return status;
}

void process_context_withdraw(void)
{
    pthread_mutex_lock(&context.lock);
    take_down();
    pthread_mutex_unlock(&context.lock);
}

/* [locked] */
static void update_if_published(void)
{
    if (context.header != NULL && context.records && update() == 0)
        set_name(); /* those who watch prctl() learn of the change by it */
}

/* [locked] */
static int find_key(const char *name)
{
    for (int i = 0; i < context.key_count; i++)
        if (strcmp(context.keys[i], name) == 0)
            return i;
    return -ENOENT;
}

/* [locked] */
static int add_key(const char *name)
{
    if (context.key_count == MAX_KEYS)
        return -ENOSPC;
    char *copy = strdup(name);
    if (copy == NULL)
        return -ENOMEM;
    context.keys[context.key_count] = copy;
    return context.key_count++;
}

int process_context_key(const char *name)
{
    pthread_mutex_lock(&context.lock);
    int key = find_key(name);
    if (key < 0 && (key = add_key(name)) >= 0)
        update_if_published();
    pthread_mutex_unlock(&context.lock);
    return key;
}

void process_context_tell_records(void)
{
    pthread_mutex_lock(&context.lock);
    if (!context.records) {
        context.records = true;
        update_if_published();
    }
    pthread_mutex_unlock(&context.lock);
}

/* ---- fork ---- */

void process_context_fork_lock(void)
{
    pthread_mutex_lock(&context.lock);
}

void process_context_fork_unlock(void)
{
    pthread_mutex_unlock(&context.lock);
}

/* The child has no mapping where the parent's was, but may have one of its own there by now. */
void process_context_forget(void)
{
    context.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    context.header = NULL;
    /* Not freed: behind the runtime's back it may have been forked amid a change of these. */
    context.payload = context.resource = (struct buffer){0};
    atomic_store(&process_context_shared, false);
}
