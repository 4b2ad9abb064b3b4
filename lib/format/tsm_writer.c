/*
 * format/tsm_writer.c: writing one TSM file.
 *
 * Blocks go straight to the file; the index is built in memory in the very bytes that it has on disk.
 * Invariants: w->index ends with the record of the current key, whose count of entries is kept up to
 * date in place; w->file.size is where the next block goes.
 */
#include "format/tsm_writer.h"

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
};

/* InfluxDB keeps 32-bit signed offsets into the index. */
#define MAX_INDEX_SIZE ((size_t)INT32_MAX)

struct tsm_writer {
    struct tsm_file file;
    char *path;
    struct tsm_buf index;
    size_t record;     /* where the current key's record starts in index */
    uint32_t nentries; /* of the current key */
    bool any;          /* a key was given */
    int64_t tmax;      /* of the current key's last block */
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
    if (w->index.len + KEY_OVERHEAD + key.n + TSM_ENTRY_SIZE > MAX_INDEX_SIZE)
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
    return w->file.size + TSM_SEAL_SIZE + w->index.len + TSM_FOOTER_SIZE;
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
    tsm_buf_release(&w->index);
    tsm_free(w->path);
    tsm_free(w);
}

int tsm_writer_install(struct tsm_writer *w, struct tsm_err *err)
{
    if (!w->any) {
        tsm_err_set(err, TSM_ELIMIT, "%s: nothing to write", w->path);
        tsm_writer_abandon(w);
        return TSM_ELIMIT;
    }
    tsm_put_be64(tsm_buf_room(&w->index, TSM_FOOTER_SIZE), w->file.size + TSM_SEAL_SIZE);
    w->index.len += TSM_FOOTER_SIZE;
    uint8_t seal[TSM_SEAL_SIZE];
    memcpy(seal, TSM_SEAL_MAGIC, 8);
    tsm_put_be64(seal + 8, XXH3_64bits(w->index.data, w->index.len));

    int r = tsm_file_write(&w->file, seal, sizeof seal, err);
    if (r == TSM_OK)
        r = tsm_file_write(&w->file, w->index.data, w->index.len, err);
    if (r != TSM_OK) {
        tsm_writer_abandon(w);
        return r;
    }
    r = tsm_file_install(&w->file, w->path, err);
    free_writer(w);
    return r;
}

void tsm_writer_abandon(struct tsm_writer *w)
{
    if (!w)
        return;
    tsm_file_abandon(&w->file);
    free_writer(w);
}
