#include "format/refuse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "profile/combine.h"

int refuse(char error[FORMAT_ERROR_SIZE], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, FORMAT_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

int refuse_memory(char error[FORMAT_ERROR_SIZE])
{
    snprintf(error, FORMAT_ERROR_SIZE, "out of memory");
    return -ENOMEM;
}

int refuse_merge(char error[FORMAT_ERROR_SIZE], int status)
{
    if (status == -ENOSPC)
        return refuse(error, "too many value types: at most %d can be merged",
                      PROFILE_MAX_VALUES);
    if (status == -E2BIG)
        return refuse(error, "more than %d attributes of its process that others lack",
                      PROFILE_MAX_EXTRA);
    if (status == -EXDEV)
        snprintf(error, FORMAT_ERROR_SIZE, "of a process with other attributes");
    return status == 0 || status == -EXDEV ? status : refuse_memory(error);
}
