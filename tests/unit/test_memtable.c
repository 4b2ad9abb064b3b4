/* tests/unit/test_memtable.c: columns against a sorted model, the memory under them, series and their
 * spellings, types of fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/map.h"
#include "store/column_cut.h"
#include "store/distinct.h"
#include "store/memtable.h"

#define N(array) (sizeof(array) / sizeof *(array))

static uint64_t seed;

static uint64_t next_random(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int64_t below(int64_t n)
{
    return (int64_t)(next_random() % (uint64_t)n);
}

/* ---- the slab ---- */

static void test_slab(void **state)
{
    (void)state;
    struct tsm_slab s = {0};
    enum { PIECES = 3000 };
    static struct {
        uint8_t *p;
        unsigned class;
        uint8_t mark;
    } pieces[PIECES];
    seed = 1;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PIECES; i++) {
            if (round > 0 && i % 2)
                continue;
            pieces[i].class = tsm_slab_class((size_t)below(20000) + 1);
            pieces[i].p = tsm_slab_alloc(&s, pieces[i].class);
            pieces[i].mark = (uint8_t)below(256);
            assert_int_equal((uintptr_t)pieces[i].p % TSM_SLAB_MIN, 0);
            memset(pieces[i].p, pieces[i].mark, (size_t)TSM_SLAB_MIN << pieces[i].class);
        }
        for (int i = 0; i < PIECES; i++) { /* no two share a byte */
            size_t n = (size_t)TSM_SLAB_MIN << pieces[i].class;
            assert_int_equal(pieces[i].p[0], pieces[i].mark);
            assert_memory_equal(pieces[i].p, pieces[i].p + 1, n - 1);
        }
        size_t held = s.bytes;
        for (int i = 0; i < PIECES; i += 2)
            tsm_slab_free(&s, pieces[i].p, pieces[i].class);
        void *again = tsm_slab_alloc(&s, pieces[0].class);
        assert_int_equal(s.bytes, held); /* what was given back is used first */
        tsm_slab_free(&s, again, pieces[0].class);
    }
    assert_int_equal(tsm_slab_class(0), 0);
    assert_int_equal(tsm_slab_class(64), 0);
    assert_int_equal(tsm_slab_class(65), 1);
    tsm_slab_release(&s);
}

/* ---- a column and its model ---- */

enum { MAX_VALUES = 40000 };

struct model {
    enum tsm_type type;
    size_t n;
    int64_t t[MAX_VALUES];
    union tsm_value v[MAX_VALUES]; /* of strings, the text is in `text` */
    size_t order[MAX_VALUES];
    struct tsm_arena text;
};

static struct model model;

static int by_time_then_arrival(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    if (model.t[x] != model.t[y])
        return model.t[x] < model.t[y] ? -1 : 1;
    return (x > y) - (x < y);
}

/* Leaves in order[] the arrivals that are to be seen, ascending by time; returns how many. */
static size_t settle(void)
{
    size_t n = 0;
    for (size_t i = 0; i < model.n; i++)
        model.order[i] = i;
    qsort(model.order, model.n, sizeof *model.order, by_time_then_arrival);
    for (size_t i = 0; i < model.n; i++)
        if (i + 1 == model.n || model.t[model.order[i]] != model.t[model.order[i + 1]])
            model.order[n++] = model.order[i];
    return n;
}

static union tsm_value random_value(enum tsm_type type, int large)
{
    union tsm_value v = {0};
    switch (type) {
    case TSM_FLOAT:
        v.f = (double)below(1000) / 8;
        break;
    case TSM_BOOLEAN:
        v.b = below(2);
        break;
    case TSM_STRING: {
        size_t n = (size_t)below(large ? 30000 : 12);
        char *p = tsm_arena_bytes(&model.text, n + 1);
        memset(p, 'a' + (int)below(26), n);
        v.s = tsm_str(p, n);
        break;
    }
    default:
        v.u = next_random() >> below(64);
    }
    return v;
}

/* How times come. */
enum shape { REGULAR, IRREGULAR, GAPS, JITTER, RANDOM, REVERSE, REPEATED, MIXED, SHAPES };

static int64_t next_time(enum shape shape, size_t i, int64_t before)
{
    switch (shape) {
    case REGULAR:
        return 1000 + (int64_t)i * 10;
    case IRREGULAR:
        return before + 1 + below(50);
    case GAPS:
        return before + (below(700) ? 10 : 1 + below(100000));
    case JITTER:
        return (int64_t)i * 10 + below(40);
    case RANDOM:
        return below(20000);
    case REVERSE:
        return 1000000 - (int64_t)i * 3;
    case REPEATED:
        return (int64_t)(i / 3) * 7;
    default: /* mostly in order, sometimes back */
        return below(400) ? before + 10 : before - below(before > 5000 ? 5000 : 1 + llabs(before));
    }
}

static bool same_value(enum tsm_type type, union tsm_value a, union tsm_value b)
{
    if (type == TSM_STRING)
        return tsm_str_eq(a.s, b.s);
    return type == TSM_BOOLEAN ? a.b == b.b : a.u == b.u;
}

/* The blocks on one side of the frontier ascend, and hold what the model has there. */
static void check_side(const struct tsm_cut_output *out, int64_t frontier, bool late, size_t settled)
{
    struct tsm_values v = {0};
    size_t at = 0;
    int64_t before = INT64_MIN;
    for (size_t b = 0; b < out->n; b++) {
        const struct tsm_cut_block *block = &out->blocks[b];
        if (block->late != late)
            continue;
        const uint8_t *bytes = block->bytes ? block->bytes : out->bytes.data + block->offset;
        struct tsm_err err;
        if (tsm_block_decode(bytes, block->len, &v, &err) != TSM_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(v.type, model.type);
        assert_int_equal(v.n, block->n);
        assert_in_range(v.n, 1, TSM_BLOCK_POINTS);
        assert_int_equal(v.t[0], block->tmin);
        assert_int_equal(v.t[v.n - 1], block->tmax);
        assert_true(block->tmin > before || (b == 0 && before == INT64_MIN));
        before = block->tmax;
        for (size_t i = 0; i < v.n; i++) {
            while (at < settled && (model.t[model.order[at]] <= frontier) != late)
                at++;
            assert_true(at < settled);
            assert_int_equal(v.t[i], model.t[model.order[at]]);
            assert_true(same_value(v.type, tsm_values_get(&v, i), model.v[model.order[at]]));
            at++;
        }
    }
    while (at < settled && (model.t[model.order[at]] <= frontier) != late)
        at++;
    assert_int_equal(at, settled);
    tsm_values_release(&v);
}

static void check_column(const struct tsm_column *c, struct tsm_cutter *w, int64_t frontier, size_t settled)
{
    struct tsm_cut_output out = {0};
    struct tsm_err err;
    if (tsm_column_cut(w, c, frontier, &out, &err) != TSM_OK)
        fail_msg("%s", err.msg);
    check_side(&out, frontier, false, settled);
    check_side(&out, frontier, true, settled);
    tsm_cut_output_release(&out);
}

static void run_column(enum tsm_type type, enum shape shape, size_t n, int large)
{
    struct tsm_field_def def = {TSM_STR("f"), type, 0};
    struct tsm_column c = {.field = &def, .newest = INT64_MIN};
    struct tsm_column_memory m = {0};
    static struct tsm_cutter w; /* kept over all columns, as a flush does */
    int64_t before = 1000, oldest = INT64_MAX;
    model.type = type;
    model.n = n;
    for (size_t i = 0; i < n; i++) {
        before = model.t[i] = next_time(shape, i, before);
        model.v[i] = random_value(type, large);
        if (model.t[i] < oldest)
            oldest = model.t[i];
        tsm_column_add(&m, &c, model.t[i], model.v[i]);
    }
    assert_int_equal(tsm_column_oldest(&c), oldest);
    size_t settled = settle();
    check_column(&c, &w, INT64_MIN, settled);
    check_column(&c, &w, INT64_MAX, settled);
    for (int i = 0; i < 4; i++)
        check_column(&c, &w, model.t[below((int64_t)n)] + below(3) - 1, settled);
    tsm_column_memory_release(&m);
    tsm_arena_release(&model.text);
    tsm_cutter_release(&w);
}

static void test_columns(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 6, 18, 19, 47, 48, 108, 109, 999, 1000, 1001, 2000, 7777};
    seed = 2;
    for (enum tsm_type type = TSM_FLOAT; type < TSM_TYPES; type++)
        for (enum shape shape = REGULAR; shape < SHAPES; shape++)
            for (size_t i = 0; i < N(sizes); i++)
                run_column(type, shape, sizes[i], false);
}

static void test_long_column(void **state)
{
    (void)state;
    seed = 3;
    run_column(TSM_FLOAT, MIXED, MAX_VALUES, false);
    run_column(TSM_INTEGER, RANDOM, MAX_VALUES, false);
}

/* Blocks of strings are closed by size, not only by number. */
static void test_large_strings(void **state)
{
    (void)state;
    seed = 4;
    run_column(TSM_STRING, REGULAR, 1500, true);
    run_column(TSM_STRING, MIXED, 1500, true);
    struct tsm_field_def def = {TSM_STR("f"), TSM_STRING, 0};
    struct tsm_column c = {.field = &def, .newest = INT64_MIN};
    struct tsm_column_memory m = {0};
    static char text[4000];
    memset(text, 'x', sizeof text);
    for (int64_t t = 0; t < 1000; t++)
        tsm_column_add(&m, &c, t, (union tsm_value){.s = tsm_str(text, sizeof text)});
    size_t blocks = 0;
    for (const struct tsm_encoded *b = c.blocks; b; b = b->older)
        blocks++;
    assert_in_range(blocks, 1000 * sizeof text / TSM_BLOCK_TEXT - 1, 1000 * sizeof text / TSM_BLOCK_TEXT);
    assert_true(tsm_column_memory_bytes(&m) < 4 * TSM_BLOCK_TEXT); /* text is freed once it is encoded */
    tsm_column_memory_release(&m);
}

/* Times at the ends of the range, where differences overflow. */
static void test_extreme_times(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN + 2, -1, 0, INT64_MAX - 1};
    struct tsm_field_def def = {TSM_STR("f"), TSM_INTEGER, 0};
    struct tsm_column c = {.field = &def, .newest = INT64_MIN};
    struct tsm_column_memory m = {0};
    struct tsm_values v = {0};
    for (size_t i = 0; i < N(times); i++)
        tsm_column_add(&m, &c, times[i], (union tsm_value){.i = (int64_t)i});
    tsm_column_tail(&c, &v);
    assert_int_equal(v.n, N(times));
    assert_memory_equal(v.t, times, sizeof times);
    tsm_values_release(&v);
    tsm_column_memory_release(&m);
}

/* A regular column takes hardly more than its values. */
static void test_memory_of_regular_columns(void **state)
{
    (void)state;
    enum { COLUMNS = 2000, VALUES = 990 };
    static struct tsm_column columns[COLUMNS];
    struct tsm_field_def def = {TSM_STR("f"), TSM_FLOAT, 0};
    struct tsm_column_memory m = {0};
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = (struct tsm_column){.field = &def, .newest = INT64_MIN};
    for (int64_t t = 0; t < VALUES; t++)
        for (size_t i = 0; i < COLUMNS; i++)
            tsm_column_add(&m, &columns[i], t * 1000, (union tsm_value){.f = 1.5});
    assert_true(tsm_column_memory_bytes(&m) < COLUMNS * VALUES * sizeof(double) * 13 / 10);
    tsm_column_memory_release(&m);
}

/* ---- a memtable ---- */

struct rejected {
    size_t n;
    uint32_t line;
    char cause[1024];
};

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct rejected *r = ctx;
    (void)text;
    r->n++;
    r->line = line;
    snprintf(r->cause, sizeof r->cause, "%s", cause);
}

struct table {
    struct tsm_memtable *m;
    struct tsm_field_types types[3];
    struct tsm_memtable_shard shards[3];
    struct tsm_memtable_counts counts;
    struct rejected rejected;
};

static void open_table(struct table *t)
{
    *t = (struct table){.m = tsm_memtable_new()};
    for (uint32_t i = 0; i < N(t->shards); i++)
        t->shards[i] = (struct tsm_memtable_shard){&t->types[i], i};
}

static void close_table(struct table *t)
{
    tsm_memtable_free(t->m);
    for (size_t i = 0; i < N(t->types); i++)
        tsm_field_types_release(&t->types[i]);
}

/* Writes lines; a point goes to the shard of its time / 1000. */
static void write_lines(struct table *t, const char *text)
{
    struct tsm_points points = {0};
    struct tsm_line_options opt = {.unit = 1, .now = 0};
    tsm_line_parse(tsm_str_of(text), &opt, &points, on_reject, &t->rejected);
    for (size_t from = 0; from < points.n; from += TSM_MEMTABLE_GROUP) {
        const struct tsm_memtable_shard *shards[TSM_MEMTABLE_GROUP];
        size_t n = points.n - from < TSM_MEMTABLE_GROUP ? points.n - from : TSM_MEMTABLE_GROUP;
        for (size_t i = 0; i < n; i++)
            shards[i] = &t->shards[points.points[from + i].time / 1000 % 3];
        tsm_memtable_write(t->m, &points, &points.points[from], shards, n, &t->counts, NULL, on_reject,
                           &t->rejected);
    }
    tsm_points_release(&points);
}

struct found {
    struct tsm_str key;
    const struct tsm_mem_series *series;
    size_t n;
};

static void find_series(void *ctx, const struct tsm_mem_series *s)
{
    struct found *f = ctx;
    f->n++;
    if (tsm_str_eq(tsm_mem_series_key(s), f->key))
        f->series = s;
}

static const struct tsm_slice *find_slice(const struct table *t, const char *key, uint32_t shard)
{
    struct found f = {.key = tsm_str_of(key)};
    tsm_memtable_each(t->m, find_series, &f);
    if (!f.series)
        return NULL;
    if (f.series->slice.shard == shard)
        return &f.series->slice;
    for (uint32_t i = 0; f.series->all && i < f.series->all->n; i++)
        if (f.series->all->items[i].shard == shard)
            return &f.series->all->items[i];
    return NULL;
}

/* The number of values of a field, or -1 when there is no such column. */
static long count_values(const struct table *t, const char *key, uint32_t shard, const char *field)
{
    const struct tsm_slice *sl = find_slice(t, key, shard);
    struct tsm_cutter w = {0};
    long n = -1;
    for (uint32_t i = 0; sl && i < sl->ncolumns; i++) {
        if (!tsm_str_eq(sl->columns[i].field->name, tsm_str_of(field)))
            continue;
        struct tsm_cut_output out = {0};
        assert_int_equal(tsm_column_cut(&w, &sl->columns[i], INT64_MIN, &out, NULL), TSM_OK);
        assert_int_equal(n, -1);
        n = 0;
        for (size_t b = 0; b < out.n; b++)
            n += out.blocks[b].n;
        tsm_cut_output_release(&out);
    }
    tsm_cutter_release(&w);
    return n;
}

static void test_spellings(void **state)
{
    (void)state;
    struct table t;
    open_table(&t);
    write_lines(&t, "m,b=2,a=1 f=1 1\n"
                    "m,a=1,b=2 f=2 2\n"
                    "m,b=2,a=1 f=3 3\n"
                    "m,a=1 f=4 4\n"
                    "m f=5 5\n");
    struct found f = {.key = TSM_STR("m,a=1,b=2")};
    tsm_memtable_each(t.m, find_series, &f);
    assert_int_equal(f.n, 3);
    assert_int_equal(t.counts.new_series, 3);
    assert_int_equal(count_values(&t, "m,a=1,b=2", 0, "f"), 3);
    assert_int_equal(count_values(&t, "m,a=1", 0, "f"), 1);
    assert_int_equal(count_values(&t, "m", 0, "f"), 1);
    assert_int_equal(t.counts.rows, 5);
    assert_int_equal(t.rejected.n, 0);
    close_table(&t);
}

static void test_many_series(void **state)
{
    (void)state;
    enum { SERIES = 5000 };
    struct table t;
    struct tsm_buf text = {0};
    open_table(&t);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < SERIES; i++)
            tsm_buf_printf(&text, "m,host=h%d,x=%d f=%d,g=%di %d\n", i, i % 7, round, i, round * 1000 + 5);
    write_lines(&t, tsm_buf_cstr(&text));
    struct found f = {0};
    tsm_memtable_each(t.m, find_series, &f);
    assert_int_equal(f.n, SERIES);
    assert_int_equal(t.counts.points, SERIES * 6);
    for (int i = 0; i < SERIES; i += 97) {
        char key[64];
        snprintf(key, sizeof key, "m,host=h%d,x=%d", i, i % 7);
        for (uint32_t shard = 0; shard < 3; shard++) {
            assert_int_equal(count_values(&t, key, shard, "f"), 1);
            assert_int_equal(count_values(&t, key, shard, "g"), 1);
        }
    }
    assert_true(tsm_memtable_bytes(t.m, 1) > (size_t)SERIES * 6 * 64);
    tsm_buf_release(&text);
    close_table(&t);
}

/* Fields come and go and change places; some series have very many. */
static void test_fields_in_any_order(void **state)
{
    (void)state;
    enum { FIELDS = 300, ROWS = 60 };
    struct table t;
    struct tsm_buf text = {0};
    static long expected[FIELDS];
    memset(expected, 0, sizeof expected);
    open_table(&t);
    seed = 5;
    for (int row = 0; row < ROWS; row++) {
        int first = (int)below(FIELDS), step = 1 + 2 * (int)below(5), n = 1 + (int)below(FIELDS / 2);
        tsm_buf_puts(&text, "m ");
        for (int i = 0; i < n; i++) {
            int field = (first + i * step) % FIELDS;
            bool twice = false;
            for (int k = 0; k < i && !twice; k++)
                twice = (first + k * step) % FIELDS == field;
            tsm_buf_printf(&text, "%sf%d=%d", i ? "," : "", field, row);
            expected[field] += !twice;
        }
        tsm_buf_printf(&text, " %d\n", row);
    }
    write_lines(&t, tsm_buf_cstr(&text));
    for (int i = 0; i < FIELDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(count_values(&t, "m", 0, name), expected[i] ? expected[i] : -1);
    }
    tsm_buf_release(&text);
    close_table(&t);
}

static void expect_reject(struct table *t, const char *line, const char *cause)
{
    size_t before = t->rejected.n;
    uint64_t rows = t->counts.rows, points = t->counts.points;
    write_lines(t, line);
    assert_int_equal(t->rejected.n, before + 1);
    assert_string_equal(t->rejected.cause, cause);
    assert_int_equal(t->counts.rows, rows);
    assert_int_equal(t->counts.points, points);
}

static void test_type_conflicts(void **state)
{
    (void)state;
    struct table t;
    open_table(&t);
    write_lines(&t, "m\\ 1,a=1 f=1,s=\"x\" 1\n");
    expect_reject(
        &t, "m\\ 1,a=1 f=1i 2\n",
        "field type conflict: input field \"f\" on measurement \"m 1\" is type integer, already exists as "
        "type float");
    /* Another series of the measurement: the type holds there, too. Nothing of the point is kept. */
    expect_reject(
        &t, "m\\ 1,a=2 g=1,f=true 2\n",
        "field type conflict: input field \"f\" on measurement \"m 1\" is type boolean, already exists as "
        "type float");
    assert_int_equal(count_values(&t, "m\\ 1,a=2", 0, "g"), -1);
    write_lines(&t, "m\\ 1,a=2 g=\"now a string\" 2\n");
    assert_int_equal(t.rejected.n, 2);
    /* Within one point. */
    expect_reject(
        &t, "m\\ 1,a=2 h=1,h=2i 3\n",
        "field type conflict: input field \"h\" on measurement \"m 1\" is type integer, already exists as "
        "type float");
    /* Another shard and another measurement have types of their own. */
    write_lines(&t, "m\\ 1,a=1 f=1i 1001\nm2 f=\"s\" 1\n");
    assert_int_equal(t.rejected.n, 3);
    close_table(&t);
}

static void test_names_that_influxdb_refuses(void **state)
{
    (void)state;
    struct table t;
    open_table(&t);
    expect_reject(&t, "m,time=1 f=1 1\n",
                  "invalid tag key: input tag \"time\" on measurement \"m\" is invalid");
    expect_reject(&t, "m,time=1 f=1 1\n",
                  "invalid tag key: input tag \"time\" on measurement \"m\" is invalid");
    expect_reject(&t, "m time=1 1\n",
                  "invalid field name: input field \"time\" on measurement \"m\" is invalid");
    expect_reject(&t, "m,a=1,a=2 f=1 1\n", "unable to parse 'm,a=1,a=2 f=1 1': duplicate tags");
    write_lines(&t, "m,a=x\\,time\\=2 time=1,f=1 1\n"); /* not a tag; and the rest of the point is kept */
    assert_int_equal(t.rejected.n, 4);
    assert_int_equal(t.counts.rows, 1);
    assert_int_equal(t.counts.points, 1);
    assert_int_equal(t.counts.dropped_fields, 1);
    close_table(&t);
}

static void test_repeated_field(void **state)
{
    (void)state;
    struct table t;
    open_table(&t);
    write_lines(&t, "m f=1,f=2 1\nm f=3,f=4 2\nm f=5 2\n");
    assert_int_equal(count_values(&t, "m", 0, "f"), 2);
    struct tsm_values v = {0};
    tsm_column_tail(&find_slice(&t, "m", 0)->columns[0], &v);
    assert_int_equal(v.n, 2);
    assert_true(v.v.f[0] == 2 && v.v.f[1] == 5);
    tsm_values_release(&v);
    close_table(&t);
}

/* Values of a log, under their TSM key. */
static void test_log_values(void **state)
{
    (void)state;
    struct table t;
    struct tsm_values v = {0};
    struct tsm_err err;
    open_table(&t);
    write_lines(&t, "m,a=1 f=1 5\n");
    tsm_values_reset(&v, TSM_FLOAT, 2);
    tsm_values_add(&v, 6, (union tsm_value){.f = 2});
    tsm_values_add(&v, 4, (union tsm_value){.f = 3});
    assert_int_equal(tsm_memtable_add(t.m, &t.shards[0], TSM_STR("m,a=1#!~#f"), &v, &err), TSM_OK);
    assert_int_equal(tsm_memtable_add(t.m, &t.shards[1], TSM_STR("m,a=1#!~#f"), &v, &err), TSM_OK);
    assert_int_equal(tsm_memtable_add(t.m, &t.shards[0], TSM_STR("other#!~#f"), &v, &err), TSM_OK);
    assert_int_equal(tsm_memtable_add(t.m, &t.shards[0], TSM_STR("nofield"), &v, &err), TSM_ECORRUPT);
    assert_int_equal(count_values(&t, "m,a=1", 0, "f"), 3);
    assert_int_equal(count_values(&t, "m,a=1", 1, "f"), 2);
    assert_int_equal(count_values(&t, "other", 0, "f"), 2);
    tsm_values_reset(&v, TSM_INTEGER, 1);
    tsm_values_add(&v, 6, (union tsm_value){.i = 2});
    assert_int_equal(tsm_memtable_add(t.m, &t.shards[0], TSM_STR("m,a=1#!~#f"), &v, &err), TSM_ECONFLICT);
    tsm_values_release(&v);
    close_table(&t);
}

/* ---- counting series ---- */

static void test_distinct(void **state)
{
    (void)state;
    struct tsm_distinct d = {.limit = 1000};
    seed = 6;
    for (uint64_t i = 0; i < 900; i++) {
        uint64_t h = next_random();
        tsm_distinct_add(&d, h);
        tsm_distinct_add(&d, h);
        assert_int_equal(tsm_distinct_count(&d), i + 1);
    }
    tsm_distinct_add(&d, 0);
    tsm_distinct_add(&d, 0);
    assert_int_equal(tsm_distinct_count(&d), 901);
    size_t held = tsm_distinct_bytes(&d);
    for (uint64_t i = 901; i < 200000; i++)
        tsm_distinct_add(&d, next_random());
    assert_in_range(tsm_distinct_count(&d), 160000, 240000);
    assert_true(tsm_distinct_bytes(&d) <= 2 * held);
    tsm_distinct_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slab),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_long_column),
        cmocka_unit_test(test_large_strings),
        cmocka_unit_test(test_extreme_times),
        cmocka_unit_test(test_memory_of_regular_columns),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_many_series),
        cmocka_unit_test(test_fields_in_any_order),
        cmocka_unit_test(test_type_conflicts),
        cmocka_unit_test(test_names_that_influxdb_refuses),
        cmocka_unit_test(test_repeated_field),
        cmocka_unit_test(test_log_values),
        cmocka_unit_test(test_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
