/* store/repair.c: which files there are, under which locks, and how one takes the place of another. */
#include "store/repair.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "format/influx_wal.h"
#include "format/meta_db.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "store/repair_impl.h"
#include "store/shard_wal.h"
#include "store/sources.h"
#include "base/banned.h"

const char *tsm_repair_state_name(enum tsm_repair_state s)
{
    static const char *const names[] = {"whole", "part", "nothing left", "not repaired"};
    return names[s];
}

/* ---- taking the place of a file ------------------------------------------------------------------------ */

/* The first free one of path.bad, path.bad.2, …; allocated. */
static char *aside_of(const struct tsm_repair *r, const char *path)
{
    struct tsm_buf name = {0};
    tsm_buf_printf(&name, "%s.bad", path);
    for (unsigned i = 2; tsm_fs_exists(r->fs, tsm_buf_cstr(&name)); i++) {
        tsm_buf_reset(&name);
        tsm_buf_printf(&name, "%s.bad.%u", path, i);
    }
    return tsm_buf_detach(&name, NULL);
}

int tsm_repair_keep(const struct tsm_repair *r, const char *path, struct tsm_str bytes, char **aside,
                    struct tsm_err *err)
{
    *aside = aside_of(r, path);
    return tsm_fs_write_file(r->fs, *aside, bytes, err);
}

int tsm_repair_move(const struct tsm_repair *r, const char *path, char **aside, struct tsm_err *err)
{
    *aside = aside_of(r, path);
    int e = r->fs->rename(r->fs->ctx, path, *aside);
    if (e < 0)
        return tsm_err_sys(err, -e, "rename %s to %s", path, *aside);
    return tsm_fs_sync_parent(r->fs, path, err);
}

int tsm_repair_replace(const struct tsm_repair *r, const char *path, struct tsm_str old, struct tsm_str bytes,
                       char **aside, struct tsm_err *err)
{
    int rc = tsm_repair_keep(r, path, old, aside, err);
    return rc == TSM_OK ? tsm_fs_write_file(r->fs, path, bytes, err) : rc;
}

int tsm_repair_tell(struct tsm_repair *r, struct tsm_repaired *what, struct tsm_err *err)
{
    r->damaged++;
    r->lossy += what->state != TSM_REPAIR_WHOLE;
    return r->report(r->ctx, what, err);
}

static int impossible(struct tsm_repair *r, const char *path, const struct tsm_err *failure,
                      struct tsm_err *err)
{
    size_t n = strlen(path);
    const char *cause = failure->msg;
    if (strncmp(cause, path, n) == 0 && strncmp(cause + n, ": ", 2) == 0)
        cause += n + 2;
    struct tsm_repaired what = {
        .path = path,
        .cause = cause,
        .state = TSM_REPAIR_IMPOSSIBLE,
        .lost_tmin = INT64_MAX,
        .lost_tmax = INT64_MIN,
    };
    return tsm_repair_tell(r, &what, err);
}

/* ---- the files of a shard ------------------------------------------------------------------------------ */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folder of a file; allocated. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? tsm_strndup(path, slash > path ? (size_t)(slash - path) : 1) : tsm_strdup(".");
}

typedef int repair_fn(struct tsm_repair *r, const char *path, bool act, bool *damaged, struct tsm_err *err);

/* Repairs one file of a shard, looking at it once more when the lock is held. */
static int repair_under(struct tsm_repair *r, repair_fn *repair, const char *path, const char *lock_path,
                        struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    struct tsm_err failure = {0};
    bool damaged = false;
    r->files++;
    int rc = repair(r, path, false, &damaged, &failure);
    if (rc == TSM_ECORRUPT) /* not a file */
        return impossible(r, path, &failure, err);
    if (rc == TSM_ENOTFOUND) /* a compaction took it */
        return TSM_OK;
    if (rc != TSM_OK)
        return tsm_err_set(err, rc, "%s", failure.msg);
    if (!damaged)
        return TSM_OK;
    if (!r->dry_run && lock_path)
        rc = tsm_lock_take(r->fs, lock_path, r->holder, &lock, err);
    if (rc == TSM_OK)
        rc = repair(r, path, true, &damaged, err);
    if (!r->dry_run && lock_path)
        tsm_lock_release(&lock);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

/* The lock of the directory that has this log folder, DIR/wal/DB/RP/SHARD; NULL when it is in none. */
static char *log_lock(const struct tsm_repair *r, const char *dir)
{
    char *up = tsm_path_join(dir, "../../../.."), *lock = NULL;
    if (tsm_is_data_dir(r->fs, up))
        lock = tsm_path_lock(up);
    tsm_free(up);
    return lock;
}

/* As repair_under(), for the log of a folder. Deletes append to it without the lock of the directory. */
static int repair_log(struct tsm_repair *r, const char *dir, struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    struct tsm_wal_guard guard = {0};
    bool damaged = false;
    int rc = tsm_repair_segments(r, dir, false, &damaged, err);
    if (rc != TSM_OK || !damaged)
        return rc;
    char *lock_path = r->dry_run ? NULL : log_lock(r, dir);
    if (lock_path)
        rc = tsm_lock_take(r->fs, lock_path, r->holder, &lock, err);
    if (rc == TSM_OK && !r->dry_run)
        rc = tsm_wal_guard_take(r->fs, dir, &guard, err);
    if (rc == TSM_OK)
        rc = tsm_repair_segments(r, dir, true, &damaged, err);
    tsm_wal_guard_release(&guard);
    if (lock_path)
        tsm_lock_release(&lock);
    tsm_free(lock_path);
    return rc;
}

static int repair_influx_segment(struct tsm_repair *r, const char *path, const char *dir, struct tsm_err *err)
{
    char *lock = log_lock(r, dir);
    int rc = repair_under(r, tsm_repair_influx_segment, path, lock, err);
    tsm_free(lock);
    return rc;
}

static int repair_meta(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    enum { MAX_META_SIZE = 64 << 20 };
    struct tsm_buf bytes = {0};
    struct tsm_meta m = {0};
    struct tsm_err failure = {0};
    r->files++;
    int rc = tsm_fs_read_file(r->fs, path, MAX_META_SIZE, &bytes, &failure);
    if (rc == TSM_OK)
        rc = tsm_meta_decode(bytes.data, bytes.len, &m, &failure);
    tsm_meta_release(&m);
    tsm_buf_release(&bytes);
    if (rc == TSM_ECORRUPT || rc == TSM_ELIMIT)
        return impossible(r, path, &failure, err);
    return rc == TSM_OK ? TSM_OK : tsm_err_set(err, rc, "%s", failure.msg);
}

/* One file, by its name. */
static int repair_file(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_str name = tsm_str_of(base_name(path));
    char *dir = parent_of(path), *lock = tsm_path_shard_lock(dir);
    int rc;
    if (tsm_str_eq(name, TSM_STR("meta.db")))
        rc = repair_meta(r, path, err);
    else if (tsm_wal_name_parse(name, NULL))
        rc = repair_log(r, dir, err); /* its neighbours have the sequence before and behind */
    else if (tsm_influx_wal_name(name, NULL))
        rc = repair_influx_segment(r, path, dir, err);
    else if (ends_with(path, ".tombstone"))
        rc = repair_under(r, tsm_repair_tombstone, path, lock, err);
    else if (ends_with(path, ".tsm"))
        rc = repair_under(r, tsm_repair_tsm, path, lock, err);
    else /* any file can be taken for a damaged one */
        rc = tsm_err_set(err, TSM_EUSAGE,
                         "%s: by its name neither a TSM file, a tombstone, a segment of a log nor meta.db",
                         path);
    tsm_free(lock);
    tsm_free(dir);
    return rc;
}

/* All files of a folder, a shard's or one of logs, in it and not below. */
static int repair_folder(struct tsm_repair *r, const char *dir, struct tsm_err *err)
{
    struct tsm_names l;
    bool log = false;
    int rc = tsm_fs_list(r->fs, dir, &l, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < l.n && rc == TSM_OK; i++) {
        struct tsm_str name = tsm_str_of(l.names[i]);
        bool ours = tsm_wal_name_parse(name, NULL);
        bool other = ends_with(l.names[i], ".tsm") || ends_with(l.names[i], ".tombstone") ||
                     tsm_influx_wal_name(name, NULL) || tsm_str_eq(name, TSM_STR("meta.db"));
        if (!other && (!ours || log))
            continue;
        log |= ours; /* all of them at once */
        char *path = tsm_path_join(dir, l.names[i]);
        rc = repair_file(r, path, err);
        tsm_free(path);
    }
    tsm_names_release(&l);
    return rc;
}

static int repair_source(struct tsm_repair *r, const struct tsm_source *s, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < s->nfiles && rc == TSM_OK; i++)
        rc = repair_file(r, s->files[i], err);
    if (rc == TSM_OK && s->path)
        rc = repair_folder(r, s->path, err);
    if (rc == TSM_OK && s->wal && s->wal != s->path)
        rc = repair_folder(r, s->wal, err);
    return rc;
}

int tsm_repair_path(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_sources s = {0};
    int rc = tsm_sources_add(r->fs, path, r->db, r->rp, &s, err);
    char *meta = tsm_path_meta(path);
    struct tsm_fs_stat st;
    if (rc == TSM_OK && r->fs->stat(r->fs->ctx, meta, &st) == 0)
        rc = repair_meta(r, meta, err);
    tsm_free(meta);
    for (size_t i = 0; i < s.n && rc == TSM_OK; i++)
        rc = repair_source(r, &s.items[i], err);
    tsm_sources_release(&s);
    return rc;
}
