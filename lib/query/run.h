/* query/run.h: a SELECT that is being executed, as its parts see it. Private to the executor. */
#ifndef TSM_QUERY_RUN_H
#define TSM_QUERY_RUN_H

#include "query/rows.h"
#include "query/shape.h"

struct tsm_run {
    struct tsm_query_ctx *q;
    const struct tsm_compiled *c;
    struct tsm_plan *plan;
    struct tsm_shape *shape;
    struct tsm_sink *sink;
    struct tsm_level *level; /* the SELECT is a subquery: its rows go to the one around it, not to the sink */
    const struct tsm_program **filters;
    unsigned jobs;
    size_t memory; /* what is left of the limit beside the plan */
};

/* select_raw.c, select_aggregate.c */
int tsm_run_raw(struct tsm_run *r, struct tsm_err *err);
int tsm_run_aggregate(struct tsm_run *r, struct tsm_err *err);

/* Rows on their way to the sink: inputs in, columns out. */
struct tsm_run_output {
    const struct tsm_shape *shape;
    struct tsm_vec *inputs; /* aux, then calls */
    struct tsm_cells *cells;
    void **made; /* results of programs, copied */
};
void tsm_run_output_init(struct tsm_run_output *o, const struct tsm_shape *s);
void tsm_run_output_release(struct tsm_run_output *o);
/* Computes the columns of n rows from o->inputs (none of them constant). time lives as long as the cells are
 * used. */
int tsm_run_columns(struct tsm_run_output *o, struct tsm_program_space *space, const int64_t *time, size_t n,
                    struct tsm_err *err);

/*
 * Gives n rows of cells to the sink, or to the level: then series has the number of the level's series per row. filled: per input, a byte per row that says that fill(number) put its
 * number there, although the column is of another kind; or NULL for none. influxd has a type per value; here
 * the rows are cut where a column changes its type.
 */
int tsm_run_give(struct tsm_run *r, const struct tsm_cells *cells, size_t n, uint8_t *const *filled,
                 const uint32_t *series, struct tsm_err *err);
/* Cells from row `from` on. */
struct tsm_cells tsm_cells_from(struct tsm_cells c, size_t from);

/* The head of a group's series. */
struct tsm_series_head tsm_group_head(const struct tsm_run *r, const struct tsm_plan_group *g);

/* The fill value of raw columns and of calls that lack a point: NULL when there is none. */
const struct tsm_expr *tsm_run_fill_value(const struct tsm_run *r);

int tsm_memory_error(const struct tsm_run *r, struct tsm_err *err); /* TSM_ELIMIT */

#endif
