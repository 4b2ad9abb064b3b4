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
#include "format/tombstone_impl.h"
#include "format/tombstone_writer.h"
#include "base/banned.h"

enum { PIECE = 64 << 10 };

#define MAX_FILE_SIZE ((size_t)1 << 31)

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

static void add(struct tsm_tombstones *t, struct tsm_str key, int64_t tmin, int64_t tmax,
                const struct tsm_tombstone_keys *keys)
{
    struct tsm_tombstone *last = t->n ? &t->items[t->n - 1] : NULL;
    bool same = last && tsm_str_eq(last->key, key);
    if (same && tmin >= last->tmin && touches(last, tmin)) {
        if (tmax > last->tmax)
            last->tmax = tmax;
        return;
    }
    /* Several ranges of one key mostly come one after the other and share its bytes. */
    struct tsm_str own = same ? last->key : keys ? keys->find(keys->ctx, key) : tsm_arena_str(&t->arena, key);
    if (!own.p)
        return;
    TSM_GROW(t->items, t->n + 1, t->cap);
    t->items[t->n++] = (struct tsm_tombstone){own, tmin, tmax};
}

void tsm_tombstones_add(struct tsm_tombstones *t, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    add(t, key, tmin, tmax, NULL);
    t->entries++;
}

static int compare(const void *a, const void *b)
{
    const struct tsm_tombstone *x = a, *y = b;
    int c = tsm_str_cmp(x->key, y->key);
    return c ? c : (x->tmin > y->tmin) - (x->tmin < y->tmin);
}

/* The end of the ascending run that begins at `from`. */
static size_t run_end(const struct tsm_tombstones *t, size_t from)
{
    size_t i = from + 1;
    while (i < t->n && compare(&t->items[i - 1], &t->items[i]) <= 0)
        i++;
    return i;
}

static void merge_runs(const struct tsm_tombstone *a, size_t na, const struct tsm_tombstone *b, size_t nb,
                       struct tsm_tombstone *out)
{
    while (na && nb) {
        bool second = compare(b, a) < 0;
        *out++ = second ? *b++ : *a++;
        na -= !second;
        nb -= second;
    }
    memcpy(out, na ? a : b, (na + nb) * sizeof *out);
}

/* A delete writes its tombstones in order, so a file mostly is one run, or a few. */
static void sort_runs(struct tsm_tombstones *t)
{
    struct tsm_tombstone *other = NULL;
    while (run_end(t, 0) < t->n) {
        if (!other)
            other = tsm_realloc_array(NULL, t->cap, sizeof *other);
        for (size_t from = 0, end; from < t->n; from = end) {
            size_t middle = run_end(t, from);
            end = middle < t->n ? run_end(t, middle) : middle;
            merge_runs(t->items + from, middle - from, t->items + middle, end - middle, other + from);
        }
        struct tsm_tombstone *items = t->items;
        t->items = other;
        other = items;
    }
    tsm_free(other);
}

void tsm_tombstones_sort(struct tsm_tombstones *t)
{
    if (t->n == 0)
        return;
    sort_runs(t);
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

/* A file that is being read. */
struct decoder {
    const char *path;
    struct tsm_str file;
    const struct tsm_tombstone_keys *keys; /* may be NULL: keys are copied */
    struct tsm_tombstones *t;
};

/*
 * Adds the whole entries at the front of [p, p+len); *used is their length. The cause of a fault, or NULL.
 */
static const char *take_entries(struct decoder *d, const uint8_t *p, size_t len, size_t *used)
{
    *used = 0;
    while (len - *used >= TSM_TOMBSTONE_LENGTH) {
        const uint8_t *e = p + *used;
        size_t n = tsm_get_be32(e);
        if (n == 0 || n > TSM_KEY_MAX)
            return n ? "key is too long" : "empty key";
        if (len - *used - TSM_TOMBSTONE_LENGTH < n + TSM_TOMBSTONE_RANGE)
            break;
        const uint8_t *range = e + TSM_TOMBSTONE_LENGTH + n;
        int64_t tmin = (int64_t)tsm_get_be64(range), tmax = (int64_t)tsm_get_be64(range + 8);
        if (d->t->n == TSM_TOMBSTONE_ENTRIES)
            return "too many entries";
        d->t->entries++;
        if (tmin <= tmax) /* influxd writes such a range, which deletes nothing, for a contradiction */
            add(d->t, tsm_str((const char *)e + TSM_TOMBSTONE_LENGTH, n), tmin, tmax, d->keys);
        *used += TSM_TOMBSTONE_LENGTH + n + TSM_TOMBSTONE_RANGE;
    }
    return NULL;
}

static int read_version_1(struct decoder *d, struct tsm_err *err)
{
    struct tsm_str file = d->file;
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
            return corrupt(d->path, at, err, "neither a known version nor a text of keys");
        d->t->entries += n > 0;
        if (n)
            add(d->t, tsm_str(line, n), INT64_MIN, INT64_MAX, d->keys);
        at = next;
    }
    return TSM_OK;
}

static int read_version_2(struct decoder *d, struct tsm_err *err)
{
    size_t used;
    struct tsm_str file = d->file;
    const char *cause = take_entries(d, (const uint8_t *)file.p + TSM_TOMBSTONE_HEADER,
                                     file.n - TSM_TOMBSTONE_HEADER, &used);
    if (!cause && used != file.n - TSM_TOMBSTONE_HEADER)
        cause = "the last entry is cut short";
    return cause ? corrupt(d->path, TSM_TOMBSTONE_HEADER + used, err, cause) : TSM_OK;
}

/* Inflates one gzip member and takes its entries; z->next_in is left behind it. The cause of a fault, or
 * NULL. */
static const char *read_member(z_stream *z, struct decoder *d, struct tsm_buf *out)
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
        const char *cause = take_entries(d, out->data, out->len, &used);
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

static int read_gzip(struct decoder *d, struct tsm_err *err)
{
    struct tsm_str file = d->file;
    z_stream z = {.zalloc = tsm_zlib_alloc, .zfree = tsm_zlib_free};
    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return tsm_err_set(err, TSM_ELIMIT, "%s: zlib cannot be used", d->path);
    struct tsm_buf out = {0};
    z.next_in = (Bytef *)(uintptr_t)file.p + TSM_TOMBSTONE_HEADER;
    z.avail_in = (uInt)(file.n - TSM_TOMBSTONE_HEADER);
    const char *cause = z.avail_in == 0 ? "gzip data is cut short" : NULL;
    size_t start = TSM_TOMBSTONE_HEADER;
    while (z.avail_in > 0 && !cause) {
        start = file.n - z.avail_in;
        cause = read_member(&z, d, &out);
        inflateReset(&z);
    }
    inflateEnd(&z);
    tsm_buf_release(&out);
    return cause ? corrupt(d->path, start, err, cause) : TSM_OK;
}

static int decode(struct decoder *d, struct tsm_err *err)
{
    struct tsm_str file = d->file;
    if (file.n == 0)
        return corrupt(d->path, 0, err, "the file is empty");
    uint32_t version = file.n >= TSM_TOMBSTONE_HEADER ? tsm_get_be32((const uint8_t *)file.p) : 0;
    switch (version) {
    case TSM_TOMBSTONE_VERSION_2:
        return read_version_2(d, err);
    case TSM_TOMBSTONE_VERSION_3:
    case TSM_TOMBSTONE_VERSION_4:
        return read_gzip(d, err);
    default:
        return read_version_1(d, err);
    }
}

int tsm_tombstones_decode(const char *path, const uint8_t *p, size_t len,
                          const struct tsm_tombstone_keys *keys, struct tsm_tombstones *t,
                          struct tsm_err *err)
{
    struct decoder d = {path, tsm_str((const char *)p, len), keys, t};
    *t = (struct tsm_tombstones){0};
    int r = decode(&d, err);
    if (r != TSM_OK)
        tsm_tombstones_release(t);
    tsm_tombstones_sort(t);
    return r;
}

int tsm_tombstones_bytes(const struct tsm_fs *fs, const char *path, struct tsm_buf *file, struct tsm_err *err)
{
    return tsm_fs_read_file(fs, path, MAX_FILE_SIZE, file, err);
}

int tsm_tombstones_read(const struct tsm_fs *fs, const char *path, struct tsm_tombstones *t,
                        struct tsm_err *err)
{
    *t = (struct tsm_tombstones){0};
    struct tsm_buf file = {0};
    int r = tsm_tombstones_bytes(fs, path, &file, err);
    if (r == TSM_OK)
        r = tsm_tombstones_decode(path, file.data, file.len, NULL, t, err);
    else if (r == TSM_ENOTFOUND)
        r = TSM_OK;
    tsm_buf_release(&file);
    return r;
}

int tsm_tombstones_write(const struct tsm_fs *fs, const char *path, const struct tsm_tombstones *t,
                         struct tsm_err *err)
{
    struct tsm_tombstone_writer w;
    int rc = tsm_tombstone_writer_create(fs, path, &w, err);
    if (rc == TSM_OK)
        rc = tsm_tombstone_writer_list(&w, t, err);
    if (rc == TSM_OK)
        return tsm_tombstone_writer_install(&w, err);
    tsm_tombstone_writer_abandon(&w);
    return rc;
}
