/* A store's folder with a file of any name and any bytes, and with any word of a swap: read and
 * tended, never more. Half of the inputs get a name that fits, so that what lies behind it is
 * reached; what is foreign is left alone. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/entry.h"
#include "store/files.h"
#include "store/read.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *store;
static char folder[] = "/tmp/cprof-fuzz-store-XXXXXX";

static void empty_folder(void)
{
    DIR *files = opendir(folder);
    for (struct dirent *file; (file = readdir(files)) != NULL;)
        unlinkat(dirfd(files), file->d_name, 0);
    closedir(files);
}

static void remove_folder(void)
{
    store_close(store);
    empty_folder();
    rmdir(folder);
}

static void make_folder(void)
{
    char error[256];
    if (mkdtemp(folder) == NULL)
        abort();
    struct store_options options = {.folder = folder, .service = "shop", .limit = 1 << 20};
    if (!ages_parse(AGES_DEFAULT, &options.ages) ||
        (store = store_open(&options, error, sizeof error)) == NULL)
        abort();
    log_set_level(LOG_ERROR);
    atexit(remove_folder);
}

static void put(const char *name, const uint8_t *content, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (file < 0 || write(file, content, size) < 0)
        abort();
    close(file);
}

static void put_any(const uint8_t *data, size_t size)
{
    char name[128];
    size_t length = size > 100 ? 100 : size;
    memcpy(name, data, length);
    name[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/' || name[i] == '\0')
            name[i] = '_';
    if (name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        put(name, data + length, size - length);
}

static void put_fitting(const uint8_t *data, size_t size, uint64_t unique)
{
    char name[ENTRY_NAME_SIZE];
    const struct entry entry = {.key = entry_key("shop"),
                                .from = 1000,
                                .to = 2000,
                                .unique = unique,
                                .count = 1,
                                .size = (uint32_t)size,
                                .crc = files_checksum(data, size)};
    entry_write_name(name, &entry);
    put(name, data, size);
}

static int drop(void *closure, struct profile *interval)
{
    (void)closure;
    profile_free(interval);
    return 0;
}

static void again(void *closure)
{
    (void)closure;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[FORMAT_ERROR_SIZE];
    if (store == NULL)
        make_folder();
    if (size < 2)
        return 0;
    if (data[0] & 1)
        put(".cprof-store.swap", data + 2, size - 2);
    if (data[0] & 2)
        put_any(data + 2, size - 2);
    if (data[0] & 4)
        for (uint64_t i = 1; i <= 1 + data[1] % 3; i++)
            put_fitting(data + 2, size - 2, i);
    const struct store_range all = {.to = UINT64_MAX};
    const struct store_visitor visitor = {.take = drop, .again = again};
    store_read(folder, &all, &visitor, error);
    for (int i = 0; i < 3; i++)
        store_tend(store, (uint64_t)3600 * 1000000000);
    store_read(folder, &all, &visitor, error);
    empty_folder();
    return 0;
}
