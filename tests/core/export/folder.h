/* A folder of a test's own, for spools. */
#ifndef TESTS_EXPORT_FOLDER_H
#define TESTS_EXPORT_FOLDER_H

#include <stddef.h>

extern char folder[64];

/* The test's setup and teardown. */
int make_folder(void **state);
int remove_folder(void **state);
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

/* Calls it with each file's path, hidden ones' too; how many there are. */
size_t for_each_file(void (*what)(const char *path, void *context), void *context);
size_t files(void);

#endif
