/* tests/unit/test_fs.c: atomic install, directories, mapping and the lock, on a real disk and on one that
 * fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "sys/fs.h"
#include "temp_dir.h"

/* ---- a disk whose calls fail by name ------------------------------------------------------------------ */

static struct {
    bool write, fsync, rename, short_write;
} faults;

static ssize_t failing_write(void *ctx, int fd, const void *p, size_t n)
{
    if (faults.write)
        return -ENOSPC;
    return tsm_fs_posix.write(ctx, fd, p, faults.short_write && n > 3 ? 3 : n);
}

static int failing_fsync(void *ctx, int fd)
{
    return faults.fsync ? -EIO : tsm_fs_posix.fsync(ctx, fd);
}

static int failing_rename(void *ctx, const char *from, const char *to)
{
    return faults.rename ? -EIO : tsm_fs_posix.rename(ctx, from, to);
}

static void assert_content(const char *path, const char *content)
{
    struct tsm_buf b = {0};
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, path, 1 << 20, &b, NULL), TSM_OK);
    assert_string_equal(tsm_buf_cstr(&b), content);
    tsm_buf_release(&b);
}

static void a_write_replaces_the_file_whole_or_not_at_all(void **state)
{
    (void)state;
    struct tsm_fs fs = tsm_fs_posix;
    fs.write = failing_write;
    fs.fsync = failing_fsync;
    fs.rename = failing_rename;
    struct tsm_err err;
    assert_int_equal(tsm_fs_write_file(&fs, in_temp("f"), TSM_STR("first"), &err), TSM_OK);
    bool *kinds[] = {&faults.write, &faults.fsync, &faults.rename};
    for (size_t i = 0; i < 3; i++) {
        *kinds[i] = true;
        assert_int_equal(tsm_fs_write_file(&fs, in_temp("f"), TSM_STR("second"), &err),
                         i ? TSM_EIO : TSM_ENOSPC);
        assert_non_null(strstr(err.msg, i ? "Input/output error" : "No space left on device"));
        assert_content(in_temp("f"), "first");
        assert_false(tsm_fs_exists(&fs, in_temp("f.tmp")));
        *kinds[i] = false;
    }
    faults.short_write = true;
    assert_int_equal(tsm_fs_write_file(&fs, in_temp("f"), TSM_STR("second, in pieces"), &err), TSM_OK);
    assert_content(in_temp("f"), "second, in pieces");
    faults.short_write = false;
}

static void large_files_are_written_in_order(void **state)
{
    (void)state;
    enum { PIECES = 3000, SIZE = 1777 };
    static uint8_t huge[3 << 20];
    struct tsm_file f;
    struct tsm_err err;
    uint8_t piece[SIZE];
    assert_int_equal(tsm_file_create(&tsm_fs_posix, in_temp("big.tmp"), &f, &err), TSM_OK);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i, sizeof piece);
        assert_int_equal(tsm_file_write(&f, piece, sizeof piece, &err), TSM_OK);
    }
    assert_int_equal(tsm_file_write(&f, huge, sizeof huge, &err), TSM_OK);
    assert_int_equal(f.size, (uint64_t)PIECES * SIZE + sizeof huge);
    assert_int_equal(tsm_file_install(&f, in_temp("big"), &err), TSM_OK);
    struct tsm_map_file m;
    assert_int_equal(tsm_map_open(&tsm_fs_posix, in_temp("big"), &m, &err), TSM_OK);
    assert_int_equal(m.size, (uint64_t)PIECES * SIZE + sizeof huge);
    for (size_t i = 0; i < (size_t)PIECES * SIZE; i++)
        if (m.data[i] != (uint8_t)(i / SIZE))
            fail_msg("byte %zu", i);
    tsm_map_close(&m);
}

static void abandon_removes_and_accepts_anything(void **state)
{
    (void)state;
    struct tsm_file f = {0};
    tsm_file_abandon(&f);
    assert_int_equal(tsm_file_create(&tsm_fs_posix, in_temp("gone.tmp"), &f, NULL), TSM_OK);
    tsm_file_abandon(&f);
    assert_false(tsm_fs_exists(&tsm_fs_posix, in_temp("gone.tmp")));
    tsm_file_abandon(&f);
    assert_int_equal(tsm_file_create(&tsm_fs_posix, in_temp("kept"), &f, NULL), TSM_OK);
    assert_int_equal(tsm_file_finish(&f, NULL), TSM_OK);
    tsm_file_abandon(&f);
    assert_true(tsm_fs_exists(&tsm_fs_posix, in_temp("kept")));
}

static void maps_and_reads_say_what_is_wrong(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_map_file m;
    assert_int_equal(tsm_map_open(&tsm_fs_posix, in_temp("none"), &m, &err), TSM_ENOTFOUND);
    assert_non_null(strstr(err.msg, "none"));
    assert_int_equal(mkfifo(in_temp("fifo"), 0600), 0);
    const char *const not_files[] = {temp_dir, in_temp("fifo"), "/dev/zero"};
    for (size_t i = 0; i < sizeof not_files / sizeof *not_files; i++) {
        struct tsm_buf none = {0};
        assert_int_equal(tsm_map_open(&tsm_fs_posix, not_files[i], &m, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, i ? ": not a regular file" : ": is a directory"));
        assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, not_files[i], 9, &none, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, not_files[i]));
    }
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, in_temp("empty"), tsm_str("", 0), &err), TSM_OK);
    assert_int_equal(tsm_map_open(&tsm_fs_posix, in_temp("empty"), &m, &err), TSM_OK);
    assert_int_equal(m.size, 0);
    tsm_map_close(&m);
    struct tsm_buf b = {0};
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, in_temp("ten"), TSM_STR("0123456789"), &err), TSM_OK);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, in_temp("ten"), 9, &b, &err), TSM_ELIMIT);
    tsm_buf_reset(&b);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, in_temp("ten"), 10, &b, &err), TSM_OK);
    tsm_buf_release(&b);
}

static void directories_are_made_listed_and_removed(void **state)
{
    (void)state;
    const struct tsm_fs *fs = &tsm_fs_posix;
    struct tsm_err err;
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("a/b//c/"), &err), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("a/b/c"), &err), TSM_OK);
    assert_int_equal(tsm_fs_write_file(fs, in_temp("a/z"), TSM_STR("z"), &err), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("a/z/y"), &err), TSM_EIO);
    struct tsm_names names;
    assert_int_equal(tsm_fs_list(fs, in_temp("a"), &names, &err), TSM_OK);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.names[0], "b");
    assert_string_equal(names.names[1], "z");
    tsm_names_release(&names);
    assert_int_equal(tsm_fs_list(fs, in_temp("nowhere"), &names, &err), TSM_ENOTFOUND);
    assert_int_equal(tsm_fs_make_dirs(fs, in_temp("target"), &err), TSM_OK);
    assert_int_equal(tsm_fs_write_file(fs, in_temp("target/in"), TSM_STR("kept"), &err), TSM_OK);
    assert_int_equal(symlink(in_temp("target"), in_temp("a/link")), 0);
    assert_int_equal(tsm_fs_remove_tree(fs, in_temp("a"), &err), TSM_OK);
    assert_false(tsm_fs_exists(fs, in_temp("a")));
    assert_content(in_temp("target/in"), "kept"); /* links are removed, not followed */
    assert_int_equal(tsm_fs_remove_tree(fs, in_temp("a"), &err), TSM_OK);
}

static void the_lock_excludes_and_names_its_holder(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_lock first, second;
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, in_temp("lock"), "tsm-ingest, process 4711", &first, &err),
                     TSM_OK);
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, in_temp("lock"), "other", &second, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "held by tsm-ingest, process 4711"));
    tsm_lock_release(&first);
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, in_temp("lock"), "x", &second, &err), TSM_OK);
    assert_content(in_temp("lock"), "x\n");
    tsm_lock_release(&second);
    tsm_lock_release(&second);
}

/* A listing that runs while b is renamed to a: it has passed a's place before, and comes to b's when that is gone. */
static int racing_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    bool *raced = ctx;
    if (*raced)
        return tsm_fs_posix.list(NULL, path, each, arg);
    *raced = true;
    rename(in_temp("race/b"), in_temp("race/a"));
    return 0;
}

static void a_listing_does_not_miss_what_is_renamed(void **state)
{
    (void)state;
    bool raced = false;
    struct tsm_fs fs = tsm_fs_posix;
    struct tsm_names names;
    struct tsm_err err;
    char dir[256];
    snprintf(dir, sizeof dir, "%s", in_temp("race"));
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, dir, &err), TSM_OK);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, in_temp("race/b"), TSM_STR("x"), &err), TSM_OK);
    fs.ctx = &raced;
    fs.list = racing_list;
    assert_int_equal(tsm_fs_list(&fs, dir, &names, &err), TSM_OK);
    assert_int_equal(names.n, 1);
    assert_string_equal(names.names[0], "a");
    tsm_names_release(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_replaces_the_file_whole_or_not_at_all),
        cmocka_unit_test(large_files_are_written_in_order),
        cmocka_unit_test(abandon_removes_and_accepts_anything),
        cmocka_unit_test(maps_and_reads_say_what_is_wrong),
        cmocka_unit_test(directories_are_made_listed_and_removed),
        cmocka_unit_test(a_listing_does_not_miss_what_is_renamed),
        cmocka_unit_test(the_lock_excludes_and_names_its_holder),
    };
    return cmocka_run_group_tests(tests, make_temp, remove_temp);
}
