/*
 * query/explain.h: EXPLAIN and EXPLAIN ANALYZE.
 *
 * EXPLAIN gives influxd's lines for what a SELECT would read: each call (or the fields of raw rows) of each source, with the
 * shards, series, files and blocks that it touches, by the indexes alone. EXPLAIN ANALYZE runs the query, gives none of its rows,
 * and draws a tree: what was read, by call, measurement and shard, and how long planning and execution took.
 */
#ifndef TSM_QUERY_EXPLAIN_H
#define TSM_QUERY_EXPLAIN_H

#include "query/exec.h"

/* TSM_EQUERY with influxd's text, and what tsm_select_run() returns. */
int tsm_explain_run(struct tsm_query_ctx *q, const struct tsm_select *s, bool analyze, struct tsm_sink *sink,
                    struct tsm_err *err);

#endif
