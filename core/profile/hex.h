/* Bytes as lower-case hex, and back. */
#ifndef CPROF_PROFILE_HEX_H
#define CPROF_PROFILE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * count digits and a NUL. */
void hex_write(char *out, const uint8_t *bytes, size_t count);

/* Exactly 2 * count digits, either case, or false. */
bool hex_read(const char *text, uint8_t *bytes, size_t count);

#endif
