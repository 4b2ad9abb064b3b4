/*
 * query/ddl.c: CREATE, ALTER and DROP of databases and retention policies.
 *
 * A drop takes the name out of meta.db first: from then on nobody looks at the files any more. When the
 * process dies before they are gone, the same statement again removes them, although the name is unknown by
 * then.
 */
#include "query/ddl.h"

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

static int change(struct tsm_meta *m, const struct tsm_statement *st, struct tsm_err *err)
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
    default:
        rc = tsm_meta_drop_rp(m, d->database, d->name);
        break;
    }
    return rc == TSM_ENOTFOUND ? TSM_OK : rc; /* as in influxd, what is not there has been dropped */
}

static int remove_files(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_err *err)
{
    const struct tsm_ddl *d = &st->u.ddl;
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
    tsm_query_ctx_forget(q);
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK) {
        tsm_meta_encode(&q->meta, &before);
        rc = change(&q->meta, st, err);
        tsm_meta_encode(&q->meta, &after);
    }
    if (rc == TSM_OK && !tsm_str_eq(tsm_buf_view(&before), tsm_buf_view(&after)))
        rc = tsm_meta_save(q->opt->fs, q->opt->dir, &q->meta, err);
    if (rc == TSM_OK)
        rc = remove_files(q, st, err);
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
    snprintf(holder, sizeof holder, "tsm-query, process %ld", (long)getpid());
    rc = tsm_lock_take(q->opt->fs, path, holder, &lock, err);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    rc = change_and_save(q, st, err);
    tsm_lock_release(&lock);
    return rc;
}
