/* cluster/snapshot.c: meta.db and the list of files. */
#include "cluster/snapshot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    VERSION = 1,
    SHARD_MIN = 4, /* bytes of the smallest shard and file, which bound how many there can be */
    FILE_MIN = 11,
};

void tsm_snapshot_release(struct tsm_snapshot *s)
{
    for (size_t i = 0; i < s->n; i++)
        tsm_free(s->shards[i].files);
    tsm_free(s->shards);
    tsm_arena_release(&s->arena);
    *s = (struct tsm_snapshot){0};
}

static struct tsm_snapshot_shard *add_shard(struct tsm_snapshot *s)
{
    TSM_GROW(s->shards, s->n + 1, s->cap);
    s->shards[s->n] = (struct tsm_snapshot_shard){0};
    return &s->shards[s->n++];
}

/* ---- bytes ---- */

static void add_varint(struct tsm_buf *out, uint64_t v)
{
    out->len += tsm_put_uvarint(tsm_buf_room(out, TSM_VARINT_MAX), v);
}

static void add_text(struct tsm_buf *out, struct tsm_str s)
{
    add_varint(out, s.n);
    tsm_buf_str(out, s);
}

void tsm_snapshot_encode(const struct tsm_snapshot *s, struct tsm_buf *out)
{
    tsm_buf_byte(out, VERSION);
    add_varint(out, s->index);
    add_text(out, s->meta);
    add_varint(out, s->n);
    for (size_t i = 0; i < s->n; i++) {
        const struct tsm_snapshot_shard *shard = &s->shards[i];
        add_text(out, shard->db);
        add_text(out, shard->rp);
        add_varint(out, shard->shard);
        add_varint(out, shard->n);
        for (size_t j = 0; j < shard->n; j++) {
            const struct tsm_snapshot_file *f = &shard->files[j];
            add_text(out, f->name);
            add_varint(out, f->size);
            add_varint(out, tsm_zigzag(f->mtime));
            tsm_put_be64(tsm_buf_room(out, 8), f->digest);
            out->len += 8;
        }
    }
}

struct decoder {
    const uint8_t *p, *end;
    bool bad;
};

static uint64_t get_varint(struct decoder *d)
{
    uint64_t v = 0;
    size_t n = d->bad ? 0 : tsm_get_uvarint(d->p, (size_t)(d->end - d->p), &v);
    d->bad |= n == 0;
    d->p += n;
    return d->bad ? 0 : v;
}

static struct tsm_str get_text(struct decoder *d)
{
    uint64_t n = get_varint(d);
    d->bad |= n > (size_t)(d->end - d->p);
    if (d->bad)
        return tsm_str(NULL, 0);
    d->p += n;
    return tsm_str((const char *)d->p - n, n);
}

/* A number of things that have at least so many bytes each. */
static size_t get_count(struct decoder *d, size_t least)
{
    uint64_t n = get_varint(d);
    d->bad |= n > (size_t)(d->end - d->p) / least;
    return d->bad ? 0 : n;
}

static void get_file(struct decoder *d, struct tsm_snapshot_file *f)
{
    f->name = get_text(d);
    f->size = get_varint(d);
    f->mtime = tsm_unzigzag(get_varint(d));
    d->bad |= d->end - d->p < 8;
    if (d->bad)
        return;
    f->digest = tsm_get_be64(d->p);
    d->p += 8;
}

static void get_shard(struct decoder *d, struct tsm_snapshot_shard *s)
{
    s->db = get_text(d);
    s->rp = get_text(d);
    s->shard = get_varint(d);
    size_t n = get_count(d, FILE_MIN);
    TSM_GROW(s->files, n, s->cap);
    for (size_t i = 0; i < n && !d->bad; i++)
        get_file(d, &s->files[s->n++]);
}

int tsm_snapshot_decode(const uint8_t *p, size_t len, struct tsm_snapshot *s, struct tsm_err *err)
{
    *s = (struct tsm_snapshot){0};
    struct decoder d = {p, p + len, false};
    if (len == 0 || *d.p++ != VERSION)
        return tsm_err_set(err, TSM_ECORRUPT, "snapshot: unknown version");
    s->index = get_varint(&d);
    s->meta = get_text(&d);
    size_t n = get_count(&d, SHARD_MIN);
    for (size_t i = 0; i < n && !d.bad; i++)
        get_shard(&d, add_shard(s));
    if (!d.bad && d.p == d.end)
        return TSM_OK;
    tsm_snapshot_release(s);
    return tsm_err_set(err, TSM_ECORRUPT, "snapshot: bad bytes at offset %zu", (size_t)(d.p - p));
}

/* ---- files ---- */

struct listing {
    const struct tsm_fs *fs;
    const char *dir;
    const struct tsm_snapshot *before;
    uint64_t budget;
    struct tsm_snapshot *out;
};

static bool is_wanted(struct tsm_str name)
{
    static const char *const ends[] = {".tsm", ".tombstone"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct tsm_str end = tsm_str_of(ends[i]);
        if (name.n > end.n && memcmp(name.p + name.n - end.n, end.p, end.n) == 0)
            return true;
    }
    return false;
}

static const struct tsm_snapshot_shard *find_before(const struct tsm_snapshot *before,
                                                    const struct tsm_snapshot_shard *s)
{
    for (size_t i = 0; before && i < before->n; i++)
        if (before->shards[i].shard == s->shard && tsm_str_eq(before->shards[i].db, s->db) &&
            tsm_str_eq(before->shards[i].rp, s->rp))
            return &before->shards[i];
    return NULL;
}

static uint64_t known_digest(const struct tsm_snapshot_shard *before, const struct tsm_snapshot_file *f)
{
    size_t lo = 0, hi = before ? before->n : 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = tsm_str_cmp(before->files[mid].name, f->name);
        if (c == 0)
            return before->files[mid].size == f->size && before->files[mid].mtime == f->mtime
                       ? before->files[mid].digest
                       : 0;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

/* A file that cannot be read, or has gone, has none. */
static uint64_t digest_of(struct listing *l, const char *path, uint64_t size)
{
    struct tsm_map_file map;
    if (size > l->budget || tsm_map_open(l->fs, path, &map, NULL) != TSM_OK)
        return 0;
    l->budget -= size;
    uint64_t digest = map.size == size ? XXH3_64bits(map.data, map.size) : 0;
    tsm_map_forget(&map, 0, map.size);
    tsm_map_close(&map);
    return digest;
}

static int list_shard(struct listing *l, struct tsm_str db, struct tsm_str rp, uint64_t id,
                      struct tsm_err *err)
{
    char *path = tsm_path_shard(l->dir, db, rp, id);
    struct tsm_names names = {0};
    int rc = tsm_fs_list(l->fs, path, &names, err);
    struct tsm_snapshot_shard *s = NULL;
    const struct tsm_snapshot_shard *before = NULL;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        struct tsm_str name = tsm_str_of(names.names[i]);
        if (!is_wanted(name))
            continue;
        struct tsm_fs_stat st;
        char *file = tsm_path_join(path, names.names[i]);
        if (l->fs->stat(l->fs->ctx, file, &st) == 0 && !st.is_dir && !st.is_special) {
            if (!s) {
                s = add_shard(l->out);
                s->db = tsm_arena_str(&l->out->arena, db);
                s->rp = tsm_arena_str(&l->out->arena, rp);
                s->shard = id;
                before = find_before(l->before, s);
            }
            TSM_GROW(s->files, s->n + 1, s->cap);
            struct tsm_snapshot_file *f = &s->files[s->n++];
            *f = (struct tsm_snapshot_file){tsm_arena_str(&l->out->arena, name), st.size, 0, st.mtime};
            f->digest = known_digest(before, f);
            if (!f->digest)
                f->digest = digest_of(l, file, st.size);
        }
        tsm_free(file);
    }
    tsm_names_release(&names);
    tsm_free(path);
    return rc == TSM_ENOTFOUND ? TSM_OK : rc;
}

int tsm_snapshot_list(const struct tsm_fs *fs, const char *dir, const struct tsm_meta *meta,
                      const struct tsm_snapshot *before, uint64_t budget, struct tsm_snapshot *s,
                      struct tsm_err *err)
{
    struct listing l = {fs, dir, before, budget, s};
    int rc = TSM_OK;
    for (size_t i = 0; i < meta->ndatabases; i++) {
        const struct tsm_database *db = &meta->databases[i];
        for (size_t j = 0; j < db->nrps; j++) {
            const struct tsm_rp *rp = &db->rps[j];
            for (size_t k = 0; k < rp->ngroups; k++) {
                if (rp->groups[k].deleted_at)
                    continue;
                for (size_t m = 0; m < rp->groups[k].nshards && rc == TSM_OK; m++)
                    rc = list_shard(&l, db->name, rp->name, rp->groups[k].shards[m], err);
            }
        }
    }
    return rc;
}
