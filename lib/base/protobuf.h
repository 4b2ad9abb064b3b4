/*
 * base/protobuf.h: reading and writing the fields of a protobuf message, one after another. No schema: the
 * caller knows the numbers.
 */
#ifndef TSM_BASE_PROTOBUF_H
#define TSM_BASE_PROTOBUF_H

#include "base/buf.h"

enum tsm_pb_wire {
    TSM_PB_VARINT = 0,
    TSM_PB_FIXED64 = 1,
    TSM_PB_BYTES = 2,
    TSM_PB_FIXED32 = 5,
};

/* What is left of a message. */
struct tsm_pb_reader {
    const uint8_t *p, *end;
};

struct tsm_pb_field {
    uint32_t number;
    enum tsm_pb_wire wire;
    uint64_t value;       /* of a varint; of the other kinds 0 */
    struct tsm_str bytes; /* of TSM_PB_BYTES and the fixed kinds */
    struct tsm_str raw;   /* the whole field, tag included */
};

/* 1: *f is the next field; 0: the message has ended; -1: it is malformed at r->p (groups count as such). */
int tsm_pb_next(struct tsm_pb_reader *r, struct tsm_pb_field *f);

void tsm_pb_put_varint(struct tsm_buf *out, uint32_t number, uint64_t v);
void tsm_pb_put_fixed64(struct tsm_buf *out, uint32_t number, uint64_t v);
void tsm_pb_put_bytes(struct tsm_buf *out, uint32_t number, struct tsm_str s);

#endif
