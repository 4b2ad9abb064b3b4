/*
 * query/rows.h: the rows of one series: its fields joined by time, filtered.
 *
 * With a driver, there is a row for each value of that field, and the others stand beside it where they have
 * a value at the same time; without one there is a row for each time at which any of the wanted fields has a
 * value. Batches ascend in time.
 */
#ifndef TSM_QUERY_ROWS_H
#define TSM_QUERY_ROWS_H

#include "query/cursor.h"
#include "query/plan.h"

#define TSM_NO_DRIVER SIZE_MAX

struct tsm_row_batch {
    size_t n;
    const int64_t *t;
    const struct tsm_vec *columns; /* per field of the plan, then per tag of it (constant) */
};

struct tsm_row_reader; /* one per thread */

/* wanted: per field of the plan, whether rows are made for it and its values are given; fields of filters are
 * read as needed. programs: of the plan's filters (NULL for TSM_NO_FILTER), over the columns of a batch. */
struct tsm_row_reader *tsm_row_reader_new(const struct tsm_plan *p,
                                          const struct tsm_program *const *programs);
void tsm_row_reader_free(struct tsm_row_reader *r); /* NULL is allowed */

/* Starts with series s (index into u->series). */
int tsm_row_reader_start(struct tsm_row_reader *r, const struct tsm_unit *u, size_t s, const bool *wanted,
                         size_t driver, int64_t tmin, int64_t tmax, struct tsm_err *err);
/* The next batch, never empty; n 0 at the end. Valid until the next call. */
int tsm_row_reader_next(struct tsm_row_reader *r, struct tsm_row_batch *batch, struct tsm_err *err);

/* Programs for all filters of the plan, in its arena. */
const struct tsm_program **tsm_filter_programs(struct tsm_plan *p);

#endif
