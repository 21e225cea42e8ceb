/* cprof live: what a running process does, on a screen like that of top. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "process.h"
#include "profile/profile.h"
#include "screen.h"
#include "selection.h"
#include "table.h"

#define ANSWER_WAIT 30.0 /* seconds, on top of those that are recorded */
#define HOLD_SECONDS 500 /* a recording is for 600 at most */
#define LINES_AROUND 6   /* that are no rows of the table */
#define WORD_MAX 64

static const char help[] =
    "Usage: cprof live [OPTIONS] PID\n"
    "\n"
    "Shows the hottest functions of a running process, again and again, until q is pressed.\n"
    "Where profiling is off it is on meanwhile, and sends nothing elsewhere.\n"
    "\n"
    "  --seconds N     time between two screens, from 0.5 to 60 (default 2)\n"
    "  --types LIST    where it is off: what to profile, as in CPROF_TYPES\n"
    "  --cum           begin sorted by total instead of self\n"
    "\n"
    "Keys: s and t sort by self and total; f, l and h show functions, lines and threads; / "
    "reads\n"
    "a word that names have to contain, Escape drops it; the space bar holds the screen; q "
    "ends.\n"
    "\n"
    "Example:\n"
    "  cprof live 4711\n";

enum { OPTION_SECONDS = OPTION_OWN, OPTION_TYPES };

struct live {
    struct process process;
    double seconds;
    const char *types;
    /* what is shown */
    struct report_rows what;
    bool cumulative, held;
    bool typing; /* the word is being read */
    char word[WORD_MAX];
    struct profile *profile; /* the last one; NULL: none yet */
    /* what is asked for */
    int hold; /* a recording that keeps profiling on between ours; -1: none */
    uint64_t held_since;
    int asked; /* the recording that is shown next */
};

/* ---- the screen ---- */

static bool contains(const struct report_row *row, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= row->name_length; at++)
        if (strncasecmp(row->name + at, word, length) == 0)
            return true;
    return strcasestr(row->file, word) != NULL;
}

/* Leaves those rows that contain the word; shares stay what they are of all. */
static void filter(struct report *report, const char *word)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->row_count; i++)
        if (contains(&report->rows[i], word))
            report->rows[kept++] = report->rows[i];
    report->row_count = kept;
}

static void print_table(const struct live *live, size_t lines)
{
    struct report report;
    if (profile_sample_count(live->profile) == 0) {
        puts("It does nothing that is profiled.");
        return;
    }
    if (report_make(&report, live->profile, live->what, live->cumulative, false) != 0) {
        puts("There is no memory for this table.");
        return;
    }
    filter(&report, live->word);
    if (report.row_count == 0)
        printf("No name contains \"%s\".\n", live->word);
    else
        table_print(&report, lines > LINES_AROUND ? lines - LINES_AROUND : 1, stdout);
    report_free(&report);
}

static void draw(const struct live *live)
{
    screen_begin();
    printf("process %ld, %s by %s%s%s%s%s\n", (long)live->process.pid,
           report_heading(&live->what), live->cumulative ? "total" : "self",
           live->word[0] || live->typing ? ", with " : "", live->word, live->typing ? "_" : "",
           live->held ? ", held" : "");
    if (live->profile)
        print_table(live, screen_lines());
    else
        puts("recording…");
    screen_draw();
}

/* ---- keys ---- */

static void type(struct live *live, int key)
{
    size_t length = strlen(live->word);
    if (key == SCREEN_ENTER || key == SCREEN_ESCAPE)
        live->typing = false;
    if (key == SCREEN_ESCAPE)
        live->word[0] = '\0';
    else if (key == SCREEN_BACK && length > 0)
        live->word[length - 1] = '\0';
    else if (isprint(key) && length + 1 < sizeof live->word)
        snprintf(live->word + length, sizeof live->word - length, "%c", key);
}

/* False: the end. */
static bool press_one(struct live *live, int key)
{
    if (live->typing) {
        type(live, key);
        return true;
    }
    switch (key) {
    case 's':
    case 't':
        live->cumulative = key == 't';
        break;
    case 'f':
    case 'l':
    case 'h':
        live->what.by = key == 'f'   ? REPORT_BY_FUNCTION
                        : key == 'l' ? REPORT_BY_LINE
                                     : REPORT_BY_THREAD;
        break;
    case '/':
        live->typing = true;
        break;
    case SCREEN_ESCAPE:
        live->word[0] = '\0';
        break;
    case ' ':
        live->held = !live->held;
        break;
    default:
        return key != 'q';
    }
    return true;
}

static bool press(struct live *live)
{
    bool goes_on = true;
    for (int key; goes_on && (key = screen_key()) != 0;)
        goes_on = press_one(live, key);
    return goes_on;
}

/* ---- the process ---- */

/* Begins a recording. The descriptor or a negative errno. */
static int ask(struct live *live, double seconds)
{
    struct buffer target = {0};
    char text[32];
    static const char page[] = "/debug/pprof/profile";
    buffer_append(&target, page, sizeof page - 1);
    snprintf(text, sizeof text, "%.3f", seconds);
    process_escape(&target, "seconds", text);
    if (live->types)
        process_escape(&target, "types", live->types);
    buffer_append(&target, "", 1);
    int connection =
        target.error ? target.error : process_send(&live->process, "GET", (char *)target.data);
    buffer_free(&target);
    return connection;
}

static void drop(int *connection)
{
    if (*connection >= 0)
        close(*connection);
    *connection = -1;
}

/* Keeps profiling on, and asks for what is shown next. 0 or a negative errno. */
static int ask_again(struct live *live)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (live->hold < 0 || now - live->held_since > HOLD_SECONDS * NS_PER_SECOND) {
        int next = ask(live, HOLD_SECONDS + 100);
        if (next < 0)
            return next;
        drop(&live->hold);
        live->hold = next;
        live->held_since = now;
    }
    live->asked = ask(live, live->seconds);
    return live->asked < 0 ? live->asked : 0;
}

/* The recording has come. 0, or a negative errno; or EXIT_FAILED, with the reason in `why`. */
static int take(struct live *live, char why[FORMAT_ERROR_SIZE])
{
    struct answer answer;
    int error = process_receive(live->asked, live->seconds + ANSWER_WAIT, &answer);
    struct profile *profile = NULL;
    live->asked = -1;
    if (error == 0 && answer.status != 200)
        snprintf(why, FORMAT_ERROR_SIZE, "%.*s", (int)strcspn((char *)answer.body.data, "\n"),
                 (char *)answer.body.data);
    else if (error == 0)
        profile = format_read(&format_pprof, answer.body.data, answer.body.size, why);
    buffer_free(&answer.body);
    if (profile && !live->held) {
        profile_free(live->profile);
        live->profile = profile;
    } else {
        profile_free(profile);
    }
    return error != 0 ? error : why[0] ? EXIT_FAILED : 0;
}

/* ---- all together ---- */

/* Until it is to end: 0, or what take() says. */
static int show(struct live *live, char why[FORMAT_ERROR_SIZE])
{
    int error = ask_again(live);
    while (error == 0 && !screen_ended()) {
        draw(live);
        struct pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                  {.fd = live->asked, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0)
            continue; /* a signal */
        if (polled[0].revents & (POLLHUP | POLLERR))
            break;
        if (polled[0].revents && !press(live))
            break;
        if (polled[1].revents)
            error = take(live, why);
        if (error == 0 && live->asked < 0)
            error = ask_again(live);
    }
    return error;
}

static int take_option(void *closure, int option, char *argument)
{
    struct live *live = closure;
    char *end;
    switch (option) {
    case OPTION_SECONDS:
        live->seconds = strtod(argument, &end);
        if (end != argument && !*end && live->seconds >= 0.5 && live->seconds <= 60)
            return GO_ON;
        return wrong_usage(&command_live, "--seconds needs a number from 0.5 to 60, not \"%s\"",
                           argument);
    case OPTION_TYPES:
        live->types = argument;
        return GO_ON;
    default:
        live->cumulative = true;
        return GO_ON;
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"types", required_argument, NULL, OPTION_TYPES},
        {"cum", no_argument, NULL, OPTION_CUM},
        {0},
    };
    char why[FORMAT_ERROR_SIZE] = "";
    struct live live = {.seconds = 2, .hold = -1, .asked = -1};
    int status = parse_options(&command_live, argc, argv, "", known, take_option, &live);
    if (status == GO_ON)
        status = process_parse(&command_live, argc, argv, &live.process);
    if (status != GO_ON)
        return status;
    if (!screen_open())
        return fail("live needs a terminal; cprof record writes to a file");
    int error = show(&live, why);
    screen_close();
    drop(&live.asked);
    drop(&live.hold);
    profile_free(live.profile);
    if (error == 0)
        return EXIT_DONE;
    return error < 0 ? process_fail(&live.process, error)
                     : fail("process %ld: %s", (long)live.process.pid, why);
}

const struct command command_live = {
    .name = "live",
    .summary = "the hottest functions of a running process, on a screen",
    .help = help,
    .run = run,
    .asks_process = true,
};
