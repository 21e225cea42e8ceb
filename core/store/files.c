#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define TRIES 8 /* while another clears up */

bool files_read_hex(const char **text, int digits, uint64_t *number)
{
    *number = 0;
    for (; digits > 0; digits--, ++*text) {
        char c = **text;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            return false;
        *number = *number << 4 | (uint64_t)value;
    }
    return true;
}

bool files_read_text(const char **text, const char *expected)
{
    size_t length = strlen(expected);
    bool same = strncmp(*text, expected, length) == 0;
    *text += same ? length : 0;
    return same;
}

bool files_read_field(const char **text, int digits, uint64_t *number)
{
    return files_read_text(text, "-") && files_read_hex(text, digits, number);
}

char *files_make_folder(const char *variable, const char *folder, char *error,
                        size_t error_size)
{
    char *path = realpath(folder, NULL);
    if (path == NULL && errno == ENOENT && mkdir(folder, 0700) == 0)
        path = realpath(folder, NULL);
    if (path != NULL && faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
        return path;
    snprintf(error, error_size, "%s: '%s': %s", variable, folder, strerror(errno));
    free(path);
    return NULL;
}

int files_open_folder(const char *folder)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return file < 0 ? -errno : file;
}

uint32_t files_checksum(const unsigned char *data, size_t size)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, size);
}

static bool lock_whole(int file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_SETLK, &whole) == 0;
}

int files_open_locked(int folder, const char *name)
{
    struct stat status;
    int file = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    if (lock_whole(file) && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_uid == geteuid() && status.st_nlink > 0)
        return file;
    close(file);
    return -EBUSY;
}

bool files_still_named(int folder, const char *name, int file)
{
    struct stat there, here;
    return fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && fstat(file, &here) == 0 &&
           there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

/* Not mapped: a file that somebody cuts short would be a SIGBUS. */
int files_load(int file, size_t size, uint32_t crc, unsigned char **data)
{
    struct stat status;
    if (fstat(file, &status) != 0 || (uint64_t)status.st_size != size)
        return -EBADMSG;
    *data = malloc(size + 1);
    if (*data == NULL)
        return -ENOMEM;
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(file, *data + have, size - have, (off_t)have);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    if (have == size && files_checksum(*data, size) == crc)
        return 0;
    free(*data);
    *data = NULL;
    return -EBADMSG;
}

static int write_all(int file, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, data, size);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

/* Who clears up may have taken the file for one that was left behind, before it was locked. */
static bool is_ours(int file)
{
    struct stat status;
    return lock_whole(file) && fstat(file, &status) == 0 && status.st_nlink > 0;
}

static int create(int folder, const char *name)
{
    for (int i = 0; i < TRIES; i++) {
        int file =
            openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file < 0 && errno != EEXIST)
            return -errno;
        if (file >= 0 && is_ours(file))
            return file;
        if (file >= 0)
            close(file);
    }
    return -EBUSY;
}

int files_write(int folder, const char *name, const struct buffer *bytes)
{
    int file = create(folder, name);
    if (file < 0)
        return file;
    int error = write_all(file, bytes->data, bytes->size);
    if (error == 0)
        return file;
    unlinkat(folder, name, 0);
    close(file);
    return error;
}
