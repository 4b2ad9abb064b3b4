/*
 * query/fill.h: the points of one call in one group as rows need them: with the intervals that have none
 * filled in, and cut by LIMIT and OFFSET. As influxd's fill and limit iterators (query/iterator.gen.go).
 */
#ifndef TSM_QUERY_FILL_H
#define TSM_QUERY_FILL_H

#include "query/aggregate.h"

struct tsm_fill_stream {
    const struct tsm_run *r;
    enum tsm_vec_type type; /* of the points */
    const struct tsm_agg_result *in;
    size_t at;    /* the next point of in */
    bool filling; /* intervals are filled */
    enum tsm_fill fill;
    const struct tsm_expr *value; /* fill(number); NULL: 0 */
    int64_t window, last;         /* the next expected interval, the last one */
    int64_t zone_offset;          /* of the statement's zone around there */
    uint32_t gaps; /* see tsm_agg_result.skipped: before the next point, that no row has been made for yet */
    bool done;
    bool has_previous;
    int64_t previous_t;
    union tsm_num previous;
    uint64_t limit, offset; /* LIMIT and OFFSET; 0: none */
    uint64_t given;         /* before those */
};

struct tsm_fill_row {
    int64_t t;
    bool null;
    union tsm_num v;
    const struct tsm_agg_origin *origin; /* NULL: filled in, or not known */
};

void tsm_fill_begin(struct tsm_fill_stream *s, const struct tsm_run *r, const struct tsm_agg_call *call,
                    const struct tsm_agg_result *in);
/* The points that the call's function makes, before its steps: filled in, but not cut. */
void tsm_fill_begin_points(struct tsm_fill_stream *s, const struct tsm_run *r,
                           const struct tsm_agg_call *call, const struct tsm_agg_result *in);
/* False at the end. */
bool tsm_fill_next(struct tsm_fill_stream *s, struct tsm_fill_row *row);

/* A number of a fill() in the type of a column. False when it cannot be one. */
bool tsm_fill_number(const struct tsm_expr *value, enum tsm_vec_type type, union tsm_num *out);

#endif
