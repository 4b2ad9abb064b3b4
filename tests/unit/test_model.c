/*
 * tests/unit/test_model.c: random streams against a plain table of values.
 *
 * Points come in order, late, rewritten, shuffled and backwards, in all five types and over several shards, through engines with
 * and without a log; ranges of time of some series are deleted; compactions of every kind run in a thread of their own, beside the
 * writer. Before, during and after each of them the answer, of readers opened then and of one that has been open since before, is
 * what the table says.
 *
 * MODEL_SEED=N runs that seed alone; MODEL_SEEDS=N so many (default 60), MODEL_STEPS=N steps of each.
 */
#include <pthread.h>
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
#include "store/compaction_plan.h"
#include "store/compaction_run.h"
#include "store/data_dir.h"
#include "store/delete.h"
#include "store/engine.h"
#include "store/scan.h"
#include "store/sources.h"
#include "store/verify.h"
#include "temp_dir.h"

#define START 1577836800000000000 /* 2020-01-01 */

enum {
    SERIES = 4,
    TIMES = 3000, /* blocks have 1000 values */
    STEP_MINUTES = 10,
    VALUES = 1 << 20,
};

typedef int32_t table[SERIES][TSM_TYPES][TIMES]; /* 0: no value */

static table model;
static uint64_t state_of_random;
static unsigned long seed;
static struct counts {
    unsigned long checks, batches, deletes, compactions, concurrent, merges, moves, drops;
} counts;

static int below(int n)
{
    state_of_random += 0x9e3779b97f4a7c15u;
    uint64_t x = state_of_random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (int)((x ^ (x >> 31)) % (uint64_t)n);
}

static int64_t time_of(int t)
{
    return START + (int64_t)t * STEP_MINUTES * TSM_MINUTE;
}

static void must(int rc, const struct tsm_err *err)
{
    if (rc != TSM_OK)
        fail_msg("MODEL_SEED=%lu: %s", seed, err->msg);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* All shards of the directory. */
struct reading {
    struct tsm_shard *shards[16];
    size_t n;
};

static void open_reading(struct reading *r)
{
    struct tsm_sources s = {0};
    struct tsm_err err;
    r->n = 0;
    must(tsm_sources_add(&tsm_fs_posix, temp_dir, tsm_str(NULL, 0), tsm_str(NULL, 0), &s, &err), &err);
    for (size_t i = 0; i < s.n; i++) {
        int rc = tsm_source_open(&tsm_fs_posix, &s.items[i], NULL, &r->shards[r->n], &err);
        if (rc == TSM_ENOTFOUND)
            continue;
        must(rc, &err);
        assert_true(++r->n < sizeof r->shards / sizeof *r->shards);
    }
    tsm_sources_release(&s);
}

static void close_reading(struct reading *r)
{
    for (size_t i = 0; i < r->n; i++)
        tsm_shard_close(r->shards[i]);
    r->n = 0;
}

static bool same_value(enum tsm_type type, union tsm_value v, int32_t want)
{
    char text[16];
    switch (type) {
    case TSM_FLOAT:
        return v.f == want / 8.0;
    case TSM_INTEGER:
        return v.i == -(int64_t)want;
    case TSM_BOOLEAN:
        return v.b == (want & 1);
    case TSM_UNSIGNED:
        return v.u == UINT64_MAX - (uint64_t)want;
    default:
        snprintf(text, sizeof text, "s%d", want);
        return tsm_str_eq(v.s, tsm_str_of(text));
    }
}

static void check_key(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key, const table want,
                      size_t *found)
{
    int s, f;
    struct tsm_err err;
    const struct tsm_values *batch;
    struct tsm_str name = tsm_shard_key(shard, key);
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(name.n < 60 ? name.n : 60), name.p);
    if (sscanf(text, "m,h=%d#!~#f%d", &s, &f) != 2 || s < 0 || s >= SERIES || f < 0 || f >= TSM_TYPES)
        fail_msg("MODEL_SEED=%lu: key '%s'", seed, text);
    must(tsm_scan_start(sc, shard, key, INT64_MIN, INT64_MAX, &err), &err);
    int64_t before = INT64_MIN;
    for (;;) {
        must(tsm_scan_next(sc, &batch, &err), &err);
        if (!batch)
            break;
        assert_int_equal(batch->type, f);
        for (size_t i = 0; i < batch->n; i++) {
            int64_t t = (batch->t[i] - START) / (STEP_MINUTES * TSM_MINUTE);
            if (t < 0 || t >= TIMES || time_of((int)t) != batch->t[i] || batch->t[i] <= before ||
                !want[s][f][t] || !same_value(batch->type, tsm_values_get(batch, i), want[s][f][t]))
                fail_msg("MODEL_SEED=%lu: '%s' has another value at %lld (step %lld) than %d", seed, text,
                         (long long)batch->t[i], (long long)t, t >= 0 && t < TIMES ? want[s][f][t] : -1);
            before = batch->t[i];
        }
        *found += batch->n;
    }
}

static void check_reading(const struct reading *r, const table want)
{
    size_t found = 0, wanted = 0;
    struct tsm_scan *sc = tsm_scan_new();
    for (size_t i = 0; i < r->n; i++)
        for (size_t key = 0; key < r->shards[i]->nkeys; key++)
            check_key(sc, r->shards[i], key, want, &found);
    tsm_scan_free(sc);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < TSM_TYPES; f++)
            for (int t = 0; t < TIMES; t++)
                wanted += want[s][f][t] != 0;
    if (found != wanted)
        fail_msg("MODEL_SEED=%lu: %zu values are there instead of %zu", seed, found, wanted);
    counts.checks++;
}

static void check_directory(void)
{
    struct reading r;
    open_reading(&r);
    check_reading(&r, model);
    close_reading(&r);
}

static int print_fault(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err)
{
    (void)ctx, (void)err;
    if (kind != TSM_FINDING_NOTE)
        print_message("MODEL_SEED=%lu: %s\n", seed, line);
    return TSM_OK;
}

/* Checksums, indexes, and that ordered files do not overlap. */
static void verify_directory(void)
{
    struct tsm_verify v = {.fs = &tsm_fs_posix, .jobs = 1, .report = print_fault};
    struct tsm_err err;
    must(tsm_verify_path(&v, temp_dir, &err), &err);
    assert_int_equal(v.stats.faults + v.stats.unreadable, 0);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void put_field(struct tsm_buf *text, int f, int32_t v)
{
    tsm_buf_printf(text, "f%d=", f);
    switch (f) {
    case TSM_FLOAT:
        tsm_buf_printf(text, "%.3f", v / 8.0);
        break;
    case TSM_INTEGER:
        tsm_buf_printf(text, "%di", -v);
        break;
    case TSM_BOOLEAN:
        tsm_buf_puts(text, v & 1 ? "true" : "false");
        break;
    case TSM_UNSIGNED:
        tsm_buf_printf(text, "%lluu", (unsigned long long)(UINT64_MAX - (uint64_t)v));
        break;
    default:
        tsm_buf_printf(text, "\"s%d\"", v);
    }
}

static void put_line(struct tsm_buf *text, int s, int t, int fields)
{
    char separator = ' ';
    tsm_buf_printf(text, "m,h=%d", s);
    for (int f = 0; f < TSM_TYPES; f++) {
        if (!(fields & 1 << f))
            continue;
        tsm_buf_byte(text, (uint8_t)separator);
        separator = ',';
        model[s][f][t] = 1 + below(VALUES);
        put_field(text, f, model[s][f][t]);
    }
    tsm_buf_printf(text, " %lld\n", (long long)time_of(t));
}

/* Lines in one of several orders, which go on from where the last ones were, or not. */
static void put_lines(struct tsm_buf *text)
{
    static int newest[SERIES];
    int order = below(6), s = below(SERIES), fields = 1 + below((1 << TSM_TYPES) - 1);
    int n = below(10) == 0 ? 1500 : 1 + below(300), at = below(TIMES);
    for (int i = 0; i < n; i++) {
        int t;
        switch (order) {
        case 0:
        case 1: /* in order, where a series ended */
            t = newest[s];
            break;
        case 2: /* anything */
            t = below(TIMES);
            s = below(SERIES);
            fields = 1 + below((1 << TSM_TYPES) - 1);
            break;
        case 3: /* backwards */
            t = at = (at + TIMES - 1) % TIMES;
            break;
        case 4: /* a stretch again */
            t = at = (at + 1) % TIMES;
            break;
        default: /* late by some */
            t = (newest[s] + TIMES - below(50)) % TIMES;
        }
        newest[s] = (t + 1) % TIMES;
        put_line(text, s, t, fields);
    }
}

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx, (void)line;
    fail_msg("MODEL_SEED=%lu: rejected: %.*s: %s", seed, (int)text.n, text.p, cause);
}

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    fail_msg("MODEL_SEED=%lu: warning: %s", seed, message);
}

static struct tsm_engine *open_engine(bool wal)
{
    struct tsm_engine *e;
    struct tsm_err err;
    struct tsm_engine_options opt = {
        .dir = temp_dir,
        .database = TSM_STR("db"),
        .holder = "test",
        .memory = (size_t)(4 + below(28)) << 20,
        .jobs = 1 + (unsigned)below(2),
        .wal = wal,
        .sync_interval = below(2) ? 0 : TSM_HOUR,
        .warn = on_warning,
    };
    must(tsm_engine_open(&tsm_fs_posix, &opt, &e, &err), &err);
    return e;
}

static void write_batch(struct tsm_engine *e)
{
    struct tsm_buf text = {0};
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    struct tsm_err err;
    put_lines(&text);
    tsm_line_parse(tsm_buf_view(&text), &opt, &points, on_reject, NULL);
    must(tsm_engine_write(e, &points, on_reject, NULL, &err), &err);
    tsm_points_release(&points);
    tsm_buf_release(&text);
    counts.batches++;
}

/* ---- deleting ------------------------------------------------------------------------------------------ */

static bool is_wanted(void *ctx, struct tsm_str series)
{
    const unsigned *wanted = ctx;
    char text[16];
    for (int s = 0; s < SERIES; s++) {
        snprintf(text, sizeof text, "m,h=%d", s);
        if (tsm_str_eq(series, tsm_str_of(text)))
            return *wanted >> s & 1;
    }
    return false;
}

/* All that has been written is visible to other processes: synced, or in the log. */
static void delete_some(void)
{
    struct tsm_sources sources = {0};
    struct tsm_err err;
    unsigned wanted = 1 + (unsigned)below((1 << SERIES) - 1);
    int from = below(TIMES), to = below(4) == 0 ? TIMES - 1 : from + below(TIMES - from);
    if (below(5) == 0)
        from = 0;
    must(tsm_sources_add(&tsm_fs_posix, temp_dir, tsm_str(NULL, 0), tsm_str(NULL, 0), &sources, &err), &err);
    for (size_t i = 0; i < sources.n; i++) {
        struct tsm_delete d = {
            .fs = &tsm_fs_posix,
            .dir = sources.items[i].path,
            .wal = sources.items[i].wal,
            .holder = "test",
            .tmin = time_of(from),
            .tmax = time_of(to),
            .jobs = 1,
            .wanted = is_wanted,
            .ctx = &wanted,
        };
        must(tsm_delete_run(&d, &err), &err);
    }
    tsm_sources_release(&sources);
    for (int s = 0; s < SERIES; s++)
        for (int f = 0; f < TSM_TYPES; f++)
            for (int t = from; t <= to && wanted >> s & 1; t++)
                model[s][f][t] = 0;
    counts.deletes++;
}

/* ---- compacting ---------------------------------------------------------------------------------------- */

struct compacting {
    int64_t cold;
    uint32_t max_level;
    unsigned jobs;
    bool failed;
    struct tsm_err err;
    unsigned long done, merges, moves, drops;
};

static int compact_shard(struct compacting *c, const struct tsm_source *s, struct tsm_err *err)
{
    struct tsm_compaction_run run = {
        .fs = &tsm_fs_posix, .dir = s->path, .jobs = c->jobs, .memory = 64 << 20};
    struct tsm_plan_options opt = {.now = tsm_now(), .cold = c->cold, .max_level = c->max_level};
    struct tsm_compactions plan = {0};
    struct tsm_lock lock = {0};
    if (!tsm_fs_exists(&tsm_fs_posix, s->path))
        return TSM_OK;
    char *path = tsm_path_shard_lock(s->path);
    int rc = tsm_lock_take(&tsm_fs_posix, path, "test", &lock, err);
    tsm_free(path);
    if (rc == TSM_OK)
        rc = tsm_compaction_clean(&run, err);
    if (rc == TSM_OK)
        rc = tsm_compaction_plan(&tsm_fs_posix, s->path, s->db, s->rp, s->id, &opt, NULL, &plan, err);
    for (size_t i = 0; i < plan.n && rc == TSM_OK; i++) {
        rc = tsm_compaction_execute(&run, &plan.items[i], err);
        c->done++;
    }
    c->merges += run.figures.outputs;
    c->moves += run.figures.moved;
    c->drops += run.figures.dropped;
    tsm_compactions_release(&plan);
    tsm_lock_release(&lock);
    return rc;
}

static void *compact(void *ctx)
{
    struct compacting *c = ctx;
    struct tsm_sources sources = {0};
    int rc = tsm_sources_add(&tsm_fs_posix, temp_dir, tsm_str(NULL, 0), tsm_str(NULL, 0), &sources, &c->err);
    for (size_t i = 0; i < sources.n && rc == TSM_OK; i++)
        rc = compact_shard(c, &sources.items[i], &c->err);
    tsm_sources_release(&sources);
    c->failed = rc != TSM_OK;
    return NULL;
}

/* e: an engine that writes meanwhile (NULL: none), whose points are visible at once, or not. */
static void compact_beside(struct tsm_engine *e, bool visible)
{
    static table before;
    struct compacting c = {
        .cold = below(2) ? 0 : TSM_HOUR,
        .max_level = below(4) ? 0 : 2 + (uint32_t)below(2),
        .jobs = 1 + (unsigned)below(2),
    };
    struct reading old, young;
    pthread_t thread;
    memcpy(before, model, sizeof before);
    open_reading(&old);
    assert_int_equal(pthread_create(&thread, NULL, compact, &c), 0);
    open_reading(&young); /* in the middle */
    for (int i = below(3); i > 0 && e; i--)
        write_batch(e);
    if (!e || visible)
        check_directory();
    check_reading(&young, before);
    pthread_join(thread, NULL);
    if (c.failed)
        fail_msg("MODEL_SEED=%lu: %s", seed, c.err.msg);
    check_reading(&old, before);
    if (!e || visible)
        check_directory();
    close_reading(&old);
    close_reading(&young);
    counts.compactions += c.done;
    counts.concurrent += e != NULL;
    counts.merges += c.merges;
    counts.moves += c.moves;
    counts.drops += c.drops;
}

/* ---- */

/* A writer from its start to its end, perhaps with others at work beside it. */
static void run_writer(int steps)
{
    struct tsm_err err;
    bool wal = below(2), synced = true;
    struct tsm_engine *e = open_engine(wal);
    for (int i = 0; i < steps; i++) {
        int step = below(10);
        if (step < 5) {
            write_batch(e);
            synced = false;
        } else if (step < 6) {
            must(tsm_engine_sync(e, &err), &err);
            synced = true;
        } else if ((wal || synced) && step < 7) {
            delete_some();
        } else if (wal || synced) {
            compact_beside(below(2) ? e : NULL, wal);
            synced = false;
        }
        if (wal && below(3) == 0)
            check_directory();
    }
    if (!wal || below(3)) /* what is in a log survives without it */
        must(tsm_engine_sync(e, &err), &err);
    tsm_engine_close(e);
    check_directory();
}

static void run_seed(int steps)
{
    make_temp(NULL);
    memset(model, 0, sizeof model);
    state_of_random = seed;
    struct tsm_err err;
    struct tsm_engine *e = open_engine(false);
    write_batch(e);
    must(tsm_engine_sync(e, &err), &err);
    tsm_engine_close(e);
    for (int i = 0; i < steps; i++) {
        switch (below(4)) {
        case 0:
            compact_beside(NULL, true);
            break;
        case 1:
            if (below(2))
                delete_some();
            break;
        default:
            run_writer(1 + below(8));
        }
        check_directory();
    }
    verify_directory();
    for (int i = 0; i < 3; i++)
        compact_beside(NULL, true);
    verify_directory();
    check_directory();
    remove_temp(NULL);
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_streams(void **state)
{
    (void)state;
    unsigned long first = number("MODEL_SEED", 0), n = number("MODEL_SEEDS", 60);
    for (seed = first ? first : 1; seed < (first ? first + 1 : n + 1); seed++)
        run_seed((int)number("MODEL_STEPS", 12));
    print_message("%lu checks, %lu batches, %lu deletes; %lu compactions: %lu outputs, %lu moved, %lu "
                  "dropped files; %lu runs "
                  "beside a writer\n",
                  counts.checks, counts.batches, counts.deletes, counts.compactions, counts.merges,
                  counts.moves, counts.drops, counts.concurrent);
    if (!first && n >= 30) /* it tests something */
        assert_true(counts.merges && counts.concurrent && counts.deletes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
