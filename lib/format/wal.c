/*
 * format/wal.c: records of the write-ahead log.
 *
 * Reading never trusts a length before the header's check holds. Where it does not, the next header that does is looked
 * for; a chance hit in a payload needs the magic and 32 matching bits.
 */
#include "format/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lz4.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/banned.h"

#define MAGIC "TSMR"

enum {
    AT_KIND = 4,
    AT_RAW = 8,
    AT_STORED = 12,
    AT_SEQUENCE = 16,
    AT_CHECK = 24,
    AT_DIGEST = 28,
    LZ4_GROWTH_MAX = 255, /* of a payload out of an LZ4 block, at most */
};

static uint32_t header_check(const uint8_t *header)
{
    return (uint32_t)XXH3_64bits(header, AT_CHECK);
}

void tsm_wal_encode(struct tsm_buf *out, enum tsm_wal_kind kind, uint64_t sequence, struct tsm_str payload)
{
    int bound = LZ4_compressBound((int)payload.n);
    size_t start = out->len;
    uint8_t *header = tsm_buf_room(out, TSM_WAL_HEADER + (size_t)bound), *stored = header + TSM_WAL_HEADER;
    int n = payload.n ? LZ4_compress_default(payload.p, (char *)stored, (int)payload.n, bound) : 0;
    if (n <= 0 || (size_t)n >= payload.n) {
        n = (int)payload.n;
        if (n)
            memcpy(stored, payload.p, payload.n);
    }
    memset(header, 0, TSM_WAL_HEADER);
    memcpy(header, MAGIC, 4);
    header[AT_KIND] = (uint8_t)kind;
    tsm_put_be32(header + AT_RAW, (uint32_t)payload.n);
    tsm_put_be32(header + AT_STORED, (uint32_t)n);
    tsm_put_be64(header + AT_SEQUENCE, sequence);
    tsm_put_be32(header + AT_CHECK, header_check(header));
    tsm_put_be64(header + AT_DIGEST, XXH3_64bits(stored, (size_t)n));
    out->len = start + TSM_WAL_HEADER + (size_t)n;
}

/* Whether [p, p + TSM_WAL_HEADER) is a header. */
static bool is_header(const uint8_t *p)
{
    if (memcmp(p, MAGIC, 4) != 0 || tsm_get_be32(p + AT_CHECK) != header_check(p))
        return false;
    uint32_t raw = tsm_get_be32(p + AT_RAW), stored = tsm_get_be32(p + AT_STORED);
    return (p[AT_KIND] == TSM_WAL_POINTS || p[AT_KIND] == TSM_WAL_DELETE) && p[5] == 0 && p[6] == 0 &&
           p[7] == 0 && raw <= TSM_WAL_PAYLOAD_MAX && stored <= raw &&
           raw <= (uint64_t)stored * LZ4_GROWTH_MAX;
}

/* The offset of the first header behind `from`; len when there is none. */
static size_t find_header(const struct tsm_wal_reader *r, size_t from)
{
    while (from < r->len && r->len - from >= TSM_WAL_HEADER) {
        const uint8_t *p = memmem(r->p + from, r->len - from, MAGIC, 4);
        if (!p || (size_t)(r->p + r->len - p) < TSM_WAL_HEADER)
            break;
        if (is_header(p))
            return (size_t)(p - r->p);
        from = (size_t)(p - r->p) + 1;
    }
    return r->len;
}

/* The beginning of a header that is cut off, or zeros, which a file system leaves where it was to grow. */
static bool looks_unfinished(const uint8_t *p, size_t len)
{
    if (len < TSM_WAL_HEADER && memcmp(p, MAGIC, len < 4 ? len : 4) == 0)
        return true;
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Passes over a stretch that does not check. */
static int skip(struct tsm_wal_reader *r, size_t end, const char *cause, struct tsm_err *err)
{
    size_t at = r->at;
    r->at = end;
    return tsm_err_set(err, TSM_ECORRUPT, "offset %zu: %zu bytes: %s", at, end - at, cause);
}

/* Where to go on behind a record whose header checks and whose content does not: behind it, unless its writer stopped in the
 * middle of it and another one went on there. */
static size_t find_end(const struct tsm_wal_reader *r, size_t end)
{
    if (end == r->len || (r->len - end >= TSM_WAL_HEADER && is_header(r->p + end)))
        return end;
    size_t next = find_header(r, r->at + TSM_WAL_HEADER);
    return next < end ? next : end;
}

static int read_payload(struct tsm_wal_reader *r, const uint8_t *header, struct tsm_wal_record *record)
{
    uint32_t raw = tsm_get_be32(header + AT_RAW), stored = tsm_get_be32(header + AT_STORED);
    const uint8_t *p = header + TSM_WAL_HEADER;
    record->payload = tsm_str((const char *)p, stored);
    if (raw == stored)
        return TSM_OK;
    tsm_buf_reset(&r->payload);
    char *to = (char *)tsm_buf_room(&r->payload, raw);
    if (LZ4_decompress_safe((const char *)p, to, (int)stored, (int)raw) != (int)raw)
        return TSM_ECORRUPT;
    r->payload.len = raw;
    record->payload = tsm_buf_view(&r->payload);
    return TSM_OK;
}

int tsm_wal_next(struct tsm_wal_reader *r, struct tsm_wal_record *record, struct tsm_err *err)
{
    size_t left = r->len - r->at;
    const uint8_t *header = r->p + r->at;
    r->torn = false;
    if (left == 0)
        return TSM_ENOTFOUND;
    if (left < TSM_WAL_HEADER || !is_header(header)) {
        size_t next = find_header(r, r->at + 1);
        if (next < r->len || !looks_unfinished(header, left))
            return skip(r, next, "no record begins here", err);
        r->torn = true;
        return TSM_ENOTFOUND;
    }
    size_t stored = tsm_get_be32(header + AT_STORED);
    if (left - TSM_WAL_HEADER < stored) {
        size_t next = find_header(r, r->at + TSM_WAL_HEADER);
        if (next < r->len)
            return skip(r, next, "a record that is cut", err);
        r->torn = true;
        return TSM_ENOTFOUND;
    }
    size_t end = r->at + TSM_WAL_HEADER + stored;
    if (tsm_get_be64(header + AT_DIGEST) != XXH3_64bits(header + TSM_WAL_HEADER, stored))
        return skip(r, find_end(r, end), "a record whose checksum does not match", err);
    if (read_payload(r, header, record) != TSM_OK)
        return skip(r, end, "a record that cannot be decompressed", err);
    record->kind = (enum tsm_wal_kind)header[AT_KIND];
    record->sequence = tsm_get_be64(header + AT_SEQUENCE);
    record->offset = r->at;
    record->size = end - r->at;
    r->at = end;
    return TSM_OK;
}

void tsm_wal_reader_release(struct tsm_wal_reader *r)
{
    tsm_buf_release(&r->payload);
}

/* ---- the sequence ---- */

void tsm_wal_order_damage(struct tsm_wal_order *o)
{
    o->stretches++;
}

int tsm_wal_order_next(struct tsm_wal_order *o, uint64_t sequence, struct tsm_err *err)
{
    struct tsm_wal_order before = *o;
    *o = (struct tsm_wal_order){.last = sequence};
    if (before.last == 0)
        return TSM_OK;
    if (sequence <= before.last)
        return tsm_err_set(err, TSM_ECORRUPT, "sequence %" PRIu64 " comes after %" PRIu64, sequence,
                           before.last);
    uint64_t missing = sequence - before.last - 1;
    if (missing <= before.stretches)
        return TSM_OK;
    missing -= before.stretches;
    return tsm_err_set(err, TSM_ECORRUPT, "%" PRIu64 " %srecord%s missing before sequence %" PRIu64, missing,
                       before.stretches ? "more " : "", missing == 1 ? " is" : "s are", sequence);
}

/* ---- deletes ---- */

enum { DELETE_HEAD = 16 };

void tsm_wal_delete_begin(struct tsm_buf *payload, int64_t tmin, int64_t tmax)
{
    uint8_t head[DELETE_HEAD];
    tsm_put_be64(head, (uint64_t)tmin);
    tsm_put_be64(head + 8, (uint64_t)tmax);
    tsm_buf_reset(payload);
    tsm_buf_add(payload, head, sizeof head);
}

void tsm_wal_delete_key(struct tsm_buf *payload, struct tsm_str tsm_key)
{
    uint8_t n[4];
    tsm_put_be32(n, (uint32_t)tsm_key.n);
    tsm_buf_add(payload, n, sizeof n);
    tsm_buf_str(payload, tsm_key);
}

/* The key at *at, which moves behind it. False at the end or when it is cut. */
static bool next_key(struct tsm_str payload, size_t *at, struct tsm_str *key)
{
    if (payload.n - *at < 4)
        return false;
    size_t n = tsm_get_be32((const uint8_t *)payload.p + *at);
    if (payload.n - *at - 4 < n)
        return false;
    *key = tsm_str(payload.p + *at + 4, n);
    *at += 4 + n;
    return true;
}

int tsm_wal_delete_read(struct tsm_str payload,
                        int (*each)(void *ctx, struct tsm_str tsm_key, int64_t tmin, int64_t tmax,
                                    struct tsm_err *err),
                        void *ctx, struct tsm_err *err)
{
    struct tsm_str key;
    size_t at = DELETE_HEAD;
    if (payload.n < DELETE_HEAD)
        return tsm_err_set(err, TSM_ECORRUPT, "a delete of %zu bytes", payload.n);
    while (next_key(payload, &at, &key))
        ;
    if (at != payload.n)
        return tsm_err_set(err, TSM_ECORRUPT, "a delete with a key that is cut at byte %zu", at);
    int64_t tmin = (int64_t)tsm_get_be64((const uint8_t *)payload.p);
    int64_t tmax = (int64_t)tsm_get_be64((const uint8_t *)payload.p + 8);
    int rc = TSM_OK;
    for (at = DELETE_HEAD; rc == TSM_OK && next_key(payload, &at, &key);)
        rc = each(ctx, key, tmin, tmax, err);
    return rc;
}

/* ---- names ---- */

void tsm_wal_name_format(char out[TSM_WAL_NAME_MAX], uint32_t number)
{
    snprintf(out, TSM_WAL_NAME_MAX, "%09u.log", number);
}

bool tsm_wal_name_parse(struct tsm_str name, uint32_t *number)
{
    enum { DIGITS_MIN = 9, DIGITS_MAX = 10, SUFFIX = 4 };
    if (name.n < DIGITS_MIN + SUFFIX || name.n > DIGITS_MAX + SUFFIX ||
        memcmp(name.p + name.n - SUFFIX, ".log", SUFFIX) != 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < name.n - SUFFIX; i++) {
        if (name.p[i] < '0' || name.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(name.p[i] - '0');
    }
    if (v > UINT32_MAX || (name.n - SUFFIX > DIGITS_MIN && name.p[0] == '0'))
        return false;
    if (number)
        *number = (uint32_t)v;
    return true;
}
