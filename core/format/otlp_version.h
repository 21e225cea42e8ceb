/* Which version of OTLP profiles a message is of, where that is one that otlp_read() does not
 * take: fields were given other numbers in nearly every version before 1.10. Untrusted input;
 * no state. */
#ifndef CPROF_FORMAT_OTLP_VERSION_H
#define CPROF_FORMAT_OTLP_VERSION_H

#include <stddef.h>

#include "format/format.h"

/* Versions of the protocol that are recognised and not read. */
#define OTLP_1_3 "1.3 or older"
#define OTLP_1_4 "1.4 or 1.5"
#define OTLP_1_6 "1.6"
#define OTLP_1_7 "1.7"
#define OTLP_1_8 "1.8"
#define OTLP_1_9 "1.9 or 1.8" /* without what tells them apart */

/* -EBADMSG, with a line that names that version. */
int otlp_refuse_old(char error[FORMAT_ERROR_SIZE], const char *version);

/* OTLP_1_3, …; NULL: 1.10, newer, or damaged. */
const char *otlp_old_version(const unsigned char *data, size_t size);

#endif
