#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "progress.h"

int output_take_format(struct output *output, const struct command *command,
                       const char *argument)
{
    output->format = format_by_name(argument);
    if (output->format && output->format->write)
        return GO_ON;
    char names[256];
    format_list(FORMAT_NAMES, names, sizeof(names));
    return wrong_usage(command, "--format needs %s, not \"%s\"", names, argument);
}

int output_settle(struct output *output, const struct command *command)
{
    if (output->format)
        return GO_ON;
    if (output_is_standard(output->path))
        return wrong_usage(command, "standard output needs a format: --format NAME");
    output->format = format_by_path(output->path);
    if (output->format)
        return GO_ON;
    return wrong_usage(command, "the ending of \"%s\" is of no format that I know",
                       output->path);
}

bool output_is_standard(const char *path)
{
    static const char *const names[] = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], path) == 0)
            return true;
    return false;
}

/* A rename would put a file in the place of the device, or of the pipe that somebody reads. */
static bool is_written_in_place(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode);
}

static int write_in_place(const char *path, const struct buffer *content,
                          char error[FORMAT_ERROR_SIZE])
{
    FILE *file = fopen(path, "we");
    int status = file ? 0 : -errno;
    if (file) {
        fwrite(content->data, 1, content->size, file);
        status = ferror(file) ? -EIO : 0;
        if (fclose(file) && errno != EPIPE) /* who has read enough may go */
            status = -errno;
    }
    if (status)
        snprintf(error, FORMAT_ERROR_SIZE, "%.200s: %s", path, strerror(-status));
    return status;
}

int output_write(const char *path, struct buffer *content, int status)
{
    char error[FORMAT_ERROR_SIZE] = "";
    if (!status)
        status = buffer_pack_for(path, content);
    if (status)
        content->error = status;
    bool standard = output_is_standard(path) && !content->error;
    if (standard)
        fwrite(content->data, 1, content->size, stdout); /* main() sees whether it could be */
    else if (!content->error && is_written_in_place(path))
        status = write_in_place(path, content, error);
    else
        status = buffer_write_file(content, path, error);
    progress_end();
    buffer_free(content);
    return status ? fail("%s", error) : EXIT_DONE;
}
