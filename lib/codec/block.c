/* codec/block.c: a block is put together from, and taken apart into, its timestamps and values. */
#include "codec/block.h"

#include "base/bytes.h"
#include "codec/boolean.h"
#include "codec/float.h"
#include "codec/integer.h"
#include "codec/string.h"
#include "codec/time.h"
#include "base/banned.h"

static int encode_values(struct tsm_buf *out, const struct tsm_values *c, size_t from, size_t n,
                         struct tsm_err *err)
{
    switch (c->type) {
    case TSM_FLOAT:
        return tsm_float_encode(out, c->v.f + from, n, err);
    case TSM_BOOLEAN:
        tsm_boolean_encode(out, c->v.b + from, n);
        return TSM_OK;
    case TSM_STRING:
        return tsm_string_encode(out, c->v.s + from, n, err);
    default:
        tsm_integer_encode(out, c->v.i + from, n);
        return TSM_OK;
    }
}

int tsm_block_encode(struct tsm_buf *out, const struct tsm_values *c, size_t from, size_t to,
                     struct tsm_err *err)
{
    if (from >= to || to > c->n || to - from > TSM_BLOCK_MAX_POINTS)
        return tsm_err_set(err, TSM_ELIMIT, "block of %zu points", from < to ? to - from : 0);
    size_t start = out->len;
    tsm_buf_byte(out, (uint8_t)c->type);
    /* The length of the timestamps comes before them and nearly always takes one or two bytes: make room for
     * one, and move the timestamps when that is not enough. */
    tsm_buf_byte(out, 0);
    size_t times = out->len;
    tsm_time_encode(out, c->t + from, to - from);
    uint8_t length[TSM_VARINT_MAX];
    size_t time_bytes = out->len - times;
    size_t used = tsm_put_uvarint(length, time_bytes);
    if (used > 1) {
        tsm_buf_room(out, used - 1);
        memmove(out->data + times + used - 1, out->data + times, time_bytes);
        out->len += used - 1;
    }
    memcpy(out->data + times - 1, length, used);
    int rc = encode_values(out, c, from, to - from, err);
    if (rc)
        out->len = start;
    return rc;
}

/* The parts of a block. */
struct parts {
    enum tsm_type type;
    size_t n;
    const uint8_t *times, *values;
    size_t time_bytes, value_bytes;
};

static int split(const uint8_t *p, size_t len, struct parts *b, struct tsm_err *err)
{
    if (len < 2)
        return tsm_err_set(err, TSM_ECORRUPT, "block of %zu bytes is too short", len);
    if (p[0] >= TSM_TYPES)
        return tsm_err_set(err, TSM_ECORRUPT, "unknown block type %d", p[0]);
    uint64_t time_bytes;
    size_t used = tsm_get_uvarint(p + 1, len - 1, &time_bytes);
    if (!used)
        return tsm_err_set(err, TSM_ECORRUPT, "bad length of the timestamps");
    size_t rest = len - 1 - used;
    if (time_bytes > rest)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps of %llu bytes exceed the block",
                           (unsigned long long)time_bytes);
    b->type = (enum tsm_type)p[0];
    b->times = p + 1 + used;
    b->time_bytes = (size_t)time_bytes;
    b->values = b->times + b->time_bytes;
    b->value_bytes = rest - b->time_bytes;
    return tsm_time_count(b->times, b->time_bytes, &b->n, err);
}

static int decode_values(const struct parts *b, struct tsm_values *c, struct tsm_err *err)
{
    switch (b->type) {
    case TSM_FLOAT:
        return tsm_float_decode(b->values, b->value_bytes, c->v.f, b->n, err);
    case TSM_BOOLEAN:
        return tsm_boolean_decode(b->values, b->value_bytes, c->v.b, b->n, err);
    case TSM_STRING:
        return tsm_string_decode(b->values, b->value_bytes, tsm_values_text(c), c->v.s, b->n, err);
    default:
        return tsm_integer_decode(b->values, b->value_bytes, c->v.i, b->n, err);
    }
}

static int decode(const uint8_t *p, size_t len, struct tsm_values *c, bool values, struct tsm_err *err)
{
    struct parts b;
    int rc = split(p, len, &b, err);
    tsm_values_reset(c, rc ? c->type : b.type, rc ? 0 : b.n);
    /* The values first: when a few bytes of timestamps claim a million points, that shows here before it
     * costs. */
    if (!rc && values)
        rc = decode_values(&b, c, err);
    if (!rc)
        rc = tsm_time_decode(b.times, b.time_bytes, c->t, b.n, err);
    if (!rc)
        c->n = b.n;
    return rc;
}

int tsm_block_decode(const uint8_t *p, size_t len, struct tsm_values *c, struct tsm_err *err)
{
    return decode(p, len, c, true, err);
}

int tsm_block_decode_times(const uint8_t *p, size_t len, struct tsm_values *c, struct tsm_err *err)
{
    return decode(p, len, c, false, err);
}

int tsm_block_count(const uint8_t *p, size_t len, size_t *n, struct tsm_err *err)
{
    struct parts b;
    int rc = split(p, len, &b, err);
    if (!rc)
        *n = b.n;
    return rc;
}

static const char *value_encoding_name(enum tsm_type type, uint8_t first_byte)
{
    switch (type) {
    case TSM_FLOAT:
        return tsm_float_encoding_name(first_byte);
    case TSM_BOOLEAN:
        return tsm_boolean_encoding_name(first_byte);
    case TSM_STRING:
        return tsm_string_encoding_name(first_byte);
    default:
        return tsm_integer_encoding_name(first_byte);
    }
}

int tsm_block_info(const uint8_t *p, size_t len, struct tsm_block_info *info, struct tsm_err *err)
{
    struct parts b;
    int rc = split(p, len, &b, err);
    if (rc)
        return rc;
    if (b.value_bytes == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "block without values");
    *info = (struct tsm_block_info){
        .type = b.type,
        .n = b.n,
        .time_encoding = tsm_time_encoding_name(b.times[0]),
        .value_encoding = value_encoding_name(b.type, b.values[0]),
        .time_bytes = b.time_bytes,
        .value_bytes = b.value_bytes,
    };
    return TSM_OK;
}
