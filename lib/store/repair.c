/* store/repair.c: finding the files, the locks, and putting damaged files aside. */
#include "store/repair.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "format/influx_wal.h"
#include "format/meta_db.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "store/shard_wal.h"
#include "store/sources.h"
#include "base/banned.h"

enum {
    MAX_DEPTH = 16,
    MAX_ASIDE = 1000,
    LEVELS_TO_DATA_DIR = 4, /* wal/DB/RP/SHARD */
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return tsm_strdup(".");
    return slash == path ? tsm_strdup("/") : tsm_strndup(path, (size_t)(slash - path));
}

/* ---- putting aside ------------------------------------------------------------------------------- */

static int copy_file(const struct tsm_fs *fs, const char *from, const char *to, struct tsm_err *err)
{
    struct tsm_map_file m;
    int rc = tsm_map_open(fs, from, &m, err);
    if (rc != TSM_OK)
        return rc;
    rc = tsm_fs_write_file(fs, to, tsm_str((const char *)m.data, m.size), err);
    tsm_map_close(&m);
    return rc;
}

int tsm_repair_set_aside(struct tsm_repair *r, const char *path, bool move, char **aside, struct tsm_err *err)
{
    struct tsm_buf name = {0};
    bool taken = true;
    for (int i = 1; i <= MAX_ASIDE && taken; i++) {
        tsm_buf_reset(&name);
        tsm_buf_printf(&name, i == 1 ? "%s.bad" : "%s.bad%d", path, i);
        taken = tsm_fs_exists(r->fs, tsm_buf_cstr(&name));
    }
    const char *to = tsm_buf_cstr(&name);
    int rc = TSM_OK;
    if (taken)
        rc = tsm_err_set(err, TSM_ELIMIT, "%s: too many damaged files of this name are kept", path);
    else if (!move)
        rc = copy_file(r->fs, path, to, err);
    else {
        int e = r->fs->rename(r->fs->ctx, path, to);
        rc = e < 0 ? tsm_err_sys(err, -e, "rename %s", path) : tsm_fs_sync_parent(r->fs, path, err);
    }
    *aside = rc == TSM_OK ? tsm_buf_detach(&name, NULL) : NULL;
    tsm_buf_release(&name);
    return rc;
}

int tsm_repair_report(struct tsm_repair *r, const struct tsm_repaired *what, struct tsm_err *err)
{
    r->damaged++;
    r->lossy += what->lost > 0 || what->uncertain || what->left;
    return r->report(r->ctx, what, err);
}

int tsm_repair_replace(struct tsm_repair *r, struct tsm_repaired *what, struct tsm_str bytes,
                       struct tsm_err *err)
{
    char *aside = NULL;
    int rc = TSM_OK;
    if (!r->dry_run) {
        rc = tsm_repair_set_aside(r, what->path, bytes.n == 0, &aside, err);
        if (rc == TSM_OK && bytes.n)
            rc = tsm_fs_write_file(r->fs, what->path, bytes, err);
    }
    what->aside = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_report(r, what, err);
    tsm_free(aside);
    return rc;
}

/* ---- locks --------------------------------------------------------------------------------------- */

struct locks {
    struct tsm_lock shard, writer;
    struct tsm_wal_guard log;
};

static void release_locks(struct locks *l)
{
    tsm_wal_guard_release(&l->log);
    tsm_lock_release(&l->writer);
    tsm_lock_release(&l->shard);
}

/* The lock of the folder that the files are in. */
static int lock_files(struct tsm_repair *r, const char *dir, struct locks *l, struct tsm_err *err)
{
    char *path = tsm_path_shard_lock(dir);
    int rc = tsm_lock_take(r->fs, path, r->holder, &l->shard, err);
    tsm_free(path);
    return rc;
}

/* Those of a log folder: its own, and that of the writer, when the folder is in a data directory. */
static int lock_log(struct tsm_repair *r, const char *dir, struct locks *l, struct tsm_err *err)
{
    char *data = tsm_strdup(dir);
    for (int i = 0; i < LEVELS_TO_DATA_DIR; i++) {
        char *up = parent_of(data);
        tsm_free(data);
        data = up;
    }
    int rc = TSM_OK;
    if (tsm_is_data_dir(r->fs, data)) {
        char *path = tsm_path_lock(data);
        rc = tsm_lock_take(r->fs, path, r->holder, &l->writer, err);
        tsm_free(path);
    }
    tsm_free(data);
    return rc == TSM_OK ? tsm_wal_guard_take(r->fs, dir, &l->log, err) : rc;
}

/* ---- files --------------------------------------------------------------------------------------- */

static int repair_meta(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    enum { LIMIT = 1 << 30 };
    struct tsm_buf bytes = {0};
    struct tsm_meta meta = {0};
    struct tsm_err fault;
    int rc = tsm_fs_read_file(r->fs, path, LIMIT, &bytes, err);
    if (rc == TSM_OK && tsm_meta_decode(bytes.data, bytes.len, &meta, &fault) == TSM_ECORRUPT) {
        tsm_err_wrap(&fault, TSM_ECORRUPT, "%s", path);
        struct tsm_repaired what = {.path = path, .fault = fault.msg, .unit = "database", .left = true};
        rc = tsm_repair_report(r, &what, err);
    }
    tsm_meta_release(&meta);
    tsm_buf_release(&bytes);
    return rc;
}

typedef int repair_fn(struct tsm_repair *r, const char *path, struct tsm_err *err);

/* Who repairs a file of this name; *log: it is in a log folder. */
static repair_fn *find_kind(const char *name, bool *log)
{
    struct tsm_str s = tsm_str_of(name);
    *log = tsm_wal_name_parse(s, NULL) || tsm_influx_wal_name(s, NULL);
    if (*log)
        return tsm_wal_name_parse(s, NULL) ? tsm_repair_log : tsm_repair_influx_log;
    return ends_with(name, ".tsm")         ? tsm_repair_tsm
           : ends_with(name, ".tombstone") ? tsm_repair_tombstone
           : strcmp(name, "meta.db") == 0  ? repair_meta
                                           : NULL;
}

static int repair_file(struct tsm_repair *r, const char *path, repair_fn *repair, bool log,
                       struct tsm_err *err)
{
    struct locks l = {0};
    char *dir = parent_of(path);
    int rc = TSM_OK;
    if (!r->dry_run && repair != repair_meta)
        rc = log ? lock_log(r, dir, &l, err) : lock_files(r, dir, &l, err);
    if (rc == TSM_OK)
        rc = repair(r, path, err);
    r->files++;
    release_locks(&l);
    tsm_free(dir);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc; /* flushed or compacted since it was listed */
}

static int repair_dir(struct tsm_repair *r, const char *dir, unsigned depth, struct tsm_err *err)
{
    struct tsm_names names;
    if (depth == MAX_DEPTH)
        return tsm_err_set(err, TSM_ELIMIT, "%s: too many directories deep", dir);
    int rc = tsm_fs_list(r->fs, dir, &names, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        bool log, is = false;
        char *path = tsm_path_join(dir, names.names[i]);
        repair_fn *repair = find_kind(names.names[i], &log);
        rc = tsm_is_dir(r->fs, path, &is, err);
        if (rc == TSM_OK && is)
            rc = repair_dir(r, path, depth + 1, err);
        else if (rc == TSM_OK && repair)
            rc = repair_file(r, path, repair, log, err);
        tsm_free(path);
    }
    tsm_names_release(&names);
    return rc;
}

int tsm_repair_path(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    int e = r->fs->stat(r->fs->ctx, path, &st);
    if (e < 0)
        return tsm_err_sys(err, -e, "open %s", path);
    if (st.is_dir)
        return repair_dir(r, path, 0, err);
    bool log;
    repair_fn *repair = find_kind(base_name(path), &log);
    if (!repair)
        return tsm_err_set(err, TSM_EUSAGE,
                           "%s: neither a TSM file, tombstone, log segment or meta.db by its name", path);
    return repair_file(r, path, repair, log, err);
}
