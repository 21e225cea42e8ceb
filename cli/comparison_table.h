/* A comparison as text: both sides' legends, what is compared, and the rows that fit. */
#ifndef CPROF_CLI_COMPARISON_TABLE_H
#define CPROF_CLI_COMPARISON_TABLE_H

#include "comparison.h"

/* `names` are the files'. On standard output, at most `limit` rows; as JSON and as
 * CSV 0 or -ENOMEM. */
void comparison_print(const struct comparison *comparison,
                      const struct comparison_side sides[SIDES], const char *const names[SIDES],
                      size_t limit);
int comparison_print_json(const struct comparison *comparison,
                          const struct comparison_side sides[SIDES],
                          const char *const names[SIDES], size_t limit);
int comparison_print_csv(const struct comparison *comparison, size_t limit);

#endif
