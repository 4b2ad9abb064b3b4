/* tests/unit/test_scan.c: scans of random shards, with overlap, tombstones and a log, against a plain model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/time.h"
#include "codec/block.h"
#include "format/tsm_writer.h"
#include "shard_maker.h"
#include "store/scan.h"
#include "temp_dir.h"
#include "wal_maker.h"

static uint64_t seed = 1;

static uint64_t rnd(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

/* ---- the model: for each key the values in time order ------------------------------------------- */

enum { KEYS = 6, SLOTS = 600 };

static const char *const key_names[KEYS] = {"a#!~#f", "a,t=1#!~#f", "a,t=2#!~#i",
                                            "b#!~#b", "b#!~#s",     "c,x=y#!~#u"};
static const enum tsm_type key_types[KEYS] = {TSM_FLOAT,   TSM_FLOAT,  TSM_INTEGER,
                                              TSM_BOOLEAN, TSM_STRING, TSM_UNSIGNED};

/* A time is a slot's number, so a value is a cell; version 0: no value. A value is made from its version. */
struct model {
    uint32_t version[KEYS][SLOTS];
};

struct world {
    int64_t origin, step; /* time of a slot */
    struct model m;
    uint32_t versions;
};

static int64_t time_of(const struct world *w, size_t slot)
{
    return w->origin + (int64_t)slot * w->step;
}

static void add_version(struct tsm_values *c, int64_t t, uint32_t version)
{
    char text[32];
    union tsm_value v = {.u = 0};
    switch (c->type) {
    case TSM_FLOAT:
        v.f = version * 0.5;
        break;
    case TSM_BOOLEAN:
        v.b = version % 2;
        break;
    case TSM_STRING:
        v.s = tsm_str(text, (size_t)snprintf(text, sizeof text, "v%u", version));
        break;
    default:
        v.u = version;
    }
    tsm_values_add(c, t, v);
}

static void check_version(const struct tsm_values *c, size_t i, uint32_t version)
{
    struct tsm_values want = {0};
    tsm_values_reset(&want, c->type, 1);
    add_version(&want, c->t[i], version);
    if (c->type == TSM_STRING)
        assert_true(tsm_str_eq(c->v.s[i], want.v.s[0]));
    else if (c->type == TSM_BOOLEAN)
        assert_int_equal(c->v.b[i], want.v.b[0]);
    else
        assert_true(c->v.u[i] == want.v.u[0]);
    tsm_values_release(&want);
}

/* Fills c with new values for random slots, in order, and tells the model. */
static void random_values(struct world *w, size_t key, struct tsm_values *c)
{
    tsm_values_reset(c, key_types[key], 0);
    size_t slot = rnd(SLOTS), gap = 1 + rnd(rnd(2) ? 2 : 20), n = 1 + rnd(rnd(3) ? 40 : 400);
    for (; n > 0 && slot < SLOTS; n--, slot += 1 + rnd(gap)) {
        uint32_t version = ++w->versions;
        add_version(c, time_of(w, slot), version);
        w->m.version[key][slot] = version;
    }
}

/* Writes values in blocks of random sizes; the model of this file alone goes into `alone`. */
static void write_file(struct world *w, unsigned generation, struct model *alone, bool *any)
{
    char path[128];
    struct tsm_writer *writer;
    struct tsm_err err;
    struct tsm_values c = {0};
    struct tsm_buf block = {0};
    memset(alone, 0, sizeof *alone);
    *any = false;
    snprintf(path, sizeof path, "%s/%09u-%09u.tsm", temp_dir, generation, 1 + (unsigned)rnd(3));
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &writer, &err), TSM_OK);
    struct model before = w->m;
    for (size_t key = 0; key < KEYS; key++) {
        if (rnd(3) == 0)
            continue;
        random_values(w, key, &c);
        size_t most = 1 + rnd(rnd(2) ? 10 : 200);
        for (size_t from = 0, to; from < c.n; from = to) {
            to = from + 1 + rnd(most);
            if (to > c.n)
                to = c.n;
            tsm_buf_reset(&block);
            assert_int_equal(tsm_block_encode(&block, &c, from, to, &err), TSM_OK);
            if (tsm_writer_block(writer, tsm_str_of(key_names[key]), c.type, c.t[from], c.t[to - 1],
                                 block.data, block.len, &err))
                fail_msg("%s", err.msg);
            *any = true;
        }
    }
    for (size_t k = 0; k < KEYS; k++)
        for (size_t s = 0; s < SLOTS; s++)
            if (w->m.version[k][s] != before.version[k][s])
                alone->version[k][s] = w->m.version[k][s];
    if (*any)
        assert_int_equal(tsm_writer_install(writer, &err), TSM_OK);
    else
        tsm_writer_abandon(writer);
    if (*any && rnd(2)) {
        struct tsm_tombstones t = {0};
        char *beside = tsm_tombstone_path(path);
        for (size_t n = 1 + rnd(6); n > 0; n--) {
            size_t key = rnd(KEYS), from = rnd(SLOTS), to = from + rnd(rnd(2) ? 20 : SLOTS);
            int64_t tmin = time_of(w, from), tmax = to < SLOTS ? time_of(w, to) : INT64_MAX;
            if (rnd(8) == 0) {
                from = 0, to = SLOTS;
                tmin = INT64_MIN, tmax = INT64_MAX;
            }
            tsm_tombstones_add(&t, tsm_str_of(key_names[key]), tmin, tmax);
            for (size_t s = from; s <= to && s < SLOTS; s++)
                alone->version[key][s] = 0;
        }
        tsm_tombstones_sort(&t);
        assert_int_equal(tsm_tombstones_write(&tsm_fs_posix, beside, &t, &err), TSM_OK);
        tsm_tombstones_release(&t);
        tsm_free(beside);
    }
    tsm_buf_release(&block);
    tsm_values_release(&c);
}

static void write_log(struct world *w, struct model *log)
{
    memset(log, 0, sizeof *log);
    for (unsigned segment = 1; segment <= 2; segment++) {
        struct tsm_buf b = {0};
        struct tsm_values c = {0};
        for (size_t n = rnd(6); n > 0; n--) {
            size_t key = rnd(KEYS);
            if (rnd(4) == 0) {
                size_t from = rnd(SLOTS), to = from + rnd(SLOTS);
                bool all = rnd(4) == 0;
                wal_add_delete(&b, tsm_str_of(key_names[key]), all ? INT64_MIN : time_of(w, from),
                               all || to >= SLOTS ? INT64_MAX : time_of(w, to));
                for (size_t s = all ? 0 : from; s < SLOTS && (all || s <= to); s++)
                    log->version[key][s] = 0;
                continue;
            }
            struct model before = w->m;
            struct tsm_buf content = {0};
            random_values(w, key, &c);
            for (size_t i = 0; i + 1 < c.n && rnd(2); i += 2) { /* logs are in no order */
                int64_t t = c.t[i];
                union tsm_value v = tsm_values_get(&c, i);
                c.t[i] = c.t[i + 1];
                c.t[i + 1] = t;
                union tsm_value u = tsm_values_get(&c, i + 1);
                if (c.type == TSM_STRING)
                    c.v.s[i] = u.s, c.v.s[i + 1] = v.s;
                else if (c.type == TSM_BOOLEAN)
                    c.v.b[i] = u.b, c.v.b[i + 1] = v.b;
                else
                    c.v.u[i] = u.u, c.v.u[i + 1] = v.u;
            }
            wal_add_values(&content, tsm_str_of(key_names[key]), &c);
            wal_add_record(&b, 1, content.data, content.len);
            tsm_buf_release(&content);
            for (size_t s = 0; s < SLOTS; s++)
                if (w->m.version[key][s] != before.version[key][s])
                    log->version[key][s] = w->m.version[key][s];
        }
        char path[128];
        snprintf(path, sizeof path, "%s/wal/_%05u.wal", temp_dir, segment);
        struct tsm_err err;
        assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_buf_view(&b), &err), TSM_OK);
        tsm_buf_release(&b);
        tsm_values_release(&c);
    }
}

static bool has_values(const struct model *m, size_t key)
{
    for (size_t s = 0; s < SLOTS; s++)
        if (m->version[key][s])
            return true;
    return false;
}

static void overlay(struct model *m, const struct model *top)
{
    for (size_t k = 0; k < KEYS; k++)
        for (size_t s = 0; s < SLOTS; s++)
            if (top->version[k][s])
                m->version[k][s] = top->version[k][s];
}

/* A full scan and a count of one key in [tmin, tmax] against the model. */
static void check_key(const struct world *w, const struct model *m, const struct tsm_shard *s, size_t number,
                      size_t key, int64_t tmin, int64_t tmax, struct tsm_scan *sc)
{
    struct tsm_err err;
    const struct tsm_values *batch;
    uint64_t count, want = 0;
    size_t slot = 0;
    assert_int_equal(tsm_scan_start(sc, s, number, tmin, tmax, &err), TSM_OK);
    for (;;) {
        if (tsm_scan_next(sc, &batch, &err))
            fail_msg("%s", err.msg);
        if (!batch)
            break;
        assert_true(batch->n > 0);
        assert_int_equal(batch->type, key_types[key]);
        for (size_t i = 0; i < batch->n; i++, slot++, want++) {
            while (slot < SLOTS && (!m->version[key][slot] || time_of(w, slot) < tmin))
                slot++;
            assert_true(slot < SLOTS);
            assert_true(batch->t[i] == time_of(w, slot) && batch->t[i] <= tmax);
            check_version(batch, i, m->version[key][slot]);
        }
    }
    for (; slot < SLOTS; slot++)
        assert_false(m->version[key][slot] && time_of(w, slot) >= tmin && time_of(w, slot) <= tmax);
    if (tsm_scan_count(sc, s, number, tmin, tmax, &count, &err))
        fail_msg("%s", err.msg);
    assert_true(count == want);
    int64_t first, last;
    tsm_key_range(s, number, &first, &last);
    assert_true(want == 0 || (first <= tmax && last >= tmin));
    assert_true(want == 0 || tsm_key_blocks(s, number, tmin, tmax) > 0);
}

static void one_world(int files, bool log, struct tsm_scan *sc)
{
    static const int64_t origins[] = {0, -300000, TSM_TIME_MIN, TSM_TIME_MAX - 599 * 7};
    struct world w = {.origin = origins[rnd(4)], .step = 7};
    struct model sum = {0}, part;
    struct tsm_err err;
    struct tsm_shard *s;
    char wal[80];
    int written = 0;
    snprintf(wal, sizeof wal, "%s/wal", temp_dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, wal, &err), TSM_OK);
    for (int i = 1; i <= files; i++) {
        bool any;
        write_file(&w, (unsigned)(i > 3 ? 500000000 + i : i), &part, &any);
        overlay(&sum, &part);
        written += any;
    }
    if (log) {
        write_log(&w, &part);
        overlay(&sum, &part);
    }
    if (tsm_shard_open(&tsm_fs_posix, temp_dir, log ? wal : NULL, NULL, &s, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(s->nfiles, written);
    /* Every key that has values is there, at the place where a search finds it. */
    for (size_t key = 0; key < KEYS; key++) {
        bool found;
        size_t number = tsm_shard_seek(s, tsm_str_of(key_names[key]), &found);
        if (has_values(&sum, key))
            assert_true(found);
        if (!found)
            continue;
        assert_true(tsm_str_eq(tsm_shard_key(s, number), tsm_str_of(key_names[key])));
        assert_int_equal(tsm_shard_key_type(s, number), key_types[key]);
        check_key(&w, &sum, s, number, key, INT64_MIN, INT64_MAX, sc);
        for (int i = 0; i < 8; i++) {
            size_t from = rnd(SLOTS), to = from + rnd(rnd(2) ? 10 : SLOTS - from);
            check_key(&w, &sum, s, number, key, time_of(&w, from) + ((int64_t)rnd(3) - 1),
                      time_of(&w, to < SLOTS ? to : SLOTS - 1), sc);
        }
        check_key(&w, &sum, s, number, key, 5, 4, sc);
    }
    for (size_t i = 1; i < s->nkeys; i++)
        assert_true(tsm_str_cmp(tsm_shard_key(s, i - 1), tsm_shard_key(s, i)) < 0);
    tsm_shard_close(s);
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, &err), TSM_OK);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, temp_dir, &err), TSM_OK);
}

static void random_shards(void **state)
{
    (void)state;
    struct tsm_scan *sc = tsm_scan_new();
    for (int i = 0; i < 250; i++)
        one_world((int)rnd(8), rnd(2), sc);
    tsm_scan_free(sc);
}

/* ---- cases of their own ------------------------------------------------------------------------ */

/* One file with one float key: `blocks` blocks of `size` values, at times first, first + step, …; value =
 * base + i. */
static void float_file(const char *name, const char *key, int64_t first, int64_t step, size_t blocks,
                       size_t size, double base)
{
    char path[128];
    struct tsm_writer *writer;
    struct tsm_err err;
    struct tsm_values c = {0};
    struct tsm_buf block = {0};
    snprintf(path, sizeof path, "%s/%s", temp_dir, name);
    assert_int_equal(tsm_writer_open(&tsm_fs_posix, path, &writer, &err), TSM_OK);
    for (size_t b = 0; b < blocks; b++) {
        tsm_values_reset(&c, TSM_FLOAT, size);
        for (size_t i = 0; i < size; i++) {
            size_t n = b * size + i;
            tsm_values_add(&c, first + (int64_t)n * step, (union tsm_value){.f = base + (double)n});
        }
        tsm_buf_reset(&block);
        assert_int_equal(tsm_block_encode(&block, &c, 0, size, &err), TSM_OK);
        assert_int_equal(tsm_writer_block(writer, tsm_str_of(key), TSM_FLOAT, c.t[0], c.t[size - 1],
                                          block.data, block.len, &err),
                         TSM_OK);
    }
    assert_int_equal(tsm_writer_install(writer, &err), TSM_OK);
    tsm_buf_release(&block);
    tsm_values_release(&c);
}

static struct tsm_shard *open_shard(const struct tsm_damage *damage)
{
    struct tsm_shard *s;
    struct tsm_err err;
    if (tsm_shard_open(&tsm_fs_posix, temp_dir, NULL, damage, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}

/* Blocks that do not overlap are handed out one by one, as they are. */
static void fast_path(void **state)
{
    (void)state;
    const struct tsm_values *batch;
    struct tsm_err err;
    float_file("000000001-000000001.tsm", "k#!~#f", 0, 10, 5, 1000, 0);
    float_file("000000002-000000001.tsm", "k#!~#f", 50000, 10, 5, 1000, 5000);
    struct tsm_shard *s = open_shard(NULL);
    struct tsm_scan *sc = tsm_scan_new();
    assert_int_equal(tsm_key_blocks(s, 0, INT64_MIN, INT64_MAX), 10);
    assert_int_equal(tsm_key_blocks(s, 0, 9990, 50000), 6);
    assert_int_equal(tsm_key_blocks(s, 0, 9991, 9999), 0);
    assert_int_equal(tsm_scan_start(sc, s, 0, 15, 99900, &err), TSM_OK);
    for (size_t b = 0; b < 10; b++) {
        assert_int_equal(tsm_scan_next(sc, &batch, &err), TSM_OK);
        assert_non_null(batch);
        assert_int_equal(batch->n, b == 0 ? 998 : b == 9 ? 991 : 1000);
        assert_true(batch->t[0] == (b ? (int64_t)b * 10000 : 20));
        assert_true(batch->v.f[0] == (b ? (double)b * 1000 : 2));
    }
    assert_int_equal(tsm_scan_next(sc, &batch, &err), TSM_OK);
    assert_null(batch);
    assert_int_equal(tsm_scan_next(sc, &batch, &err), TSM_OK);
    assert_null(batch);
    tsm_scan_free(sc);
    tsm_shard_close(s);
}

/* Two files whose times interleave one by one come in batches of a useful size. */
static void interleaved(void **state)
{
    (void)state;
    const struct tsm_values *batch;
    struct tsm_err err;
    float_file("000000003-000000001.tsm", "k#!~#f", 0, 20, 5, 1000, 0);
    float_file("500000001-000000001.tsm", "k#!~#f", 10, 20, 5, 1000, 0.5);
    struct tsm_shard *s = open_shard(NULL);
    struct tsm_scan *sc = tsm_scan_new();
    size_t n = 0, batches = 0;
    assert_int_equal(tsm_scan_start(sc, s, 0, INT64_MIN, INT64_MAX, &err), TSM_OK);
    while (tsm_scan_next(sc, &batch, &err) == TSM_OK && batch) {
        for (size_t i = 0; i < batch->n; i++, n++)
            assert_true(batch->t[i] == (int64_t)n * 10 &&
                        batch->v.f[i] == (double)(n / 2) + (n % 2 ? 0.5 : 0));
        batches++;
    }
    assert_int_equal(n, 10000);
    assert_true(batches <= 11);
    tsm_scan_free(sc);
    tsm_shard_close(s);
}

struct reports {
    int n;
    char last[1100];
};

static void on_report(void *ctx, const char *message)
{
    struct reports *r = ctx;
    r->n++;
    snprintf(r->last, sizeof r->last, "%s", message);
}

/* A damaged block is the error, or it is left out and reported once; the blocks beside it are read. */
static void damaged_block(void **state)
{
    (void)state;
    static const char *const name = "000000001-000000001.tsm";
    const struct tsm_values *batch;
    struct tsm_err err;
    struct reports reports = {0};
    struct tsm_damage skip = {true, on_report, &reports}, strict = {false, on_report, &reports};
    uint64_t count;
    float_file(name, "k#!~#f", 0, 10, 4, 100, 0);
    struct tsm_shard *s = open_shard(NULL);
    struct tsm_entry e = tsm_reader_entry(s->files[0], 0, 2);
    tsm_shard_close(s);
    damage_file(temp_dir, name, e.offset + 20);
    char where[64];
    snprintf(where, sizeof where, "%s: offset %llu: ", name, (unsigned long long)e.offset);

    struct tsm_scan *sc = tsm_scan_new();
    for (int overlap = 0; overlap < 2; overlap++) {
        if (overlap)
            float_file("500000001-000000001.tsm", "k#!~#f", 5, 10, 1, 400, 1000);
        s = open_shard(overlap ? &strict : NULL);
        size_t n = 0;
        int rc;
        assert_int_equal(tsm_scan_start(sc, s, 0, INT64_MIN, INT64_MAX, &err), TSM_OK);
        while ((rc = tsm_scan_next(sc, &batch, &err)) == TSM_OK && batch)
            n += batch->n;
        assert_int_equal(rc, TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, where));
        assert_true(n <= (overlap ? 400 : 200));
        assert_int_equal(tsm_scan_count(sc, s, 0, INT64_MIN, INT64_MAX, &count, &err), TSM_ECORRUPT);
        assert_non_null(strstr(err.msg, where));
        /* Outside the damage nothing is wrong. */
        assert_int_equal(tsm_scan_count(sc, s, 0, 0, 1990, &count, &err), TSM_OK);
        assert_true(count == (overlap ? 399 : 200));
        tsm_shard_close(s);
        assert_int_equal(reports.n, 0);

        s = open_shard(&skip);
        for (int again = 0; again < 3; again++) {
            n = 0;
            assert_int_equal(tsm_scan_start(sc, s, 0, INT64_MIN, INT64_MAX, &err), TSM_OK);
            while ((rc = tsm_scan_next(sc, &batch, &err)) == TSM_OK && batch)
                n += batch->n;
            assert_int_equal(rc, TSM_OK);
            assert_int_equal(n, overlap ? 700 : 300);
            assert_int_equal(tsm_scan_count(sc, s, 0, INT64_MIN, INT64_MAX, &count, &err), TSM_OK);
            assert_int_equal(count, n);
        }
        assert_int_equal(reports.n, 1);
        assert_non_null(strstr(reports.last, where));
        reports = (struct reports){0};
        tsm_shard_close(s);
    }
    tsm_scan_free(sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_shards, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(fast_path, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(interleaved, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(damaged_block, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
