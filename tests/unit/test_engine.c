/* tests/unit/test_engine.c: the writer of a data directory against a model, over several runs, with influxd's
 * logs, damaged files and a disk that fails at every call. */
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
#include "base/time.h"
#include "faulty_fs.h"
#include "format/meta_db.h"
#include "shard_maker.h"
#include "store/data_dir.h"
#include "codec/block.h"
#include "store/engine.h"
#include "store/flush_file.h"
#include "store/scan.h"
#include "wal_maker.h"

#define N(array) (sizeof(array) / sizeof *(array))
#define DB TSM_STR("db")
#define START 1577836800000000000 /* 2020-01-01, a Wednesday: shards start on Mondays */

static char dir[64];
static uint64_t seed;

static int make_temp(void **state)
{
    (void)state;
    /* In memory, where there is such a place: the tests call fsync some ten thousand times. */
    snprintf(dir, sizeof dir, "%s/tsmkit-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_temp(void **state)
{
    (void)state;
    return tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
}

static uint64_t next_random(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int below(int n)
{
    return (int)(next_random() % (uint64_t)n);
}

/* ---- the model: a grid of series, fields and times; 0 is no value ---- */

enum { SERIES = 6, FIELDS = 2, TIMES = 3000 };
static const int64_t time_step = 10 * TSM_MINUTE; /* so that the grid has four shards */

typedef int32_t grid[SERIES][FIELDS][TIMES];

static int64_t grid_time(int t)
{
    return START + t * time_step;
}

/* One line: field a is a float, b an integer. */
static void put_line(struct tsm_buf *text, grid g, int s, int t, int fields, int32_t v)
{
    tsm_buf_printf(text, "m,host=h%d,x=%s ", s, s % 2 ? "odd" : "even");
    if (fields & 1) {
        tsm_buf_printf(text, "a=%d.5%s", v, fields & 2 ? "," : "");
        g[s][0][t] = v;
    }
    if (fields & 2) {
        tsm_buf_printf(text, "b=%di", v);
        g[s][1][t] = v;
    }
    tsm_buf_printf(text, " %lld\n", (long long)grid_time(t));
}

/* Lines in one of several orders. */
static void put_lines(struct tsm_buf *text, grid g, int n)
{
    int order = below(4), at = below(TIMES), s = below(SERIES);
    for (int i = 0; i < n; i++) {
        switch (order) {
        case 0: /* series by series */
            if (++at == TIMES) {
                at = 0;
                s = (s + 1) % SERIES;
            }
            break;
        case 1: /* in time order */
            s = (s + 1) % SERIES;
            at = (at + (s == 0)) % TIMES;
            break;
        case 2: /* near each other */
            s = below(SERIES);
            at = (at + below(9)) % TIMES;
            at = at >= 4 ? at - 4 : 0;
            break;
        default:
            s = below(SERIES);
            at = below(TIMES);
        }
        put_line(text, g, s, at, 1 + below(3), 1 + below(1000000));
    }
}

/* ---- writing ---- */

struct rejected {
    int n;
    char cause[1024];
};

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct rejected *r = ctx;
    (void)line;
    (void)text;
    r->n++;
    snprintf(r->cause, sizeof r->cause, "%s", cause);
}

static int warnings;
static char last_warning[1024];

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

static struct tsm_engine_options engine_options(void)
{
    return (struct tsm_engine_options){
        .dir = dir, .database = DB, .holder = "test", .memory = 4 << 20, .jobs = 2, .warn = on_warning};
}

static int write_text(struct tsm_engine *e, struct tsm_str text, struct rejected *rejected,
                      struct tsm_err *err)
{
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    tsm_line_parse(text, &opt, &points, on_reject, rejected);
    int rc = tsm_engine_write(e, &points, on_reject, rejected, err);
    tsm_points_release(&points);
    return rc;
}

/* A whole run: open, write, sync, close. */
static int run_engine(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_str text,
                      struct tsm_engine_stats *stats, struct rejected *rejected, struct tsm_err *err)
{
    struct tsm_engine *e;
    struct tsm_engine_stats ignored_stats;
    struct rejected ignored = {0};
    int rc = tsm_engine_open(fs, opt, &e, err);
    if (rc != TSM_OK)
        return rc;
    rc = write_text(e, text, rejected ? rejected : &ignored, err);
    if (rc == TSM_OK)
        rc = tsm_engine_sync(e, err);
    tsm_engine_stats(e, stats ? stats : &ignored_stats);
    tsm_engine_close(e);
    return rc;
}

static struct tsm_engine_stats write_run(const char *text, struct rejected *rejected)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine_stats stats;
    struct tsm_err err;
    if (run_engine(&tsm_fs_posix, &opt, tsm_str_of(text), &stats, rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return stats;
}

/* ---- reading back ---- */

/* Reads everything in the directory into g, and checks the rules that files keep. */
static void read_shard(uint64_t id, grid g)
{
    struct tsm_shard *s;
    struct tsm_err err;
    char *path = tsm_path_shard(dir, DB, TSM_STR("autogen"), id),
         *wal = tsm_path_wal(dir, DB, TSM_STR("autogen"), id);
    int rc = tsm_shard_open(&tsm_fs_posix, path, wal, NULL, &s, &err);
    tsm_free(wal);
    tsm_free(path);
    if (rc == TSM_ENOTFOUND)
        return;
    if (rc != TSM_OK)
        fail_msg("%s", err.msg);
    struct tsm_scan *sc = tsm_scan_new();
    for (size_t i = 0; i < s->nkeys; i++) {
        struct tsm_str key = tsm_shard_key(s, i);
        int number = key.p[strlen("m,host=h")] - '0', field = key.p[key.n - 1] - 'a';
        const struct tsm_values *v;
        assert_in_range(number, 0, SERIES - 1);
        assert_in_range(field, 0, FIELDS - 1);
        assert_int_equal(tsm_scan_start(sc, s, i, INT64_MIN, INT64_MAX, &err), TSM_OK);
        while ((rc = tsm_scan_next(sc, &v, &err)) == TSM_OK && v) {
            for (size_t k = 0; k < v->n; k++) {
                int64_t t = (v->t[k] - START) / time_step;
                assert_in_range(t, 0, TIMES - 1);
                assert_int_equal(g[number][field][t], 0);
                g[number][field][t] = field ? (int32_t)v->v.i[k] : (int32_t)v->v.f[k];
                assert_true(field || v->v.f[k] - 0.5 == (int32_t)v->v.f[k]);
            }
        }
        if (rc != TSM_OK)
            fail_msg("%s", err.msg);
    }
    /* Blocks of ordered files never overlap. */
    for (size_t i = 1; i < s->nfiles; i++) {
        for (size_t k = 0; k < s->files[i]->nkeys && !strstr(s->files[i]->path, "/5000"); k++) {
            for (size_t other = 0; other < i; other++) {
                bool found;
                size_t at = tsm_reader_seek(s->files[other], tsm_reader_key(s->files[i], k), &found);
                if (found)
                    assert_true(
                        tsm_reader_entry(s->files[other], at, tsm_reader_entries(s->files[other], at) - 1)
                            .tmax < tsm_reader_entry(s->files[i], k, 0).tmin);
            }
        }
    }
    tsm_scan_free(sc);
    tsm_shard_close(s);
}

static void read_grid(grid g)
{
    struct tsm_meta meta = {0};
    struct tsm_err err;
    memset(g, 0, sizeof(grid));
    if (tsm_meta_load(&tsm_fs_posix, dir, &meta, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    struct tsm_database *db = tsm_meta_database(&meta, DB);
    struct tsm_rp *rp = db ? tsm_meta_rp(db, TSM_STR("autogen")) : NULL;
    for (size_t i = 0; rp && i < rp->ngroups; i++)
        read_shard(rp->groups[i].shards[0], g);
    tsm_meta_release(&meta);
}

static grid model, found;

static void check_grid(void)
{
    read_grid(found);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS; f++)
            for (int t = 0; t < TIMES; t++)
                if (model[s][f][t] != found[s][f][t])
                    fail_msg("series %d field %d time %d: %d instead of %d", s, f, t, found[s][f][t],
                             model[s][f][t]);
}

static int count_files(const char *sub, const char *suffix)
{
    struct tsm_names names;
    char path[200];
    int n = 0;
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    if (tsm_fs_list(&tsm_fs_posix, path, &names, NULL) != TSM_OK)
        return 0;
    for (size_t i = 0; i < names.n; i++) {
        size_t len = strlen(names.names[i]), want = strlen(suffix);
        n += len >= want && strcmp(names.names[i] + len - want, suffix) == 0;
    }
    tsm_names_release(&names);
    return n;
}

/* ---- the tests ---- */

static void test_runs_against_a_model(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL), TSM_OK);
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
    snprintf(path, sizeof path, "%s/data/db/autogen/1/000000001-000000001.tsm", dir);
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
    assert_int_equal(tsm_shard_files_open(&tsm_fs_posix, dir, NULL, NULL, NULL, &files, &err), TSM_OK);
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
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", dir);
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
    assert_int_equal(tsm_meta_save(&tsm_fs_posix, dir, &meta, &err), TSM_OK);
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
    assert_int_equal(tsm_meta_load(&tsm_fs_posix, dir, &meta, &err), TSM_OK);
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
    snprintf(missing, sizeof missing, "%s/missing", dir);
    opt.dir = missing;
    opt.dry_run = true;
    assert_int_equal(run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1\nm a=1i 2\nm\n"), &st, &rejected, &err),
                     TSM_OK);
    assert_int_equal(st.rows, 1);
    assert_int_equal(rejected.n, 2);
    assert_int_equal(st.durable_rows, 0);
    assert_false(tsm_fs_exists(&tsm_fs_posix, missing));
}

static void write_bytes(const char *sub, const void *p, size_t n)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    struct tsm_err err;
    if (tsm_fs_write_file(&tsm_fs_posix, path, tsm_str(p, n), &err) != TSM_OK)
        fail_msg("%s", err.msg);
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
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", dir);
    damage_file(shard, "000000002-000000001.tsm", 0);
    warnings = 0;
    struct tsm_engine_stats st = write_run("m,host=h0,x=even a=3.5 1577838000000000000\n", NULL);
    assert_int_equal(st.late, 1);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "000000002-000000001.tsm: offset 0: not a TSM file"));
    assert_int_equal(count_files("data/db/autogen/1", "500000001-000000001.tsm"), 1);
}

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
    snprintf(shard, sizeof shard, "%s/data/db/autogen/1", dir);
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
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", dir);
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
    model[0][0][(1579564800000000000 - START) / time_step] = 7;
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
    int last = (int)((1578268800000000000 - START) / time_step); /* the first shard ends there */
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
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", dir);
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
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/1", dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    write_bytes("wal/db/autogen/1/_00001.wal", "\7\0\0\0\1x\7\0\0\0\1x", 12);
    assert_int_equal(
        run_engine(&tsm_fs_posix, &opt, TSM_STR("m a=1 1577836800000000000\n"), NULL, NULL, &err),
        TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, "_00001.wal"));
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 1);
}

/* ---- a failing disk ---- */

static grid before, after;

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

static void fail_everywhere(int error, bool for_good, bool with_log)
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
    for (long at = 1; failed; at++) {
        assert_true(at < 2000);
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL), TSM_OK);
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
        int rc = run_engine(&f.fs, &opt, text, &st, NULL, &err);
        failed = atomic_load(&f.calls) >= at;
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
    tsm_buf_release(&one);
    tsm_buf_release(&two);
}

static void test_every_call_fails_once(void **state)
{
    (void)state;
    fail_everywhere(EIO, false, false);
}

static void test_disk_is_full_from_some_call_on(void **state)
{
    (void)state;
    fail_everywhere(ENOSPC, true, false);
}

static void test_disk_fails_while_a_log_is_taken(void **state)
{
    (void)state;
    fail_everywhere(EIO, true, true);
    fail_everywhere(EIO, false, true);
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
        cmocka_unit_test_setup_teardown(test_log_is_taken_first, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_large_log, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_damaged_log, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_every_call_fails_once, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_disk_is_full_from_some_call_on, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_disk_fails_while_a_log_is_taken, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_full_disk_leaves_nothing, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
