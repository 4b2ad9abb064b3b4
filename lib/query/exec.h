/*
 * query/exec.h: running a SELECT.
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

#endif
