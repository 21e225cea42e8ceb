#include "control/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SWEPT = 512, LONGEST_RUNTIME = 64 }; /* a socket's path has 107 bytes */

static const char *const endings[] = {
    [CONTROL_SOCKET] = "sock", [CONTROL_STANDBY] = "standby", [CONTROL_KNOCK] = "knock"};

bool control_folder_of(unsigned number, const char *root, const char *runtime, uid_t user,
                       char folder[CONTROL_PATH_SIZE])
{
    int length = -1;
    if (number == 0 && runtime != NULL && runtime[0] == '/' &&
        strlen(runtime) <= LONGEST_RUNTIME)
        length = snprintf(folder, CONTROL_PATH_SIZE, "%s%s/cprof", root, runtime);
    else if (number == 1)
        length =
            snprintf(folder, CONTROL_PATH_SIZE, "%s/tmp/cprof-%lu", root, (unsigned long)user);
    return length > 0 && length < CONTROL_PATH_SIZE;
}

bool control_folder_is_of(const char *folder, uid_t user)
{
    struct stat status;
    return lstat(folder, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == user &&
           (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* May the folder be in that one? Others must not be able to put their own in its place: it is
 * the user's, or a sticky one. */
static bool is_parent(const char *folder)
{
    char parent[CONTROL_PATH_SIZE];
    struct stat status;
    snprintf(parent, sizeof parent, "%s", folder);
    *strrchr(parent, '/') = '\0';
    return stat(parent, &status) == 0 && S_ISDIR(status.st_mode) &&
           (status.st_uid == geteuid() || (status.st_mode & S_ISVTX) != 0);
}

int control_folder(char folder[CONTROL_PATH_SIZE], const char **why)
{
    *why = "there is no folder for its socket";
    for (unsigned i = 0; i < 2; i++) {
        if (!control_folder_of(i, "", getenv("XDG_RUNTIME_DIR"), geteuid(), folder) ||
            !is_parent(folder))
            continue;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            continue;
        if (control_folder_is_of(folder, geteuid()))
            return 0;
        *why = "the folder for its socket is not its user's alone";
    }
    return -EACCES;
}

int control_path(const char *folder, unsigned long space, long process, enum control_file file,
                 char path[CONTROL_PATH_SIZE])
{
    int length = snprintf(path, CONTROL_PATH_SIZE, "%s/%lu-%ld.%s", folder, space, process,
                          endings[file]);
    return length < CONTROL_PATH_SIZE ? 0 : -ENAMETOOLONG;
}

unsigned long control_own_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? (unsigned long)status.st_ino : 0;
}

static bool is_left_over(const char *name, unsigned long own_space)
{
    unsigned long space;
    long process;
    return sscanf(name, "%lu-%ld.", &space, &process) == 2 && space == own_space &&
           process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

void control_sweep(const char *folder)
{
    const unsigned long space = control_own_namespace();
    DIR *files = opendir(folder);
    const struct dirent *file;
    if (files == NULL)
        return;
    for (unsigned i = 0; i < SWEPT && (file = readdir(files)) != NULL; i++)
        if (is_left_over(file->d_name, space))
            unlinkat(dirfd(files), file->d_name, 0);
    closedir(files);
}
