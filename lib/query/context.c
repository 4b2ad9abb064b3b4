/* query/context.c: finding and opening what a query reads. */
#include "query/context.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "query/directory.h"

#include "base/banned.h"

void tsm_query_ctx_init(struct tsm_query_ctx *q, const struct tsm_query_options *opt)
{
    *q = (struct tsm_query_ctx){.opt = opt, .loose = opt->nfiles > 0, .backend = opt->backend};
    if (q->loose || q->backend)
        return;
    struct tsm_directory_options d = {
        .fs = opt->fs,
        .dir = opt->dir,
        .program = "tsm-query",
        .memory = opt->memory,
        .jobs = opt->jobs,
        .damage = &opt->damage,
    };
    q->directory = tsm_directory_new(&d);
    q->backend = tsm_directory_backend(q->directory);
}

static void close_shards(struct tsm_query_ctx *q)
{
    for (size_t i = 0; i < q->nopen; i++)
        if (q->loose)
            tsm_shard_close(q->open[i]);
        else
            q->backend->close_shard(q->backend->ctx, q->open[i]);
    q->nopen = 0;
}

void tsm_query_ctx_forget(struct tsm_query_ctx *q)
{
    close_shards(q);
    tsm_meta_release(&q->meta);
    q->meta = (struct tsm_meta){0};
    q->meta_loaded = false;
}

int tsm_query_ctx_release(struct tsm_query_ctx *q, struct tsm_err *err)
{
    tsm_query_ctx_forget(q);
    tsm_free(q->open);
    int rc = tsm_directory_close(q->directory, err);
    *q = (struct tsm_query_ctx){0};
    return rc;
}

int tsm_query_ctx_meta(struct tsm_query_ctx *q, struct tsm_err *err)
{
    if (q->meta_loaded || q->loose)
        return TSM_OK;
    int rc = q->backend->meta(q->backend->ctx, &q->meta, err);
    q->meta_loaded = rc == TSM_OK;
    return rc;
}

int tsm_query_ctx_database(struct tsm_query_ctx *q, struct tsm_str name, struct tsm_str *database,
                           struct tsm_err *err)
{
    *database = name.n ? name : q->opt->database;
    if (database->n == 0 && !q->loose)
        return tsm_err_set(err, TSM_EQUERY, "database name required");
    return TSM_OK;
}

static int not_found(struct tsm_err *err, const char *what, struct tsm_str name)
{
    return tsm_err_set(err, TSM_EQUERY, "%s not found: %.*s", what, (int)name.n, name.p);
}

int tsm_query_ctx_rp(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_str rp,
                     const struct tsm_database **db, const struct tsm_rp **found, struct tsm_err *err)
{
    *db = NULL;
    *found = NULL;
    if (q->loose) {
        if (database.n)
            return not_found(err, "database", database);
        return rp.n ? not_found(err, "retention policy", rp) : TSM_OK;
    }
    int rc = tsm_query_ctx_meta(q, err);
    if (rc != TSM_OK)
        return rc;
    *db = tsm_meta_database(&q->meta, database);
    if (!*db)
        return not_found(err, "database", database);
    if (rp.n == 0)
        rp = q->opt->rp;
    if (rp.n == 0)
        rp = (*db)->default_rp;
    if (rp.n == 0)
        return tsm_err_set(err, TSM_EQUERY, "default retention policy not set for: %.*s", (int)database.n,
                           database.p);
    *found = tsm_meta_rp(*db, rp);
    return *found ? TSM_OK : not_found(err, "retention policy", rp);
}

/* ---- shards ----------------------------------------------------------------------------------- */

struct shard_list {
    struct tsm_shard **shards;
    size_t n, cap;
};

static void remember(struct tsm_query_ctx *q, struct tsm_shard *s)
{
    TSM_GROW(q->open, q->nopen + 1, q->capopen);
    q->open[q->nopen++] = s;
}

static struct tsm_shard *find_open(const struct tsm_query_ctx *q, uint64_t id)
{
    for (size_t i = 0; i < q->nopen; i++)
        if (q->open[i]->id == id)
            return q->open[i];
    return NULL;
}

static int open_shard(struct tsm_query_ctx *q, const struct tsm_database *db, const struct tsm_rp *rp,
                      const struct tsm_shard_group *g, uint64_t id, struct shard_list *out,
                      struct tsm_err *err)
{
    struct tsm_shard *s = find_open(q, id);
    if (!s) {
        int rc = q->backend->open_shard(q->backend->ctx, db->name, rp->name, id, &q->opt->damage, &s, err);
        if (rc == TSM_ENOTFOUND)
            return TSM_OK;
        if (rc != TSM_OK)
            return rc;
        s->id = id;
        s->start = g->start;
        s->end = g->truncated_at ? g->truncated_at : g->end;
        remember(q, s);
    }
    TSM_GROW(out->shards, out->n + 1, out->cap);
    out->shards[out->n++] = s;
    return TSM_OK;
}

static int open_policy(struct tsm_query_ctx *q, const struct tsm_database *db, const struct tsm_rp *rp,
                       int64_t tmin, int64_t tmax, struct shard_list *out, struct tsm_err *err)
{
    for (size_t i = 0; i < rp->ngroups; i++) {
        const struct tsm_shard_group *g = &rp->groups[i];
        if (g->deleted_at || g->start > tmax || g->end <= tmin)
            continue;
        for (size_t k = 0; k < g->nshards; k++) {
            int rc = open_shard(q, db, rp, g, g->shards[k], out, err);
            if (rc != TSM_OK)
                return rc;
        }
    }
    return TSM_OK;
}

static int open_loose(struct tsm_query_ctx *q, struct shard_list *out, struct tsm_err *err)
{
    if (q->nopen == 0) {
        struct tsm_shard *s;
        int rc = tsm_shard_open_files(q->opt->fs, q->opt->files, q->opt->nfiles, &q->opt->damage, &s, err);
        if (rc != TSM_OK)
            return rc;
        remember(q, s);
    }
    TSM_GROW(out->shards, 1, out->cap);
    out->shards[out->n++] = q->open[0];
    return TSM_OK;
}

static int compare_start(const void *a, const void *b)
{
    const struct tsm_shard *x = *(struct tsm_shard *const *)a, *y = *(struct tsm_shard *const *)b;
    return x->start != y->start ? (x->start > y->start) - (x->start < y->start)
                                : (x->id > y->id) - (x->id < y->id);
}

static int give(struct shard_list *list, int rc, struct tsm_shard ***shards, size_t *n)
{
    if (rc == TSM_OK) {
        *shards = list->shards;
        *n = list->n;
    } else {
        tsm_free(list->shards);
    }
    return rc;
}

int tsm_query_ctx_shards(struct tsm_query_ctx *q, struct tsm_str database, struct tsm_str rp, int64_t tmin,
                         int64_t tmax, struct tsm_shard ***shards, size_t *n, struct tsm_err *err)
{
    const struct tsm_database *db;
    const struct tsm_rp *policy;
    struct shard_list list = {0};
    int rc = tsm_query_ctx_rp(q, database, rp, &db, &policy, err);
    if (rc == TSM_OK)
        rc = q->loose ? open_loose(q, &list, err) : open_policy(q, db, policy, tmin, tmax, &list, err);
    tsm_sort(list.shards, list.n, sizeof *list.shards, compare_start);
    return give(&list, rc, shards, n);
}

int tsm_query_ctx_all_shards(struct tsm_query_ctx *q, struct tsm_str database, int64_t tmin, int64_t tmax,
                             struct tsm_shard ***shards, size_t *n, struct tsm_err *err)
{
    struct shard_list list = {0};
    int rc = tsm_query_ctx_meta(q, err);
    if (rc != TSM_OK)
        return rc;
    const struct tsm_database *db = q->loose ? NULL : tsm_meta_database(&q->meta, database);
    if (q->loose ? database.n > 0 : !db)
        return not_found(err, "database", database);
    if (q->loose)
        rc = open_loose(q, &list, err);
    for (size_t i = 0; db && i < db->nrps && rc == TSM_OK; i++)
        rc = open_policy(q, db, &db->rps[i], tmin, tmax, &list, err);
    return give(&list, rc, shards, n);
}
