/*
 * tests/bench/generate.c: the data set of the measurements, as line protocol or CSV on stdout.
 *
 *   generate [--devices N] [--rows N] [--step SECONDS] [--order device|time|shuffled] [--late PERCENT]
 *            [--format line|csv] [--seed S]
 *
 * Every device has --rows rows, --step seconds apart (default 1). They come device by device, or in the order of time, where
 * --late PERCENT of the rows arrive up to a day after their time, or in no order at all. A row is a function of seed, device and
 * row number alone, so all orders and both formats hold the same points.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    GROUPS = 100,
    GAUSS_SLOTS = 1 << 16, /* humidity is drawn from this many precomputed Gaussian values */
    TIME_LEN = 19,         /* digits of a timestamp in nanoseconds */
    ROOM = 256,            /* more than the longest row */
    FLUSH_AT = 1 << 20,
    DAY = 86400, /* seconds */
};

static const int64_t start_time = 1577836800; /* 2020-01-01T00:00:00Z */

struct text {
    uint8_t n;
    char s[15];
};

struct device {
    uint8_t n;
    char s[95]; /* everything before the first field */
};

/* Rows that arrive late, by the row number at which they do. */
struct waiting {
    uint64_t *rows; /* device << 24 | row */
    size_t n, cap;
};

struct generator {
    uint64_t devices, rows, step, late, seed;
    bool csv;
    struct text humidity[GAUSS_SLOTS];
    struct text temperature[256];
    struct device *device;
    char *times; /* TIME_LEN digits for every row number */
    char *out;
    size_t len;
};

/* SplitMix64: a good hash of a counter. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static double uniform(uint64_t x) /* in (0, 1) */
{
    return ((double)(x >> 11) + 0.5) / 9007199254740992.0;
}

static void flush(struct generator *g)
{
    size_t done = 0;

    while (done < g->len) {
        ssize_t n = write(STDOUT_FILENO, g->out + done, g->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EPIPE)
                perror("generate: write");
            exit(1);
        }
        done += (size_t)n;
    }
    g->len = 0;
}

static void prepare(struct generator *g)
{
    for (size_t i = 0; i < GAUSS_SLOTS; i++) {
        double u = uniform(mix(g->seed ^ (2 * i + 1))), v = uniform(mix(g->seed ^ (2 * i + 2)));
        double gauss = sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
        struct text *t = &g->humidity[i];
        t->n = (uint8_t)snprintf(t->s, sizeof t->s, "%.4f", 50.0 + 10.0 * gauss);
    }
    for (size_t i = 0; i < 256; i++) {
        struct text *t = &g->temperature[i];
        t->n = (uint8_t)snprintf(t->s, sizeof t->s, "%d", (int)(i % 100) - 30);
    }
    for (size_t i = 0; i < g->devices; i++) {
        uint64_t group = mix(g->seed + i) % GROUPS;
        struct device *d = &g->device[i];
        const char *fmt = g->csv ? "%" PRIu64 ",%zu,dev_%zu,"
                                 : "devices,devgroup=%" PRIu64 ",devid=%zu,devname=dev_%zu humidity=";
        d->n = (uint8_t)snprintf(d->s, sizeof d->s, fmt, group, i, i);
    }
    for (size_t i = 0; i < g->rows; i++) {
        char digits[40];
        snprintf(digits, sizeof digits, "%" PRId64 "000000000", start_time + (int64_t)(i * g->step));
        memcpy(g->times + i * TIME_LEN, digits, TIME_LEN);
    }
}

static inline void add(struct generator *g, const char *s, size_t n)
{
    memcpy(g->out + g->len, s, n);
    g->len += n;
}

static void put_row(struct generator *g, uint64_t device, uint64_t row)
{
    uint64_t x = mix((g->seed << 48) ^ (device << 24) ^ row);
    const struct device *d = &g->device[device];
    const struct text *h = &g->humidity[x % GAUSS_SLOTS];
    const struct text *t = &g->temperature[x >> 56];
    const char *time = g->times + row * TIME_LEN;

    if (g->csv) { /* time,devgroup,devid,devname,humidity,temperature */
        add(g, time, TIME_LEN);
        add(g, ",", 1);
    }
    add(g, d->s, d->n);
    add(g, h->s, h->n);
    add(g, g->csv ? "," : ",temperature=", g->csv ? 1 : 13);
    add(g, t->s, t->n);
    if (!g->csv) {
        add(g, "i ", 2);
        add(g, time, TIME_LEN);
    }
    add(g, "\n", 1);
    if (g->len > FLUSH_AT)
        flush(g);
}

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) {
        fputs("generate: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void wait_until(struct waiting *w, uint64_t device, uint64_t row)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->rows = realloc(w->rows, w->cap * sizeof *w->rows);
        if (!w->rows) {
            fputs("generate: out of memory\n", stderr);
            exit(1);
        }
    }
    w->rows[w->n++] = device << 24 | row;
}

static void put_by_device(struct generator *g)
{
    for (uint64_t device = 0; device < g->devices; device++)
        for (uint64_t row = 0; row < g->rows; row++)
            put_row(g, device, row);
}

static void put_by_time(struct generator *g)
{
    struct waiting *waiting = allocate(g->rows + 1, sizeof *waiting);
    uint64_t most = DAY / g->step ? DAY / g->step : 1;
    for (uint64_t row = 0; row <= g->rows; row++) {
        for (size_t i = 0; i < waiting[row].n; i++)
            put_row(g, waiting[row].rows[i] >> 24, waiting[row].rows[i] & 0xffffff);
        free(waiting[row].rows);
        for (uint64_t device = 0; device < g->devices && row < g->rows; device++) {
            uint64_t x = mix(~g->seed ^ (device << 24) ^ row);
            uint64_t arrival = row + 1 + (x >> 32) % most;
            if (x % 100 < g->late)
                wait_until(&waiting[arrival < g->rows ? arrival : g->rows], device, row);
            else
                put_row(g, device, row);
        }
    }
    free(waiting);
}

static void put_shuffled(struct generator *g)
{
    uint64_t n = g->devices * g->rows;
    uint64_t *all = allocate(n, sizeof *all);
    for (uint64_t i = 0; i < n; i++)
        all[i] = i;
    for (uint64_t i = n; i > 1; i--) {
        uint64_t k = mix(g->seed ^ i) % i, other = all[k];
        all[k] = all[i - 1];
        all[i - 1] = other;
    }
    for (uint64_t i = 0; i < n; i++)
        put_row(g, all[i] / g->rows, all[i] % g->rows);
    free(all);
}

static void usage(void)
{
    fputs("usage: generate [--devices N] [--rows N] [--step SECONDS] [--order device|time|shuffled] [--late "
          "PERCENT]\n"
          "                [--format line|csv] [--seed S]\n",
          stderr);
    exit(2);
}

static uint64_t number(const char *s, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || end == s || *end || v > most)
        usage();
    return v;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"devices", required_argument, NULL, 'd'}, {"rows", required_argument, NULL, 'r'},
        {"step", required_argument, NULL, 'i'},    {"late", required_argument, NULL, 'l'},
        {"order", required_argument, NULL, 'o'},   {"format", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},    {0}};
    static struct generator g = {.devices = 10000, .rows = 1000, .step = 1, .seed = 1};
    void (*put)(struct generator * g) = put_by_device;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            g.devices = number(optarg, 1 << 24);
            break;
        case 'r':
            g.rows = number(optarg, 1 << 24);
            break;
        case 'o':
            put = strcmp(optarg, "device") == 0     ? put_by_device
                  : strcmp(optarg, "time") == 0     ? put_by_time
                  : strcmp(optarg, "shuffled") == 0 ? put_shuffled
                                                    : NULL;
            if (!put)
                usage();
            break;
        case 'i':
            g.step = number(optarg, 7 * DAY);
            break;
        case 'l':
            g.late = number(optarg, 100);
            break;
        case 'f':
            g.csv = strcmp(optarg, "csv") == 0;
            if (!g.csv && strcmp(optarg, "line") != 0)
                usage();
            break;
        case 's':
            g.seed = number(optarg, UINT16_MAX);
            break;
        default:
            usage();
        }
    }
    if (optind != argc || g.step == 0 || (g.late && put != put_by_time))
        usage();

    g.out = allocate(FLUSH_AT + 2 * ROOM, 1);
    g.device = allocate(g.devices, sizeof *g.device);
    g.times = allocate(g.rows, TIME_LEN);
    prepare(&g);
    if (g.csv) {
        static const char header[] = "time,devgroup,devid,devname,humidity,temperature\n";
        add(&g, header, sizeof header - 1);
    }
    put(&g);
    flush(&g);
    return 0;
}
