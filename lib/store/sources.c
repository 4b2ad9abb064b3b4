/* store/sources.c: finding the shards that operands stand for. */
#include "store/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/sort.h"
#include "format/influx_wal.h"
#include "format/wal.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { MAX_DEPTH = 16 }; /* of directories; also ends a loop of links */

#define SERIES_DIR "_series" /* beside the policies of a database: influxd's series file */

bool tsm_is_data_dir(const struct tsm_fs *fs, const char *dir)
{
    char *data = tsm_path_join(dir, "data"), *meta = tsm_path_meta(dir);
    bool is = tsm_fs_exists(fs, data) || tsm_fs_exists(fs, meta);
    tsm_free(data);
    tsm_free(meta);
    return is;
}

static const char *keep(struct tsm_sources *s, const char *text)
{
    return tsm_arena_str(&s->arena, tsm_str_of(text)).p;
}

static struct tsm_source *add(struct tsm_sources *s)
{
    TSM_GROW(s->items, s->n + 1, s->cap);
    s->items[s->n] = (struct tsm_source){0};
    return &s->items[s->n++];
}

int tsm_is_dir(const struct tsm_fs *fs, const char *path, bool *is, struct tsm_err *err)
{
    struct tsm_fs_stat st = {0};
    int e = fs->stat(fs->ctx, path, &st);
    *is = e == 0 && st.is_dir;
    return e == 0 || e == -ENOENT ? TSM_OK : tsm_err_sys(err, -e, "open %s", path);
}

/* ---- a data directory ---------------------------------------------------------------------------------- */

/* The directories of dir; a missing one has none. */
static int list_dirs(const struct tsm_fs *fs, const char *dir, struct tsm_names *out, struct tsm_err *err)
{
    int r = tsm_fs_list(fs, dir, out, err);
    if (r == TSM_ENOTFOUND) {
        *out = (struct tsm_names){0};
        return TSM_OK;
    }
    if (r != TSM_OK)
        return r;
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++) {
        bool is = false;
        char *path = tsm_path_join(dir, out->names[i]);
        if (r == TSM_OK)
            r = tsm_is_dir(fs, path, &is, err);
        if (is && strcmp(out->names[i], SERIES_DIR) != 0)
            out->names[n++] = out->names[i];
        else
            tsm_free(out->names[i]);
        tsm_free(path);
    }
    out->n = n;
    if (r != TSM_OK)
        tsm_names_release(out);
    return r;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that are in the folder below data, below wal or both, each once. tail: "", "/DB" or "/DB/RP". */
static int list_both(const struct tsm_fs *fs, const char *dir, const char *tail, struct tsm_names *out,
                     struct tsm_err *err)
{
    *out = (struct tsm_names){0};
    static const char *const tops[] = {"data", "wal"};
    for (size_t i = 0; i < 2; i++) {
        struct tsm_buf path = {0};
        struct tsm_names l;
        tsm_buf_printf(&path, "%s/%s%s", dir, tops[i], tail);
        int r = list_dirs(fs, tsm_buf_cstr(&path), &l, err);
        tsm_buf_release(&path);
        if (r != TSM_OK) {
            tsm_names_release(out);
            return r;
        }
        for (size_t j = 0; j < l.n; j++) {
            TSM_GROW(out->names, out->n + 1, out->cap);
            out->names[out->n++] = l.names[j];
        }
        tsm_free(l.names);
    }
    tsm_sort(out->names, out->n, sizeof *out->names, compare_names);
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (n && strcmp(out->names[n - 1], out->names[i]) == 0)
            tsm_free(out->names[i]);
        else
            out->names[n++] = out->names[i];
    }
    out->n = n;
    return TSM_OK;
}

static int compare_sources(const void *a, const void *b)
{
    const struct tsm_source *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int add_policy(const struct tsm_fs *fs, const char *dir, const char *db, const char *rp,
                      struct tsm_sources *s, struct tsm_err *err)
{
    struct tsm_buf tail = {0};
    tsm_buf_printf(&tail, "/%s/%s", db, rp);
    struct tsm_names l;
    int r = list_both(fs, dir, tsm_buf_cstr(&tail), &l, err);
    tsm_buf_release(&tail);
    if (r != TSM_OK)
        return r;
    size_t first = s->n;
    struct tsm_str db_name = tsm_str_of(keep(s, db)), rp_name = tsm_str_of(keep(s, rp));
    for (size_t i = 0; i < l.n && r == TSM_OK; i++) {
        uint64_t id;
        bool has_wal;
        if (!tsm_parse_uint(tsm_str_of(l.names[i]), &id) || l.names[i][0] == '0')
            continue;
        struct tsm_source *source = add(s);
        char *path = tsm_path_shard(dir, db_name, rp_name, id),
             *wal = tsm_path_wal(dir, db_name, rp_name, id);
        *source = (struct tsm_source){.db = db_name, .rp = rp_name, .id = id, .path = keep(s, path)};
        r = tsm_is_dir(fs, wal, &has_wal, err);
        if (r == TSM_OK && has_wal)
            source->wal = keep(s, wal);
        tsm_free(path);
        tsm_free(wal);
    }
    tsm_names_release(&l);
    tsm_sort(s->items + first, s->n - first, sizeof *s->items, compare_sources);
    return r;
}

static bool is_wanted(const char *name, struct tsm_str filter)
{
    return filter.n == 0 || tsm_str_eq(tsm_str_of(name), filter);
}

static int add_database(const struct tsm_fs *fs, const char *dir, const char *db, struct tsm_str rp,
                        struct tsm_sources *s, struct tsm_err *err)
{
    struct tsm_buf tail = {0};
    tsm_buf_printf(&tail, "/%s", db);
    struct tsm_names l;
    int r = list_both(fs, dir, tsm_buf_cstr(&tail), &l, err);
    tsm_buf_release(&tail);
    if (r != TSM_OK)
        return r;
    for (size_t i = 0; i < l.n && r == TSM_OK; i++)
        if (is_wanted(l.names[i], rp))
            r = add_policy(fs, dir, db, l.names[i], s, err);
    tsm_names_release(&l);
    return r;
}

static int add_data_dir(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                        struct tsm_sources *s, struct tsm_err *err)
{
    struct tsm_names l;
    size_t before = s->n;
    int r = list_both(fs, dir, "", &l, err);
    if (r != TSM_OK)
        return r;
    for (size_t i = 0; i < l.n && r == TSM_OK; i++)
        if (is_wanted(l.names[i], db))
            r = add_database(fs, dir, l.names[i], rp, s, err);
    tsm_names_release(&l);
    if (r == TSM_OK && s->n == before && db.n + rp.n > 0)
        return tsm_err_set(err, TSM_ENOTFOUND, "%s: no shards of %s%.*s%s%.*s", dir, db.n ? "database " : "",
                           (int)db.n, db.n ? db.p : "", rp.n ? (db.n ? ", policy " : "policy ") : "",
                           (int)rp.n, rp.n ? rp.p : "");
    return r;
}

/* ---- other directories and files ----------------------------------------------------------------------- */

static bool has_tsm(const struct tsm_names *l)
{
    struct tsm_file_name name;
    for (size_t i = 0; i < l->n; i++)
        if (tsm_file_name_parse(tsm_str_of(l->names[i]), ".tsm", &name))
            return true;
    return false;
}

static bool has_log(const struct tsm_names *l)
{
    uint32_t id;
    for (size_t i = 0; i < l->n; i++)
        if (tsm_influx_wal_name(tsm_str_of(l->names[i]), &id) ||
            tsm_wal_name_parse(tsm_str_of(l->names[i]), NULL))
            return true;
    return false;
}

static int add_tree(const struct tsm_fs *fs, const char *dir, unsigned depth, struct tsm_sources *s,
                    struct tsm_err *err)
{
    struct tsm_names l;
    if (depth == MAX_DEPTH)
        return tsm_err_set(err, TSM_ELIMIT, "%s: too many directories deep", dir);
    int r = tsm_fs_list(fs, dir, &l, err);
    if (r != TSM_OK)
        return r;
    if (has_tsm(&l) || has_log(&l)) {
        struct tsm_source *source = add(s);
        source->path = keep(s, dir);
        source->wal = has_log(&l) ? source->path : NULL;
    }
    for (size_t i = 0; i < l.n && r == TSM_OK; i++) {
        bool is;
        char *path = tsm_path_join(dir, l.names[i]);
        r = tsm_is_dir(fs, path, &is, err);
        if (r == TSM_OK && is)
            r = add_tree(fs, path, depth + 1, s, err);
        tsm_free(path);
    }
    tsm_names_release(&l);
    return r;
}

/* All files make one shard, wherever they come among the operands. */
static void add_file(const char *path, struct tsm_sources *s)
{
    struct tsm_source *loose = NULL;
    for (size_t i = 0; i < s->n && !loose; i++)
        if (!s->items[i].path)
            loose = &s->items[i];
    if (!loose)
        loose = add(s);
    if ((loose->nfiles & (loose->nfiles - 1)) == 0) { /* full: its room is the next power of two */
        char **files = tsm_arena_alloc(&s->arena, (2 * loose->nfiles + 1) * sizeof *files);
        if (loose->nfiles)
            memcpy(files, loose->files, loose->nfiles * sizeof *files);
        loose->files = files;
    }
    loose->files[loose->nfiles++] = tsm_arena_printf(&s->arena, "%s", path);
}

int tsm_sources_add(const struct tsm_fs *fs, const char *path, struct tsm_str db, struct tsm_str rp,
                    struct tsm_sources *s, struct tsm_err *err)
{
    struct tsm_fs_stat st;
    int e = fs->stat(fs->ctx, path, &st);
    if (e < 0)
        return tsm_err_sys(err, -e, "open %s", path);
    if (st.is_dir && tsm_is_data_dir(fs, path))
        return add_data_dir(fs, path, db, rp, s, err);
    if (!st.is_dir) {
        add_file(path, s);
        return TSM_OK;
    }
    size_t before = s->n;
    int r = add_tree(fs, path, 0, s, err);
    if (r == TSM_OK && s->n == before)
        return tsm_err_set(err, TSM_ENOTFOUND, "%s: neither a data directory nor one with TSM files", path);
    return r;
}

void tsm_sources_release(struct tsm_sources *s)
{
    tsm_free(s->items);
    tsm_arena_release(&s->arena);
    *s = (struct tsm_sources){0};
}

int tsm_source_open(const struct tsm_fs *fs, const struct tsm_source *s, const struct tsm_damage *damage,
                    struct tsm_shard **shard, struct tsm_err *err)
{
    if (s->nfiles)
        return tsm_shard_open_files(fs, s->files, s->nfiles, damage, shard, err);
    return tsm_shard_open(fs, s->path, s->wal, damage, shard, err);
}
