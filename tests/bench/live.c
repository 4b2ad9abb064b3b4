/*
 * tests/bench/live.c: how long a batch of a live pipe takes until it is durable, at a steady rate.
 *
 *   live DIR SECONDS RATE
 *
 * RATE batches of 1,000 lines per second are parsed and written through the engine with its log on, each fsynced before the
 * next. The time of a batch counts from the moment when it was due: what a stall delays is counted, too. One point in five is late by
 * up to 1,000 seconds. Prints the percentiles in milliseconds as JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/sort.h"
#include "store/engine.h"
#include "base/banned.h"

enum { LINES = 1000, MEMORY = 16 << 20 };

#define START 1600000000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void wait_until(double due)
{
    double left = due - now();
    if (left <= 0)
        return;
    struct timespec t = {(time_t)left, (long)((left - floor(left)) * 1e9)};
    nanosleep(&t, NULL);
}

static void reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)line;
    fprintf(stderr, "live: %.*s: %s\n", (int)text.n, text.p, cause);
    *(bool *)ctx = true;
}

static void make_batch(struct tsm_buf *text, uint64_t batch)
{
    tsm_buf_reset(text);
    for (unsigned i = 0; i < LINES; i++) {
        uint64_t late = (batch + i) % 5 == 0 ? (batch * 7919 + i * 104729) % 1000 : 0;
        uint64_t second = START + batch + 1000 - late;
        tsm_buf_printf(text, "live,device=%u value=%llu.5,count=%lui %llu000000000\n", i,
                       (unsigned long long)(batch * i % 1000), (unsigned long)batch,
                       (unsigned long long)second);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, double p)
{
    size_t i = (size_t)((double)n * p);
    return sorted[i < n ? i : n - 1] * 1e3;
}

int main(int argc, char **argv)
{
    uint64_t seconds, rate;
    if (argc != 4 || !tsm_parse_uint(tsm_str_of(argv[2]), &seconds) ||
        !tsm_parse_uint(tsm_str_of(argv[3]), &rate) || !rate) {
        fputs("usage: live DIR SECONDS RATE\n", stderr);
        return 2;
    }
    struct tsm_engine_options opt = {.dir = argv[1],
                                     .database = TSM_STR("bench"),
                                     .holder = "live",
                                     .memory = MEMORY,
                                     .jobs = 1,
                                     .wal = true};
    struct tsm_line_options line = {.unit = 1};
    struct tsm_points points = {0};
    struct tsm_buf text = {0};
    struct tsm_engine *e;
    struct tsm_err err;
    bool rejected = false;
    size_t n = seconds * rate;
    double *took = tsm_calloc(n + 1, sizeof *took);
    int rc = tsm_engine_open(&tsm_fs_posix, &opt, &e, &err);
    double start = now();
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        double due = start + (double)i / (double)rate;
        make_batch(&text, i);
        wait_until(due);
        tsm_points_reset(&points);
        tsm_line_parse(tsm_buf_view(&text), &line, &points, reject, &rejected);
        rc = tsm_engine_write(e, &points, reject, &rejected, &err);
        if (rc == TSM_OK && tsm_engine_durable(e) < tsm_engine_mark(e))
            rc = tsm_err_set(&err, TSM_EIO, "batch %zu is not durable", i);
        took[i] = now() - due;
    }
    if (rc == TSM_OK)
        rc = tsm_engine_sync(e, &err);
    if (rc != TSM_OK || rejected) {
        fprintf(stderr, "live: %s\n", rc != TSM_OK ? err.msg : "points were rejected");
        return 1;
    }
    struct tsm_engine_stats st;
    tsm_engine_stats(e, &st);
    tsm_engine_close(e);
    tsm_sort(took, n, sizeof *took, compare);
    printf("{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"most\":%.3f,\"batches\":%zu,\"files\":%llu}\n",
           percentile(took, n, 0.5), percentile(took, n, 0.99), percentile(took, n, 0.999),
           percentile(took, n, 1), n, (unsigned long long)st.files);
    return fflush(stdout) == 0 ? 0 : 1;
}
