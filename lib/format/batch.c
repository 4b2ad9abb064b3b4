/*
 * format/batch.c: points as bytes.
 *
 * Encoding looks up the key of each point in a table of those that it has seen, and the name of each field first where it
 * was in the point before: rows of one kind have the same fields in the same order.
 */
#include "format/batch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/banned.h"

enum {
    FIRST_SLOTS = 1 << 10,
    TYPE_BITS = 3,
    TYPE_MASK = (1 << TYPE_BITS) - 1,
};

struct slot {
    uint64_t hash;
    uint32_t number; /* of the key */
    uint32_t round;  /* of the encoder; in an older one the slot is free */
};

struct tsm_batch_encoder {
    struct slot *slots;
    size_t mask;
    uint32_t round;
    struct tsm_str *keys, *names;
    size_t nkeys, capkeys, nnames, capnames;
    struct tsm_buf points;
};

struct tsm_batch_encoder *tsm_batch_encoder_new(void)
{
    struct tsm_batch_encoder *e = tsm_calloc(1, sizeof *e);
    e->slots = tsm_calloc(FIRST_SLOTS, sizeof *e->slots);
    e->mask = FIRST_SLOTS - 1;
    return e;
}

void tsm_batch_encoder_free(struct tsm_batch_encoder *e)
{
    if (!e)
        return;
    tsm_free(e->slots);
    tsm_free(e->keys);
    tsm_free(e->names);
    tsm_buf_release(&e->points);
    tsm_free(e);
}

/* ---- keys and names ---- */

static void place(struct tsm_batch_encoder *e, struct slot slot)
{
    size_t i = slot.hash & e->mask;
    while (e->slots[i].round == e->round)
        i = (i + 1) & e->mask;
    e->slots[i] = slot;
}

static void grow(struct tsm_batch_encoder *e)
{
    struct slot *old = e->slots;
    size_t n = e->mask + 1;
    e->slots = tsm_calloc(2 * n, sizeof *e->slots);
    e->mask = 2 * n - 1;
    for (size_t i = 0; i < n; i++)
        if (old[i].round == e->round)
            place(e, old[i]);
    tsm_free(old);
}

static uint32_t key_number(struct tsm_batch_encoder *e, const struct tsm_point *p)
{
    for (size_t i = p->hash & e->mask; e->slots[i].round == e->round; i = (i + 1) & e->mask)
        if (e->slots[i].hash == p->hash && tsm_str_eq(e->keys[e->slots[i].number], p->raw_key))
            return e->slots[i].number;
    if (2 * e->nkeys > e->mask)
        grow(e);
    TSM_GROW(e->keys, e->nkeys + 1, e->capkeys);
    e->keys[e->nkeys] = p->raw_key;
    place(e, (struct slot){p->hash, (uint32_t)e->nkeys, e->round});
    return (uint32_t)e->nkeys++;
}

static uint32_t name_number(struct tsm_batch_encoder *e, struct tsm_str name, size_t expected)
{
    if (expected < e->nnames && tsm_str_eq(e->names[expected], name))
        return (uint32_t)expected;
    for (size_t i = 0; i < e->nnames; i++)
        if (tsm_str_eq(e->names[i], name))
            return (uint32_t)i;
    TSM_GROW(e->names, e->nnames + 1, e->capnames);
    e->names[e->nnames] = name;
    return (uint32_t)e->nnames++;
}

/* ---- encoding ---- */

static void put_uvarint(struct tsm_buf *b, uint64_t v)
{
    b->len += tsm_put_uvarint(tsm_buf_room(b, TSM_VARINT_MAX), v);
}

static void put_text(struct tsm_buf *b, struct tsm_str s)
{
    put_uvarint(b, s.n);
    tsm_buf_str(b, s);
}

static void put_value(struct tsm_buf *b, const struct tsm_field *f)
{
    switch (f->type) {
    case TSM_FLOAT: {
        uint64_t bits;
        memcpy(&bits, &f->value.f, sizeof bits);
        tsm_put_be64(tsm_buf_room(b, 8), bits);
        b->len += 8;
        break;
    }
    case TSM_INTEGER:
        put_uvarint(b, tsm_zigzag(f->value.i));
        break;
    case TSM_UNSIGNED:
        put_uvarint(b, f->value.u);
        break;
    case TSM_BOOLEAN:
        tsm_buf_byte(b, f->value.b);
        break;
    default:
        put_text(b, f->value.s);
        break;
    }
}

void tsm_batch_encode(struct tsm_batch_encoder *e, const struct tsm_points *points, const uint32_t *which,
                      size_t n, struct tsm_buf *out)
{
    int64_t before = 0;
    struct tsm_buf *b = &e->points;
    tsm_buf_reset(b);
    e->nkeys = e->nnames = 0;
    if (++e->round == 0) { /* it wrapped: old slots would look new */
        memset(e->slots, 0, (e->mask + 1) * sizeof *e->slots);
        e->round = 1;
    }
    uint32_t key = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tsm_point *p = &points->points[which[i]];
        if (e->nkeys == 0 || !tsm_str_eq(e->keys[key], p->raw_key))
            key = key_number(e, p);
        put_uvarint(b, key);
        put_uvarint(b, tsm_zigzag((int64_t)((uint64_t)p->time - (uint64_t)before)));
        put_uvarint(b, p->nfields);
        before = p->time;
        size_t expected = 0;
        for (uint32_t k = 0; k < p->nfields; k++) {
            const struct tsm_field *f = &points->fields[p->first_field + k];
            expected = name_number(e, f->name, expected);
            put_uvarint(b, (uint64_t)expected++ << TYPE_BITS | f->type);
            put_value(b, f);
        }
    }
    put_uvarint(out, e->nkeys);
    for (size_t i = 0; i < e->nkeys; i++)
        put_text(out, e->keys[i]);
    put_uvarint(out, e->nnames);
    for (size_t i = 0; i < e->nnames; i++)
        put_text(out, e->names[i]);
    put_uvarint(out, n);
    tsm_buf_str(out, tsm_buf_view(b));
}

/* ---- decoding ---- */

struct source {
    const uint8_t *start, *p, *end;
    const char *bad; /* what does not check, once something has not */
};

static bool fail(struct source *s, const char *what)
{
    if (!s->bad)
        s->bad = what;
    return false;
}

static bool get_uvarint(struct source *s, uint64_t *v)
{
    size_t n = tsm_get_uvarint(s->p, (size_t)(s->end - s->p), v);
    s->p += n;
    return n ? true : fail(s, "a number is cut or too long");
}

static bool get_text(struct source *s, struct tsm_str *text)
{
    uint64_t n;
    if (!get_uvarint(s, &n))
        return false;
    if (n > (uint64_t)(s->end - s->p))
        return fail(s, "a text is cut");
    *text = tsm_str((const char *)s->p, (size_t)n);
    s->p += n;
    return true;
}

/* A list of texts, in an array of the arena. */
static bool get_texts(struct source *s, struct tsm_arena *a, struct tsm_str **texts, size_t *n)
{
    uint64_t count;
    *texts = NULL;
    *n = 0;
    if (!get_uvarint(s, &count))
        return false;
    if (count > (uint64_t)(s->end - s->p)) /* each takes a byte */
        return fail(s, "a number of texts that do not fit");
    *texts = tsm_arena_alloc(a, (size_t)count * sizeof **texts);
    for (*n = 0; *n < count; ++*n)
        if (!get_text(s, &(*texts)[*n]))
            return false;
    return true;
}

static bool get_value(struct source *s, struct tsm_field *f)
{
    uint64_t v;
    switch (f->type) {
    case TSM_FLOAT:
        if (s->end - s->p < 8)
            return fail(s, "a float is cut");
        v = tsm_get_be64(s->p);
        memcpy(&f->value.f, &v, sizeof v);
        s->p += 8;
        return true;
    case TSM_INTEGER:
        if (!get_uvarint(s, &v))
            return false;
        f->value.i = tsm_unzigzag(v);
        return true;
    case TSM_UNSIGNED:
        return get_uvarint(s, &f->value.u);
    case TSM_BOOLEAN:
        if (s->p == s->end || *s->p > 1)
            return fail(s, "a boolean is neither 0 nor 1");
        f->value.b = *s->p++;
        return true;
    default:
        return get_text(s, &f->value.s);
    }
}

static bool get_field(struct source *s, const struct tsm_str *names, size_t nnames, struct tsm_points *out)
{
    uint64_t head;
    if (!get_uvarint(s, &head))
        return false;
    if (head >> TYPE_BITS >= nnames || (head & TYPE_MASK) >= TSM_TYPES)
        return fail(s, "a field has an unknown name or type");
    struct tsm_field f = {.name = names[head >> TYPE_BITS], .type = (enum tsm_type)(head & TYPE_MASK)};
    if (!get_value(s, &f))
        return false;
    TSM_GROW(out->fields, out->nfields + 1, out->capfields);
    out->fields[out->nfields++] = f;
    return true;
}

struct key {
    struct tsm_str text;
    uint64_t hash;
};

static bool get_point(struct source *s, const struct key *keys, size_t nkeys, const struct tsm_str *names,
                      size_t nnames, int64_t *before, struct tsm_points *out)
{
    uint64_t key, time, nfields;
    if (!get_uvarint(s, &key) || !get_uvarint(s, &time) || !get_uvarint(s, &nfields))
        return false;
    if (key >= nkeys)
        return fail(s, "a point has an unknown series");
    if (nfields == 0 || nfields > (uint64_t)(s->end - s->p) || out->nfields + nfields > UINT32_MAX)
        return fail(s, "a point has a number of fields that do not fit");
    *before = (int64_t)((uint64_t)*before + (uint64_t)tsm_unzigzag(time));
    struct tsm_point p = {
        .raw_key = keys[key].text,
        .hash = keys[key].hash,
        .time = *before,
        .first_field = (uint32_t)out->nfields,
        .nfields = (uint32_t)nfields,
        .line = (uint32_t)out->n + 1,
        .text = keys[key].text,
    };
    for (uint64_t i = 0; i < nfields; i++)
        if (!get_field(s, names, nnames, out))
            return false;
    TSM_GROW(out->points, out->n + 1, out->cap);
    out->points[out->n++] = p;
    return true;
}

int tsm_batch_decode(const uint8_t *p, size_t len, struct tsm_points *out, struct tsm_err *err)
{
    struct source s = {p, p, p + len, NULL};
    struct tsm_str *texts = NULL, *names = NULL;
    size_t nkeys = 0, nnames = 0;
    uint64_t n = 0;
    int64_t before = 0;
    bool ok = get_texts(&s, &out->arena, &texts, &nkeys) && get_texts(&s, &out->arena, &names, &nnames) &&
              get_uvarint(&s, &n);
    struct key *keys = tsm_realloc_array(NULL, nkeys + 1, sizeof *keys);
    for (size_t i = 0; i < nkeys && ok; i++)
        keys[i] = (struct key){texts[i], tsm_hash(texts[i])};
    for (uint64_t i = 0; i < n && ok; i++)
        ok = get_point(&s, keys, nkeys, names, nnames, &before, out);
    if (ok && s.p != s.end)
        ok = fail(&s, "there is more behind the last point");
    tsm_free(keys);
    return ok ? TSM_OK : tsm_err_set(err, TSM_ECORRUPT, "offset %zu: %s", (size_t)(s.p - s.start), s.bad);
}
