/* tests/unit/test_compaction_faults.c: compactions on a disk that fails, that are killed, and what cleans up behind them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "codec/block.h"
#include "faulty_fs.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "shard_maker.h"
#include "shard_state.h"
#include "store/compaction_run.h"
#include "store/verify.h"
#include "temp_dir.h"

#define A "000000001-000000001"
#define B "000000002-000000001"
#define L "500000001-000000001"
#define OUT "000000001-000000002"
#define K "k#!~#f"

static struct tsm_buf want; /* the content of the shard */
static struct saved_files before;

/* A float for every second from first on; large enough in number to be copied. */
static void make_values(const char *name, int64_t first, int64_t step, size_t n, double base)
{
    char path[200];
    struct tsm_writer *w;
    struct tsm_err err;
    struct tsm_values c = {0};
    struct tsm_buf block = {0};
    snprintf(path, sizeof path, "%s/%s.tsm", temp_dir, name);
    tsm_values_reset(&c, TSM_FLOAT, n);
    for (size_t i = 0; i < n; i++)
        tsm_values_add(&c, first + (int64_t)i * step, (union tsm_value){.f = base + (double)i});
    if (tsm_block_encode(&block, &c, 0, n, &err) || tsm_writer_open(&tsm_fs_posix, path, &w, &err) ||
        tsm_writer_block(w, TSM_STR(K), TSM_FLOAT, c.t[0], c.t[n - 1], block.data, block.len, &err) ||
        tsm_writer_install(w, &err))
        fail_msg("%s", err.msg);
    tsm_buf_release(&block);
    tsm_values_release(&c);
}

/* Two ordered files and a late one over the second, with deletes. */
static int make_shard(void **state)
{
    int rc = make_temp(state);
    make_values(A, 0, 10, 800, 0);
    make_values(B, 10000, 10, 800, 1000);
    make_values(L, 12000, 10, 400, 5000);
    make_tombstone(temp_dir, A ".tsm", K, 100, 200);
    make_tombstone(temp_dir, L ".tsm", K, 12000, 13000);
    read_content(temp_dir, &want);
    save_files(temp_dir, &before);
    return rc;
}

static int remove_shard(void **state)
{
    tsm_buf_release(&want);
    release_files(&before);
    return remove_temp(state);
}

static int compact(const struct tsm_fs *fs, struct tsm_err *err)
{
    struct tsm_file_name in[] = {{1, 1}, {2, 1}, {TSM_FIRST_LATE_GENERATION, 1}};
    struct tsm_compaction c = {.action = TSM_COMPACTION_MERGE, .inputs = in, .ninputs = 3, .output = {1, 2}};
    struct tsm_compaction_run run = {.fs = fs, .dir = temp_dir, .jobs = 1, .memory = 1 << 20};
    return tsm_compaction_execute(&run, &c, err);
}

static int clean(const struct tsm_fs *fs, struct tsm_err *err)
{
    struct tsm_compaction_run run = {.fs = fs, .dir = temp_dir, .jobs = 1, .memory = 1 << 20};
    return tsm_compaction_clean(&run, err);
}

static void must_clean(void)
{
    struct tsm_err err;
    if (clean(&tsm_fs_posix, &err))
        fail_msg("%s", err.msg);
    assert_content(temp_dir, &want);
}

static void names_are(char *out, size_t size)
{
    list_files(temp_dir, "", out, size);
}

/* After the failure readers see what they saw; what is cleaned is either the inputs alone or the output alone. */
static void fail_everywhere(int error, bool for_good)
{
    char names[1000], untouched[1000];
    names_are(untouched, sizeof untouched);
    bool failed = true, before_rename = false, after_rename = false;
    for (long at = 1; failed; at++) {
        struct faulty_fs f;
        struct tsm_err err = {0};
        assert_true(at < 1000);
        restore_files(temp_dir, &before);
        faulty_fs_init(&f);
        f.error = error;
        f.for_good = for_good;
        f.fail_at = at;
        int rc = compact(&f.fs, &err);
        failed = f.calls >= at;
        assert_true(failed || rc == TSM_OK);
        assert_true(rc == TSM_OK || err.msg[0]);
        assert_content(temp_dir, &want);
        must_clean();
        names_are(names, sizeof names);
        if (strcmp(names, untouched) == 0) {
            assert_true(rc != TSM_OK);
            before_rename = true;
            assert_files(temp_dir, &before);
        } else {
            after_rename = true;
            assert_non_null(strstr(names, OUT ".tsm"));
            assert_null(strstr(names, "000000001.tsm"));
            assert_null(strstr(names, ".tmp"));
        }
    }
    assert_true(before_rename && after_rename);
}

static void every_call_fails_once(void **state)
{
    (void)state;
    fail_everywhere(EIO, false);
}

static void the_disk_fails_from_some_call_on(void **state)
{
    (void)state;
    fail_everywhere(ENOSPC, true);
}

static int only_notes(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (kind != TSM_FINDING_NOTE)
        fail_msg("%s", line);
    return TSM_OK;
}

/* Cleaning is interrupted, too. */
static void cleaning_fails_everywhere(void **state)
{
    (void)state;
    struct faulty_fs f;
    struct tsm_err err;
    struct saved_files left;
    char names[1000];
    faulty_fs_init(&f);
    f.kinds = FAULTY_UNLINK;
    f.for_good = true;
    f.fail_at = 1;
    assert_int_not_equal(compact(&f.fs, &err), TSM_OK);
    names_are(names, sizeof names);
    assert_non_null(strstr(names, A ".tsm"));
    assert_non_null(strstr(names, OUT ".tsm"));
    assert_content(temp_dir, &want);
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 1, .report = only_notes};
    assert_int_equal(tsm_verify_path(&v, temp_dir, &err), TSM_OK);
    assert_int_equal(v.stats.notes, 3); /* each input is left over */
    save_files(temp_dir, &left);
    bool failed = true;
    for (long at = 1; failed; at++) {
        assert_true(at < 1000);
        /* The inputs are not newer than the output: they are written first. */
        restore_files(temp_dir, &left);
        char path[200];
        snprintf(path, sizeof path, "%s/" OUT ".tsm", temp_dir);
        assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
        faulty_fs_init(&f);
        f.fail_at = at;
        int rc = clean(&f.fs, &err);
        failed = f.calls >= at;
        assert_true(failed || rc == TSM_OK);
        assert_content(temp_dir, &want);
        must_clean();
        names_are(names, sizeof names);
        assert_string_equal(names, OUT ".tsm ");
    }
    release_files(&left);
}

/* Killed after each removal: what is left goes with the next run, and what a writer makes meanwhile stays. */
static void crashes_between_removals(void **state)
{
    (void)state;
    for (long at = 1; at <= 6; at++) {
        struct faulty_fs f;
        struct tsm_err err;
        char names[1000];
        restore_files(temp_dir, &before);
        read_content(temp_dir, &want);
        faulty_fs_init(&f);
        f.kinds = FAULTY_UNLINK;
        f.for_good = true;
        f.fail_at = at;
        int rc = compact(&f.fs, &err);
        assert_content(temp_dir, &want);
        names_are(names, sizeof names);
        bool left = strstr(names, L ".tsm") != NULL;
        assert_true(left || rc == TSM_OK || at > 5);
        make_values("000000003-000000001", 50000, 10, 5, 0);
        make_values("500000002-000000001", 10000, 10, 5, 70);
        read_content(temp_dir, &want);
        must_clean();
        names_are(names, sizeof names);
        if (strcmp(names, OUT ".tsm 000000003-000000001.tsm 500000002-000000001.tsm ") != 0 &&
            strstr(names, "000000001.tombstone") == NULL)
            fail_msg("after removal %ld: %s", at, names);
    }
}

/* A file that has the name of an input, but is another one, or was written after the output, stays. */
static void a_name_that_came_again_is_not_removed(void **state)
{
    (void)state;
    struct tsm_err err;
    char names[1000];
    if (compact(&tsm_fs_posix, &err))
        fail_msg("%s", err.msg);
    names_are(names, sizeof names);
    assert_string_equal(names, OUT ".tsm ");
    make_values(L, 12000, 20, 400, 9000); /* other times */
    read_content(temp_dir, &want);
    must_clean();
    names_are(names, sizeof names);
    assert_string_equal(names, OUT ".tsm " L ".tsm ");

    /* The same times with other values: the same size and index. */
    make_values(L, 12000, 10, 400, 5000);
    char path[200];
    struct stat output, again;
    snprintf(path, sizeof path, "%s/" OUT ".tsm", temp_dir);
    assert_int_equal(stat(path, &output), 0);
    snprintf(path, sizeof path, "%s/" L ".tsm", temp_dir);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, output.st_mtim};
    times[1].tv_sec += 1;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(stat(path, &again), 0);
    read_content(temp_dir, &want);
    must_clean();
    names_are(names, sizeof names);
    assert_string_equal(names, OUT ".tsm " L ".tsm ");
}

/* A part of an input that was saved from damage has values which the input behind it has overwritten. */
static void what_was_saved_of_an_input_keeps_those_behind_it(void **state)
{
    (void)state;
    struct faulty_fs f;
    struct tsm_err err;
    char names[1000];
    faulty_fs_init(&f);
    f.kinds = FAULTY_UNLINK;
    f.for_good = true;
    f.fail_at = 1;
    assert_int_not_equal(compact(&f.fs, &err), TSM_OK);
    make_values(B, 10000, 10, 400, 1000);
    must_clean();
    names_are(names, sizeof names);
    assert_string_equal(names, OUT ".tsm " B ".tsm " L ".tombstone " L ".tsm ");
    assert_content(temp_dir, &want);
}

/* What a killed compaction was writing goes; what a flush or a delete is writing stays. */
static void unfinished_outputs_are_removed(void **state)
{
    (void)state;
    static const char *const names[] = {
        "000000001-000000002.tsm.tmp", "000000001-000000002.tsm.index.tmp",
        "000000003-000000001.tsm.tmp", "000000001-000000001.tombstone.tmp",
        "500000001-000000003.tsm.tmp",
    };
    char left[1000];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, in_temp(names[i]), TSM_STR("x"), NULL), TSM_OK);
    must_clean();
    list_files(temp_dir, ".tmp", left, sizeof left);
    assert_string_equal(left, "000000001-000000001.tombstone.tmp 000000003-000000001.tsm.tmp ");
}

/* Tombstones whose file is gone would hit the next one of that name; those of a file that was set aside will be wanted. */
static void tombstones_without_a_file_are_removed(void **state)
{
    (void)state;
    char left[1000];
    make_tombstone(temp_dir, "000000007-000000001.tsm", K, 0, 1);
    make_tombstone(temp_dir, "000000008-000000001.tsm", K, 0, 1);
    assert_int_equal(
        tsm_fs_write_file(&tsm_fs_posix, in_temp("000000008-000000001.tsm.bad"), TSM_STR("x"), NULL), TSM_OK);
    must_clean();
    list_files(temp_dir, ".tombstone", left, sizeof left);
    assert_string_equal(left, A ".tombstone 000000008-000000001.tombstone " L ".tombstone ");
}

/* Bytes that are not what was written: the output is not installed. */
static int renames;

static ssize_t flip_a_bit(void *ctx, int fd, const void *p, size_t n)
{
    (void)ctx;
    uint8_t *copy = tsm_alloc(n);
    memcpy(copy, p, n);
    if (n > 1000)
        copy[500] ^= 4;
    ssize_t written = tsm_fs_posix.write(NULL, fd, copy, n);
    tsm_free(copy);
    return written;
}

static int count_renames(void *ctx, const char *from, const char *to)
{
    renames++;
    return tsm_fs_posix.rename(ctx, from, to);
}

static void a_disk_that_lies_is_found_out(void **state)
{
    (void)state;
    struct tsm_fs fs = tsm_fs_posix;
    struct tsm_err err;
    fs.write = flip_a_bit;
    fs.rename = count_renames;
    renames = 0;
    assert_int_equal(compact(&fs, &err), TSM_EIO);
    assert_non_null(strstr(err.msg, "reads back differently"));
    assert_int_equal(renames, 0);
    assert_files(temp_dir, &before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_shard, remove_shard)
    const struct CMUnitTest tests[] = {
        TEST(every_call_fails_once),
        TEST(the_disk_fails_from_some_call_on),
        TEST(cleaning_fails_everywhere),
        TEST(crashes_between_removals),
        TEST(a_name_that_came_again_is_not_removed),
        TEST(what_was_saved_of_an_input_keeps_those_behind_it),
        TEST(unfinished_outputs_are_removed),
        TEST(tombstones_without_a_file_are_removed),
        TEST(a_disk_that_lies_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
