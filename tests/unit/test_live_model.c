/*
 * tests/unit/test_live_model.c: an engine under everything that a daemon does to it at the same time.
 *
 * One thread writes rows (in order, late, rewritten, with fields that are new to their series), flushes, deletes and drops; another
 * one compacts; some read. The one that writes compares all that it reads with a plain table. The others cannot know what there
 * should be, but a row tells how it was written: the number in its fields is the same in all of them and says which ones there are.
 * So they know whether they see each row as a whole, and, by a counter beside, that nothing is missing that was written before.
 *
 * MODEL_SEED=N runs that seed alone; MODEL_SEEDS=N so many, MODEL_STEPS=N steps of each.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "format/series_key.h"
#include "store/compaction_plan.h"
#include "store/compaction_run.h"
#include "store/data_dir.h"
#include "store/engine.h"
#include "store/scan.h"
#include "temp_dir.h"

#define START 1577836800000000000 /* 2020-01-01, a Wednesday: shards start on Mondays */
#define STEP (5 * 60000000000)

enum {
    DATABASES = 2,
    SERIES = 5,
    TIMES = 3000, /* ten days */
    EXTRAS = 7,   /* fields that some rows have: c1 to c7, by the number in the row modulo 8 */
    READERS = 3,
};

typedef int64_t rows[SERIES][TIMES]; /* 0: none */

static struct world {
    struct tsm_engine *engine;
    rows model[DATABASES];
    int64_t number;
    int at[DATABASES][SERIES]; /* the newest time, roughly */
    atomic_long ticks;
    atomic_bool stop;
    atomic_long reads, compactions;
} world;

static _Thread_local uint64_t state_of_random;

static int below(int n)
{
    state_of_random += 0x9e3779b97f4a7c15u;
    uint64_t x = state_of_random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (int)((x ^ (x >> 31)) % (uint64_t)n);
}

/* cmocka's assertions are for its own thread. */
#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

static void must(int rc, const struct tsm_err *err)
{
    if (rc == TSM_OK)
        return;
    fprintf(stderr, "%s\n", err->msg);
    abort();
}

static char *database_name(int db)
{
    static char names[DATABASES][4] = {"db0", "db1"};
    return names[db];
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct seen {
    rows fields[3 + EXTRAS]; /* a, b, s, c1 … */
};

static void note_values(struct seen *seen, int series, int field, const struct tsm_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        int64_t t = (v->t[i] - START) / STEP, number = 0;
        MUST(t >= 0 && t < TIMES);
        if (v->type == TSM_STRING) {
            char text[32];
            MUST(v->v.s[i].n < sizeof text);
            snprintf(text, sizeof text, "%.*s", (int)v->v.s[i].n, v->v.s[i].p);
            number = strtoll(text, NULL, 10);
        } else {
            number = v->v.i[i];
        }
        MUST(number > 0);
        MUST(seen->fields[field][series][t] == 0);
        seen->fields[field][series][t] = number;
    }
}

static void note_shard(struct seen *seen, const struct tsm_shard *s)
{
    struct tsm_scan *sc = tsm_scan_new();
    struct tsm_err err;
    size_t first = s->nkeys ? (size_t)below((int)s->nkeys) : 0; /* not always in order */
    for (size_t k = 0; k < s->nkeys; k++) {
        size_t key = (first + k) % s->nkeys;
        struct tsm_str series, field;
        const struct tsm_values *v;
        MUST(tsm_key_split(tsm_shard_key(s, key), &series, &field));
        int number = series.p[series.n - 1] - '0';
        int f = field.p[0] == 'a' ? 0 : field.p[0] == 'b' ? 1 : field.p[0] == 's' ? 2 : 2 + field.p[1] - '0';
        uint64_t count = 0, n = 0;
        if (below(4) == 0)
            must(tsm_scan_count(sc, s, key, INT64_MIN, INT64_MAX, &count, &err), &err);
        must(tsm_scan_start(sc, s, key, INT64_MIN, INT64_MAX, &err), &err);
        for (;;) {
            must(tsm_scan_next(sc, &v, &err), &err);
            if (!v)
                break;
            note_values(seen, number, f, v);
            n += v->n;
        }
        MUST(count == 0 || count == n);
    }
    tsm_scan_free(sc);
}

/* A row is there with all of its fields, or not at all. */
static void check_rows(const struct seen *seen)
{
    for (int s = 0; s < SERIES; s++) {
        for (int t = 0; t < TIMES; t++) {
            int64_t number = seen->fields[0][s][t];
            MUST(seen->fields[1][s][t] == number);
            if (seen->fields[2][s][t] != (s == 0 ? number : 0))
                fprintf(stderr, "series %d, time %d: %" PRId64 " in a, %" PRId64 " in s\n", s, t, number,
                        seen->fields[2][s][t]);
            MUST(seen->fields[2][s][t] == (s == 0 ? number : 0));
            if (number % 8 && seen->fields[2 + number % 8][s][t] != number)
                fprintf(stderr, "series %d, time %d: %" PRId64 " in a, %" PRId64 " in c\n", s, t, number,
                        seen->fields[2 + number % 8][s][t]);
            if (number % 8)
                MUST(seen->fields[2 + number % 8][s][t] == number);
            for (int c = 0; c < EXTRAS; c++) /* of an older row at that time */
                MUST(seen->fields[3 + c][s][t] <= number);
        }
    }
}

/* Reads all shards of a database, each as it is then. */
static struct seen *read_database(int db)
{
    struct seen *seen = tsm_calloc(1, sizeof *seen);
    struct tsm_meta meta;
    struct tsm_err err;
    must(tsm_engine_meta(world.engine, &meta, &err), &err);
    struct tsm_str name = tsm_str_of(database_name(db));
    const struct tsm_database *d = tsm_meta_database(&meta, name);
    const struct tsm_rp *rp = d ? tsm_meta_rp(d, TSM_STR("autogen")) : NULL;
    for (size_t i = 0; rp && i < rp->ngroups; i++) {
        struct tsm_shard *s;
        int rc = tsm_engine_read_shard(world.engine, name, rp->name, rp->groups[i].shards[0], NULL, &s, &err);
        if (rc == TSM_ENOTFOUND)
            continue;
        must(rc, &err);
        note_shard(seen, s);
        tsm_engine_release_shard(world.engine, s);
    }
    tsm_meta_release(&meta);
    return seen;
}

/* Ticks are written one by one, at one nanosecond after the other. */
static void check_ticks(void)
{
    long ticks = atomic_load(&world.ticks);
    struct tsm_shard *s;
    struct tsm_err err;
    int rc = tsm_engine_read_shard(world.engine, TSM_STR("ticks"), TSM_STR("autogen"), 1, NULL, &s, &err);
    if (rc == TSM_ENOTFOUND && ticks == 0)
        return;
    must(rc, &err);
    struct tsm_scan *sc = tsm_scan_new();
    const struct tsm_values *v;
    int64_t next = 0;
    for (size_t i = 0; i < s->nkeys; i++) {
        must(tsm_scan_start(sc, s, i, INT64_MIN, INT64_MAX, &err), &err);
        for (;;) {
            must(tsm_scan_next(sc, &v, &err), &err);
            if (!v)
                break;
            for (size_t k = 0; k < v->n; k++, next++)
                MUST(v->t[k] == START + next && v->v.i[k] == next);
        }
    }
    MUST(next >= ticks);
    tsm_scan_free(sc);
    tsm_engine_release_shard(world.engine, s);
}

static void *read_main(void *arg)
{
    state_of_random = (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&world.stop)) {
        struct seen *seen = read_database(below(DATABASES));
        check_rows(seen);
        tsm_free(seen);
        check_ticks();
        atomic_fetch_add(&world.reads, 1);
    }
    return NULL;
}

/* ---- compacting -------------------------------------------------------------------------------- */

static void compact_shard(int db, uint64_t id)
{
    struct tsm_str name = tsm_str_of(database_name(db)), rp = TSM_STR("autogen");
    struct tsm_plan_options opt = {.now = START, .cold = below(2) ? 0 : INT64_MAX / 2};
    struct tsm_compactions plan = {0};
    struct tsm_lock lock = {0};
    char *dir = tsm_path_shard(temp_dir, name, rp, id), *path = tsm_path_shard_lock(dir);
    struct tsm_compaction_run run = {.fs = &tsm_fs_posix, .dir = dir, .jobs = 1, .memory = 8 << 20};
    /* Anything may fail: the shard may be dropped meanwhile. */
    if (tsm_fs_exists(&tsm_fs_posix, dir) &&
        tsm_lock_take(&tsm_fs_posix, path, "test", &lock, NULL) == TSM_OK) {
        int rc = tsm_compaction_clean(&run, NULL);
        if (rc == TSM_OK)
            rc = tsm_compaction_plan(&tsm_fs_posix, dir, name, rp, id, &opt, NULL, &plan, NULL);
        for (size_t i = 0; i < plan.n && rc == TSM_OK; i++) {
            rc = tsm_compaction_execute(&run, &plan.items[i], NULL);
            atomic_fetch_add(&world.compactions, rc == TSM_OK);
        }
    }
    tsm_lock_release(&lock);
    tsm_compactions_release(&plan);
    tsm_free(path);
    tsm_free(dir);
}

static void *compact_main(void *arg)
{
    state_of_random = (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&world.stop)) {
        struct tsm_meta meta;
        struct tsm_err err;
        int db = below(DATABASES);
        must(tsm_engine_meta(world.engine, &meta, &err), &err);
        const struct tsm_database *d = tsm_meta_database(&meta, tsm_str_of(database_name(db)));
        const struct tsm_rp *rp = d ? tsm_meta_rp(d, TSM_STR("autogen")) : NULL;
        for (size_t i = 0; rp && i < rp->ngroups; i++)
            compact_shard(db, rp->groups[i].shards[0]);
        tsm_meta_release(&meta);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    (void)line;
    fprintf(stderr, "%.*s: %s\n", (int)text.n, text.p, cause);
    abort();
}

static void write_lines(const char *db, struct tsm_str text)
{
    struct tsm_engine_policy *policy;
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = START};
    struct tsm_err err;
    tsm_line_parse(text, &opt, &points, on_reject, NULL);
    must(tsm_engine_policy(world.engine, tsm_str_of(db), TSM_STR(""), &policy, &err), &err);
    must(tsm_engine_write_to(world.engine, policy, &points, on_reject, NULL, &err), &err);
    tsm_points_release(&points);
}

static void put_row(struct tsm_buf *text, int db, int s, int t, bool extra)
{
    int64_t number = world.number += 8;
    if (extra)
        number += 1 + below(EXTRAS);
    world.model[db][s][t] = number;
    tsm_buf_printf(text, "m,h=%d a=%" PRId64 "i,b=%" PRId64 "i", s, number, number);
    if (s == 0)
        tsm_buf_printf(text, ",s=\"%" PRId64 "\"", number);
    if (number % 8)
        tsm_buf_printf(text, ",c%d=%" PRId64 "i", (int)(number % 8), number);
    tsm_buf_printf(text, " %" PRId64 "\n", START + t * STEP);
}

static void write_rows(int db)
{
    struct tsm_buf text = {0};
    int n = 1 + below(below(8) ? 40 : 400), order = below(5), s = below(SERIES);
    for (int i = 0; i < n; i++) {
        int *at = &world.at[db][s], t;
        if (below(4) == 0)
            s = below(SERIES);
        if (order < 3) { /* in order; now and then the same time again */
            *at += below(6) ? 1 + (below(20) == 0) : 0;
            *at %= TIMES;
            t = *at;
        } else if (order == 3) { /* a little late */
            t = *at - below(50);
            t = t < 0 ? 0 : t;
        } else {
            t = below(TIMES);
        }
        put_row(&text, db, s, t, below(60) == 0);
    }
    write_lines(database_name(db), tsm_buf_view(&text));
    tsm_buf_reset(&text);
    long tick = atomic_load(&world.ticks);
    tsm_buf_printf(&text, "tick n=%ldi %" PRId64 "\n", tick, START + tick);
    write_lines("ticks", tsm_buf_view(&text));
    atomic_store(&world.ticks, tick + 1);
    tsm_buf_release(&text);
}

static bool is_wanted(void *ctx, struct tsm_str series)
{
    return series.p[series.n - 1] == '0' + *(int *)ctx;
}

static void delete_rows(int db)
{
    int s = below(SERIES), from = below(TIMES), to = from + below(below(3) ? 200 : TIMES);
    struct tsm_str name = tsm_str_of(database_name(db)), rp_name = TSM_STR("autogen");
    struct tsm_meta meta;
    struct tsm_err err;
    if (to >= TIMES)
        to = TIMES - 1;
    must(tsm_engine_meta(world.engine, &meta, &err), &err);
    const struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&meta, name), rp_name);
    for (size_t i = 0; i < rp->ngroups; i++) {
        struct tsm_delete d = {.holder = "test",
                               .tmin = START + from * STEP,
                               .tmax = START + to * STEP,
                               .wanted = is_wanted,
                               .ctx = &s};
        must(tsm_engine_delete(world.engine, name, rp_name, rp->groups[i].shards[0], &d, &err), &err);
    }
    tsm_meta_release(&meta);
    memset(&world.model[db][s][from], 0, (size_t)(to - from + 1) * sizeof(int64_t));
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

static void drop_database(int db)
{
    struct tsm_err err;
    must(tsm_engine_change_meta(world.engine, drop, database_name(db), &err), &err);
    must(tsm_engine_drop(world.engine, tsm_str_of(database_name(db)), TSM_STR(""), 0, &err), &err);
    must(tsm_engine_change_meta(world.engine, create, database_name(db), &err), &err);
    memset(world.model[db], 0, sizeof world.model[db]);
}

static void check_model(int db)
{
    struct seen *seen = read_database(db);
    check_rows(seen);
    MUST(memcmp(seen->fields[0], world.model[db], sizeof(rows)) == 0);
    tsm_free(seen);
}

static void step(void)
{
    int what = below(200), db = below(DATABASES);
    struct tsm_err err;
    if (what < 150)
        write_rows(db);
    else if (what < 170)
        must(tsm_engine_flush(world.engine, &err), &err);
    else if (what < 173) {
        must(tsm_engine_flush(world.engine, &err), &err);
        must(tsm_engine_wait_flushed(world.engine, tsm_engine_mark(world.engine), &err), &err);
    } else if (what < 180)
        delete_rows(db);
    else if (what == 180 && below(4) == 0)
        drop_database(db);
    else
        check_model(db);
}

/* ---- all together ------------------------------------------------------------------------------ */

static void open_world(void)
{
    struct tsm_engine_options opt = {.dir = temp_dir, .holder = "test", .memory = 4 << 20, .jobs = 2};
    struct tsm_err err;
    must(tsm_engine_open(&tsm_fs_posix, &opt, &world.engine, &err), &err);
}

static void run(uint64_t seed, int steps)
{
    pthread_t threads[READERS + 1];
    struct tsm_err err;
    memset(world.model, 0, sizeof world.model);
    memset(world.at, 0, sizeof world.at);
    atomic_store(&world.ticks, 0);
    atomic_store(&world.stop, false);
    state_of_random = seed;
    open_world();
    must(tsm_engine_change_meta(world.engine, create, (void *)"ticks", &err), &err);
    write_lines("ticks", TSM_STR("tick n=0i 1577836800000000000\n")); /* its shard is the first */
    atomic_store(&world.ticks, 1);
    for (int i = 0; i < DATABASES; i++)
        must(tsm_engine_change_meta(world.engine, create, database_name(i), &err), &err);
    for (int i = 0; i <= READERS; i++)
        MUST(pthread_create(&threads[i], NULL, i ? read_main : compact_main,
                            (void *)(uintptr_t)(seed * 100 + (uint64_t)i)) == 0);
    for (int i = 0; i < steps; i++)
        step();
    atomic_store(&world.stop, true);
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    must(tsm_engine_sync(world.engine, &err), &err);
    tsm_engine_close(world.engine);
    open_world(); /* all from files */
    for (int i = 0; i < DATABASES; i++)
        check_model(i);
    check_ticks();
    tsm_engine_close(world.engine);
}

static void test_all_at_once(void **state)
{
    const char *seed = getenv("MODEL_SEED"), *seeds = getenv("MODEL_SEEDS"), *steps = getenv("MODEL_STEPS");
    uint64_t from = seed ? strtoull(seed, NULL, 10) : 1, n = seed ? 1 : seeds ? strtoull(seeds, NULL, 10) : 3;
    (void)state;
    for (uint64_t i = from; i < from + n; i++) {
        print_message("seed %llu\n", (unsigned long long)i);
        assert_int_equal(tsm_fs_remove_tree(&tsm_fs_posix, temp_dir, NULL), TSM_OK);
        run(i, steps ? atoi(steps) : 800);
    }
    print_message("%ld reads, %ld compactions beside\n", atomic_load(&world.reads),
                  atomic_load(&world.compactions));
    assert_true(atomic_load(&world.reads) > 0);
    assert_true(atomic_load(&world.compactions) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_at_once, make_temp, remove_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
