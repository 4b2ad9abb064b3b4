/*
 * net/answer_msgpack.h: the answer of a foreign InfluxDB in MessagePack, whole or in chunks, as calls of a sink. MessagePack keeps
 * integers and floats apart, which JSON does not. Source: influxdb v1.8 services/httpd/response_writer.go; times are tinylib/msgp's
 * extension 5: seconds and nanoseconds, big-endian.
 *
 * Which columns are tags is not in it: a sink sees fields, but for those that is_tag knows.
 */
#ifndef TSM_NET_ANSWER_MSGPACK_H
#define TSM_NET_ANSWER_MSGPACK_H

#include "query/sink.h"

struct tsm_answer_msgpack;

struct tsm_answer_options {
    struct tsm_sink *sink;
    bool (*several)(void *ctx, unsigned statement); /* for struct tsm_series_head; may be NULL */
    bool (*is_tag)(void *ctx, struct tsm_str measurement, struct tsm_str column); /* may be NULL */
    void *ctx;
};

struct tsm_answer_msgpack *tsm_answer_msgpack_new(const struct tsm_answer_options *opt);
void tsm_answer_msgpack_free(struct tsm_answer_msgpack *a); /* NULL is allowed */

/* Takes the next bytes. TSM_ECORRUPT: they are no answer; TSM_EQUERY with the text when the query as a whole was refused; what the
 * sink returned. */
int tsm_answer_msgpack_feed(struct tsm_answer_msgpack *a, const uint8_t *p, size_t n, struct tsm_err *err);
/* The bytes have ended. TSM_ECORRUPT when they should not have. TSM_EQUERY with the text of the first statement that failed.
 * *rows: of all statements. */
int tsm_answer_msgpack_end(struct tsm_answer_msgpack *a, uint64_t *rows, struct tsm_err *err);

#endif
