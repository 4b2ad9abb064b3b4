/*
 * store/engine_replay.c: what an earlier run left in our own logs goes into TSM files before anything newer does.
 *
 * The locks of a log are held until its segments are removed, so that no delete comes in between. When the process
 * dies before that, the same records are replayed once more over what they have become, in the same order: a value
 * that had been overwritten or deleted is again.
 */
#include "store/engine_impl.h"

#include "base/alloc.h"
#include "base/num.h"
#include "format/influx_wal.h"
#include "store/data_dir.h"
#include "base/banned.h"

struct replay {
    struct tsm_engine *engine;
    struct tsm_engine_shard *shard;
    const char *dir; /* of the log */
    uint32_t *numbers;
    size_t n;
    struct tsm_tombstones removed; /* deletes that the files do not have yet */
    bool *damaged;                 /* by segment */
    const char *path;              /* of the segment in hand */
    uint64_t offset;               /* of the record in hand */
    struct tsm_wal_order order;
    struct tsm_points points;
};

static void warn(const struct replay *r, const char *format, const char *cause)
{
    struct tsm_buf message = {0};
    tsm_buf_printf(&message, format, r->path, cause);
    tsm_engine_warn(r->engine, tsm_buf_cstr(&message));
    tsm_buf_release(&message);
}

/* ---- records ---- */

static int apply_removals(struct replay *r, struct tsm_err *err)
{
    return tsm_engine_apply_removals(r->engine, r->shard, &r->removed, err);
}

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct replay *r = ctx;
    struct tsm_buf message = {0};
    (void)line;
    tsm_buf_printf(&message, "%s: record at offset %llu: %.*s: %s", r->path, (unsigned long long)r->offset,
                   (int)(text.n < 200 ? text.n : 200), text.p, cause);
    tsm_engine_warn(r->engine, tsm_buf_cstr(&message));
    tsm_buf_release(&message);
}

static void write_points(struct replay *r)
{
    struct tsm_engine *e = r->engine;
    struct tsm_memtable_counts counts = {0};
    const struct tsm_memtable_shard *shards[TSM_MEMTABLE_GROUP];
    for (size_t i = 0; i < TSM_MEMTABLE_GROUP; i++)
        shards[i] = &r->shard->table;
    for (size_t from = 0, n; from < r->points.n; from += n) {
        n = r->points.n - from < TSM_MEMTABLE_GROUP ? r->points.n - from : TSM_MEMTABLE_GROUP;
        tsm_memtable_write(e->active, &r->points, &r->points.points[from], shards, n, &counts, NULL,
                           on_reject, r);
    }
    e->stats.replayed += counts.rows;
}

static int replay_points(struct replay *r, const struct tsm_wal_record *record, struct tsm_err *err)
{
    struct tsm_err cause;
    tsm_points_reset(&r->points);
    int rc = tsm_batch_decode((const uint8_t *)record->payload.p, record->payload.n, &r->points, &cause);
    if (rc != TSM_OK)
        return tsm_err_set(err, TSM_ECORRUPT, "record at offset %llu: %s", (unsigned long long)r->offset,
                           cause.msg);
    write_points(r);
    if (!tsm_engine_is_full(r->engine))
        return TSM_OK;
    rc = apply_removals(r, err); /* before what came after them gets into files, too */
    return rc == TSM_OK ? tsm_engine_freeze(r->engine, err) : rc;
}

static int on_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct replay *r = ctx;
    tsm_tombstones_add(&r->removed, key, tmin, tmax);
    return tsm_memtable_remove(r->engine->active, &r->shard->table, key, tmin, tmax, err);
}

static int replay_record(struct replay *r, const struct tsm_wal_record *record, struct tsm_err *err)
{
    r->offset = record->offset;
    if (record->kind == TSM_WAL_POINTS)
        return replay_points(r, record, err);
    return tsm_wal_delete_read(record->payload, on_remove, r, err);
}

static int replay_segment(struct replay *r, size_t i, struct tsm_err *err)
{
    struct tsm_map_file m;
    struct tsm_wal_record record;
    struct tsm_err cause;
    int rc = tsm_map_open(r->engine->fs, r->path, &m, err);
    if (rc != TSM_OK)
        return rc;
    struct tsm_wal_reader reader = {.p = m.data, .len = m.size};
    for (int next; rc == TSM_OK && (next = tsm_wal_next(&reader, &record, &cause)) != TSM_ENOTFOUND;) {
        if (next == TSM_ECORRUPT)
            tsm_wal_order_damage(&r->order);
        if (next == TSM_OK && tsm_wal_order_next(&r->order, record.sequence, &cause) != TSM_OK)
            warn(r, "%s: %s", cause.msg);
        if (next == TSM_OK)
            next = rc = replay_record(r, &record, &cause);
        if (next == TSM_ECORRUPT) { /* it loses only itself */
            warn(r, "%s: %s", cause.msg);
            r->damaged[i] = true;
            rc = TSM_OK;
        }
    }
    if (rc != TSM_OK && err)
        *err = cause;
    if (rc == TSM_OK && reader.torn)
        warn(r, "%s: the last record is unfinished%s", ", as its writer was killed");
    tsm_wal_reader_release(&reader);
    tsm_map_close(&m);
    return rc;
}

static char *segment_path(const struct replay *r, size_t i)
{
    char name[TSM_WAL_NAME_MAX];
    tsm_wal_name_format(name, r->numbers[i]);
    return tsm_path_join(r->dir, name);
}

/* ---- a log ---- */

/* Whether some segment has a delete. */
static int find_deletes(struct replay *r, bool *found, struct tsm_err *err)
{
    int rc = TSM_OK;
    *found = false;
    for (size_t i = 0; i < r->n && rc == TSM_OK && !*found; i++) {
        struct tsm_map_file m;
        struct tsm_wal_record record;
        char *path = segment_path(r, i);
        rc = tsm_map_open(r->engine->fs, path, &m, err);
        tsm_free(path);
        if (rc != TSM_OK)
            break;
        struct tsm_wal_reader reader = {.p = m.data, .len = m.size};
        for (int next; !*found && (next = tsm_wal_next(&reader, &record, NULL)) != TSM_ENOTFOUND;)
            *found = next == TSM_OK && record.kind == TSM_WAL_DELETE;
        tsm_wal_reader_release(&reader);
        tsm_map_close(&m);
    }
    return rc;
}

/* Ascending, each durably before the next. */
static int remove_segments(struct replay *r, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < r->n && rc == TSM_OK; i++) {
        char *path = segment_path(r, i);
        rc = r->damaged[i] ? tsm_engine_set_aside(r->engine, r->dir, path, err)
                           : tsm_wal_remove(r->engine->fs, r->dir, &r->numbers[i], 1, err);
        tsm_free(path);
    }
    return rc;
}

/* With the locks of the log, and that of the shard when there are deletes. */
static int replay_segments(struct replay *r, struct tsm_err *err)
{
    r->damaged = tsm_calloc(r->n, sizeof *r->damaged);
    /* As at a freeze: what gets into files is in the log, durably, as long as the log has a delete to repeat over them. */
    int rc = tsm_wal_settle(r->engine->fs, r->dir, r->numbers, r->n, err);
    for (size_t i = 0; i < r->n && rc == TSM_OK; i++) {
        char *path = segment_path(r, i);
        r->path = path;
        rc = replay_segment(r, i, err);
        tsm_free(path);
    }
    if (rc == TSM_OK)
        rc = apply_removals(r, err);
    if (rc == TSM_OK)
        rc = tsm_engine_sync(r->engine, err);
    if (rc == TSM_OK)
        rc = remove_segments(r, err);
    tsm_free(r->damaged);
    return rc;
}

static int list_segments(struct replay *r, struct tsm_err *err)
{
    tsm_free(r->numbers);
    return tsm_wal_list(r->engine->fs, r->dir, &r->numbers, &r->n, err);
}

/* The shard's lock comes before those of the log, and nobody waits for it without need: a compaction may hold it long.
 */
static int replay_log(struct replay *r, struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    struct tsm_wal_guard guard;
    bool deletes = false;
    int rc = tsm_wal_guard_take(r->engine->fs, r->dir, &guard, err);
    if (rc == TSM_OK)
        rc = list_segments(r, err);
    if (rc == TSM_OK)
        rc = find_deletes(r, &deletes, err);
    if (rc == TSM_OK && deletes) {
        tsm_wal_guard_release(&guard);
        rc = tsm_engine_lock_shard(r->engine, r->shard, &lock, err);
        if (rc == TSM_OK)
            rc = tsm_wal_guard_take(r->engine->fs, r->dir, &guard, err);
        if (rc == TSM_OK)
            rc = list_segments(r, err);
    }
    if (rc == TSM_OK)
        rc = replay_segments(r, err);
    tsm_wal_guard_release(&guard);
    tsm_lock_release(&lock);
    tsm_tombstones_release(&r->removed);
    tsm_points_release(&r->points);
    return rc;
}

/* ---- all logs ---- */

static const struct tsm_shard_group *find_group(struct tsm_engine *e, const struct tsm_engine_policy *p,
                                                uint64_t id)
{
    const struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&e->meta, p->db), p->rp);
    for (size_t i = 0; i < rp->ngroups; i++)
        if (rp->groups[i].nshards && rp->groups[i].shards[0] == id)
            return &rp->groups[i];
    return NULL;
}

/* Readers look at memory and files alone, so that what influxd has left is taken for all shards. */
static bool has_influx_log(struct tsm_engine *e, const char *dir)
{
    struct tsm_names names;
    bool found = false;
    if (tsm_fs_list(e->fs, dir, &names, NULL) != TSM_OK)
        return false;
    for (size_t i = 0; i < names.n; i++)
        found |= tsm_influx_wal_name(tsm_str_of(names.names[i]), NULL);
    tsm_names_release(&names);
    return found;
}

static int replay_shard(struct tsm_engine *e, struct tsm_engine_policy *p, uint64_t id, struct tsm_err *err)
{
    char *dir = tsm_path_wal(e->dir, p->db, p->rp, id);
    struct replay r = {.engine = e, .dir = dir};
    /* A segment that is gone, removed by a process that was killed then, must not be there again after a loss of power: it
     * would win over everything that is written from now on. */
    int rc = tsm_fs_sync_dir(e->fs, dir, err);
    if (rc == TSM_OK)
        rc = list_segments(&r, err);
    const struct tsm_shard_group *group = find_group(e, p, id);
    if (rc == TSM_ENOTFOUND) /* not a folder of ours */
        rc = TSM_OK;
    else if (rc == TSM_OK && r.n && !group) {
        r.path = dir;
        warn(&r, "%s: a log of a shard that %s does not have stays where it is", "meta.db");
    } else if (rc == TSM_OK && (r.n || (e->read && group && has_influx_log(e, dir)))) {
        rc = tsm_engine_open_shard(e, p, group, &r.shard, err);
        if (rc == TSM_OK && r.n)
            rc = replay_log(&r, err);
        if (rc == TSM_OK)
            rc = tsm_engine_take_log(e, r.shard, err);
    }
    tsm_free(r.numbers);
    tsm_free(dir);
    return rc;
}

static int replay_policy(struct tsm_engine *e, struct tsm_engine_policy *p, struct tsm_err *err)
{
    struct tsm_buf path = {0};
    tsm_buf_printf(&path, "%s/wal/%.*s/%.*s", e->dir, (int)p->db.n, p->db.p, (int)p->rp.n, p->rp.p);
    struct tsm_names names;
    int rc = tsm_fs_list(e->fs, tsm_buf_cstr(&path), &names, err);
    tsm_buf_release(&path);
    if (rc == TSM_ENOTFOUND)
        return TSM_OK;
    for (size_t i = 0; rc == TSM_OK && i < names.n; i++) {
        uint64_t id;
        if (tsm_parse_uint(tsm_str_of(names.names[i]), &id) && names.names[i][0] != '0')
            rc = replay_shard(e, p, id, err);
    }
    tsm_names_release(&names);
    return rc;
}

int tsm_engine_replay(struct tsm_engine *e, struct tsm_err *err)
{
    if (e->policy)
        return replay_policy(e, e->policy, err);
    int rc = TSM_OK;
    for (size_t i = 0; i < e->meta.ndatabases && rc == TSM_OK; i++) {
        const struct tsm_database *db = &e->meta.databases[i];
        for (size_t k = 0; k < db->nrps && rc == TSM_OK; k++)
            rc = replay_policy(e, tsm_engine_take_policy(e, db->name, &db->rps[k]), err);
    }
    return rc;
}
