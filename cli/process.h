/*
 * The processes that can be asked (core/control/folder.h): finding what they have left to be
 * found by, waking those that stand by, and asking: one HTTP request over a unix socket.
 *
 * Other processes are read by what /proc says of them, and may end at any moment: then what
 * is asked fails with the line that says so.
 */
#ifndef CPROF_CLI_PROCESS_H
#define CPROF_CLI_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "command.h"
#include "control/folder.h"
#include "format/format.h"

enum process_state {
    PROCESS_LISTENS,
    PROCESS_STANDS_BY,
    PROCESS_WITHOUT, /* cprof is not there, or can't be asked */
    PROCESS_GONE,
    PROCESS_FOREIGN, /* another user's */
};

struct process {
    pid_t pid;
    uid_t user;
    enum process_state state;
    char folder[CONTROL_PATH_SIZE];
    char file[CONTROL_PATH_SIZE]; /* its socket, or what it has left when it stands by */
    char knock[CONTROL_PATH_SIZE];
};

void process_find(pid_t pid, struct process *process);

/* The operand PID. GO_ON, or EXIT_USAGE or EXIT_FAILED with the reason printed; then it can be
 * asked. */
int process_parse(const struct command *command, int argc, char **argv,
                  struct process *process);

/* The same, also where cprof is not there (PROCESS_WITHOUT). */
int process_parse_any(const struct command *command, int argc, char **argv,
                      struct process *process);

/* What a process says. */
struct answer {
    int status; /* of HTTP */
    struct buffer body;
};

/* Wakes it if need be, and sends a request: "GET", "/cprof/status". The descriptor or a
 * negative errno: -ETIMEDOUT does not wake, -ESRCH is gone. */
int process_send(struct process *process, const char *method, const char *target);

/* Waits for the answer, at most so many seconds, and closes the descriptor. 0; -ETIMEDOUT;
 * -EBADMSG. The body is the caller's to free in any case. */
int process_receive(int connection, double seconds, struct answer *answer);

/* Both. GO_ON when it has answered with what was asked for, else EXIT_FAILED with the reason
 * told. */
int process_ask(struct process *process, const char *method, const char *target, double seconds,
                struct answer *answer);

/* The whole of a command that has a process do something: its operand is the process, `target`
 * the page without its end. Prints what the process says. Returns the exit code. */
int process_order(const struct command *command, int argc, char **argv, struct buffer *target);

/* Tells why one of them failed; returns EXIT_FAILED. */
int process_fail(const struct process *process, int error);

/* Appends a text for the query of a target. */
void process_escape(struct buffer *target, const char *key, const char *text);

#endif
