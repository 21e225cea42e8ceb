#include "notes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"

#define MAX_NOTE 4096 /* bytes read of one */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length > size && strcmp(text + length - size, end) == 0;
}

/* A file, and nothing that a process could have put in its place. */
static bool read_note(int folder, const char *name, char text[MAX_NOTE + 1])
{
    struct stat info;
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t length = -1;
    if (file < 0)
        return false;
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode))
        length = read(file, text, MAX_NOTE);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* There, and no zombie: that has done all it will do. */
static bool is_alive(pid_t pid)
{
    char path[32], line[512] = "";
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char *got = fgets(line, sizeof(line), file);
    fclose(file);
    const char *state = got ? strrchr(line, ')') : NULL;
    return state && strlen(state) > 2 && state[2] != 'Z' && state[2] != 'X';
}

static void take_note(struct notes *notes, pid_t pid, char *text)
{
    bool ended = true;
    char *rest = NULL;
    unsigned long long samples, unsampled;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strcmp(line, "started") == 0) {
            ended = false;
        } else if (sscanf(line, "ended %llu %llu", &samples, &unsampled) == 2) {
            ended = true;
            notes->samples += samples;
            notes->unsampled += unsampled;
        } else if (strncmp(line, "refused ", 8) == 0 && !notes->refused[0]) {
            snprintf(notes->refused, sizeof(notes->refused), "%s", line + 8);
            for (char *c = notes->refused; *c; c++)
                *c = (unsigned char)*c < ' ' ? ' ' : *c;
        }
    }
    notes->processes++;
    notes->unended += !ended;
    notes->running += !ended && is_alive(pid);
}

void notes_read(const char *folder, struct notes *notes)
{
    *notes = (struct notes){0};
    DIR *entries = opendir(folder);
    if (!entries)
        return;
    char text[MAX_NOTE + 1];
    const struct dirent *entry;
    while ((entry = readdir(entries)))
        if (ends_with(entry->d_name, NOTE_ENDING) &&
            read_note(dirfd(entries), entry->d_name, text))
            take_note(notes, (pid_t)strtol(entry->d_name, NULL, 10), text);
    closedir(entries);
}

void notes_settle(const char *folder, double seconds, struct notes *notes)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * NS_PER_SECOND);
    notes_read(folder, notes);
    while (notes->running > 0 && clock_ns(CLOCK_MONOTONIC) < deadline) {
        nanosleep(&pause, NULL);
        notes_read(folder, notes);
    }
}
