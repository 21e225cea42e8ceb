/* cprof serve: profiles in a browser, on this machine alone. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "comparison_page.h"
#include "format/html.h"
#include "loopback.h"
#include "progress.h"
#include "remote.h"
#include "selection.h"
#include "shelf.h"
#include "store/read.h"
#include "strip.h"

enum { OPTION_PORT = OPTION_OWN, OPTION_OPEN };

extern char **environ;

static const char help[] =
    "Usage: cprof serve [OPTIONS] [FILE|DIR|URL…]\n"
    "       cprof serve --store DIR [OPTIONS]\n"
    "\n"
    "Lists profiles in a browser, opens them as flame graphs, several as their sum, and "
    "compares\n"
    "two. DIR stands for the profiles in it, also later ones; without any it is the current\n"
    "folder. A URL is asked each time that it is opened. Only this machine is answered, at an\n"
    "address that nobody can guess. Ctrl-C ends it.\n"
    "\n"
    "  --store DIR     the history that CPROF_STORE_DIR=DIR keeps: each service's time as a "
    "strip,\n"
    "                  any part of it as a flame graph, two compared\n"
    "  --port N        the port to listen at; without it one that is free\n"
    "  --open          open the list in a browser\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof serve --open profiles/ http://localhost:6060\n"
    "  cprof serve --open --store /var/lib/cprof\n";

struct serve_options {
    struct selection selection;
    unsigned long port;
    bool open;
    char *const *sources;
    size_t source_count;
};

/* --- pages --- */

static void put(struct buffer *out, const char *html)
{
    buffer_append(out, html, strlen(html));
}

static void begin_page(struct buffer *out)
{
    put(out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'; form-action 'self'\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>cprof</title><style>"
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2em "
        "auto;max-width:60em;padding:0 1em}li{list-style:none}ul{padding:0}"
        "label{overflow-wrap:anywhere}button{font:inherit;margin-right:.5em}"
        "html{background:light-dark(#fff,#15181d);color:light-dark(#1d2430,#e6e9ee)}"
        "a{color:light-dark(#2257c5,#7fb0ff)}.services li{padding:.4em 0;border-bottom:1px "
        "solid light-dark(#e3e6eb,#272c35)}.services a{font-weight:600;margin-right:.8em;"
        "overflow-wrap:anywhere}.services span{color:light-dark(#586273,#a3acba);"
        "font-variant-numeric:tabular-nums;display:inline-block}</style><main>");
}

static int write_message(struct buffer *out, int status, const char *text)
{
    begin_page(out);
    put(out, "<p>");
    loopback_escape(out, text);
    put(out, "<p><a href=\".\">All that there is</a>");
    return status;
}

/* Says what the terminal was told last. */
static int write_failure(struct buffer *out, int status)
{
    char text[FAILURE_SIZE];
    last_failure(text);
    return write_message(out, status, text);
}

/* Bytes of a link's query, whatever they are. */
static void put_encoded(struct buffer *out, const char *text)
{
    char code[4];
    for (; *text; text++) {
        snprintf(code, sizeof(code), "%%%02X", (unsigned)(unsigned char)*text);
        put(out, code);
    }
}

static int write_services(const struct serve_options *options, struct buffer *out)
{
    begin_page(out);
    put(out, "<h1>Services</h1><ul class=\"services\">");
    if (strip_write_services(options->selection.history.folder, out) != GO_ON) {
        char text[FAILURE_SIZE];
        last_failure(text);
        put(out, "<li>");
        loopback_escape(out, text);
    }
    put(out, "</ul>");
    return 200;
}

static int write_list(const struct shelf *shelf, struct buffer *out)
{
    begin_page(out);
    put(out, "<h1>Profiles</h1><form><ul>");
    for (size_t i = 0; i < shelf->count; i++) {
        put(out, "<li><label><input type=\"checkbox\" name=\"f\" aria-label=\"");
        loopback_escape(out, shelf->paths[i]);
        put(out, "\" value=\"");
        loopback_escape(out, shelf->paths[i]);
        put(out, "\"> </label><a href=\"view?f=");
        put_encoded(out, shelf->paths[i]);
        put(out, "\">");
        loopback_escape(out, shelf->paths[i]);
        put(out, "</a>");
    }
    put(out, shelf->count ? "</ul><button formaction=\"view\">Open as one</button>"
                            "<button formaction=\"diff\">Compare two</button></form>"
                          : "</ul></form><p>There is none.");
    return 200;
}

/* Frees it. */
static int write_profile(struct profile *profile, struct buffer *out)
{
    int status = html_write_page(profile, NULL, out);
    profile_free(profile);
    if (status)
        out->error = status;
    return 200;
}

static int write_view(const struct serve_options *options, char *const *paths, size_t count,
                      struct buffer *out)
{
    struct profile *profile = selection_load(&options->selection, paths, count);
    return profile ? write_profile(profile, out) : write_failure(out, 500);
}

static int write_comparison(struct comparison_side sides[SIDES], const char *const names[SIDES],
                            struct buffer *out)
{
    const struct comparison_view view = {.what.by = REPORT_BY_FUNCTION};
    struct comparison comparison;
    if (comparison_match(sides, names) != GO_ON || comparison_make(&comparison, sides, &view))
        return write_message(out, 500, "These two can't be compared.");
    int status = comparison_write_page(&comparison, sides, names, NULL, out);
    comparison_free(&comparison);
    if (status)
        out->error = status;
    return 200;
}

static int compare(struct profile *base, struct profile *new, const char *const names[SIDES],
                   struct buffer *out)
{
    struct comparison_side sides[SIDES] = {{.profile = base}, {.profile = new}};
    int status = new ? write_comparison(sides, names, out) : write_failure(out, 500);
    profile_free(base);
    profile_free(new);
    return status;
}

static int write_diff(const struct serve_options *options, char *const *paths,
                      struct buffer *out)
{
    const char *const names[SIDES] = {paths[SIDE_BASE], paths[SIDE_NEW]};
    struct profile *base = selection_load(&options->selection, &paths[SIDE_BASE], 1);
    struct profile *new =
        base ? selection_load(&options->selection, &paths[SIDE_NEW], 1) : NULL;
    return compare(base, new, names, out);
}

/* --- pages of history --- */

/* What is asked of a store; `to` 0: as far as there is. */
struct times {
    const char *service;
    struct span spans[SIDES];
};

/* As of --from and --to; NULL: that end is not told. */
static bool take_span(const char *from, const char *to, struct span *span)
{
    const uint64_t now = history_now();
    if (from && !times_parse(from, now, &span->from))
        return false;
    return !to || (from ? times_parse_end(to, now, span->from, &span->to)
                        : times_parse(to, now, &span->to));
}

static bool take_times(struct times *times, char *query)
{
    enum { FROM, TO, BASE_FROM, BASE_TO, FIELDS };
    static const char *const fields[FIELDS] = {"from", "to", "base-from", "base-to"};
    const char *texts[FIELDS] = {NULL};
    char *name, *value;
    while (loopback_parameter(&query, &name, &value)) {
        if (strcmp(name, "s") == 0)
            times->service = value;
        for (size_t i = 0; i < FIELDS; i++)
            if (strcmp(name, fields[i]) == 0 && *value)
                texts[i] = value;
    }
    return take_span(texts[FROM], texts[TO], &times->spans[SIDE_NEW]) &&
           take_span(texts[BASE_FROM], texts[BASE_TO], &times->spans[SIDE_BASE]);
}

/* Without a time it is all of it; without a base as long a time right before. */
static int settle_times(const char *folder, struct times *times)
{
    struct span *new = &times->spans[SIDE_NEW], *base = &times->spans[SIDE_BASE], held;
    char error[FORMAT_ERROR_SIZE];
    if (store_extent(folder, times->service, &held.from, &held.to, error) != 0)
        return fail("%s", error);
    new->from = new->from ? new->from : held.from;
    new->to = new->to ? new->to : held.to ? held.to : history_now(); /* who loads says: none */
    if (new->from >= new->to)
        return fail("%s: a time has to end after its beginning", folder);
    const uint64_t length = new->to - new->from;
    if (!base->from)
        base->from = base->to > length ? base->to - length : new->from - length;
    base->to = base->to ? base->to : base->from + length;
    return GO_ON;
}

static struct profile *load_side(const struct serve_options *options, const struct times *times,
                                 enum side side, enum load_keep keep)
{
    struct selection selection = options->selection;
    selection.keep = keep;
    selection.history.service = times->service;
    selection.history.span = times->spans[side];
    return selection_load(&selection, NULL, 0);
}

static int write_time(const struct serve_options *options, const struct times *times,
                      struct buffer *out)
{
    struct profile *profile = load_side(options, times, SIDE_NEW, KEEP_PAST);
    return profile ? write_profile(profile, out) : write_failure(out, 500);
}

#define SPAN_TEXT_SIZE (2 * TIMES_TEXT_SIZE + 2)

/* As --base and --new take it: "2026-01-31 14:00:00..15:00:00". */
static void write_span(char text[SPAN_TEXT_SIZE], const struct span *span)
{
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    times_write(from, span->from);
    times_write(to, span->to);
    const size_t day = strcspn(from, " ") + 1;
    snprintf(text, SPAN_TEXT_SIZE, "%s..%s", from, strncmp(from, to, day) == 0 ? to + day : to);
}

static int write_two_times(const struct serve_options *options, const struct times *times,
                           struct buffer *out)
{
    char texts[SIDES][SPAN_TEXT_SIZE];
    for (enum side side = 0; side < SIDES; side++)
        write_span(texts[side], &times->spans[side]);
    const char *const names[SIDES] = {texts[SIDE_BASE], texts[SIDE_NEW]};
    struct profile *base = load_side(options, times, SIDE_BASE, KEEP_NOTHING);
    return compare(base, base ? load_side(options, times, SIDE_NEW, KEEP_NOTHING) : NULL, names,
                   out);
}

static int write_strip(const struct serve_options *options, const struct times *times,
                       struct buffer *out)
{
    const struct history history = {.folder = options->selection.history.folder,
                                    .service = times->service,
                                    .span = times->spans[SIDE_NEW]};
    return strip_write_page(&history, out) == GO_ON ? 200 : write_failure(out, 404);
}

static int write_history(const struct serve_options *options, const char *page, char *query,
                         struct buffer *out)
{
    struct times times = {0};
    if (!*page)
        return write_services(options, out);
    if (!take_times(&times, query) || !times.service)
        return write_message(out, 404, "A service, and times such as 2026-01-31 14:00 or -2h.");
    if (strcmp(page, "history") == 0)
        return write_strip(options, &times, out);
    if (settle_times(options->selection.history.folder, &times) != GO_ON)
        return write_failure(out, 500);
    if (strcmp(page, "view") == 0)
        return write_time(options, &times, out);
    return strcmp(page, "diff") == 0 ? write_two_times(options, &times, out)
                                     : write_message(out, 404, "There is no such page.");
}

/* --- all pages --- */

static int write_page(const struct serve_options *options, const struct shelf *shelf,
                      const char *page, char *query, struct buffer *out)
{
    char *paths[SHELF_MOST], *name, *value;
    size_t count = 0;
    while (count < SHELF_MOST && loopback_parameter(&query, &name, &value)) {
        char *path = strcmp(name, "f") == 0 ? shelf_find(shelf, value) : NULL;
        if (!path)
            return write_message(out, 404, "There is no such profile on the list.");
        paths[count++] = path;
    }
    if (!*page)
        return write_list(shelf, out);
    if (strcmp(page, "view") == 0 && count > 0)
        return write_view(options, paths, count, out);
    if (strcmp(page, "diff") == 0 && count == SIDES)
        return write_diff(options, paths, out);
    return write_message(out, 404,
                         strcmp(page, "diff") ? "Choose a profile." : "Choose two of them.");
}

static int answer(void *closure, const char *page, const char *query, struct buffer *out)
{
    const struct serve_options *options = closure;
    struct shelf *shelf = shelf_make(options->sources, options->source_count);
    char *copy = strdup(query);
    int status = 500;
    if (shelf && copy && options->selection.history.folder)
        status = write_history(options, page, copy, out);
    else if (shelf && copy)
        status = write_page(options, shelf, page, copy, out);
    progress_end();
    free(copy);
    shelf_free(shelf);
    return status;
}

/* --- the command --- */

static volatile sig_atomic_t stopped;
static struct loopback server;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
    shutdown(server.socket,
             SHUT_RDWR); /* accept() returns, also when it is called after this */
}

static void open_browser(const char *url)
{
    char program[] = "xdg-open", *copy = strdup(url);
    char *const argv[] = {program, copy, NULL};
    pid_t child;
    if (!copy || posix_spawnp(&child, program, NULL, NULL, argv, environ))
        fail("there is no xdg-open to open a browser with");
    free(copy);
}

static int take_option(void *closure, int option, char *argument)
{
    struct serve_options *options = closure;
    if (option == OPTION_PORT)
        return parse_number(&command_serve, "--port", argument, 1, 65535, &options->port);
    if (option != OPTION_OPEN)
        return selection_take(&options->selection, &command_serve, option, argument);
    options->open = true;
    return GO_ON;
}

/* What was named has to be there; a folder may fill later. */
static int check_sources(const struct serve_options *options)
{
    struct stat info;
    const char *store = options->selection.history.folder;
    if (store && stat(store, &info))
        return fail("%s: %s", store, strerror(errno));
    for (size_t i = 0; i < options->source_count; i++) {
        const char *source = options->sources[i];
        if (!remote_is(source) && stat(source, &info))
            return fail("%s: %s", source, strerror(errno));
    }
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, OPTION_PORT},
        {"open", no_argument, NULL, OPTION_OPEN},
        {"store", required_argument, NULL, OPTION_STORE},
        SELECTION_OPTIONS,
        {0},
    };
    static char here[] = ".";
    char *const current[] = {here};
    struct serve_options options = {.selection.keep = KEEP_PAST};
    const struct sigaction action = {.sa_handler = stop};
    int status = parse_options(&command_serve, argc, argv, "", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (options.selection.history.folder && optind < argc)
        return wrong_usage(&command_serve, "files or --store, not both");
    options.sources = optind < argc ? argv + optind : current;
    options.source_count = optind < argc ? (size_t)(argc - optind) : 1;
    if (options.selection.history.folder)
        options.source_count = 0;
    status = check_sources(&options);
    if (status != GO_ON)
        return status;
    status = loopback_open(&server, (unsigned)options.port);
    if (status)
        return fail("cannot listen at port %lu: %s", options.port, strerror(-status));
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    puts(server.url);
    fflush(stdout);
    if (options.open)
        open_browser(server.url);
    loopback_serve(&server, answer, &options, &stopped);
    loopback_close(&server);
    return EXIT_DONE;
}

const struct command command_serve = {
    .name = "serve",
    .summary = "profiles in a browser, on this machine alone",
    .help = help,
    .run = run,
};
