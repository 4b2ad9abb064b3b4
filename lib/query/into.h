/* query/into.h: SELECT … INTO: rows become points, by 10,000 as in influxd, and go to the backend. */
#ifndef TSM_QUERY_INTO_H
#define TSM_QUERY_INTO_H

#include "query/ast.h"
#include "query/context.h"
#include "query/sink.h"

/*
 * Runs s, which has a target, and gives the number of points that were made of its rows to sink as influxd does. Rows without a
 * value, and points that cannot be stored anywhere (an infinite number, a key that is too long), are left out. TSM_EQUERY when the
 * target does not exist, or when points are refused ("partial write: …"): then the points before those 10,000, and the others among
 * them, have been written.
 */
int tsm_into_run(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                 struct tsm_err *err);

#endif
