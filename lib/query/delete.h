/*
 * query/delete.h: DELETE, DROP SERIES and DROP MEASUREMENT: which series and times, in which shards; store/delete.h does it.
 *
 * All retention policies of the database are concerned. No lock of the directory is needed: a writer may run beside.
 */
#ifndef TSM_QUERY_DELETE_H
#define TSM_QUERY_DELETE_H

#include "query/ast.h"
#include "query/context.h"

/* TSM_EQUERY with influxd's text; TSM_ELOCKED when a compaction works on a shard: then what comes before that shard is deleted. */
int tsm_delete_statement(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_err *err);

#endif
