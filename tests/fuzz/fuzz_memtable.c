/*
 * tests/fuzz/fuzz_memtable.c: line protocol from any bytes into a memtable, many times over with shifted times, so that
 * blocks fill. Every value that was taken comes out again once, in order, on its side of the frontier.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/column_cut.h"
#include "store/memtable.h"

static void require(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_memtable: %s\n", what);
        abort();
    }
}

static void ignore_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    (void)ctx;
    (void)line;
    (void)text;
    require(*cause, "a reject says what");
}

struct check {
    struct tsm_cutter cutter;
    struct tsm_values values;
    int64_t frontier;
    uint64_t values_out;
};

static void check_column(struct check *k, const struct tsm_column *c)
{
    struct tsm_cut_output out = {0};
    int64_t newest[2] = {INT64_MIN, INT64_MIN};
    require(tsm_column_cut(&k->cutter, c, k->frontier, &out, NULL) == TSM_OK, "a column can be cut");
    for (size_t i = 0; i < out.n; i++) {
        const struct tsm_cut_block *b = &out.blocks[i];
        const uint8_t *bytes = b->bytes ? b->bytes : out.bytes.data + b->offset;
        require(tsm_block_decode(bytes, b->len, &k->values, NULL) == TSM_OK, "a block can be decoded");
        require(k->values.n == b->n && k->values.type == c->field->type, "a block is what it says");
        require(k->values.t[0] == b->tmin && k->values.t[b->n - 1] == b->tmax, "a block's times are right");
        require(b->tmin > newest[b->late], "blocks ascend");
        require(b->late ? b->tmax <= k->frontier : b->tmin > k->frontier, "a block is on its side");
        newest[b->late] = b->tmax;
        k->values_out += b->n;
    }
    tsm_cut_output_release(&out);
}

static void check_series(void *ctx, const struct tsm_mem_series *s)
{
    for (uint32_t i = 0; i < s->slice.ncolumns; i++)
        check_column(ctx, &s->slice.columns[i]);
    for (uint32_t k = 0; s->all && k < s->all->n; k++)
        for (uint32_t i = 0; s->all->items[k].shard != s->slice.shard && i < s->all->items[k].ncolumns; i++)
            check_column(ctx, &s->all->items[k].columns[i]);
}

static void write_points(struct tsm_memtable *m, const struct tsm_points *points,
                         const struct tsm_memtable_shard *shards, struct tsm_memtable_counts *counts)
{
    for (size_t from = 0; from < points->n; from += TSM_MEMTABLE_GROUP) {
        const struct tsm_memtable_shard *chosen[TSM_MEMTABLE_GROUP];
        size_t n = points->n - from < TSM_MEMTABLE_GROUP ? points->n - from : TSM_MEMTABLE_GROUP;
        for (size_t i = 0; i < n; i++)
            chosen[i] = &shards[(uint64_t)points->points[from + i].time >> 10 & 1];
        tsm_memtable_write(m, points, &points->points[from], chosen, n, counts, NULL, ignore_reject, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tsm_line_options options = {.unit = 1, .now = 42};
    if (size < 3)
        return 0;
    unsigned repeats = data[0] < 250 ? 1u + data[0] % 4 : 1500;
    int64_t shift = (int8_t)data[1];
    struct check k = {.frontier = (int64_t)data[2] * 5 - 10};
    if (size > 400 && repeats > 4)
        repeats = 4;

    struct tsm_field_types types[2] = {{0}, {0}};
    struct tsm_memtable_shard shards[2] = {{&types[0], 0}, {&types[1], 1}};
    struct tsm_memtable_counts counts = {0};
    struct tsm_memtable *m = tsm_memtable_new();
    struct tsm_points points = {0};
    tsm_line_parse(tsm_str((const char *)data + 3, size - 3), &options, &points, ignore_reject, NULL);
    for (unsigned r = 0; r < repeats; r++) {
        write_points(m, &points, shards, &counts);
        for (size_t i = 0; i < points.n; i++) {
            int64_t t;
            if (!__builtin_add_overflow(points.points[i].time, shift, &t) && t > INT64_MIN + 2 &&
                t < INT64_MAX)
                points.points[i].time = t;
        }
    }
    tsm_memtable_each(m, check_series, &k);
    require(k.values_out <= counts.points, "no value comes out twice");
    require((k.values_out > 0) == (counts.points > 0), "values come out");
    require(counts.rows <= (uint64_t)repeats * points.n, "no row is counted twice");

    tsm_points_release(&points);
    tsm_memtable_free(m);
    for (size_t i = 0; i < 2; i++)
        tsm_field_types_release(&types[i]);
    tsm_cutter_release(&k.cutter);
    tsm_values_release(&k.values);
    return 0;
}
