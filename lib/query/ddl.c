/*
 * query/ddl.c: the statements that change meta.db: databases, retention policies and shards, users, continuous queries and
 * subscriptions.
 *
 * A drop takes the name out of meta.db first: from then on nobody looks at the files any more. When the process dies before
 * they are gone, the same statement again removes them, although the name is unknown by then.
 */
#include "query/change_place.h"

#include "base/banned.h"

struct ddl {
    const struct tsm_statement *st;
    const struct tsm_change *change;
    struct tsm_arena arena;
    struct tsm_str db, rp; /* of the shard that is dropped; empty: there is none */
    uint64_t shard;
};

/* Names become folders. */
static bool safe_name(struct tsm_str s)
{
    return s.n && !memchr(s.p, '/', s.n) && !memchr(s.p, 0, s.n) && !tsm_str_eq(s, TSM_STR(".")) &&
           !tsm_str_eq(s, TSM_STR(".."));
}

/* ---- databases and policies -------------------------------------------------------------------- */

static struct tsm_rp_spec policy_spec(const struct tsm_ddl *d, const uint32_t *replicas)
{
    return (struct tsm_rp_spec){
        .name = d->name.n ? d->name : tsm_str("", 0),
        .duration = d->has_duration ? &d->duration : NULL,
        .shard_group_duration = d->has_shard_duration ? &d->shard_duration : NULL,
        .replica_n = d->has_replication ? replicas : NULL,
        .make_default = d->make_default,
    };
}

/* The live shard at the place that the change names. */
static bool find_again(const struct tsm_meta *m, const struct tsm_change *c, uint64_t *shard)
{
    struct tsm_database *db = c->shard_db.n ? tsm_meta_database(m, c->shard_db) : NULL;
    struct tsm_rp *rp = db && c->shard_rp.n ? tsm_meta_rp(db, c->shard_rp) : NULL;
    const struct tsm_shard_group *g = rp ? tsm_rp_group_at(rp, c->shard_start) : NULL;
    if (g && g->nshards)
        *shard = g->shards[0];
    return g && g->nshards;
}

static int change_shard(struct ddl *run, struct tsm_meta *m)
{
    struct tsm_database *db;
    struct tsm_rp *rp;
    struct tsm_shard_group *g;
    run->shard = run->st->u.ddl.shard;
    if (!tsm_meta_find_shard(m, run->shard, &db, &rp, &g) &&
        (!find_again(m, run->change, &run->shard) || !tsm_meta_find_shard(m, run->shard, &db, &rp, &g)))
        return TSM_OK;
    run->db = tsm_arena_str(&run->arena, db->name);
    run->rp = tsm_arena_str(&run->arena, rp->name);
    return tsm_meta_drop_shard(m, run->shard, run->change->now);
}

static int change_database(struct ddl *run, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_ddl *d = &run->st->u.ddl;
    uint32_t replicas = (uint32_t)d->replication;
    struct tsm_rp_spec spec = policy_spec(d, &replicas);
    switch (run->st->kind) {
    case TSM_STATEMENT_CREATE_DATABASE:
        return tsm_meta_create_database(m, d->database, d->with_policy ? &spec : NULL, err);
    case TSM_STATEMENT_CREATE_RETENTION_POLICY:
        return tsm_meta_create_rp(m, d->database, &spec, err);
    case TSM_STATEMENT_ALTER_RETENTION_POLICY:
        return tsm_meta_alter_rp(m, d->database, &spec, err);
    case TSM_STATEMENT_DROP_DATABASE:
        return tsm_meta_drop_database(m, d->database);
    case TSM_STATEMENT_DROP_RETENTION_POLICY:
        return tsm_meta_drop_rp(m, d->database, d->name);
    default:
        return change_shard(run, m);
    }
}

/* ---- users ------------------------------------------------------------------------------------- */

static int revoke(struct tsm_meta *m, const struct tsm_user_clauses *u, struct tsm_err *err)
{
    const struct tsm_user *user = tsm_meta_user(m, u->name);
    int32_t left = 0;
    if (u->privilege != TSM_PRIVILEGE_ALL && !user)
        return tsm_err_set(err, TSM_EQUERY, "user not found");
    if (u->privilege != TSM_PRIVILEGE_ALL)
        left = tsm_user_privilege(user, u->database) & ~(int32_t)u->privilege;
    return tsm_meta_set_privilege(m, u->name, u->database, left, err);
}

static int change_user(struct ddl *run, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_user_clauses *u = &run->st->u.user;
    switch (run->st->kind) {
    case TSM_STATEMENT_CREATE_USER:
        return tsm_meta_create_user(m, u->name, run->change->hash, u->admin, err);
    case TSM_STATEMENT_DROP_USER:
        return tsm_meta_drop_user(m, u->name, err);
    case TSM_STATEMENT_SET_PASSWORD:
        return tsm_meta_set_password(m, u->name, run->change->hash, err);
    case TSM_STATEMENT_GRANT:
        return u->admin ? tsm_meta_set_admin(m, u->name, true, err)
                        : tsm_meta_set_privilege(m, u->name, u->database, (int32_t)u->privilege, err);
    default:
        return u->admin ? tsm_meta_set_admin(m, u->name, false, err) : revoke(m, u, err);
    }
}

/* ---- continuous queries, subscriptions --------------------------------------------------------- */

static int create_continuous(struct ddl *run, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_continuous_clauses *c = &run->st->u.continuous;
    struct tsm_buf text = {0};
    tsm_statement_print(&text, run->st);
    int rc = tsm_meta_create_continuous(m, c->database, c->name, tsm_buf_view(&text), err);
    tsm_buf_release(&text);
    return rc;
}

static int change_subscription(struct ddl *run, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_subscription_clauses *c = &run->st->u.subscription;
    if (run->st->kind == TSM_STATEMENT_DROP_SUBSCRIPTION)
        return tsm_meta_drop_subscription(m, c->database, c->rp, c->name, err);
    struct tsm_subscription s = {
        .name = c->name,
        .mode = c->any ? TSM_STR("ANY") : TSM_STR("ALL"),
        .destinations = c->destinations,
        .ndestinations = c->ndestinations,
    };
    return tsm_meta_create_subscription(m, c->database, c->rp, &s, err);
}

/* ---- all of them ------------------------------------------------------------------------------- */

static int change(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    struct ddl *run = ctx;
    int rc;
    switch (run->st->kind) {
    case TSM_STATEMENT_CREATE_USER:
    case TSM_STATEMENT_DROP_USER:
    case TSM_STATEMENT_SET_PASSWORD:
    case TSM_STATEMENT_GRANT:
    case TSM_STATEMENT_REVOKE:
        rc = change_user(run, m, err);
        break;
    case TSM_STATEMENT_CREATE_CONTINUOUS_QUERY:
        rc = create_continuous(run, m, err);
        break;
    case TSM_STATEMENT_DROP_CONTINUOUS_QUERY:
        rc = tsm_meta_drop_continuous(m, run->st->u.continuous.database, run->st->u.continuous.name);
        break;
    case TSM_STATEMENT_CREATE_SUBSCRIPTION:
    case TSM_STATEMENT_DROP_SUBSCRIPTION:
        rc = change_subscription(run, m, err);
        break;
    default:
        rc = change_database(run, m, err);
        break;
    }
    return rc == TSM_ENOTFOUND ? TSM_OK : rc; /* as in influxd, what is not there has been dropped */
}

/* The one that was found, and what is left in the folder of the one that was named. */
static int remove_shard(struct ddl *run, const struct tsm_change_place *place, struct tsm_err *err)
{
    uint64_t named = run->st->u.ddl.shard;
    int rc = TSM_OK;
    if (run->rp.n)
        rc = place->drop(place->ctx, run->db, run->rp, run->shard, err);
    if (rc != TSM_OK || (run->rp.n && run->shard == named) || named == 0)
        return rc;
    rc = place->find_shard(place->ctx, named, &run->arena, &run->db, &run->rp, err);
    return rc == TSM_OK && run->rp.n ? place->drop(place->ctx, run->db, run->rp, named, err) : rc;
}

static int remove_files(struct ddl *run, const struct tsm_change_place *place, struct tsm_err *err)
{
    const struct tsm_ddl *d = &run->st->u.ddl;
    switch (run->st->kind) {
    case TSM_STATEMENT_DROP_SHARD:
        return remove_shard(run, place, err);
    case TSM_STATEMENT_DROP_DATABASE:
        return safe_name(d->database) ? place->drop(place->ctx, d->database, tsm_str("", 0), 0, err) : TSM_OK;
    case TSM_STATEMENT_DROP_RETENTION_POLICY:
        return safe_name(d->database) && safe_name(d->name)
                   ? place->drop(place->ctx, d->database, d->name, 0, err)
                   : TSM_OK;
    default:
        return TSM_OK;
    }
}

int tsm_ddl_run(const struct tsm_change_place *place, const struct tsm_statement *st,
                const struct tsm_change *c, struct tsm_err *err)
{
    struct ddl run = {.st = st, .change = c};
    bool found = st->kind != TSM_STATEMENT_CREATE_DATABASE && st->kind != TSM_STATEMENT_CREATE_USER;
    int rc = place->change_meta(place->ctx, found, change, &run, err);
    if (rc == TSM_OK)
        rc = remove_files(&run, place, err);
    tsm_arena_release(&run.arena);
    return rc;
}
