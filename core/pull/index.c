#include "pull/index.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pull/siblings.h"

enum { COMMAND_MAX = 120 };

static void put(struct buffer *page, const char *text)
{
    buffer_append(page, text, strlen(text));
}

/* What a process calls itself is not to become part of the page's markup. */
static void put_escaped(struct buffer *page, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '&' || c == '<' || c == '>' || c == '"')
            put(page, c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&quot;");
        else
            buffer_append(page, c < ' ' ? " " : &text[i], 1);
    }
}

static void put_command(struct buffer *page, pid_t process, bool arguments)
{
    char path[64], command[COMMAND_MAX];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)process, arguments ? "cmdline" : "comm");
    FILE *file = fopen(path, "re");
    size_t length = file != NULL ? fread(command, 1, sizeof command, file) : 0;
    if (file != NULL)
        fclose(file);
    while (length > 0 && (unsigned char)command[length - 1] <= ' ')
        length--;
    put_escaped(page, command, length);
}

static void put_process(struct buffer *page, pid_t process, bool local)
{
    char link[256];
    snprintf(link, sizeof link,
             "<li><a href=\"/debug/pprof/profile?pid=%ld&amp;seconds=10\">process %ld</a>: ",
             (long)process, (long)process);
    put(page, link);
    put_command(page, process, local);
    snprintf(link, sizeof link,
             " (<a href=\"/debug/pprof/heap?pid=%ld\">heap</a>, "
             "<a href=\"/debug/pprof/allocs?pid=%ld\">allocs</a>, "
             "<a href=\"/debug/pprof/mutex?pid=%ld\">mutex</a>)\n",
             (long)process, (long)process, (long)process);
    put(page, link);
}

void index_write(unsigned port, bool local, struct buffer *page)
{
    pid_t others[INDEX_PROCESSES];
    size_t count = port != 0 ? siblings_list(port, others, INDEX_PROCESSES) : 0;
    size_t listed = count < INDEX_PROCESSES ? count : INDEX_PROCESSES;
    char line[320];
    snprintf(
        line, sizeof line,
        "<!DOCTYPE html><title>/debug/pprof/</title><h1>cprof, process %ld</h1>"
        "<p>What runs during ten seconds, and what lives (heap) or was allocated since the "
        "start (allocs) or waited for locks (mutex) where CPROF_TYPES has it, as gzipped "
        "pprof:<ul>\n",
        (long)getpid());
    put(page, line);
    put_process(page, getpid(), local);
    for (size_t i = 0; i < listed; i++)
        if (others[i] != getpid())
            put_process(page, others[i], local);
    put(page, "</ul>\n");
    snprintf(line, sizeof line, "<p>and %zu more\n", count - listed);
    if (count > listed)
        put(page, line);
}
