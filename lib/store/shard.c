/* store/shard.c: opening a shard: its log, then its files, then their keys. */
#include "store/shard.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "store/log.h"
#include "store/shard_keys.h"
#include "base/banned.h"

enum { MAX_LISTINGS = 10 }; /* when compactions keep taking files away */

static struct tsm_shard *new_shard(const struct tsm_damage *damage)
{
    struct tsm_shard *s = tsm_calloc(1, sizeof *s);
    s->start = INT64_MIN;
    s->end = INT64_MAX;
    s->damage = damage;
    s->reported = tsm_reported_new();
    return s;
}

static void close_files(struct tsm_shard *s)
{
    for (size_t i = 0; i < s->nfiles; i++)
        tsm_reader_close(s->files[i]);
    tsm_free(s->files);
    s->files = NULL;
    s->nfiles = 0;
}

void tsm_shard_close(struct tsm_shard *s)
{
    if (!s)
        return;
    close_files(s);
    tsm_log_free(s->log);
    tsm_reported_free(s->reported);
    tsm_free(s->places);
    tsm_free(s->first);
    tsm_free(s);
}

/* Opens one more file behind the others; a damaged one may be left out. */
static int add_file(struct tsm_shard *s, const struct tsm_fs *fs, const char *path, struct tsm_err *err)
{
    struct tsm_reader *r;
    int rc = tsm_reader_open(fs, path, &r, err);
    if (rc == TSM_ECORRUPT)
        return tsm_damage_pass(s->damage, err);
    if (rc != TSM_OK)
        return rc;
    s->files[s->nfiles++] = r;
    uint64_t indexes = 0;
    for (size_t i = 0; i < s->nfiles; i++)
        indexes += s->files[i]->index_size;
    if (indexes > TSM_INDEXES_KEPT) /* they have been checked from end to end */
        tsm_reader_forget(r, 0, r->nkeys, false);
    return rc;
}

struct listed {
    struct tsm_file_name name;
    const char *text;
};

static int by_name(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    if (x->name.generation != y->name.generation)
        return x->name.generation < y->name.generation ? -1 : 1;
    return (x->name.level > y->name.level) - (x->name.level < y->name.level);
}

/* Lists the folder and opens its files, the newest first, as a delete works the other way: who sees it in a file sees it in all
 * older ones too, and no value that had been overwritten comes back. TSM_ENOTFOUND with *vanished: a file was gone before it could be
 * opened. */
static int open_listed(struct tsm_shard *s, const struct tsm_fs *fs, const char *dir, bool *vanished,
                       struct tsm_err *err)
{
    struct tsm_names names;
    *vanished = false;
    int rc = tsm_fs_list(fs, dir, &names, err);
    if (rc)
        return rc;
    struct listed *files = tsm_calloc(names.n, sizeof *files);
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++)
        if (tsm_file_name_parse(tsm_str_of(names.names[i]), ".tsm", &files[n].name))
            files[n++].text = names.names[i];
    tsm_sort(files, n, sizeof *files, by_name);
    s->files = tsm_calloc(n, sizeof(struct tsm_reader *));
    for (size_t i = n; i-- > 0 && rc == TSM_OK;) {
        struct tsm_buf path = {0};
        tsm_buf_printf(&path, "%s/%s", dir, files[i].text);
        rc = add_file(s, fs, tsm_buf_cstr(&path), err);
        *vanished = rc == TSM_ENOTFOUND;
        tsm_buf_release(&path);
    }
    for (size_t i = 0; i < s->nfiles / 2; i++) {
        struct tsm_reader *r = s->files[i];
        s->files[i] = s->files[s->nfiles - 1 - i];
        s->files[s->nfiles - 1 - i] = r;
    }
    tsm_free(files);
    tsm_names_release(&names);
    return rc;
}

static int open_folder(struct tsm_shard *s, const struct tsm_fs *fs, const char *dir, struct tsm_err *err)
{
    bool vanished;
    for (int i = 0; i < MAX_LISTINGS; i++) {
        int rc = open_listed(s, fs, dir, &vanished, err);
        if (!vanished)
            return rc;
        close_files(s);
    }
    err->code = TSM_EIO; /* a link to nothing: not to be taken for a folder that is not there */
    return TSM_EIO;
}

/* The number that a shard's folder has as its name; 0 for another name. */
static uint64_t id_of_path(const char *path)
{
    size_t end = strlen(path), start;
    while (end > 0 && path[end - 1] == '/')
        end--;
    uint64_t id = 0;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    for (size_t i = start; i < end; i++) {
        if (path[i] < '0' || path[i] > '9' || end - start > 19)
            return 0;
        id = id * 10 + (uint64_t)(path[i] - '0');
    }
    return id;
}

static int finish(struct tsm_shard *s, int rc, struct tsm_shard **out, struct tsm_err *err)
{
    if (rc == TSM_OK)
        rc = tsm_shard_unite_keys(s, err);
    if (rc) {
        tsm_shard_close(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

int tsm_shard_open(const struct tsm_fs *fs, const char *path, const char *wal_path,
                   const struct tsm_damage *damage, struct tsm_shard **out, struct tsm_err *err)
{
    struct tsm_err local;
    if (!err)
        err = &local;
    struct tsm_shard *s = new_shard(damage);
    s->id = id_of_path(path);
    int log = wal_path ? tsm_log_read(fs, wal_path, damage, &s->log, err) : TSM_ENOTFOUND;
    int rc = log == TSM_ENOTFOUND ? TSM_OK : log;
    struct tsm_fs_stat st;
    if (rc == TSM_OK && fs->stat(fs->ctx, path, &st) == 0 && !st.is_dir) {
        tsm_err_set(err, TSM_ECORRUPT, "%s: not a directory", path);
        rc = tsm_damage_pass(damage, err);
    } else if (rc == TSM_OK) {
        rc = open_folder(s, fs, path, err);
        if (rc == TSM_ENOTFOUND && log == TSM_OK) /* all was still in the log when that was read */
            rc = TSM_OK;
    }
    return finish(s, rc, out, err);
}

int tsm_shard_open_over(const struct tsm_fs *fs, const char *path, struct tsm_log *log,
                        const struct tsm_damage *damage, struct tsm_shard **out, struct tsm_err *err)
{
    struct tsm_err local;
    if (!err)
        err = &local;
    struct tsm_shard *s = new_shard(damage);
    s->id = id_of_path(path);
    s->log = log;
    int rc = open_folder(s, fs, path, err);
    if (rc == TSM_ENOTFOUND && log)
        rc = TSM_OK;
    return finish(s, rc, out, err);
}

int tsm_shard_open_files(const struct tsm_fs *fs, char *const *paths, size_t n,
                         const struct tsm_damage *damage, struct tsm_shard **out, struct tsm_err *err)
{
    struct tsm_err local;
    if (!err)
        err = &local;
    struct tsm_shard *s = new_shard(damage);
    int rc = TSM_OK;
    s->files = tsm_calloc(n, sizeof(struct tsm_reader *));
    for (size_t i = 0; i < n && rc == TSM_OK; i++)
        rc = add_file(s, fs, paths[i], err);
    return finish(s, rc, out, err);
}

const struct tsm_place *tsm_shard_places(const struct tsm_shard *s, size_t key, struct tsm_place *single,
                                         size_t *n)
{
    if (s->places) {
        *n = s->first[key + 1] - s->first[key];
        return &s->places[s->first[key]];
    }
    *single = (struct tsm_place){0, (uint32_t)key};
    *n = 1;
    return single;
}
