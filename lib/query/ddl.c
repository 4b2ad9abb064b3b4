/*
 * query/ddl.c: CREATE, ALTER and DROP of databases and retention policies, DROP SHARD.
 *
 * A drop takes the name out of meta.db first: from then on nobody looks at the files any more. When the
 * process dies before they are gone, the same statement again removes them, although the name is unknown by
 * then.
 */
#include "query/ddl.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/data_dir.h"

#include "base/banned.h"

/* Names become folders. */
static bool safe_name(struct tsm_str s)
{
    return s.n && !memchr(s.p, '/', s.n) && !memchr(s.p, 0, s.n) && !tsm_str_eq(s, TSM_STR(".")) &&
           !tsm_str_eq(s, TSM_STR(".."));
}

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

static int change(struct tsm_meta *m, const struct tsm_statement *st, int64_t now, struct tsm_err *err)
{
    const struct tsm_ddl *d = &st->u.ddl;
    uint32_t replicas = (uint32_t)d->replication;
    struct tsm_rp_spec spec = policy_spec(d, &replicas);
    int rc;
    switch (st->kind) {
    case TSM_STATEMENT_CREATE_DATABASE:
        return tsm_meta_create_database(m, d->database, d->with_policy ? &spec : NULL, err);
    case TSM_STATEMENT_CREATE_RETENTION_POLICY:
        return tsm_meta_create_rp(m, d->database, &spec, err);
    case TSM_STATEMENT_ALTER_RETENTION_POLICY:
        return tsm_meta_alter_rp(m, d->database, &spec, err);
    case TSM_STATEMENT_DROP_DATABASE:
        rc = tsm_meta_drop_database(m, d->database);
        break;
    case TSM_STATEMENT_DROP_SHARD:
        rc = tsm_meta_drop_shard(m, d->shard, now);
        break;
    default:
        rc = tsm_meta_drop_rp(m, d->database, d->name);
        break;
    }
    return rc == TSM_ENOTFOUND ? TSM_OK : rc; /* as in influxd, what is not there has been dropped */
}

static void holder_name(char out[64])
{
    snprintf(out, 64, "tsm-query, process %ld", (long)getpid());
}

/* ---- DROP SHARD -------------------------------------------------------------------------------- */

/* The folder of a shard, locked against compactions and deletes while it is removed. */
struct shard_place {
    struct tsm_str db, rp; /* empty: there is none */
    struct tsm_arena arena;
    struct tsm_lock lock;
};

static void shard_place_release(struct shard_place *p)
{
    tsm_lock_release(&p->lock);
    tsm_arena_release(&p->arena);
}

/* Looks through a folder's folders for one with this shard in it; depth 0: of a policy, 1: of a database. */
static int search(struct tsm_query_ctx *q, const char *dir, int depth, uint64_t shard, struct shard_place *p,
                  struct tsm_err *err)
{
    const struct tsm_fs *fs = q->opt->fs;
    struct tsm_names names;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK && !p->rp.n; i++) {
        struct tsm_fs_stat st;
        char *path = tsm_path_join(dir, names.names[i]);
        if (fs->stat(fs->ctx, path, &st) < 0 || !st.is_dir) {
            tsm_free(path);
            continue;
        }
        struct tsm_str name = tsm_str_of(names.names[i]);
        if (depth > 0) {
            rc = search(q, path, depth - 1, shard, p, err);
            if (p->rp.n)
                p->db = tsm_arena_str(&p->arena, name);
        } else {
            char id[32];
            snprintf(id, sizeof id, "%" PRIu64, shard);
            char *folder = tsm_path_join(path, id);
            if (tsm_fs_exists(fs, folder))
                p->rp = tsm_arena_str(&p->arena, name);
            tsm_free(folder);
        }
        tsm_free(path);
    }
    tsm_names_release(&names);
    return rc;
}

/* Finds the shard in meta.db, or, when a drop of it did not come to its end, in the folders. */
static int find_shard(struct tsm_query_ctx *q, uint64_t shard, struct shard_place *p, struct tsm_err *err)
{
    static const char *const tops[] = {"data", "wal"};
    struct tsm_database *db;
    struct tsm_rp *rp;
    struct tsm_shard_group *g;
    int rc = TSM_OK;
    if (tsm_meta_find_shard(&q->meta, shard, &db, &rp, &g)) {
        p->db = tsm_arena_str(&p->arena, db->name);
        p->rp = tsm_arena_str(&p->arena, rp->name);
    }
    for (size_t i = 0; i < sizeof tops / sizeof *tops && !p->rp.n && rc == TSM_OK; i++) {
        char *top = tsm_path_join(q->opt->dir, tops[i]);
        rc = search(q, top, 1, shard, p, err);
        tsm_free(top);
    }
    if (rc != TSM_OK || !p->rp.n)
        return rc;
    char *dir = tsm_path_shard(q->opt->dir, p->db, p->rp, shard);
    char *lock = tsm_path_shard_lock(dir), holder[64];
    holder_name(holder);
    if (tsm_fs_exists(q->opt->fs, dir))
        rc = tsm_lock_take(q->opt->fs, lock, holder, &p->lock, err);
    tsm_free(lock);
    tsm_free(dir);
    return rc;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static int remove_files(struct tsm_query_ctx *q, const struct tsm_statement *st, const struct shard_place *p,
                        struct tsm_err *err)
{
    const struct tsm_ddl *d = &st->u.ddl;
    if (st->kind == TSM_STATEMENT_DROP_SHARD && p->rp.n)
        return tsm_data_remove_shard(q->opt->fs, q->opt->dir, p->db, p->rp, d->shard, err);
    if (st->kind == TSM_STATEMENT_DROP_DATABASE && safe_name(d->database))
        return tsm_data_remove(q->opt->fs, q->opt->dir, d->database, tsm_str("", 0), err);
    if (st->kind == TSM_STATEMENT_DROP_RETENTION_POLICY && safe_name(d->database) && safe_name(d->name))
        return tsm_data_remove(q->opt->fs, q->opt->dir, d->database, d->name, err);
    return TSM_OK;
}

/* With the lock held. What changes nothing is not saved. */
static int change_and_save(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_err *err)
{
    struct tsm_buf before = {0}, after = {0};
    struct shard_place place = {0};
    tsm_query_ctx_forget(q);
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK && st->kind == TSM_STATEMENT_DROP_SHARD)
        rc = find_shard(q, st->u.ddl.shard, &place, err);
    if (rc == TSM_OK) {
        tsm_meta_encode(&q->meta, &before);
        rc = change(&q->meta, st, q->opt->now, err);
        tsm_meta_encode(&q->meta, &after);
    }
    if (rc == TSM_OK && !tsm_str_eq(tsm_buf_view(&before), tsm_buf_view(&after)))
        rc = tsm_meta_save(q->opt->fs, q->opt->dir, &q->meta, err);
    if (rc == TSM_OK)
        rc = remove_files(q, st, &place, err);
    shard_place_release(&place);
    tsm_query_ctx_forget(q); /* the next statement reads what is on disk */
    tsm_buf_release(&before);
    tsm_buf_release(&after);
    return rc;
}

int tsm_ddl_run(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_err *err)
{
    if (q->loose)
        return tsm_err_set(err, TSM_EQUERY, "%s needs a data directory", st->title);
    int rc = st->kind == TSM_STATEMENT_CREATE_DATABASE ? tsm_fs_make_dirs(q->opt->fs, q->opt->dir, err)
                                                       : tsm_query_ctx_meta(q, err); /* there must be one */
    if (rc != TSM_OK)
        return rc;
    char holder[64];
    struct tsm_lock lock = {0};
    char *path = tsm_path_lock(q->opt->dir);
    holder_name(holder);
    rc = tsm_lock_take(q->opt->fs, path, holder, &lock, err);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    rc = change_and_save(q, st, err);
    tsm_lock_release(&lock);
    return rc;
}
