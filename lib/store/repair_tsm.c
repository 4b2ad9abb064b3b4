/*
 * store/repair_tsm.c: salvaging a TSM file.
 *
 * Index records are read one after the other from where the footer says that the index begins, or, when that says nothing, from
 * where a record is found. A record counts when its parts are in range and one of its blocks checks; behind one that does not, the
 * next one is searched for byte by byte. So the order of keys and the seal are not needed.
 */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/sort.h"
#include "codec/block.h"
#include "format/series_key.h"
#include "format/tsm_reader.h"
#include "format/tsm_writer.h"
#include "store/repair.h"
#include "base/banned.h"

enum {
    CRC_SIZE = 4,
    BLOCK_MIN = CRC_SIZE + 2,
    RECORD_HEAD = 5, /* length of the key, type, number of entries */
};

struct block {
    struct tsm_str key; /* in the mapping */
    enum tsm_type type;
    int64_t tmin, tmax; /* of the block itself, which its checksum covers */
    uint64_t offset;
    uint32_t size;
};

struct salvage {
    struct tsm_map_file map;
    struct block *blocks; /* that check */
    size_t n, cap;
    uint64_t lost; /* entries of records that were found, whose blocks do not check */
    struct tsm_values values;
};

/* A block that checks: its own first and last time. */
static bool check_block(struct salvage *s, uint64_t offset, uint32_t size, enum tsm_type type,
                        struct block *b)
{
    const uint8_t *p = s->map.data + offset;
    if (tsm_get_be32(p) != (uint32_t)crc32_z(0, p + CRC_SIZE, size - CRC_SIZE) ||
        tsm_block_decode(p + CRC_SIZE, size - CRC_SIZE, &s->values, NULL) != TSM_OK || s->values.n == 0 ||
        s->values.type != type)
        return false;
    *b = (struct block){.type = type,
                        .tmin = s->values.t[0],
                        .tmax = s->values.t[s->values.n - 1],
                        .offset = offset,
                        .size = size};
    return true;
}

static bool is_in_range(uint64_t at, uint64_t offset, uint64_t size)
{
    return offset >= TSM_HEADER_SIZE && size >= BLOCK_MIN && offset <= at && size <= at - offset;
}

/* The size of an index record at `at`, when what is there has the form of one; else 0. */
static size_t record_size(const struct salvage *s, uint64_t at, uint64_t end)
{
    const uint8_t *p = s->map.data + at;
    struct tsm_str series, field;
    if (end - at < RECORD_HEAD + 1 + TSM_ENTRY_SIZE)
        return 0;
    size_t n = tsm_get_be16(p);
    if (n == 0 || end - at < RECORD_HEAD + n + TSM_ENTRY_SIZE)
        return 0;
    size_t count = tsm_get_be16(p + 2 + n + 1);
    if (p[2 + n] >= TSM_TYPES || count == 0 || count > (end - at - RECORD_HEAD - n) / TSM_ENTRY_SIZE ||
        !tsm_key_split(tsm_str((const char *)p + 2, n), &series, &field))
        return 0;
    return RECORD_HEAD + n + count * TSM_ENTRY_SIZE;
}

/* The same where it is not known that a record stands: its first block has to be in range, and the key may not have a zero byte,
 * as what reaches from before the real record into its key has one, the length of that key. */
static size_t likely_record_size(const struct salvage *s, uint64_t at, uint64_t end)
{
    const uint8_t *p = s->map.data + at;
    size_t size = record_size(s, at, end), n = size ? tsm_get_be16(p) : 0;
    const uint8_t *entry = p + RECORD_HEAD + n;
    if (size && (!is_in_range(at, tsm_get_be64(entry + 16), tsm_get_be32(entry + 24)) || memchr(p + 2, 0, n)))
        return 0;
    return size;
}

/* Takes the blocks of a record that check. Gives the place behind the last entry of one, 0 when there is none; *lost is the number of
 * entries before that place, *more those behind it, whose blocks do not check. */
static uint64_t take_record(struct salvage *s, uint64_t at, uint64_t *lost, uint64_t *more)
{
    const uint8_t *p = s->map.data + at;
    size_t n = tsm_get_be16(p), count = tsm_get_be16(p + 2 + n + 1);
    enum tsm_type type = (enum tsm_type)p[2 + n];
    const uint8_t *entry = p + RECORD_HEAD + n;
    uint64_t end = 0;
    *lost = *more = 0;
    for (size_t i = 0; i < count; i++, entry += TSM_ENTRY_SIZE) {
        uint64_t offset = tsm_get_be64(entry + 16);
        uint32_t size = tsm_get_be32(entry + 24);
        struct block b;
        if (!is_in_range(at, offset, size) || !check_block(s, offset, size, type, &b)) {
            ++*more;
            continue;
        }
        b.key = tsm_str((const char *)p + 2, n);
        TSM_GROW(s->blocks, s->n + 1, s->cap);
        s->blocks[s->n++] = b;
        *lost += *more;
        *more = 0;
        end = (uint64_t)(entry + TSM_ENTRY_SIZE - s->map.data);
    }
    return end;
}

/* All records from `at` on; synced: one stands there. A record is believed as a whole when another one, or the end, follows it; else
 * only as far as its blocks check, for its number of entries may be what is damaged. */
static void read_index(struct salvage *s, uint64_t at, uint64_t end, bool synced)
{
    while (at < end) {
        uint64_t lost = 0, more = 0, behind = 0;
        uint64_t size = synced ? record_size(s, at, end) : likely_record_size(s, at, end);
        if (size)
            behind = take_record(s, at, &lost, &more);
        bool followed = size && (at + size == end || likely_record_size(s, at + size, end));
        if (followed && (behind || synced)) {
            s->lost += lost + more;
            at += size;
            synced = true;
        } else if (behind) {
            s->lost += lost;
            at = behind;
            synced = more == 0;
        } else {
            at++;
            synced = false;
        }
    }
}

static int by_key_and_time(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    int c = tsm_str_cmp(x->key, y->key);
    if (c)
        return c;
    return x->tmin != y->tmin ? (x->tmin < y->tmin ? -1 : 1)
                              : (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sorts, and drops what a file cannot hold: blocks of one key that overlap, or of another type. */
static void put_in_order(struct salvage *s)
{
    size_t kept = 0;
    tsm_sort(s->blocks, s->n, sizeof *s->blocks, by_key_and_time);
    for (size_t i = 0; i < s->n; i++) {
        const struct block *b = &s->blocks[i], *last = kept ? &s->blocks[kept - 1] : NULL;
        bool same = last && tsm_str_eq(last->key, b->key);
        if (same && last->offset == b->offset)
            continue; /* found twice */
        if (same && (b->type != last->type || b->tmin <= last->tmax))
            s->lost++;
        else
            s->blocks[kept++] = *b;
    }
    s->n = kept;
}

static int write_file(const struct tsm_fs *fs, const char *path, const struct salvage *s, struct tsm_err *err)
{
    struct tsm_writer *w;
    int rc = tsm_writer_open(fs, path, &w, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < s->n && rc == TSM_OK; i++) {
        const struct block *b = &s->blocks[i];
        rc = tsm_writer_copy(w, b->key, b->type, b->tmin, b->tmax, s->map.data + b->offset, b->size, err);
    }
    if (rc == TSM_OK)
        return tsm_writer_install(w, err);
    tsm_writer_abandon(w);
    return rc;
}

static int install(struct tsm_repair *r, struct tsm_repaired *what, const struct salvage *s,
                   struct tsm_err *err)
{
    char *aside = NULL;
    int rc = TSM_OK;
    if (!r->dry_run)
        rc = tsm_repair_set_aside(r, what->path, s->n == 0, &aside, err);
    if (rc == TSM_OK && !r->dry_run && s->n)
        rc = write_file(r->fs, what->path, s, err);
    what->aside = aside;
    if (rc == TSM_OK)
        rc = tsm_repair_report(r, what, err);
    tsm_free(aside);
    return rc;
}

/* The first fault of the file; TSM_OK when it is sound. */
static int find_fault(struct tsm_repair *r, const char *path, bool *index_is_sound, struct tsm_err *err)
{
    struct tsm_reader *reader;
    struct tsm_values values = {0};
    int rc = tsm_reader_open_bare(r->fs, path, &reader, err);
    *index_is_sound = rc == TSM_OK;
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < reader->nkeys && rc == TSM_OK; i++) {
        for (size_t k = 0; k < tsm_reader_entries(reader, i) && rc == TSM_OK; k++) {
            struct tsm_entry e = tsm_reader_entry(reader, i, k);
            rc = tsm_reader_decode(reader, i, &e, &values, err);
        }
    }
    tsm_values_release(&values);
    tsm_reader_close(reader);
    return rc;
}

int tsm_repair_tsm(struct tsm_repair *r, const char *path, struct tsm_err *err)
{
    struct tsm_err fault;
    struct salvage s = {0};
    bool index_is_sound;
    int rc = find_fault(r, path, &index_is_sound, &fault);
    if (rc != TSM_ECORRUPT) {
        if (rc != TSM_OK && err)
            *err = fault;
        return rc;
    }
    rc = tsm_map_open(r->fs, path, &s.map, err);
    if (rc != TSM_OK)
        return rc;
    uint64_t end = s.map.size > TSM_FOOTER_SIZE ? s.map.size - TSM_FOOTER_SIZE : 0;
    uint64_t start = end ? tsm_get_be64(s.map.data + end) : 0;
    bool known = start >= TSM_HEADER_SIZE && start < end;
    if (known)
        read_index(&s, start, end, true);
    if (!known ||
        s.n == 0) { /* the footer is damaged, or the file is cut: the end of an index may be anywhere */
        s.lost = 0;
        read_index(&s, TSM_HEADER_SIZE, s.map.size, false);
    }
    put_in_order(&s);
    struct tsm_repaired what = {
        .path = path,
        .fault = fault.msg,
        .unit = "block",
        .kept = s.n,
        .lost = s.lost,
        .uncertain = !index_is_sound,
    };
    rc = install(r, &what, &s, err);
    tsm_values_release(&s.values);
    tsm_map_close(&s.map);
    tsm_free(s.blocks);
    return rc;
}
