/*
 * net/remote_query.h: InfluxQL asked of a server; the answer drives a sink as tsm_query_run() would. A daemon of ours sends the calls
 * themselves (result/rows_stream.h); any other InfluxDB MessagePack (net/answer_msgpack.h).
 */
#ifndef TSM_NET_REMOTE_QUERY_H
#define TSM_NET_REMOTE_QUERY_H

#include "net/client.h"
#include "query/sink.h"

struct tsm_remote_query {
    struct tsm_str text, database, rp;
    /* Ask a foreign server which columns are tags: line protocol needs to know. */
    bool needs_tags;
};

/* As tsm_query_run(): TSM_OK, TSM_EQUERY when a statement failed, TSM_EPARSE when the query was refused as a whole (no call of
 * the sink), TSM_EACCESS with the server's text, TSM_EAGAIN, what the sink returned. */
int tsm_remote_query_run(struct tsm_client *c, const struct tsm_remote_query *q, struct tsm_sink *sink,
                         uint64_t *rows, struct tsm_err *err);

#endif
