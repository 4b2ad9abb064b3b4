/* tests/unit/test_data_dir.c: the paths of a data directory, and making its folders durable. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "temp_dir.h"

/* ---- a disk that notes which folders were fsynced ---------------------------------------------- */

static struct {
    char path[64][128]; /* by descriptor */
    char synced[32][128];
    size_t n;
} seen;

static int noting_open(void *ctx, const char *path, int flags, mode_t mode)
{
    int fd = tsm_fs_posix.open(ctx, path, flags, mode);
    if (fd >= 0 && fd < 64)
        snprintf(seen.path[fd], sizeof seen.path[fd], "%s", path);
    return fd;
}

static int noting_fsync(void *ctx, int fd)
{
    if (fd < 64 && seen.n < 32)
        memcpy(seen.synced[seen.n++], seen.path[fd], sizeof seen.path[fd]);
    return tsm_fs_posix.fsync(ctx, fd);
}

static bool was_synced(const char *path)
{
    for (size_t i = 0; i < seen.n; i++)
        if (strcmp(seen.synced[i], path) == 0)
            return true;
    return false;
}

static void assert_path(char *path, const char *expected)
{
    assert_string_equal(path, expected);
    tsm_free(path);
}

static void paths_are_those_of_influxdb(void **state)
{
    (void)state;
    assert_path(tsm_path_meta("d"), "d/meta/meta.db");
    assert_path(tsm_path_lock("d/"), "d/lock");
    assert_path(tsm_path_shard("d", TSM_STR("db"), TSM_STR("rp"), 7), "d/data/db/rp/7");
    assert_path(tsm_path_wal("/", TSM_STR("db"), TSM_STR("rp"), 7), "/wal/db/rp/7");
}

static void a_shard_is_durable_also_where_its_folders_were_there(void **state)
{
    (void)state;
    struct tsm_fs fs = tsm_fs_posix;
    fs.open = noting_open;
    fs.fsync = noting_fsync;
    char *shard = tsm_path_shard(temp_dir, TSM_STR("db"), TSM_STR("rp"), 1);
    for (int round = 0; round < 2; round++) {
        seen.n = 0;
        assert_int_equal(tsm_data_make_shard(&fs, shard, NULL), TSM_OK);
        assert_true(tsm_fs_exists(&fs, shard));
        assert_true(was_synced(in_temp("data/db/rp")));
        assert_true(was_synced(in_temp("data/db")));
        assert_true(was_synced(in_temp("data")));
        assert_true(was_synced(temp_dir));
    }
    tsm_free(shard);
}

static void a_database_is_removed_with_its_logs(void **state)
{
    (void)state;
    const struct tsm_fs *fs = &tsm_fs_posix;
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("data/db/rp/1"), NULL), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("data/db/other/2"), NULL), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("wal/db/rp/1"), NULL), TSM_OK);
    assert_int_equal(tsm_data_remove(fs, temp_dir, TSM_STR("db"), TSM_STR("rp"), NULL), TSM_OK);
    assert_false(tsm_fs_exists(fs, in_temp("data/db/rp")));
    assert_false(tsm_fs_exists(fs, in_temp("wal/db/rp")));
    assert_true(tsm_fs_exists(fs, in_temp("data/db/other/2")));
    assert_int_equal(tsm_data_remove(fs, temp_dir, TSM_STR("db"), TSM_STR(""), NULL), TSM_OK);
    assert_false(tsm_fs_exists(fs, in_temp("data/db")));
    assert_int_equal(tsm_data_remove(fs, temp_dir, TSM_STR("db"), TSM_STR(""), NULL), TSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_those_of_influxdb),
        cmocka_unit_test_setup_teardown(a_shard_is_durable_also_where_its_folders_were_there, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(a_database_is_removed_with_its_logs, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
