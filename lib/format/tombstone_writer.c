/* format/tombstone_writer.c: adding deletes to a tombstone file. */
#include "format/tombstone_writer.h"

#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/tombstone_impl.h"
#include "base/banned.h"

void tsm_tombstone_entry(struct tsm_buf *plain, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    size_t size = TSM_TOMBSTONE_LENGTH + key.n + TSM_TOMBSTONE_RANGE;
    uint8_t *p = tsm_buf_room(plain, size);
    tsm_put_be32(p, (uint32_t)key.n);
    memcpy(p + TSM_TOMBSTONE_LENGTH, key.p, key.n);
    tsm_put_be64(p + TSM_TOMBSTONE_LENGTH + key.n, (uint64_t)tmin);
    tsm_put_be64(p + TSM_TOMBSTONE_LENGTH + key.n + 8, (uint64_t)tmax);
    plain->len += size;
}

int tsm_tombstone_pack(struct tsm_str plain, struct tsm_buf *member, struct tsm_err *err)
{
    z_stream z = {.zalloc = tsm_zlib_alloc, .zfree = tsm_zlib_free};
    /* An entry mostly repeats the one before it: a higher level finds hardly more, and takes several times as long. */
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return tsm_err_set(err, TSM_ELIMIT, "zlib cannot be used");
    uLong bound = deflateBound(&z, plain.n);
    z.next_in = (Bytef *)(uintptr_t)plain.p;
    z.avail_in = (uInt)plain.n;
    z.next_out = tsm_buf_room(member, bound);
    z.avail_out = (uInt)bound;
    int s = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    if (s != Z_STREAM_END)
        return tsm_err_set(err, TSM_ELIMIT, "zlib could not pack %zu bytes", plain.n);
    member->len += bound - z.avail_out;
    return TSM_OK;
}

/* The members that the file has. TSM_ENOTFOUND: there is no file, or an older one without members. */
static int copy_members(struct tsm_tombstone_writer *w, struct tsm_err *err)
{
    struct tsm_map_file m;
    int rc = tsm_map_open(w->file.fs, w->path, &m, err);
    if (rc != TSM_OK)
        return rc;
    uint32_t version = m.size > TSM_TOMBSTONE_HEADER ? tsm_get_be32(m.data) : 0;
    if (version != TSM_TOMBSTONE_VERSION_3 && version != TSM_TOMBSTONE_VERSION_4)
        rc = TSM_ENOTFOUND;
    else
        rc = tsm_file_write(&w->file, m.data + TSM_TOMBSTONE_HEADER, m.size - TSM_TOMBSTONE_HEADER, err);
    tsm_map_close(&m);
    return rc;
}

/* What the file holds. */
static int keep_old(struct tsm_tombstone_writer *w, const struct tsm_tombstones *old, size_t more,
                    struct tsm_err *err)
{
    enum { FEW = 1 << 16 };
    bool wasteful = old->entries > FEW && old->entries / 2 > old->n;
    int rc = TSM_ENOTFOUND;
    if (!wasteful && old->entries + more <= TSM_TOMBSTONE_ENTRIES)
        rc = copy_members(w, err);
    return rc == TSM_ENOTFOUND ? tsm_tombstone_writer_list(w, old, err) : rc;
}

int tsm_tombstone_writer_create(const struct tsm_fs *fs, const char *path, struct tsm_tombstone_writer *w,
                                struct tsm_err *err)
{
    uint8_t header[TSM_TOMBSTONE_HEADER];
    struct tsm_buf tmp = {0};
    *w = (struct tsm_tombstone_writer){0};
    tsm_buf_printf(&tmp, "%s.tmp", path);
    int rc = tsm_file_create(fs, tsm_buf_cstr(&tmp), &w->file, err);
    tsm_buf_release(&tmp);
    if (rc != TSM_OK)
        return rc;
    w->path = tsm_strdup(path);
    tsm_put_be32(header, TSM_TOMBSTONE_VERSION_4);
    rc = tsm_file_write(&w->file, header, sizeof header, err);
    if (rc != TSM_OK)
        tsm_tombstone_writer_abandon(w);
    return rc;
}

int tsm_tombstone_writer_open(const struct tsm_fs *fs, const char *path, const struct tsm_tombstones *old,
                              size_t more, struct tsm_tombstone_writer *w, struct tsm_err *err)
{
    *w = (struct tsm_tombstone_writer){0};
    if (old->n > TSM_TOMBSTONE_ENTRIES || more > TSM_TOMBSTONE_ENTRIES - old->n)
        return tsm_err_set(err, TSM_ELIMIT, "%s: more than %d tombstones; compact the shard first", path,
                           TSM_TOMBSTONE_ENTRIES);
    int rc = tsm_tombstone_writer_create(fs, path, w, err);
    if (rc == TSM_OK && old->n > 0)
        rc = keep_old(w, old, more, err);
    if (rc != TSM_OK)
        tsm_tombstone_writer_abandon(w);
    return rc;
}

int tsm_tombstone_writer_list(struct tsm_tombstone_writer *w, const struct tsm_tombstones *t,
                              struct tsm_err *err)
{
    struct tsm_buf plain = {0}, member = {0};
    int rc = TSM_OK;
    for (size_t i = 0; (i < t->n || i == 0) && rc == TSM_OK;
         i++) { /* one member at least: the format asks for it */
        if (i < t->n)
            tsm_tombstone_entry(&plain, t->items[i].key, t->items[i].tmin, t->items[i].tmax);
        if (plain.len < TSM_TOMBSTONE_MEMBER && i + 1 < t->n)
            continue;
        rc = tsm_tombstone_pack(tsm_buf_view(&plain), &member, err);
        if (rc == TSM_OK)
            rc = tsm_tombstone_writer_add(w, &member, err);
        tsm_buf_reset(&plain);
        tsm_buf_reset(&member);
    }
    tsm_buf_release(&plain);
    tsm_buf_release(&member);
    return rc;
}

int tsm_tombstone_writer_add(struct tsm_tombstone_writer *w, const struct tsm_buf *member,
                             struct tsm_err *err)
{
    return tsm_file_write(&w->file, member->data, member->len, err);
}

int tsm_tombstone_writer_finish(struct tsm_tombstone_writer *w, char **tmp, struct tsm_err *err)
{
    const struct tsm_fs *fs = w->file.fs;
    char *path = tsm_strdup(w->file.path);
    int rc = tsm_file_finish(&w->file, err);
    tsm_tombstone_writer_abandon(w);
    *tmp = rc == TSM_OK ? path : NULL;
    if (rc != TSM_OK) {
        fs->unlink(fs->ctx, path);
        tsm_free(path);
    }
    return rc;
}

int tsm_tombstone_writer_install(struct tsm_tombstone_writer *w, struct tsm_err *err)
{
    int rc = tsm_file_install(&w->file, w->path, err);
    tsm_free(w->path);
    *w = (struct tsm_tombstone_writer){0};
    return rc;
}

void tsm_tombstone_writer_abandon(struct tsm_tombstone_writer *w)
{
    tsm_file_abandon(&w->file);
    tsm_free(w->path);
    *w = (struct tsm_tombstone_writer){0};
}
