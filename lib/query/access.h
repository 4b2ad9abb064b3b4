/*
 * query/access.h: who may do what: InfluxDB's users and privileges (influxql's RequiredPrivileges, influxdb v1.8
 * services/meta/query_authorizer.go), and its error texts.
 */
#ifndef TSM_QUERY_ACCESS_H
#define TSM_QUERY_ACCESS_H

#include "format/meta_db.h"
#include "query/ast.h"

/* Whether the user of this name may run all statements of a query; user empty: nobody has logged in (allowed is then only what
 * influxd allows: the creation of the first admin). TSM_EACCESS with influxd's text, without "error authorizing query: ". */
int tsm_access_query(const struct tsm_meta *m, struct tsm_str user, const struct tsm_ast *ast,
                     struct tsm_str database, struct tsm_err *err);
/* Whether the user has a privilege (ast.h) on a database; an admin has all. */
bool tsm_access_database(const struct tsm_meta *m, struct tsm_str user, int32_t privilege,
                         struct tsm_str database);
/* Whether the user may write to a database: "\"%s\" user is not authorized to write to database \"%s\"" (TSM_EACCESS). */
int tsm_access_write(const struct tsm_meta *m, struct tsm_str user, struct tsm_str database,
                     struct tsm_err *err);
bool tsm_access_has_admin(const struct tsm_meta *m);

/* A password is looked at up to its 72nd byte, as bcrypt does. TSM_EQUERY: it has a NUL byte. */
/* bcrypt by libcrypt ($2a$ as InfluxDB writes it). cost: 10 as InfluxDB's, tests use 4. */
int tsm_password_hash(struct tsm_str password, unsigned cost, struct tsm_buf *hash, struct tsm_err *err);
bool tsm_password_check(struct tsm_str password, struct tsm_str hash);

#endif
