/*
 * The processes of a service that were given one port for their pull endpoints, of which one
 * has it. Each has a door: a unix socket without a file, whose name says the port and the
 * process. Who has the port lists them, and hands a client that asks for another one's profile
 * through that one's door: the connection itself, with what has been read of it.
 *
 * Only processes of one user, one PID namespace and one network namespace find each other;
 * behind a door stands who is of its user, or root. Thread-safe: no state but the kernel's.
 */
#ifndef CPROF_PULL_SIBLINGS_H
#define CPROF_PULL_SIBLINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* This process's door, which listens without waiting; the descriptor or a negative errno.
 * `owner`: it has the port. */
int siblings_open_door(unsigned port, bool owner);

/* The processes with doors of that port, by number; returns how many there are, of which at
 * most `capacity` are written. */
size_t siblings_list(unsigned port, pid_t *list, size_t capacity);

/* Does one of them have the port? */
bool siblings_have(unsigned port);

/* May who has connected to the door hand something in? */
bool siblings_trust(int connection);

/* Hands a connection to another process, with the bytes that have been read of it. The caller
 * keeps, and closes, its descriptor. 0 or a negative errno. */
int siblings_hand(unsigned port, pid_t process, int connection, const void *bytes, size_t size);

/* read(2) from who has come through the door. If a connection is handed in it takes that one's
 * place: *connection is another descriptor then, and the old one is closed. */
ssize_t siblings_read(int *connection, void *bytes, size_t size);

#endif
