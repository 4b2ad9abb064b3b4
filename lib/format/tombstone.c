/*
 * format/tombstone.c: tombstone files, and the sorted list of deletes that they hold.
 *
 * Reading is strict where InfluxDB is lenient (it takes a cut file for its end, and an empty one for one
 * without deletes): a lost delete would bring values back, so whatever does not check is an error.
 */
#include "format/tombstone.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/sort.h"
#include "format/series_key.h"
#include "base/banned.h"

enum {
    HEADER_SIZE = 4,
    VERSION_2 = 0x1502,
    VERSION_3 = 0x1503,
    VERSION_4 = 0x1504,
    LENGTH_SIZE = 4,
    RANGE_SIZE = 16,
    ENTRY_MAX = LENGTH_SIZE + TSM_KEY_MAX + RANGE_SIZE,
    PIECE = 64 << 10,
};

#define MAX_FILE_SIZE ((size_t)1 << 31)
#define MAX_ENTRIES ((size_t)1 << 25) /* a TSM file cannot have more keys; a gzip bomb can */

char *tsm_tombstone_path(const char *tsm_path)
{
    struct tsm_buf b = {0};
    size_t n = strlen(tsm_path);
    if (n > 4 && strcmp(tsm_path + n - 4, ".tsm") == 0)
        n -= 4;
    tsm_buf_add(&b, tsm_path, n);
    tsm_buf_puts(&b, ".tombstone");
    return tsm_buf_detach(&b, NULL);
}

/* A range that starts at tmin, not before last, leaves no gap to it. */
static bool touches(const struct tsm_tombstone *last, int64_t tmin)
{
    return last->tmax == INT64_MAX || tmin <= last->tmax + 1;
}

void tsm_tombstones_add(struct tsm_tombstones *t, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    struct tsm_tombstone *last = t->n ? &t->items[t->n - 1] : NULL;
    bool same = last && tsm_str_eq(last->key, key);
    if (same && tmin >= last->tmin && touches(last, tmin)) {
        if (tmax > last->tmax)
            last->tmax = tmax;
        return;
    }
    /* Several ranges of one key mostly come one after the other and share its bytes. */
    struct tsm_str own = same ? last->key : tsm_arena_str(&t->arena, key);
    TSM_GROW(t->items, t->n + 1, t->cap);
    t->items[t->n++] = (struct tsm_tombstone){own, tmin, tmax};
}

static int compare(const void *a, const void *b)
{
    const struct tsm_tombstone *x = a, *y = b;
    int c = tsm_str_cmp(x->key, y->key);
    return c ? c : (x->tmin > y->tmin) - (x->tmin < y->tmin);
}

void tsm_tombstones_sort(struct tsm_tombstones *t)
{
    if (t->n == 0)
        return;
    tsm_sort(t->items, t->n, sizeof *t->items, compare);
    size_t n = 1;
    for (size_t i = 1; i < t->n; i++) {
        struct tsm_tombstone *last = &t->items[n - 1], *next = &t->items[i];
        if (!tsm_str_eq(last->key, next->key) || !touches(last, next->tmin))
            t->items[n++] = *next;
        else if (next->tmax > last->tmax)
            last->tmax = next->tmax;
    }
    t->n = n;
}

/* The first item whose key is >= key (or > key when after). */
static size_t bound(const struct tsm_tombstones *t, struct tsm_str key, bool after)
{
    size_t from = 0, to = t->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = tsm_str_cmp(t->items[middle].key, key);
        if (c < 0 || (after && c == 0))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

void tsm_tombstones_find(const struct tsm_tombstones *t, struct tsm_str key, size_t *from, size_t *to)
{
    *from = bound(t, key, false);
    *to = *from == t->n ? *from : bound(t, key, true);
}

void tsm_tombstones_release(struct tsm_tombstones *t)
{
    tsm_free(t->items);
    tsm_arena_release(&t->arena);
    *t = (struct tsm_tombstones){0};
}

static int corrupt(const char *path, uint64_t offset, struct tsm_err *err, const char *cause)
{
    return tsm_err_set(err, TSM_ECORRUPT, "%s: offset %" PRIu64 ": %s", path, offset, cause);
}

/*
 * Adds the whole entries at the front of [p, p+len); *used is their length. The cause of a fault, or NULL.
 */
static const char *take_entries(struct tsm_tombstones *t, const uint8_t *p, size_t len, size_t *used)
{
    *used = 0;
    while (len - *used >= LENGTH_SIZE) {
        const uint8_t *e = p + *used;
        size_t n = tsm_get_be32(e);
        if (n == 0 || n > TSM_KEY_MAX)
            return n ? "key is too long" : "empty key";
        if (len - *used - LENGTH_SIZE < n + RANGE_SIZE)
            break;
        const uint8_t *range = e + LENGTH_SIZE + n;
        int64_t tmin = (int64_t)tsm_get_be64(range), tmax = (int64_t)tsm_get_be64(range + 8);
        if (tmin > tmax)
            return "range ends before it starts";
        if (t->n == MAX_ENTRIES)
            return "too many entries";
        tsm_tombstones_add(t, tsm_str((const char *)e + LENGTH_SIZE, n), tmin, tmax);
        *used += LENGTH_SIZE + n + RANGE_SIZE;
    }
    return NULL;
}

static int read_version_1(const char *path, struct tsm_str file, struct tsm_tombstones *t,
                          struct tsm_err *err)
{
    struct tsm_str mark = TSM_FIELD_SEPARATOR;
    for (size_t at = 0; at < file.n;) {
        const char *line = file.p + at;
        const char *end = memchr(line, '\n', file.n - at);
        size_t n = end ? (size_t)(end - line) : file.n - at;
        size_t next = at + n + 1;
        if (n && line[n - 1] == '\r')
            n--;
        /* Any bytes are a text of lines; only what can be a TSM key is taken for a tombstone. */
        if (n > TSM_KEY_MAX || memchr(line, 0, n) || (n && !memmem(line, n, mark.p, mark.n)))
            return corrupt(path, at, err, "neither a known version nor a text of keys");
        if (n)
            tsm_tombstones_add(t, tsm_str(line, n), INT64_MIN, INT64_MAX);
        at = next;
    }
    return TSM_OK;
}

static int read_version_2(const char *path, struct tsm_str file, struct tsm_tombstones *t,
                          struct tsm_err *err)
{
    size_t used;
    const char *cause = take_entries(t, (const uint8_t *)file.p + HEADER_SIZE, file.n - HEADER_SIZE, &used);
    if (!cause && used != file.n - HEADER_SIZE)
        cause = "the last entry is cut short";
    return cause ? corrupt(path, HEADER_SIZE + used, err, cause) : TSM_OK;
}

/* Inflates one gzip member and takes its entries; z->next_in is left behind it. The cause of a fault, or
 * NULL. */
static const char *read_member(z_stream *z, struct tsm_tombstones *t, struct tsm_buf *out)
{
    tsm_buf_reset(out);
    for (;;) {
        size_t before = out->len;
        z->next_out = tsm_buf_room(out, PIECE);
        z->avail_out = PIECE;
        int s = inflate(z, Z_NO_FLUSH);
        if (s != Z_OK && s != Z_STREAM_END && s != Z_BUF_ERROR)
            return "gzip data does not check";
        out->len += PIECE - z->avail_out;
        size_t used;
        const char *cause = take_entries(t, out->data, out->len, &used);
        if (cause)
            return cause;
        memmove(out->data, out->data + used, out->len - used);
        out->len -= used;
        if (s == Z_STREAM_END)
            return out->len ? "the last entry is cut short" : NULL;
        if (used == 0 && out->len == before)
            return "gzip data is cut short";
    }
}

static int read_gzip(const char *path, struct tsm_str file, struct tsm_tombstones *t, struct tsm_err *err)
{
    z_stream z = {0};
    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return tsm_err_set(err, TSM_ELIMIT, "%s: no memory for zlib", path);
    struct tsm_buf out = {0};
    z.next_in = (Bytef *)(uintptr_t)file.p + HEADER_SIZE;
    z.avail_in = (uInt)(file.n - HEADER_SIZE);
    const char *cause = z.avail_in == 0 ? "gzip data is cut short" : NULL;
    size_t start = HEADER_SIZE;
    while (z.avail_in > 0 && !cause) {
        start = file.n - z.avail_in;
        cause = read_member(&z, t, &out);
        inflateReset(&z);
    }
    inflateEnd(&z);
    tsm_buf_release(&out);
    return cause ? corrupt(path, start, err, cause) : TSM_OK;
}

static int decode(const char *path, struct tsm_str file, struct tsm_tombstones *t, struct tsm_err *err)
{
    if (file.n == 0)
        return corrupt(path, 0, err, "the file is empty");
    uint32_t version = file.n >= HEADER_SIZE ? tsm_get_be32((const uint8_t *)file.p) : 0;
    switch (version) {
    case VERSION_2:
        return read_version_2(path, file, t, err);
    case VERSION_3:
    case VERSION_4:
        return read_gzip(path, file, t, err);
    default:
        return read_version_1(path, file, t, err);
    }
}

int tsm_tombstones_decode(const char *path, const uint8_t *p, size_t len, struct tsm_tombstones *t,
                          struct tsm_err *err)
{
    *t = (struct tsm_tombstones){0};
    int r = decode(path, tsm_str((const char *)p, len), t, err);
    if (r != TSM_OK)
        tsm_tombstones_release(t);
    tsm_tombstones_sort(t);
    return r;
}

int tsm_tombstones_read(const struct tsm_fs *fs, const char *path, struct tsm_tombstones *t,
                        struct tsm_err *err)
{
    *t = (struct tsm_tombstones){0};
    struct tsm_buf file = {0};
    int r = tsm_fs_read_file(fs, path, MAX_FILE_SIZE, &file, err);
    if (r == TSM_OK)
        r = tsm_tombstones_decode(path, file.data, file.len, t, err);
    else if (r == TSM_ENOTFOUND)
        r = TSM_OK;
    tsm_buf_release(&file);
    return r;
}

/* Deflates what is in z->next_in into the file. */
static int deflate_to(z_stream *z, int flush, struct tsm_file *f, struct tsm_err *err)
{
    uint8_t out[PIECE / 4];
    int s;
    do {
        z->next_out = out;
        z->avail_out = sizeof out;
        s = deflate(z, flush);
        int r = tsm_file_write(f, out, sizeof out - z->avail_out, err);
        if (r != TSM_OK)
            return r;
    } while (flush == Z_FINISH ? s != Z_STREAM_END : z->avail_out == 0);
    return TSM_OK;
}

static int write_entries(struct tsm_file *f, const struct tsm_tombstones *t, struct tsm_err *err)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return tsm_err_set(err, TSM_ELIMIT, "%s: no memory for zlib", f->path);
    struct tsm_buf in = {0};
    int r = TSM_OK;
    for (size_t i = 0; i < t->n && r == TSM_OK; i++) {
        const struct tsm_tombstone *item = &t->items[i];
        uint8_t *p = tsm_buf_room(&in, LENGTH_SIZE + item->key.n + RANGE_SIZE);
        tsm_put_be32(p, (uint32_t)item->key.n);
        memcpy(p + LENGTH_SIZE, item->key.p, item->key.n);
        tsm_put_be64(p + LENGTH_SIZE + item->key.n, (uint64_t)item->tmin);
        tsm_put_be64(p + LENGTH_SIZE + item->key.n + 8, (uint64_t)item->tmax);
        in.len += LENGTH_SIZE + item->key.n + RANGE_SIZE;
        if (in.len >= PIECE) {
            z.next_in = in.data;
            z.avail_in = (uInt)in.len;
            r = deflate_to(&z, Z_NO_FLUSH, f, err);
            tsm_buf_reset(&in);
        }
    }
    z.next_in = in.data;
    z.avail_in = (uInt)in.len;
    if (r == TSM_OK)
        r = deflate_to(&z, Z_FINISH, f, err);
    deflateEnd(&z);
    tsm_buf_release(&in);
    return r;
}

int tsm_tombstones_write(const struct tsm_fs *fs, const char *path, const struct tsm_tombstones *t,
                         struct tsm_err *err)
{
    struct tsm_buf tmp = {0};
    tsm_buf_printf(&tmp, "%s.tmp", path);
    struct tsm_file f;
    int r = tsm_file_create(fs, tsm_buf_cstr(&tmp), &f, err);
    tsm_buf_release(&tmp);
    if (r != TSM_OK)
        return r;
    uint8_t header[HEADER_SIZE];
    tsm_put_be32(header, VERSION_4);
    r = tsm_file_write(&f, header, sizeof header, err);
    if (r == TSM_OK)
        r = write_entries(&f, t, err);
    if (r == TSM_OK)
        return tsm_file_install(&f, path, err);
    tsm_file_abandon(&f);
    return r;
}
