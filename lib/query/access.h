/*
 * query/access.h: who may do what: InfluxDB's users and privileges (influxql's RequiredPrivileges, influxdb v1.8
 * services/meta/query_authorizer.go), and its error texts.
 */
#ifndef TSM_QUERY_ACCESS_H
#define TSM_QUERY_ACCESS_H

#include "format/meta_db.h"
#include "query/ast.h"

/* Whether the user of this name may run the statement; user empty: nobody has logged in (allowed is then only what influxd allows:
 * the creation of the first admin). TSM_EQUERY with influxd's text. */
int tsm_access_statement(const struct tsm_meta *m, struct tsm_str user, const struct tsm_statement *st,
                         struct tsm_str database, struct tsm_err *err);
/* Whether the user may write to a database: "\"%s\" user is not authorized to write to database \"%s\"". */
int tsm_access_write(const struct tsm_meta *m, struct tsm_str user, struct tsm_str database,
                     struct tsm_err *err);
bool tsm_access_has_admin(const struct tsm_meta *m);

/* bcrypt by libcrypt ($2a$ as InfluxDB writes it). cost: 10 as InfluxDB's, tests use 4. */
int tsm_password_hash(struct tsm_str password, unsigned cost, struct tsm_buf *hash, struct tsm_err *err);
bool tsm_password_check(struct tsm_str password, struct tsm_str hash);

#endif
