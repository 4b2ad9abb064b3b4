/* query/ddl.h: statements that change databases, retention policies and shards: they change meta.db under the
 * directory's lock. */
#ifndef TSM_QUERY_DDL_H
#define TSM_QUERY_DDL_H

#include "query/ast.h"
#include "query/context.h"

/* TSM_EQUERY with influxd's text; TSM_ELOCKED when another process has the directory. */
int tsm_ddl_run(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_err *err);

#endif
