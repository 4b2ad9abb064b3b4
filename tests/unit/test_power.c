/*
 * tests/unit/test_power.c: loss of power at random moments, and failures of every call, on a disk in memory.
 *
 * A run that fails prints its seed; POWER_SEED=N repeats that run alone and tells what it does, POWER_KEEP=DIR copies its
 * directory there. `make torture` does many more of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "power_run.h"

enum { RUNS = 60, LIVES = 6 };

/* ---- the disk itself ---- */

static void put(const struct tsm_fs *fs, const char *path, const char *text, bool sync)
{
    int fd = fs->open(fs->ctx, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs->write(fs->ctx, fd, text, strlen(text)), (ssize_t)strlen(text));
    if (sync)
        assert_int_equal(fs->fsync(fs->ctx, fd), 0);
    assert_int_equal(fs->close(fs->ctx, fd), 0);
}

static bool holds(const struct tsm_fs *fs, const char *path, const char *text)
{
    struct tsm_buf b = {0};
    bool same = tsm_fs_read_file(fs, path, 1 << 20, &b, NULL) == TSM_OK && b.len == strlen(text) &&
                memcmp(b.data, text, b.len) == 0;
    tsm_buf_release(&b);
    return same;
}

/* How often, of 200 cuts after what prepare() does, path holds text. */
static int count_survivals(void (*prepare)(const struct tsm_fs *fs), const char *path, const char *text)
{
    int n = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct power_disk *d = power_disk_new();
        prepare(power_disk_fs(d));
        power_disk_cut(d, seed);
        n += holds(power_disk_fs(d), path, text);
        power_disk_free(d);
    }
    return n;
}

static void write_unsynced(const struct tsm_fs *fs)
{
    put(fs, "/a", "text", false);
    tsm_fs_sync_dir(fs, "/", NULL);
}

static void write_unnamed(const struct tsm_fs *fs)
{
    put(fs, "/a", "text", true);
}

static void write_well(const struct tsm_fs *fs)
{
    put(fs, "/a", "text", true);
    tsm_fs_sync_dir(fs, "/", NULL);
}

static void replace(const struct tsm_fs *fs)
{
    write_well(fs);
    put(fs, "/b", "other", true);
    tsm_fs_sync_dir(fs, "/", NULL);
    fs->rename(fs->ctx, "/b", "/a");
}

static void replace_unsynced(const struct tsm_fs *fs)
{
    write_well(fs);
    put(fs, "/b", "other", false);
    fs->rename(fs->ctx, "/b", "/a");
    tsm_fs_sync_dir(fs, "/", NULL);
}

static void make_below(const struct tsm_fs *fs)
{
    fs->mkdir(fs->ctx, "/d", 0755);
    put(fs, "/d/a", "text", true);
    tsm_fs_sync_dir(fs, "/d", NULL);
}

static void remove_unsynced(const struct tsm_fs *fs)
{
    write_well(fs);
    fs->unlink(fs->ctx, "/a");
}

static void test_only_what_was_synced_survives(void **state)
{
    (void)state;
    assert_int_equal(count_survivals(write_well, "/a", "text"), 200);
    assert_in_range(count_survivals(write_unsynced, "/a", "text"), 20, 180);
    assert_in_range(count_survivals(write_unnamed, "/a", "text"), 20, 180);
    assert_in_range(count_survivals(make_below, "/d/a", "text"), 20, 180);
    assert_in_range(count_survivals(remove_unsynced, "/a", "text"), 20, 180);
}

static void test_rename_is_atomic(void **state)
{
    (void)state;
    int old = count_survivals(replace, "/a", "text"), renamed = count_survivals(replace, "/a", "other");
    assert_int_equal(old + renamed, 200);
    assert_in_range(old, 20, 180);
    renamed = count_survivals(replace_unsynced, "/a", "other");
    assert_in_range(renamed, 20, 180);
    assert_int_equal(count_survivals(replace_unsynced, "/a", "text"), 0);
}

static void test_planned_cut(void **state)
{
    (void)state;
    struct power_disk *d = power_disk_new();
    const struct tsm_fs *fs = power_disk_fs(d);
    write_well(fs);
    int fd = fs->open(fs->ctx, "/a", O_WRONLY | O_APPEND, 0);
    power_disk_plan_cut(d, 2);
    assert_int_equal(fs->write(fs->ctx, fd, "1", 1), 1);
    assert_int_equal(fs->fsync(fs->ctx, fd), -EIO);
    assert_true(power_disk_is_off(d));
    assert_int_equal(fs->open(fs->ctx, "/a", O_RDONLY, 0), -EIO);
    power_disk_cut(d, 1);
    assert_false(power_disk_is_off(d));
    assert_int_equal(fs->write(fs->ctx, fd, "2", 1), -EBADF);
    assert_true(holds(fs, "/a", "text") || holds(fs, "/a", "text1") || !holds(fs, "/a", ""));
    power_disk_free(d);
}

static void test_locks_and_room(void **state)
{
    (void)state;
    struct power_disk *d = power_disk_new();
    const struct tsm_fs *fs = power_disk_fs(d);
    struct tsm_lock a, b;
    struct tsm_err err;
    assert_int_equal(tsm_lock_take(fs, "/lock", "first", &a, &err), TSM_OK);
    assert_int_equal(tsm_lock_take(fs, "/lock", "second", &b, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "first"));
    tsm_lock_release(&a);
    assert_int_equal(tsm_lock_take(fs, "/lock", "second", &b, &err), TSM_OK);
    tsm_lock_release(&b);
    power_disk_limit(d, 100);
    int fd = fs->open(fs->ctx, "/x", O_WRONLY | O_CREAT, 0644);
    static const char bytes[200];
    ssize_t n = fs->write(fs->ctx, fd, bytes, sizeof bytes);
    assert_in_range(n, 1, 99);
    assert_int_equal(fs->write(fs->ctx, fd, bytes, sizeof bytes), -ENOSPC);
    power_disk_free(d);
}

/* ---- runs ---- */

/* The seeds of a test: [*first, the result). */
static uint64_t seeds(uint64_t from, uint64_t *first)
{
    const char *only = getenv("POWER_SEED");
    uint64_t seed = only ? strtoull(only, NULL, 0) : from;
    *first = seed;
    if (!only)
        return from + RUNS;
    return (seed < POWER_FAULT_SEEDS) == (from < POWER_FAULT_SEEDS) ? seed + 1 : seed;
}

static bool run_one(struct power_run_options opt, struct power_run_figures *figures)
{
    char message[1024];
    const char *only = getenv("POWER_SEED");
    if (only) {
        opt.log = stderr;
        opt.keep = getenv("POWER_KEEP");
    }
    if (power_run(&opt, figures, message, sizeof message))
        return true;
    print_error("POWER_SEED=%llu: %s\n", (unsigned long long)opt.seed, message);
    return false;
}

static void print_figures(const struct power_run_figures *f)
{
    char text[1024];
    power_run_describe(f, text, sizeof text);
    print_message("# %s\n", text);
}

static void test_cuts(void **state)
{
    (void)state;
    struct power_run_figures f = {0};
    int failed = 0;
    uint64_t seed, end = seeds(1, &seed);
    for (; seed < end; seed++)
        failed += !run_one((struct power_run_options){.seed = seed, .lives = LIVES}, &f);
    print_figures(&f);
    assert_int_equal(failed, 0);
    assert_true(getenv("POWER_SEED") || (f.kept_pending > 100 && f.lost_pending > 100));
}

/* One call fails, or that one and all that follow; then the power goes or not, and the next writer goes on. */
static void test_failures(void **state)
{
    (void)state;
    struct power_run_figures f = {0};
    int failed = 0;
    uint64_t seed, end = seeds(POWER_FAULT_SEEDS, &seed);
    for (; seed < end; seed++) {
        struct power_run_options opt = {
            .seed = seed, .lives = LIVES, .error = seed & 1 ? EIO : ENOSPC, .for_good = seed & 2};
        failed += !run_one(opt, &f);
    }
    print_figures(&f);
    assert_int_equal(failed, 0);
}

/* A disk that does not sync must be found out, or the test above shows nothing. */
static void test_a_lying_disk_is_noticed(void **state)
{
    (void)state;
    struct power_run_figures f = {0};
    char message[1024];
    int noticed = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        noticed += !power_run(&(struct power_run_options){.seed = seed, .lives = LIVES, .lie = true}, &f,
                              message, sizeof message);
    assert_in_range(noticed, 8, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_was_synced_survives),
        cmocka_unit_test(test_rename_is_atomic),
        cmocka_unit_test(test_planned_cut),
        cmocka_unit_test(test_locks_and_room),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_a_lying_disk_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
