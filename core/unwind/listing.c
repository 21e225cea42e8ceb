#include "unwind/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/own_program.h"
#include "cprof/readable.h"
#include "unwind/cfi.h"
#include "unwind/mapped.h"

enum {
    INITIAL_MAPPINGS = 256,
    INITIAL_TEXT = 32 << 10,
    HEADER_BYTES = 64, /* of .eh_frame_hdr that identify a module, */
    NOTES = 4,         /* and of so many notes (the build id is among them) */
    NOTE_BYTES = 256,  /* so many each */
    IDENTITY_BYTES = HEADER_BYTES + NOTES * NOTE_BYTES,
    PIECES = 64, /* of memory, read at once */
};

static const uintptr_t PAGE = 4096;

/* ---- under the loader's lock: nothing here allocates ---- */

/* Reads pieces of our own memory one behind the other, but ends where a load would crash:
 * program headers may be wrong, and a file may have been cut off under its mapping. At most
 * PIECES at once. The bytes read, or a negative errno. */
static long read_pieces(const struct iovec *pieces, size_t count, void *to)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return cprof_read_pieces(to, size, pieces, count);
}

/* The other way. */
static size_t load_pieces(const struct iovec *pieces, size_t count, uint8_t *to)
{
    size_t size = 0;
    for (size_t i = 0; i < count; size += pieces[i++].iov_len)
        memcpy(to + size, pieces[i].iov_base, pieces[i].iov_len);
    return size;
}

/* The executable segments. False when it has no code. */
static bool describe_code(const struct dl_phdr_info *info, struct mapping *mapping)
{
    *mapping = (struct mapping){.start = UINTPTR_MAX, .bias = info->dlpi_addr};
    uint64_t hash = hash_bytes(info->dlpi_phdr, info->dlpi_phnum * sizeof(*info->dlpi_phdr));
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        uintptr_t limit = start + segment->p_memsz;
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || limit <= start)
            continue;
        mapping->solid = mapping->limit == 0 && (segment->p_flags & PF_R);
        if ((start & ~(PAGE - 1)) < mapping->start) {
            mapping->start = start & ~(PAGE - 1);
            mapping->file_offset = segment->p_offset & ~(uint64_t)(PAGE - 1);
        }
        if (((limit + PAGE - 1) & ~(PAGE - 1)) > mapping->limit)
            mapping->limit = (limit + PAGE - 1) & ~(PAGE - 1);
    }
    hash = hash_combine(hash, hash_bytes(info->dlpi_name, strlen(info->dlpi_name)));
    mapping->fingerprint = hash_combine(hash_combine(hash, mapping->start), mapping->limit);
    return mapping->start < mapping->limit;
}

/* The search table, if all of it lies in the memory that will be read. */
static void describe_pairs(const struct cfi_index *index, struct mapping *mapping)
{
    uint64_t room = mapping->unwind_limit - (uintptr_t)index->pairs;
    if (index->pairs < mapping->unwind || index->pairs >= mapping->unwind_limit ||
        index->count > room / sizeof(struct cfi_pair))
        return;
    mapping->pairs = (uintptr_t)index->pairs;
    mapping->pair_count = (size_t)index->count;
}

/* Where the header and .eh_frame lie together in one segment; linkers put them so. Look-ups
 * fetch `carefully`, or can't. */
static void describe_unwind(const struct dl_phdr_info *info, const uint8_t bytes[HEADER_BYTES],
                            uintptr_t address, bool carefully, struct mapping *mapping)
{
    struct cfi_section section = {.bytes = bytes, .size = HEADER_BYTES, .address = address};
    struct cfi_index index;
    if (cfi_index_read(&section, section.address, &index) != 0)
        return;
    uintptr_t first = section.address < index.eh_frame ? section.address : index.eh_frame;
    uintptr_t last = section.address < index.eh_frame ? index.eh_frame : section.address;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD || first < start || last - start >= segment->p_filesz)
            continue;
        mapping->header = section.address;
        mapping->unwind = first;
        mapping->unwind_limit = start + segment->p_filesz;
        memcpy(mapping->head, bytes, sizeof(mapping->head));
        if (carefully)
            describe_pairs(&index, mapping);
    }
}

static uintptr_t find_header(const struct dl_phdr_info *info)
{
    uintptr_t address = 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
            address = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    return address;
}

/* All of one object, with one system call. False when it has no code. */
static bool describe(const struct dl_phdr_info *info, struct mapping *mapping)
{
    uint8_t bytes[IDENTITY_BYTES];
    uintptr_t header = find_header(info);
    struct iovec pieces[1 + NOTES] = {
        {.iov_base = (void *)header, .iov_len = header != 0 ? HEADER_BYTES : 0}};
    size_t count = 1;
    if (!describe_code(info, mapping))
        return false;
    for (size_t i = 0; i < info->dlpi_phnum && count <= NOTES; i++) {
        const ElfW(Phdr) *note = &info->dlpi_phdr[i];
        if (note->p_type == PT_NOTE)
            pieces[count++] = (struct iovec){
                .iov_base = (void *)(info->dlpi_addr + note->p_vaddr),
                .iov_len = note->p_memsz < NOTE_BYTES ? note->p_memsz : NOTE_BYTES};
    }
    long got = read_pieces(pieces, count, bytes);
    bool forbidden = cprof_is_forbidden(got);
    size_t size = forbidden ? load_pieces(pieces, count, bytes) : got > 0 ? (size_t)got : 0;
    mapping->fingerprint = hash_combine(mapping->fingerprint, hash_bytes(bytes, size));
    if (header != 0 && size >= HEADER_BYTES)
        describe_unwind(info, bytes, header, !forbidden, mapping);
    return true;
}

static void name_mapping(struct listing *listing, struct mapping *mapping, const char *path,
                         size_t length)
{
    if (length >= listing->text_capacity - listing->text_used) {
        listing->overflow = true;
        return;
    }
    mapping->path = listing->text_used;
    memcpy(listing->text + listing->text_used, path, length);
    listing->text[listing->text_used + length] = '\0';
    listing->text_used += length + 1;
}

static void add_mapping(struct listing *listing, struct mapping mapping, const char *path,
                        size_t length)
{
    if (listing->count == listing->capacity) {
        listing->overflow = true;
        return;
    }
    name_mapping(listing, &mapping, path, length);
    listing->mappings[listing->count++] = mapping;
}

static bool holds(const struct mapping *mapping, uintptr_t address)
{
    return address - mapping->start < mapping->limit - mapping->start;
}

static int list_object(struct dl_phdr_info *info, size_t size, void *closure)
{
    struct listing *listing = closure;
    const char *path = listing->count == 0 ? listing->text : info->dlpi_name;
    struct mapping mapping;
    (void)size;
    listing->loader =
        (struct loader_state){.additions = info->dlpi_adds, .removals = info->dlpi_subs};
    if (!describe(info, &mapping))
        return 0;
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (vdso != 0 && mapping.start <= vdso && vdso < mapping.limit)
        path = "[vdso]";
    mapping.stays =
        listing->count == 0 || *path == '[' || holds(&mapping, getauxval(AT_ENTRY)) ||
        info->dlpi_addr == getauxval(AT_BASE) || holds(&mapping, (uintptr_t)sigaction);
    add_mapping(listing, mapping, path, strlen(path));
    return 0;
}

static int read_state(struct dl_phdr_info *info, size_t size, void *closure)
{
    (void)size;
    *(struct loader_state *)closure =
        (struct loader_state){.additions = info->dlpi_adds, .removals = info->dlpi_subs};
    return 1;
}

/* A look at one object again, if it is still the one that was listed. */
struct visit {
    const struct mapping *wanted;
    int (*read)(const struct mapping *mapping, void *to);
    void *to;
    int error;
};

static int visit_object(struct dl_phdr_info *info, size_t size, void *closure)
{
    struct visit *visit = closure;
    struct mapping mapping;
    (void)size;
    if (info->dlpi_addr != visit->wanted->bias || !describe(info, &mapping) ||
        mapping.fingerprint != visit->wanted->fingerprint)
        return 0;
    visit->error = visit->read(&mapping, visit->to);
    return 1;
}

static int read_unwind(const struct mapping *mapping, void *to)
{
    const struct iovec all = {.iov_base = (void *)mapping->unwind,
                              .iov_len = mapping->unwind_limit - mapping->unwind};
    long got = read_pieces(&all, 1, to);
    if (cprof_is_forbidden(got))
        got = (long)load_pieces(&all, 1, to);
    return got < 0 ? (int)got : (size_t)got == all.iov_len ? 0 : -EFAULT;
}

static int read_pivots(const struct mapping *mapping, void *to)
{
    int32_t *pivots = to;
    size_t count = mapped_pivot_count(mapping->pair_count);
    struct iovec pieces[PIECES];
    int error = 0;
    for (size_t done = 0, now; done < count && error == 0; done += now) {
        now = count - done < PIECES ? count - done : PIECES;
        for (size_t i = 0; i < now; i++) {
            uintptr_t pair = (done + i) * MAPPED_STRIDE * sizeof(struct cfi_pair);
            pieces[i] = (struct iovec){.iov_base = (void *)(mapping->pairs + pair),
                                       .iov_len = sizeof(*pivots)};
        }
        long got = read_pieces(pieces, now, pivots + done);
        error = got < 0 ? (int)got : (size_t)got == now * sizeof(*pivots) ? 0 : -EFAULT;
    }
    return error;
}

/* ---- what the kernel knows besides ---- */

/* All of /proc/self/maps, ended by a zero; the caller frees it. */
static char *read_maps(void)
{
    size_t size = 0;
    size_t capacity = 64 << 10;
    char *text = malloc(capacity);
    int file = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 1;
    while (text && got > 0) {
        if (capacity - size < 2) {
            char *grown = realloc(text, capacity *= 2);
            if (!grown)
                break;
            text = grown;
        }
        got = read(file, text + size, capacity - size - 1);
        size += got > 0 ? (size_t)got : 0;
    }
    if (file >= 0)
        close(file);
    if (got != 0) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

static bool listed(const struct listing *listing, size_t count, uintptr_t start,
                   uintptr_t limit)
{
    for (size_t i = 0; i < count; i++)
        if (start < listing->mappings[i].limit && listing->mappings[i].start < limit)
            return true;
    return false;
}

/* A file that the loader has loaded too (V8 maps its builtins a second time): it knows which
 * addresses the file's bytes have. Of others the offsets are taken for these. */
static bool place(const struct listing *listing, size_t objects, const char *path,
                  size_t length, struct mapping *mapping)
{
    mapping->bias = mapping->start - (uintptr_t)mapping->file_offset;
    for (size_t i = 0; i < objects && length > 0; i++) {
        const struct mapping *object = &listing->mappings[i];
        const char *own = listing->text + object->path;
        if (strlen(own) != length || memcmp(own, path, length) != 0)
            continue;
        mapping->shift = mapping->bias - (object->start - (uintptr_t)object->file_offset);
        mapping->bias = object->bias + mapping->shift;
        return true;
    }
    return false;
}

/* Memory that has a name in the file system, but no file: where compilers put their code. */
static bool is_memory(const char *path)
{
    return *path != '/' || strncmp(path, "/memfd:", 7) == 0 || strncmp(path, "/dev/", 5) == 0;
}

/* One line, without its end: "start-end perms offset device inode path". */
static void list_line(struct listing *listing, size_t objects, const char *line)
{
    uintptr_t start;
    uintptr_t limit;
    uint64_t offset;
    char execute;
    int path_at = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*c%*c%c%*c %" SCNx64 " %*s %*s %n", &start,
               &limit, &execute, &offset, &path_at) < 4)
        return;
    if (execute != 'x' || start >= limit || start > INTPTR_MAX ||
        listed(listing, objects, start, limit))
        return;
    const char *path = line + path_at;
    size_t length = *path == '/' ? strlen(path) : 0;
    struct mapping mapping = {.start = start,
                              .limit = limit,
                              .file_offset = offset,
                              .fingerprint = hash_combine(hash_bytes(path, length), start)};
    mapping.fingerprint = hash_combine(mapping.fingerprint, limit);
    mapping.foreign = !place(listing, objects, path, length, &mapping) && !is_memory(path);
    add_mapping(listing, mapping, path, length);
}

/* The loader names what it loads as it was asked for, "./libshop.so": relative to a folder that
 * the program may have left since. */
static bool is_relative(const char *path)
{
    return *path != '/' && *path != '[' && strchr(path, '/') != NULL;
}

static void name_line(struct listing *listing, size_t objects, const char *line)
{
    uintptr_t start;
    int path_at = 0;
    if (sscanf(line, "%" SCNxPTR "-%*s %*s %*s %*s %*s %n", &start, &path_at) < 1 ||
        line[path_at] != '/')
        return;
    for (size_t i = 0; i < objects; i++) {
        struct mapping *mapping = &listing->mappings[i];
        if (holds(mapping, start) && is_relative(listing->text + mapping->path))
            name_mapping(listing, mapping, line + path_at, strlen(line + path_at));
    }
}

/* Each line of the kernel's list, with the number of objects that the loader listed. */
static int read_lines(struct listing *listing,
                      void (*take)(struct listing *listing, size_t objects, const char *line))
{
    size_t objects = listing->count;
    char *text = read_maps();
    if (!text)
        return -EIO;
    for (char *line = text; *line && !listing->overflow;) {
        char *end = strchrnul(line, '\n');
        char *next = *end ? end + 1 : end;
        *end = '\0'; /* sscanf() looks for it first: not at the end of all lines */
        take(listing, objects, line);
        line = next;
    }
    free(text);
    return 0;
}

static void name_relative(struct listing *listing)
{
    bool any = false;
    for (size_t i = 0; i < listing->count; i++)
        any |= is_relative(listing->text + listing->mappings[i].path);
    if (any)
        read_lines(listing, name_line);
}

/* ---- the whole ---- */

/* The loader names the program "": its path is put where the text begins. */
static void name_program(struct listing *listing)
{
    listing->text_used = own_program(listing->text, PATH_MAX) + 1;
}

/* What the loader has moved between the two looks would pass for a second mapping of its file.
 */
static int list_unknown_if_still(struct listing *listing)
{
    size_t objects = listing->count;
    struct loader_state now;
    int error = read_lines(listing, list_line);
    loader_state_read(&now);
    if (now.additions != listing->loader.additions || now.removals != listing->loader.removals)
        listing->count = objects;
    return error;
}

static int list_once(struct listing *listing, size_t scale, bool with_unknown)
{
    *listing = (struct listing){.capacity = INITIAL_MAPPINGS * scale,
                                .text_capacity = INITIAL_TEXT * scale};
    listing->mappings = malloc(listing->capacity * sizeof(*listing->mappings));
    listing->text = malloc(listing->text_capacity);
    if (!listing->mappings || !listing->text)
        return -ENOMEM;
    name_program(listing);
    dl_iterate_phdr(list_object, listing);
    name_relative(listing);
    return with_unknown && !listing->overflow ? list_unknown_if_still(listing) : 0;
}

int listing_new(struct listing *listing, bool with_unknown)
{
    for (size_t scale = 1;; scale *= 2) {
        int error = list_once(listing, scale, with_unknown);
        if (error == 0 && !listing->overflow)
            return 0;
        listing_free(listing);
        if (error != 0)
            return error;
    }
}

void listing_free(struct listing *listing)
{
    free(listing->mappings);
    free(listing->text);
    *listing = (struct listing){.count = 0};
}

void loader_state_read(struct loader_state *state)
{
    dl_iterate_phdr(read_state, state);
}

int listing_copy_unwind(const struct mapping *mapping, void *to)
{
    struct visit visit = {.wanted = mapping, .read = read_unwind, .to = to, .error = -ESTALE};
    dl_iterate_phdr(visit_object, &visit);
    return visit.error;
}

int listing_copy_pivots(const struct mapping *mapping, int32_t *pivots)
{
    struct visit visit = {
        .wanted = mapping, .read = read_pivots, .to = pivots, .error = -ESTALE};
    dl_iterate_phdr(visit_object, &visit);
    return visit.error;
}
