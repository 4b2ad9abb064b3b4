/* cluster/entry.c: entries of the raft log. */
#include "cluster/entry.h"

#include <lz4.h>
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "cluster/raft_node.h"
#include "format/batch.h"
#include "base/banned.h"

enum {
    VERSION = 1,
    HEAD = 8,
    LZ4_RATIO = 255, /* a block holds at most so many times its size */
    UNPACKED_MAX = 1 << 30,
};

struct tsm_entry_encoder {
    struct tsm_batch_encoder *batch;
    uint32_t *which;
    size_t capwhich;
    struct tsm_buf points;
    void *lz4;
};

struct tsm_entry_encoder *tsm_entry_encoder_new(void)
{
    struct tsm_entry_encoder *e = tsm_calloc(1, sizeof *e);
    e->batch = tsm_batch_encoder_new();
    e->lz4 = tsm_alloc((size_t)LZ4_sizeofState());
    return e;
}

void tsm_entry_encoder_free(struct tsm_entry_encoder *e)
{
    if (!e)
        return;
    tsm_batch_encoder_free(e->batch);
    tsm_buf_release(&e->points);
    tsm_free(e->which);
    tsm_free(e->lz4);
    tsm_free(e);
}

/* Fills in the head, pads, and gives back what is not used of the room. */
static uint8_t *finish(uint8_t *p, enum tsm_entry_kind kind, size_t body, size_t *len)
{
    size_t end = HEAD + body, all = (end + TSM_RAFT_ALIGN - 1) / TSM_RAFT_ALIGN * TSM_RAFT_ALIGN;
    p = tsm_realloc(p, all);
    memset(p, 0, HEAD);
    p[0] = VERSION;
    p[1] = (uint8_t)kind;
    tsm_put_be32(p + 4, (uint32_t)body);
    memset(p + end, 0, all - end);
    *len = all;
    return p;
}

static uint8_t *put_text(uint8_t *to, struct tsm_str s)
{
    to += tsm_put_uvarint(to, s.n);
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

uint8_t *tsm_entry_batch(struct tsm_entry_encoder *e, struct tsm_str db, struct tsm_str rp,
                         const struct tsm_points *points, size_t from, size_t to, size_t *len)
{
    size_t n = to - from;
    TSM_GROW(e->which, n, e->capwhich);
    for (size_t i = 0; i < n; i++)
        e->which[i] = (uint32_t)(from + i);
    tsm_buf_reset(&e->points);
    tsm_batch_encode(e->batch, points, e->which, n, &e->points);
    int bound = LZ4_compressBound((int)e->points.len);
    uint8_t *p = tsm_alloc(HEAD + 3 * TSM_VARINT_MAX + db.n + rp.n + (size_t)bound + TSM_RAFT_ALIGN);
    uint8_t *at = put_text(put_text(p + HEAD, db), rp);
    at += tsm_put_uvarint(at, e->points.len);
    at += LZ4_compress_fast_extState(e->lz4, (const char *)e->points.data, (char *)at, (int)e->points.len,
                                     bound, 1);
    return finish(p, TSM_ENTRY_BATCH, (size_t)(at - p) - HEAD, len);
}

uint8_t *tsm_entry_change(const struct tsm_change *c, size_t *len)
{
    struct tsm_buf out = {0};
    tsm_buf_room(&out, HEAD);
    out.len = HEAD;
    tsm_change_encode(c, &out);
    size_t body = out.len - HEAD;
    tsm_buf_room(&out, TSM_RAFT_ALIGN);
    return finish(out.data, TSM_ENTRY_CHANGE, body, len);
}

/* ---- reading ---- */

static int corrupt(struct tsm_err *err, const char *cause)
{
    return tsm_err_set(err, TSM_ECORRUPT, "entry of the log: %s", cause);
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    size_t n = tsm_get_uvarint(*p, (size_t)(end - *p), v);
    *p += n;
    return n > 0;
}

static bool get_text(const uint8_t **p, const uint8_t *end, struct tsm_str *s)
{
    uint64_t n;
    if (!get_varint(p, end, &n) || n > (size_t)(end - *p))
        return false;
    *s = tsm_str((const char *)*p, n);
    *p += n;
    return true;
}

static int decode_batch(const uint8_t *p, const uint8_t *end, struct tsm_raft_entry *entry,
                        struct tsm_err *err)
{
    uint64_t size;
    if (!get_text(&p, end, &entry->db) || !get_text(&p, end, &entry->rp) || entry->db.n == 0)
        return corrupt(err, "a bad name");
    if (!get_varint(&p, end, &size))
        return corrupt(err, "a bad size");
    size_t packed = (size_t)(end - p);
    if (size > UNPACKED_MAX || packed > UNPACKED_MAX || size > (uint64_t)packed * LZ4_RATIO)
        return corrupt(err, "a size that cannot be");
    entry->size = size;
    entry->packed = tsm_str((const char *)p, packed);
    return TSM_OK;
}

int tsm_entry_decode(const uint8_t *p, size_t len, struct tsm_raft_entry *entry, struct tsm_err *err)
{
    *entry = (struct tsm_raft_entry){0};
    if (len < HEAD)
        return corrupt(err, "cut");
    if (p[0] != VERSION)
        return tsm_err_set(err, TSM_ECORRUPT, "entry of the log: unknown version %u", p[0]);
    if (p[2] || p[3])
        return corrupt(err, "a bad head");
    size_t body = tsm_get_be32(p + 4);
    if (body > len - HEAD || len - HEAD - body >= TSM_RAFT_ALIGN)
        return corrupt(err, "a bad length");
    for (size_t i = HEAD + body; i < len; i++)
        if (p[i])
            return corrupt(err, "bytes behind its end");
    entry->kind = (enum tsm_entry_kind)p[1];
    switch (p[1]) {
    case TSM_ENTRY_BATCH:
        return decode_batch(p + HEAD, p + HEAD + body, entry, err);
    case TSM_ENTRY_CHANGE:
        return tsm_change_decode(p + HEAD, body, &entry->change, err);
    default:
        return tsm_err_set(err, TSM_ECORRUPT, "entry of the log: unknown kind %u", p[1]);
    }
}

int tsm_entry_points(const struct tsm_raft_entry *entry, struct tsm_buf *unpacked, struct tsm_points *out,
                     struct tsm_err *err)
{
    tsm_buf_reset(unpacked);
    tsm_buf_room(unpacked, entry->size + 1);
    int n = LZ4_decompress_safe(entry->packed.p, (char *)unpacked->data, (int)entry->packed.n,
                                (int)entry->size);
    if (n < 0 || (size_t)n != entry->size)
        return corrupt(err, "points that are not LZ4");
    unpacked->len = entry->size;
    int rc = tsm_batch_decode(unpacked->data, unpacked->len, out, err);
    return rc == TSM_OK ? rc : tsm_err_wrap(err, rc, "entry of the log");
}

/* ---- what an entry can hold ---- */

static bool refuse(const struct tsm_point *p, struct tsm_buf *why, const char *cause)
{
    tsm_line_error(why, p->text, cause);
    return false;
}

bool tsm_entry_can_hold(const struct tsm_points *points, const struct tsm_point *p, struct tsm_buf *why)
{
    const struct tsm_field *f = &points->fields[p->first_field];
    if (p->raw_key.n == 0)
        return refuse(p, why, "missing measurement");
    if (p->nfields == 0)
        return refuse(p, why, "missing fields");
    for (const struct tsm_field *end = f + p->nfields; f < end; f++) {
        size_t n = p->raw_key.n + TSM_FIELD_SEPARATOR.n + f->name.n;
        if (f->name.n == 0)
            return refuse(p, why, "missing field key");
        if (f->type == TSM_FLOAT && !isfinite(f->value.f))
            return refuse(p, why, "invalid number");
        if (n > TSM_KEY_MAX) {
            char cause[80];
            snprintf(cause, sizeof cause, "max key length exceeded: %zu > %d", n, TSM_KEY_MAX);
            return refuse(p, why, cause);
        }
    }
    return true;
}
