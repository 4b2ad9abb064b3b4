/* tests/unit/test_engine_faults.c: influxd's logs, taken before anything is written, and a disk that fails at every
 * call. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine_grid.h"
#include "faulty_fs.h"
#include "shard_maker.h"
#include "wal_maker.h"

/* ---- influxd's log ---- */

static void log_value(struct tsm_buf *segment, const char *key, int t, double value)
{
    struct tsm_values v = {0};
    struct tsm_buf content = {0};
    tsm_values_reset(&v, TSM_FLOAT, 1);
    tsm_values_add(&v, grid_time(t), (union tsm_value){.f = value});
    wal_add_values(&content, tsm_str_of(key), &v);
    wal_add_record(segment, 1, content.data, content.len);
    tsm_buf_release(&content);
    tsm_values_release(&v);
}

#define H0 "m,host=h0,x=even#!~#a"
#define H1 "m,host=h1,x=odd#!~#a"

/* A directory with files, and a log over them with writes and deletes. */
static void make_log(void)
{
    struct tsm_buf first = {0}, second = {0};
    memset(model, 0, sizeof model);
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n"
              "m,host=h0,x=even a=2.5 1577837400000000000\n"
              "m,host=h1,x=odd a=3.5 1577836800000000000\n",
              NULL);
    char shard[200];
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", temp_dir);
    make_tombstone(shard, "000000001-000000001.tsm", H0, grid_time(0), grid_time(0));
    log_value(&first, H0, 1, 10.5); /* over a file */
    log_value(&first, H0, 2, 11.5);
    log_value(&first, H1, 3, 12.5);
    log_value(&first, H1, 4, 13.5);
    wal_add_delete(&first, TSM_STR(H1), grid_time(3), grid_time(3)); /* of the log */
    wal_add_delete(&first, TSM_STR(H0), grid_time(0), grid_time(0)); /* of a file, which has a tombstone */
    log_value(&second, H1, 5, 14.5);
    log_value(&second, H1, 3, 15.5); /* again */
    tsm_buf_add(&second, "\1\0", 2); /* torn */
    write_bytes("notes", "x", 1);
    char wal[200];
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", temp_dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    write_bytes("wal/db/autogen/1/_00009.wal", first.data, first.len);
    write_bytes("wal/db/autogen/1/_00010.wal", second.data, second.len);
    tsm_buf_release(&first);
    tsm_buf_release(&second);
    model[0][0][1] = 10;
    model[0][0][2] = 11;
    model[1][0][0] = 3;
    model[1][0][3] = 15;
    model[1][0][4] = 13;
    model[1][0][5] = 14;
}

static void test_log_is_taken_first(void **state)
{
    (void)state;
    make_log();
    /* Of another shard: the log stays where it is. */
    write_run("m,host=h0,x=even a=7.5 1579564800000000000\n", NULL);
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 2);
    write_run("m,host=h0,x=even a=20.5 1577838000000000000\nm,host=h1,x=odd b=5i 1577836800000000000\n",
              NULL);
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 0);
    model[0][0][2] = 20;
    model[1][1][0] = 5;
    model[0][0][(1579564800000000000 - START) / TIME_STEP] = 7;
    check_grid();
}

/* A log that is flushed in several parts, with deletes of what was flushed and of what was not. */
static void test_large_log(void **state)
{
    (void)state;
    enum { RECORDS = 300, VALUES = 400 };
    struct tsm_buf segment = {0}, content = {0}, key = {0};
    struct tsm_values v = {0};
    memset(model, 0, sizeof model);
    seed = 40;
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    model[0][0][0] = 1;
    int last = (int)((1578268800000000000 - START) / TIME_STEP); /* the first shard ends there */
    for (int r = 0; r < RECORDS; r++) {
        int s = below(SERIES), f = below(FIELDS), from = below(last), n = below(VALUES);
        tsm_buf_reset(&key);
        tsm_buf_printf(&key, "m,host=h%d,x=%s#!~#%c", s, s % 2 ? "odd" : "even", 'a' + f);
        if (from + n > last)
            n = last - from;
        if (below(4) == 0) {
            wal_add_delete(&segment, tsm_buf_view(&key), grid_time(from), grid_time(from + n));
            for (int t = from; t <= from + n; t++)
                if (!(s == 0 && f == 0 && t == 0)) /* in a file; see below */
                    model[s][f][t] = 0;
            continue;
        }
        tsm_values_reset(&v, f ? TSM_INTEGER : TSM_FLOAT, (size_t)n);
        for (int t = from; t < from + n; t++) {
            int32_t x = 1 + below(100000);
            model[s][f][t] = x;
            tsm_values_add(&v, grid_time(t), f ? (union tsm_value){.i = x} : (union tsm_value){.f = x + 0.5});
        }
        tsm_buf_reset(&content);
        wal_add_values(&content, tsm_buf_view(&key), &v);
        if (v.n)
            wal_add_record(&segment, 1, content.data, content.len);
    }
    /* Something that no delete concerns, so that the one value of the file does not depend on one. */
    model[0][0][0] = 77;
    tsm_values_reset(&v, TSM_FLOAT, 1);
    tsm_values_add(&v, grid_time(0), (union tsm_value){.f = 77.5});
    tsm_buf_reset(&content);
    wal_add_values(&content, TSM_STR(H0), &v);
    wal_add_record(&segment, 1, content.data, content.len);
    char wal[200];
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", temp_dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    write_bytes("wal/db/autogen/1/_00001.wal", segment.data, segment.len);

    struct tsm_engine_options opt = engine_options();
    struct tsm_engine_stats st;
    struct tsm_err err;
    opt.memory = 1 << 20;
    if (run_engine(&tsm_fs_posix, &opt, TSM_STR("m,host=h5,x=odd a=9.5 1577836800000000000\n"), &st, NULL,
                   &err) != TSM_OK)
        fail_msg("%s", err.msg);
    model[5][0][0] = 9;
    assert_true(st.files > 2);
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 0);
    check_grid();
    tsm_buf_release(&segment);
    tsm_buf_release(&content);
    tsm_buf_release(&key);
    tsm_values_release(&v);
}

static void test_damaged_log(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_err err;
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    char wal[200];
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", temp_dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    write_bytes("wal/db/autogen/1/_00001.wal", "\7\0\0\0\1x\7\0\0\0\1x", 12);
    assert_int_equal(
        run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1577836800000000000\n"), NULL, NULL, &err),
        TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, "_00001.wal"));
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 1);
}

/* ---- a failing disk ---- */

static grid before, after, found;

/* Each value is what it was before or what was being written, and nothing that was durable is gone. */
static void check_between(bool complete)
{
    read_grid(found);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS; f++)
            for (int t = 0; t < TIMES; t++) {
                int32_t v = found[s][f][t];
                if (v != after[s][f][t] && (complete || v != before[s][f][t]))
                    fail_msg("series %d field %d time %d: %d, before %d, written %d", s, f, t, v,
                             before[s][f][t], after[s][f][t]);
            }
}

/* A disk that has room again after some waits. */
static struct faulty_fs *full;
static atomic_int waits_left, waits;

static bool wait_for_room(void *ctx, enum tsm_room_event event, const char *message)
{
    (void)ctx;
    (void)message;
    if (event == TSM_ROOM_AGAIN)
        return true;
    atomic_fetch_add(&waits, 1);
    if (atomic_fetch_sub(&waits_left, 1) <= 0)
        full->fail_at = 0;
    return true;
}

enum patience { NO_WAIT, WAIT };

static void fail_everywhere(int error, bool for_good, bool with_log, enum patience patience)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_buf one = {0}, two = {0};
    opt.jobs = 1;
    seed = 30;
    memset(before, 0, sizeof before);
    put_lines(&one, before, 300);
    memcpy(after, before, sizeof after);
    put_lines(&two, after, 300);
    struct faulty_fs f;
    bool failed = true;
    int waited = 0;
    for (long at = 1; failed; at++) {
        assert_true(at < 2000);
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        if (with_log) {
            make_log();
            memcpy(before, model, sizeof before);
            memcpy(after, model, sizeof after);
            after[0][0][2] = 20;
        } else {
            write_run(tsm_buf_cstr(&one), NULL);
        }
        faulty_fs_init(&f);
        f.error = error;
        f.for_good = for_good;
        f.fail_at = at;
        struct tsm_engine_stats st = {0};
        struct tsm_err err = {0};
        struct tsm_str text = with_log ? TSM_STR("m,host=h0,x=even a=20.5 1577838000000000000\n")
                                       : tsm_buf_view(&two);
        if (patience == WAIT) {
            full = &f;
            waits = 0;
            waits_left = (int)(at % 40);
            opt.room = wait_for_room;
        }
        int rc = run_engine(&f.fs, &opt, text, &st, NULL, &err);
        failed = atomic_load(&f.calls) >= at;
        if (patience == WAIT && rc != TSM_OK) /* only before it has begun */
            assert_true(waits == 0 && st.rows == 0);
        waited += waits > 0;
        if (rc != TSM_OK)
            assert_true(failed && err.msg[0]);
        check_between(rc == TSM_OK);
        /* The next run, on a sound disk, completes the work. */
        struct tsm_err again;
        if (run_engine(&tsm_fs_posix, &opt, text, &st, NULL, &again) != TSM_OK)
            fail_msg("after failure %ld: %s", at, again.msg);
        assert_int_equal(count_files("data/db/autogen/1", ".tmp"), 0);
        check_between(true);
    }
    if (patience == WAIT)
        assert_true(waited > 10);
    tsm_buf_release(&one);
    tsm_buf_release(&two);
}

static void test_every_call_fails_once(void **state)
{
    (void)state;
    fail_everywhere(EIO, false, false, NO_WAIT);
}

static void test_disk_is_full_from_some_call_on(void **state)
{
    (void)state;
    fail_everywhere(ENOSPC, true, false, NO_WAIT);
}

/* A writer that waits loses nothing and needs no second run. */
static void test_waits_for_room(void **state)
{
    (void)state;
    fail_everywhere(ENOSPC, true, false, WAIT);
    fail_everywhere(EDQUOT, false, false, WAIT);
}

static void test_disk_fails_while_a_log_is_taken(void **state)
{
    (void)state;
    fail_everywhere(EIO, true, true, NO_WAIT);
    fail_everywhere(EIO, false, true, NO_WAIT);
}

/* An unfinished file is removed at once when the disk allows it. */
static void test_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_err err;
    struct faulty_fs f;
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    faulty_fs_init(&f);
    f.kinds = FAULTY_WRITE;
    f.error = ENOSPC;
    f.fail_at = 4; /* after the lock's name */
    int rc = run_engine(&f.fs, &opt, TSM_STR("m,host=h0,x=even a=2.5 1577837400000000000\n"), NULL, NULL,
                        &err);
    assert_int_equal(rc, TSM_ENOSPC);
    assert_non_null(strstr(err.msg, "000000002-000000001.tsm.tmp: No space left on device"));
    assert_int_equal(count_files("data/db/autogen/1", ".tmp"), 0);
    assert_int_equal(count_files("data/db/autogen/1", ".tsm"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_is_taken_first, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_large_log, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_damaged_log, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_every_call_fails_once, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_disk_is_full_from_some_call_on, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_waits_for_room, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_disk_fails_while_a_log_is_taken, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_full_disk_leaves_nothing, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
