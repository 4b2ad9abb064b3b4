/*
 * store/engine_log.c: what influxd left in the log of a shard goes into TSM files before anything newer does.
 *
 * Otherwise its older values would win over ours when influxd reads its log the next time. As influxd's own
 * snapshot does, the segments are removed only after their content is fsynced; when the process dies in
 * between, the same values are taken once more, which changes nothing.
 */
#include "store/engine_impl.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/time.h"
#include "format/influx_wal.h"
#include "store/data_dir.h"
#include "base/banned.h"

struct taking {
    struct tsm_engine *engine;
    struct tsm_engine_shard *shard;
    struct tsm_lock lock;          /* of the shard; taken with the first delete */
    struct tsm_tombstones removed; /* deletes that the files do not have yet */
    bool flushed;                  /* a part of the log is in files */
    bool damaged;                  /* the segment in hand is */
    struct tsm_names bad;          /* segments that are */
};

/* ---- deletes that a log has for the files ---- */

int tsm_engine_lock_shard(struct tsm_engine *e, const struct tsm_engine_shard *s, struct tsm_lock *lock,
                          struct tsm_err *err)
{
    struct tsm_fs_stat st;
    *lock = (struct tsm_lock){0};
    int found = e->fs->stat(e->fs->ctx, s->files.dir, &st);
    if (found == -ENOENT)
        return TSM_OK;
    if (found < 0)
        return tsm_err_sys(err, -found, "open %s", s->files.dir);
    char *path = tsm_path_shard_lock(s->files.dir);
    int rc = tsm_lock_open(e->fs, path, lock, err);
    if (rc == TSM_OK)
        rc = tsm_lock_acquire(lock, err);
    if (rc != TSM_OK)
        tsm_lock_release(lock);
    tsm_free(path);
    return rc;
}

/* Adds the deletes to those of one file. */
static int remove_from_file(struct tsm_engine *e, const struct tsm_engine_shard *s,
                            const struct tsm_tombstones *removed, struct tsm_file_name name,
                            struct tsm_err *err)
{
    char *path = tsm_shard_files_path(&s->files, name), *beside = tsm_tombstone_path(path);
    struct tsm_reader *r = NULL;
    struct tsm_tombstones all = {0};
    int rc = tsm_reader_open_bare(e->fs, path, &r, err);
    if (rc == TSM_OK)
        rc = tsm_tombstones_read(e->fs, beside, &all, err);
    bool any = false;
    for (size_t i = 0; i < removed->n && rc == TSM_OK; i++) {
        const struct tsm_tombstone *d = &removed->items[i];
        bool found;
        tsm_reader_seek(r, d->key, &found);
        if (found)
            tsm_tombstones_add(&all, d->key, d->tmin, d->tmax);
        any |= found;
    }
    if (rc == TSM_OK && any) {
        tsm_tombstones_sort(&all);
        rc = tsm_tombstones_write(e->fs, beside, &all, err);
    }
    tsm_tombstones_release(&all);
    tsm_reader_close(r);
    tsm_free(beside);
    tsm_free(path);
    return rc;
}

int tsm_engine_apply_removals(struct tsm_engine *e, struct tsm_engine_shard *s,
                              struct tsm_tombstones *removed, struct tsm_err *err)
{
    if (removed->n == 0)
        return TSM_OK;
    int rc = tsm_engine_wait(e, err);
    if (rc == TSM_OK)
        rc = tsm_shard_files_refresh(e->fs, &s->files, NULL, NULL, NULL, err);
    for (size_t i = 0; i < s->files.n && rc == TSM_OK; i++)
        rc = remove_from_file(e, s, removed, s->files.files[i].name, err);
    tsm_tombstones_release(removed);
    return rc;
}

/* ---- the log ---- */

int tsm_engine_set_aside(struct tsm_engine *e, const char *dir, const char *path, struct tsm_err *err)
{
    struct tsm_buf name = {0};
    for (unsigned i = 0; i < 1000; i++) {
        tsm_buf_reset(&name);
        tsm_buf_printf(&name, i ? "%s.bad.%u" : "%s.bad", path, i);
        if (!tsm_fs_exists(e->fs, tsm_buf_cstr(&name)))
            break;
    }
    int failed = e->fs->rename(e->fs->ctx, path, tsm_buf_cstr(&name));
    int rc = failed < 0 ? tsm_err_sys(err, -failed, "rename %s to %s", path, tsm_buf_cstr(&name))
                        : tsm_fs_sync_dir(e->fs, dir, err);
    tsm_buf_release(&name);
    return rc;
}

static int visit_damage(void *ctx, struct tsm_err *err)
{
    struct taking *t = ctx;
    if (!t->engine->read)
        return err->code;
    t->damaged = true;
    tsm_engine_warn(t->engine, err->msg);
    return TSM_OK;
}

static int apply_removals(struct taking *t, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (t->removed.n && !t->lock.fs)
        rc = tsm_engine_lock_shard(t->engine, t->shard, &t->lock, err);
    return rc == TSM_OK ? tsm_engine_apply_removals(t->engine, t->shard, &t->removed, err) : rc;
}

static int visit_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    struct taking *t = ctx;
    int rc = t->flushed ? apply_removals(t, err) : TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_memtable_add(t->engine->active, &t->shard->table, key, values, err);
    if (rc == TSM_ECONFLICT || rc == TSM_ECORRUPT)
        rc = visit_damage(t, err);
    if (rc != TSM_OK || !tsm_engine_is_full(t->engine))
        return rc;
    rc = apply_removals(t, err);
    t->flushed = true;
    return rc == TSM_OK ? tsm_engine_freeze(t->engine, err) : rc;
}

static int visit_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct taking *t = ctx;
    tsm_tombstones_add(&t->removed, key, tmin, tmax);
    return tsm_memtable_remove(t->engine->active, &t->shard->table, key, tmin, tmax, err);
}

/* The segment with the smallest number from *from on, which moves behind it; NULL: there is none. */
static const char *next_segment(const struct tsm_names *names, uint64_t *from)
{
    const char *next = NULL;
    uint32_t least = 0, number;
    for (size_t i = 0; i < names->n; i++) {
        if (tsm_influx_wal_name(tsm_str_of(names->names[i]), &number) && number >= *from &&
            (!next || number < least)) {
            least = number;
            next = names->names[i];
        }
    }
    *from = (uint64_t)least + 1;
    return next;
}

static bool is_bad(const struct taking *t, const char *name)
{
    for (size_t i = 0; i < t->bad.n; i++)
        if (strcmp(t->bad.names[i], name) == 0)
            return true;
    return false;
}

/* Ascending, each durably before the next: an older segment that came back alone would win over the files. */
static int remove_segments(const struct taking *t, const char *dir, const struct tsm_names *names,
                           struct tsm_err *err)
{
    struct tsm_engine *e = t->engine;
    int rc = TSM_OK;
    uint64_t from = 0;
    for (const char *name; rc == TSM_OK && (name = next_segment(names, &from));) {
        char *path = tsm_path_join(dir, name);
        if (is_bad(t, name)) {
            rc = tsm_engine_set_aside(e, dir, path, err);
        } else {
            rc = tsm_fs_remove(e->fs, path, err);
            if (rc == TSM_OK)
                rc = tsm_fs_sync_dir(e->fs, dir, err);
        }
        tsm_free(path);
    }
    return rc;
}

static int read_segments(struct taking *t, const char *dir, const struct tsm_names *names,
                         struct tsm_err *err)
{
    struct tsm_wal_visitor visitor = {
        .ctx = t, .write = visit_write, .remove = visit_remove, .damage = visit_damage};
    int rc = TSM_OK;
    uint64_t from = 0;
    for (const char *name; rc == TSM_OK && (name = next_segment(names, &from));) {
        char *path = tsm_path_join(dir, name);
        uint64_t torn = 0;
        t->damaged = false;
        rc = tsm_influx_wal_read(t->engine->fs, path, &visitor, &torn, err);
        if (rc == TSM_ECORRUPT) /* not a segment at all */
            rc = visit_damage(t, err);
        if (t->damaged) {
            TSM_GROW(t->bad.names, t->bad.n + 1, t->bad.cap);
            t->bad.names[t->bad.n++] = tsm_strdup(name);
        }
        tsm_free(path);
    }
    return rc == TSM_OK ? apply_removals(t, err) : rc;
}

int tsm_engine_take_log(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err)
{
    char *dir = tsm_path_wal(e->dir, s->policy->db, s->policy->rp, s->id);
    struct tsm_names names;
    int rc = tsm_fs_list(e->fs, dir, &names, err);
    bool any = false;
    for (size_t i = 0; rc == TSM_OK && i < names.n; i++)
        any |= tsm_influx_wal_name(tsm_str_of(names.names[i]), NULL);
    if (rc == TSM_ENOTFOUND)
        rc = TSM_OK;
    if (any) {
        struct taking t = {.engine = e, .shard = s};
        rc = tsm_engine_sync(e, err); /* so that the log's values are alone in the memtable */
        if (rc == TSM_OK)
            rc = read_segments(&t, dir, &names, err);
        if (rc == TSM_OK)
            rc = tsm_engine_sync(e, err);
        if (rc == TSM_OK)
            rc = remove_segments(&t, dir, &names, err);
        tsm_tombstones_release(&t.removed);
        tsm_lock_release(&t.lock);
        tsm_names_release(&t.bad);
        tsm_names_release(&names);
    } else if (rc == TSM_OK) {
        tsm_names_release(&names);
    }
    tsm_free(dir);
    return rc;
}
