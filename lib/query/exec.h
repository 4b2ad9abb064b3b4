/*
 * query/exec.h: running a SELECT.
 *
 *   compile.h   checks that need no data; condition and time range (reduce.h)
 *   plan.h      shards, measurements, series, groups (condition.h: tags)
 *   shape.h     columns: wildcards expanded, types, names; arithmetic (eval.h)
 *   select_raw.c        rows as they are: rows.h joins fields, raw_load.h loads and orders, merge.h has the order
 *   select_aggregate.c  functions: aggregate.h, functions.h, value_sort.h, fill.h
 *   level.h     a SELECT in another one: the tree of them, and the rows from one to the next
 *
 * The answer is influxd's, byte for byte, with these known exceptions:
 * - The order in which influxd adds the floats of several series (sum, mean) depends on its number of processors
 *   (GOMAXPROCS). Here it is the order for one, whatever the number of threads.
 * - When the points per series and interval do not fit into memory, sum and mean are added series by series: the last
 *   digit may differ.
 * - Fields and tags are those in the shards of the query's time range, as with influxd's tsi1 index. Its inmem index also
 *   knows those that only occur in other shards: a wildcard gives such tags, a condition takes such a name for a field.
 * - With several calls, an interval for which percentile() has nothing is null; influxd may give rows twice there.
 * - Rows of one time that come from several sources of one name, when the group is read in slices.
 * - Points of one time of several series that go through a transform as they are, when they do not fit into memory.
 */
#ifndef TSM_QUERY_EXEC_H
#define TSM_QUERY_EXEC_H

#include "query/ast.h"
#include "query/context.h"
#include "query/sink.h"

/*
 * Gives the series of the answer to sink (series_begin, rows, series_end; the statement's begin and end are
 * the caller's). TSM_EQUERY with influxd's text when the statement cannot be executed; TSM_ELIMIT over
 * opt->memory; what the sink returned; TSM_ECORRUPT, TSM_EIO.
 */
int tsm_select_run(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                   struct tsm_err *err);

/* The databases of all sources: influxd looks for them before anything else. TSM_EQUERY. */
int tsm_select_check_sources(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_err *err);

#endif
