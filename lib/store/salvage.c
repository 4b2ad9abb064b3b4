/*
 * store/salvage.c: finding the blocks of a damaged TSM file and the keys that they belong to.
 *
 * First the index is turned into a list of claims (key, type, entries), by one of three ways; then each claim is proved by its
 * block, and what is proved is put into the order of a file.
 */
#include "store/salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "codec/block.h"
#include "format/series_key.h"
#include "base/banned.h"

enum {
    CRC_SIZE = 4,
    RECORD_FIXED = 2 + 1 + 2,     /* of an index record: length of the key, type, number of entries */
    BLOCK_MIN = CRC_SIZE + 4,     /* type, length of the times, a byte of each part */
    KEY_MIN = 1 + sizeof "#!~#",  /* a measurement, a field */
    WINDOW = 2 + TSM_KEY_MAX + 3, /* from the start of a record to its first entry, at most */
};
#define CORRECTION_BUDGET (8ull << 30) /* bytes that are hashed to find the one bit that is wrong */

/* An index record as it stands there. */
struct claim {
    struct tsm_str key;
    int type; /* -1: not known */
    const uint8_t *entries;
    size_t n;
};

struct finder {
    struct tsm_salvage *s;
    const uint8_t *file;
    size_t size;
    size_t blocks_end; /* no block reaches beyond */
    size_t searched; /* the records had to be looked for: where they begin, so where the blocks end; else 0 */
    struct claim *claims;
    size_t n, cap;
    struct tsm_values values;
    void (*lost)(void *ctx, struct tsm_str key, const struct tsm_entry *e, const char *cause);
    void *ctx;
};

static void blame(struct tsm_salvage *s, const char *cause)
{
    if (!s->cause[0])
        snprintf(s->cause, sizeof s->cause, "%s", cause);
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

static struct tsm_entry get_entry(const uint8_t *p)
{
    return (struct tsm_entry){
        .tmin = (int64_t)tsm_get_be64(p),
        .tmax = (int64_t)tsm_get_be64(p + 8),
        .offset = tsm_get_be64(p + 16),
        .size = tsm_get_be32(p + 24),
    };
}

static bool in_range(const struct finder *f, const struct tsm_entry *e)
{
    return e->offset >= TSM_HEADER_SIZE && e->offset <= f->blocks_end && e->size >= BLOCK_MIN &&
           e->size <= f->blocks_end - e->offset;
}

static bool plausible(const struct finder *f, const struct tsm_entry *e)
{
    return e->tmin <= e->tmax && in_range(f, e);
}

/* Decodes the block at an entry's place into f->values: the cause why that cannot be, or NULL. */
static const char *decode(struct finder *f, const struct tsm_entry *e)
{
    struct tsm_values *v = &f->values;
    size_t n;
    if (!in_range(f, e))
        return "its place is outside the blocks";
    const uint8_t *p = f->file + e->offset + CRC_SIZE;
    size_t len = e->size - CRC_SIZE;
    if (tsm_get_be32(p - CRC_SIZE) != (uint32_t)crc32_z(0, p, len))
        return "checksum mismatch";
    if (tsm_block_decode(p, len, v, NULL) != TSM_OK)
        return "it cannot be decoded";
    if (v->n == 0 || tsm_block_count(p, len, &n, NULL) != TSM_OK || n != v->n)
        return "its number of values is wrong";
    for (size_t i = 1; i < v->n; i++)
        if (v->t[i] <= v->t[i - 1])
            return "its times are out of order";
    return NULL;
}

static bool times_agree(const struct finder *f, const struct tsm_entry *e)
{
    return f->values.t[0] == e->tmin && f->values.t[f->values.n - 1] == e->tmax;
}

static bool checks(struct finder *f, const uint8_t *entry)
{
    struct tsm_entry e = get_entry(entry);
    return plausible(f, &e) && !decode(f, &e) && times_agree(f, &e);
}

/* ---- an index that does not check: looking for its records ------------------------------------------------ */

static void add_claim(struct finder *f, const struct claim *c)
{
    TSM_GROW(f->claims, f->n + 1, f->cap);
    f->claims[f->n++] = *c;
}

static bool is_key(struct tsm_str key)
{
    struct tsm_str series, field;
    return key.n >= KEY_MIN && tsm_key_split(key, &series, &field) && series.n && field.n;
}

/* The record at p, of which `left` bytes are there, by what it says about itself. */
static bool read_record(const uint8_t *p, size_t left, struct claim *c)
{
    if (left < RECORD_FIXED)
        return false;
    size_t n = tsm_get_be16(p);
    if (n < KEY_MIN || left < RECORD_FIXED + n)
        return false;
    *c = (struct claim){
        .key = tsm_str((const char *)p + 2, n),
        .type = p[2 + n],
        .entries = p + RECORD_FIXED + n,
        .n = tsm_get_be16(p + 3 + n),
    };
    return c->type < TSM_TYPES && c->n > 0 && c->n <= (left - RECORD_FIXED - n) / TSM_ENTRY_SIZE &&
           is_key(c->key);
}

/* All entries are such as an index has. */
static bool well_formed(const struct finder *f, const struct claim *c)
{
    int64_t before = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct tsm_entry e = get_entry(c->entries + i * TSM_ENTRY_SIZE);
        if (!plausible(f, &e) || (i > 0 && e.tmin <= before))
            return false;
        before = e.tmax;
    }
    return true;
}

static bool has_proof(struct finder *f, const struct claim *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (checks(f, c->entries + i * TSM_ENTRY_SIZE))
            return true;
    return false;
}

/* A record that stands at p for sure, or, in line with those before it, very likely. */
static bool is_record(struct finder *f, const uint8_t *p, const uint8_t *end, bool in_line, struct claim *c)
{
    if (!read_record(p, (size_t)(end - p), c))
        return false;
    if (!in_line || !well_formed(f, c))
        return has_proof(f, c);
    struct claim next;
    const uint8_t *behind = c->entries + c->n * TSM_ENTRY_SIZE;
    return (size_t)(end - behind) <= TSM_FOOTER_SIZE || read_record(behind, (size_t)(end - behind), &next) ||
           has_proof(f, c);
}

/* How many entries there really are, when the number may be wrong: up to the last one that checks, and damaged ones behind it
 * when a record follows them. *in_line: it does, or should. */
static size_t count_entries(struct finder *f, const struct claim *c, const uint8_t *end, bool *in_line)
{
    size_t n = 0, room = (size_t)(end - c->entries) / TSM_ENTRY_SIZE;
    struct claim other;
    for (size_t i = 0; i < room && i < TSM_MAX_ENTRIES; i++) {
        const uint8_t *p = c->entries + i * TSM_ENTRY_SIZE;
        if (checks(f, p))
            n = i + 1;
        else if (i >= c->n || is_record(f, p, end, false, &other))
            break;
    }
    *in_line = true;
    for (size_t k = n; k <= c->n && k <= room; k++)
        if (is_record(f, c->entries + k * TSM_ENTRY_SIZE, end, true, &other))
            return k;
    *in_line = n == c->n;
    return n;
}

/* Whether bytes that may be anything are likely to be a key. */
static bool looks_like_key(struct tsm_str key)
{
    for (size_t i = 0; i < key.n; i++)
        if ((uint8_t)key.p[i] < 0x20)
            return false;
    return is_key(key) && tsm_utf8_valid(key);
}

/* The record at p when its head is not to be trusted: the length gives a key, or else the first entry that checks ends it. */
static bool guess_record(struct finder *f, const uint8_t *p, const uint8_t *end, struct claim *c)
{
    enum { SOME = 8 };
    size_t n = end - p > RECORD_FIXED ? tsm_get_be16(p) : 0, left = (size_t)(end - p);
    *c = (struct claim){.type = -1, .key = tsm_str((const char *)p + 2, n), .n = SOME};
    if (n && n + RECORD_FIXED + TSM_ENTRY_SIZE <= left && looks_like_key(c->key)) {
        c->entries = p + RECORD_FIXED + n;
        if (tsm_get_be16(c->entries - 2) > SOME)
            c->n = tsm_get_be16(c->entries - 2);
        return true;
    }
    const uint8_t *last = left > WINDOW ? p + WINDOW : end;
    for (const uint8_t *q = p + RECORD_FIXED + KEY_MIN; q <= last && end - q >= TSM_ENTRY_SIZE; q++) {
        if (!checks(f, q))
            continue;
        c->key.n = (size_t)(q - p) - RECORD_FIXED;
        c->entries = q;
        return looks_like_key(c->key);
    }
    return false;
}

/* Takes the records from p on. in_line: one begins there. */
static void find_records(struct finder *f, const uint8_t *p, const uint8_t *end, bool in_line)
{
    while (p < end) {
        struct claim c, next;
        bool whole = is_record(f, p, end, in_line, &c);
        if (!whole && !(in_line && guess_record(f, p, end, &c))) {
            in_line = false;
            p++;
            continue;
        }
        const uint8_t *behind = c.entries + c.n * TSM_ENTRY_SIZE;
        bool ends = whole && end - behind <= TSM_FOOTER_SIZE && well_formed(f, &c);
        in_line = true;
        if (!ends && !(whole && is_record(f, behind, end, true, &next))) {
            c.n = count_entries(f, &c, end, &in_line);
            if (c.n == 0) { /* nothing speaks for it */
                in_line = false;
                p++;
                continue;
            }
        }
        add_claim(f, &c);
        p = c.entries + c.n * TSM_ENTRY_SIZE;
    }
}

/* The end of the last block that a claim has. */
static size_t claimed_end(const struct finder *f)
{
    size_t end = TSM_HEADER_SIZE;
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < f->claims[i].n; j++) {
            struct tsm_entry e = get_entry(f->claims[i].entries + j * TSM_ENTRY_SIZE);
            if (in_range(f, &e) && e.offset + e.size > end)
                end = e.offset + e.size;
        }
    return end;
}

/* ---- where the index is ------------------------------------------------------------------------------------ */

/* An index that is known to be whole, without its footer. */
static void take_records(struct finder *f, const uint8_t *p, size_t len)
{
    struct claim c;
    for (size_t at = 0; at < len && read_record(p + at, len - at, &c);
         at = (size_t)(c.entries - p) + c.n * TSM_ENTRY_SIZE)
        add_claim(f, &c);
}

/* Changes the one bit of the index that its seal misses. */
static bool correct(struct tsm_buf *index, uint64_t digest)
{
    if (index->len > UINT32_MAX || 8ull * index->len * index->len > CORRECTION_BUDGET)
        return false;
    for (size_t bit = 0; bit < 8 * index->len; bit++) {
        index->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (XXH3_64bits(index->data, index->len) == digest)
            return true;
        index->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return false;
}

static bool has_seal(const struct finder *f, size_t index)
{
    return index >= TSM_HEADER_SIZE + TSM_SEAL_SIZE && index < f->size &&
           memcmp(f->file + index - TSM_SEAL_SIZE, TSM_SEAL_MAGIC, 8) == 0;
}

/* The index is at this offset, and what the seal before it says is true, or was with one bit changed. */
static bool try_sealed(struct finder *f, size_t index)
{
    if (index < TSM_HEADER_SIZE + TSM_SEAL_SIZE || f->size < TSM_FOOTER_SIZE ||
        index > f->size - TSM_FOOTER_SIZE)
        return false;
    uint64_t digest = tsm_get_be64(f->file + index - 8), is = XXH3_64bits(f->file + index, f->size - index);
    const uint8_t *records = f->file + index;
    if (__builtin_popcountll(digest ^ is) > 1) {
        if (!has_seal(f, index))
            return false;
        tsm_buf_reset(&f->s->index);
        tsm_buf_add(&f->s->index, records, f->size - index);
        if (!correct(&f->s->index, digest))
            return false;
        records = f->s->index.data;
    }
    f->blocks_end = index - TSM_SEAL_SIZE;
    take_records(f, records, f->size - index - TSM_FOOTER_SIZE);
    return true;
}

/* The offset behind the last seal that begins before `end`, or 0. */
static size_t find_seal(const struct finder *f, size_t end)
{
    while (end >= TSM_HEADER_SIZE + 8) {
        const uint8_t *p = memrchr(f->file + TSM_HEADER_SIZE, TSM_SEAL_MAGIC[0], end - TSM_HEADER_SIZE);
        if (!p)
            break;
        end = (size_t)(p - f->file);
        if (has_seal(f, end + TSM_SEAL_SIZE))
            return end + TSM_SEAL_SIZE;
    }
    return 0;
}

/* Where the footer says that the index is; 0 when it cannot be there. */
static size_t footer_says(const struct finder *f)
{
    if (f->size < TSM_HEADER_SIZE + TSM_FOOTER_SIZE)
        return 0;
    uint64_t at = tsm_get_be64(f->file + f->size - TSM_FOOTER_SIZE);
    return at > TSM_HEADER_SIZE && at < f->size - TSM_FOOTER_SIZE ? (size_t)at : 0;
}

static void find_claims(struct finder *f)
{
    enum { SEALS = 8 }; /* a value may hold what looks like one */
    size_t footer = footer_says(f), seal = f->size, start = 0;
    const uint8_t *end = f->file + f->size;
    if (try_sealed(f, footer))
        return;
    for (int i = 0; i < SEALS && (seal = find_seal(f, seal)) != 0; i++) {
        if (try_sealed(f, seal))
            return;
        if (!start)
            start = seal;
        seal -= TSM_SEAL_SIZE;
    }
    f->s->doubted = start != 0;
    if (start)
        f->blocks_end = start - TSM_SEAL_SIZE;
    else if (footer)
        f->blocks_end = start = footer;
    if (start)
        find_records(f, f->file + start, end, true);
    bool there = f->n && f->claims[0].key.p == (const char *)f->file + start + 2;
    if (!f->n || (!there && !f->s->doubted)) { /* the footer, which has nothing to confirm it, is wrong */
        f->n = 0;
        start = 0;
        f->blocks_end = f->size;
        find_records(f, f->file + TSM_HEADER_SIZE, end, false);
    }
    size_t last = claimed_end(f);
    if (start == footer && start && f->n && last < start &&
        !has_seal(f, start)) { /* the footer leads into the index */
        f->n = 0;
        find_records(f, f->file + last, end, true);
        start = last;
    }
    if (f->n)
        f->searched = start ? f->blocks_end : (size_t)((const uint8_t *)f->claims[0].key.p - 2 - f->file);
    if (f->n && start == last)
        f->searched = last;
}

static void claims_of_reader(struct finder *f, const struct tsm_reader *r)
{
    for (size_t i = 0; i < r->nkeys; i++) {
        struct claim c;
        const uint8_t *p = f->file + r->keys[i];
        c.key = tsm_str((const char *)p + 2, tsm_get_be16(p)); /* the reader's mapping goes away */
        c.type = (int)tsm_reader_type(r, i);
        c.n = tsm_reader_entries(r, i);
        c.entries = p + RECORD_FIXED + c.key.n;
        add_claim(f, &c);
    }
    f->blocks_end = r->index_offset;
}

/* ---- proving the claims ------------------------------------------------------------------------------------ */

static void lose(struct finder *f, struct tsm_str key, const struct tsm_entry *e, const char *cause)
{
    struct tsm_salvage *s = f->s;
    char text[200];
    snprintf(text, sizeof text, "offset %" PRIu64 ": block: %s", e->offset, cause);
    blame(s, text);
    s->lost_blocks++;
    if (e->tmin <= e->tmax && e->tmin < s->lost_tmin)
        s->lost_tmin = e->tmin;
    if (e->tmin <= e->tmax && e->tmax > s->lost_tmax)
        s->lost_tmax = e->tmax;
    if (f->lost)
        f->lost(f->ctx, key, e, cause);
}

static bool checks_at(struct finder *f, const struct tsm_entry *e, int type)
{
    return plausible(f, e) && !decode(f, e) && times_agree(f, e) && (type < 0 || (int)f->values.type == type);
}

/* Tries a place; takes over one time that is wrong. */
static const char *prove_at(struct finder *f, struct tsm_entry *e, int type)
{
    const char *cause = decode(f, e);
    if (cause)
        return cause;
    if (type >= 0 && (int)f->values.type != type)
        return "its type differs from the index";
    int64_t first = f->values.t[0], last = f->values.t[f->values.n - 1];
    if (first != e->tmin && last != e->tmax)
        return "its first and last time differ from the index";
    if (first != e->tmin || last != e->tmax)
        blame(f->s, "index: a time differs from that of its block");
    e->tmin = first;
    e->tmax = last;
    return NULL;
}

/* The block of an entry. Both writers of the format put block after block, so `before`, the end of the one before, is where it
 * should be, and it should reach to `after`; 0 when these are not known. */
static const char *prove(struct finder *f, struct tsm_entry *e, int type, uint64_t before, uint64_t after)
{
    struct tsm_entry other[2] = {*e, *e};
    other[0].offset = before;
    if (before && before != e->offset && checks_at(f, &other[0], type)) {
        blame(f->s, "index: the place of a block is wrong");
        *e = other[0];
        return NULL;
    }
    const char *cause = prove_at(f, e, type);
    other[1].size = after > e->offset && after - e->offset <= UINT32_MAX ? (uint32_t)(after - e->offset) : 0;
    if (cause && other[1].size != e->size && checks_at(f, &other[1], type)) {
        blame(f->s, "index: the size of a block is wrong");
        *e = other[1];
        return NULL;
    }
    return cause;
}

/* The type of a claim, of which the record may have a wrong one: that of its blocks. */
static int claim_type(struct finder *f, const struct claim *c)
{
    int type = -1;
    for (size_t i = 0; i < c->n; i++) {
        struct tsm_entry e = get_entry(c->entries + i * TSM_ENTRY_SIZE);
        if (in_range(f, &e) && f->file[e.offset + CRC_SIZE] == c->type)
            return c->type;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (!checks(f, c->entries + i * TSM_ENTRY_SIZE))
            continue;
        if (type < 0)
            type = (int)f->values.type;
    }
    if (type >= 0 && c->type != type)
        blame(f->s, "index: the type of a key is wrong");
    return type < 0 ? c->type : type;
}

static void prove_claim(struct finder *f, const struct claim *c, const struct claim *next, uint64_t *before)
{
    struct tsm_salvage *s = f->s;
    struct tsm_salvaged_key k = {.key = c->key, .from = s->nblocks};
    int type = claim_type(f, c);
    for (size_t i = 0; i < c->n; i++) {
        struct tsm_entry e = get_entry(c->entries + i * TSM_ENTRY_SIZE);
        const uint8_t *behind = i + 1 < c->n ? c->entries + (i + 1) * TSM_ENTRY_SIZE
                                : next       ? next->entries
                                             : NULL;
        const char *cause = prove(f, &e, type, *before, behind ? get_entry(behind).offset : f->blocks_end);
        *before = in_range(f, &e) ? e.offset + e.size : 0;
        if (!cause && s->nblocks > k.from && e.tmin <= s->blocks[s->nblocks - 1].tmax)
            cause = "it is not after the one before";
        if (cause) {
            lose(f, c->key, &e, cause);
            continue;
        }
        if (type < 0)
            type = (int)f->values.type;
        TSM_GROW(s->blocks, s->nblocks + 1, s->capblocks);
        s->blocks[s->nblocks++] = e;
        s->values += f->values.n;
    }
    k.to = s->nblocks;
    s->lost_keys += k.to == k.from;
    if (k.to == k.from)
        return;
    k.type = (enum tsm_type)type;
    TSM_GROW(s->keys, s->nkeys + 1, s->capkeys);
    s->keys[s->nkeys++] = k;
}

static int by_key(const void *a, const void *b)
{
    const struct tsm_salvaged_key *x = a, *y = b;
    int c = tsm_str_cmp(x->key, y->key);
    return c ? c : (x->from > y->from) - (x->from < y->from);
}

/* A key that is there twice, by a changed name, keeps its first record. */
static void put_in_order(struct finder *f)
{
    struct tsm_salvage *s = f->s;
    size_t n = 0;
    tsm_sort(s->keys, s->nkeys, sizeof *s->keys, by_key);
    for (size_t i = 0; i < s->nkeys; i++) {
        if (n == 0 || !tsm_str_eq(s->keys[n - 1].key, s->keys[i].key)) {
            s->keys[n++] = s->keys[i];
            continue;
        }
        for (size_t j = s->keys[i].from; j < s->keys[i].to; j++)
            lose(f, s->keys[i].key, &s->blocks[j], "its key is there twice");
    }
    s->nkeys = n;
}

static void count_lost_bytes(struct finder *f)
{
    struct tsm_salvage *s = f->s;
    uint64_t kept = TSM_HEADER_SIZE;
    for (size_t i = 0; i < s->nkeys; i++)
        for (size_t j = s->keys[i].from; j < s->keys[i].to; j++)
            kept += s->blocks[j].size;
    size_t end = f->n ? claimed_end(f) : f->size;
    /* What an index does not tell may be lost as well, unless it is the origins. */
    if (f->searched && f->n && end < f->searched &&
        (f->searched - end < 8 || memcmp(f->file + end, TSM_ORIGINS_MAGIC, 8) != 0))
        end = f->searched;
    s->lost_bytes = end > kept ? end - kept : 0;
}

/* ---- */

static bool is_regular(const struct tsm_fs *fs, const char *path)
{
    struct tsm_fs_stat st;
    return fs->stat(fs->ctx, path, &st) == 0 && !st.is_dir && !st.is_special;
}

/* A message without the path in front of it. */
static void set_cause(struct tsm_salvage *s, const char *path, const char *message)
{
    size_t n = strlen(path);
    if (strncmp(message, path, n) == 0 && strncmp(message + n, ": ", 2) == 0)
        message += n + 2;
    blame(s, message);
}

int tsm_salvage_open(const struct tsm_fs *fs, const char *path,
                     void (*lost)(void *ctx, struct tsm_str key, const struct tsm_entry *e,
                                  const char *cause),
                     void *ctx, struct tsm_salvage *s, struct tsm_err *err)
{
    struct tsm_err failure = {0};
    struct tsm_reader *r = NULL;
    *s = (struct tsm_salvage){.lost_tmin = INT64_MAX, .lost_tmax = INT64_MIN};
    int rc = tsm_reader_open_bare(fs, path, &r, &failure);
    if ((rc != TSM_OK && rc != TSM_ECORRUPT) || (rc == TSM_ECORRUPT && !is_regular(fs, path)))
        return tsm_err_set(err, rc, "%s", failure.msg);
    bool whole = rc == TSM_OK;
    if (!whole)
        set_cause(s, path, failure.msg);
    rc = tsm_map_open(fs, path, &s->map, err);
    if (rc != TSM_OK) {
        tsm_reader_close(r);
        return rc;
    }
    struct finder f = {.s = s,
                       .file = s->map.data,
                       .size = s->map.size,
                       .blocks_end = s->map.size,
                       .lost = lost,
                       .ctx = ctx};
    if (whole && !r->sealed && has_seal(&f, r->index_offset)) { /* a wrong entry reaches over the seal */
        blame(s, "the index contradicts its seal");
        whole = false;
    }
    if (whole)
        claims_of_reader(&f, r);
    else if (f.size > TSM_HEADER_SIZE)
        find_claims(&f);
    uint64_t before = TSM_HEADER_SIZE;
    for (size_t i = 0; i < f.n; i++)
        prove_claim(&f, &f.claims[i], i + 1 < f.n ? &f.claims[i + 1] : NULL, &before);
    put_in_order(&f);
    count_lost_bytes(&f);
    s->sound = whole && !s->cause[0];
    tsm_reader_close(r);
    tsm_free(f.claims);
    tsm_values_release(&f.values);
    return TSM_OK;
}

void tsm_salvage_release(struct tsm_salvage *s)
{
    tsm_map_close(&s->map);
    tsm_free(s->keys);
    tsm_free(s->blocks);
    tsm_buf_release(&s->index);
    *s = (struct tsm_salvage){0};
}
