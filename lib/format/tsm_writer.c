/*
 * format/tsm_writer.c: writing one TSM file.
 *
 * Blocks go straight to the file; the index is built in memory in the very bytes that it has on disk. When
 * it gets too long, what is finished of it goes to a second temporary file, and its digest is kept as it goes.
 * Invariants: w->index ends with the record of the current key, whose count of entries is kept up to
 * date in place; before it are the finished records that are not in the second file yet; w->file.size is where the
 * next block goes.
 */
#include "format/tsm_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/buf.h"
#include "format/series_key.h"
#include "base/banned.h"

enum {
    KEY_OVERHEAD = 2 + 1 + 2, /* length, type, count */
    CRC_SIZE = 4,
    PIECE = 256 << 10, /* in which a spilled index is read back */
    NOT_SPILLED = -1,
};

/* InfluxDB keeps 32-bit signed offsets into the index. */
#define MAX_INDEX_SIZE ((size_t)INT32_MAX)

/* The part of the index that is in a file of its own. */
struct spill {
    int fd; /* NOT_SPILLED: there is none */
    char *path;
    size_t len;
    XXH3_state_t *digest; /* of its bytes; aligned inside memory */
    void *memory;
};

struct tsm_writer {
    struct tsm_file file;
    char *path, *tmp;
    struct tsm_buf index;
    size_t limit; /* of the memory for it */
    struct spill spill;
    struct tsm_buf origins; /* in the bytes that they have on disk */
    size_t record;          /* where the current key's record starts in index */
    uint32_t nentries;      /* of the current key */
    bool any;               /* a key was given */
    bool finished;          /* the file is closed, under its temporary name */
    int64_t tmax;           /* of the current key's last block */
};

int tsm_writer_open(const struct tsm_fs *fs, const char *path, struct tsm_writer **out, struct tsm_err *err)
{
    *out = NULL;
    struct tsm_buf tmp = {0};
    tsm_buf_printf(&tmp, "%s.tmp", path);
    struct tsm_writer *w = tsm_calloc(1, sizeof *w);
    int r = tsm_file_create(fs, tsm_buf_cstr(&tmp), &w->file, err);
    tsm_buf_release(&tmp);
    if (r != TSM_OK) {
        tsm_free(w);
        return r;
    }
    w->path = tsm_strdup(path);
    w->tmp = tsm_strdup(w->file.path);
    w->limit = SIZE_MAX;
    w->spill.fd = NOT_SPILLED;

    uint8_t header[TSM_HEADER_SIZE];
    tsm_put_be32(header, TSM_MAGIC);
    header[4] = TSM_VERSION;
    r = tsm_file_write(&w->file, header, sizeof header, err);
    if (r != TSM_OK) {
        tsm_writer_abandon(w);
        return r;
    }
    *out = w;
    return TSM_OK;
}

void tsm_writer_limit_memory(struct tsm_writer *w, size_t bytes)
{
    w->limit = bytes / 2; /* the buffer doubles as it grows */
}

void tsm_writer_origins(struct tsm_writer *w, const struct tsm_origin *origins, size_t n)
{
    tsm_buf_reset(&w->origins);
    if (n == 0)
        return;
    uint8_t *p = tsm_buf_room(&w->origins, TSM_ORIGINS_SIZE + n * TSM_ORIGIN_SIZE);
    memcpy(p, TSM_ORIGINS_MAGIC, 8);
    tsm_put_be32(p + 8, (uint32_t)n);
    w->origins.len = 12;
    for (size_t i = 0; i < n; i++, w->origins.len += TSM_ORIGIN_SIZE) {
        p = w->origins.data + w->origins.len;
        tsm_put_be32(p, origins[i].name.generation);
        tsm_put_be32(p + 4, origins[i].name.level);
        tsm_put_be64(p + 8, origins[i].size);
        tsm_put_be64(p + 16, origins[i].digest);
    }
    tsm_put_be64(w->origins.data + w->origins.len, XXH3_64bits(w->origins.data, w->origins.len));
    w->origins.len += 8;
}

/* ---- a part of the index in a file of its own ---- */

static int open_spill(struct tsm_writer *w, struct tsm_err *err)
{
    struct spill *s = &w->spill;
    struct tsm_buf path = {0};
    tsm_buf_printf(&path, "%s.index.tmp", w->path);
    int fd = w->file.fs->open(w->file.fs->ctx, tsm_buf_cstr(&path), O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        int rc = tsm_err_sys(err, -fd, "create %s", tsm_buf_cstr(&path));
        tsm_buf_release(&path);
        return rc;
    }
    s->fd = fd;
    s->path = tsm_buf_detach(&path, NULL);
    enum { ALIGNMENT = 64 };
    s->memory = tsm_alloc(sizeof *s->digest + ALIGNMENT);
    s->digest = (XXH3_state_t *)(((uintptr_t)s->memory + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    XXH3_64bits_reset(s->digest);
    return TSM_OK;
}

/* Moves the whole of w->index there; no record is unfinished now. */
static int spill_index(struct tsm_writer *w, struct tsm_err *err)
{
    struct spill *s = &w->spill;
    const struct tsm_fs *fs = w->file.fs;
    if (s->fd == NOT_SPILLED) {
        int rc = open_spill(w, err);
        if (rc != TSM_OK)
            return rc;
    }
    for (size_t at = 0; at < w->index.len;) {
        ssize_t n = fs->write(fs->ctx, s->fd, w->index.data + at, w->index.len - at);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return tsm_err_sys(err, n < 0 ? (int)-n : EIO, "write %s", s->path);
        at += (size_t)n;
    }
    XXH3_64bits_update(s->digest, w->index.data, w->index.len);
    s->len += w->index.len;
    tsm_buf_reset(&w->index);
    return TSM_OK;
}

/* Appends what was spilled to the file. */
static int take_back(struct tsm_writer *w, struct tsm_err *err)
{
    struct spill *s = &w->spill;
    const struct tsm_fs *fs = w->file.fs;
    uint8_t *piece = tsm_alloc(PIECE);
    int rc = TSM_OK;
    for (size_t at = 0; at < s->len && rc == TSM_OK;) {
        ssize_t n = fs->pread(fs->ctx, s->fd, piece, s->len - at < PIECE ? s->len - at : PIECE, (off_t)at);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            rc = tsm_err_sys(err, n < 0 ? (int)-n : EIO, "read %s", s->path);
        else
            rc = tsm_file_write(&w->file, piece, (size_t)n, err);
        at += n > 0 ? (size_t)n : 0;
    }
    tsm_free(piece);
    return rc;
}

static void remove_spill(struct tsm_writer *w)
{
    struct spill *s = &w->spill;
    const struct tsm_fs *fs = w->file.fs;
    if (s->fd == NOT_SPILLED)
        return;
    fs->close(fs->ctx, s->fd);
    fs->unlink(fs->ctx, s->path);
    tsm_free(s->path);
    tsm_free(s->memory);
    *s = (struct spill){.fd = NOT_SPILLED};
}

/* ---- keys and blocks ---- */

static struct tsm_str current_key(const struct tsm_writer *w)
{
    const uint8_t *p = w->index.data + w->record;
    return tsm_str((const char *)p + 2, tsm_get_be16(p));
}

static int start_key(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, struct tsm_err *err)
{
    if (key.n > TSM_KEY_MAX)
        return tsm_err_set(err, TSM_ELIMIT, "%s: key of %zu bytes, more than %d", w->path, key.n,
                           TSM_KEY_MAX);
    if (key.n == 0)
        return tsm_err_set(err, TSM_ELIMIT, "%s: empty key", w->path);
    if (w->any && tsm_str_cmp(current_key(w), key) > 0)
        return tsm_err_set(err, TSM_ECORRUPT, "%s: key '%.*s' is not after the one before", w->path,
                           (int)(key.n < 200 ? key.n : 200), key.p);
    if (w->index.len > w->limit) {
        int rc = spill_index(w, err);
        if (rc != TSM_OK)
            return rc;
    }
    w->record = w->index.len;
    w->any = true;
    w->nentries = 0;
    uint8_t *p = tsm_buf_room(&w->index, key.n + KEY_OVERHEAD);
    tsm_put_be16(p, (uint16_t)key.n);
    memcpy(p + 2, key.p, key.n);
    p[2 + key.n] = (uint8_t)type;
    tsm_put_be16(p + 3 + key.n, 0);
    w->index.len += key.n + KEY_OVERHEAD;
    return TSM_OK;
}

/* Adds the index entry of a block of size bytes (with its CRC) that goes to the end of the file. */
static int add_entry(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, int64_t tmin, int64_t tmax,
                     size_t size, struct tsm_err *err)
{
    if (tmin > tmax || size > UINT32_MAX || size <= CRC_SIZE)
        return tsm_err_set(err, TSM_ELIMIT, "%s: block of %zu bytes from %lld to %lld", w->path, size,
                           (long long)tmin, (long long)tmax);
    if (w->spill.len + w->index.len + KEY_OVERHEAD + key.n + TSM_ENTRY_SIZE > MAX_INDEX_SIZE)
        return tsm_err_set(err, TSM_ELIMIT, "%s: index of more than 2 GiB", w->path);
    if (!w->any || !tsm_str_eq(current_key(w), key)) {
        int r = start_key(w, key, type, err);
        if (r != TSM_OK)
            return r;
    } else if (tmin <= w->tmax) {
        return tsm_err_set(err, TSM_ECORRUPT, "%s: block of key '%.*s' is not after the one before", w->path,
                           (int)(key.n < 200 ? key.n : 200), key.p);
    } else if (w->index.data[w->record + 2 + key.n] != (uint8_t)type) {
        return tsm_err_set(err, TSM_ECONFLICT, "%s: two types for key '%.*s'", w->path,
                           (int)(key.n < 200 ? key.n : 200), key.p);
    } else if (w->nentries == TSM_MAX_ENTRIES) {
        return tsm_err_set(err, TSM_ELIMIT, "%s: more than %d blocks for one key", w->path, TSM_MAX_ENTRIES);
    }
    uint8_t *p = tsm_buf_room(&w->index, TSM_ENTRY_SIZE);
    tsm_put_be64(p, (uint64_t)tmin);
    tsm_put_be64(p + 8, (uint64_t)tmax);
    tsm_put_be64(p + 16, w->file.size);
    tsm_put_be32(p + 24, (uint32_t)size);
    w->index.len += TSM_ENTRY_SIZE;
    w->nentries++;
    tsm_put_be16(w->index.data + w->record + 3 + key.n, (uint16_t)w->nentries);
    w->tmax = tmax;
    return TSM_OK;
}

int tsm_writer_block(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, int64_t tmin, int64_t tmax,
                     const uint8_t *block, size_t len, struct tsm_err *err)
{
    int r = add_entry(w, key, type, tmin, tmax, len + CRC_SIZE, err);
    if (r != TSM_OK)
        return r;
    uint8_t crc[CRC_SIZE];
    tsm_put_be32(crc, (uint32_t)crc32_z(0, block, len));
    r = tsm_file_write(&w->file, crc, sizeof crc, err);
    return r != TSM_OK ? r : tsm_file_write(&w->file, block, len, err);
}

int tsm_writer_copy(struct tsm_writer *w, struct tsm_str key, enum tsm_type type, int64_t tmin, int64_t tmax,
                    const uint8_t *crc_and_block, size_t len, struct tsm_err *err)
{
    int r = add_entry(w, key, type, tmin, tmax, len, err);
    return r != TSM_OK ? r : tsm_file_write(&w->file, crc_and_block, len, err);
}

uint64_t tsm_writer_size(const struct tsm_writer *w)
{
    return w->file.size + w->origins.len + TSM_SEAL_SIZE + w->spill.len + w->index.len + TSM_FOOTER_SIZE;
}

size_t tsm_writer_memory(const struct tsm_writer *w)
{
    return w->index.cap + w->file.buf.cap;
}

bool tsm_writer_empty(const struct tsm_writer *w)
{
    return !w->any;
}

static void free_writer(struct tsm_writer *w)
{
    remove_spill(w);
    tsm_buf_release(&w->index);
    tsm_buf_release(&w->origins);
    tsm_free(w->path);
    tsm_free(w->tmp);
    tsm_free(w);
}

/* Origins, seal, index and footer behind the blocks. */
static int write_tail(struct tsm_writer *w, struct tsm_err *err)
{
    uint64_t index = w->file.size + w->origins.len + TSM_SEAL_SIZE;
    tsm_put_be64(tsm_buf_room(&w->index, TSM_FOOTER_SIZE), index);
    w->index.len += TSM_FOOTER_SIZE;
    uint8_t seal[TSM_SEAL_SIZE];
    memcpy(seal, TSM_SEAL_MAGIC, 8);
    if (w->spill.fd == NOT_SPILLED) {
        tsm_put_be64(seal + 8, XXH3_64bits(w->index.data, w->index.len));
    } else {
        XXH3_64bits_update(w->spill.digest, w->index.data, w->index.len);
        tsm_put_be64(seal + 8, XXH3_64bits_digest(w->spill.digest));
    }
    int rc = tsm_file_write(&w->file, w->origins.data, w->origins.len, err);
    if (rc == TSM_OK)
        rc = tsm_file_write(&w->file, seal, sizeof seal, err);
    if (rc == TSM_OK)
        rc = take_back(w, err);
    return rc == TSM_OK ? tsm_file_write(&w->file, w->index.data, w->index.len, err) : rc;
}

int tsm_writer_finish(struct tsm_writer *w, const char **tmp, struct tsm_err *err)
{
    if (!w->any)
        return tsm_err_set(err, TSM_ELIMIT, "%s: nothing to write", w->path);
    int rc = write_tail(w, err);
    if (rc != TSM_OK)
        return rc;
    remove_spill(w);
    w->finished = true;
    if (tmp)
        *tmp = w->tmp;
    return tsm_file_finish(&w->file, err);
}

int tsm_writer_install(struct tsm_writer *w, struct tsm_err *err)
{
    const struct tsm_fs *fs = w->file.fs;
    int rc = w->finished ? TSM_OK : tsm_writer_finish(w, NULL, err);
    if (rc == TSM_OK) {
        int m = fs->rename(fs->ctx, w->tmp, w->path);
        if (m < 0)
            rc = tsm_err_sys(err, -m, "rename %s to %s", w->tmp, w->path);
    }
    if (rc != TSM_OK) {
        tsm_writer_abandon(w);
        return rc;
    }
    rc = tsm_fs_sync_parent(fs, w->path, err);
    free_writer(w);
    return rc;
}

void tsm_writer_abandon(struct tsm_writer *w)
{
    if (!w)
        return;
    const struct tsm_fs *fs = w->file.fs;
    tsm_file_abandon(&w->file);
    if (w->finished)
        fs->unlink(fs->ctx, w->tmp);
    free_writer(w);
}
