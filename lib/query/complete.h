/* query/complete.h: giving every measurement of a SELECT its database and its retention policy, as influxd's NormalizeStatement() does. */
#ifndef TSM_QUERY_COMPLETE_H
#define TSM_QUERY_COMPLETE_H

#include "format/meta_db.h"
#include "query/ast.h"

/* A copy of s, in the arena, with complete names in INTO, FROM and subqueries; what has no names is shared. database and rp are for
 * names without; rp empty: the database's default. TSM_EQUERY with influxd's text: "database not found: x", … */
int tsm_select_complete(const struct tsm_meta *m, struct tsm_str database, struct tsm_str rp,
                        struct tsm_arena *a, const struct tsm_select *s, struct tsm_select **out,
                        struct tsm_err *err);

#endif
