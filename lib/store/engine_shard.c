/* store/engine_shard.c: the shards that an engine writes to. */
#include "store/engine_impl.h"

#include "base/alloc.h"
#include "store/data_dir.h"
#include "base/banned.h"

struct opening {
    struct tsm_engine *engine;
    struct tsm_field_types *types;
};

static void learn_types(void *ctx, const struct tsm_reader *r)
{
    struct tsm_field_types *types = ((struct opening *)ctx)->types;
    for (size_t i = 0; i < r->nkeys; i++) {
        struct tsm_str key = tsm_reader_key(r, i), series, field;
        /* A key of which everything in the file is deleted has no type any more. */
        if (tsm_key_split(key, &series, &field) && !tsm_reader_key_is_deleted(r, i))
            tsm_field_types_add(types, tsm_key_measurement(series), field, tsm_reader_type(r, i));
    }
}

static void report_damage(void *ctx, const char *message)
{
    tsm_engine_warn(((struct opening *)ctx)->engine, message);
}

/* The number of a shard that is not there, or of one more. */
static uint32_t free_number(struct tsm_engine *e)
{
    for (size_t i = 0; i < e->nshards; i++)
        if (!e->shards[i])
            return (uint32_t)i;
    tsm_turn_take(&e->turn);
    TSM_GROW(e->shards, e->nshards + 1, e->capshards);
    e->shards[e->nshards] = NULL;
    uint32_t number = (uint32_t)e->nshards++;
    tsm_turn_give(&e->turn);
    return number;
}

static void free_shard(struct tsm_engine_shard *s)
{
    tsm_shard_wal_close(s->wal);
    tsm_field_types_free(s->table.types);
    tsm_shard_files_release(&s->files);
    tsm_frontier_drop(&s->flush.frontier);
    tsm_free(s->taken);
    tsm_free(s);
}

void tsm_engine_free_shards(struct tsm_engine *e, bool all)
{
    pthread_mutex_lock(&e->mutex);
    uint64_t flushed = e->flushed_number;
    pthread_mutex_unlock(&e->mutex);
    for (size_t i = 0; i < e->nshards; i++) {
        struct tsm_engine_shard *s = e->shards[i];
        if (!s || !(all || (s->flush.dropped && s->dropped_in <= flushed)))
            continue;
        tsm_turn_take(&e->turn);
        e->shards[i] = NULL;
        tsm_turn_give(&e->turn);
        free_shard(s);
    }
    if (!all)
        return;
    tsm_free(e->shards);
    e->shards = NULL;
    e->nshards = e->capshards = 0;
}

int tsm_engine_open_shard(struct tsm_engine *e, struct tsm_engine_policy *p, const struct tsm_shard_group *g,
                          struct tsm_engine_shard **out, struct tsm_err *err)
{
    *out = NULL;
    if (g->nshards == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "meta.db: shard group %llu has no shard",
                           (unsigned long long)g->id);
    struct tsm_engine_shard *s = tsm_calloc(1, sizeof *s);
    s->policy = p;
    s->id = g->shards[0];
    s->start = g->start;
    s->end = g->truncated_at && g->truncated_at < g->end ? g->truncated_at : g->end;
    s->table = (struct tsm_memtable_shard){tsm_field_types_new(), free_number(e)};
    s->flush.files = &s->files;
    s->flush.frontier.all = &e->frontiers;
    struct opening o = {e, s->table.types};
    char *dir = tsm_path_shard(e->dir, p->db, p->rp, s->id);
    int rc = tsm_shard_files_open(e->fs, dir, learn_types, report_damage, &o, &s->files, err);
    tsm_free(dir);
    if (rc != TSM_OK) {
        tsm_field_types_free(s->table.types);
        tsm_free(s);
        return rc;
    }
    tsm_turn_take(&e->turn);
    e->shards[s->table.index] = s;
    tsm_turn_give(&e->turn);
    *out = s;
    return TSM_OK;
}

int tsm_engine_learn_types(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err)
{
    struct tsm_field_types *types = tsm_field_types_new();
    struct opening o = {e, types};
    struct tsm_shard_files files;
    int rc = tsm_shard_files_open(e->fs, s->files.dir, learn_types, NULL, &o, &files, err);
    if (rc != TSM_OK) {
        tsm_field_types_free(types);
        return rc;
    }
    /* A name is given only once while the engine runs. */
    if (files.next_ordered < s->files.next_ordered)
        files.next_ordered = s->files.next_ordered;
    if (files.next_late < s->files.next_late)
        files.next_late = s->files.next_late;
    tsm_shard_files_release(&s->files);
    s->files = files;
    tsm_memtable_retype(e->active, s->table.index, types, &e->turn);
    tsm_field_types_free(s->table.types);
    s->table.types = types;
    return TSM_OK;
}

struct tsm_engine_shard *tsm_engine_known_shard(const struct tsm_engine *e, uint64_t id)
{
    for (size_t i = e->nshards; i-- > 0;)
        if (e->shards[i] && e->shards[i]->id == id && !e->shards[i]->flush.dropped)
            return e->shards[i];
    return NULL;
}

/* The group of t, made when there is none. */
static const struct tsm_shard_group *find_group(struct tsm_engine *e, struct tsm_engine_policy *p, int64_t t)
{
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&e->meta, p->db), p->rp);
    const struct tsm_shard_group *g = rp ? tsm_rp_group_at(rp, t) : NULL;
    if (g || !rp)
        return g;
    bool created;
    pthread_mutex_lock(&e->meta_mutex);
    g = tsm_meta_group_for(&e->meta, rp, t, &created);
    e->meta_changed |= created;
    atomic_fetch_add(&e->meta_version, created);
    pthread_mutex_unlock(&e->meta_mutex);
    return g;
}

int tsm_engine_find_shard(struct tsm_engine *e, struct tsm_engine_policy *p, int64_t t,
                          struct tsm_engine_shard **out, struct tsm_err *err)
{
    *out = NULL;
    const struct tsm_shard_group *g = find_group(e, p, t);
    if (!g)
        return tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s", (int)p->rp.n, p->rp.p);
    if (g->nshards)
        *out = tsm_engine_known_shard(e, g->shards[0]);
    if (*out)
        return TSM_OK;
    int rc = tsm_engine_open_shard(e, p, g, out, err);
    return rc == TSM_OK && !e->dry_run ? tsm_engine_take_log(e, *out, err) : rc;
}
