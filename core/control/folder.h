/*
 * Where a process can be found by who wants to ask it something (engine/control.h), and the
 * same rules for both sides.
 *
 * The folder is its user's alone, mode 0700: $XDG_RUNTIME_DIR/cprof, or /tmp/cprof-UID where
 * that variable names no folder of the user's. One that is a link, somebody else's or open to
 * others is not used. In it each process has files named after its PID namespace and its number
 * there, as containers may share a folder:
 *
 *   NAMESPACE-PID.sock     it listens: HTTP, the pages of pull/request.h
 *   NAMESPACE-PID.standby  it does not, but can be woken: what it would answer to
 *                          /cprof/status, in JSON
 *   NAMESPACE-PID.knock    somebody wants to wake it, and has sent CONTROL_SIGNAL
 *
 * Files of processes that are no more stay until another process of the user starts.
 * Thread-safe: no state.
 */
#ifndef CPROF_CONTROL_FOLDER_H
#define CPROF_CONTROL_FOLDER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Its default is to be ignored, so it harms no program that cprof is not, or no longer, in: one
 * that has replaced the process by exec, for instance. */
#define CONTROL_SIGNAL SIGURG

#define CONTROL_PATH_SIZE 256

enum control_file { CONTROL_SOCKET, CONTROL_STANDBY, CONTROL_KNOCK };

/* This process's folder, made where it is not there. 0, or a negative errno with *why for
 * people, which is a constant. */
int control_folder(char folder[CONTROL_PATH_SIZE], const char **why);

/* The folders in which a process of `user` may have its files, seen from this process:
 * `runtime` is that one's XDG_RUNTIME_DIR (NULL: not known), and `root` what its paths begin
 * at, "/proc/PID/root" or "". Number 0 and 1; false: no such folder. */
bool control_folder_of(unsigned number, const char *root, const char *runtime, uid_t user,
                       char folder[CONTROL_PATH_SIZE]);

/* Is it the folder of that user alone? */
bool control_folder_is_of(const char *folder, uid_t user);

/* The path of a process's file. `space` is the inode of /proc/PID/ns/pid. 0 or
 * -ENAMETOOLONG. */
int control_path(const char *folder, unsigned long space, long process, enum control_file file,
                 char path[CONTROL_PATH_SIZE]);
unsigned long control_own_namespace(void); /* 0: not known */

/* Removes what processes of this PID namespace have left that are no more; looks at a bounded
 * number of files. */
void control_sweep(const char *folder);

#endif
