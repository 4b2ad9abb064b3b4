/*
 * tests/bench/beside.c: what readers beside the writer of an engine cost, and what they wait for.
 *
 *   beside DIR [series [fields]]
 *
 * Fills a memtable (a million series by default), then reads one series at a time: alone, while new series come, and from four
 * threads while the writer goes on as fast as it can; and the whole shard once. Prints one line for each.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/time.h"
#include "store/engine.h"
#include "store/scan.h"

#define START 1577836800000000000

enum { BATCH = 1000, READERS = 4, MOST = 1 << 20, SECONDS = 5 };

static struct tsm_engine *engine;
static struct tsm_engine_policy *policy;
static size_t series = 1000000, fields = 1;
static atomic_bool stop;

static void must(int rc, const struct tsm_err *err)
{
    if (rc == TSM_OK)
        return;
    fprintf(stderr, "beside: %s\n", err->msg);
    exit(1);
}

static double now(void)
{
    return (double)tsm_monotonic() / 1e9;
}

static double cpu(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int create(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    return tsm_meta_create_database(m, tsm_str_of(ctx), NULL, err);
}

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    (void)line;
    fprintf(stderr, "beside: %.*s: %s\n", (int)text.n, text.p, cause);
    exit(1);
}

/* Rows [from, from + n) of the stream: series by series, then the next time. */
static void write_rows(size_t from, size_t n)
{
    static struct tsm_points points;
    static struct tsm_buf text;
    struct tsm_line_options opt = {.unit = 1, .now = START};
    struct tsm_err err;
    tsm_buf_reset(&text);
    tsm_points_reset(&points);
    for (size_t i = from; i < from + n; i++) {
        tsm_buf_printf(&text, "cpu,host=host_%07zu,region=eu", i % series);
        for (size_t f = 0; f < fields; f++)
            tsm_buf_printf(&text, "%cusage_%zu=%zu.5", f ? ',' : ' ', f, i % 97);
        tsm_buf_printf(&text, " %lld\n", (long long)(START + (int64_t)(i / series) * TSM_SEC));
    }
    tsm_line_parse(tsm_buf_view(&text), &opt, &points, on_reject, NULL);
    must(tsm_engine_write_to(engine, policy, &points, on_reject, NULL, &err), &err);
}

static size_t read_one(size_t number)
{
    struct tsm_shard *s;
    struct tsm_err err;
    struct tsm_buf key = {0};
    size_t n = 0;
    bool found;
    must(tsm_engine_read_shard(engine, TSM_STR("db"), TSM_STR("autogen"), 1, NULL, &s, &err), &err);
    tsm_buf_printf(&key, "cpu,host=host_%07zu,region=eu#!~#usage_0", number % series);
    size_t at = tsm_shard_seek(s, tsm_buf_view(&key), &found);
    if (found) {
        struct tsm_scan *sc = tsm_scan_new();
        const struct tsm_values *v;
        must(tsm_scan_start(sc, s, at, INT64_MIN, INT64_MAX, &err), &err);
        do {
            must(tsm_scan_next(sc, &v, &err), &err);
            n += v ? v->n : 0;
        } while (v);
        tsm_scan_free(sc);
    }
    tsm_engine_release_shard(engine, s);
    tsm_buf_release(&key);
    return n;
}

static size_t read_all(void)
{
    struct tsm_shard *s;
    struct tsm_err err;
    size_t n = 0;
    must(tsm_engine_read_shard(engine, TSM_STR("db"), TSM_STR("autogen"), 1, NULL, &s, &err), &err);
    struct tsm_scan *sc = tsm_scan_new();
    for (size_t i = 0; i < s->nkeys; i++) {
        const struct tsm_values *v;
        must(tsm_scan_start(sc, s, i, INT64_MIN, INT64_MAX, &err), &err);
        do {
            must(tsm_scan_next(sc, &v, &err), &err);
            n += v ? v->n : 0;
        } while (v);
    }
    tsm_scan_free(sc);
    tsm_engine_release_shard(engine, s);
    return n;
}

struct reader {
    pthread_t thread;
    double *times;
    size_t n;
};

static void *read_main(void *arg)
{
    struct reader *r = arg;
    uint64_t x = (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&stop) && r->n < MOST) {
        double begin = now();
        x = x * 6364136223846793005u + 1442695040888963407u;
        read_one((size_t)(x >> 33));
        r->times[r->n++] = now() - begin;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Writes for some seconds with so many readers; rows per second. */
static void mixed(size_t *row, int readers)
{
    struct reader r[READERS] = {0};
    atomic_store(&stop, false);
    for (int i = 0; i < readers; i++) {
        r[i].times = tsm_calloc(MOST, sizeof(double));
        pthread_create(&r[i].thread, NULL, read_main, &r[i]);
    }
    double begin = now(), cpu0 = cpu(CLOCK_THREAD_CPUTIME_ID);
    size_t from = *row;
    while (now() - begin < SECONDS) {
        write_rows(*row, BATCH);
        *row += BATCH;
    }
    double seconds = now() - begin, used = cpu(CLOCK_THREAD_CPUTIME_ID) - cpu0;
    atomic_store(&stop, true);
    printf("writer beside %d readers: %.0f rows/s, %.2f us CPU per row\n", readers,
           (double)(*row - from) / seconds, used / (double)(*row - from) * 1e6);
    for (int i = 0; i < readers; i++) {
        pthread_join(r[i].thread, NULL);
        qsort(r[i].times, r[i].n, sizeof(double), by_size);
        if (i == 0 && r[i].n)
            printf("  a reader: %zu reads, p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", r[i].n,
                   r[i].times[r[i].n / 2] * 1e3, r[i].times[r[i].n * 99 / 100] * 1e3,
                   r[i].times[r[i].n - 1] * 1e3);
        tsm_free(r[i].times);
    }
}

static void time_one(const char *what, size_t number)
{
    double begin = now();
    size_t n = read_one(number);
    printf("%s: %.3f ms, %zu values\n", what, (now() - begin) * 1e3, n);
}

int main(int argc, char **argv)
{
    struct tsm_err err;
    if (argc < 2)
        return 2;
    if (argc > 2)
        series = strtoull(argv[2], NULL, 10);
    if (argc > 3)
        fields = strtoull(argv[3], NULL, 10);
    struct tsm_engine_options opt = {.dir = argv[1], .holder = "beside", .memory = 1u << 30, .jobs = 2};
    must(tsm_engine_open(&tsm_fs_posix, &opt, &engine, &err), &err);
    must(tsm_engine_change_meta(engine, create, (void *)"db", &err), &err);
    must(tsm_engine_policy(engine, TSM_STR("db"), TSM_STR(""), &policy, &err), &err);
    size_t row = 0;
    double begin = now();
    for (; row < 2 * series; row += BATCH)
        write_rows(row, BATCH);
    printf("filled: %zu rows in %.2f s\n", row, now() - begin);
    time_one("first read of one series", 17);
    time_one("second", 18);
    time_one("third", series / 2);
    write_rows(row, BATCH);
    row += BATCH;
    time_one("after a write", 19);
    size_t old = series;
    series += 1000;
    for (size_t i = 0; i < 1000; i += BATCH)
        write_rows(old, BATCH);
    series = old;
    time_one("after a write with 1000 new series", 20);
    begin = now();
    size_t n = read_all();
    printf("all of the shard, one thread: %.3f s, %zu values\n", now() - begin, n);
    mixed(&row, 0);
    mixed(&row, 1);
    mixed(&row, READERS);
    mixed(&row, 0);
    begin = now();
    must(tsm_engine_flush(engine, &err), &err);
    must(tsm_engine_wait_flushed(engine, tsm_engine_mark(engine), &err), &err);
    printf("flush: %.2f s\n", now() - begin);
    time_one("first read after the flush", 21);
    time_one("second", 22);
    write_rows(row, BATCH);
    time_one("after a write", 23);
    tsm_engine_close(engine);
    return 0;
}
