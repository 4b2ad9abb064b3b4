/*
 * net/prometheus.h: Prometheus' remote write and remote read as points and as InfluxQL, in the mapping of influxdb v1.8
 * (prometheus/converters.go): a metric's name is the measurement, every label (also __name__) a tag, the value the field
 * "value"; values that are no finite number are left out.
 *
 * Messages are protobuf (prometheus/prompb/remote.proto, types.proto) packed by snappy. Any bytes may come.
 */
#ifndef TSM_NET_PROMETHEUS_H
#define TSM_NET_PROMETHEUS_H

#include "format/line.h"
#include "query/sink.h"

struct tsm_prometheus_dropped {
    uint64_t nan, positive, negative; /* infinities */
};

/* Unpacks a body; TSM_ELIMIT when it would give more than limit bytes, TSM_EPARSE when it is no snappy. */
int tsm_prometheus_unpack(const uint8_t *p, size_t n, size_t limit, struct tsm_buf *out, struct tsm_err *err);

/* Appends the samples of a WriteRequest. Keys are in out's arena, so that nothing borrows from p. TSM_EPARSE. */
int tsm_prometheus_write(const uint8_t *p, size_t n, struct tsm_points *out,
                         struct tsm_prometheus_dropped *dropped, struct tsm_err *err);

/* A ReadRequest as InfluxQL, one SELECT per query. TSM_EPARSE. */
int tsm_prometheus_read(const uint8_t *p, size_t n, struct tsm_buf *influxql, struct tsm_err *err);

/* A sink that makes the ReadResponse of that query's answer. TSM_ELIMIT beyond limit bytes. */
struct tsm_prometheus_answer;
struct tsm_prometheus_answer *tsm_prometheus_answer_new(size_t limit);
void tsm_prometheus_answer_free(struct tsm_prometheus_answer *a); /* NULL is allowed */
struct tsm_sink *tsm_prometheus_answer_sink(struct tsm_prometheus_answer *a);
/* Appends the response, packed. */
void tsm_prometheus_answer_pack(struct tsm_prometheus_answer *a, struct tsm_buf *out);

#endif
