/*
 * query/change_text.c: making a change of a statement: what depends on who asks, on chance and on the state of meta.db is decided
 * here, once.
 */
#include "query/access.h"
#include "query/change.h"
#include "query/complete.h"

#include "base/banned.h"

enum { PASSWORD_COST = 10 }; /* InfluxDB's */

/* The hash for a password. That of a user who exists, with this password and these rights, stays: then nothing changes. */
static int make_hash(const struct tsm_statement *st, const struct tsm_meta *m, struct tsm_arena *a,
                     struct tsm_str *hash, struct tsm_err *err)
{
    const struct tsm_user_clauses *u = &st->u.user;
    const struct tsm_user *old = tsm_meta_user(m, u->name);
    if (st->kind == TSM_STATEMENT_CREATE_USER && old && old->admin == u->admin &&
        tsm_password_check(u->password, old->hash)) {
        *hash = tsm_arena_str(a, old->hash);
        return TSM_OK;
    }
    struct tsm_buf text = {0};
    int rc = tsm_password_hash(u->password, PASSWORD_COST, &text, err);
    if (rc == TSM_OK)
        *hash = tsm_arena_str(a, tsm_buf_view(&text));
    tsm_buf_release(&text);
    return rc;
}

static int need_policy(const struct tsm_meta *m, const struct tsm_source *s, struct tsm_err *err)
{
    const struct tsm_database *db = tsm_meta_database(m, s->database);
    if (db && s->rp.n && tsm_meta_rp(db, s->rp))
        return TSM_OK;
    return tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s.%.*s", (int)s->database.n,
                       s->database.p, (int)s->rp.n, s->rp.p);
}

static int need_policies(const struct tsm_meta *m, const struct tsm_select *s, struct tsm_err *err)
{
    int rc = s->target ? need_policy(m, s->target, err) : TSM_OK;
    for (size_t i = 0; i < s->nsources && rc == TSM_OK; i++)
        rc = s->sources[i].subquery ? need_policies(m, s->sources[i].subquery, err)
                                    : need_policy(m, &s->sources[i], err);
    return rc;
}

static void find_shard(const struct tsm_meta *m, uint64_t shard, struct tsm_arena *a, struct tsm_change *c)
{
    struct tsm_database *db;
    struct tsm_rp *rp;
    struct tsm_shard_group *g;
    if (!tsm_meta_find_shard(m, shard, &db, &rp, &g))
        return;
    c->shard_db = tsm_arena_str(a, db->name);
    c->shard_rp = tsm_arena_str(a, rp->name);
    c->shard_start = g->start;
}

int tsm_change_of(const struct tsm_statement *st, const struct tsm_meta *m, struct tsm_str database,
                  struct tsm_str rp, int64_t now, struct tsm_arena *a, struct tsm_change *c,
                  struct tsm_err *err)
{
    struct tsm_statement copy = *st;
    struct tsm_buf text = {0};
    int rc = TSM_OK;
    *c = (struct tsm_change){.database = database, .now = now};
    if (st->kind == TSM_STATEMENT_CREATE_CONTINUOUS_QUERY) {
        struct tsm_str own = st->u.continuous.database; /* the query's comes before it */
        rc = tsm_select_complete(m, database.n ? database : own, rp, a, st->u.continuous.select,
                                 &copy.u.continuous.select, err);
        if (rc == TSM_OK)
            rc = need_policies(m, copy.u.continuous.select, err);
    } else if (st->kind == TSM_STATEMENT_CREATE_USER || st->kind == TSM_STATEMENT_SET_PASSWORD) {
        rc = make_hash(st, m, a, &c->hash, err);
    } else if (st->kind == TSM_STATEMENT_DROP_SHARD) {
        find_shard(m, st->u.ddl.shard, a, c);
    }
    if (rc != TSM_OK)
        return rc;
    tsm_statement_print_again(&text, &copy);
    c->text = tsm_arena_str(a, tsm_buf_view(&text));
    tsm_buf_release(&text);
    return TSM_OK;
}
