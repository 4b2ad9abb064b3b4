/*
 * query/parser_statement.c: statements by their leading keywords; SHOW, databases, policies and deletes.
 *
 * The keywords form a tree; where a word does not fit, the error lists the words of that place in the order
 * of the tables.
 */
#include <stdio.h>

#include "base/time.h"
#include "query/parser_impl.h"

#include "base/banned.h"

/* ---- SHOW ------------------------------------------------------------------------------------- */

static int parse_on(struct tsm_parser *p, struct tsm_str *database)
{
    *database = tsm_str("", 0);
    return tsm_parser_accept(p, TSM_TOK_ON) ? tsm_parser_ident(p, database) : TSM_OK;
}

static int parse_from(struct tsm_parser *p, struct tsm_show *s)
{
    return tsm_parser_accept(p, TSM_TOK_FROM) ? tsm_parser_sources(p, false, &s->sources, &s->nsources)
                                              : TSM_OK;
}

static int parse_order_limit_offset(struct tsm_parser *p, struct tsm_show *s)
{
    TSM_TRY(tsm_parser_order_by(p, &s->ordered, &s->order_named, &s->descending));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_LIMIT, &s->limit));
    return tsm_parser_optional_number(p, TSM_TOK_OFFSET, &s->offset);
}

static int parse_key_list(struct tsm_parser *p, struct tsm_expr *e)
{
    e->kind = TSM_EXPR_LIST;
    TSM_TRY(tsm_parser_require(p, TSM_TOK_LPAREN));
    do {
        struct tsm_str key;
        TSM_TRY(tsm_parser_ident(p, &key));
        size_t n = e->u.list.n;
        if ((n & (n - 1)) == 0) { /* full: double it */
            struct tsm_str *items = tsm_arena_alloc(p->arena, (n ? 2 * n : 1) * sizeof *items);
            if (n)
                memcpy(items, e->u.list.items, n * sizeof *items);
            e->u.list.items = items;
        }
        e->u.list.items[e->u.list.n++] = key;
    } while (tsm_parser_accept(p, TSM_TOK_COMMA));
    return tsm_parser_require(p, TSM_TOK_RPAREN);
}

static int parse_with_key(struct tsm_parser *p, struct tsm_show *s)
{
    TSM_TRY(tsm_parser_require(p, TSM_TOK_WITH));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_KEY));
    struct tsm_lexeme l = tsm_parser_next(p);
    s->key_op = l.tok;
    s->key = tsm_expr_new(p->arena, TSM_EXPR_STRING);
    switch (l.tok) {
    case TSM_TOK_IN:
        return parse_key_list(p, s->key);
    case TSM_TOK_EQ:
    case TSM_TOK_NEQ:
        return tsm_parser_ident(p, &s->key->u.string);
    case TSM_TOK_EQREGEX:
    case TSM_TOK_NEQREGEX:
        TSM_TRY(tsm_parser_regex(p, &s->key));
        return s->key ? TSM_OK : tsm_parser_expected(p, tsm_parser_next(p), "regex");
    default:
        return tsm_parser_expected(p, l, "IN, =, =~");
    }
}

/* After CARDINALITY. */
static int parse_cardinality(struct tsm_parser *p, struct tsm_statement *st, enum tsm_cardinality_of subject,
                             bool exact)
{
    static const char *const titles[][2] = {
        [TSM_CARDINALITY_SERIES] = {"SHOW SERIES CARDINALITY", "SHOW SERIES EXACT CARDINALITY"},
        [TSM_CARDINALITY_MEASUREMENT] = {"SHOW MEASUREMENT CARDINALITY",
                                         "SHOW MEASUREMENT EXACT CARDINALITY"},
        [TSM_CARDINALITY_TAG_KEY] = {"SHOW TAG KEY CARDINALITY", "SHOW TAG KEY EXACT CARDINALITY"},
        [TSM_CARDINALITY_TAG_VALUES] = {"SHOW TAG VALUES CARDINALITY", "SHOW TAG VALUES EXACT CARDINALITY"},
        [TSM_CARDINALITY_FIELD_KEY] = {"SHOW FIELD KEY CARDINALITY", "SHOW FIELD KEY EXACT CARDINALITY"},
    };
    struct tsm_show *s = &st->u.show;
    st->kind = TSM_STATEMENT_SHOW_CARDINALITY;
    st->title = titles[subject][exact];
    s->subject = subject;
    s->exact = exact;
    TSM_TRY(parse_on(p, &s->database));
    TSM_TRY(parse_from(p, s));
    if (subject == TSM_CARDINALITY_TAG_VALUES)
        TSM_TRY(parse_with_key(p, s));
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    TSM_TRY(tsm_parser_dimensions(p, &s->dimensions, &s->ndimensions));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_LIMIT, &s->limit));
    return tsm_parser_optional_number(p, TSM_TOK_OFFSET, &s->offset);
}

static int show_series(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    bool exact = tsm_parser_accept(p, TSM_TOK_EXACT);
    if (tsm_parser_accept(p, TSM_TOK_CARDINALITY))
        return parse_cardinality(p, st, TSM_CARDINALITY_SERIES, exact);
    TSM_TRY(parse_on(p, &s->database));
    TSM_TRY(parse_from(p, s));
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    return parse_order_limit_offset(p, s);
}

static int show_measurements(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    TSM_TRY(parse_on(p, &s->database));
    if (tsm_parser_accept(p, TSM_TOK_WITH)) {
        TSM_TRY(tsm_parser_require(p, TSM_TOK_MEASUREMENT));
        struct tsm_lexeme l = tsm_parser_next(p);
        if (l.tok != TSM_TOK_EQ && l.tok != TSM_TOK_EQREGEX)
            return tsm_parser_expected(p, l, "=, =~");
        s->sources = tsm_arena_calloc(p->arena, sizeof *s->sources);
        s->nsources = 1;
        TSM_TRY(tsm_parser_source(p, false, s->sources));
    }
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    return parse_order_limit_offset(p, s);
}

static int show_retention_policies(struct tsm_parser *p, struct tsm_statement *st)
{
    return parse_on(p, &st->u.show.database);
}

static int show_tag_keys(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    TSM_TRY(parse_on(p, &s->database));
    TSM_TRY(parse_from(p, s));
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    TSM_TRY(parse_order_limit_offset(p, s));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_SLIMIT, &s->slimit));
    return tsm_parser_optional_number(p, TSM_TOK_SOFFSET, &s->soffset);
}

static int show_tag_values(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok == TSM_TOK_EXACT) {
        TSM_TRY(tsm_parser_require(p, TSM_TOK_CARDINALITY));
        return parse_cardinality(p, st, TSM_CARDINALITY_TAG_VALUES, true);
    }
    if (l.tok == TSM_TOK_CARDINALITY)
        return parse_cardinality(p, st, TSM_CARDINALITY_TAG_VALUES, false);
    tsm_parser_back(p);
    TSM_TRY(parse_on(p, &s->database));
    TSM_TRY(parse_from(p, s));
    TSM_TRY(parse_with_key(p, s));
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    return parse_order_limit_offset(p, s);
}

static int show_field_keys(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    TSM_TRY(parse_on(p, &s->database));
    TSM_TRY(parse_from(p, s));
    return parse_order_limit_offset(p, s);
}

static int show_measurement_exact(struct tsm_parser *p, struct tsm_statement *st)
{
    TSM_TRY(tsm_parser_require(p, TSM_TOK_CARDINALITY));
    return parse_cardinality(p, st, TSM_CARDINALITY_MEASUREMENT, true);
}

static int show_measurement_cardinality(struct tsm_parser *p, struct tsm_statement *st)
{
    return parse_cardinality(p, st, TSM_CARDINALITY_MEASUREMENT, false);
}

static int key_cardinality(struct tsm_parser *p, struct tsm_statement *st, enum tsm_cardinality_of subject)
{
    bool exact = tsm_parser_accept(p, TSM_TOK_EXACT);
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_CARDINALITY)
        return tsm_parser_expected(p, l, exact ? "CARDINALITY" : "EXACT, CARDINALITY");
    return parse_cardinality(p, st, subject, exact);
}

static int show_tag_key(struct tsm_parser *p, struct tsm_statement *st)
{
    return key_cardinality(p, st, TSM_CARDINALITY_TAG_KEY);
}

static int show_field_key(struct tsm_parser *p, struct tsm_statement *st)
{
    return key_cardinality(p, st, TSM_CARDINALITY_FIELD_KEY);
}

static int for_module(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_accept(p, TSM_TOK_FOR) ? tsm_parser_string(p, &st->u.module) : TSM_OK;
}

static int nothing_more(struct tsm_parser *p, struct tsm_statement *st)
{
    (void)p;
    (void)st;
    return TSM_OK;
}

/* ---- databases and retention policies --------------------------------------------------------- */

static int create_database(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_ddl *d = &st->u.ddl;
    int64_t n;
    TSM_TRY(tsm_parser_ident(p, &d->database));
    if (!tsm_parser_accept(p, TSM_TOK_WITH))
        return TSM_OK;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_DURATION && l.tok != TSM_TOK_NAME && l.tok != TSM_TOK_REPLICATION &&
        l.tok != TSM_TOK_SHARD)
        return tsm_parser_expected(p, l, "DURATION, NAME, REPLICATION, SHARD");
    tsm_parser_back(p);
    d->with_policy = true;
    if ((d->has_duration = tsm_parser_accept(p, TSM_TOK_DURATION)))
        TSM_TRY(tsm_parser_duration(p, &d->duration));
    if ((d->has_replication = tsm_parser_accept(p, TSM_TOK_REPLICATION))) {
        TSM_TRY(tsm_parser_integer(p, 1, INT32_MAX, &n));
        d->replication = (int32_t)n;
    }
    if ((d->has_shard_duration = tsm_parser_accept(p, TSM_TOK_SHARD))) {
        TSM_TRY(tsm_parser_require(p, TSM_TOK_DURATION));
        TSM_TRY(tsm_parser_duration(p, &d->shard_duration));
    }
    return tsm_parser_accept(p, TSM_TOK_NAME) ? tsm_parser_ident(p, &d->name) : TSM_OK;
}

static int parse_name(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_ident(p, &st->u.ddl.name);
}

static int drop_database(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_ident(p, &st->u.ddl.database);
}

/* After SHARD. */
static int parse_shard_duration(struct tsm_parser *p, struct tsm_ddl *d)
{
    TSM_TRY(tsm_parser_require(p, TSM_TOK_DURATION));
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok == TSM_TOK_INF)
        return tsm_parser_error_at(p, l.pos, "invalid duration INF for shard duration");
    tsm_parser_back(p);
    d->has_shard_duration = true;
    return tsm_parser_duration(p, &d->shard_duration);
}

static int create_retention_policy(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_ddl *d = &st->u.ddl;
    int64_t n;
    TSM_TRY(tsm_parser_ident(p, &d->name));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_ON));
    TSM_TRY(tsm_parser_ident(p, &d->database));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_DURATION));
    TSM_TRY(tsm_parser_duration(p, &d->duration));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_REPLICATION));
    TSM_TRY(tsm_parser_integer(p, 1, INT32_MAX, &n));
    d->replication = (int32_t)n;
    d->has_duration = d->has_replication = true;
    if (tsm_parser_accept(p, TSM_TOK_SHARD))
        TSM_TRY(parse_shard_duration(p, d));
    d->make_default = tsm_parser_accept(p, TSM_TOK_DEFAULT);
    return TSM_OK;
}

/* One option of ALTER RETENTION POLICY; *seen tells whether it was given before. TSM_ESTOP: not an option. */
static int alter_option(struct tsm_parser *p, struct tsm_lexeme l, struct tsm_ddl *d)
{
    int64_t n;
    bool again = (l.tok == TSM_TOK_DURATION && d->has_duration) ||
                 (l.tok == TSM_TOK_SHARD && d->has_shard_duration) ||
                 (l.tok == TSM_TOK_REPLICATION && d->has_replication) ||
                 (l.tok == TSM_TOK_DEFAULT && d->make_default);
    if (again)
        return tsm_parser_error_at(p, l.pos, "found duplicate %s option", tsm_token_text(l.tok));
    switch (l.tok) {
    case TSM_TOK_DURATION:
        d->has_duration = true;
        return tsm_parser_duration(p, &d->duration);
    case TSM_TOK_REPLICATION:
        d->has_replication = true;
        TSM_TRY(tsm_parser_integer(p, 1, INT32_MAX, &n));
        d->replication = (int32_t)n;
        return TSM_OK;
    case TSM_TOK_SHARD:
        return parse_shard_duration(p, d);
    case TSM_TOK_DEFAULT:
        d->make_default = true;
        return TSM_OK;
    default:
        return TSM_ESTOP;
    }
}

static int alter_retention_policy(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_ddl *d = &st->u.ddl;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_DEFAULT && l.tok != TSM_TOK_IDENT)
        return tsm_parser_expected(p, l, "identifier");
    d->name = l.tok == TSM_TOK_DEFAULT ? TSM_STR("default") : l.lit;
    TSM_TRY(tsm_parser_require(p, TSM_TOK_ON));
    TSM_TRY(tsm_parser_ident(p, &d->database));
    for (bool first = true;; first = false) {
        l = tsm_parser_next(p);
        int rc = alter_option(p, l, d);
        if (rc == TSM_ESTOP && first)
            return tsm_parser_expected(p, l, "DURATION, REPLICATION, SHARD, DEFAULT");
        if (rc == TSM_ESTOP)
            break;
        TSM_TRY(rc);
    }
    tsm_parser_back(p);
    return TSM_OK;
}

static int drop_retention_policy(struct tsm_parser *p, struct tsm_statement *st)
{
    TSM_TRY(tsm_parser_ident(p, &st->u.ddl.name));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_ON));
    return tsm_parser_ident(p, &st->u.ddl.database);
}

/* ---- deletes ---------------------------------------------------------------------------------- */

static int parse_delete(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_show *s = &st->u.show;
    struct tsm_lexeme l = tsm_parser_next(p);
    const char *fault = NULL;
    if (l.tok == TSM_TOK_FROM)
        TSM_TRY(tsm_parser_sources(p, false, &s->sources, &s->nsources));
    else
        tsm_parser_back(p);
    for (size_t i = 0; i < s->nsources; i++)
        fault = s->sources[i].rp.n         ? "retention policy not supported"
                : s->sources[i].database.n ? "database not supported"
                                           : fault;
    if (fault)
        return tsm_parser_error_at(p, (struct tsm_pos){0, 0}, "%s", fault);
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    return s->condition || s->nsources ? TSM_OK : tsm_parser_expected(p, l, "FROM, WHERE");
}

static int drop_shard(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_unsigned(p, &st->u.ddl.shard);
}

/* ---- SELECT ----------------------------------------------------------------------------------- */

static int parse_select(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_select(p, TSM_TARGET_OPTIONAL, &st->u.select);
}

static int explain(struct tsm_parser *p, struct tsm_statement *st)
{
    st->analyze = tsm_parser_accept(p, TSM_TOK_ANALYZE);
    TSM_TRY(tsm_parser_require(p, TSM_TOK_SELECT));
    return parse_select(p, st);
}

/* ---- the tree of leading keywords ------------------------------------------------------------- */

struct branch {
    enum tsm_token tok;
    const struct branch *below; /* or a statement: */
    enum tsm_statement_kind kind;
    const char *title;
    int (*parse)(struct tsm_parser *p, struct tsm_statement *st);
};

#define BELOW(t, table)                   \
    {                                     \
        TSM_TOK_##t, table, 0, NULL, NULL \
    }
#define LEAF(t, kind, title, fn)                           \
    {                                                      \
        TSM_TOK_##t, NULL, TSM_STATEMENT_##kind, title, fn \
    }
#define LAST                                 \
    {                                        \
        TSM_TOK_ILLEGAL, NULL, 0, NULL, NULL \
    }

static const struct branch show_continuous[] = {
    LEAF(QUERIES, SHOW_CONTINUOUS_QUERIES, "SHOW CONTINUOUS QUERIES", nothing_more), LAST};
static const struct branch show_field[] = {LEAF(KEY, SHOW_CARDINALITY, NULL, show_field_key),
                                           LEAF(KEYS, SHOW_FIELD_KEYS, "SHOW FIELD KEYS", show_field_keys),
                                           LAST};
static const struct branch show_grants[] = {LEAF(FOR, SHOW_GRANTS, "SHOW GRANTS", tsm_parser_user_name),
                                            LAST};
static const struct branch show_measurement[] = {
    LEAF(EXACT, SHOW_CARDINALITY, NULL, show_measurement_exact),
    LEAF(CARDINALITY, SHOW_CARDINALITY, NULL, show_measurement_cardinality), LAST};
static const struct branch show_retention[] = {
    LEAF(POLICIES, SHOW_RETENTION_POLICIES, "SHOW RETENTION POLICIES", show_retention_policies), LAST};
static const struct branch show_shard[] = {LEAF(GROUPS, SHOW_SHARD_GROUPS, "SHOW SHARD GROUPS", nothing_more),
                                           LAST};
static const struct branch show_tag[] = {LEAF(KEY, SHOW_CARDINALITY, NULL, show_tag_key),
                                         LEAF(KEYS, SHOW_TAG_KEYS, "SHOW TAG KEYS", show_tag_keys),
                                         LEAF(VALUES, SHOW_TAG_VALUES, "SHOW TAG VALUES", show_tag_values),
                                         LAST};
static const struct branch show[] = {
    BELOW(CONTINUOUS, show_continuous),
    LEAF(DATABASES, SHOW_DATABASES, "SHOW DATABASES", nothing_more),
    LEAF(DIAGNOSTICS, SHOW_DIAGNOSTICS, "SHOW DIAGNOSTICS", for_module),
    BELOW(FIELD, show_field),
    BELOW(GRANTS, show_grants),
    BELOW(MEASUREMENT, show_measurement),
    LEAF(MEASUREMENTS, SHOW_MEASUREMENTS, "SHOW MEASUREMENTS", show_measurements),
    LEAF(QUERIES, SHOW_QUERIES, "SHOW QUERIES", nothing_more),
    BELOW(RETENTION, show_retention),
    LEAF(SERIES, SHOW_SERIES, "SHOW SERIES", show_series),
    BELOW(SHARD, show_shard),
    LEAF(SHARDS, SHOW_SHARDS, "SHOW SHARDS", nothing_more),
    LEAF(STATS, SHOW_STATS, "SHOW STATS", for_module),
    LEAF(SUBSCRIPTIONS, SHOW_SUBSCRIPTIONS, "SHOW SUBSCRIPTIONS", nothing_more),
    BELOW(TAG, show_tag),
    LEAF(USERS, SHOW_USERS, "SHOW USERS", nothing_more),
    LAST,
};
static const struct branch create_continuous[] = {
    LEAF(QUERY, CREATE_CONTINUOUS_QUERY, "CREATE CONTINUOUS QUERY", tsm_parser_create_continuous), LAST};
static const struct branch create_retention[] = {
    LEAF(POLICY, CREATE_RETENTION_POLICY, "CREATE RETENTION POLICY", create_retention_policy), LAST};
static const struct branch create[] = {
    BELOW(CONTINUOUS, create_continuous),
    LEAF(DATABASE, CREATE_DATABASE, "CREATE DATABASE", create_database),
    LEAF(USER, CREATE_USER, "CREATE USER", tsm_parser_create_user),
    BELOW(RETENTION, create_retention),
    LEAF(SUBSCRIPTION, CREATE_SUBSCRIPTION, "CREATE SUBSCRIPTION", tsm_parser_create_subscription),
    LAST,
};
static const struct branch drop_continuous[] = {
    LEAF(QUERY, DROP_CONTINUOUS_QUERY, "DROP CONTINUOUS QUERY", tsm_parser_drop_continuous), LAST};
static const struct branch drop_retention[] = {
    LEAF(POLICY, DROP_RETENTION_POLICY, "DROP RETENTION POLICY", drop_retention_policy), LAST};
static const struct branch drop[] = {
    BELOW(CONTINUOUS, drop_continuous),
    LEAF(DATABASE, DROP_DATABASE, "DROP DATABASE", drop_database),
    LEAF(MEASUREMENT, DROP_MEASUREMENT, "DROP MEASUREMENT", parse_name),
    BELOW(RETENTION, drop_retention),
    LEAF(SERIES, DROP_SERIES, "DROP SERIES", parse_delete),
    LEAF(SHARD, DROP_SHARD, "DROP SHARD", drop_shard),
    LEAF(SUBSCRIPTION, DROP_SUBSCRIPTION, "DROP SUBSCRIPTION", tsm_parser_drop_subscription),
    LEAF(USER, DROP_USER, "DROP USER", tsm_parser_user_name),
    LAST,
};
static const struct branch alter_retention[] = {
    LEAF(POLICY, ALTER_RETENTION_POLICY, "ALTER RETENTION POLICY", alter_retention_policy), LAST};
static const struct branch alter[] = {BELOW(RETENTION, alter_retention), LAST};
static const struct branch set_password_for[] = {
    LEAF(FOR, SET_PASSWORD, "SET PASSWORD", tsm_parser_set_password), LAST};
static const struct branch set[] = {BELOW(PASSWORD, set_password_for), LAST};
static const struct branch kill[] = {LEAF(QUERY, KILL_QUERY, "KILL QUERY", tsm_parser_kill_query), LAST};
static const struct branch language[] = {
    LEAF(SELECT, SELECT, "SELECT", parse_select),
    LEAF(DELETE, DELETE, "DELETE", parse_delete),
    BELOW(SHOW, show),
    BELOW(CREATE, create),
    BELOW(DROP, drop),
    LEAF(EXPLAIN, EXPLAIN, "EXPLAIN", explain),
    LEAF(GRANT, GRANT, "GRANT", tsm_parser_grant),
    LEAF(REVOKE, REVOKE, "REVOKE", tsm_parser_revoke),
    BELOW(ALTER, alter),
    BELOW(SET, set),
    BELOW(KILL, kill),
    LAST,
};

static int wrong_keyword(struct tsm_parser *p, struct tsm_lexeme l, const struct branch *table)
{
    struct tsm_buf b = {0};
    for (const struct branch *t = table; t->tok; t++)
        tsm_buf_printf(&b, "%s%s", b.len ? ", " : "", tsm_token_text(t->tok));
    int rc = tsm_parser_expected(p, l, tsm_buf_cstr(&b));
    tsm_buf_release(&b);
    return rc;
}

int tsm_parser_statement(struct tsm_parser *p, struct tsm_statement *st)
{
    const struct branch *table = language;
    for (;;) {
        struct tsm_lexeme l = tsm_parser_next(p);
        const struct branch *t = table;
        while (t->tok && t->tok != l.tok)
            t++;
        if (!t->tok)
            return wrong_keyword(p, l, table);
        if (!t->below) {
            st->kind = t->kind;
            st->title = t->title;
            return t->parse(p, st);
        }
        table = t->below;
    }
}
