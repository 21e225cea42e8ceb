/* A spool folder with a file of any name and any bytes: taken or refused, never more. Half of
 * the inputs get a name that fits, so that what lies behind it is reached. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/hash.h"
#include "export/spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spool *spool;
static char folder[] = "/tmp/cprof-fuzz-spool-XXXXXX";

static void remove_folder(void)
{
    spool_close(spool);
    rmdir(folder);
}

static void make_folder(void)
{
    char error[256];
    if (mkdtemp(folder) == NULL ||
        (spool = spool_open(folder, "key", 1 << 20, error, sizeof error)) == NULL)
        abort();
    atexit(remove_folder);
}

static void name_of(char *name, const uint8_t *data, size_t size, bool fitting,
                    const uint8_t *content, size_t content_size)
{
    if (fitting) {
        snprintf(name, 128, "cprof-%016llx-%016llx-%016llx-00000001-%08zx-%08lx.otlp",
                 (unsigned long long)hash_bytes("key", 3), 1ULL, 2ULL, content_size,
                 crc32_z(0, content, content_size));
        return;
    }
    memcpy(name, data, size);
    name[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (name[i] == '/' || name[i] == '\0')
            name[i] = '_';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[128], path[256], error[256];
    if (spool == NULL)
        make_folder();
    if (size < 2)
        return 0;
    size_t name_size = data[0] % 100;
    bool fitting = data[1] & 1;
    data += 2;
    size -= 2;
    if (name_size > size)
        name_size = size;
    name_of(name, data, name_size, fitting, data + name_size, size - name_size);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    if (file < 0 || write(file, data + name_size, size - name_size) < 0)
        abort();
    close(file);
    struct spool_item item;
    int result = spool_take(spool, &item, error, sizeof error);
    if (fitting && result != 0)
        abort();
    if (result == 0) {
        char reason[FORMAT_ERROR_SIZE];
        profile_free(format_read(&format_otlp, item.data, item.size, reason));
        spool_done(spool, &item);
    }
    unlink(path);
    return 0;
}
