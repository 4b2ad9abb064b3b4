/*
 * format/batch.c: points as bytes.
 *
 * An encoder numbers keys and names by their first use. Their tables are kept from batch to batch, but not their
 * content: an entry counts only when it has the stamp of the batch, so a small batch costs nothing for the large one
 * before it. Points mostly have the fields of the point before, so for each name the one that followed it
 * last is tried first.
 */
#include "format/batch.h"

#include <math.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/time.h"
#include "base/banned.h"

enum {
    TYPE_BITS = 3, /* of a field's tag */
    /* Bytes of the smallest point (series, time, fields, one field) and field, which bound how many there can be. */
    POINT_MIN = 5,
    FIELD_MIN = 2,
    /* Of a point before its fields, and of a field without the bytes of a string. */
    POINT_HEAD_MAX = 3 * TSM_VARINT_MAX,
    FIELD_HEAD_MAX = 2 * TSM_VARINT_MAX,
};

/* ---- encoding ---- */

struct entry {
    struct tsm_str text; /* borrows from the points */
    uint64_t hash;
    uint32_t number;
    uint32_t stamp; /* 0: never used */
};

/* Texts and their numbers. */
struct table {
    struct entry *entries;
    uint32_t mask; /* number of entries - 1, a power of two */
    uint32_t n;
    struct tsm_buf bytes; /* what is written of them */
};

struct name {
    struct tsm_str text;
    uint32_t next; /* the number of the name that followed it last, plus 1; 0: none has */
};

struct tsm_batch_encoder {
    uint32_t stamp;
    struct table keys, names;
    struct name *known; /* the names by their number plus 1; [0] stands for the beginning of a point */
    size_t capknown;
    struct tsm_buf points;
};

struct tsm_batch_encoder *tsm_batch_encoder_new(void)
{
    return tsm_calloc(1, sizeof(struct tsm_batch_encoder));
}

static void table_release(struct table *t)
{
    tsm_free(t->entries);
    tsm_buf_release(&t->bytes);
}

void tsm_batch_encoder_free(struct tsm_batch_encoder *e)
{
    if (!e)
        return;
    table_release(&e->keys);
    table_release(&e->names);
    tsm_buf_release(&e->points);
    tsm_free(e->known);
    tsm_free(e);
}

static void table_grow(struct table *t, uint32_t stamp)
{
    struct entry *old = t->entries;
    uint32_t count = old ? t->mask + 1 : 0;
    t->mask = count ? 2 * count - 1 : 63;
    t->entries = tsm_calloc((size_t)t->mask + 1, sizeof *t->entries);
    for (uint32_t i = 0; i < count; i++) {
        if (old[i].stamp != stamp)
            continue;
        uint32_t to = (uint32_t)old[i].hash & t->mask;
        while (t->entries[to].stamp)
            to = (to + 1) & t->mask;
        t->entries[to] = old[i];
    }
    tsm_free(old);
}

static inline void add_varint(struct tsm_buf *out, uint64_t v)
{
    out->len += tsm_put_uvarint(tsm_buf_room(out, TSM_VARINT_MAX), v);
}

static inline void add_text(struct tsm_buf *out, struct tsm_str s)
{
    add_varint(out, s.n);
    tsm_buf_str(out, s);
}

/* The number of a text, which is a new one when it equals the count before. */
static inline uint32_t table_number(struct table *t, struct tsm_str text, uint64_t hash, uint32_t stamp)
{
    if (!t->entries || t->n > t->mask / 2)
        table_grow(t, stamp);
    uint32_t i = (uint32_t)hash & t->mask;
    for (; t->entries[i].stamp == stamp; i = (i + 1) & t->mask)
        if (t->entries[i].hash == hash && tsm_str_eq(t->entries[i].text, text))
            return t->entries[i].number;
    t->entries[i] = (struct entry){text, hash, t->n, stamp};
    add_text(&t->bytes, text);
    return t->n++;
}

/* The number of the name of a field that stands behind the one with the number prev - 1 (0: it is the first). */
static inline uint32_t name_number(struct tsm_batch_encoder *e, struct tsm_str text, uint32_t prev)
{
    uint32_t next = e->known[prev].next;
    if (next && tsm_str_eq(e->known[next].text, text))
        return next - 1;
    uint32_t before = e->names.n;
    uint32_t number = table_number(&e->names, text, tsm_hash(text), e->stamp);
    if (number == before) {
        TSM_GROW(e->known, (size_t)number + 2, e->capknown);
        e->known[number + 1] = (struct name){text, 0};
    }
    e->known[prev].next = number + 1;
    return number;
}

/* Writes a value at to, which has room for it; returns what is behind it. */
static inline uint8_t *put_value(uint8_t *to, const struct tsm_field *f)
{
    switch (f->type) {
    case TSM_FLOAT: {
        uint64_t bits;
        memcpy(&bits, &f->value.f, sizeof bits);
        tsm_put_be64(to, bits);
        return to + sizeof bits;
    }
    case TSM_INTEGER:
        return to + tsm_put_uvarint(to, tsm_zigzag(f->value.i));
    case TSM_UNSIGNED:
        return to + tsm_put_uvarint(to, f->value.u);
    case TSM_BOOLEAN:
        *to = f->value.b;
        return to + 1;
    case TSM_STRING:
        to += tsm_put_uvarint(to, f->value.s.n);
        if (f->value.s.n)
            memcpy(to, f->value.s.p, f->value.s.n);
        return to + f->value.s.n;
    case TSM_TYPES:
        break;
    }
    return to;
}

static void add_points(struct tsm_batch_encoder *e, const struct tsm_points *points, const uint32_t *which,
                       size_t n)
{
    struct tsm_buf *out = &e->points;
    uint64_t before = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tsm_point *p = &points->points[which[i]];
        const struct tsm_field *f = &points->fields[p->first_field], *end = f + p->nfields;
        uint8_t *to = tsm_buf_room(out, POINT_HEAD_MAX);
        to += tsm_put_uvarint(to, table_number(&e->keys, p->raw_key, p->hash, e->stamp));
        to += tsm_put_uvarint(to, tsm_zigzag((int64_t)((uint64_t)p->time - before)));
        to += tsm_put_uvarint(to, p->nfields);
        out->len = (size_t)(to - out->data);
        before = (uint64_t)p->time;
        for (uint32_t prev = 0; f < end; f++) {
            uint32_t number = name_number(e, f->name, prev);
            to = tsm_buf_room(out, FIELD_HEAD_MAX + (f->type == TSM_STRING ? f->value.s.n : 0));
            to += tsm_put_uvarint(to, (uint64_t)number << TYPE_BITS | f->type);
            out->len = (size_t)(put_value(to, f) - out->data);
            prev = number + 1;
        }
    }
}

static void add_table(struct tsm_buf *out, const struct table *t)
{
    add_varint(out, t->n);
    tsm_buf_str(out, tsm_buf_view(&t->bytes));
}

static void table_begin(struct table *t, bool forget)
{
    if (forget) {
        tsm_free(t->entries);
        t->entries = NULL;
    }
    t->n = 0;
    tsm_buf_reset(&t->bytes);
}

void tsm_batch_encode(struct tsm_batch_encoder *e, const struct tsm_points *points, const uint32_t *which,
                      size_t n, struct tsm_buf *out)
{
    bool forget = ++e->stamp == 0; /* after four billion batches an old stamp would count again */
    e->stamp += forget;
    table_begin(&e->keys, forget);
    table_begin(&e->names, forget);
    tsm_buf_reset(&e->points);
    TSM_GROW(e->known, 1, e->capknown);
    e->known[0] = (struct name){{NULL, 0}, 0};
    add_points(e, points, which, n);
    tsm_buf_room(out, e->keys.bytes.len + e->names.bytes.len + e->points.len + 3 * TSM_VARINT_MAX);
    add_table(out, &e->keys);
    add_table(out, &e->names);
    add_varint(out, n);
    tsm_buf_str(out, tsm_buf_view(&e->points));
}

/* ---- decoding ---- */

struct text {
    struct tsm_str s;
    uint64_t hash; /* of keys */
};

struct decoder {
    const uint8_t *start, *p, *end;
    struct text *keys, *names;
    size_t nkeys, nnames;
    struct tsm_points *out;
    struct tsm_err *err;
};

static int corrupt(const struct decoder *d, const char *cause)
{
    return tsm_err_set(d->err, TSM_ECORRUPT, "offset %zu of the points: %s", (size_t)(d->p - d->start),
                       cause);
}

static inline bool get_varint(struct decoder *d, uint64_t *v)
{
    if (d->p < d->end && *d->p < 0x80) {
        *v = *d->p++;
        return true;
    }
    size_t n = tsm_get_uvarint(d->p, (size_t)(d->end - d->p), v);
    d->p += n;
    return n > 0;
}

static inline size_t left(const struct decoder *d)
{
    return (size_t)(d->end - d->p);
}

static int read_texts(struct decoder *d, struct text **texts, size_t *count, bool hash)
{
    uint64_t n, size;
    if (!get_varint(d, &n) || n > left(d) || n > UINT32_MAX)
        return corrupt(d, "more keys or names than there are bytes");
    *texts = tsm_realloc_array(NULL, n, sizeof **texts);
    for (size_t i = 0; i < n; i++) {
        if (!get_varint(d, &size) || size > left(d))
            return corrupt(d, "a key or name that is cut");
        if (size == 0 || size > TSM_KEY_MAX)
            return corrupt(d, "a key or name of no possible length");
        struct tsm_str s = tsm_str((const char *)d->p, size);
        (*texts)[i] = (struct text){s, hash ? tsm_hash(s) : 0};
        d->p += size;
    }
    *count = n;
    return TSM_OK;
}

/* Reads the value of f, whose type is set. */
static inline int read_value(struct decoder *d, struct tsm_field *f)
{
    uint64_t v;
    switch (f->type) {
    case TSM_FLOAT:
        if (left(d) < sizeof v)
            return corrupt(d, "a float that is cut");
        v = tsm_get_be64(d->p);
        memcpy(&f->value.f, &v, sizeof v);
        if (!isfinite(f->value.f))
            return corrupt(d, "a float that is no number");
        d->p += sizeof v;
        return TSM_OK;
    case TSM_INTEGER:
        if (!get_varint(d, &v))
            return corrupt(d, "a bad integer");
        f->value.i = tsm_unzigzag(v);
        return TSM_OK;
    case TSM_UNSIGNED:
        return get_varint(d, &f->value.u) ? TSM_OK : corrupt(d, "a bad unsigned integer");
    case TSM_BOOLEAN:
        if (left(d) == 0 || *d->p > 1)
            return corrupt(d, "a bad boolean");
        f->value.b = *d->p++;
        return TSM_OK;
    case TSM_STRING:
        if (!get_varint(d, &v) || v > left(d))
            return corrupt(d, "a string that is cut");
        f->value.s = tsm_str((const char *)d->p, v);
        d->p += v;
        return TSM_OK;
    case TSM_TYPES:
        break;
    }
    return corrupt(d, "an unknown field type");
}

static int read_fields(struct decoder *d, size_t n, size_t key_size)
{
    struct tsm_field *f = &d->out->fields[d->out->nfields];
    for (struct tsm_field *end = f + n; f < end; f++) {
        uint64_t tag;
        if (!get_varint(d, &tag) || tag >> TYPE_BITS >= d->nnames)
            return corrupt(d, "a field without a name");
        f->name = d->names[tag >> TYPE_BITS].s;
        f->type = (enum tsm_type)(tag & ((1 << TYPE_BITS) - 1));
        if (f->name.n + TSM_FIELD_SEPARATOR.n + key_size > TSM_KEY_MAX)
            return corrupt(d, "a key and a name that are too long together");
        if (read_value(d, f) != TSM_OK)
            return TSM_ECORRUPT;
    }
    return TSM_OK;
}

static int read_points(struct decoder *d)
{
    struct tsm_points *out = d->out;
    uint64_t n, key, delta, nfields, time = 0;
    if (!get_varint(d, &n) || n > left(d) / POINT_MIN || n > UINT32_MAX - out->n)
        return corrupt(d, "more points than there are bytes");
    TSM_GROW(out->points, out->n + n, out->cap);
    for (size_t i = 0; i < n; i++) {
        if (!get_varint(d, &key) || key >= d->nkeys)
            return corrupt(d, "a point without a key");
        if (!get_varint(d, &delta))
            return corrupt(d, "a bad time");
        time += (uint64_t)tsm_unzigzag(delta);
        if ((int64_t)time < TSM_TIME_MIN || (int64_t)time > TSM_TIME_MAX)
            return corrupt(d, "a time out of range");
        if (!get_varint(d, &nfields) || nfields == 0 || nfields > left(d) / FIELD_MIN ||
            nfields > UINT32_MAX - out->nfields)
            return corrupt(d, "a point with a bad number of fields");
        TSM_GROW(out->fields, out->nfields + nfields, out->capfields);
        const struct text *t = &d->keys[key];
        if (read_fields(d, nfields, t->s.n) != TSM_OK)
            return TSM_ECORRUPT;
        out->points[out->n++] = (struct tsm_point){
            .raw_key = t->s,
            .hash = t->hash,
            .time = (int64_t)time,
            .first_field = (uint32_t)out->nfields,
            .nfields = (uint32_t)nfields,
            .line = (uint32_t)i + 1,
            .text = t->s,
        };
        out->nfields += nfields;
    }
    return d->p == d->end ? TSM_OK : corrupt(d, "bytes behind the last point");
}

int tsm_batch_decode(const uint8_t *p, size_t len, struct tsm_points *out, struct tsm_err *err)
{
    struct decoder d = {.start = p, .p = p, .end = p + len, .out = out, .err = err};
    int rc = read_texts(&d, &d.keys, &d.nkeys, true);
    if (rc == TSM_OK)
        rc = read_texts(&d, &d.names, &d.nnames, false);
    if (rc == TSM_OK)
        rc = read_points(&d);
    tsm_free(d.keys);
    tsm_free(d.names);
    return rc;
}
