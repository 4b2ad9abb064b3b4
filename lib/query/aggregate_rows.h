/*
 * query/aggregate_rows.h: the rows of a group from the points of its calls, on their way out. Private to the executor.
 */
#ifndef TSM_QUERY_AGGREGATE_ROWS_H
#define TSM_QUERY_AGGREGATE_ROWS_H

#include "query/aggregate.h"
#include "query/fill.h"

struct tsm_agg_cell { /* what a column shows until something else is set: the map of influxd's scanner */
    union tsm_num v;
    bool set;
    bool number; /* not set, but fill(number) puts its number there */
};

struct tsm_agg_rows {
    struct tsm_run *r;
    struct tsm_agg agg;
    struct tsm_run_output output;
    struct tsm_program_space *space;
    struct tsm_agg_cell *cells; /* per input: aux, then calls */
    void **values;              /* per input: OUT_ROWS values */
    uint8_t **nulls;            /* per input */
    uint8_t **filled;           /* per input: see tsm_run_give() */
    bool any_filled;            /* in the batch */
    size_t *missing;            /* per input: how many are null in the batch */
    int64_t *t;
    size_t n;              /* rows in the batch */
    struct tsm_arena text; /* strings of the batch */
    struct tsm_cursor cursor;
    bool begun;   /* the group's series_begin was called */
    bool ended;   /* influxd's iterator is at its end: nothing more comes */
    struct over { /* per call: see heed_ends() */
        uint64_t rows_after;
        bool is;
    } * over;
    struct tsm_tag *tags; /* of the series, when the plan's dimensions are not only those of GROUP BY */
    uint32_t *series;     /* per row of the batch, when there is a level: of which of its series */
    const struct tsm_plan_group *group;  /* of the last of points that come one by one */
    uint64_t points;                     /* of it */
    uint32_t current;                    /* for the next row */
    uint64_t gaps, rows_after, any_rows; /* see heed_gaps() */
};

int tsm_agg_rows_init(struct tsm_agg_rows *k, struct tsm_run *r, struct tsm_err *err);
void tsm_agg_rows_release(struct tsm_agg_rows *k);

/*
 * Gives n groups that are one answer: one, or the groups that the tags of top() or bottom() make, or those of a subquery, in which
 * the query around it does not tell them apart; then they are in the order of their tags. What results refer to is in place.
 */
int tsm_agg_rows_give(struct tsm_agg_rows *k, const struct tsm_plan_group *const *groups,
                      struct tsm_agg_group *results, size_t n, struct tsm_err *err);

struct tsm_agg_feed { /* a call's rows, one ahead */
    struct tsm_fill_stream stream;
    struct tsm_fill_row row;
    bool more;
    uint32_t group;                    /* of the row */
    struct tsm_agg_sequence *sequence; /* NULL: there is one group */
};

/* A group whose only call gives points, which are not filled in, piece by piece: begin, any number of pieces, end. A piece gives
 * all that is in points, which the caller then empties; feed->stream.done: no more is asked for. */
void tsm_agg_rows_begin(struct tsm_agg_rows *k, const struct tsm_plan_group *g,
                        const struct tsm_agg_call *call, const struct tsm_agg_result *points,
                        struct tsm_agg_feed *feed);
int tsm_agg_rows_piece(struct tsm_agg_rows *k, const struct tsm_plan_group *g, struct tsm_agg_feed *feed,
                       struct tsm_err *err);
int tsm_agg_rows_end(struct tsm_agg_rows *k, struct tsm_err *err);

/* A point of the only call, which is not filled in; of groups in any order, where the level does not tell them apart. */
int tsm_agg_rows_point(struct tsm_agg_rows *k, const struct tsm_plan_group *g, uint32_t number, int64_t t,
                       union tsm_num v, struct tsm_err *err);
uint32_t tsm_agg_rows_number(struct tsm_agg_rows *k,
                             const struct tsm_plan_group *g);             /* of the group, for that */
int tsm_agg_rows_points_end(struct tsm_agg_rows *k, struct tsm_err *err); /* before the groups go away */

/* A copy of a text that lives until the next groups have been given. */
const struct tsm_str *tsm_agg_rows_text(struct tsm_agg_rows *k, struct tsm_str s);

#endif
