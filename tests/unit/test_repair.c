/*
 * tests/unit/test_repair.c: every bit of small files flipped, and every cut: what is repaired is sound, and holds every block or
 * record that was not hit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "faulty_fs.h"
#include "format/tombstone.h"
#include "format/tsm_reader.h"
#include "format/wal.h"
#include "shard_maker.h"
#include "store/repair.h"
#include "temp_dir.h"

#define NAME "000000001-000000001.tsm"

/* What the last report said. */
static struct {
    int n;
    uint64_t kept, lost;
    bool uncertain, left;
    char fault[256], aside[256];
} said;

static int note(void *ctx, const struct tsm_repaired *what, struct tsm_err *err)
{
    (void)ctx, (void)err;
    said.n++;
    said.kept = what->kept;
    said.lost = what->lost;
    said.uncertain = what->uncertain;
    said.left = what->left;
    snprintf(said.fault, sizeof said.fault, "%s", what->fault);
    snprintf(said.aside, sizeof said.aside, "%s", what->aside ? what->aside : "");
    return TSM_OK;
}

static int repair(const struct tsm_fs *fs, const char *path, bool dry_run, struct tsm_err *err)
{
    struct tsm_repair r = {.fs = fs, .holder = "test", .dry_run = dry_run, .report = note};
    memset(&said, 0, sizeof said);
    return tsm_repair_path(&r, path, err);
}

static void must_repair(const char *path)
{
    struct tsm_err err;
    if (repair(&tsm_fs_posix, path, false, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static void read_whole(const char *path, struct tsm_buf *out)
{
    struct tsm_err err;
    tsm_buf_reset(out);
    if (tsm_fs_read_file(&tsm_fs_posix, path, 1 << 20, out, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static void write_whole(const char *path, const uint8_t *p, size_t n)
{
    struct tsm_err err;
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_str((const char *)p, n), &err), TSM_OK);
}

static void remove_bad(void)
{
    if (said.aside[0])
        unlink(said.aside);
}

static const struct made_value values[] = {
    {"cpu,host=a#!~#f", TSM_FLOAT, 1, 1.5}, {"cpu,host=a#!~#f", TSM_FLOAT, 2, 2.5},
    {"cpu,host=a#!~#i", TSM_INTEGER, 5, 1}, {"cpu,host=b#!~#f", TSM_BOOLEAN, 7, 1},
    {"mem#!~#s", TSM_STRING, 9, 0},
};

enum { VALUES = sizeof values / sizeof *values };

/* How many of the values the file at path has, which must be sound; with_keys: under their keys. */
static size_t count_values(const char *path, bool with_keys)
{
    struct tsm_reader *r;
    struct tsm_err err;
    struct tsm_values v = {0};
    size_t n = 0;
    if (tsm_reader_open(&tsm_fs_posix, path, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < r->nkeys; i++) {
        for (size_t k = 0; k < tsm_reader_entries(r, i); k++) {
            struct tsm_entry e = tsm_reader_entry(r, i, k);
            if (tsm_reader_decode(r, i, &e, &v, &err) != TSM_OK)
                fail_msg("%s", err.msg);
            for (size_t m = 0; m < VALUES; m++)
                n += values[m].time == v.t[0] && values[m].type == v.type &&
                     (!with_keys || tsm_str_eq(tsm_reader_key(r, i), tsm_str_of(values[m].key)));
        }
    }
    tsm_values_release(&v);
    tsm_reader_close(r);
    return n;
}

static void every_flipped_bit_of_a_tsm_file(void **state)
{
    (void)state;
    char path[128];
    struct tsm_buf whole = {0}, now = {0};
    snprintf(path, sizeof path, "%s", in_temp(NAME));
    make_file(temp_dir, NAME, values, VALUES);
    read_whole(path, &whole);
    must_repair(path);
    assert_int_equal(said.n, 0);
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        whole.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_whole(path, whole.data, whole.len);
        must_repair(path);
        assert_int_equal(said.n, 1);
        if (said.kept < VALUES - 2) /* the first record of the index has two blocks */
            fail_msg("bit %zu: only %llu blocks kept", bit, (unsigned long long)said.kept);
        assert_int_equal(count_values(path, false), said.kept);
        assert_true(count_values(path, true) >= VALUES - 2); /* a name that was hit is hit for good */
        read_whole(said.aside, &now);
        assert_true(tsm_str_eq(tsm_buf_view(&now), tsm_buf_view(&whole)));
        remove_bad();
        must_repair(path);
        assert_int_equal(said.n, 0);
        whole.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tsm_buf_release(&whole);
    tsm_buf_release(&now);
}

/* The index is at the end: a file that is cut in its blocks has none, one that is cut in the index has the beginning. */
static void every_cut_of_a_tsm_file(void **state)
{
    (void)state;
    char path[128];
    struct tsm_buf whole = {0};
    snprintf(path, sizeof path, "%s", in_temp(NAME));
    make_file(temp_dir, NAME, values, VALUES);
    read_whole(path, &whole);
    uint64_t before = 0;
    for (size_t n = 0; n < whole.len; n++) {
        write_whole(path, whole.data, n);
        must_repair(path);
        assert_int_equal(said.n, 1);
        assert_true(said.uncertain && said.kept >= before);
        before = said.kept;
        if (said.kept)
            assert_int_equal(count_values(path, true), said.kept);
        else
            assert_false(tsm_fs_exists(&tsm_fs_posix, path));
        assert_true(tsm_fs_exists(&tsm_fs_posix, said.aside));
        remove_bad();
    }
    assert_int_equal(before, VALUES);
    tsm_buf_release(&whole);
}

static void a_second_damaged_file_of_a_name_is_kept_too(void **state)
{
    (void)state;
    char path[128];
    struct tsm_err err;
    snprintf(path, sizeof path, "%s", in_temp(NAME));
    for (int i = 0; i < 3; i++) {
        make_file(temp_dir, NAME, values, VALUES);
        damage_file(temp_dir, NAME, 12);
        assert_int_equal(repair(&tsm_fs_posix, path, true, &err), TSM_OK);
        assert_int_equal(said.n, 1);
        assert_string_equal(said.aside, "");
        must_repair(temp_dir);
        assert_int_equal(said.n, 1);
        assert_int_equal(said.lost, 1);
        assert_false(said.uncertain);
        assert_non_null(strstr(said.aside, i == 0 ? ".tsm.bad" : i == 1 ? ".tsm.bad2" : ".tsm.bad3"));
    }
}

static void every_flipped_bit_of_a_log(void **state)
{
    (void)state;
    enum { RECORDS = 3 };
    char path[128];
    struct tsm_buf log = {0}, payload = {0}, now = {0};
    size_t ends[RECORDS];
    snprintf(path, sizeof path, "%s", in_temp("000000001.log"));
    for (uint64_t i = 0; i < RECORDS; i++) {
        tsm_wal_delete_begin(&payload, (int64_t)i, 99);
        tsm_wal_delete_key(&payload, TSM_STR("cpu#!~#f"));
        tsm_wal_encode(&log, TSM_WAL_DELETE, i + 1, tsm_buf_view(&payload));
        ends[i] = log.len;
    }
    for (size_t bit = 0; bit < 8 * log.len; bit++) {
        log.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_whole(path, log.data, log.len);
        must_repair(path);
        assert_int_equal(said.n, 1);
        assert_int_equal(said.kept, RECORDS - 1);
        assert_int_equal(said.lost, 1);
        read_whole(path, &now);
        size_t hit = 0;
        while (ends[hit] <= bit / 8)
            hit++;
        size_t start = hit ? ends[hit - 1] : 0;
        assert_int_equal(now.len, log.len - (ends[hit] - start));
        assert_memory_equal(now.data, log.data, start);
        assert_memory_equal(now.data + start, log.data + ends[hit], log.len - ends[hit]);
        remove_bad();
        must_repair(path);
        assert_int_equal(said.n, 0);
        log.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    write_whole(path, log.data, log.len - 3); /* a torn end is none of our business */
    must_repair(path);
    assert_int_equal(said.n, 0);
    tsm_buf_release(&log);
    tsm_buf_release(&payload);
    tsm_buf_release(&now);
}

static void members_of_tombstones_that_can_be_read_are_kept(void **state)
{
    (void)state;
    char path[128];
    struct tsm_buf file = {0};
    struct tsm_tombstones t = {0};
    struct tsm_err err;
    make_file(temp_dir, NAME, values, VALUES);
    make_tombstone(temp_dir, NAME, "cpu,host=a#!~#f", 1, 1);
    make_tombstone(temp_dir, NAME, "cpu,host=a#!~#i", 5, 5);
    char *beside = tsm_tombstone_path(in_temp(NAME));
    snprintf(path, sizeof path, "%s", beside);
    tsm_free(beside);
    read_whole(path, &file);
    must_repair(path);
    assert_int_equal(said.n, 0);
    file.data[file.len - 6] ^= 1; /* in the checksum of the last member */
    write_whole(path, file.data, file.len);
    must_repair(path);
    assert_int_equal(said.n, 1);
    assert_true(said.uncertain);
    if (said.kept) {
        assert_int_equal(tsm_tombstones_read(&tsm_fs_posix, path, &t, &err), TSM_OK);
        assert_int_equal(t.n, said.kept);
        tsm_tombstones_release(&t);
    } else {
        assert_false(tsm_fs_exists(&tsm_fs_posix, path));
    }
    write_whole(path, (const uint8_t *)"", 0);
    must_repair(path);
    assert_true(said.n == 1 && said.uncertain && said.kept == 0);
    assert_false(tsm_fs_exists(&tsm_fs_posix, path));
    tsm_buf_release(&file);
}

/* Whatever call fails, the damaged bytes exist, and under the name stands the damaged or the repaired file. */
static void failing_disk(void **state)
{
    (void)state;
    char path[128], bad[140];
    struct tsm_buf damaged = {0}, now = {0}, aside = {0};
    struct tsm_err err;
    snprintf(path, sizeof path, "%s", in_temp(NAME));
    snprintf(bad, sizeof bad, "%s.bad", path);
    make_file(temp_dir, NAME, values, VALUES);
    damage_file(temp_dir, NAME, 12);
    read_whole(path, &damaged);
    struct faulty_fs f;
    faulty_fs_init(&f);
    for (f.fail_at = 1;; f.fail_at++) {
        unlink(bad);
        write_whole(path, damaged.data, damaged.len);
        f.calls = 0;
        int rc = repair(&f.fs, path, false, &err);
        bool reached = f.calls >= f.fail_at;
        read_whole(path, &now);
        bool replaced = !tsm_str_eq(tsm_buf_view(&now), tsm_buf_view(&damaged));
        if (replaced) {
            assert_int_equal(count_values(path, true), VALUES - 1);
            read_whole(bad, &aside);
            assert_true(tsm_str_eq(tsm_buf_view(&aside), tsm_buf_view(&damaged)));
        }
        if (!reached) {
            assert_int_equal(rc, TSM_OK);
            assert_true(replaced);
            break;
        }
    }
    assert_true(f.fail_at > 10);
    tsm_buf_release(&damaged);
    tsm_buf_release(&now);
    tsm_buf_release(&aside);
}

static void what_is_none_of_ours(void **state)
{
    (void)state;
    struct tsm_err err;
    write_whole(in_temp("notes.txt"), (const uint8_t *)"x", 1);
    must_repair(temp_dir);
    assert_int_equal(said.n, 0);
    assert_int_equal(repair(&tsm_fs_posix, in_temp("notes.txt"), false, &err), TSM_EUSAGE);
    assert_int_equal(repair(&tsm_fs_posix, in_temp("nowhere"), false, &err), TSM_ENOTFOUND);
    struct tsm_lock lock;
    make_file(temp_dir, NAME, values, VALUES);
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, in_temp("lock"), "tsm-compact", &lock, &err), TSM_OK);
    assert_int_equal(repair(&tsm_fs_posix, in_temp(NAME), false, &err), TSM_ELOCKED);
    assert_int_equal(repair(&tsm_fs_posix, in_temp(NAME), true, &err), TSM_OK);
    tsm_lock_release(&lock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_temp, remove_temp)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_flipped_bit_of_a_tsm_file),
        TEST(every_cut_of_a_tsm_file),
        TEST(a_second_damaged_file_of_a_name_is_kept_too),
        TEST(every_flipped_bit_of_a_log),
        TEST(members_of_tombstones_that_can_be_read_are_kept),
        TEST(failing_disk),
        TEST(what_is_none_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
