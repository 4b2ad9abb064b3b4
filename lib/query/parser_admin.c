/*
 * query/parser_admin.c: statements about users and privileges, running queries, continuous queries and subscriptions, behind
 * their leading keywords.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/time.h"
#include "query/parser_impl.h"

#include "base/banned.h"

/* ---- users ------------------------------------------------------------------------------------ */

int tsm_parser_user_name(struct tsm_parser *p, struct tsm_statement *st)
{
    return tsm_parser_ident(p, &st->u.user.name);
}

int tsm_parser_create_user(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_user_clauses *u = &st->u.user;
    TSM_TRY(tsm_parser_ident(p, &u->name));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_WITH));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_PASSWORD));
    TSM_TRY(tsm_parser_string(p, &u->password));
    if (!tsm_parser_accept(p, TSM_TOK_WITH))
        return TSM_OK;
    u->admin = true;
    TSM_TRY(tsm_parser_require(p, TSM_TOK_ALL));
    return tsm_parser_require(p, TSM_TOK_PRIVILEGES);
}

int tsm_parser_set_password(struct tsm_parser *p, struct tsm_statement *st)
{
    TSM_TRY(tsm_parser_ident(p, &st->u.user.name));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_EQ));
    return tsm_parser_string(p, &st->u.user.password);
}

static int parse_privilege(struct tsm_parser *p, enum tsm_privilege_kind *privilege)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    switch (l.tok) {
    case TSM_TOK_READ:
        *privilege = TSM_PRIVILEGE_READ;
        return TSM_OK;
    case TSM_TOK_WRITE:
        *privilege = TSM_PRIVILEGE_WRITE;
        return TSM_OK;
    case TSM_TOK_ALL:
        *privilege = TSM_PRIVILEGE_ALL;
        (void)tsm_parser_accept(p, TSM_TOK_PRIVILEGES);
        return TSM_OK;
    default:
        return tsm_parser_expected(p, l, "READ, WRITE, ALL [PRIVILEGES]");
    }
}

/* GRANT … ON db TO user, GRANT ALL TO user; REVOKE with FROM. */
static int parse_privileges(struct tsm_parser *p, enum tsm_token preposition, struct tsm_user_clauses *u)
{
    TSM_TRY(parse_privilege(p, &u->privilege));
    bool all = u->privilege == TSM_PRIVILEGE_ALL;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok == TSM_TOK_ON) {
        TSM_TRY(tsm_parser_ident(p, &u->database));
        TSM_TRY(tsm_parser_require(p, preposition));
    } else if (l.tok != preposition || !all) {
        return tsm_parser_expected(p, l, !all ? "ON" : preposition == TSM_TOK_TO ? "ON, TO" : "ON, FROM");
    } else {
        u->admin = true;
    }
    return tsm_parser_ident(p, &u->name);
}

int tsm_parser_grant(struct tsm_parser *p, struct tsm_statement *st)
{
    return parse_privileges(p, TSM_TOK_TO, &st->u.user);
}

int tsm_parser_revoke(struct tsm_parser *p, struct tsm_statement *st)
{
    return parse_privileges(p, TSM_TOK_FROM, &st->u.user);
}

/* ---- running queries -------------------------------------------------------------------------- */

int tsm_parser_kill_query(struct tsm_parser *p, struct tsm_statement *st)
{
    TSM_TRY(tsm_parser_unsigned(p, &st->u.kill.id));
    return tsm_parser_accept(p, TSM_TOK_ON) ? tsm_parser_ident(p, &st->u.kill.host) : TSM_OK;
}

/* ---- subscriptions ---------------------------------------------------------------------------- */

/* name ON database */
static int parse_on_database(struct tsm_parser *p, struct tsm_str *name, struct tsm_str *database)
{
    TSM_TRY(tsm_parser_ident(p, name));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_ON));
    return tsm_parser_ident(p, database);
}

int tsm_parser_drop_subscription(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_subscription_clauses *s = &st->u.subscription;
    TSM_TRY(parse_on_database(p, &s->name, &s->database));
    struct tsm_lexeme l = tsm_parser_scan(p);
    if (l.tok != TSM_TOK_DOT)
        return tsm_parser_expected(p, l, ".");
    return tsm_parser_ident(p, &s->rp);
}

int tsm_parser_create_subscription(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_subscription_clauses *s = &st->u.subscription;
    TSM_TRY(tsm_parser_drop_subscription(p, st));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_DESTINATIONS));
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_ALL && l.tok != TSM_TOK_ANY)
        return tsm_parser_expected(p, l, "ALL, ANY");
    s->any = l.tok == TSM_TOK_ANY;
    struct tsm_str *list = NULL;
    size_t n = 0, cap = 0;
    int rc;
    do {
        TSM_GROW(list, n + 1, cap);
        rc = tsm_parser_string(p, &list[n]);
        n++;
    } while (rc == TSM_OK && tsm_parser_accept(p, TSM_TOK_COMMA));
    if (rc == TSM_OK) {
        s->destinations = tsm_arena_alloc(p->arena, n * sizeof *list);
        memcpy(s->destinations, list, n * sizeof *list);
        s->ndestinations = n;
    }
    tsm_free(list);
    return rc;
}

/* ---- continuous queries ----------------------------------------------------------------------- */

/* EVERY d, FOR d: 0 when not given. */
static int parse_resample_part(struct tsm_parser *p, enum tsm_token word, int64_t *d)
{
    char message[100];
    *d = 0;
    if (!tsm_parser_accept(p, word))
        return TSM_OK;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_DURATIONVAL)
        return tsm_parser_expected(p, l, "duration");
    if (tsm_parser_duration_text(l.lit, d, message) != TSM_OK)
        return tsm_parser_error_at(p, l.pos, "%s", message);
    return TSM_OK;
}

/* With END behind it. */
static int check_continuous(struct tsm_parser *p, const struct tsm_continuous_clauses *c)
{
    int64_t interval;
    char expected[100], need[TSM_TIME_TEXT_MAX], got[TSM_TIME_TEXT_MAX];
    const char *fault = tsm_select_interval(c->select, &interval);
    if (!c->select->raw && (fault || interval == 0)) {
        tsm_parser_back(p);
        tsm_parser_back(p);
        snprintf(expected, sizeof expected, "GROUP BY time(...)%s%s", fault ? ", " : "", fault ? fault : "");
        return tsm_parser_expected(p, tsm_parser_next(p), expected);
    }
    TSM_TRY(tsm_parser_require(p, TSM_TOK_END));
    if (fault)
        return tsm_parser_error(p, "%s", fault);
    if (c->every > interval)
        interval = c->every;
    if (c->range == 0 || interval <= c->range)
        return TSM_OK;
    int n = (int)tsm_format_duration_influxql(need, interval),
        m = (int)tsm_format_duration_influxql(got, c->range);
    return tsm_parser_error(
        p, "FOR duration must be >= GROUP BY time duration: must be a minimum of %.*s, got %.*s", n, need, m,
        got);
}

int tsm_parser_create_continuous(struct tsm_parser *p, struct tsm_statement *st)
{
    struct tsm_continuous_clauses *c = &st->u.continuous;
    TSM_TRY(parse_on_database(p, &c->name, &c->database));
    if (tsm_parser_accept(p, TSM_TOK_RESAMPLE)) {
        TSM_TRY(parse_resample_part(p, TSM_TOK_EVERY, &c->every));
        TSM_TRY(parse_resample_part(p, TSM_TOK_FOR, &c->range));
        if (c->every == 0 && c->range == 0)
            return tsm_parser_expected(p, tsm_parser_next(p), "EVERY, FOR");
    }
    TSM_TRY(tsm_parser_require(p, TSM_TOK_BEGIN));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_SELECT));
    TSM_TRY(tsm_parser_select(p, TSM_TARGET_REQUIRED, &c->select));
    return check_continuous(p, c);
}

int tsm_parser_drop_continuous(struct tsm_parser *p, struct tsm_statement *st)
{
    return parse_on_database(p, &st->u.continuous.name, &st->u.continuous.database);
}
