/* tests/unit/test_engine_wal.c: the engine with a log, against a model: killed and opened again at any point, deletes of
 * another process beside it, damage in the log, marks and clocks, and a disk that fails at every call. */
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
#include "engine_grid.h"
#include "faulty_fs.h"
#include "shard_maker.h"
#include "store/data_dir.h"
#include "store/delete.h"
#include "store/shard_wal.h"
#include "wal_maker.h"

#define LONG (1000 * TSM_HOUR)

static struct tsm_engine_options wal_options(void)
{
    struct tsm_engine_options opt = engine_options();
    opt.wal = true;
    opt.sync_interval = LONG;
    return opt;
}

static struct tsm_engine *open_engine(const struct tsm_engine_options *opt)
{
    struct tsm_engine *e;
    struct tsm_err err;
    if (tsm_engine_open(&tsm_fs_posix, opt, &e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return e;
}

static void write_to(struct tsm_engine *e, struct tsm_str text)
{
    struct rejected rejected = {0};
    struct tsm_err err;
    if (write_text(e, text, &rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(rejected.n, 0);
}

static void write_lines(struct tsm_engine *e, int n)
{
    struct tsm_buf text = {0};
    put_lines(&text, model, n);
    write_to(e, tsm_buf_view(&text));
    tsm_buf_release(&text);
}

static void sync_engine(struct tsm_engine *e)
{
    struct tsm_err err;
    if (tsm_engine_sync(e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

/* Segments in all logs. */
static int count_segments(void)
{
    int n = 0;
    for (int shard = 1; shard <= 8; shard++) {
        char sub[60];
        snprintf(sub, sizeof sub, "wal/db/autogen/%d", shard);
        n += count_files(sub, ".log");
    }
    return n;
}

/* ---- killed, and opened again ---- */

static void test_killed_and_opened_again(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct tsm_engine_options opt = wal_options();
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        memset(model, 0, sizeof model);
        seed = 100 + (uint64_t)round;
        opt.memory = round % 3 == 0 ? 1 << 20 : 4 << 20;
        for (int run = 0; run < 5; run++) {
            struct tsm_engine_stats st;
            opt.wal = run != 3; /* replayed all the same */
            struct tsm_engine *e = open_engine(&opt);
            assert_int_equal(count_segments(), 0);
            tsm_engine_stats(e, &st);
            assert_true(run == 0 || st.replayed > 0);
            for (int part = below(20); part >= 0; part--) {
                write_lines(e, 1 + below(1500));
                if (below(8) == 0)
                    sync_engine(e);
            }
            if (!opt.wal)
                sync_engine(e);
            write_lines(e, opt.wal ? 5 : 0);
            tsm_engine_close(e); /* what is in memory alone is lost */
            opt.wal = true;
            if (run == 3)
                write_lines(e = open_engine(&opt), 7), tsm_engine_close(e);
        }
        tsm_engine_close(open_engine(&opt));
        assert_int_equal(count_segments(), 0);
        check_grid();
    }
}

/* Points that are not stored are not in the log either, nor is a field named time. */
static void test_rejects(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine *e = open_engine(&opt);
    struct rejected rejected = {0};
    struct tsm_err err;
    assert_int_equal(write_text(e,
                                TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"
                                        "m,host=h1,x=odd a=7i 1577836800000000000\n"
                                        "m,host=h2,x=even a=2.5,time=3 1577836800000000000\n"
                                        "m,host=h3,x=odd a=3.5,b=1i 1577836800000000000\n"
                                        "m,host=h4,x=even time=3 1577836800000000000\n"
                                        "m,x=odd,host=h5 a=4.5 1577836800000000000\n"),
                                &rejected, &err),
                     TSM_OK);
    assert_int_equal(rejected.n, 2);
    tsm_engine_close(e);
    warnings = 0;
    e = open_engine(&opt);
    struct tsm_engine_stats st;
    tsm_engine_stats(e, &st);
    assert_int_equal(st.replayed, 4);
    assert_int_equal(st.rows, 0);
    assert_int_equal(st.dropped_fields, 0);
    tsm_engine_close(e);
    assert_int_equal(warnings, 0);
    memset(model, 0, sizeof model);
    model[0][0][0] = 1;
    model[2][0][0] = 2;
    model[3][0][0] = 3;
    model[3][1][0] = 1;
    model[5][0][0] = 4;
    check_grid();
}

/* A batch over more shards than may have a log open at a time. */
static void test_many_shards(void **state)
{
    (void)state;
    enum { SHARDS = 300 };
    struct tsm_engine_options opt = wal_options();
    struct tsm_buf text = {0};
    for (int i = 0; i < 3 * SHARDS; i++)
        tsm_buf_printf(&text, "m v=%d %lld\n", i, (long long)(START + i % SHARDS * TSM_WEEK + i));
    struct tsm_engine *e = open_engine(&opt);
    write_to(e, tsm_buf_view(&text));
    tsm_engine_close(e);
    struct tsm_engine_stats st;
    e = open_engine(&opt);
    tsm_engine_stats(e, &st);
    assert_true(st.replayed > 0);
    tsm_engine_close(e);
    int files = 0;
    for (int i = 1; i <= SHARDS; i++) {
        char sub[60];
        snprintf(sub, sizeof sub, "data/db/autogen/%d", i);
        assert_true(count_files(sub, ".tsm") > 0);
        files += count_files(sub, ".tsm");
        snprintf(sub, sizeof sub, "wal/db/autogen/%d", i);
        assert_int_equal(count_files(sub, ".log"), 0);
    }
    assert_true(files >= SHARDS);
    tsm_buf_release(&text);
}

/* influxd's log beside ours: it came later, as ours would have taken it first. */
static void test_log_of_influxd(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine *e = open_engine(&opt);
    write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"
                        "m,host=h0,x=even a=2.5 1577837400000000000\n"));
    tsm_engine_close(e);
    struct tsm_values v = {0};
    struct tsm_buf content = {0}, segment = {0};
    tsm_values_reset(&v, TSM_FLOAT, 1);
    tsm_values_add(&v, grid_time(1), (union tsm_value){.f = 5.5});
    wal_add_values(&content, TSM_STR("m,host=h0,x=even#!~#a"), &v);
    wal_add_record(&segment, 1, content.data, content.len);
    write_bytes("wal/db/autogen/1/_00001.wal", segment.data, segment.len);
    tsm_engine_close(open_engine(&opt));
    assert_int_equal(count_segments(), 0);
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 0);
    memset(model, 0, sizeof model);
    model[0][0][0] = 1;
    model[0][0][1] = 5;
    check_grid();
    tsm_buf_release(&content);
    tsm_buf_release(&segment);
    tsm_values_release(&v);
}

/* ---- deletes of another process ---- */

/* As a delete works: tombstones beside the files, a record in the log, with all locks of the log. */
static void delete_from_shard(int shard, const char *key, int64_t tmin, int64_t tmax)
{
    struct tsm_wal_guard g;
    struct tsm_err err;
    struct tsm_names names;
    struct tsm_buf payload = {0};
    char dir[200], wal[200];
    snprintf(dir, sizeof dir, "%s/data/db/autogen/%d", temp_dir, shard);
    snprintf(wal, sizeof wal, "%s/wal/db/autogen/%d", temp_dir, shard);
    if (tsm_wal_guard_take(&tsm_fs_posix, wal, &g, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    if (tsm_fs_list(&tsm_fs_posix, dir, &names, NULL) == TSM_OK) {
        for (size_t i = 0; i < names.n; i++)
            if (strlen(names.names[i]) > 4 &&
                strcmp(names.names[i] + strlen(names.names[i]) - 4, ".tsm") == 0)
                make_tombstone(dir, names.names[i], key, tmin, tmax);
        tsm_names_release(&names);
    }
    tsm_wal_delete_begin(&payload, tmin, tmax);
    tsm_wal_delete_key(&payload, tsm_str_of(key));
    if (tsm_wal_guard_delete(&g, tsm_buf_view(&payload), &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_wal_guard_release(&g);
    tsm_buf_release(&payload);
}

static bool is_wanted(void *ctx, struct tsm_str series)
{
    return tsm_str_eq(series, tsm_str_of(ctx));
}

/* The same for both fields of a series, by the real thing. */
static void delete_series(void)
{
    char series[40];
    int s = below(SERIES), from = below(TIMES), to = from + below(300);
    if (to >= TIMES)
        to = TIMES - 1;
    snprintf(series, sizeof series, "m,host=h%d,x=%s", s, s % 2 ? "odd" : "even");
    for (int shard = 1; shard <= 8; shard++) {
        char dir[200], wal[200];
        struct tsm_err err;
        snprintf(dir, sizeof dir, "%s/data/db/autogen/%d", temp_dir, shard);
        snprintf(wal, sizeof wal, "%s/wal/db/autogen/%d", temp_dir, shard);
        struct tsm_delete d = {.fs = &tsm_fs_posix,
                               .dir = dir,
                               .wal = wal,
                               .holder = "test",
                               .tmin = grid_time(from),
                               .tmax = grid_time(to),
                               .wanted = is_wanted,
                               .ctx = series};
        if (tsm_delete_run(&d, &err) != TSM_OK)
            fail_msg("%s", err.msg);
    }
    for (int t = from; t <= to; t++)
        model[s][0][t] = model[s][1][t] = 0;
}

static void delete_range(void)
{
    if (below(2)) {
        delete_series();
        return;
    }
    char key[60];
    int s = below(SERIES), f = below(FIELDS), from = below(TIMES), to = from + below(below(2) ? 50 : TIMES);
    if (to >= TIMES)
        to = TIMES - 1;
    snprintf(key, sizeof key, "m,host=h%d,x=%s#!~#%c", s, s % 2 ? "odd" : "even", 'a' + f);
    for (int shard = 1; shard <= 8; shard++)
        delete_from_shard(shard, key, grid_time(from), grid_time(to));
    for (int t = from; t <= to; t++)
        model[s][f][t] = 0;
}

static void run_with_deletes(uint64_t first_seed, int rounds, size_t memory, int64_t flush_interval)
{
    for (int round = 0; round < rounds; round++) {
        struct tsm_engine_options opt = wal_options();
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        memset(model, 0, sizeof model);
        seed = first_seed + (uint64_t)round;
        opt.memory = memory;
        opt.flush_interval = flush_interval;
        for (int run = 0; run < 4; run++) {
            struct tsm_engine *e = open_engine(&opt);
            for (int part = 5 + below(30); part >= 0; part--) {
                write_lines(e, 1 + below(800));
                for (int i = below(4); i > 0; i--)
                    delete_range();
                if (below(10) == 0)
                    check_grid(); /* as a reader sees it beside the writer */
                if (below(15) == 0)
                    sync_engine(e);
            }
            if (below(2))
                sync_engine(e);
            tsm_engine_close(e);
            for (int i = below(4); i > 0; i--)
                delete_range();
            if (below(2)) {
                tsm_engine_close(open_engine(&opt));
                check_grid();
            }
        }
        tsm_engine_close(open_engine(&opt));
        assert_int_equal(count_segments(), 0);
        check_grid();
    }
}

static void test_deletes_beside_the_writer(void **state)
{
    (void)state;
    run_with_deletes(200, 6, 4 << 20, 0);
}

/* With a flush running most of the time. */
static void test_deletes_beside_flushes(void **state)
{
    (void)state;
    run_with_deletes(300, 6, 4 << 20, 1);
    run_with_deletes(400, 3, 1 << 20, 0);
}

/* The order in a batch that a delete gets ahead of. */
static void test_rewritten_after_a_delete(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    for (int killed = 0; killed < 2; killed++) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        struct tsm_engine *e = open_engine(&opt);
        write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"
                            "m,host=h0,x=even a=2.5 1577837400000000000\n"));
        delete_from_shard(1, "m,host=h0,x=even#!~#a", INT64_MIN, INT64_MAX);
        write_to(e, TSM_STR("m,host=h0,x=even a=3.5 1577837400000000000\n"
                            "m,host=h0,x=even a=4.5 1577837400000000000\n"));
        if (!killed)
            sync_engine(e);
        tsm_engine_close(e);
        if (killed)
            tsm_engine_close(open_engine(&opt));
        memset(model, 0, sizeof model);
        model[0][0][1] = 4;
        check_grid();
    }
}

/* A log that is flushed in several parts, with deletes between them. */
static void test_large_log(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    memset(model, 0, sizeof model);
    seed = 500;
    opt.memory = 64 << 20;
    struct tsm_engine *e = open_engine(&opt);
    for (int part = 0; part < 300; part++) {
        write_lines(e, 1000);
        if (below(3) == 0)
            delete_range();
    }
    tsm_engine_close(e);
    struct tsm_engine_stats st;
    opt.memory = 1 << 20;
    e = open_engine(&opt);
    tsm_engine_stats(e, &st);
    tsm_engine_close(e);
    assert_true(st.files > 8);
    assert_int_equal(st.replayed, 300000);
    check_grid();
}

/* ---- damage ---- */

static void change_segment(const char *name, long offset, long size)
{
    struct tsm_buf bytes = {0};
    char *path = in_temp(name);
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, path, 1 << 20, &bytes, NULL), TSM_OK);
    if (offset >= 0)
        bytes.data[offset] ^= 0x10;
    if (size < 0)
        bytes.len -= (size_t)-size;
    write_bytes(name, bytes.data, bytes.len);
    tsm_buf_release(&bytes);
}

static void test_damage(void **state)
{
    (void)state;
    static const char segment[] = "wal/db/autogen/1/000000001.log";
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine_stats st;
    long size = 0;
    for (long at = 0; at < (size ? size : 1); at += 3) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        struct tsm_engine *e = open_engine(&opt);
        write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"));
        struct tsm_fs_stat one, all;
        assert_int_equal(tsm_fs_posix.stat(NULL, in_temp(segment), &one), 0);
        write_to(e, TSM_STR("m,host=h0,x=even a=2.5 1577837400000000000\n"));
        write_to(e, TSM_STR("m,host=h0,x=even a=3.5 1577838000000000000\n"));
        tsm_engine_close(e);
        assert_int_equal(tsm_fs_posix.stat(NULL, in_temp(segment), &all), 0);
        size = (long)all.size;
        change_segment(segment, at, 0);
        warnings = 0;
        e = open_engine(&opt);
        tsm_engine_stats(e, &st);
        tsm_engine_close(e);
        assert_int_equal(st.replayed, 2);
        assert_int_equal(warnings, 1);
        assert_non_null(strstr(last_warning, segment));
        int bad = (int)(at / (long)one.size);
        char offset[40];
        snprintf(offset, sizeof offset, "offset %d", bad * (int)one.size);
        if (at < 2 * (long)one.size && !strstr(last_warning, offset))
            fail_msg("byte %ld: %s", at, last_warning);
        memset(model, 0, sizeof model);
        for (int t = 0; t < 3; t++)
            model[0][0][t] = t == bad ? 0 : t + 1;
        check_grid();
        assert_int_equal(count_segments(), 0);
        /* Of the last record, a length that is damaged cannot be told from an end that is missing. */
        if (bad < 2)
            assert_int_equal(count_files("wal/db/autogen/1", ".log.bad"), 1);
    }
}

static void test_torn_end(void **state)
{
    (void)state;
    static const char segment[] = "wal/db/autogen/1/000000001.log";
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine_stats st;
    for (long missing = 1; missing < 50; missing += 4) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        struct tsm_engine *e = open_engine(&opt);
        write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"));
        write_to(e, TSM_STR("m,host=h0,x=even a=2.5 1577837400000000000\n"));
        tsm_engine_close(e);
        change_segment(segment, -1, -missing);
        warnings = 0;
        e = open_engine(&opt);
        tsm_engine_stats(e, &st);
        tsm_engine_close(e);
        assert_int_equal(st.replayed, 1);
        assert_int_equal(warnings, 1);
        assert_non_null(strstr(last_warning, "000000001.log: the last record is unfinished"));
        memset(model, 0, sizeof model);
        model[0][0][0] = 1;
        check_grid();
        assert_int_equal(count_files("wal/db/autogen/1", ".bad"), 0);
        assert_int_equal(count_segments(), 0);
    }
}

static void test_log_of_an_unknown_shard(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine *e = open_engine(&opt);
    write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"));
    tsm_engine_close(e);
    assert_int_equal(rename(in_temp("wal/db/autogen/1"), in_temp("wal/db/autogen/7")), 0);
    warnings = 0;
    tsm_engine_close(open_engine(&opt));
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "wal/db/autogen/7"));
    assert_int_equal(count_segments(), 1);
}

/* ---- marks and clocks ---- */

static const struct tsm_points nothing;

static void test_marks(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine_stats st;
    struct tsm_err err;
    struct tsm_engine *e = open_engine(&opt);
    assert_int_equal(tsm_engine_durable(e), tsm_engine_mark(e));
    write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"));
    uint64_t first = tsm_engine_mark(e);
    assert_true(tsm_engine_durable(e) < first); /* the interval is long */
    assert_int_equal(tsm_engine_write(e, &nothing, NULL, NULL, &err), TSM_OK);
    assert_true(tsm_engine_durable(e) < first);
    sync_engine(e);
    assert_int_equal(tsm_engine_durable(e), first);
    write_to(e, TSM_STR("m,host=h0,x=even a=2.5 1577837400000000000\n"));
    assert_int_equal(tsm_engine_durable(e), first);
    assert_true(tsm_engine_mark(e) > first);
    tsm_engine_stats(e, &st);
    assert_int_equal(st.rows, 2);
    assert_int_equal(st.durable_rows, 1);
    assert_int_equal(st.log_syncs, 0);
    assert_int_equal(st.log_records, 2);
    tsm_engine_close(e);

    /* After each batch. */
    opt.sync_interval = 0;
    e = open_engine(&opt);
    for (int i = 0; i < 3; i++) {
        write_lines(e, 100);
        assert_int_equal(tsm_engine_durable(e), tsm_engine_mark(e));
        tsm_engine_stats(e, &st);
        assert_int_equal(st.durable_rows, 100 * (i + 1));
        assert_int_equal(st.files > 1, 0);
    }
    assert_true(count_segments() > 0);
    tsm_engine_close(e);

    /* By the clock, while nothing comes. */
    opt.sync_interval = 1;
    e = open_engine(&opt);
    write_to(e, TSM_STR("m,host=h0,x=even a=2.5 1577837400000000000\n"));
    usleep(10);
    assert_int_equal(tsm_engine_write(e, &nothing, NULL, NULL, &err), TSM_OK);
    assert_int_equal(tsm_engine_durable(e), tsm_engine_mark(e));
    tsm_engine_close(e);
}

static void test_flush_interval(void **state)
{
    (void)state;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine_stats st;
    struct tsm_err err;
    for (int wal = 0; wal < 2; wal++) {
        opt.wal = wal;
        opt.flush_interval = 1;
        struct tsm_engine *e = open_engine(&opt);
        write_to(e, TSM_STR("m,host=h0,x=even a=1.5 1577836800000000000\n"));
        for (int i = 0; i < 10000; i++) {
            assert_int_equal(tsm_engine_write(e, &nothing, NULL, NULL, &err), TSM_OK);
            tsm_engine_stats(e, &st);
            if (st.files == 1)
                break;
            usleep(1000);
        }
        assert_int_equal(st.files, 1);
        assert_int_equal(st.durable_rows, 1);
        tsm_engine_close(e);
        assert_int_equal(count_segments(), 0);
    }
}

/* ---- a failing disk ---- */

static grid acknowledged, attempted, found;

/* Each value is what was acknowledged last or what was being written, and nothing acknowledged is gone. */
static void check_acknowledged(long at)
{
    read_grid(found);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS; f++)
            for (int t = 0; t < TIMES; t++) {
                int32_t v = found[s][f][t];
                if (v != acknowledged[s][f][t] && v != attempted[s][f][t])
                    fail_msg("failure %ld: series %d field %d time %d: %d, acknowledged %d, attempted %d", at,
                             s, f, t, v, acknowledged[s][f][t], attempted[s][f][t]);
            }
}

struct full_disk {
    struct faulty_fs f;
    struct tsm_engine *engine;
    uint64_t durable_rows; /* when the wait began */
    int waits;
};

static bool make_room(void *ctx, enum tsm_room_event event, const char *message)
{
    struct full_disk *d = ctx;
    struct tsm_engine_stats st;
    if (event == TSM_ROOM_NONE) {
        tsm_engine_stats(d->engine, &st);
        d->durable_rows = st.durable_rows;
        assert_non_null(strstr(message, ".log: No space left on device"));
    }
    d->f.fail_at = 0;
    d->waits++;
    return true;
}

/* What came before is made durable at once; what does not fit waits, and goes on by itself. */
static void test_full_disk(void **state)
{
    (void)state;
    struct full_disk d = {0};
    struct tsm_engine_options opt = wal_options();
    struct rejected rejected = {0};
    struct tsm_err err;
    memset(model, 0, sizeof model);
    seed = 700;
    faulty_fs_init(&d.f);
    d.f.kinds = FAULTY_WRITE;
    d.f.error = ENOSPC;
    d.f.for_good = true;
    opt.room = make_room;
    opt.room_ctx = &d;
    assert_int_equal(tsm_engine_open(&d.f.fs, &opt, &d.engine, &err), TSM_OK);
    for (int part = 1; part <= 2; part++) {
        struct tsm_buf text = {0};
        put_lines(&text, model, 100);
        d.f.calls = 0;
        d.f.fail_at = part == 2;
        d.f.short_write = part == 2 ? 50 : 0;
        if (write_text(d.engine, tsm_buf_view(&text), &rejected, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        tsm_buf_release(&text);
    }
    assert_int_equal(d.durable_rows, 100);
    assert_true(d.waits >= 2);
    tsm_engine_close(d.engine);
    tsm_engine_close(open_engine(&opt));
    check_grid();
}

static bool give_up(void *ctx, enum tsm_room_event event, const char *message)
{
    (void)ctx;
    (void)event;
    (void)message;
    return false;
}

/* A flush that finds no room and is not to wait: what has been logged counts, and is there after a restart. */
static void test_log_outlives_a_flush_without_room(void **state)
{
    (void)state;
    struct faulty_fs f;
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine_stats st;
    struct tsm_engine *e;
    struct tsm_err err;
    memset(model, 0, sizeof model);
    seed = 800;
    faulty_fs_init(&f);
    f.kinds = FAULTY_WRITE;
    f.error = ENOSPC;
    f.for_good = true;
    opt.room = give_up;
    assert_int_equal(tsm_engine_open(&f.fs, &opt, &e, &err), TSM_OK);
    write_lines(e, 100);
    tsm_engine_stats(e, &st);
    assert_int_equal(st.durable_rows, 0);
    f.calls = 0;
    f.fail_at = 1;
    assert_int_equal(tsm_engine_sync(e, &err), TSM_ENOSPC);
    tsm_engine_stats(e, &st);
    assert_int_equal(st.durable_rows, 100);
    assert_int_equal(tsm_engine_durable(e), tsm_engine_mark(e));
    tsm_engine_close(e);
    opt.room = NULL;
    tsm_engine_close(open_engine(&opt));
    check_grid();
}

/* Writes until something fails. */
static int live(const struct tsm_fs *fs, bool sync_at_last, struct tsm_err *err)
{
    struct tsm_engine_options opt = wal_options();
    struct tsm_engine *e;
    opt.jobs = 1;
    opt.sync_interval = 0;
    int rc = tsm_engine_open(fs, &opt, &e, err);
    if (rc != TSM_OK)
        return rc;
    for (int part = 0; part < 6 && rc == TSM_OK; part++) {
        struct tsm_buf text = {0};
        struct rejected rejected = {0};
        put_lines(&text, attempted, 40);
        rc = write_text(e, tsm_buf_view(&text), &rejected, err);
        tsm_buf_release(&text);
        if (rc == TSM_OK && part % 3 == 1)
            rc = tsm_engine_sync(e, err);
        if (tsm_engine_durable(e) == tsm_engine_mark(e) && rc == TSM_OK)
            memcpy(acknowledged, attempted, sizeof attempted);
        else
            assert_int_not_equal(rc, TSM_OK);
    }
    if (sync_at_last) /* as a program does that wants to save what it can; how much of the last batch is not known */
        tsm_engine_sync(e, NULL);
    tsm_engine_close(e);
    return rc;
}

static void fail_everywhere(int error, bool for_good, bool sync_at_last)
{
    struct faulty_fs f;
    bool failed = true;
    for (long at = 1; failed; at++) {
        assert_true(at < 3000);
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        memset(acknowledged, 0, sizeof acknowledged);
        memset(attempted, 0, sizeof attempted);
        seed = 600;
        struct tsm_err err = {0};
        if (live(&tsm_fs_posix, false, &err) != TSM_OK) /* leaves a log */
            fail_msg("%s", err.msg);
        faulty_fs_init(&f);
        f.error = error;
        f.for_good = for_good;
        f.fail_at = at;
        int rc = live(&f.fs, sync_at_last, &err);
        failed = atomic_load(&f.calls) >= at;
        if (rc != TSM_OK)
            assert_true(failed && err.msg[0]);
        struct tsm_engine_options opt = wal_options();
        struct tsm_engine *e;
        if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
            fail_msg("after failure %ld: %s", at, err.msg);
        tsm_engine_close(e);
        assert_int_equal(count_segments(), 0);
        check_acknowledged(at);
    }
}

static void test_every_call_fails_once(void **state)
{
    (void)state;
    fail_everywhere(EIO, false, false);
    fail_everywhere(EIO, false, true);
}

static void test_disk_fails_from_some_call_on(void **state)
{
    (void)state;
    fail_everywhere(ENOSPC, true, false);
    fail_everywhere(EIO, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_and_opened_again, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_rejects, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_many_shards, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_log_of_influxd, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_deletes_beside_the_writer, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_deletes_beside_flushes, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_rewritten_after_a_delete, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_large_log, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_damage, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_torn_end, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_log_of_an_unknown_shard, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_marks, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_flush_interval, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_full_disk, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_log_outlives_a_flush_without_room, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_every_call_fails_once, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_disk_fails_from_some_call_on, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
