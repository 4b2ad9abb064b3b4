/* tests/unit/test_engine.c: the writer of a data directory against a model, over several runs; order, types,
 * retention, left-overs. */
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

#include "base/alloc.h"
#include "codec/block.h"
#include "engine_grid.h"
#include "format/meta_db.h"
#include "shard_maker.h"
#include "store/flush_file.h"

#define N(array) (sizeof(array) / sizeof *(array))

static void test_runs_against_a_model(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        memset(model, 0, sizeof model);
        seed = 10 + (uint64_t)round;
        for (int run = 0; run < 5; run++) {
            struct tsm_buf text = {0};
            for (int part = 0; part < 3; part++)
                put_lines(&text, model, 1 + below(3000));
            struct tsm_engine_stats st = write_run(tsm_buf_cstr(&text), NULL);
            assert_int_equal(st.durable_rows, st.rows);
            assert_int_equal(st.rejected, 0);
            tsm_buf_release(&text);
            check_grid();
        }
    }
}

/* Little memory: the same points through many flushes, while writing goes on. */
static void test_many_flushes(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_engine_stats st;
    struct tsm_err err;
    struct rejected rejected = {0};
    memset(model, 0, sizeof model);
    seed = 20;
    opt.memory = 1 << 20;
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &opt, &e, &err), TSM_OK);
    for (int part = 0; part < 60; part++) {
        struct tsm_buf text = {0};
        put_lines(&text, model, 2000);
        if (write_text(e, tsm_buf_view(&text), &rejected, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        tsm_buf_release(&text);
    }
    assert_int_equal(tsm_engine_sync(e, &err), TSM_OK);
    tsm_engine_stats(e, &st);
    tsm_engine_close(e);
    assert_true(st.files > 8);
    assert_int_equal(st.rows, 120000);
    assert_int_equal(st.durable_rows, 120000);
    assert_int_equal(st.series, SERIES);
    assert_true(st.late > 0);
    check_grid();
}

static void test_order_and_lateness(void **state)
{
    (void)state;
    const char *shard = "data/db/autogen/1";
    struct tsm_engine_stats st = write_run("m,host=h0,x=even a=1.5 1577836800000000000\n"
                                           "m,host=h0,x=even a=2.5 1577837400000000000\n",
                                           NULL);
    assert_int_equal(st.late, 0);
    st = write_run("m,host=h0,x=even a=3.5 1577838000000000000\n", NULL); /* newer */
    assert_int_equal(st.late, 0);
    assert_int_equal(st.files, 1);
    st = write_run("m,host=h0,x=even a=4.5 1577837400000000000\n" /* late */
                   "m,host=h0,x=even a=5.5 1577838600000000000\n" /* newer */
                   "m,host=h1,x=odd a=6.5 1577836800000000000\n", /* another series */
                   NULL);
    assert_int_equal(st.late, 1);
    assert_int_equal(st.files, 2);
    assert_int_equal(count_files(shard, ".tsm"), 4);
    assert_int_equal(count_files(shard, "000000003-000000001.tsm"), 1);
    assert_int_equal(count_files(shard, "500000001-000000001.tsm"), 1);
    memset(model, 0, sizeof model);
    model[0][0][0] = 1;
    model[0][0][1] = 4;
    model[0][0][2] = 3;
    model[0][0][3] = 5;
    model[1][0][0] = 6;
    check_grid();
}

/* Opens the only file of the first shard. */
static struct tsm_reader *open_first_file(void)
{
    struct tsm_reader *r;
    struct tsm_err err;
    char path[200];
    snprintf(path, sizeof path, "%s/data/db/autogen/1/000000001-000000001.tsm", temp_dir);
    if (tsm_reader_open(&tsm_fs_posix, path, &r, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return r;
}

/* The order of an index is that of whole keys, also where a name contains what separates series and field, or a
 * series key is the beginning of another. */
static void test_order_of_keys(void **state)
{
    (void)state;
    write_run("m z=1,f=1 1577836800000000000\n"
              "m#!~#g h=1 1577836800000000000\n"
              "m#!~#g#!~#a b=1 1577836800000000000\n"
              "m! f=1 1577836800000000000\n"
              "m$ f=1 1577836800000000000\n"
              "m# f=1 1577836800000000000\n"
              "m#! f=1 1577836800000000000\n"
              "m,a=b f=1 1577836800000000000\n",
              NULL);
    static const char *const keys[] = {"m!#!~#f", "m#!#!~#f", "m#!~#f",  "m#!~#g#!~#a#!~#b", "m#!~#g#!~#h",
                                       "m#!~#z",  "m##!~#f",  "m$#!~#f", "m,a=b#!~#f"};
    struct tsm_reader *r = open_first_file();
    assert_int_equal(r->nkeys, N(keys));
    for (size_t i = 0; i < N(keys); i++)
        assert_true(tsm_str_eq(tsm_reader_key(r, i), tsm_str_of(keys[i])));
    tsm_reader_close(r);
}

/* Many fields, in an order of their own, and some only later. */
static void test_wide_series(void **state)
{
    (void)state;
    enum { WIDTH = 500 };
    struct tsm_buf text = {0};
    for (int row = 0; row < 3; row++) {
        for (int s = 0; s < 2; s++) {
            tsm_buf_printf(&text, "m,s=%d ", s);
            for (int i = 0; i < WIDTH; i++)
                tsm_buf_printf(&text, "%sf%d=%d", i ? "," : "", (i * 7 + s * 3 + row) % WIDTH, row);
            tsm_buf_printf(&text, " %lld\n", (long long)grid_time(row));
        }
    }
    tsm_buf_printf(&text, "m,s=0 aa=1,zz=2i %lld\n", (long long)grid_time(0));
    write_run(tsm_buf_cstr(&text), NULL);
    tsm_buf_release(&text);
    struct tsm_reader *r = open_first_file(); /* which checks the order */
    struct tsm_values v = {0};
    assert_int_equal(r->nkeys, 2 * WIDTH + 2);
    for (size_t i = 0; i < r->nkeys; i++) {
        struct tsm_entry e = tsm_reader_entry(r, i, 0);
        assert_int_equal(tsm_reader_decode(r, i, &e, &v, NULL), TSM_OK);
        assert_true(v.n == 3 || v.n == 1);
        for (size_t k = 0; k < v.n && v.n == 3; k++)
            assert_true(v.t[k] == grid_time((int)k) && v.v.f[k] == (double)k);
    }
    tsm_values_release(&v);
    tsm_reader_close(r);
}

/* A file is closed before a key has more blocks than the format can count. */
static void test_most_blocks_of_a_key(void **state)
{
    (void)state;
    struct tsm_shard_files files;
    struct tsm_err err;
    assert_int_equal(tsm_shard_files_open(&tsm_fs_posix, temp_dir, NULL, NULL, NULL, &files, &err), TSM_OK);
    struct tsm_flush_file f = {.fs = &tsm_fs_posix, .files = &files, .late = true, .index_memory = SIZE_MAX};
    struct tsm_values v = {0};
    struct tsm_buf block = {0};
    tsm_values_reset(&v, TSM_BOOLEAN, 1);
    tsm_values_add(&v, 1, (union tsm_value){.b = true});
    assert_int_equal(tsm_block_encode(&block, &v, 0, 1, &err), TSM_OK);
    for (int64_t t = 0; t < TSM_MAX_ENTRIES + 10; t++)
        if (tsm_flush_file_block(&f, TSM_STR("m#!~#a"), TSM_BOOLEAN, t, t, block.data, block.len, &err) !=
            TSM_OK)
            fail_msg("%s", err.msg);
    assert_int_equal(
        tsm_flush_file_block(&f, TSM_STR("m#!~#b"), TSM_BOOLEAN, 5, 5, block.data, block.len, &err), TSM_OK);
    assert_int_equal(tsm_flush_file_finish(&f, &err), TSM_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(files.n, 2);
    assert_int_equal(files.files[0].tmax, TSM_MAX_ENTRIES - 1);
    assert_int_equal(files.files[1].tmin, 5);
    assert_int_equal(files.files[1].name.generation, TSM_FIRST_LATE_GENERATION + 1);
    for (size_t i = 0; i < 2; i++) {
        struct tsm_reader *r;
        char *path = tsm_shard_files_path(&files, files.files[i].name);
        assert_int_equal(tsm_reader_open(&tsm_fs_posix, path, &r, &err), TSM_OK);
        assert_int_equal(tsm_reader_entries(r, 0), i ? 10 : TSM_MAX_ENTRIES);
        tsm_reader_close(r);
        tsm_free(path);
    }
    /* And no more files than there are names for. */
    files.next_late = 1000000000;
    assert_int_equal(
        tsm_flush_file_block(&f, TSM_STR("m#!~#a"), TSM_BOOLEAN, 1, 1, block.data, block.len, &err),
        TSM_ELIMIT);
    tsm_flush_file_release(&f);
    tsm_shard_files_release(&files);
    tsm_buf_release(&block);
    tsm_values_release(&v);
}

static void test_types_of_existing_files(void **state)
{
    (void)state;
    struct rejected rejected = {0};
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    struct tsm_engine_stats st = write_run("m,host=h1,x=odd a=1i 1577836800000000000\n"
                                           "m,host=h1,x=odd b=1i 1577836800000000000\n"
                                           "m,host=h1,x=odd a=1i 1579564800000000000\n", /* another shard */
                                           &rejected);
    assert_int_equal(rejected.n, 1);
    assert_int_equal(st.rejected, 1);
    assert_int_equal(st.rows, 2);
    assert_string_equal(rejected.cause,
                        "field type conflict: input field \"a\" on measurement \"m\" is type integer, "
                        "already exists as type float");
    /* When all of it is deleted, the type is free again. */
    char shard[100];
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", temp_dir);
    make_tombstone(shard, "000000001-000000001.tsm", "m,host=h0,x=even#!~#a", INT64_MIN, INT64_MAX);
    rejected.n = 0;
    write_run("m,host=h1,x=odd a=1i 1577836800000000000\n", &rejected);
    assert_int_equal(rejected.n, 0);
}

static void test_retention(void **state)
{
    (void)state;
    struct tsm_meta meta = {0};
    struct tsm_err err;
    int64_t duration = TSM_DAY;
    struct tsm_rp_spec spec = {.name = TSM_STR("day"), .duration = &duration};
    assert_int_equal(tsm_meta_create_database(&meta, DB, &spec, &err), TSM_OK);
    assert_int_equal(tsm_meta_save(&tsm_fs_posix, temp_dir, &meta, &err), TSM_OK);
    tsm_meta_release(&meta);
    struct rejected rejected = {0};
    char text[200];
    snprintf(text, sizeof text, "m a=1 %lld\nm a=2 %lld\nm a=3 5\n", (long long)(tsm_now() - TSM_HOUR),
             (long long)(tsm_now() - 2 * TSM_DAY));
    struct tsm_engine_stats st = write_run(text, &rejected);
    assert_int_equal(rejected.n, 2);
    assert_string_equal(rejected.cause, "points beyond retention policy");
    assert_int_equal(st.rows, 1);
    assert_int_equal(st.durable_rows, 1);
}

static void test_database_and_policy(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_err err;
    opt.rp = TSM_STR("other");
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1\n"), NULL, NULL, &err), TSM_OK);
    opt.rp = TSM_STR("third");
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR(""), NULL, NULL, &err), TSM_OK);
    struct tsm_meta meta = {0};
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, temp_dir, &meta, &err), TSM_OK);
    struct tsm_database *db = tsm_meta_database(&meta, DB);
    assert_non_null(db);
    assert_int_equal(db->nrps, 2);
    assert_true(tsm_str_eq(db->default_rp, TSM_STR("other")));
    assert_non_null(tsm_meta_rp(db, TSM_STR("third")));
    assert_int_equal(tsm_meta_rp(db, TSM_STR("third"))->shard_group_duration, TSM_WEEK);
    tsm_meta_release(&meta);
    opt.database = TSM_STR("../up");
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1\n"), NULL, NULL, &err), TSM_EQUERY);
    opt.database = TSM_STR("");
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1\n"), NULL, NULL, &err), TSM_EUSAGE);
}

static void test_lock(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *one, *two;
    struct tsm_err err;
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &opt, &one, &err), TSM_OK);
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &opt, &two, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "held by test, process "));
    tsm_engine_close(one);
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &opt, &two, &err), TSM_OK);
    tsm_engine_close(two);
}

static void test_dry_run(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine_stats st;
    struct rejected rejected = {0};
    struct tsm_err err;
    char missing[100];
    snprintf(missing, sizeof missing, "%s/missing", temp_dir);
    opt.dir = missing;
    opt.dry_run = true;
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1\nm a=1i 2\nm\n"), &st, &rejected, &err),
                     TSM_OK);
    assert_int_equal(st.rows, 1);
    assert_int_equal(rejected.n, 2);
    assert_int_equal(st.durable_rows, 0);
    assert_false(tsm_fs_exists(&tsm_fs_posix, missing));
}

/* Unfinished flushes go; what a compactor or anyone else left stays. So does nothing that influxd derives. */
static void test_left_overs(void **state)
{
    (void)state;
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    write_bytes("data/db/autogen/1/000000009-000000001.tsm.tmp", "x", 1);
    write_bytes("data/db/autogen/1/500000009-000000001.tsm.tmp", "x", 1);
    write_bytes("data/db/autogen/1/000000001-000000002.tsm.tmp", "x", 1);
    write_bytes("data/db/autogen/1/notes.txt", "x", 1);
    write_bytes("data/db/autogen/1/fields.idx", "x", 1);
    write_run("m,host=h0,x=even a=2.5 1577837400000000000\n", NULL);
    assert_int_equal(count_files("data/db/autogen/1", "-000000001.tsm.tmp"), 0);
    assert_int_equal(count_files("data/db/autogen/1", "-000000002.tsm.tmp"), 1);
    assert_int_equal(count_files("data/db/autogen/1", "notes.txt"), 1);
    assert_int_equal(count_files("data/db/autogen/1", "fields.idx"), 0);
}

/* A file that cannot be read may hide newer values: all that comes goes to out-of-order files, which win. */
static void test_damaged_file(void **state)
{
    (void)state;
    write_run("m,host=h0,x=even a=1.5 1577836800000000000\n", NULL);
    write_run("m,host=h0,x=even a=2.5 1577837400000000000\n", NULL);
    char shard[100];
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", temp_dir);
    damage_file(shard, "000000002-000000001.tsm", 0);
    warnings = 0;
    struct tsm_engine_stats st = write_run("m,host=h0,x=even a=3.5 1577838000000000000\n", NULL);
    assert_int_equal(st.late, 1);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "000000002-000000001.tsm: offset 0: not a TSM file"));
    assert_int_equal(count_files("data/db/autogen/1", "500000001-000000001.tsm"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs_against_a_model, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_many_flushes, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_order_and_lateness, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_order_of_keys, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_wide_series, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_most_blocks_of_a_key, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_types_of_existing_files, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_retention, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_database_and_policy, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_lock, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_dry_run, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_left_overs, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_damaged_file, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
