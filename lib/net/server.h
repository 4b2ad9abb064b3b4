/*
 * net/server.h: the HTTP server of a service: InfluxDB 1.8's API by libmicrohttpd, on TCP and on a Unix socket.
 *
 *   server.c      listeners, connections, bodies in and out (epoll; a connection that waits is suspended, it holds no thread)
 *   route.c       method and path to handler
 *   request.c     parameters of URL and form, credentials, gzip
 *   api_write.c, api_query.c, api_ping.c, api_prometheus.c, api_debug.c   the handlers
 *
 * Source for paths, parameters, headers and texts: influxdb v1.8 services/httpd/handler.go, and what influxd answers.
 */
#ifndef TSM_NET_SERVER_H
#define TSM_NET_SERVER_H

#include "net/service.h"

struct tsm_server_options {
    const char *bind; /* "127.0.0.1:8086", ":8086"; port 0: any (see tsm_server_port()); NULL: no TCP */
    const char *socket_path; /* DIR/raftd.sock; NULL: none. Who may open it needs no credentials. */
    const char *tls_certificate, *tls_key; /* PEM files; both or none */
    bool auth_enabled;
    const char *jwt_secret; /* NULL: no JWT */
    bool ping_auth, metrics_auth;
    unsigned threads;       /* of the server; 0: one per CPU */
    unsigned query_threads; /* of one query */
    uint64_t max_connections;
    uint64_t max_body;      /* bytes of a body after decompression; 0: any */
    uint64_t max_row_limit; /* rows of an answer that is not chunked; 0: any */
    uint64_t query_memory;  /* bytes per query */
    int64_t query_timeout;  /* nanoseconds; 0: none */
    uint64_t max_select_points, max_select_series, max_select_buckets;
    int64_t log_queries_after; /* nanoseconds; 0: never */
    bool log_requests;         /* a line per request, as influxd's */
    const char *version;       /* X-Influxdb-Version: "1.8.10" */
    void (*log)(void *ctx, const char *message);
    void *log_ctx;
};

struct tsm_server;

/* The service outlives the server. Texts of opt are copied. */
int tsm_server_start(const struct tsm_server_options *opt, struct tsm_service *service, struct tsm_server **s,
                     struct tsm_err *err);
unsigned tsm_server_port(const struct tsm_server *s);
/* Takes no new requests, lets those that run end for at most so many nanoseconds, then ends their queries. */
void tsm_server_stop(struct tsm_server *s, int64_t grace);
/* What SIGHUP may change: limits, secrets, certificates, log_*. Addresses, threads, connections and whether TLS is spoken stay as they
 * were; the last is told to opt->log. */
int tsm_server_reload(struct tsm_server *s, const struct tsm_server_options *opt, struct tsm_err *err);

#endif
