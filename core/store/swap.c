#include "store/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/files.h"

#define SWAP ".cprof-store.swap"
#define SWAP_HALF ".cprof-store.swap.tmp"
#define HEAD "cprof store swap 1\n"
#define LARGEST ((off_t)4 << 20) /* no swap says more */

static void write_line(struct buffer *out, const struct entry *entry)
{
    char name[ENTRY_NAME_SIZE];
    entry_write_name(name, entry);
    buffer_append(out, name, strlen(name));
    buffer_append(out, "\n", 1);
}

static void write_checksum(struct buffer *out)
{
    char line[16];
    snprintf(line, sizeof line, "-%08x\n", files_checksum(out->data, out->size));
    buffer_append(out, line, strlen(line));
}

/* ---- reading ---- */

static bool read_line(const char **text, struct entry *entry)
{
    char name[ENTRY_NAME_SIZE];
    size_t length = strcspn(*text, "\n");
    if (length >= sizeof name || (*text)[length] != '\n')
        return false;
    memcpy(name, *text, length);
    name[length] = '\0';
    *text += length + 1;
    return entry_parse_name(name, entry);
}

static int parse(const char *text, struct swap *swap)
{
    const char *begin = text;
    uint64_t crc;
    if (!files_read_text(&text, HEAD) || !read_line(&text, &swap->made))
        return -EBADMSG;
    while (*text != '-' && *text != '\0') {
        struct entry old;
        if (!read_line(&text, &old))
            return -EBADMSG;
        if (entries_add(&swap->old, &old) != 0)
            return -ENOMEM;
    }
    size_t size = (size_t)(text - begin);
    return files_read_field(&text, 8, &crc) && strcmp(text, "\n") == 0 &&
                   crc == files_checksum((const unsigned char *)begin, size)
               ? 0
               : -EBADMSG;
}

/* The text of the file, to be freed. */
static int load(int folder, char **text)
{
    struct stat status;
    int file = openat(folder, SWAP, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    int error =
        fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > LARGEST
            ? -EBADMSG
            : 0;
    *text = error == 0 ? calloc(1, (size_t)status.st_size + 1) : NULL;
    if (error == 0 && *text == NULL)
        error = -ENOMEM;
    if (error == 0 && read(file, *text, (size_t)status.st_size) != status.st_size)
        error = -EBADMSG;
    close(file);
    return error;
}

int swap_read(int folder, struct swap *swap)
{
    char *text = NULL;
    *swap = (struct swap){0};
    int status = load(folder, &text);
    if (status == 0)
        status = parse(text, swap);
    free(text);
    return status;
}

void swap_free(struct swap *swap)
{
    entries_free(&swap->old);
}

/* ---- making ---- */

static void remove_entry(int folder, const struct entry *entry)
{
    char name[ENTRY_NAME_SIZE];
    entry_write_name(name, entry);
    unlinkat(folder, name, 0);
}

/* The rest of a swap that counts. Any number of times. The word goes last: as long as it is
 * there, the old ones do not count. */
static int finish(int folder, const struct entry *made, const struct entry *old, size_t count)
{
    char half[ENTRY_NAME_SIZE], name[ENTRY_NAME_SIZE];
    entry_write_half_name(half, made->unique);
    entry_write_name(name, made);
    if (renameat(folder, half, folder, name) != 0 && errno != ENOENT)
        return -errno;
    for (size_t i = 0; i < count; i++)
        remove_entry(folder, &old[i]);
    unlinkat(folder, SWAP, 0);
    return 0;
}

static int write_word(int folder, const struct buffer *text)
{
    unlinkat(folder, SWAP_HALF, 0);
    int file = text->error != 0 ? text->error : files_write(folder, SWAP_HALF, text);
    if (file < 0)
        return file;
    fdatasync(file);
    int error = renameat(folder, SWAP_HALF, folder, SWAP) == 0 ? 0 : -errno;
    close(file);
    return error;
}

int swap_make(int folder, const struct entry *made, const struct entry *old, size_t count)
{
    struct buffer text = {0};
    buffer_append(&text, HEAD, strlen(HEAD));
    write_line(&text, made);
    for (size_t i = 0; i < count; i++)
        write_line(&text, &old[i]);
    if (text.error == 0)
        write_checksum(&text);
    int error = write_word(folder, &text);
    buffer_free(&text);
    if (error == 0)
        return finish(folder, made, old, count);
    char half[ENTRY_NAME_SIZE];
    entry_write_half_name(half, made->unique);
    unlinkat(folder, half, 0);
    unlinkat(folder, SWAP_HALF, 0);
    return error;
}

void swap_recover(int folder)
{
    struct swap swap;
    int status = swap_read(folder, &swap);
    if (status == 0)
        finish(folder, &swap.made, swap.old.list, swap.old.count);
    else if (status == -EBADMSG)
        unlinkat(folder, SWAP, 0);
    swap_free(&swap);
}

static bool has(const struct entries *entries, uint64_t unique)
{
    for (size_t i = 0; i < entries->count; i++)
        if (entries->list[i].unique == unique)
            return true;
    return false;
}

int swap_apply(int folder, struct entries *entries, uint64_t *half)
{
    struct swap swap;
    char name[ENTRY_NAME_SIZE];
    int status = swap_read(folder, &swap);
    *half = 0;
    if (status == 0) {
        for (size_t i = entries->count; i-- > 0;)
            if (has(&swap.old, entries->list[i].unique))
                entries_remove(entries, i);
        entry_write_half_name(name, swap.made.unique);
        if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            *half = swap.made.unique;
            status = entries_add(entries, &swap.made);
        }
    }
    swap_free(&swap);
    return status == -ENOMEM ? status : 0;
}
