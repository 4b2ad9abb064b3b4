/* base/protobuf.c: the wire format of protobuf. */
#include "base/protobuf.h"

#include "base/bytes.h"
#include "base/banned.h"

int tsm_pb_next(struct tsm_pb_reader *r, struct tsm_pb_field *f)
{
    const uint8_t *p = r->p;
    uint64_t tag, len = 0;
    if (p == r->end)
        return 0;
    size_t n = tsm_get_uvarint(p, (size_t)(r->end - p), &tag);
    if (n == 0 || tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1)
        return -1;
    p += n;
    *f = (struct tsm_pb_field){.number = (uint32_t)(tag >> 3), .wire = (enum tsm_pb_wire)(tag & 7)};
    switch (f->wire) {
    case TSM_PB_VARINT:
        n = tsm_get_uvarint(p, (size_t)(r->end - p), &f->value);
        if (n == 0)
            return -1;
        p += n;
        break;
    case TSM_PB_BYTES:
        n = tsm_get_uvarint(p, (size_t)(r->end - p), &len);
        if (n == 0)
            return -1;
        p += n;
        break;
    case TSM_PB_FIXED64:
        len = 8;
        break;
    case TSM_PB_FIXED32:
        len = 4;
        break;
    default:
        return -1;
    }
    if (len > (uint64_t)(r->end - p))
        return -1;
    f->bytes = tsm_str((const char *)p, len);
    p += len;
    f->raw = tsm_str((const char *)r->p, (size_t)(p - r->p));
    r->p = p;
    return 1;
}

static void put_uvarint(struct tsm_buf *out, uint64_t v)
{
    out->len += tsm_put_uvarint(tsm_buf_room(out, TSM_VARINT_MAX), v);
}

void tsm_pb_put_varint(struct tsm_buf *out, uint32_t number, uint64_t v)
{
    put_uvarint(out, (uint64_t)number << 3 | TSM_PB_VARINT);
    put_uvarint(out, v);
}

void tsm_pb_put_fixed64(struct tsm_buf *out, uint32_t number, uint64_t v)
{
    put_uvarint(out, (uint64_t)number << 3 | TSM_PB_FIXED64);
    for (unsigned shift = 0; shift < 64; shift += 8)
        tsm_buf_byte(out, (uint8_t)(v >> shift));
}

void tsm_pb_put_bytes(struct tsm_buf *out, uint32_t number, struct tsm_str s)
{
    put_uvarint(out, (uint64_t)number << 3 | TSM_PB_BYTES);
    put_uvarint(out, s.n);
    tsm_buf_str(out, s);
}
