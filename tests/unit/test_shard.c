/* tests/unit/test_shard.c: opening shards: what is in them, which files and keys count, and what is left out.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "shard_maker.h"
#include "store/data_dir.h"
#include "store/scan.h"
#include "wal_maker.h"

#define N(array) (sizeof(array) / sizeof *(array))
#define FIRST "000000001-000000001.tsm"
#define SECOND "000000002-000000001.tsm"
#define LATE "500000001-000000001.tsm"

static char dir[64], wal[80];

static int make_temp(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tsmkit-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(wal, sizeof wal, "%s/wal", dir);
    return tsm_fs_make_dirs(&tsm_fs_posix, wal, NULL);
}

static int remove_temp(void **state)
{
    (void)state;
    return tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
}

struct reports {
    pthread_mutex_t mutex;
    int n;
    char last[1100];
};

static void on_report(void *ctx, const char *message)
{
    struct reports *r = ctx;
    pthread_mutex_lock(&r->mutex);
    r->n++;
    snprintf(r->last, sizeof r->last, "%s", message);
    pthread_mutex_unlock(&r->mutex);
}

static struct reports reports;
static const struct tsm_damage skip = {true, on_report, &reports};

static int reset_reports(void **state)
{
    reports = (struct reports){.mutex = PTHREAD_MUTEX_INITIALIZER};
    return make_temp(state);
}

static struct tsm_shard *open_shard(const char *wal_path, const struct tsm_damage *damage)
{
    struct tsm_shard *s;
    struct tsm_err err;
    if (tsm_shard_open(&tsm_fs_posix, dir, wal_path, damage, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}

static void refuse_shard(const char *wal_path, const struct tsm_damage *damage, int code, const char *text)
{
    struct tsm_shard *s;
    struct tsm_err err;
    assert_int_equal(tsm_shard_open(&tsm_fs_posix, dir, wal_path, damage, &s, &err), code);
    assert_null(s);
    if (!strstr(err.msg, text))
        fail_msg("'%s' is not in '%s'", text, err.msg);
}

/* All values of a key as text: "1=1.5 2=3". NULL: no such key. */
static const char *values_of(const struct tsm_shard *s, const char *key)
{
    static char text[1024];
    bool found;
    size_t i = tsm_shard_seek(s, tsm_str_of(key), &found), n = 0;
    if (!found)
        return NULL;
    struct tsm_scan *sc = tsm_scan_new();
    const struct tsm_values *b;
    struct tsm_err err;
    text[0] = 0;
    assert_int_equal(tsm_scan_start(sc, s, i, INT64_MIN, INT64_MAX, &err), TSM_OK);
    for (;;) {
        if (tsm_scan_next(sc, &b, &err))
            fail_msg("%s", err.msg);
        if (!b)
            break;
        for (size_t j = 0; j < b->n && n < sizeof text - 64; j++) {
            union tsm_value v = tsm_values_get(b, j);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld=", n ? " " : "", (long long)b->t[j]);
            if (b->type == TSM_FLOAT)
                n += (size_t)snprintf(text + n, sizeof text - n, "%g", v.f);
            else if (b->type == TSM_STRING)
                n += (size_t)snprintf(text + n, sizeof text - n, "%.*s", (int)v.s.n, v.s.p);
            else if (b->type == TSM_BOOLEAN)
                n += (size_t)snprintf(text + n, sizeof text - n, "%d", v.b);
            else
                n += (size_t)snprintf(text + n, sizeof text - n, "%lld", (long long)v.i);
        }
    }
    tsm_scan_free(sc);
    return text;
}

static const struct made_value one_key[] = {{"k#!~#f", TSM_FLOAT, 1, 1}, {"k#!~#f", TSM_FLOAT, 2, 2}};
static const struct made_value other_value[] = {{"k#!~#f", TSM_FLOAT, 2, 22}, {"k#!~#f", TSM_FLOAT, 3, 33}};

/* ---- folders and files ------------------------------------------------------------------------- */

static void empty(void **state)
{
    (void)state;
    struct tsm_shard *s = open_shard(NULL, NULL);
    assert_true(s->nkeys == 0 && s->nfiles == 0 && !s->log);
    assert_true(s->start == INT64_MIN && s->end == INT64_MAX);
    bool found;
    assert_int_equal(tsm_shard_seek(s, TSM_STR("k"), &found), 0);
    tsm_shard_close(s);
    s = open_shard(wal, NULL);
    assert_true(s->nkeys == 0 && !s->log);
    tsm_shard_close(s);
    tsm_shard_close(NULL);

    struct tsm_err err;
    assert_int_equal(tsm_shard_open(&tsm_fs_posix, "/nonexistent", NULL, NULL, &s, &err), TSM_ENOTFOUND);
    assert_int_equal(tsm_shard_open(&tsm_fs_posix, "/nonexistent", "/nonexistent/wal", NULL, &s, &err),
                     TSM_ENOTFOUND);
    assert_int_equal(tsm_shard_open(&tsm_fs_posix, "/nonexistent", wal, NULL, &s, &err), TSM_OK);
    tsm_shard_close(s);
}

static void paths(void **state)
{
    (void)state;
    char *p = tsm_path_shard("/d/", TSM_STR("db"), TSM_STR("rp"), 17);
    assert_string_equal(p, "/d/data/db/rp/17");
    tsm_free(p);
    p = tsm_path_wal("d", TSM_STR("db"), TSM_STR("rp"), 17);
    assert_string_equal(p, "d/wal/db/rp/17");
    tsm_free(p);
    p = tsm_path_rp("d", TSM_STR("db"), TSM_STR("rp"));
    assert_string_equal(p, "d/data/db/rp");
    tsm_free(p);
    p = tsm_path_meta("d");
    assert_string_equal(p, "d/meta/meta.db");
    tsm_free(p);
    p = tsm_path_lock("d");
    assert_string_equal(p, "d/lock");
    tsm_free(p);

    char *shards[2] = {tsm_path_shard(dir, TSM_STR("db"), TSM_STR("one"), 1),
                       tsm_path_wal(dir, TSM_STR("db"), TSM_STR("two"), 2)};
    struct tsm_err err;
    for (int i = 0; i < 2; i++)
        assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, shards[i], &err), TSM_OK);
    assert_int_equal(tsm_data_remove(&tsm_fs_posix, dir, TSM_STR("db"), TSM_STR("one"), &err), TSM_OK);
    assert_true(!tsm_fs_exists(&tsm_fs_posix, shards[0]) && tsm_fs_exists(&tsm_fs_posix, shards[1]));
    assert_int_equal(tsm_data_remove(&tsm_fs_posix, dir, TSM_STR("db"), TSM_STR(""), &err), TSM_OK);
    assert_false(tsm_fs_exists(&tsm_fs_posix, shards[1]));
    assert_int_equal(tsm_data_remove(&tsm_fs_posix, dir, TSM_STR("db"), TSM_STR(""), &err), TSM_OK);
    tsm_free(shards[0]);
    tsm_free(shards[1]);
}

/* Later names win; what is not the name of a TSM file is passed over; the folder's name gives the id. */
static void order_of_files(void **state)
{
    (void)state;
    char path[96];
    struct tsm_err err;
    struct tsm_shard *s;
    make_file(dir, LATE, other_value, 2);
    make_file(dir, FIRST, one_key, 2);
    static const char *const foreign[] = {"000000003-000000001.tsm.tmp", "fields.idx", "x.tsm"};
    for (size_t i = 0; i < N(foreign); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, foreign[i]);
        assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, TSM_STR("rubbish"), &err), TSM_OK);
    }
    s = open_shard(NULL, NULL);
    assert_int_equal(s->nfiles, 2);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1 2=22 3=33");
    assert_int_equal(s->id, 0);
    /* A snapshot: what is unlinked now stays readable. */
    assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, dir, &err), TSM_OK);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1 2=22 3=33");
    tsm_shard_close(s);

    snprintf(path, sizeof path, "%s/1234/", dir);
    assert_int_equal(tsm_fs_make_dirs(&tsm_fs_posix, path, &err), TSM_OK);
    assert_int_equal(tsm_shard_open(&tsm_fs_posix, path, NULL, NULL, &s, &err), TSM_OK);
    assert_int_equal(s->id, 1234);
    tsm_shard_close(s);
}

static void loose_files(void **state)
{
    (void)state;
    char a[96], b[96];
    struct tsm_err err;
    struct tsm_shard *s;
    make_file(dir, FIRST, one_key, 2);
    make_file(dir, SECOND, other_value, 2);
    snprintf(a, sizeof a, "%s/%s", dir, FIRST);
    snprintf(b, sizeof b, "%s/%s", dir, SECOND);
    char gone[] = "/nonexistent.tsm", *forth[] = {a, b}, *back[] = {b, a}, *missing[] = {a, gone};
    assert_int_equal(tsm_shard_open_files(&tsm_fs_posix, forth, 2, NULL, &s, &err), TSM_OK);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1 2=22 3=33");
    tsm_shard_close(s);
    assert_int_equal(tsm_shard_open_files(&tsm_fs_posix, back, 2, NULL, &s, &err), TSM_OK);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1 2=2 3=33");
    tsm_shard_close(s);
    assert_int_equal(tsm_shard_open_files(&tsm_fs_posix, missing, 2, &skip, &s, &err), TSM_ENOTFOUND);
    assert_null(s);
    assert_int_equal(tsm_shard_open_files(&tsm_fs_posix, NULL, 0, NULL, &s, &err), TSM_OK);
    assert_int_equal(s->nkeys, 0);
    tsm_shard_close(s);
}

/* A file system where a compactor is at work: the first `ghosts` listings name a file that is gone by then.
 */
static int ghosts, listings;

static int ghost_list(void *ctx, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    listings++;
    if (ghosts > 0) {
        ghosts--;
        each(arg, "000000009-000000001.tsm");
    }
    return tsm_fs_posix.list(ctx, path, each, arg);
}

static void vanished_file(void **state)
{
    (void)state;
    struct tsm_fs fs = tsm_fs_posix;
    struct tsm_shard *s;
    struct tsm_err err;
    fs.list = ghost_list;
    make_file(dir, FIRST, one_key, 2);
    ghosts = 3;
    listings = 0;
    assert_int_equal(tsm_shard_open(&fs, dir, NULL, NULL, &s, &err), TSM_OK);
    assert_int_equal(listings, 5); /* until two agree, twice */
    assert_int_equal(s->nfiles, 1);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1 2=2");
    tsm_shard_close(s);
    ghosts = 1000;
    listings = 0;
    assert_int_equal(tsm_shard_open(&fs, dir, NULL, &skip, &s, &err), TSM_EIO);
    assert_non_null(strstr(err.msg, "000000009"));
    assert_true(listings >= 3 && listings <= 20);
}

/* A file system where a compactor ends its work at the moment when the tombstones of the old file are opened: the new
 * file is there, the old one goes, then its tombstones. */
static int compacting_open(void *ctx, const char *path, int flags, mode_t mode)
{
    static const struct made_value left = {"k#!~#f", 0, 1, 1};
    char old[128];
    snprintf(old, sizeof old, "%s/%s", dir, FIRST);
    if (strstr(path, ".tombstone") && tsm_fs_exists(&tsm_fs_posix, old)) {
        make_file(dir, "000000009-000000002.tsm", &left, 1);
        assert_int_equal(tsm_fs_posix.unlink(NULL, old), 0);
        assert_int_equal(tsm_fs_posix.unlink(NULL, path), 0);
    }
    return tsm_fs_posix.open(ctx, path, flags, mode);
}

static void deleted_values_stay_deleted(void **state)
{
    (void)state;
    struct tsm_fs fs = tsm_fs_posix;
    struct tsm_shard *s;
    struct tsm_err err;
    fs.open = compacting_open;
    make_file(dir, FIRST, one_key, 2);
    make_tombstone(dir, FIRST, "k#!~#f", 2, 2);
    assert_int_equal(tsm_shard_open(&fs, dir, NULL, NULL, &s, &err), TSM_OK);
    assert_string_equal(values_of(s, "k#!~#f"), "1=1");
    tsm_shard_close(s);
}

/* ---- keys -------------------------------------------------------------------------------------- */

/* Many files with random subsets of many keys, against a plain list. */
static void many_keys(void **state)
{
    (void)state;
    enum { KEYS = 700, FILES = 13 };
    static char names[KEYS][32];
    static struct made_value items[KEYS];
    unsigned in[KEYS] = {0}, random = 12345;
    for (size_t i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "m,t=%05zu#!~#f", i * 7);
    for (unsigned f = 0; f < FILES; f++) {
        char name[64];
        size_t n = 0;
        for (size_t i = 0; i < KEYS; i++) {
            random = random * 1664525 + 1013904223;
            /* files with all keys, with a stretch of their own, and with any */
            bool has = f < 3 ? true : f < 8 ? i / 100 == f - 3 : random >> 30 == 0;
            if (!has)
                continue;
            in[i] |= 1u << f;
            items[n++] = (struct made_value){names[i], TSM_INTEGER, (int64_t)f + 1, f};
        }
        snprintf(name, sizeof name, "%09u-000000001.tsm", f + 1);
        make_file(dir, name, items, n);
    }
    struct tsm_shard *s = open_shard(NULL, NULL);
    assert_int_equal(s->nkeys, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        bool found;
        assert_true(tsm_str_eq(tsm_shard_key(s, i), tsm_str_of(names[i])));
        assert_int_equal(tsm_shard_seek(s, tsm_str_of(names[i]), &found), i);
        assert_true(found);
        unsigned places = 0;
        for (uint32_t p = s->first[i]; p < s->first[i + 1]; p++) {
            const struct tsm_place *at = &s->places[p];
            assert_true(p == s->first[i] || at[-1].file < at->file);
            assert_true(tsm_str_eq(tsm_reader_key(s->files[at->file], at->position), tsm_str_of(names[i])));
            places |= 1u << at->file;
        }
        assert_int_equal(places, in[i]);
    }
    bool found;
    assert_int_equal(tsm_shard_seek(s, TSM_STR("m,t=00001"), &found), 1);
    assert_false(found);
    assert_int_equal(tsm_shard_seek(s, TSM_STR("z"), &found), KEYS);
    tsm_shard_close(s);
}

static void measurements(void **state)
{
    (void)state;
    static const struct made_value items[] = {
        {"cpu#!~#a", TSM_FLOAT, 1, 1},     {"cpu#!~#b", TSM_FLOAT, 1, 1},
        {"cpu$x#!~#a", TSM_FLOAT, 1, 1},   {"cpu,h=1#!~#a", TSM_FLOAT, 1, 1},
        {"cpu,h=2#!~#a", TSM_FLOAT, 1, 1}, {"cpu-1#!~#a", TSM_FLOAT, 1, 1},
        {"cpu1#!~#a", TSM_FLOAT, 1, 1},    {"cpu\\ 2,h=1#!~#a", TSM_FLOAT, 1, 1},
    };
    static const struct {
        const char *name;
        size_t from, to;
    } want[] = {
        {"cpu", 0, 5},   {"cpu$x", 2, 3}, {"cpu-1", 5, 6}, {"cpu1", 6, 7},
        {"cpu 2", 7, 8}, {"cp", 0, 0},    {"cpu2", 7, 7},  {"zz", 8, 8},
    };
    make_file(dir, FIRST, items, N(items));
    struct tsm_shard *s = open_shard(NULL, NULL);
    assert_int_equal(s->nkeys, N(items));
    assert_null(s->places); /* a single file needs none */
    for (size_t i = 0; i < N(want); i++) {
        size_t from, to;
        tsm_shard_measurement(s, tsm_str_of(want[i].name), &from, &to);
        assert_int_equal(from, want[i].from);
        assert_int_equal(to, want[i].to);
    }
    tsm_shard_close(s);
}

/* A key that is deleted in all its files is no key; one deleted here and written again there is. */
static void dead_keys(void **state)
{
    (void)state;
    static const struct made_value items[] = {
        {"a#!~#f", TSM_FLOAT, 1, 1}, {"b#!~#f", TSM_FLOAT, 1, 1}, {"b#!~#f", TSM_FLOAT, 9, 9},
        {"c#!~#f", TSM_FLOAT, 1, 1}, {"d#!~#f", TSM_FLOAT, 1, 1},
    };
    static const struct made_value again[] = {{"c#!~#f", TSM_INTEGER, 1, 5}};
    make_file(dir, FIRST, items, N(items));
    make_tombstone(dir, FIRST, "a#!~#f", INT64_MIN, INT64_MAX);
    make_tombstone(dir, FIRST, "b#!~#f", 1, 7); /* not all of it */
    make_tombstone(dir, FIRST, "c#!~#f", 1, 1);
    make_tombstone(dir, FIRST, "d#!~#f", 0, 0); /* beside it */
    struct tsm_shard *s = open_shard(NULL, NULL);
    assert_int_equal(s->nkeys, 2);
    assert_null(values_of(s, "a#!~#f"));
    assert_string_equal(values_of(s, "b#!~#f"), "9=9");
    assert_null(values_of(s, "c#!~#f"));
    assert_string_equal(values_of(s, "d#!~#f"), "1=1");
    tsm_shard_close(s);
    /* dropped and written again with another type: no conflict */
    make_file(dir, SECOND, again, 1);
    s = open_shard(NULL, NULL);
    assert_int_equal(s->nkeys, 3);
    assert_string_equal(values_of(s, "c#!~#f"), "1=5");
    tsm_shard_close(s);
    make_tombstone(dir, SECOND, "c#!~#f", INT64_MIN, INT64_MAX);
    make_tombstone(dir, FIRST, "d#!~#f", 1, 1);
    make_tombstone(dir, FIRST, "b#!~#f", 9,
                   9); /* b's two deletes do not touch, but each of its blocks is in one */
    s = open_shard(NULL, NULL);
    assert_int_equal(s->nkeys, 0);
    tsm_shard_close(s);
}

/* ---- damage ------------------------------------------------------------------------------------ */

static void type_conflict(void **state)
{
    (void)state;
    static const struct made_value newer[] = {{"a#!~#f", TSM_FLOAT, 1, 1}, {"k#!~#f", TSM_INTEGER, 2, 22}};
    make_file(dir, FIRST, one_key, 2);
    make_file(dir, SECOND, newer, 2);
    make_file(dir, LATE, newer, 2);
    refuse_shard(NULL, NULL, TSM_ECORRUPT, FIRST ": key 'k#!~#f' has type float here, and type integer");
    struct tsm_shard *s = open_shard(NULL, &skip);
    assert_int_equal(reports.n, 1);
    assert_non_null(strstr(reports.last, FIRST));
    assert_int_equal(s->nkeys, 2);
    assert_string_equal(values_of(s, "k#!~#f"), "2=22");
    assert_string_equal(values_of(s, "a#!~#f"), "1=1");
    tsm_shard_close(s);
}

static void damaged_file(void **state)
{
    (void)state;
    static const char *const names[] = {FIRST, "000000001-000000001.tombstone"};
    for (size_t i = 0; i < N(names); i++) {
        reports.n = 0;
        make_file(dir, FIRST, one_key, 2);
        make_file(dir, SECOND, other_value, 2);
        make_tombstone(dir, FIRST, "k#!~#f", 2, 2);
        damage_file(dir, names[i], i ? 0 : 2);
        refuse_shard(NULL, NULL, TSM_ECORRUPT, names[i]);
        const struct tsm_damage strict = {false, on_report, &reports};
        refuse_shard(NULL, &strict, TSM_ECORRUPT, names[i]);
        assert_int_equal(reports.n, 0);
        struct tsm_shard *s = open_shard(NULL, &skip);
        assert_int_equal(reports.n, 1);
        assert_non_null(strstr(reports.last, names[i]));
        assert_non_null(strstr(reports.last, "offset 0: "));
        assert_string_equal(values_of(s, "k#!~#f"), "2=22 3=33");
        tsm_shard_close(s);
    }
}

/* ---- logs -------------------------------------------------------------------------------------- */

/* influxd's own segment: rewritten and deleted values are gone. */
static void golden_log(void **state)
{
    (void)state;
    struct tsm_buf bytes = {0};
    struct tsm_err err;
    char path[128];
    static const struct made_value older[] = {{"all,host=b#!~#f", TSM_FLOAT, 2000, -2},
                                              {"all,host=b#!~#f", TSM_FLOAT, 4000, -4},
                                              {"gone#!~#v", TSM_FLOAT, 1, 1}};
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, "tests/unit/golden/all.wal", 1 << 20, &bytes, &err),
                     TSM_OK);
    snprintf(path, sizeof path, "%s/_00001.wal", wal);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_buf_view(&bytes), &err), TSM_OK);
    tsm_buf_release(&bytes);
    struct tsm_shard *s = open_shard(wal, NULL);
    assert_int_equal(s->nkeys, 6);
    assert_string_equal(values_of(s, "all,host=a#!~#f"), "1000=1.5 2000=99 3000=-0.25");
    assert_string_equal(values_of(s, "all,host=a#!~#b"), "1000=1 2000=1 3000=0");
    assert_string_equal(values_of(s, "all,host=b#!~#f"), "1000=1 3000=33 4000=4");
    assert_null(values_of(s, "gone#!~#v"));
    tsm_shard_close(s);
    /* Deletes in the log are the log's own; it wins over files. */
    make_file(dir, FIRST, older, N(older));
    s = open_shard(wal, NULL);
    assert_string_equal(values_of(s, "all,host=b#!~#f"), "1000=1 2000=-2 3000=33 4000=4");
    assert_string_equal(values_of(s, "gone#!~#v"), "1=1");
    tsm_shard_close(s);
    s = open_shard(NULL, NULL);
    assert_string_equal(values_of(s, "all,host=b#!~#f"), "2000=-2 4000=-4");
    tsm_shard_close(s);
}

static void write_segment(const char *name, const struct tsm_buf *b)
{
    char path[128];
    struct tsm_err err;
    snprintf(path, sizeof path, "%s/%s", wal, name);
    assert_int_equal(tsm_fs_write_file(&tsm_fs_posix, path, tsm_buf_view(b), &err), TSM_OK);
}

static void add_write(struct tsm_buf *segment, const char *key, enum tsm_type type, int64_t t, int64_t v)
{
    struct tsm_values c = {0};
    struct tsm_buf content = {0};
    tsm_values_reset(&c, type, 1);
    if (type == TSM_FLOAT)
        tsm_values_add(&c, t, (union tsm_value){.f = (double)v});
    else
        tsm_values_add(&c, t, (union tsm_value){.i = v});
    wal_add_values(&content, tsm_str_of(key), &c);
    wal_add_record(segment, 1, content.data, content.len);
    tsm_values_release(&c);
    tsm_buf_release(&content);
}

/* Segments come in the order of their numbers, also when those have different lengths. */
static void log_order(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    add_write(&b, "k#!~#f", TSM_FLOAT, 1, 1);
    add_write(&b, "k#!~#f", TSM_FLOAT, 2, 2);
    write_segment("_99999.wal", &b);
    tsm_buf_reset(&b);
    add_write(&b, "k#!~#f", TSM_FLOAT, 2, 3);
    wal_add_delete(&b, TSM_STR("k#!~#f"), 1, 1);
    wal_add_delete(&b, TSM_STR("unknown"), 1, 1);
    write_segment("_100000.wal", &b);
    write_segment("other.txt", &b);
    struct tsm_shard *s = open_shard(wal, NULL);
    assert_string_equal(values_of(s, "k#!~#f"), "2=3");
    tsm_shard_close(s);
    tsm_buf_release(&b);
}

static void damaged_log(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    add_write(&b, "a#!~#f", TSM_FLOAT, 1, 1);
    size_t at = b.len;
    add_write(&b, "b#!~#f", TSM_FLOAT, 1, 1);
    size_t next = b.len;
    add_write(&b, "c#!~#f", TSM_FLOAT, 1, 1);
    b.data[at + 6] ^= 0xff;
    write_segment("_00001.wal", &b);
    char where[64];
    snprintf(where, sizeof where, "_00001.wal: offset %zu: ", at);
    refuse_shard(wal, NULL, TSM_ECORRUPT, where);
    struct tsm_shard *s = open_shard(wal, &skip);
    assert_int_equal(reports.n, 1);
    assert_non_null(strstr(reports.last, where));
    assert_int_equal(s->nkeys, 2);
    tsm_shard_close(s);
    /* torn: not damage */
    b.data[at + 6] ^= 0xff;
    b.len = next + 7;
    write_segment("_00001.wal", &b);
    s = open_shard(wal, NULL);
    assert_int_equal(s->nkeys, 2);
    tsm_shard_close(s);
    /* A type that changes without a delete between is damage; with one it is not. */
    tsm_buf_reset(&b);
    add_write(&b, "a#!~#f", TSM_FLOAT, 1, 1);
    size_t mark = b.len;
    add_write(&b, "a#!~#f", TSM_INTEGER, 1, 2);
    write_segment("_00001.wal", &b);
    refuse_shard(wal, NULL, TSM_ECORRUPT, "values of type integer after values of type float");
    s = open_shard(wal, &skip);
    assert_string_equal(values_of(s, "a#!~#f"), "1=1");
    tsm_shard_close(s);
    b.len = mark;
    wal_add_delete(&b, TSM_STR("a#!~#f"), INT64_MIN, INT64_MAX);
    add_write(&b, "a#!~#f", TSM_INTEGER, 1, 2);
    write_segment("_00001.wal", &b);
    s = open_shard(wal, NULL);
    assert_string_equal(values_of(s, "a#!~#f"), "1=2");
    tsm_shard_close(s);
    tsm_buf_release(&b);
}

/* ---- threads ----------------------------------------------------------------------------------- */

static void *scan_all(void *arg)
{
    const struct tsm_shard *s = arg;
    struct tsm_scan *sc = tsm_scan_new();
    size_t n = 0;
    for (int round = 0; round < 20; round++) {
        for (size_t k = 0; k < s->nkeys; k++) {
            const struct tsm_values *b;
            if (tsm_scan_start(sc, s, k, INT64_MIN, INT64_MAX, NULL))
                n += 1000000;
            while (tsm_scan_next(sc, &b, NULL) == TSM_OK && b)
                n += b->n;
        }
    }
    tsm_scan_free(sc);
    return (void *)n;
}

static void threads(void **state)
{
    (void)state;
    make_file(dir, FIRST, one_key, 2);
    make_file(dir, SECOND, other_value, 2);
    struct tsm_shard *s = open_shard(NULL, NULL);
    struct tsm_entry e = tsm_reader_entry(s->files[1], 0, 0);
    tsm_shard_close(s);
    damage_file(dir, SECOND, e.offset + 6);
    s = open_shard(NULL, &skip);
    pthread_t id[4];
    for (size_t i = 0; i < N(id); i++)
        assert_int_equal(pthread_create(&id[i], NULL, scan_all, s), 0);
    for (size_t i = 0; i < N(id); i++) {
        void *n;
        pthread_join(id[i], &n);
        assert_int_equal((size_t)n, 20 * 3); /* 1, 2 and 3; the new value for 2 is lost */
    }
    assert_int_equal(reports.n, 1);
    tsm_shard_close(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, reset_reports, remove_temp)
    const struct CMUnitTest tests[] = {
        TEST(empty),         TEST(paths),         TEST(order_of_files),
        TEST(loose_files),   TEST(vanished_file), TEST(deleted_values_stay_deleted),
        TEST(many_keys),     TEST(measurements),  TEST(dead_keys),
        TEST(type_conflict), TEST(damaged_file),  TEST(golden_log),
        TEST(log_order),     TEST(damaged_log),   TEST(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
