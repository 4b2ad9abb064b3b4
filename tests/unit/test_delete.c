/* tests/unit/test_delete.c: deletes in a shard: which keys get tombstones and which files go, what was there before, the
 * logs, locks and damage, a disk that fails at every call, and a writer beside. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "engine_grid.h"
#include "faulty_fs.h"
#include "format/tombstone_writer.h"
#include "shard_maker.h"
#include "store/data_dir.h"
#include "store/delete.h"
#include "store/scan.h"
#include "store/shard_wal.h"
#include "wal_maker.h"

#define ALL INT64_MIN, INT64_MAX

static char shard[200], wal[200];
static char asked[1000]; /* the series that wanted() was called for */

static int make_shard(void **state)
{
    int rc = make_temp(state);
    snprintf(shard, sizeof shard, "%s/data/db/rp/1", temp_dir);
    snprintf(wal, sizeof wal, "%s/wal/db/rp/1", temp_dir);
    asked[0] = '\0';
    return rc || tsm_fs_make_dirs(&tsm_fs_posix, shard, NULL) != TSM_OK;
}

/* ctx: the series, separated by spaces; "*": all. */
static bool wanted(void *ctx, struct tsm_str series)
{
    const char *list = ctx;
    size_t n = strlen(asked);
    if (n < sizeof asked - 100)
        snprintf(asked + n, sizeof asked - n, "%.*s ", (int)series.n, series.p);
    if (strcmp(list, "*") == 0)
        return true;
    for (const char *p = list; p; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (strncmp(p, series.p, series.n) == 0 && (p[series.n] == ' ' || p[series.n] == '\0'))
            return true;
    }
    return false;
}

static struct tsm_delete a_delete(const char *series, int64_t tmin, int64_t tmax)
{
    return (struct tsm_delete){
        .fs = &tsm_fs_posix,
        .dir = shard,
        .wal = wal,
        .holder = "test",
        .tmin = tmin,
        .tmax = tmax,
        .jobs = 2,
        .wanted = wanted,
        .ctx = (void *)(uintptr_t)series,
    };
}

static struct tsm_delete run_delete(const char *series, int64_t tmin, int64_t tmax)
{
    struct tsm_delete d = a_delete(series, tmin, tmax);
    struct tsm_err err;
    if (tsm_delete_run(&d, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return d;
}

/* What the shard answers: "key:time=value … " of floats, in order. */
static const char *answer(void)
{
    static char text[2000];
    struct tsm_shard *s;
    struct tsm_err err;
    size_t n = 0;
    text[0] = '\0';
    int rc = tsm_shard_open(&tsm_fs_posix, shard, wal, NULL, &s, &err);
    if (rc == TSM_ENOTFOUND)
        return text;
    if (rc != TSM_OK)
        fail_msg("%s", err.msg);
    struct tsm_scan *sc = tsm_scan_new();
    for (size_t k = 0; k < s->nkeys; k++) {
        struct tsm_str key = tsm_shard_key(s, k);
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s:", (int)key.n - 5, key.p);
        const struct tsm_values *v = NULL;
        rc = tsm_scan_start(sc, s, k, ALL, &err);
        while (rc == TSM_OK && (rc = tsm_scan_next(sc, &v, &err)) == TSM_OK && v)
            for (size_t i = 0; i < v->n; i++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%d=%g ", (int)v->t[i], v->v.f[i]);
        if (rc != TSM_OK)
            fail_msg("%s", err.msg);
    }
    tsm_scan_free(sc);
    tsm_shard_close(s);
    return text;
}

/* The files of the shard, without the lock. */
static const char *files(void)
{
    static char text[2000];
    struct tsm_names names;
    text[0] = '\0';
    assert_int_equal(tsm_fs_list(&tsm_fs_posix, shard, &names, NULL), TSM_OK);
    for (size_t i = 0; i < names.n; i++)
        if (strcmp(names.names[i], "lock") != 0) {
            strcat(text, names.names[i]);
            strcat(text, " ");
        }
    tsm_names_release(&names);
    return text;
}

#define F1 "000000001-000000001.tsm"
#define F2 "000000002-000000001.tsm"
#define LATE "500000001-000000001.tsm"
#define T1 "000000001-000000001.tombstone"
#define T2 "000000002-000000001.tombstone"

static void make(const char *name, const struct made_value *items, size_t n)
{
    make_file(shard, name, items, n);
}

/* ---- tombstones and removed files ---- */

static const struct made_value three[] = {
    {"a#!~#v", TSM_FLOAT, 10, 1}, {"a#!~#v", TSM_FLOAT, 20, 2}, {"a#!~#w", TSM_FLOAT, 20, 3},
    {"b#!~#v", TSM_FLOAT, 10, 4}, {"c#!~#v", TSM_FLOAT, 30, 5},
};

static void the_range_decides(void **state)
{
    (void)state;
    static const struct {
        const char *series;
        int64_t tmin, tmax;
        uint64_t keys, files;
        const char *left, *remaining;
    } cases[] = {
        {"a", ALL, 2, 1, "b:10=4 c:30=5 ", F1 " "},
        {"a", 20, 20, 2, 1, "a:10=1 b:10=4 c:30=5 ", F1 " "},
        {"a", 11, 19, 0, 0, "a:10=1 20=2 a:20=3 b:10=4 c:30=5 ", F1 " "},
        {"a", 31, 99, 0, 0, "a:10=1 20=2 a:20=3 b:10=4 c:30=5 ", F1 " "},
        {"a c", INT64_MIN, 10, 1, 1, "a:20=2 a:20=3 b:10=4 c:30=5 ", F1 " "},
        {"*", 10, 20, 3, 1, "c:30=5 ", F1 " "},
        {"*", 10, 30, 4, 1, "", ""},
        {"*", 11, 30, 3, 1, "a:10=1 b:10=4 ", F1 " "},
        {"*", ALL, 4, 1, "", ""},
        {"", ALL, 0, 0, "a:10=1 20=2 a:20=3 b:10=4 c:30=5 ", F1 " "},
        {"d", ALL, 0, 0, "a:10=1 20=2 a:20=3 b:10=4 c:30=5 ", F1 " "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, shard, NULL), TSM_OK);
        assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, shard, NULL), TSM_OK);
        make(F1, three, 5);
        asked[0] = '\0';
        struct tsm_delete d = run_delete(cases[i].series, cases[i].tmin, cases[i].tmax);
        assert_string_equal(answer(), cases[i].left);
        assert_int_equal(d.keys, cases[i].keys);
        assert_int_equal(d.files, cases[i].files);
        if (cases[i].tmin <= 30) /* once for each series, in order */
            assert_string_equal(asked, "a b c ");
        char expected[100] = "";
        if (d.files && cases[i].remaining[0])
            strcat(expected, T1 " ");
        strcat(expected, cases[i].remaining);
        assert_string_equal(files(), expected);
        /* What has been deleted is not deleted again. */
        d = run_delete(cases[i].series, cases[i].tmin, cases[i].tmax);
        assert_int_equal(d.keys + d.files, 0);
        assert_string_equal(files(), expected);
    }
}

static void several_files_and_what_is_written_later(void **state)
{
    (void)state;
    static const struct made_value other[] = {{"a#!~#v", TSM_FLOAT, 20, 7}, {"d#!~#v", TSM_FLOAT, 1, 8}};
    static const struct made_value alone[] = {{"a#!~#v", TSM_FLOAT, 20, 9}};
    make(F1, three, 5);
    make(F2, other, 2);
    make(LATE, alone, 1);
    struct tsm_delete d = run_delete("a", ALL);
    assert_int_equal(d.keys, 4);
    assert_int_equal(d.files, 3);
    assert_string_equal(files(), T1 " " F1 " " T2 " " F2 " ");
    assert_string_equal(answer(), "b:10=4 c:30=5 d:1=8 ");
    make(LATE, alone, 1);
    assert_string_equal(answer(), "a:20=9 b:10=4 c:30=5 d:1=8 ");
    run_delete("b c d", ALL);
    assert_string_equal(files(), LATE " "); /* nothing is left of files with several deletes either */
    assert_string_equal(answer(), "a:20=9 ");
}

/* Deletes of a range each, until nothing is left. */
static void ranges_add_up(void **state)
{
    (void)state;
    static const struct made_value items[] = {
        {"a#!~#v", TSM_FLOAT, 10, 1}, {"a#!~#v", TSM_FLOAT, 20, 2}, {"a#!~#v", TSM_FLOAT, 30, 3}};
    static const int64_t ranges[][2] = {{0, 9}, {21, 40}, {15, 19}, {10, 14}, {20, 20}};
    static const char *const left[] = {"a:10=1 20=2 30=3 ", "a:10=1 20=2 ", "a:10=1 20=2 ", "a:20=2 ", ""};
    make(F1, items, 3);
    for (size_t i = 0; i < 5; i++) {
        run_delete("*", ranges[i][0], ranges[i][1]);
        assert_string_equal(answer(), left[i]);
    }
    assert_string_equal(files(), "");
}

static void put(const char *name, const void *p, size_t n)
{
    char *path = tsm_path_join(shard, name);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_str(p, n), NULL), TSM_OK);
    tsm_free(path);
}

/* Whatever version the tombstones have that are there, they go on deleting. */
static void older_tombstones_are_kept(void **state)
{
    (void)state;
    struct tsm_buf entry = {0}, packed = {0};
    tsm_tombstone_entry(&entry, TSM_STR("b#!~#v"), 0, 100);
    assert_int_equal(tsm_tombstone_pack(tsm_buf_view(&entry), &packed, NULL), TSM_OK);
    for (uint32_t version = 1; version <= 4; version++) {
        struct tsm_buf file = {0};
        make(F1, three, 5);
        if (version == 1) {
            tsm_buf_puts(&file, "b#!~#v\n");
        } else {
            tsm_put_be32(tsm_buf_room(&file, 4), 0x1500 + version);
            file.len = 4;
            tsm_buf_str(&file, tsm_buf_view(version == 2 ? &entry : &packed));
        }
        put(T1, file.data, file.len);
        assert_string_equal(answer(), "a:10=1 20=2 a:20=3 c:30=5 ");
        run_delete("a", 20, 30);
        assert_string_equal(answer(), "a:10=1 c:30=5 ");
        run_delete("c", 30, 30);
        assert_string_equal(answer(), "a:10=1 ");
        run_delete("a", 10, 10);
        assert_string_equal(files(), "");
        tsm_buf_release(&file);
    }
    tsm_buf_release(&entry);
    tsm_buf_release(&packed);
}

static size_t entries_of_t1(size_t *n)
{
    struct tsm_tombstones t;
    char *path = tsm_path_join(shard, T1);
    assert_int_equal(tsm_tombstones_read(&tsm_fs_posix, path, &t, NULL), TSM_OK);
    size_t entries = t.entries;
    *n = t.n;
    tsm_free(path);
    tsm_tombstones_release(&t);
    return entries;
}

/* A file with more tombstones than fit into one member, packed by any number of threads; and deletes again and again, which
 * do not let the file grow without end. */
static void many_keys(void **state)
{
    (void)state;
    enum { KEYS = 40000, PER_KEY = 3 };
    struct made_value *items = tsm_calloc(KEYS * PER_KEY, sizeof *items);
    char(*keys)[60] = tsm_calloc(KEYS, sizeof *keys);
    struct tsm_buf first = {0}, second = {0};
    char *path = tsm_path_join(shard, T1);
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "measurement,host=server-%06d,region=eu#!~#v", i);
        for (int k = 0; k < PER_KEY; k++)
            items[i * PER_KEY + k] = (struct made_value){keys[i], TSM_FLOAT, k, 1};
    }
    for (unsigned jobs = 1; jobs <= 3; jobs += 2) {
        struct tsm_delete d = a_delete("*", 1, 2);
        d.jobs = jobs;
        make(F1, items, KEYS * PER_KEY);
        assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
        assert_int_equal(tsm_delete_run(&d, NULL), TSM_OK);
        assert_int_equal(d.keys, KEYS);
        struct tsm_buf *to = jobs == 1 ? &first : &second;
        assert_int_equal(tsm_tombstones_bytes(&tsm_fs_posix, path, to, NULL), TSM_OK);
    }
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);

    struct tsm_err err;
    struct tsm_shard *s;
    if (tsm_shard_open(&tsm_fs_posix, shard, NULL, NULL, &s, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->nkeys, KEYS);
    assert_int_equal(s->files[0]->tombstones.n, KEYS);
    tsm_shard_close(s);

    size_t n;
    assert_int_equal(entries_of_t1(&n), KEYS);
    make(F1, items, KEYS * PER_KEY);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
    run_delete("*", 2, 2);
    run_delete("*", 1, 2);
    assert_int_equal(entries_of_t1(&n), 2 * KEYS);
    run_delete("measurement,host=server-000000,region=eu", 2, 3); /* deleted already */
    assert_int_equal(entries_of_t1(&n), 2 * KEYS);
    run_delete("*", 1, 3);            /* deleted already as well: nothing of it is left to be deleted */
    for (int64_t i = 4; i < 9; i++) { /* entries that a file of other tools may have */
        struct tsm_tombstone_writer w;
        struct tsm_tombstones old, more = {0};
        assert_int_equal(tsm_tombstones_read(&tsm_fs_posix, path, &old, NULL), TSM_OK);
        for (int k = 0; k < KEYS; k++)
            tsm_tombstones_add(&more, tsm_str_of(keys[k]), 1, i);
        assert_int_equal(tsm_tombstone_writer_open(&tsm_fs_posix, path, &old, more.n, &w, NULL), TSM_OK);
        assert_int_equal(tsm_tombstone_writer_list(&w, &more, NULL), TSM_OK);
        assert_int_equal(tsm_tombstone_writer_install(&w, NULL), TSM_OK);
        tsm_tombstones_release(&old);
        tsm_tombstones_release(&more);
        assert_true(entries_of_t1(&n) <= 4 * KEYS);
        assert_int_equal(n, KEYS);
    }
    run_delete("*", 0, 0);
    assert_string_equal(files(), "");
    tsm_free(path);
    tsm_free(items);
    tsm_free(keys);
    tsm_buf_release(&first);
    tsm_buf_release(&second);
}

/* ---- the logs ---- */

static void write_influx_segment(const char *name, const char *key, int n)
{
    struct tsm_values v = {0};
    struct tsm_buf content = {0}, segment = {0};
    char *path = tsm_path_join(wal, name);
    tsm_values_reset(&v, TSM_FLOAT, (size_t)n);
    for (int i = 0; i < n; i++)
        tsm_values_add(&v, 10 * (i + 1), (union tsm_value){.f = i + 1});
    wal_add_values(&content, tsm_str_of(key), &v);
    wal_add_record(&segment, 1, content.data, content.len);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL), TSM_OK);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_buf_view(&segment), NULL), TSM_OK);
    tsm_values_release(&v);
    tsm_buf_release(&content);
    tsm_buf_release(&segment);
    tsm_free(path);
}

static int count_wal(const char *suffix)
{
    return count_files("wal/db/rp/1", suffix);
}

/* influxd gets a record of its own, in a segment behind the others. */
static void the_log_of_influxd(void **state)
{
    (void)state;
    write_influx_segment("_00001.wal", "a#!~#v", 3);
    write_influx_segment("_00007.wal", "b#!~#v", 2);
    assert_string_equal(answer(), "a:10=1 20=2 30=3 b:10=1 20=2 ");
    struct tsm_delete d = run_delete("a", 15, 25);
    assert_int_equal(d.keys, 1);
    assert_string_equal(answer(), "a:10=1 30=3 b:10=1 20=2 ");
    assert_int_equal(count_wal("_00008.wal"), 1);
    assert_int_equal(count_wal(".tmp"), 0);
    assert_int_equal(run_delete("a", 15, 25).keys, 0);
    assert_int_equal(run_delete("b", 21, 25).keys, 0);
    assert_int_equal(count_wal(".wal"), 3);
    make(F1, three, 5);
    run_delete("*", ALL);
    assert_string_equal(answer(), "");
    write_influx_segment("_00010.wal", "a#!~#v", 1);
    assert_string_equal(answer(), "a:10=1 ");
}

static void a_shard_that_is_only_a_log_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, shard, NULL), TSM_OK);
    run_delete("*", ALL);
    assert_false(tsm_fs_exists(&tsm_fs_posix, shard));
    assert_false(tsm_fs_exists(&tsm_fs_posix, wal));
    write_influx_segment("_00001.wal", "a#!~#v", 3);
    run_delete("*", 10, 20);
    assert_string_equal(answer(), "a:30=3 ");
    assert_false(tsm_fs_exists(&tsm_fs_posix, shard));
}

/* ---- locks, damage, what a killed process left ---- */

static void a_locked_shard(void **state)
{
    (void)state;
    struct tsm_lock lock;
    struct tsm_err err;
    struct tsm_delete d = a_delete("*", ALL);
    char *path = tsm_path_shard_lock(shard);
    make(F1, three, 5);
    assert_int_equal(tsm_lock_take(&tsm_fs_posix, path, "tsm-compact, process 7", &lock, &err), TSM_OK);
    assert_int_equal(tsm_delete_run(&d, &err), TSM_ELOCKED);
    assert_non_null(strstr(err.msg, "tsm-compact, process 7"));
    assert_string_equal(files(), F1 " ");
    tsm_lock_release(&lock);
    assert_int_equal(tsm_delete_run(&d, &err), TSM_OK);
    assert_string_equal(files(), "");
    tsm_free(path);
}

static int reports;

static void report(void *ctx, const char *message)
{
    (void)ctx;
    assert_non_null(strstr(message, F2));
    reports++;
}

static void a_damaged_file_ends_it_or_is_passed_over(void **state)
{
    (void)state;
    struct tsm_err err;
    struct tsm_delete d = a_delete("a", ALL);
    static const struct made_value late[] = {{"a#!~#v", TSM_FLOAT, 20, 9}, {"e#!~#v", TSM_FLOAT, 20, 9}};
    make(F1, three, 5);
    put(F2, "damaged", 7);
    make(LATE, late, 2);
    assert_int_equal(tsm_delete_run(&d, &err), TSM_ECORRUPT);
    assert_non_null(strstr(err.msg, F2));
    assert_string_equal(files(), F1 " " F2 " " LATE " "); /* nothing has been done, nothing left behind */
    struct tsm_damage pass = {.skip = true, .report = report};
    d.damage = &pass;
    reports = 0;
    assert_int_equal(tsm_delete_run(&d, &err), TSM_OK);
    assert_int_equal(reports, 1);
    char *path = tsm_path_join(shard, F2);
    assert_int_equal(tsm_fs_remove(&tsm_fs_posix, path, NULL), TSM_OK);
    tsm_free(path);
    assert_string_equal(answer(), "b:10=4 c:30=5 e:20=9 ");
}

/* A tombstone without its file would delete from the next file of that name; one that waits for a file that was set aside
 * stays. */
static void orphans(void **state)
{
    (void)state;
    make(F1, three, 5);
    put("000000001-000000001.tombstone.tmp", "half", 4);
    put("000000002-000000001.tombstone", "x#!~#y", 6);
    put("000000003-000000001.tombstone", "x#!~#y", 6);
    put("000000003-000000001.tsm.bad", "damaged", 7);
    run_delete("", ALL);
    assert_string_equal(files(), F1 " 000000003-000000001.tombstone 000000003-000000001.tsm.bad ");
}

/* ---- a disk that fails ---- */

static void make_history(bool lone)
{
    static const struct made_value first[] = {{"a#!~#v", TSM_FLOAT, 20, 1}, {"b#!~#v", TSM_FLOAT, 20, 1}};
    static const struct made_value second[] = {{"a#!~#v", TSM_FLOAT, 20, 2}, {"b#!~#v", TSM_FLOAT, 30, 2}};
    static const struct made_value third[] = {{"a#!~#v", TSM_FLOAT, 20, 3}, {"c#!~#v", TSM_FLOAT, 30, 2}};
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, shard, NULL), TSM_OK);
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, wal, NULL), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, shard, NULL), TSM_OK);
    make(F1, first, lone ? 1 : 2);
    make(F2, second, lone ? 1 : 2);
    make_tombstone(shard, F1, "a#!~#v", 50, 60); /* so that there is one to be removed */
    make(LATE, third, lone ? 1 : 2);
    write_influx_segment("_00001.wal", "a#!~#v", 2); /* 10=1 20=2 */
}

/* The newest value of a at 20, or none, at every moment; and the next delete completes it. */
static void an_overwritten_value_never_comes_back(void **state)
{
    (void)state;
    for (int lone = 0; lone < 2; lone++) {
        struct faulty_fs f;
        long failed = 0;
        faulty_fs_init(&f);
        for (f.fail_at = 1;; f.fail_at++) {
            make_history(lone);
            struct tsm_delete d = a_delete("a", ALL);
            d.fs = &f.fs;
            f.calls = 0;
            int rc = tsm_delete_run(&d, NULL);
            const char *a = strstr(answer(), "a:");
            if (a && strncmp(a, "a:10=1 20=2 ", 12) != 0)
                fail_msg("call %ld: %s", f.fail_at, a);
            if (rc == TSM_OK && a)
                fail_msg("call %ld failed in silence: %s", f.fail_at, a);
            failed += rc != TSM_OK;
            if (f.calls < f.fail_at)
                break;
            run_delete("a", ALL);
            assert_null(strstr(answer(), "a:"));
            assert_string_equal(answer(), lone ? "" : "b:20=1 30=2 c:30=2 ");
        }
        assert_true(failed > 20);
    }
}

/* ---- a writer beside ---- */

static bool wanted_host(void *ctx, struct tsm_str series)
{
    unsigned mask = *(const unsigned *)ctx;
    const char *host = memmem(series.p, series.n, "host=h", 6);
    return host && mask >> (host[6] - '0') & 1;
}

/* Random hosts and times, in all shards, with both fields of a series. */
static void delete_from_grid(void)
{
    unsigned mask = (unsigned)below(1 << SERIES);
    int from = below(TIMES), to = from + below(below(2) ? 50 : TIMES);
    bool all = below(6) == 0;
    if (all) {
        from = 0;
        to = TIMES - 1;
    }
    if (below(8) == 0)
        mask = (1 << SERIES) - 1;
    if (to >= TIMES)
        to = TIMES - 1;
    for (int id = 1; id <= 8; id++) {
        struct tsm_delete d = a_delete("", all ? INT64_MIN : grid_time(from),
                                       all ? INT64_MAX : grid_time(to));
        char path[200], log[200];
        struct tsm_err err;
        snprintf(path, sizeof path, "%s/data/db/autogen/%d", temp_dir, id);
        snprintf(log, sizeof log, "%s/wal/db/autogen/%d", temp_dir, id);
        d.dir = path;
        d.wal = log;
        d.wanted = wanted_host;
        d.ctx = &mask;
        if (tsm_delete_run(&d, &err) != TSM_OK)
            fail_msg("%s", err.msg);
    }
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS && mask >> s & 1; f++)
            for (int t = from; t <= to; t++)
                model[s][f][t] = 0;
}

static void write_grid(struct tsm_engine *e, int n)
{
    struct tsm_buf text = {0};
    struct rejected rejected = {0};
    struct tsm_err err;
    put_lines(&text, model, n);
    if (write_text(e, tsm_buf_view(&text), &rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(rejected.n, 0);
    tsm_buf_release(&text);
}

static void deletes_beside_a_writer_against_the_model(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        struct tsm_engine_options opt = engine_options();
        struct tsm_err err;
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        memset(model, 0, sizeof model);
        seed = 900 + (uint64_t)round;
        opt.memory = round % 2 ? 1 << 20 : 4 << 20;
        opt.wal = true;
        opt.sync_interval = 1000 * TSM_HOUR;
        for (int run = 0; run < 4; run++) {
            struct tsm_engine *e;
            if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
                fail_msg("%s", err.msg);
            for (int part = 3 + below(12); part >= 0; part--) {
                write_grid(e, 1 + below(1000));
                for (int i = below(3); i > 0; i--)
                    delete_from_grid();
                if (below(6) == 0 && tsm_engine_sync(e, &err) != TSM_OK)
                    fail_msg("%s", err.msg);
            }
            tsm_engine_close(e); /* killed, as far as memory goes */
            for (int i = below(3); i > 0; i--)
                delete_from_grid();
        }
        struct tsm_engine *e;
        if (tsm_engine_open(&tsm_fs_posix, &opt, &e, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        tsm_engine_close(e);
        check_grid();
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_shard, remove_temp)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_range_decides),
        test(several_files_and_what_is_written_later),
        test(ranges_add_up),
        test(older_tombstones_are_kept),
        test(many_keys),
        test(the_log_of_influxd),
        test(a_shard_that_is_only_a_log_or_nothing),
        test(a_locked_shard),
        test(a_damaged_file_ends_it_or_is_passed_over),
        test(orphans),
        test(an_overwritten_value_never_comes_back),
        test(deletes_beside_a_writer_against_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
