/* tests/unit/engine_grid.c: writing through the engine and reading back, against a model. */
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

#include "base/alloc.h"
#include "format/meta_db.h"
#include "store/data_dir.h"
#include "store/scan.h"

uint64_t seed;
grid model;
int warnings;
char last_warning[1024];

static uint64_t next_random(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int below(int n)
{
    return (int)(next_random() % (uint64_t)n);
}

/* ---- the model ---- */

int64_t grid_time(int t)
{
    return START + t * TIME_STEP;
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
void put_lines(struct tsm_buf *text, grid g, int n)
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

void count_rejected(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct rejected *r = ctx;
    (void)line;
    (void)text;
    r->n++;
    snprintf(r->cause, sizeof r->cause, "%s", cause);
}

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

struct tsm_engine_options engine_options(void)
{
    return (struct tsm_engine_options){
        .dir = temp_dir, .database = DB, .holder = "test", .memory = 4 << 20, .jobs = 2, .warn = on_warning};
}

int write_text(struct tsm_engine *e, struct tsm_str text, struct rejected *rejected, struct tsm_err *err)
{
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    tsm_line_parse(text, &opt, &points, count_rejected, rejected);
    int rc = tsm_engine_write(e, &points, count_rejected, rejected, err);
    tsm_points_release(&points);
    return rc;
}

int run_engine(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_str text,
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

struct tsm_engine_stats write_run(const char *text, struct rejected *rejected)
{
    struct tsm_engine_options opt = engine_options();
    struct tsm_engine_stats stats;
    struct tsm_err err;
    if (run_engine(&tsm_fs_posix, &opt, tsm_str_of(text), &stats, rejected, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    return stats;
}

/* ---- reading back ---- */

static void read_shard(uint64_t id, grid g)
{
    struct tsm_shard *s;
    struct tsm_err err;
    char *path = tsm_path_shard(temp_dir, DB, TSM_STR("autogen"), id),
         *wal = tsm_path_wal(temp_dir, DB, TSM_STR("autogen"), id);
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
                int64_t t = (v->t[k] - START) / TIME_STEP;
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

void read_grid(grid g)
{
    struct tsm_meta meta = {0};
    struct tsm_err err;
    memset(g, 0, sizeof(grid));
    if (tsm_meta_load(&tsm_fs_posix, temp_dir, &meta, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    struct tsm_database *db = tsm_meta_database(&meta, DB);
    struct tsm_rp *rp = db ? tsm_meta_rp(db, TSM_STR("autogen")) : NULL;
    for (size_t i = 0; rp && i < rp->ngroups; i++)
        read_shard(rp->groups[i].shards[0], g);
    tsm_meta_release(&meta);
}

void check_grid(void)
{
    static grid found;
    read_grid(found);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < FIELDS; f++)
            for (int t = 0; t < TIMES; t++)
                if (model[s][f][t] != found[s][f][t])
                    fail_msg("series %d field %d time %d: %d instead of %d", s, f, t, found[s][f][t],
                             model[s][f][t]);
}

int count_files(const char *sub, const char *suffix)
{
    struct tsm_names names;
    char path[200];
    int n = 0;
    snprintf(path, sizeof path, "%s/%s", temp_dir, sub);
    if (tsm_fs_list(&tsm_fs_posix, path, &names, NULL) != TSM_OK)
        return 0;
    for (size_t i = 0; i < names.n; i++) {
        size_t len = strlen(names.names[i]), want = strlen(suffix);
        n += len >= want && strcmp(names.names[i] + len - want, suffix) == 0;
    }
    tsm_names_release(&names);
    return n;
}

void write_bytes(const char *sub, const void *p, size_t n)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", temp_dir, sub);
    struct tsm_err err;
    if (tsm_fs_write_file(&tsm_fs_posix, path, tsm_str(p, n), &err) != TSM_OK)
        fail_msg("%s", err.msg);
}
