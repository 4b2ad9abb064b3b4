/*
 * query/print_statement.c: any statement as InfluxQL text, as influxql's String() methods write it.
 *
 * Two of those do not parse: a password is printed as [REDACTED], and the durations of CREATE DATABASE are Go's. What is to be
 * read again is printed differently there.
 */
#include <inttypes.h>

#include "base/time.h"
#include "query/ast.h"

#include "base/banned.h"

struct printer {
    struct tsm_buf *out;
    bool again; /* the text will be parsed */
};

static void puts_ident(struct tsm_buf *out, const char *before, struct tsm_str name)
{
    tsm_buf_puts(out, before);
    tsm_quote_ident(out, name);
}

static void print_duration(struct tsm_buf *out, const char *before, int64_t d)
{
    char text[TSM_TIME_TEXT_MAX];
    tsm_buf_puts(out, before);
    tsm_buf_add(out, text, tsm_format_duration_influxql(text, d));
}

/* ---- SHOW and deletes -------------------------------------------------------------------------- */

static void print_from(struct tsm_buf *out, const struct tsm_show *s)
{
    for (size_t i = 0; i < s->nsources; i++) {
        tsm_buf_puts(out, i ? ", " : " FROM ");
        tsm_source_print(out, &s->sources[i]);
    }
}

static void print_with_measurement(struct tsm_buf *out, const struct tsm_show *s)
{
    if (!s->nsources)
        return;
    tsm_buf_puts(out, s->sources[0].regex ? " WITH MEASUREMENT =~ " : " WITH MEASUREMENT = ");
    tsm_source_print(out, &s->sources[0]);
}

static void print_with_key(struct tsm_buf *out, const struct tsm_show *s)
{
    if (!s->key)
        return;
    tsm_buf_printf(out, " WITH KEY %s ", tsm_token_text(s->key_op));
    if (s->key->kind == TSM_EXPR_STRING)
        tsm_quote_ident(out, s->key->u.string);
    else
        tsm_expr_print(out, s->key);
}

static void print_number(struct tsm_buf *out, const char *clause, int64_t n)
{
    if (n > 0)
        tsm_buf_printf(out, " %s %" PRId64, clause, n);
}

static void print_show(struct tsm_buf *out, const struct tsm_statement *st)
{
    const struct tsm_show *s = &st->u.show;
    bool measurements = st->kind == TSM_STATEMENT_SHOW_MEASUREMENTS;
    tsm_buf_puts(out, st->title);
    if (s->database.n)
        puts_ident(out, " ON ", s->database);
    if (measurements)
        print_with_measurement(out, s);
    else
        print_from(out, s);
    print_with_key(out, s);
    if (s->condition) {
        tsm_buf_puts(out, " WHERE ");
        tsm_expr_print(out, s->condition);
    }
    for (size_t i = 0; i < s->ndimensions; i++) {
        tsm_buf_puts(out, i ? ", " : " GROUP BY ");
        tsm_expr_print(out, s->dimensions[i]);
    }
    if (s->ordered)
        tsm_buf_printf(out, " ORDER BY %s%s", s->order_named ? "time " : "", s->descending ? "DESC" : "ASC");
    print_number(out, "LIMIT", s->limit);
    print_number(out, "OFFSET", s->offset);
    print_number(out, "SLIMIT", s->slimit);
    print_number(out, "SOFFSET", s->soffset);
}

static void print_module(struct tsm_buf *out, const struct tsm_statement *st)
{
    tsm_buf_puts(out, st->title);
    if (!st->u.module.n)
        return;
    tsm_buf_puts(out, " FOR ");
    tsm_quote_string(out, st->u.module);
}

/* ---- databases and retention policies ---------------------------------------------------------- */

static void print_create_database(const struct printer *p, const struct tsm_ddl *d)
{
    char text[TSM_TIME_TEXT_MAX];
    puts_ident(p->out, "CREATE DATABASE ", d->database);
    if (!d->with_policy)
        return;
    tsm_buf_puts(p->out, " WITH");
    if (d->has_duration && p->again) {
        print_duration(p->out, " DURATION ", d->duration);
    } else if (d->has_duration) {
        tsm_buf_puts(p->out, " DURATION ");
        tsm_buf_add(p->out, text, tsm_format_duration_go(text, d->duration));
    }
    if (d->has_replication)
        tsm_buf_printf(p->out, " REPLICATION %" PRId32, d->replication);
    if (d->has_shard_duration && p->again) {
        print_duration(p->out, " SHARD DURATION ", d->shard_duration);
    } else if (d->shard_duration > 0) {
        tsm_buf_puts(p->out, " SHARD DURATION ");
        tsm_buf_add(p->out, text, tsm_format_duration_go(text, d->shard_duration));
    }
    if (d->name.n)
        puts_ident(p->out, " NAME ", d->name);
}

static void print_policy(struct tsm_buf *out, const struct tsm_statement *st)
{
    const struct tsm_ddl *d = &st->u.ddl;
    tsm_buf_printf(out, "%s ", st->title);
    tsm_quote_ident(out, d->name);
    puts_ident(out, " ON ", d->database);
    if (st->kind == TSM_STATEMENT_DROP_RETENTION_POLICY)
        return;
    if (d->has_duration)
        print_duration(out, " DURATION ", d->duration);
    if (d->has_replication)
        tsm_buf_printf(out, " REPLICATION %" PRId32, d->replication);
    if (d->has_shard_duration && (d->shard_duration > 0 || st->kind == TSM_STATEMENT_ALTER_RETENTION_POLICY))
        print_duration(out, " SHARD DURATION ", d->shard_duration);
    if (d->make_default)
        tsm_buf_puts(out, " DEFAULT");
}

/* ---- users, continuous queries, subscriptions -------------------------------------------------- */

static void print_password(const struct printer *p)
{
    tsm_buf_puts(p->out, p->again ? "'[REDACTED]'" : "[REDACTED]");
}

static void print_user(const struct printer *p, const struct tsm_statement *st)
{
    const struct tsm_user_clauses *u = &st->u.user;
    switch (st->kind) {
    case TSM_STATEMENT_CREATE_USER:
        puts_ident(p->out, "CREATE USER ", u->name);
        tsm_buf_puts(p->out, " WITH PASSWORD ");
        print_password(p);
        if (u->admin)
            tsm_buf_puts(p->out, " WITH ALL PRIVILEGES");
        break;
    case TSM_STATEMENT_SET_PASSWORD:
        puts_ident(p->out, "SET PASSWORD FOR ", u->name);
        tsm_buf_puts(p->out, " = ");
        print_password(p);
        break;
    case TSM_STATEMENT_DROP_USER:
        puts_ident(p->out, "DROP USER ", u->name);
        break;
    default:
        puts_ident(p->out, "SHOW GRANTS FOR ", u->name);
        break;
    }
}

static void print_grant(struct tsm_buf *out, const struct tsm_statement *st)
{
    const struct tsm_user_clauses *u = &st->u.user;
    tsm_buf_printf(out, "%s %s", st->title, tsm_privilege_name((int32_t)u->privilege));
    if (!u->admin)
        puts_ident(out, " ON ", u->database);
    puts_ident(out, st->kind == TSM_STATEMENT_GRANT ? " TO " : " FROM ", u->name);
}

static void print_continuous(struct tsm_buf *out, const struct tsm_statement *st)
{
    const struct tsm_continuous_clauses *c = &st->u.continuous;
    tsm_buf_printf(out, "%s ", st->title);
    tsm_quote_ident(out, c->name);
    puts_ident(out, " ON ", c->database);
    if (st->kind == TSM_STATEMENT_DROP_CONTINUOUS_QUERY)
        return;
    if (c->every > 0 || c->range > 0)
        tsm_buf_puts(out, " RESAMPLE");
    if (c->every > 0)
        print_duration(out, " EVERY ", c->every);
    if (c->range > 0)
        print_duration(out, " FOR ", c->range);
    tsm_buf_puts(out, " BEGIN ");
    tsm_select_print(out, c->select);
    tsm_buf_puts(out, " END");
}

static void print_subscription(struct tsm_buf *out, const struct tsm_statement *st)
{
    const struct tsm_subscription_clauses *s = &st->u.subscription;
    tsm_buf_printf(out, "%s ", st->title);
    tsm_quote_ident(out, s->name);
    puts_ident(out, " ON ", s->database);
    puts_ident(out, ".", s->rp);
    if (st->kind == TSM_STATEMENT_DROP_SUBSCRIPTION)
        return;
    tsm_buf_printf(out, " DESTINATIONS %s ", s->any ? "ANY" : "ALL");
    for (size_t i = 0; i < s->ndestinations; i++) {
        if (i)
            tsm_buf_puts(out, ", ");
        tsm_quote_string(out, s->destinations[i]);
    }
}

/* ---- all of them ------------------------------------------------------------------------------- */

static void print_statement(const struct printer *p, const struct tsm_statement *st)
{
    struct tsm_buf *out = p->out;
    switch (st->kind) {
    case TSM_STATEMENT_EXPLAIN:
        tsm_buf_puts(out, st->analyze ? "EXPLAIN ANALYZE " : "EXPLAIN ");
        tsm_select_print(out, st->u.select);
        break;
    case TSM_STATEMENT_SELECT:
        tsm_select_print(out, st->u.select);
        break;
    case TSM_STATEMENT_DELETE:
    case TSM_STATEMENT_DROP_SERIES:
    case TSM_STATEMENT_SHOW_RETENTION_POLICIES:
    case TSM_STATEMENT_SHOW_MEASUREMENTS:
    case TSM_STATEMENT_SHOW_SERIES:
    case TSM_STATEMENT_SHOW_TAG_KEYS:
    case TSM_STATEMENT_SHOW_TAG_VALUES:
    case TSM_STATEMENT_SHOW_FIELD_KEYS:
    case TSM_STATEMENT_SHOW_CARDINALITY:
        print_show(out, st);
        break;
    case TSM_STATEMENT_SHOW_STATS:
    case TSM_STATEMENT_SHOW_DIAGNOSTICS:
        print_module(out, st);
        break;
    case TSM_STATEMENT_SHOW_DATABASES:
    case TSM_STATEMENT_SHOW_CONTINUOUS_QUERIES:
    case TSM_STATEMENT_SHOW_QUERIES:
    case TSM_STATEMENT_SHOW_SHARD_GROUPS:
    case TSM_STATEMENT_SHOW_SHARDS:
    case TSM_STATEMENT_SHOW_SUBSCRIPTIONS:
    case TSM_STATEMENT_SHOW_USERS:
        tsm_buf_puts(out, st->title);
        break;
    case TSM_STATEMENT_KILL_QUERY:
        tsm_buf_printf(out, "KILL QUERY %" PRIu64, st->u.kill.id);
        if (st->u.kill.host.n)
            puts_ident(out, " ON ", st->u.kill.host);
        break;
    case TSM_STATEMENT_CREATE_DATABASE:
        print_create_database(p, &st->u.ddl);
        break;
    case TSM_STATEMENT_DROP_DATABASE:
        puts_ident(out, "DROP DATABASE ", st->u.ddl.database);
        break;
    case TSM_STATEMENT_DROP_MEASUREMENT:
        puts_ident(out, "DROP MEASUREMENT ", st->u.ddl.name);
        break;
    case TSM_STATEMENT_DROP_SHARD:
        tsm_buf_printf(out, "DROP SHARD %" PRIu64, st->u.ddl.shard);
        break;
    case TSM_STATEMENT_CREATE_RETENTION_POLICY:
    case TSM_STATEMENT_ALTER_RETENTION_POLICY:
    case TSM_STATEMENT_DROP_RETENTION_POLICY:
        print_policy(out, st);
        break;
    case TSM_STATEMENT_CREATE_USER:
    case TSM_STATEMENT_DROP_USER:
    case TSM_STATEMENT_SET_PASSWORD:
    case TSM_STATEMENT_SHOW_GRANTS:
        print_user(p, st);
        break;
    case TSM_STATEMENT_GRANT:
    case TSM_STATEMENT_REVOKE:
        print_grant(out, st);
        break;
    case TSM_STATEMENT_CREATE_CONTINUOUS_QUERY:
    case TSM_STATEMENT_DROP_CONTINUOUS_QUERY:
        print_continuous(out, st);
        break;
    case TSM_STATEMENT_CREATE_SUBSCRIPTION:
    case TSM_STATEMENT_DROP_SUBSCRIPTION:
        print_subscription(out, st);
        break;
    }
}

void tsm_statement_print(struct tsm_buf *out, const struct tsm_statement *st)
{
    print_statement(&(struct printer){out, false}, st);
}

void tsm_statement_print_again(struct tsm_buf *out, const struct tsm_statement *st)
{
    print_statement(&(struct printer){out, true}, st);
}
