/*
 * cluster/keeper.c: what a data node does by the clock: points go to files after a while, shards go when they have expired, continuous
 * queries run, which may take long and so have a thread of their own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cluster/data_node_impl.h"
#include "query/continuous.h"
#include "base/banned.h"

enum { LOOK_MS = 500 };

/* Whether the node closes meanwhile. */
static bool sleep_for(struct tsm_data_node *n, int64_t nanoseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t end = until.tv_nsec + nanoseconds;
    until.tv_sec += (time_t)(end / TSM_SEC);
    until.tv_nsec = (long)(end % TSM_SEC);
    pthread_mutex_lock(&n->flow);
    if (!n->closing)
        pthread_cond_timedwait(&n->leave, &n->flow, &until);
    bool closing = n->closing;
    pthread_mutex_unlock(&n->flow);
    return closing;
}

/* As DROP SHARD, by way of the log: all replicas drop it at the same place among the writes. */
static void drop_shard(struct tsm_data_node *n, const struct tsm_database *db, const struct tsm_rp *rp,
                       const struct tsm_shard_group *g, uint64_t shard, int64_t now)
{
    char text[64];
    struct tsm_err err = {0};
    snprintf(text, sizeof text, "DROP SHARD %" PRIu64, shard);
    struct tsm_change c = {.text = tsm_str_of(text),
                           .now = now,
                           .shard_db = db->name,
                           .shard_rp = rp->name,
                           .shard_start = g->start};
    if (tsm_node_change(n, &c, &err) == TSM_OK)
        tsm_node_say(n, "shard %" PRIu64 " of database %.*s, policy %.*s has expired and was removed", shard,
                     (int)db->name.n, db->name.p, (int)rp->name.n, rp->name.p);
    else
        tsm_node_say(n, "shard %" PRIu64 " has expired, and could not be removed: %s", shard, err.msg);
}

static void drop_expired(struct tsm_data_node *n)
{
    struct tsm_meta m;
    int64_t now = tsm_now();
    if (tsm_engine_meta(n->engine, &m, NULL) != TSM_OK)
        return;
    for (size_t i = 0; i < m.ndatabases; i++) {
        const struct tsm_database *db = &m.databases[i];
        for (size_t j = 0; j < db->nrps; j++) {
            const struct tsm_rp *rp = &db->rps[j];
            for (size_t k = 0; k < rp->ngroups && rp->duration > 0; k++) {
                const struct tsm_shard_group *g = &rp->groups[k];
                if (g->deleted_at || g->end >= now - rp->duration)
                    continue;
                for (size_t s = 0; s < g->nshards; s++)
                    drop_shard(n, db, rp, g, g->shards[s], now);
            }
        }
    }
    tsm_meta_release(&m);
}

void *tsm_node_keeper_main(void *arg)
{
    struct tsm_data_node *n = arg;
    int64_t retention_at = tsm_monotonic();
    while (!sleep_for(n, LOOK_MS * TSM_MSEC)) {
        int64_t now = tsm_monotonic(), dirty = atomic_load(&n->dirty_since);
        if (n->flush_interval > 0 && dirty && now - dirty >= n->flush_interval)
            tsm_raft_snapshot(n->raft, false, NULL);
        if (n->retention_interval > 0 && now >= retention_at) {
            drop_expired(n);
            retention_at = now + n->retention_interval;
        }
    }
    return NULL;
}

/* ---- continuous queries ---- */

static void report(void *ctx, const struct tsm_continuous_report *r)
{
    if (r->error)
        tsm_node_say(ctx, "continuous query %.*s of database %.*s: %s", (int)r->name.n, r->name.p,
                     (int)r->database.n, r->database.p, r->error);
}

static bool is_leaving(void *ctx)
{
    return atomic_load(&((struct tsm_data_node *)ctx)->continuous.end) != TSM_END_NONE;
}

void *tsm_node_continuous_main(void *arg)
{
    struct tsm_data_node *n = arg;
    struct tsm_query_options query = {
        .fs = n->fs,
        .backend = &n->backend,
        .jobs = n->jobs,
        .memory = n->query_memory,
        .control = &n->continuous,
    };
    struct tsm_continuous_options opt = {.query = &query, .report = report, .ctx = n, .stop = is_leaving};
    struct tsm_continuous_runs *runs = tsm_continuous_runs_new();
    while (!sleep_for(n, n->continuous_interval))
        tsm_continuous_run(&opt, tsm_now(), runs, NULL); /* errors have been reported */
    tsm_continuous_runs_free(runs);
    return NULL;
}
