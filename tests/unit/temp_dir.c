/* tests/unit/temp_dir.c: a directory for one test. */
#include "temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/fs.h"

char temp_dir[64];

int make_temp(void **state)
{
    (void)state;
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(temp_dir, sizeof temp_dir, "%s/tsmkit-test-XXXXXX", parent);
    return mkdtemp(temp_dir) ? 0 : -1;
}

int remove_temp(void **state)
{
    (void)state;
    return tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL);
}

char *in_temp(const char *name)
{
    static char path[4][160];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", temp_dir, name);
    return p;
}
