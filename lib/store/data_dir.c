/* store/data_dir.c: the layout of a data directory. */
#include "store/data_dir.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/banned.h"

/* One more component; an empty one adds nothing. */
static void add_part(struct tsm_buf *b, struct tsm_str part)
{
    if (part.n == 0)
        return;
    if (b->len && b->data[b->len - 1] != '/')
        tsm_buf_byte(b, '/');
    tsm_buf_str(b, part);
}

/* DIR/top[/db[/rp[/shard]]] */
static char *path_below(const char *dir, const char *top, struct tsm_str db, struct tsm_str rp,
                        const uint64_t *shard)
{
    struct tsm_buf b = {0};
    tsm_buf_puts(&b, dir);
    add_part(&b, tsm_str_of(top));
    add_part(&b, db);
    add_part(&b, rp);
    if (shard)
        tsm_buf_printf(&b, "/%" PRIu64, *shard);
    return tsm_buf_detach(&b, NULL);
}

char *tsm_path_join(const char *dir, const char *name)
{
    return path_below(dir, name, TSM_STR(""), TSM_STR(""), NULL);
}

char *tsm_path_meta(const char *dir)
{
    return tsm_path_join(dir, "meta/meta.db");
}

char *tsm_path_lock(const char *dir)
{
    return tsm_path_join(dir, "lock");
}

char *tsm_path_rp(const char *dir, struct tsm_str db, struct tsm_str rp)
{
    return path_below(dir, "data", db, rp, NULL);
}

char *tsm_path_shard(const char *dir, struct tsm_str db, struct tsm_str rp, uint64_t shard)
{
    return path_below(dir, "data", db, rp, &shard);
}

char *tsm_path_shard_lock(const char *shard_dir)
{
    return tsm_path_join(shard_dir, "lock");
}

char *tsm_path_wal(const char *dir, struct tsm_str db, struct tsm_str rp, uint64_t shard)
{
    return path_below(dir, "wal", db, rp, &shard);
}

/* ---- what only a daemon's log has ---- */

char *tsm_path_raft(const char *dir)
{
    return tsm_path_join(dir, "raft");
}

char *tsm_path_socket(const char *dir)
{
    return tsm_path_join(dir, "raftd.sock");
}

static char *path_unflushed(const char *dir)
{
    return tsm_path_join(dir, "raft/unflushed");
}

int tsm_data_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    char *path = path_unflushed(dir);
    bool unflushed = tsm_fs_exists(fs, path);
    tsm_free(path);
    if (!unflushed)
        return TSM_OK;
    return tsm_err_set(
        err, TSM_EAGAIN,
        "%s: some points are in the log of tsm-raftd only: start it, or run tsm-raftd --flush -d %s", dir,
        dir);
}

int tsm_data_abandoned(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    int rc = tsm_data_unflushed(fs, dir, err);
    if (rc == TSM_OK)
        return rc;
    char *path = tsm_path_lock(dir);
    struct tsm_lock lock = {0};
    int taken = tsm_lock_take(fs, path, "tsmkit", &lock, NULL);
    tsm_lock_release(&lock);
    tsm_free(path);
    return taken == TSM_ELOCKED ? TSM_OK : rc;
}

int tsm_data_mark_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    char *path = path_unflushed(dir);
    int rc = tsm_fs_write_file(fs, path, TSM_STR(""), err);
    tsm_free(path);
    return rc;
}

int tsm_data_clear_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    char *path = path_unflushed(dir);
    int rc = tsm_fs_remove(fs, path, err);
    if (rc == TSM_OK)
        rc = tsm_fs_sync_parent(fs, path, err);
    tsm_free(path);
    return rc;
}

/* ---- parts as a whole ---- */

int tsm_data_make_shard(const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    enum { LEVELS = 4 }; /* shard in rp, rp in db, db in data, data in DIR */
    char *p = tsm_strdup(path);
    int rc = tsm_fs_make_dirs(fs, path, err);
    for (int i = 0; i < LEVELS && rc == TSM_OK; i++) {
        rc = tsm_fs_sync_parent(fs, p, err);
        char *slash = strrchr(p, '/');
        if (!slash || slash == p)
            break;
        *slash = '\0';
    }
    tsm_free(p);
    return rc;
}

int tsm_data_remove(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                    struct tsm_err *err)
{
    static const char *const tops[] = {"data", "wal"};
    int rc = TSM_OK;
    for (size_t i = 0; i < sizeof tops / sizeof *tops && rc == TSM_OK; i++) {
        char *path = path_below(dir, tops[i], db, rp, NULL);
        rc = tsm_fs_remove_tree(fs, path, err);
        tsm_free(path);
    }
    return rc;
}

int tsm_data_remove_shard(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                          uint64_t shard, struct tsm_err *err)
{
    char *data = tsm_path_shard(dir, db, rp, shard), *wal = tsm_path_wal(dir, db, rp, shard);
    int rc = tsm_fs_remove_tree(fs, data, err);
    if (rc == TSM_OK)
        rc = tsm_fs_remove_tree(fs, wal, err);
    tsm_free(data);
    tsm_free(wal);
    return rc;
}

/* Looks through a folder's folders for one with this shard in it; depth 0: of a policy, 1: of a database. */
static int search(const struct tsm_fs *fs, const char *dir, int depth, const char *id, struct tsm_arena *a,
                  struct tsm_str *db, struct tsm_str *rp, struct tsm_err *err)
{
    struct tsm_names names;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK && !rp->n; i++) {
        struct tsm_fs_stat st;
        char *path = tsm_path_join(dir, names.names[i]);
        bool is_dir = fs->stat(fs->ctx, path, &st) == 0 && st.is_dir;
        if (is_dir && depth > 0) {
            rc = search(fs, path, depth - 1, id, a, db, rp, err);
            if (rp->n)
                *db = tsm_arena_str(a, tsm_str_of(names.names[i]));
        } else if (is_dir) {
            char *folder = tsm_path_join(path, id);
            if (tsm_fs_exists(fs, folder))
                *rp = tsm_arena_str(a, tsm_str_of(names.names[i]));
            tsm_free(folder);
        }
        tsm_free(path);
    }
    tsm_names_release(&names);
    return rc;
}

int tsm_data_find_shard(const struct tsm_fs *fs, const char *dir, uint64_t shard, struct tsm_arena *a,
                        struct tsm_str *db, struct tsm_str *rp, struct tsm_err *err)
{
    static const char *const tops[] = {"data", "wal"};
    char id[32];
    int rc = TSM_OK;
    snprintf(id, sizeof id, "%" PRIu64, shard);
    *db = *rp = tsm_str("", 0);
    for (size_t i = 0; i < sizeof tops / sizeof *tops && !rp->n && rc == TSM_OK; i++) {
        char *top = tsm_path_join(dir, tops[i]);
        rc = search(fs, top, 1, id, a, db, rp, err);
        tsm_free(top);
    }
    return rc;
}
