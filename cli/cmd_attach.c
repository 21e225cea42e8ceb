/*
 * cprof attach: cprof into a CPython that runs, by its own remote execution (3.14, PEP 768). A
 * second interpreter of the same file asks the first to run a script at its next safe point;
 * the script imports cprof there, so that the process can be asked like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "process.h"

#define WAIT_SECONDS 10 /* for the program's main thread */

static const char help[] =
    "Usage: cprof attach PID\n"
    "\n"
    "Brings cprof into a running CPython 3.14 or newer that was started without it. From then\n"
    "on the process can be asked: cprof start, record, live. The cprof package must be "
    "installed\n"
    "where that Python finds it, and you must be allowed to trace the process.\n"
    "\n"
    "Example:\n"
    "  cprof attach 4711 && cprof record -o out.html 4711\n";

/* Run in the process. What comes of it is the result file's one line, which appears at once. */
static const char script[] = "def attach(result):\n"
                             "    import os\n"
                             "    try:\n"
                             "        import cprof\n"
                             "        cprof._stand_by()\n"
                             "        line = 'done'\n"
                             "    except BaseException as error:\n"
                             "        line = f'{type(error).__name__}: {error}'\n"
                             "    with open(result + '.new', 'w') as file:\n"
                             "        file.write(line.replace('\\n', ' '))\n"
                             "    os.rename(result + '.new', result)\n"
                             "attach('%s')\n"
                             "del attach\n";

/* Run by the second interpreter: one line that says how it went. */
static const char asking[] = "import sys\n"
                             "try:\n"
                             "    if sys.version_info < (3, 14):\n"
                             "        print('old', sys.version.split()[0])\n"
                             "    else:\n"
                             "        sys.remote_exec(int(sys.argv[1]), sys.argv[2])\n"
                             "        print('asked')\n"
                             "except BaseException as error:\n"
                             "    print('refused', str(error).replace('\\n', ' '))\n";

/* The files of one try, in a folder that the process's user can write to. */
struct files {
    char folder[32], script[64], result[64];
};

static int write_script(const struct process *process, struct files *files)
{
    strcpy(files->folder, "/tmp/cprof-attach-XXXXXX");
    if (!mkdtemp(files->folder))
        return -errno;
    snprintf(files->script, sizeof files->script, "%s/script.py", files->folder);
    snprintf(files->result, sizeof files->result, "%s/result", files->folder);
    FILE *file = fopen(files->script, "wxe");
    if (!file)
        return -errno;
    fprintf(file, script, files->result);
    bool written = fclose(file) == 0;
    if (!written || chmod(files->script, 0644) != 0)
        return -EIO;
    return geteuid() == process->user || chown(files->folder, process->user, (gid_t)-1) == 0
               ? 0
               : -errno;
}

static void remove_files(const struct files *files)
{
    unlink(files->script);
    unlink(files->result);
    rmdir(files->folder);
}

static int advise(const struct process *process, const char *why)
{
    return fail("process %ld: %s; start it with CPROF_ENABLED=standby instead",
                (long)process->pid, why);
}

/* Its executable is run, so it has to be a Python's, and one that nobody else could have put
 * there. NULL, or why not. */
static const char *distrust(const char *exe)
{
    char path[PATH_MAX];
    struct stat status;
    ssize_t length = readlink(exe, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(path, '/');
    if (!slash || strncmp(slash + 1, "python", 6) != 0)
        return "it is no CPython that I could ask";
    if (stat(exe, &status) != 0 || (status.st_uid != 0 && status.st_uid != geteuid()) ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "its executable is another user's, and is not run for that reason";
    return NULL;
}

/* Has the process asked. GO_ON, or EXIT_FAILED with the reason told. */
static int ask(const struct process *process, const struct files *files)
{
    char exe[64], pid[32], answer[512] = "", why[600];
    snprintf(exe, sizeof exe, "/proc/%ld/exe", (long)process->pid);
    snprintf(pid, sizeof pid, "%ld", (long)process->pid);
    char *const command[] = {
        exe, (char *)"-I",          (char *)"-S", (char *)"-c", (char *)asking,
        pid, (char *)files->script, NULL};
    const char *doubt = distrust(exe);
    if (doubt)
        return advise(process, doubt);
    if (child_ask(command, answer, sizeof answer) != 0)
        return advise(process, "it is no CPython that I could ask");
    if (strcmp(answer, "asked") == 0)
        return GO_ON;
    if (strncmp(answer, "old ", 4) == 0)
        snprintf(why, sizeof why,
                 "its Python is %s, and only 3.14 and newer let code in while they run",
                 answer + 4);
    else if (strncmp(answer, "refused ", 8) == 0)
        snprintf(why, sizeof why, "it does not let code in: %s", answer + 8);
    else
        snprintf(why, sizeof why, "it is no CPython that I could ask");
    return advise(process, why);
}

static int await(const struct process *process, const struct files *files)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    char line[512] = "";
    for (int i = 0; i < WAIT_SECONDS * 50; i++) {
        int file = open(files->result, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file >= 0) {
            ssize_t length = read(file, line, sizeof line - 1);
            line[length > 0 ? length : 0] = '\0';
            close(file);
            return strcmp(line, "done") == 0
                       ? EXIT_DONE
                       : fail("process %ld: %s", (long)process->pid, line);
        }
        nanosleep(&pause, NULL);
    }
    return fail("process %ld: its main thread does not get to a point where it could",
                (long)process->pid);
}

static int attach(const struct process *process)
{
    struct files files = {0};
    int error = write_script(process, &files);
    int status = error != 0 ? fail("%s: %s", files.folder, strerror(-error)) : GO_ON;
    if (status == GO_ON)
        status = ask(process, &files);
    if (status == GO_ON)
        status = await(process, &files);
    remove_files(&files);
    if (status == EXIT_DONE)
        printf("process %ld: it can be asked now\n", (long)process->pid);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {{0}};
    struct process process;
    int status = parse_options(&command_attach, argc, argv, "", known, NULL, NULL);
    if (status == GO_ON)
        status = process_parse_any(&command_attach, argc, argv, &process);
    if (status != GO_ON)
        return status;
    if (process.state == PROCESS_WITHOUT)
        return attach(&process);
    printf("process %ld: it can be asked already\n", (long)process.pid);
    return EXIT_DONE;
}

const struct command command_attach = {
    .name = "attach",
    .summary = "cprof into a running CPython 3.14 or newer",
    .help = help,
    .run = run,
    .asks_process = true,
};
