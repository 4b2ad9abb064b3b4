/* tests/unit/temp_dir.h: a directory for one test: cmocka_unit_test_setup_teardown(test, make_temp, remove_temp). */
#ifndef TEMP_DIR_H
#define TEMP_DIR_H

extern char temp_dir[64];

/* Creates it: in memory where there is such a place, as tests call fsync some ten thousand times. */
int make_temp(void **state);
int remove_temp(void **state);
/* A path in it; four may be in use at once. */
char *in_temp(const char *name);

#endif
