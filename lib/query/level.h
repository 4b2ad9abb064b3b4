/*
 * query/level.h: a SELECT among those that are nested in each other.
 *
 * Each level reads shards, or the rows of the levels below it, and gives its rows to the one above it, the outermost to a sink.
 * As with influxd, all levels are in the order that the outermost one asks for: rows come by measurement and the tags that *it*
 * groups by, then by time (or interval), and only then by the tags that levels further in group by, too. So each row says which
 * series it is of, and series alternate. Times need not ascend: points of selectors have their own.
 *
 *   level.c            the tree: what each level reads and groups by; running it
 *   level_input.c      rows of a level as the one above it reads them: its columns, cast, filtered
 *   level_raw.c        fields of a subquery as they are
 *   level_aggregate.c  functions over the rows of a subquery
 *   level_stream.c     one transform of a field, row by row
 *   level_merge.c      several sources, some of them subqueries
 */
#ifndef TSM_QUERY_LEVEL_H
#define TSM_QUERY_LEVEL_H

#include "base/map.h"
#include "query/aggregate.h"

struct tsm_level_series { /* that rows are of */
    struct tsm_str name;
    const struct tsm_str *values; /* of the dimensions */
    uint32_t outer;               /* the same for all that the outermost level does not tell apart */
};

struct tsm_level_names {  /* series, by name and the values of dimensions */
    struct tsm_str *dims; /* ascending */
    size_t ndims;
    bool *outer; /* per dimension: the outermost level groups by it */
    struct tsm_level_series *series;
    size_t n, cap;
    struct tsm_map numbers, outers;
    uint32_t nouters;
    struct tsm_arena keys;
};
void tsm_level_names_release(struct tsm_level_names *n);
/* The number of a series, which is added when it is new. */
uint32_t tsm_level_number(struct tsm_level_names *n, struct tsm_str name, const struct tsm_str *values);

struct tsm_level {
    struct tsm_query_ctx *q;
    struct tsm_level *above;  /* NULL: outermost */
    struct tsm_level **below; /* per source; NULL: a measurement, when none is a subquery */
    size_t nbelow;
    struct tsm_compiled c;
    struct tsm_plan plan;
    struct tsm_shape shape;
    struct tsm_run run;
    struct tsm_str *own; /* dimensions that the statement itself names */
    size_t nown;
    bool streams;  /* some source is a subquery */
    bool filtered; /* its rows are those that pass the condition of the level above */

    struct tsm_level_names out; /* of the rows that it gives: what it and the levels above it group by */
    struct tsm_level_names
        in; /* of the groups that it makes of a subquery's rows: top() and bottom() add to those */
    struct tsm_arena keys;

    struct tsm_level_reader *reader; /* of the level above, for this one's rows */
};

/* Runs a compiled statement, with subqueries or without. */
int tsm_level_run(struct tsm_query_ctx *q, const struct tsm_compiled *c, struct tsm_sink *sink,
                  struct tsm_err *err);

/* ---- what a level gives ---- */

/* The number of a series: tags are those of the level's dimensions. */
uint32_t tsm_level_series(struct tsm_level *l, struct tsm_str name, const struct tsm_tag *tags);
/* Rows: the first cell is the time. For the level above. */
int tsm_level_rows(struct tsm_level *l, const struct tsm_cells *cells, size_t n, const uint32_t *series,
                   struct tsm_err *err);

/* ---- what a level reads of another one ---- */

struct tsm_level_batch {
    size_t n;
    const int64_t *t;
    const struct tsm_vec
        *columns;           /* per field of the reading level's plan, then per tag of it; none is constant */
    const uint32_t *series; /* per row: in the reading level's names */
    unsigned source;        /* of the reading level */
};

/* Takes rows of the level below. */
typedef int tsm_level_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err);

struct tsm_level_reader;
struct tsm_level_reader *tsm_level_reader_new(struct tsm_level *reads, struct tsm_level *from,
                                              struct tsm_level_names *names, tsm_level_take *take, void *ctx);
void tsm_level_reader_free(struct tsm_level_reader *r); /* NULL is allowed */
int tsm_level_reader_rows(struct tsm_level_reader *r, const struct tsm_cells *cells, size_t n,
                          const uint32_t *series, struct tsm_err *err);

/* Several sources: each gives its rows to take with its own ctx, then all of them come in order. */
struct tsm_level_merge;
struct tsm_level_merge *tsm_level_merge_new(struct tsm_level *l, struct tsm_level_names *names);
void tsm_level_merge_free(struct tsm_level_merge *m); /* NULL is allowed */
void *tsm_level_merge_source(struct tsm_level_merge *m, size_t i);
int tsm_level_merge_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err);
int tsm_level_merge_end(struct tsm_level_merge *m, tsm_level_take *take, void *ctx, struct tsm_err *err);

/* ---- running a level that reads others; feed gives all rows to take ---- */

struct tsm_level_raw;
struct tsm_level_raw *tsm_level_raw_new(struct tsm_level *l);
void tsm_level_raw_free(struct tsm_level_raw *k);
int tsm_level_raw_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err);
int tsm_level_raw_end(struct tsm_level_raw *k, struct tsm_err *err);

struct tsm_level_aggregate;
int tsm_level_aggregate_new(struct tsm_level *l, struct tsm_level_aggregate **k, struct tsm_err *err);
void tsm_level_aggregate_free(struct tsm_level_aggregate *k);
int tsm_level_aggregate_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err);
int tsm_level_aggregate_end(struct tsm_level_aggregate *k, struct tsm_err *err);

/* A transform of one field, which gives points as it takes rows. */
struct tsm_level_stream;
bool tsm_level_is_stream(const struct tsm_level *l);
int tsm_level_stream_new(struct tsm_level *l, struct tsm_level_stream **k, struct tsm_err *err);
void tsm_level_stream_free(struct tsm_level_stream *k);
int tsm_level_stream_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err);
int tsm_level_stream_end(struct tsm_level_stream *k, struct tsm_err *err);

/* What stands beside a point of a subquery's rows: aux i of the shape. False: nothing. */
bool tsm_level_aux(const struct tsm_agg_origin *o, size_t i, union tsm_num *v);

#endif
