/*
 * net/service.h: what the HTTP API (net/api_*.c) needs of the daemon behind it. lib/cluster implements it; tests may do so with
 * a table of their own. Any thread may call, several at a time.
 */
#ifndef TSM_NET_SERVICE_H
#define TSM_NET_SERVICE_H

#include "format/line.h"
#include "query/query.h"

/* What became of a write, given to the callback below; its texts are gone when that returns. */
struct tsm_write_result {
    int code; /* TSM_OK: durable and applied, but for the rejected points. TSM_EAGAIN: not taken in, try again. */
    const char *message;     /* of a failure */
    uint64_t rejected;       /* points: field type conflicts, outside the retention policy */
    const char *first_cause; /* influxd's text for the first of them, or NULL */
    bool expired;            /* all rejected ones were outside the retention policy */
};
typedef void tsm_written_fn(void *ctx, const struct tsm_write_result *r);

struct tsm_service {
    void *ctx;
    const struct tsm_backend *backend; /* queries and changes */
    struct tsm_tasks *tasks;
    /* A number that changes whenever meta.db does, cheap to ask for: what the server keeps of meta.db is as old as that. NULL: it
     * asks for meta.db each time. */
    uint64_t (*meta_version)(void *ctx);

    /*
     * Takes points in, with valid keys; they and their texts (which they borrow from *text) become the service's at once: it moves
     * both out (the structs are empty when this returns) and releases them when it likes. database exists (the caller has looked),
     * rp is empty for the default. done is called exactly once, from any thread, also before this returns. Never blocks for long:
     * with too much on its way already, done gets TSM_EAGAIN.
     */
    void (*write)(void *ctx, struct tsm_str database, struct tsm_str rp, struct tsm_points *points,
                  struct tsm_buf *text, tsm_written_fn *done, void *done_ctx);
    /* /health, /ping?verbose: TSM_OK, or why not. */
    int (*health)(void *ctx, struct tsm_err *err);
    /* Appends the figures of the engine and of raft for /metrics (Prometheus' text format) and /debug/vars ("name":{…} members,
     * separated by commas). */
    void (*metrics)(void *ctx, struct tsm_buf *out);
    void (*vars)(void *ctx, struct tsm_buf *out);
    /* SHOW STATS and SHOW DIAGNOSTICS, as in struct tsm_query_options; may be NULL. */
    int (*stats)(void *ctx, struct tsm_str module, bool diagnostics, struct tsm_sink *sink,
                 struct tsm_err *err);
};

#endif
