#include "screen.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "terminal.h"

#define USUAL_LINES 24

static struct {
    struct termios before;
    char buffer[1 << 16]; /* of standard output, so that a screen is one write */
} screen;

/* Read, and not taken yet. */
static struct {
    char bytes[64];
    size_t at, count;
} keys;

static volatile sig_atomic_t ended;

static void note_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static void note_size(int signal_number)
{
    (void)signal_number; /* poll() returns, and the screen is drawn anew */
}

static void handle_signals(void)
{
    const struct sigaction end = {.sa_handler = note_end}, size = {.sa_handler = note_size};
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    sigaction(SIGWINCH, &size, NULL);
    signal(SIGTSTP, SIG_IGN);
}

bool screen_open(void)
{
    if (!isatty(STDIN_FILENO) || !terminal_can_redraw(stdout) ||
        tcgetattr(STDIN_FILENO, &screen.before) != 0)
        return false;
    struct termios raw = screen.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    handle_signals();
    setvbuf(stdout, screen.buffer, _IOFBF, sizeof screen.buffer);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout);
    fflush(stdout);
    return true;
}

void screen_close(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
}

bool screen_ended(void)
{
    return ended != 0;
}

size_t screen_lines(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row
                                                                           : USUAL_LINES;
}

void screen_begin(void)
{
    fputs("\033[H\033[2J", stdout);
}

void screen_draw(void)
{
    fflush(stdout);
}

/* Of those that have been read. An arrow is an escape, a bracket and letters: all at once. */
static void pass_over_sequence(void)
{
    if (keys.at == keys.count || (keys.bytes[keys.at] != '[' && keys.bytes[keys.at] != 'O'))
        return;
    keys.at++;
    while (keys.at < keys.count && (keys.bytes[keys.at] < '@' || keys.bytes[keys.at] > '~'))
        keys.at++;
    keys.at += keys.at < keys.count;
}

int screen_key(void)
{
    for (;;) {
        if (keys.at == keys.count) {
            ssize_t got = read(STDIN_FILENO, keys.bytes, sizeof keys.bytes);
            keys.at = 0;
            keys.count = got > 0 ? (size_t)got : 0;
            if (keys.count == 0)
                return 0;
        }
        int key = (unsigned char)keys.bytes[keys.at++];
        size_t before = keys.at;
        if (key == SCREEN_ESCAPE)
            pass_over_sequence();
        if (keys.at == before && key != 0)
            return key == '\b' ? SCREEN_BACK : key == '\r' ? SCREEN_ENTER : key;
    }
}
