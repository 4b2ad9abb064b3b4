/* net/server_impl.h: what the files of the HTTP server share; for them only. */
#ifndef TSM_NET_SERVER_IMPL_H
#define TSM_NET_SERVER_IMPL_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "format/meta_db.h"
#include "net/server.h"
#include "result/writer.h"

struct tsm_request;

/* ---- threads that take requests from a queue (pool.c) -------------------------------------------- */

struct tsm_pool;

/* Threads come into being when there is work, at most so many. */
struct tsm_pool *tsm_pool_new(unsigned threads, size_t queue);
/* Runs work(r) on a thread of the pool. False: the queue is full, or the pool is being stopped. */
bool tsm_pool_run(struct tsm_pool *p, struct tsm_request *r, void (*work)(struct tsm_request *r));
void tsm_pool_free(struct tsm_pool *p); /* waits for the threads; the queue is empty by then */

/* ---- clients that go away while their query runs (watch.c) --------------------------------------- */

struct tsm_watch;

struct tsm_watch *tsm_watch_new(void (*gone)(struct tsm_request *r));
/* Calls gone(r), on a thread of its own, when the other end closes. */
void tsm_watch_add(struct tsm_watch *w, int fd, struct tsm_request *r);
void tsm_watch_remove(struct tsm_watch *w,
                      struct tsm_request *r); /* idempotent; gone(r) does not run after it */
void tsm_watch_free(struct tsm_watch *w);

/* ---- parameters (form.c) ------------------------------------------------------------------------- */

struct tsm_parameter {
    struct tsm_str name, value;
    bool file; /* of a multipart body, with a file name */
};

struct tsm_parameters {
    struct tsm_parameter *items;
    size_t n, cap;
};

/* name=value&…, with percent-encoding, as Go's url.ParseQuery: a pair that is wrong is left out. Texts are in the arena. */
void tsm_form_urlencoded(struct tsm_parameters *p, struct tsm_str text, struct tsm_arena *a);
/* The parts of a multipart body. False: it is not one. */
bool tsm_form_multipart(struct tsm_parameters *p, struct tsm_str content_type, struct tsm_str body,
                        struct tsm_arena *a);
/* The first of this name; empty when there is none. */
struct tsm_str tsm_parameter(const struct tsm_parameters *p, struct tsm_str name);
const struct tsm_parameter *tsm_parameter_find(const struct tsm_parameters *p, struct tsm_str name);
/* Percent-decodes; false: it is wrong. plus: '+' is a space. */
bool tsm_url_decode(struct tsm_str text, bool plus, struct tsm_arena *a, struct tsm_str *out);
void tsm_url_encode(struct tsm_buf *out, struct tsm_str text); /* as Go's url.QueryEscape */
/* The type of a Content-Type header, in lower case and without parameters. */
struct tsm_str tsm_media_type(struct tsm_str header, struct tsm_arena *a);

/* ---- meta.db as the server knows it (auth.c) ----------------------------------------------------- */

struct tsm_meta_copy {
    atomic_uint refs;
    uint64_t version;
    struct tsm_meta meta;
};

struct tsm_server;
/* The present state; give it back. NULL with a message when it cannot be had. */
struct tsm_meta_copy *tsm_server_meta(struct tsm_server *s, struct tsm_err *err);
void tsm_meta_copy_release(struct tsm_meta_copy *m); /* NULL is allowed */

/* ---- the server ---------------------------------------------------------------------------------- */

/* What is counted, with the name in /debug/vars and, in other words, in /metrics. */
#define TSM_COUNTERS(X)                        \
    X(requests, "req")                         \
    X(query_requests, "queryReq")              \
    X(write_requests, "writeReq")              \
    X(ping_requests, "pingReq")                \
    X(status_requests, "statusReq")            \
    X(write_bytes, "writeReqBytes")            \
    X(query_bytes, "queryRespBytes")           \
    X(points_written, "pointsWrittenOK")       \
    X(values_written, "valuesWrittenOK")       \
    X(points_dropped, "pointsWrittenDropped")  \
    X(points_failed, "pointsWrittenFail")      \
    X(auth_failures, "authFail")               \
    X(request_nanoseconds, "reqDurationNs")    \
    X(query_nanoseconds, "queryReqDurationNs") \
    X(write_nanoseconds, "writeReqDurationNs") \
    X(requests_active, "reqActive")            \
    X(writes_active, "writeReqActive")         \
    X(client_errors, "clientError")            \
    X(server_errors, "serverError")            \
    X(prometheus_writes, "promWriteReq")       \
    X(prometheus_reads, "promReadReq")         \
    X(refused_busy, "busy")

struct tsm_counters {
#define X(name, text) atomic_ullong name;
    TSM_COUNTERS(X)
#undef X
};

struct tsm_listener {
    struct tsm_server *server;
    struct MHD_Daemon *daemon;
    bool local; /* the Unix socket */
    int fd;     /* listens; -1: retired, only the connections that it has are still served */
    struct tsm_listener *next;
};

/* The settings that a reload replaces, as a whole; requests hold the one that they began with. */
struct tsm_settings {
    atomic_uint refs;
    struct tsm_server_options opt; /* texts are this struct's own */
};

void tsm_settings_release(struct tsm_settings *s);

struct tsm_password_cache;
struct tsm_key_cache;
struct tsm_tracker;

struct tsm_server {
    struct tsm_service *service;
    struct tsm_listener *listeners;
    unsigned port;
    char *socket_path;

    pthread_mutex_t mutex; /* of settings, meta and of what follows */
    pthread_cond_t idle;   /* signalled when active becomes 0 */
    struct tsm_settings *settings;
    struct tsm_meta_copy *meta;
    struct tsm_request *running; /* those that a thread of ours or the service is working on, for the stop */
    size_t nrunning;
    bool stopping;

    struct tsm_pool *workers; /* parsing, passwords */
    struct tsm_pool *queries;
    struct tsm_watch *watch;
    struct tsm_password_cache *passwords;
    struct tsm_key_cache *keys;
    struct tsm_tracker *tracker;
    struct tsm_counters count;
    atomic_ullong held; /* bytes of bodies that are being received or parsed */
    atomic_ullong request_ids;
    int64_t started;
};

/* ---- requests ------------------------------------------------------------------------------------ */

enum tsm_phase {
    TSM_PHASE_BODY,    /* it is being received */
    TSM_PHASE_RUNNING, /* the connection is suspended */
    TSM_PHASE_ANSWER,  /* the answer stands in the request */
    TSM_PHASE_SENDING,
};

enum { TSM_HEADERS_MAX = 6 };

struct tsm_route;
struct tsm_stream;

struct tsm_request {
    struct tsm_server *server;
    struct tsm_settings *settings;
    struct MHD_Connection *connection;
    const struct tsm_route *route; /* NULL: 404 or 405 */
    bool local;
    atomic_uint refs;
    atomic_int phase;
    int64_t started; /* monotonic */
    int64_t wall;
    struct tsm_request *next;            /* in a pool's queue */
    void (*work)(struct tsm_request *r); /* what the pool does with it */
    struct tsm_request *newer, *older;   /* server->running */
    bool is_running;

    /* What was asked; texts are in the arena. */
    struct tsm_arena arena;
    struct tsm_str method, uri, path, query;
    const char *version;        /* "HTTP/1.1" */
    struct tsm_parameters url;  /* of the URL */
    struct tsm_parameters form; /* of the body */
    struct tsm_str content_type, content_encoding, accept_encoding, authorization, origin, id;
    bool begun;              /* the head has been read */
    uint64_t content_length; /* 0: not known */
    enum tsm_format format;  /* of the answer, by Accept */
    bool rows_stream;        /* application/x-tsm-rows */
    const char *format_type; /* its Content-Type */
    bool pretty;
    struct tsm_buf body;        /* unpacked */
    size_t held;                /* bytes of server->held */
    struct tsm_gunzip *gunzip;  /* Content-Encoding: gzip */
    struct tsm_str user;        /* who has logged in; empty: nobody */
    struct tsm_meta_copy *meta; /* as of the time of the login; may be NULL */

    /* What is answered. */
    int status;
    const char *type;    /* Content-Type; NULL: that of the format */
    struct tsm_buf text; /* the body of the answer, unless it is streamed */
    struct {
        const char *name;
        char *value; /* in the arena */
    } headers[TSM_HEADERS_MAX];
    size_t nheaders;
    bool close;   /* the connection ends with it */
    bool refused; /* while the body came: it is read to its end and forgotten */
    struct tsm_stream *stream;
    uint64_t sent; /* bytes of the body, for the log */

    /* api_write.c */
    uint64_t points;
    struct tsm_buf parse_errors;
    /* api_query.c */
    struct tsm_query_control control;
};

/* Handlers set the answer (request.c) and return; they run on any thread. A route with `waits` runs with its connection suspended,
 * and may return before there is an answer: tsm_request_done() gives it later, from any thread. One without runs on a thread of the
 * network and must not take long. */
struct tsm_route {
    const char *method, *path;
    void (*run)(struct tsm_request *r);
    bool waits;
    bool body;                                                            /* it is received; else forgotten */
    bool auth;                                                            /* credentials are looked at */
    enum { TSM_AUTH_NEVER, TSM_AUTH_PING, TSM_AUTH_METRICS } auth_option; /* or when this setting says so */
    bool log;
    bool gzip; /* the answer, for clients that take it */
};

/* route.c. NULL: *allowed has the methods that the path does have ("GET, POST"), or is empty. */
const struct tsm_route *tsm_route_find(struct tsm_str method, struct tsm_str path, char allowed[64]);

/* request.c */
struct tsm_request *tsm_request_new(struct tsm_listener *l, struct MHD_Connection *c, const char *uri);
void tsm_request_ref(struct tsm_request *r);
void tsm_request_unref(struct tsm_request *r);
/* Reads the head, when the first line and the headers are there. May set an answer already (see refused). */
void tsm_request_begin(struct tsm_request *r, const char *method, const char *version);
/* Takes a piece of the body, unpacked when it is packed. */
void tsm_request_receive(struct tsm_request *r, const uint8_t *p, size_t n);
/* The body has ended. */
void tsm_request_received(struct tsm_request *r);
void tsm_request_forget_body(struct tsm_request *r);
/* Parses a form in the body into r->form. */
void tsm_request_form(struct tsm_request *r);
/* A parameter as Go's FormValue: of the body, else of the URL. */
struct tsm_str tsm_request_value(const struct tsm_request *r, struct tsm_str name);

/* Answers. An error has influxd's form, in the format of the request, with its headers. */
void tsm_request_header(struct tsm_request *r, const char *name, struct tsm_str value);
void tsm_request_status(struct tsm_request *r, int status); /* without a body */
void tsm_request_error(struct tsm_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* With a message that may be long. */
void tsm_request_error_text(struct tsm_request *r, int status, struct tsm_str message);
/* Text, as Go's http.Error(). */
void tsm_request_plain(struct tsm_request *r, int status, const char *text);
void tsm_request_busy(struct tsm_request *r, const char *text); /* 503 with Retry-After */

/* server.c: the answer of a suspended request is there. Gives the caller's reference up. */
void tsm_request_done(struct tsm_request *r);
/* As done, for who has still to do with the request: it ends with tsm_request_leave() and tsm_request_unref(). */
void tsm_request_answer(struct tsm_request *r);
/* Takes the request off server->running, where the stop waits for it. */
void tsm_request_leave(struct tsm_request *r);
enum MHD_Result tsm_request_queue(struct tsm_request *r); /* answer.c: hands the answer to MHD */
bool tsm_request_takes_gzip(const struct tsm_request *r);
void tsm_request_log(struct tsm_request *r); /* log_line.c */
/* As Go's %q. */
void tsm_go_quote(struct tsm_buf *out, struct tsm_str text);
/* The client's address. */
void tsm_request_host(struct tsm_buf *out, const struct tsm_request *r);
/* Passwords are replaced, as influxql's Sanitize() does. */
void tsm_sanitize(struct tsm_buf *out, struct tsm_str text);

/* auth.c: who asks. False: an answer has been set. *slow (may be NULL): nothing was done, as a password has to be hashed, which
 * takes too long for this thread. */
bool tsm_request_authenticate(struct tsm_request *r, bool *slow);
struct tsm_password_cache *tsm_password_cache_new(void);
void tsm_password_cache_free(struct tsm_password_cache *c);

/* ---- answers that are longer than memory (stream.c) ---------------------------------------------- */

/* Bytes between the thread of a query and the network: a ring of fixed size. */
struct tsm_stream *tsm_stream_new(struct tsm_request *r, bool gzip);
void tsm_stream_free(struct tsm_stream *s); /* NULL is allowed */
/* For tsm_output_init_put(): waits while the ring is full; TSM_EPIPE when the client has gone. */
int tsm_stream_put(void *stream, const void *p, size_t n, struct tsm_err *err);
/* No more will come; failed: what came is not whole, and the connection is broken off so that the client knows. */
void tsm_stream_end(struct tsm_stream *s, bool failed);
void tsm_stream_gone(struct tsm_stream *s);                                /* the client */
ssize_t tsm_stream_read(void *request, uint64_t pos, char *p, size_t max); /* MHD_ContentReaderCallback */

/* gzip.c */
struct tsm_gunzip;
struct tsm_gunzip *tsm_gunzip_new(void);
void tsm_gunzip_free(struct tsm_gunzip *g); /* NULL is allowed */
/* Unpacks into out, which must not become longer than limit (0: any): TSM_ELIMIT. TSM_EPARSE with Go's text. */
int tsm_gunzip_feed(struct tsm_gunzip *g, const uint8_t *p, size_t n, uint64_t limit, struct tsm_buf *out,
                    struct tsm_err *err);
int tsm_gunzip_end(struct tsm_gunzip *g, struct tsm_err *err);
void tsm_gzip(struct tsm_buf *out, struct tsm_str text);

/* api_*.c */
void tsm_api_write(struct tsm_request *r);
void tsm_api_write_v2(struct tsm_request *r);
struct tsm_key_cache *tsm_key_cache_new(void);
void tsm_key_cache_free(struct tsm_key_cache *k);
void tsm_api_prometheus_write(struct tsm_request *r);
void tsm_api_prometheus_read(struct tsm_request *r);
void tsm_api_query(struct tsm_request *r);
void tsm_api_flux(struct tsm_request *r);
void tsm_api_options(struct tsm_request *r);
void tsm_api_ping(struct tsm_request *r);
void tsm_api_status(struct tsm_request *r);
void tsm_api_health(struct tsm_request *r);
void tsm_api_metrics(struct tsm_request *r);
void tsm_api_vars(struct tsm_request *r);
void tsm_api_requests(struct tsm_request *r);
struct tsm_tracker *tsm_tracker_new(void);
void tsm_tracker_free(struct tsm_tracker *t);              /* NULL is allowed */
void tsm_tracker_count(struct tsm_request *r, bool write); /* for whoever is asking /debug/requests */

/* The parts of a write that do not depend on how the points came (api_write.c): it begins, is looked at (false: an answer has been
 * set), and ends, either with the points (they become the service's, with the body that they borrow from) or without. */
void tsm_write_begin(struct tsm_request *r);
bool tsm_write_allowed(struct tsm_request *r, struct tsm_str database);
void tsm_write_points(struct tsm_request *r, struct tsm_str database, struct tsm_str rp,
                      struct tsm_points *points);
void tsm_write_finish(struct tsm_request *r);

/* Lines: adds to a counter. */
#define TSM_COUNT(r, name, n) \
    ((void)atomic_fetch_add_explicit(&(r)->server->count.name, (n), memory_order_relaxed))

#endif
