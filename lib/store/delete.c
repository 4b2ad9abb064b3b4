/* store/delete.c: deleting values of a shard: its files one by one, then its log. */
#include "store/delete.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "format/influx_wal.h"
#include "format/series_key.h"
#include "format/tsm_file.h"
#include "store/compaction.h"
#include "store/data_dir.h"
#include "store/delete_file.h"
#include "store/file_set.h"
#include "store/log.h"
#include "store/shard_wal.h"
#include "base/banned.h"

enum {
    MAX_TRIES = 10,     /* when folders come into being meanwhile */
    PAYLOAD = 64 << 20, /* bytes in a record of the log */
};

/* ---- files ------------------------------------------------------------------------------------- */

struct listed {
    struct tsm_file_name name;
    const char *text;
};

static int by_name(const void *a, const void *b)
{
    return tsm_file_name_compare(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* Tombstones whose file is gone: a killed delete or compaction left them, and a later file may get the name. */
static int remove_orphans(const struct tsm_delete *d, const struct tsm_names *names, struct tsm_err *err)
{
    struct tsm_file_name name;
    bool any = false;
    for (size_t i = 0; i < names->n; i++) {
        struct tsm_str text = tsm_str_of(names->names[i]);
        if (!tsm_file_name_parse(text, ".tombstone.tmp", &name) &&
            !tsm_is_orphan_tombstone(names, names->names[i]))
            continue;
        char *path = tsm_path_join(d->dir, names->names[i]);
        int rc = tsm_fs_remove(d->fs, path, err);
        tsm_free(path);
        if (rc != TSM_OK)
            return rc;
        any = true;
    }
    return any ? tsm_fs_sync_dir(d->fs, d->dir, err) : TSM_OK;
}

/* What is prepared for the files, in their order. */
struct steps {
    struct tsm_delete_step *items;
    size_t n, cap;
};

static void release_steps(const struct tsm_delete *d, struct steps *s)
{
    for (size_t i = 0; i < s->n; i++)
        tsm_delete_step_release(d, &s->items[i]);
    tsm_free(s->items);
}

/* Calls visit for the path of each TSM file, the oldest first. */
static int each_file(const struct tsm_delete *d, const struct tsm_names *names,
                     int (*visit)(void *ctx, const char *path, struct tsm_err *err), void *ctx,
                     struct tsm_err *err)
{
    struct listed *files = tsm_calloc(names->n, sizeof *files);
    size_t n = 0;
    int rc = TSM_OK;
    for (size_t i = 0; i < names->n; i++)
        if (tsm_file_name_parse(tsm_str_of(names->names[i]), ".tsm", &files[n].name))
            files[n++].text = names->names[i];
    tsm_sort(files, n, sizeof *files, by_name);
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        char *path = tsm_path_join(d->dir, files[i].text);
        rc = visit(ctx, path, err);
        tsm_free(path);
    }
    tsm_free(files);
    return rc;
}

struct preparing {
    struct tsm_delete *d;
    struct steps *steps;
    size_t next; /* of the steps, to be committed */
};

static int prepare_file(void *ctx, const char *path, struct tsm_err *err)
{
    struct preparing *p = ctx;
    struct steps *s = p->steps;
    TSM_GROW(s->items, s->n + 1, s->cap);
    return tsm_delete_prepare(p->d, path, &s->items[s->n++], err);
}

/* Takes the step that was prepared for a file, or prepares one now. */
static int commit_file(void *ctx, const char *path, struct tsm_err *err)
{
    struct preparing *p = ctx;
    if (p->next < p->steps->n && strcmp(p->steps->items[p->next].path, path) == 0)
        return tsm_delete_commit(p->d, &p->steps->items[p->next++], err);
    struct tsm_delete_step step;
    int rc = tsm_delete_prepare(p->d, path, &step, err);
    if (rc == TSM_OK)
        rc = tsm_delete_commit(p->d, &step, err);
    tsm_delete_step_release(p->d, &step);
    return rc;
}

/* With the shard's lock; writers may go on. */
static int prepare_files(struct tsm_delete *d, struct steps *steps, struct tsm_err *err)
{
    struct tsm_names names;
    struct preparing p = {d, steps, 0};
    int rc = tsm_fs_list(d->fs, d->dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    rc = remove_orphans(d, &names, err);
    if (rc == TSM_OK)
        rc = each_file(d, &names, prepare_file, &p, err);
    tsm_names_release(&names);
    return rc;
}

/* With the locks of the log too: no file comes any more, and those that have come meanwhile are no trouble. */
static int commit_files(struct tsm_delete *d, struct steps *steps, struct tsm_err *err)
{
    struct tsm_names names;
    struct preparing p = {d, steps, 0};
    int rc = tsm_fs_list(d->fs, d->dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    rc = each_file(d, &names, commit_file, &p, err);
    tsm_names_release(&names);
    return rc;
}

/* ---- the log ----------------------------------------------------------------------------------- */

/* The number that a new segment of influxd's gets; 0 when it has none, so that nothing of influxd's is in the folder. */
static int next_influx_segment(const struct tsm_delete *d, uint32_t *next, struct tsm_err *err)
{
    struct tsm_names names;
    uint32_t id;
    *next = 0;
    int rc = tsm_fs_list(d->fs, d->wal, &names, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < names.n; i++)
        if (tsm_influx_wal_name(tsm_str_of(names.names[i]), &id) && id >= *next)
            *next = id + 1;
    tsm_names_release(&names);
    return TSM_OK;
}

/* influxd reads its own log alone, so it needs the delete there as well. */
static int write_influx_delete(const struct tsm_delete *d, struct tsm_str payload, struct tsm_err *err)
{
    uint32_t next;
    int rc = next_influx_segment(d, &next, err);
    if (rc != TSM_OK || next == 0)
        return rc;
    struct tsm_buf name = {0}, record = {0};
    tsm_buf_printf(&name, "_%05u.wal", next);
    tsm_influx_wal_delete(&record, payload);
    char *path = tsm_path_join(d->wal, tsm_buf_cstr(&name));
    rc = tsm_fs_write_file(d->fs, path, tsm_buf_view(&record), err);
    tsm_free(path);
    tsm_buf_release(&name);
    tsm_buf_release(&record);
    return rc;
}

static int write_record(struct tsm_delete *d, struct tsm_wal_guard *guard, struct tsm_str payload,
                        struct tsm_err *err)
{
    int rc = write_influx_delete(d, payload, err);
    return rc == TSM_OK ? tsm_wal_guard_delete(guard, payload, err) : rc;
}

static bool has_values(const struct tsm_values *v, int64_t tmin, int64_t tmax)
{
    size_t from = 0, to = v->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (v->t[middle] < tmin)
            from = middle + 1;
        else
            to = middle;
    }
    return from < v->n && v->t[from] <= tmax;
}

static int delete_from_log(struct tsm_delete *d, struct tsm_wal_guard *guard, struct tsm_err *err)
{
    struct tsm_log *log = NULL;
    if (!d->wal || !guard->dir)
        return TSM_OK;
    int rc = tsm_log_read(d->fs, d->wal, d->damage, &log, err);
    if (rc == TSM_ENOTFOUND || (rc == TSM_OK && !log))
        return TSM_OK;
    struct tsm_buf payload = {0};
    struct tsm_str last = {0};
    bool wanted = false;
    for (size_t i = 0; rc == TSM_OK && i < log->n; i++) {
        struct tsm_str series, field;
        if (!tsm_key_split(log->items[i].key, &series, &field))
            continue;
        if (!last.p || !tsm_str_eq(series, last))
            wanted = d->wanted(d->ctx, series);
        last = series;
        if (!wanted || !has_values(&log->items[i].values, d->tmin, d->tmax))
            continue;
        if (payload.len == 0)
            tsm_wal_delete_begin(&payload, d->tmin, d->tmax);
        tsm_wal_delete_key(&payload, log->items[i].key);
        d->keys++;
        if (payload.len >= PAYLOAD) {
            rc = write_record(d, guard, tsm_buf_view(&payload), err);
            tsm_buf_reset(&payload);
        }
    }
    if (rc == TSM_OK && payload.len)
        rc = write_record(d, guard, tsm_buf_view(&payload), err);
    tsm_buf_release(&payload);
    tsm_log_free(log);
    return rc;
}

/* ---- both -------------------------------------------------------------------------------------- */

/* TSM_ESTOP: a folder came into being before its lock could be taken. */
static int try_delete(struct tsm_delete *d, struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    struct tsm_wal_guard guard = {0};
    struct steps steps = {0};
    int rc = TSM_OK;
    bool exists = tsm_fs_exists(d->fs, d->dir);
    if (exists) {
        char *path = tsm_path_shard_lock(d->dir);
        rc = tsm_lock_take(d->fs, path, d->holder, &lock, err);
        tsm_free(path);
        /* What a killed process has left here, or removed, is built on from now: a tombstone that is there is not written
         * once more, a file that is gone gets none. */
        if (rc == TSM_OK)
            rc = tsm_fs_sync_dir(d->fs, d->dir, err);
        if (rc == TSM_OK)
            rc = prepare_files(d, &steps, err);
    }
    if (rc == TSM_OK && d->wal)
        rc = tsm_wal_guard_take(d->fs, d->wal, &guard, err);
    if (rc == TSM_OK && !exists && tsm_fs_exists(d->fs, d->dir))
        rc = TSM_ESTOP; /* a flush made the folder, and its files, before the log was ours */
    if (rc == TSM_OK && exists)
        rc = commit_files(d, &steps, err);
    if (rc == TSM_OK)
        rc = delete_from_log(d, &guard, err);
    release_steps(d, &steps);
    tsm_wal_guard_release(&guard);
    tsm_lock_release(&lock);
    return rc;
}

int tsm_delete_run(struct tsm_delete *d, struct tsm_err *err)
{
    int rc = TSM_ESTOP;
    for (int i = 0; i < MAX_TRIES && rc == TSM_ESTOP; i++)
        rc = try_delete(d, err);
    return rc == TSM_ESTOP ? tsm_err_set(err, TSM_EIO, "%s: comes and goes", d->dir) : rc;
}
