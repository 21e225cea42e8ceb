/*
 * Whom to trust: where the certificates of the authorities are, when the operator names none.
 *
 * SSL_CERT_FILE and SSL_CERT_DIR come first, as in OpenSSL and what is built on it. Then what
 * the TLS library was built with, if it is there: a library that was built on one distribution
 * and carried to another looks for a file that only the first has. Last the places where
 * distributions keep them.
 */
#ifndef CPROF_EXPORT_AUTHORITIES_H
#define CPROF_EXPORT_AUTHORITIES_H

/* A file and a folder (or several, by ':') of PEM certificates; NULL: not named. */
struct authorities {
    const char *file, *folder;
};

/* What the environment names. What can't be read is reported in one line, and left out. Texts
 * of the environment: to be read in the thread that starts the profiler, and copied. */
struct authorities authorities_named(void);

/* The first of the distributions' files that is there, if `usual` (what the TLS library was
 * built with; an entry may be NULL) is not. NULL: `usual` will do, or there is none. Static
 * text. Any thread. */
const char *authorities_of_system(struct authorities usual);

#endif
