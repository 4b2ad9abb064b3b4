/* query/show.h: the SHOW statements, answered from meta.db and from the keys in the shards; and KILL QUERY. */
#ifndef TSM_QUERY_SHOW_H
#define TSM_QUERY_SHOW_H

#include "query/ast.h"
#include "query/context.h"
#include "query/sink.h"

/* Gives the series of the answer to sink, without the statement's begin and end. TSM_EQUERY with influxd's
 * text. */
int tsm_show_run(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                 struct tsm_err *err);

#endif
