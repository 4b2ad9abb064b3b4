/*
 * format/tsm_reader.c: reading one TSM file through a mapping.
 *
 * Invariant: after check_index() every index record lies within the index, every entry within the
 * blocks, keys ascend and each key's entries ascend without overlap. The accessors rely on it.
 */
#include "format/tsm_reader.h"

#include <inttypes.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "base/banned.h"

enum {
    CRC_SIZE = 4,
    RECORD_MIN = 2 + 1 + 1 + 2 + TSM_ENTRY_SIZE, /* a key of one byte with one entry */
    BLOCK_MIN = CRC_SIZE + 4,                    /* type, length of the times, a byte of each part */
};

static int corrupt(const struct tsm_reader *r, uint64_t offset, struct tsm_err *err, const char *cause)
{
    return tsm_err_set(err, TSM_ECORRUPT, "%s: offset %" PRIu64 ": %s", r->path, offset, cause);
}

/* Header and footer; finds the index. */
static int check_frame(struct tsm_reader *r, struct tsm_err *err)
{
    const uint8_t *p = r->map.data;
    uint64_t size = r->map.size;
    if (size == 0)
        return corrupt(r, 0, err, "the file is empty");
    if (size >= 4 && tsm_get_be32(p) != TSM_MAGIC)
        return corrupt(r, 0, err, "not a TSM file");
    if (size >= TSM_HEADER_SIZE && p[4] != TSM_VERSION)
        return tsm_err_set(err, TSM_ECORRUPT, "%s: offset 4: format version %u is not known", r->path, p[4]);
    if (size < TSM_HEADER_SIZE + BLOCK_MIN + RECORD_MIN + TSM_FOOTER_SIZE)
        return corrupt(r, size, err, "the file is cut short");
    uint64_t footer = size - TSM_FOOTER_SIZE;
    r->index_offset = tsm_get_be64(p + footer);
    if (r->index_offset < TSM_HEADER_SIZE + BLOCK_MIN || r->index_offset > footer - RECORD_MIN)
        return tsm_err_set(err, TSM_ECORRUPT,
                           "%s: offset %" PRIu64 ": index at %" PRIu64 " is outside the file", r->path,
                           footer, r->index_offset);
    r->index_size = footer - r->index_offset;
    return TSM_OK;
}

static struct tsm_entry get_entry(const uint8_t *p)
{
    return (struct tsm_entry){
        .tmin = (int64_t)tsm_get_be64(p),
        .tmax = (int64_t)tsm_get_be64(p + 8),
        .offset = tsm_get_be64(p + 16),
        .size = tsm_get_be32(p + 24),
    };
}

/* What is wrong with the entries of one key, or NULL; *bad is the entry's number. Raises *blocks_end. */
static const char *check_entries(struct tsm_reader *r, const uint8_t *p, size_t count, uint64_t *blocks_end,
                                 size_t *bad)
{
    int64_t before = 0;
    for (size_t i = 0; i < count; i++, p += TSM_ENTRY_SIZE) {
        struct tsm_entry e = get_entry(p);
        *bad = i;
        if (e.offset < TSM_HEADER_SIZE || e.offset > r->index_offset || e.size > r->index_offset - e.offset)
            return "index entry points outside the blocks";
        if (e.size < BLOCK_MIN)
            return "index entry with a block that is too small";
        if (e.tmin > e.tmax)
            return "index entry ends before it starts";
        if (i > 0 && e.tmin <= before)
            return "index entries of one key are out of order";
        before = e.tmax;
        if (e.offset + e.size > *blocks_end)
            *blocks_end = e.offset + e.size;
    }
    int64_t first = (int64_t)tsm_get_be64(p - count * TSM_ENTRY_SIZE);
    if (first < r->tmin)
        r->tmin = first;
    if (before > r->tmax)
        r->tmax = before;
    return NULL;
}

/* Walks the index once: notes where each key is and checks everything that the accessors rely on. */
static int check_index(struct tsm_reader *r, uint64_t *blocks_end, struct tsm_err *err)
{
    const uint8_t *file = r->map.data;
    uint64_t at = r->index_offset, end = r->index_offset + r->index_size;
    struct tsm_str before = {0};
    uint64_t *keys = NULL;
    size_t cap = 0;
    const char *cause = NULL;
    r->tmin = INT64_MAX;
    r->tmax = INT64_MIN;
    *blocks_end = TSM_HEADER_SIZE;
    while (at < end && !cause) {
        if (end - at < RECORD_MIN) {
            cause = "index record is cut short";
            break;
        }
        size_t n = tsm_get_be16(file + at);
        if (n == 0 || end - at < RECORD_MIN - 1 + n) {
            cause = n ? "index record is cut short" : "index record with an empty key";
            break;
        }
        struct tsm_str key = tsm_str((const char *)file + at + 2, n);
        const uint8_t *p = file + at + 2 + n;
        size_t count = tsm_get_be16(p + 1);
        if (r->nkeys > 0 && tsm_str_cmp(before, key) >= 0)
            cause = "keys of the index are out of order";
        else if (p[0] >= TSM_TYPES)
            cause = "index record of an unknown type";
        else if (count == 0)
            cause = "index record without entries";
        else if (count > (end - at - 5 - n) / TSM_ENTRY_SIZE)
            cause = "index record is cut short";
        if (cause)
            break;
        size_t bad;
        cause = check_entries(r, p + 3, count, blocks_end, &bad);
        if (cause) {
            at += 5 + n + bad * TSM_ENTRY_SIZE;
            break;
        }
        TSM_GROW(keys, r->nkeys + 1, cap);
        keys[r->nkeys++] = at;
        r->keys = keys;
        before = key;
        at += 5 + n + count * TSM_ENTRY_SIZE;
    }
    return cause ? corrupt(r, at, err, cause) : TSM_OK;
}

/* The origins fill the bytes from `at` to `end`, and are what their digest says. */
static int check_origins(struct tsm_reader *r, uint64_t at, uint64_t end, struct tsm_err *err)
{
    const uint8_t *p = r->map.data + at;
    uint64_t n = end - at;
    if (n < TSM_ORIGINS_SIZE + TSM_ORIGIN_SIZE || memcmp(p, TSM_ORIGINS_MAGIC, 8) != 0)
        return corrupt(r, at, err, "neither a block nor a seal before the index");
    uint64_t count = tsm_get_be32(p + 8);
    if (n != TSM_ORIGINS_SIZE + count * TSM_ORIGIN_SIZE)
        return corrupt(r, at, err, "origins: their number does not fit their size");
    if (tsm_get_be64(p + n - 8) != XXH3_64bits(p, n - 8))
        return corrupt(r, at, err, "origins: checksum mismatch");
    r->origins = tsm_realloc_array(NULL, count, sizeof *r->origins);
    r->norigins = count;
    p += 12;
    for (uint64_t i = 0; i < count; i++, p += TSM_ORIGIN_SIZE)
        r->origins[i] = (struct tsm_origin){
            .name = {.generation = tsm_get_be32(p), .level = tsm_get_be32(p + 4)},
            .size = tsm_get_be64(p + 8),
            .digest = tsm_get_be64(p + 16),
        };
    return TSM_OK;
}

/* Between the last block and the index there is nothing, or a seal that fits, with or without origins before it. */
static int check_seal(struct tsm_reader *r, uint64_t blocks_end, struct tsm_err *err)
{
    uint64_t gap = r->index_offset - blocks_end;
    if (gap == 0)
        return TSM_OK;
    const uint8_t *seal = r->map.data + r->index_offset - TSM_SEAL_SIZE;
    if (gap < TSM_SEAL_SIZE || memcmp(seal, TSM_SEAL_MAGIC, 8) != 0)
        return corrupt(r, blocks_end, err, "neither a block nor a seal before the index");
    const uint8_t *index = r->map.data + r->index_offset;
    if (tsm_get_be64(seal + 8) != XXH3_64bits(index, r->index_size + TSM_FOOTER_SIZE))
        return corrupt(r, r->index_offset, err, "the index does not match its seal");
    r->sealed = true;
    return gap == TSM_SEAL_SIZE ? TSM_OK : check_origins(r, blocks_end, r->index_offset - TSM_SEAL_SIZE, err);
}

static int check_file(struct tsm_reader *r, struct tsm_err *err)
{
    int e = check_frame(r, err);
    if (e != TSM_OK)
        return e;
    uint64_t blocks_end;
    e = check_index(r, &blocks_end, err);
    if (e != TSM_OK)
        return e;
    return check_seal(r, blocks_end, err);
}

int tsm_reader_open_bare(const struct tsm_fs *fs, const char *path, struct tsm_reader **out,
                         struct tsm_err *err)
{
    *out = NULL;
    struct tsm_reader *r = tsm_calloc(1, sizeof *r);
    r->path = tsm_strdup(path);
    int e = tsm_map_open(fs, path, &r->map, err);
    if (e == TSM_OK)
        e = check_file(r, err);
    if (e != TSM_OK) {
        tsm_reader_close(r);
        return e;
    }
    *out = r;
    return TSM_OK;
}

/* The tombstones of a file share its keys. */
struct own_keys {
    const struct tsm_reader *r;
    size_t next; /* where the next one is, if it is the next one */
};

static struct tsm_str find_own_key(void *ctx, struct tsm_str key)
{
    struct own_keys *o = ctx;
    bool found = false;
    size_t i = o->next;
    if (i < o->r->nkeys)
        found = tsm_str_eq(tsm_reader_key(o->r, i), key);
    if (!found)
        i = tsm_reader_seek(o->r, key, &found);
    if (!found)
        return (struct tsm_str){0};
    o->next = i + 1;
    return tsm_reader_key(o->r, i);
}

int tsm_reader_open(const struct tsm_fs *fs, const char *path, struct tsm_reader **out, struct tsm_err *err)
{
    /* The tombstones first: who removes both files removes the TSM file first. So one whose tombstones were gone
     * already is not there any more either, and its deleted values do not come back. */
    struct tsm_buf bytes = {0};
    char *beside = tsm_tombstone_path(path);
    *out = NULL;
    int e = tsm_tombstones_bytes(fs, beside, &bytes, err);
    bool any = e == TSM_OK;
    if (any || e == TSM_ENOTFOUND)
        e = tsm_reader_open_bare(fs, path, out, err);
    if (any && e == TSM_OK) {
        struct own_keys own = {*out, 0};
        struct tsm_tombstone_keys keys = {find_own_key, &own};
        e = tsm_tombstones_decode(beside, bytes.data, bytes.len, &keys, &(*out)->tombstones, err);
    }
    if (e != TSM_OK) {
        tsm_reader_close(*out);
        *out = NULL;
    }
    tsm_buf_release(&bytes);
    tsm_free(beside);
    return e;
}

void tsm_reader_close(struct tsm_reader *r)
{
    if (!r)
        return;
    tsm_tombstones_release(&r->tombstones);
    tsm_map_close(&r->map);
    tsm_free((void *)r->keys);
    tsm_free(r->origins);
    tsm_free(r->path);
    tsm_free(r);
}

void tsm_reader_forget(const struct tsm_reader *r, size_t from, size_t to, bool blocks)
{
    if (from >= to)
        return;
    uint64_t end = to < r->nkeys ? r->keys[to] : r->map.size;
    if (blocks) { /* which are in the order of keys, mostly; anything may be forgotten */
        uint64_t first = tsm_reader_entry(r, from, 0).offset;
        uint64_t next = to < r->nkeys ? tsm_reader_entry(r, to, 0).offset : r->index_offset;
        tsm_map_forget(&r->map, first, next);
    }
    tsm_map_forget(&r->map, r->keys[from], end);
}

struct tsm_str tsm_reader_key(const struct tsm_reader *r, size_t i)
{
    const uint8_t *p = r->map.data + r->keys[i];
    return tsm_str((const char *)p + 2, tsm_get_be16(p));
}

/* The part of a key's record behind the key: type, count, entries. */
static const uint8_t *record_of(const struct tsm_reader *r, size_t i)
{
    const uint8_t *p = r->map.data + r->keys[i];
    return p + 2 + tsm_get_be16(p);
}

enum tsm_type tsm_reader_type(const struct tsm_reader *r, size_t i)
{
    return (enum tsm_type)record_of(r, i)[0];
}

size_t tsm_reader_entries(const struct tsm_reader *r, size_t i)
{
    return tsm_get_be16(record_of(r, i) + 1);
}

struct tsm_entry tsm_reader_entry(const struct tsm_reader *r, size_t i, size_t entry)
{
    return get_entry(record_of(r, i) + 3 + entry * TSM_ENTRY_SIZE);
}

size_t tsm_reader_entry_at(const struct tsm_reader *r, size_t i, size_t from, int64_t t)
{
    size_t to = tsm_reader_entries(r, i);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_reader_entry(r, i, middle).tmax < t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

size_t tsm_reader_seek(const struct tsm_reader *r, struct tsm_str key, bool *found)
{
    size_t from = 0, to = r->nkeys;
    *found = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = tsm_str_cmp(tsm_reader_key(r, middle), key);
        if (c < 0) {
            from = middle + 1;
        } else {
            *found |= c == 0;
            to = middle;
        }
    }
    return from;
}

uint64_t tsm_reader_digest(const struct tsm_reader *r)
{
    const uint8_t *index = r->map.data + r->index_offset;
    return r->sealed ? tsm_get_be64(index - 8) : XXH3_64bits(index, r->index_size + TSM_FOOTER_SIZE);
}

bool tsm_reader_is_deleted(const struct tsm_reader *r, size_t i, const struct tsm_tombstone *t, size_t n)
{
    size_t entries = tsm_reader_entries(r, i), k = 0;
    for (size_t entry = 0; entry < entries; entry++) {
        struct tsm_entry e = tsm_reader_entry(r, i, entry);
        while (k < n && t[k].tmax < e.tmin)
            k++;
        if (k == n || t[k].tmin > e.tmin || t[k].tmax < e.tmax)
            return false;
    }
    return true;
}

bool tsm_reader_key_is_deleted(const struct tsm_reader *r, size_t i)
{
    size_t from, to;
    if (r->tombstones.n == 0)
        return false;
    tsm_tombstones_find(&r->tombstones, tsm_reader_key(r, i), &from, &to);
    return tsm_reader_is_deleted(r, i, r->tombstones.items + from, to - from);
}

int tsm_reader_block(const struct tsm_reader *r, const struct tsm_entry *e, const uint8_t **p, size_t *len,
                     struct tsm_err *err)
{
    const uint8_t *block = r->map.data + e->offset + CRC_SIZE;
    size_t n = e->size - CRC_SIZE;
    if (tsm_get_be32(block - CRC_SIZE) != (uint32_t)crc32_z(0, block, n))
        return corrupt(r, e->offset, err, "block: checksum mismatch");
    *p = block;
    *len = n;
    return TSM_OK;
}

int tsm_reader_count(const struct tsm_reader *r, const struct tsm_entry *e, size_t *n, struct tsm_err *err)
{
    int c = tsm_block_count(r->map.data + e->offset + CRC_SIZE, e->size - CRC_SIZE, n, err);
    return c == TSM_OK ? c : tsm_err_wrap(err, c, "%s: offset %" PRIu64 ": block", r->path, e->offset);
}

int tsm_reader_decode(const struct tsm_reader *r, size_t key, const struct tsm_entry *e,
                      struct tsm_values *out, struct tsm_err *err)
{
    const uint8_t *p;
    size_t len;
    int c = tsm_reader_block(r, e, &p, &len, err);
    if (c != TSM_OK)
        return c;
    c = tsm_block_decode(p, len, out, err);
    if (c != TSM_OK)
        return tsm_err_wrap(err, c, "%s: offset %" PRIu64 ": block", r->path, e->offset);
    if (out->type != tsm_reader_type(r, key))
        return corrupt(r, e->offset, err, "block: type differs from the index");
    if (out->n == 0 || out->t[0] != e->tmin || out->t[out->n - 1] != e->tmax)
        return corrupt(r, e->offset, err, "block: first or last time differs from the index");
    return TSM_OK;
}
