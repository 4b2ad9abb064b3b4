/*
 * format/influx_wal.c: influxd's write-ahead log segments.
 *
 * A record's content is walked twice, by the same code: first to check it, then with the visitor. So a
 * damaged record has no effect at all, and the second walk cannot fail for reasons of format.
 */
#include "format/influx_wal.h"

#include <snappy-c.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/banned.h"

enum {
    KIND_WRITE = 1,
    KIND_DELETE = 2,
    KIND_DELETE_RANGE = 3,
    HEAD = 5, /* kind and length */
};

enum { MAX_SEGMENT = 1 << 30 }; /* influxd starts a new one after 10 MB */

/* What is left of a record's content. */
struct cursor {
    const uint8_t *p, *end;
};

static bool has(const struct cursor *c, uint64_t n)
{
    return (uint64_t)(c->end - c->p) >= n;
}

static bool take_u16(struct cursor *c, uint32_t *v)
{
    if (!has(c, 2))
        return false;
    *v = tsm_get_be16(c->p);
    c->p += 2;
    return true;
}

static bool take_u32(struct cursor *c, uint32_t *v)
{
    if (!has(c, 4))
        return false;
    *v = tsm_get_be32(c->p);
    c->p += 4;
    return true;
}

static bool take_i64(struct cursor *c, int64_t *v)
{
    if (!has(c, 8))
        return false;
    *v = (int64_t)tsm_get_be64(c->p);
    c->p += 8;
    return true;
}

static bool take_text(struct cursor *c, uint32_t n, struct tsm_str *s)
{
    if (!has(c, n))
        return false;
    *s = tsm_str((const char *)c->p, n);
    c->p += n;
    return true;
}

/* ---- the content of records -------------------------------------------------------------------- */

static bool type_of_code(uint8_t code, enum tsm_type *type)
{
    static const enum tsm_type types[] = {TSM_FLOAT, TSM_INTEGER, TSM_BOOLEAN, TSM_STRING, TSM_UNSIGNED};
    if (code < 1 || code > sizeof types / sizeof *types)
        return false;
    *type = types[code - 1];
    return true;
}

/* Takes n values of out->type; their strings point into the record. */
static bool take_values(struct cursor *c, uint32_t n, struct tsm_values *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len;
        if (!take_i64(c, &out->t[i]))
            return false;
        switch (out->type) {
        case TSM_BOOLEAN:
            if (!has(c, 1))
                return false;
            out->v.b[i] = *c->p++ == 1;
            break;
        case TSM_STRING:
            if (!take_u32(c, &len) || !take_text(c, len, &out->v.s[i]))
                return false;
            break;
        default: /* eight bytes, whatever they mean */
            if (!take_i64(c, &out->v.i[i]))
                return false;
            break;
        }
    }
    out->n = n;
    return true;
}

/* A walk over a record's content; v NULL only checks. */
struct walk {
    const struct tsm_wal_visitor *v;
    struct tsm_values *values; /* scratch */
    struct tsm_err *err;
    const char *cause; /* set when the content is malformed */
};

static int malformed(struct walk *w, const char *cause)
{
    w->cause = cause;
    return TSM_ECORRUPT;
}

static int walk_write(struct walk *w, struct cursor c)
{
    while (c.p < c.end) {
        enum tsm_type type;
        uint32_t len, n;
        struct tsm_str key;
        if (!type_of_code(*c.p++, &type))
            return malformed(w, "unknown value type");
        if (!take_u16(&c, &len) || !take_text(&c, len, &key) || !take_u32(&c, &n))
            return malformed(w, "a key is cut short");
        /* The smallest value of all, a boolean, takes nine bytes with its time. */
        if (n == 0 || !has(&c, (uint64_t)n * 9))
            return malformed(w, "the number of values does not fit");
        tsm_values_reset(w->values, type, n);
        if (!take_values(&c, n, w->values))
            return malformed(w, "a value is cut short");
        int rc = w->v ? w->v->write(w->v->ctx, key, w->values, w->err) : TSM_OK;
        if (rc)
            return rc;
    }
    return TSM_OK;
}

static int walk_delete(struct walk *w, struct cursor c)
{
    while (c.p < c.end) {
        const uint8_t *newline = memchr(c.p, '\n', (size_t)(c.end - c.p));
        const uint8_t *end = newline ? newline : c.end;
        struct tsm_str key = tsm_str((const char *)c.p, (size_t)(end - c.p));
        int rc = w->v ? w->v->remove(w->v->ctx, key, INT64_MIN, INT64_MAX, w->err) : TSM_OK;
        if (rc)
            return rc;
        c.p = newline ? newline + 1 : c.end;
    }
    return TSM_OK;
}

static int walk_delete_range(struct walk *w, struct cursor c)
{
    int64_t tmin, tmax;
    if (!take_i64(&c, &tmin) || !take_i64(&c, &tmax))
        return malformed(w, "a time range is cut short");
    while (c.p < c.end) {
        uint32_t len;
        struct tsm_str key;
        if (!take_u32(&c, &len) || !take_text(&c, len, &key))
            return malformed(w, "a key is cut short");
        int rc = w->v ? w->v->remove(w->v->ctx, key, tmin, tmax, w->err) : TSM_OK;
        if (rc)
            return rc;
    }
    return TSM_OK;
}

static int walk_content(struct walk *w, uint8_t kind, struct cursor c)
{
    switch (kind) {
    case KIND_WRITE:
        return walk_write(w, c);
    case KIND_DELETE:
        return walk_delete(w, c);
    case KIND_DELETE_RANGE:
        return walk_delete_range(w, c);
    default:
        return malformed(w, "unknown kind of record");
    }
}

/* ---- records ----------------------------------------------------------------------------------- */

/*
 * Whether the snappy block at p ends within len bytes: then a record that claims more than len bytes was not
 * cut short by the end of the file, its length is wrong. Only the lengths of the block's elements are looked
 * at.
 */
static bool block_is_whole(const uint8_t *p, size_t len)
{
    uint64_t want, made = 0;
    size_t at = tsm_get_uvarint(p, len, &want);
    if (at == 0)
        return false;
    while (made < want) {
        if (at >= len)
            return false;
        unsigned tag = p[at++];
        if ((tag & 3) == 0) { /* a literal */
            uint64_t n = tag >> 2;
            if (n >= 60) { /* its length is in the next 1 to 4 bytes, little-endian */
                size_t bytes = (size_t)n - 59;
                if (len - at < bytes)
                    return false;
                n = 0;
                for (size_t i = 0; i < bytes; i++)
                    n |= (uint64_t)p[at + i] << (8 * i);
                at += bytes;
            }
            n++;
            if (len - at < n)
                return false;
            at += n;
            made += n;
        } else { /* a copy with an offset of 1, 2 or 4 bytes */
            size_t bytes = (tag & 3) == 3 ? 4 : tag & 3;
            if (len - at < bytes)
                return false;
            at += bytes;
            made += (tag & 3) == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
        }
    }
    return true;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    while (len > 0 && p[len - 1] == 0)
        len--;
    return len == 0;
}

struct scan {
    const struct tsm_wal_visitor *v;
    struct tsm_values values;
    struct tsm_buf content;
    struct tsm_err *err;
};

/* Unpacks the block of a record into s->content; NULL or why not. */
static const char *unpack(struct scan *s, const uint8_t *p, size_t len)
{
    size_t size;
    if (snappy_uncompressed_length((const char *)p, len, &size) != SNAPPY_OK)
        return "the compressed block has no length";
    if (size > len * 22 + 64) /* 64 bytes from a copy of 3 is the best that snappy can do */
        return "the compressed block claims an impossible length";
    tsm_buf_reset(&s->content);
    char *out = (char *)tsm_buf_room(&s->content, size + 1); /* never NULL, also for size 0 */
    if (snappy_uncompress((const char *)p, len, out, &size) != SNAPPY_OK)
        return "the compressed block is damaged";
    s->content.len = size;
    return NULL;
}

/* Checks the record with this content and hands it to the visitor; NULL or what is wrong with it. */
static const char *visit(struct scan *s, uint8_t kind, const uint8_t *p, size_t len, int *rc)
{
    const char *cause = unpack(s, p, len);
    if (cause)
        return cause;
    struct cursor c = {s->content.data, s->content.data + s->content.len};
    struct walk w = {.values = &s->values, .err = s->err};
    if (walk_content(&w, kind, c))
        return w.cause;
    w.v = s->v;
    *rc = walk_content(&w, kind, c);
    return NULL;
}

int tsm_influx_wal_scan(const uint8_t *p, size_t len, const struct tsm_wal_visitor *v, uint64_t *torn,
                        struct tsm_err *err)
{
    struct scan s = {.v = v, .err = err};
    int rc = TSM_OK;
    size_t at = 0;
    *torn = 0;
    while (at < len && rc == TSM_OK) {
        size_t left = len - at;
        /* A file system may leave zeros where a write was lost with the power. */
        if (left < HEAD || (p[at] == 0 && all_zero(p + at, left))) {
            *torn = left;
            break;
        }
        const uint8_t *block = p + at + HEAD;
        size_t size = tsm_get_be32(p + at + 1), next = at + HEAD + size;
        bool fits = size <= left - HEAD;
        const char *cause = NULL;
        if (fits) {
            cause = visit(&s, p[at], block, size, &rc);
        } else if (p[at] >= KIND_WRITE && p[at] <= KIND_DELETE_RANGE && !block_is_whole(block, left - HEAD)) {
            *torn = left;
            break;
        } else {
            cause = "the length reaches beyond the end of the file";
            next = len;
        }
        if (cause) {
            struct tsm_err local, *e = err ? err : &local;
            rc = tsm_err_set(e, TSM_ECORRUPT, "offset %zu: %s", at, cause);
            if (v->damage)
                rc = v->damage(v->ctx, e);
        }
        at = next;
    }
    tsm_values_release(&s.values);
    tsm_buf_release(&s.content);
    return rc;
}

/* The visitor's damage() with the path before the message. */
struct with_path {
    const struct tsm_wal_visitor *v;
    const char *path;
};

static int path_write(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err)
{
    struct with_path *w = ctx;
    return w->v->write(w->v->ctx, key, values, err);
}

static int path_remove(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct with_path *w = ctx;
    return w->v->remove(w->v->ctx, key, tmin, tmax, err);
}

static int path_damage(void *ctx, struct tsm_err *err)
{
    struct with_path *w = ctx;
    int rc = tsm_err_wrap(err, TSM_ECORRUPT, "%s", w->path);
    return w->v->damage ? w->v->damage(w->v->ctx, err) : rc;
}

int tsm_influx_wal_read(const struct tsm_fs *fs, const char *path, const struct tsm_wal_visitor *v,
                        uint64_t *torn, struct tsm_err *err)
{
    /* Read, not mapped: influxd cuts a damaged segment when it starts. */
    struct tsm_buf bytes = {0};
    *torn = 0;
    int rc = tsm_fs_read_file(fs, path, MAX_SEGMENT, &bytes, err);
    if (rc == TSM_OK) {
        struct with_path w = {v, path};
        struct tsm_wal_visitor wrapped = {&w, path_write, path_remove, path_damage};
        rc = tsm_influx_wal_scan(bytes.data, bytes.len, &wrapped, torn, err);
    }
    tsm_buf_release(&bytes);
    return rc;
}

void tsm_influx_wal_delete(struct tsm_buf *out, struct tsm_str payload)
{
    size_t len = snappy_max_compressed_length(payload.n);
    uint8_t *p = tsm_buf_room(out, HEAD + len);
    p[0] = KIND_DELETE_RANGE;
    if (snappy_compress(payload.p, payload.n, (char *)p + HEAD, &len) != SNAPPY_OK)
        abort(); /* there is room */
    tsm_put_be32(p + 1, (uint32_t)len);
    out->len += HEAD + len;
}

bool tsm_influx_wal_name(struct tsm_str name, uint32_t *id)
{
    uint64_t v = 0;
    if (name.n < 10 || name.n > 15 || name.p[0] != '_' || memcmp(name.p + name.n - 4, ".wal", 4) != 0)
        return false;
    for (size_t i = 1; i < name.n - 4; i++) {
        if (name.p[i] < '0' || name.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(name.p[i] - '0');
    }
    if (v > UINT32_MAX)
        return false;
    if (id)
        *id = (uint32_t)v;
    return true;
}
