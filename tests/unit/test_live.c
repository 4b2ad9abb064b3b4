/* tests/unit/test_live.c: an engine as a daemon uses it: many databases, reading beside the writer, flushes that nobody waits for,
 * deletes and drops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine_grid.h"
#include "format/series_key.h"
#include "store/data_dir.h"
#include "store/scan.h"

#define RP TSM_STR("autogen")
#define WEEK2 "1578268800000000000" /* 2020-01-06, the shard after that of START */

/* ---- an engine without a log ------------------------------------------------------------------- */

static struct tsm_engine *open_live(void)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_err err;
    opt.database = TSM_STR("");
    if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return e;
}

static int create(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    return tsm_meta_create_database(m, tsm_str_of(ctx), NULL, err);
}

static int drop(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    (void)err;
    return tsm_meta_drop_database(m, tsm_str_of(ctx));
}

static void create_database(struct tsm_engine *e, const char *name)
{
    struct tsm_err err;
    if (tsm_engine_change_meta(e, create, (void *)name, &err) != TSM_OK)
        fail_msg("%s", err.msg);
}

static struct rejected put(struct tsm_engine *e, const char *db, const char *lines)
{
    struct tsm_engine_policy *policy;
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    struct rejected rejected = {0};
    struct tsm_err err;
    tsm_line_parse(tsm_str_of(lines), &opt, &points, count_rejected, &rejected);
    if (tsm_engine_policy(e, tsm_str_of(db), TSM_STR(""), &policy, &err) != TSM_OK ||
        tsm_engine_write_to(e, policy, &points, count_rejected, &rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    tsm_points_release(&points);
    return rejected;
}

static void must(int rc, const struct tsm_err *err)
{
    if (rc != TSM_OK)
        fail_msg("%s", err->msg);
}

/* ---- what a reader sees ------------------------------------------------------------------------ */

/* "key time value" of every value, times from START; a string between quotes. */
static void print_shard(const struct tsm_shard *s, struct tsm_buf *out)
{
    struct tsm_scan *sc = tsm_scan_new();
    struct tsm_err err;
    for (size_t i = 0; i < s->nkeys; i++) {
        const struct tsm_values *v;
        must(tsm_scan_start(sc, s, i, INT64_MIN, INT64_MAX, &err), &err);
        for (;;) {
            must(tsm_scan_next(sc, &v, &err), &err);
            if (!v)
                break;
            for (size_t k = 0; k < v->n; k++) {
                struct tsm_str series, field;
                tsm_key_split(tsm_shard_key(s, i), &series, &field);
                tsm_buf_printf(out, "%.*s %.*s %lld ", (int)series.n, series.p, (int)field.n, field.p,
                               (long long)(v->t[k] - START));
                tsm_line_value(out, v->type, tsm_values_get(v, k));
                tsm_buf_byte(out, '\n');
            }
        }
    }
    tsm_scan_free(sc);
}

/* What shard id of the database has, "-" when there is no such thing. */
static void expect(struct tsm_engine *e, const char *db, uint64_t id, const char *expected)
{
    struct tsm_shard *s;
    struct tsm_err err;
    struct tsm_buf out = {0};
    int rc = tsm_engine_read_shard(e, tsm_str_of(db), RP, id, NULL, &s, &err);
    if (rc == TSM_ENOTFOUND) {
        tsm_buf_puts(&out, "-");
    } else {
        must(rc, &err);
        print_shard(s, &out);
        tsm_engine_release_shard(e, s);
    }
    assert_string_equal(tsm_buf_cstr(&out), expected);
    tsm_buf_release(&out);
}

static void flush(struct tsm_engine *e)
{
    struct tsm_err err;
    must(tsm_engine_flush(e, &err), &err);
    must(tsm_engine_wait_flushed(e, tsm_engine_mark(e), &err), &err);
    assert_int_equal(tsm_engine_durable(e), tsm_engine_mark(e));
}

/* ---- tests ------------------------------------------------------------------------------------- */

#define AT(n) "157783680000000000" #n "\n"

static void test_reads_memory_and_files(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    create_database(e, "db");
    expect(e, "db", 1, "-");
    put(e, "db", "m,h=1 a=1,s=\"x\" " AT(1) "m,h=1 a=2 " AT(3));
    expect(e, "db", 1, "m,h=1 a 1 1\nm,h=1 a 3 2\nm,h=1 s 1 \"x\"\n");
    flush(e);
    expect(e, "db", 1, "m,h=1 a 1 1\nm,h=1 a 3 2\nm,h=1 s 1 \"x\"\n");
    put(e, "db", "m,h=1 a=5 " AT(3) "m,h=1 a=4 " AT(2) "m,h=0 b=true " AT(2));
    expect(e, "db", 1, "m,h=0 b 2 true\nm,h=1 a 1 1\nm,h=1 a 2 4\nm,h=1 a 3 5\nm,h=1 s 1 \"x\"\n");
    tsm_engine_close(e); /* what is in memory is lost */
    e = open_live();
    expect(e, "db", 1, "m,h=1 a 1 1\nm,h=1 a 3 2\nm,h=1 s 1 \"x\"\n");
    tsm_engine_close(e);
}

static void test_many_databases(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    struct tsm_engine_policy *policy;
    struct tsm_err err;
    create_database(e, "one");
    create_database(e, "two");
    put(e, "one", "m a=1 " AT(1));
    put(e, "two", "m a=2i " AT(1)); /* types are a shard's own */
    put(e, "one", "m a=3 " WEEK2 "\n");
    expect(e, "one", 1, "m a 1 1\n");
    expect(e, "two", 2, "m a 1 2i\n");
    expect(e, "one", 3, "m a 432000000000000 3\n");
    flush(e);
    put(e, "two", "m a=4i " AT(1));
    expect(e, "one", 1, "m a 1 1\n");
    expect(e, "two", 2, "m a 1 4i\n");
    assert_int_equal(tsm_engine_policy(e, TSM_STR("three"), TSM_STR(""), &policy, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "database not found: \"three\"");
    assert_int_equal(tsm_engine_policy(e, TSM_STR("two"), TSM_STR("x"), &policy, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "retention policy not found: x");

    must(tsm_engine_change_meta(e, drop, (void *)"two", &err), &err);
    must(tsm_engine_drop(e, TSM_STR("two"), TSM_STR(""), 0, &err), &err);
    assert_int_equal(tsm_engine_policy(e, TSM_STR("two"), TSM_STR(""), &policy, &err), TSM_EQUERY);
    expect(e, "two", 2, "-");
    must(tsm_engine_drop(e, TSM_STR("two"), TSM_STR(""), 0, &err), &err); /* once more */
    create_database(e, "two");
    put(e, "two", "m a=true " AT(1));
    expect(e, "two", 2, "-");
    expect(e, "two", 4, "m a 1 true\n");
    flush(e);
    expect(e, "two", 2, "-");
    expect(e, "two", 4, "m a 1 true\n");
    must(tsm_engine_drop(e, TSM_STR("one"), RP, 3, &err), &err);
    expect(e, "one", 3, "-");
    expect(e, "one", 1, "m a 1 1\n");
    tsm_engine_close(e);
    e = open_live();
    struct tsm_meta meta;
    must(tsm_engine_meta(e, &meta, &err), &err);
    assert_int_equal(meta.ndatabases, 2);
    tsm_meta_release(&meta);
    expect(e, "two", 4, "m a 1 true\n");
    tsm_engine_close(e);
}

static int refuse(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    tsm_meta_create_database(m, tsm_str_of(ctx), NULL, err);
    return tsm_err_set(err, TSM_EQUERY, "no");
}

static void test_refused_change(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    struct tsm_err err;
    struct tsm_meta meta;
    create_database(e, "db");
    assert_int_equal(tsm_engine_change_meta(e, refuse, (void *)"other", &err), TSM_EQUERY);
    must(tsm_engine_meta(e, &meta, &err), &err);
    assert_int_equal(meta.ndatabases, 1);
    tsm_meta_release(&meta);
    tsm_engine_close(e);
}

static bool is_series(void *ctx, struct tsm_str series)
{
    return tsm_str_eq(series, tsm_str_of(ctx));
}

static void delete_from(struct tsm_engine *e, uint64_t shard, const char *series, int64_t tmin, int64_t tmax)
{
    struct tsm_err err;
    struct tsm_delete d = {.holder = "test",
                           .tmin = START + tmin,
                           .tmax = START + tmax,
                           .wanted = is_series,
                           .ctx = (void *)series};
    must(tsm_engine_delete(e, TSM_STR("db"), RP, shard, &d, &err), &err);
}

static void test_deletes(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    create_database(e, "db");
    put(e, "db", "m,h=1 a=1 " AT(1) "m,h=1 a=2 " AT(2) "m,h=1 a=3 " AT(3) "m,h=2 a=7 " AT(2));
    flush(e);
    put(e, "db", "m,h=1 a=4 " AT(2) "m,h=1 a=5 " AT(4) "m,h=1 a=6 " AT(0));
    delete_from(e, 1, "m,h=1", 2, 3);
    expect(e, "db", 1, "m,h=1 a 0 6\nm,h=1 a 1 1\nm,h=1 a 4 5\nm,h=2 a 2 7\n");
    put(e, "db", "m,h=1 a=8 " AT(2));
    expect(e, "db", 1, "m,h=1 a 0 6\nm,h=1 a 1 1\nm,h=1 a 2 8\nm,h=1 a 4 5\nm,h=2 a 2 7\n");
    flush(e);
    expect(e, "db", 1, "m,h=1 a 0 6\nm,h=1 a 1 1\nm,h=1 a 2 8\nm,h=1 a 4 5\nm,h=2 a 2 7\n");
    delete_from(e, 1, "m,h=1", 0, 9);
    expect(e, "db", 1, "m,h=2 a 2 7\n");
    tsm_engine_close(e);
}

/* When all of a field is gone, so is its type: in files and in memory. */
static void test_types_are_forgotten(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    create_database(e, "db");
    put(e, "db", "m,h=1 a=1,b=1 " AT(1) "n a=1 " AT(1));
    flush(e);
    put(e, "db", "m,h=1 a=2 " AT(2) "k a=1 " AT(2));
    assert_int_equal(put(e, "db", "m,h=1 a=2i " AT(3)).n, 1);
    delete_from(e, 1, "m,h=1", -1, 9);
    assert_int_equal(put(e, "db", "m,h=1 a=2i " AT(3)).n, 0);
    assert_int_equal(put(e, "db", "m,h=1 a=2 " AT(3)).n, 1);
    assert_int_equal(put(e, "db", "n a=2i " AT(3)).n, 1);
    assert_int_equal(put(e, "db", "k a=2i " AT(3)).n, 1);
    expect(e, "db", 1, "k a 2 1\nm,h=1 a 3 2i\nn a 1 1\n");
    flush(e);
    expect(e, "db", 1, "k a 2 1\nm,h=1 a 3 2i\nn a 1 1\n");
    tsm_engine_close(e);
}

/* By the clock, also when nothing is written any more but empty batches. */
static void test_flushes_after_a_while(void **state)
{
    (void)state;
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine *e;
    struct tsm_points none = {0};
    struct tsm_err err;
    opt.database = TSM_STR("");
    opt.flush_interval = 1;
    must(tsm_engine_open(&tsm_fs_posix, &opt, &e, &err), &err);
    create_database(e, "db");
    put(e, "db", "m a=1 " AT(1));
    must(tsm_engine_write_to(e, NULL, &none, NULL, NULL, &err), &err);
    must(tsm_engine_wait_flushed(e, 1, &err), &err);
    assert_int_equal(count_files("data/db/autogen/1", ".tsm"), 1);
    tsm_engine_close(e);
}

/* Frozen memtables that wait are read in their order. */
static void test_many_frozen(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    struct tsm_err err;
    create_database(e, "db");
    for (int i = 0; i < 50; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, "m a=%d " AT(1) "m,h=%d a=%d " AT(2), i, i % 3, i);
        put(e, "db", lines);
        must(tsm_engine_flush(e, &err), &err);
        struct tsm_buf expected = {0};
        for (int h = 0; h < 3; h++) {
            if (i >= h)
                tsm_buf_printf(&expected, "m,h=%d a 2 %d\n", h, i - (i + 3 - h) % 3);
        }
        snprintf(lines, sizeof lines, "m a 1 %d\n%s", i, tsm_buf_cstr(&expected));
        expect(e, "db", 1, lines);
        tsm_buf_release(&expected);
    }
    must(tsm_engine_wait_flushed(e, tsm_engine_mark(e), &err), &err);
    tsm_engine_close(e);
}

static void write_delete_segment(void)
{
    static const uint8_t nothing[] = {3, 0, 0, 0, 1, 9}; /* not a snappy block */
    write_bytes("wal/db/autogen/1/_00002.wal", nothing, sizeof nothing);
    write_bytes("wal/db/autogen/1/_00003.wal", nothing, sizeof nothing);
}

/* What influxd left in logs is in files before the first reader comes; damage is set aside. */
static void test_logs_of_influxd(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    create_database(e, "db");
    put(e, "db", "m a=1 " AT(1));
    flush(e);
    tsm_engine_close(e);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, in_temp("wal/db/autogen/1"), NULL), TSM_OK);
    write_delete_segment();
    e = open_live();
    expect(e, "db", 1, "m a 1 1\n");
    assert_int_equal(count_files("wal/db/autogen/1", ".wal"), 0);
    put(e, "db", "m a=2 " AT(2));
    expect(e, "db", 1, "m a 1 1\nm a 2 2\n");
    tsm_engine_close(e);
}

static bool can_scan(const struct tsm_shard *s)
{
    struct tsm_scan *sc = tsm_scan_new();
    struct tsm_err err;
    int rc = tsm_scan_start(sc, s, 0, INT64_MIN, INT64_MAX, &err);
    tsm_scan_free(sc);
    if (rc != TSM_OK)
        assert_int_equal(rc, TSM_ELIMIT);
    return rc == TSM_OK;
}

/* Memory is bounded: who reads for too long gives up what is in files by now. */
static void test_readers_are_limited(void **state)
{
    (void)state;
    enum { FLUSHES = 12 };
    struct tsm_engine *e = open_live(); /* 4 MiB */
    struct tsm_shard *shards[FLUSHES];
    struct tsm_err err;
    create_database(e, "db");
    for (int i = 0; i < FLUSHES; i++) {
        struct tsm_buf text = {0};
        for (int k = 0; k < 5000; k++)
            tsm_buf_printf(&text, "m,h=%d a=%d " AT(1), k, i);
        put(e, "db", tsm_buf_cstr(&text));
        tsm_buf_release(&text);
        must(tsm_engine_read_shard(e, TSM_STR("db"), RP, 1, NULL, &shards[i], &err), &err);
        flush(e);
    }
    assert_false(can_scan(shards[0]));
    assert_true(can_scan(shards[FLUSHES - 1]));
    for (int i = 0; i < FLUSHES; i++)
        tsm_engine_release_shard(e, shards[i]);
    must(tsm_engine_read_shard(e, TSM_STR("db"), RP, 1, NULL, &shards[0], &err), &err);
    assert_true(can_scan(shards[0]));
    tsm_engine_release_shard(e, shards[0]);
    tsm_engine_close(e);
}

/* What a reader has seen before a delete it still sees: also what memory had over the files. */
static void test_reader_before_a_delete(void **state)
{
    (void)state;
    struct tsm_engine *e = open_live();
    struct tsm_shard *s;
    struct tsm_err err;
    struct tsm_buf out = {0};
    create_database(e, "db");
    put(e, "db", "m a=1,b=1 " AT(1));
    flush(e);
    put(e, "db", "m a=2,b=2 " AT(1));
    must(tsm_engine_read_shard(e, TSM_STR("db"), RP, 1, NULL, &s, &err), &err);
    delete_from(e, 1, "m", 0, 9);
    put(e, "db", "m a=3,b=3,c=3 " AT(2));
    print_shard(s, &out);
    assert_string_equal(tsm_buf_cstr(&out), "m a 1 2\nm b 1 2\n");
    tsm_engine_release_shard(e, s);
    expect(e, "db", 1, "m a 2 3\nm b 2 3\nm c 2 3\n");
    must(tsm_engine_read_shard(e, TSM_STR("db"), RP, 1, NULL, &s, &err), &err);
    put(e, "db", "m a=4,d=4 " AT(3)); /* with a field that the reader does not know */
    tsm_buf_reset(&out);
    print_shard(s, &out);
    assert_string_equal(tsm_buf_cstr(&out), "m a 2 3\nm b 2 3\nm c 2 3\n");
    tsm_engine_release_shard(e, s);
    tsm_buf_release(&out);
    tsm_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_memory_and_files, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_many_databases, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_refused_change, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_deletes, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_types_are_forgotten, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_flushes_after_a_while, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_many_frozen, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_logs_of_influxd, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_readers_are_limited, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(test_reader_before_a_delete, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
