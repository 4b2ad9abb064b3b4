/*
 * net/api_query.c: /query: the parameters, the statements on a thread of their own, and the answer as it comes.
 *
 * An answer that fits into one buffer is sent as a whole; a longer one, and each that is asked for in chunks, streams. From then
 * on the status cannot change any more, as in influxd, which always begins with 200.
 */
#include <inttypes.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/time.h"
#include "net/bind.h"
#include "net/server_impl.h"
#include "query/access.h"
#include "query/parser.h"
#include "result/rows_stream.h"

#include "base/banned.h"

enum { CHUNK_ROWS = 10000 };

struct query {
    struct tsm_request *r;
    struct tsm_str text, database;
    struct tsm_ast ast;
    struct tsm_bindings bindings;
    struct tsm_output out;
    uint64_t task;
    bool async, answered, chunked;
    uint64_t rows;
    int code;
    struct tsm_err err;
};

/* The answer is whole: it may say of a statement that it failed. */
static bool is_answer(const struct query *q)
{
    return q->code == TSM_OK || q->code == TSM_EQUERY || q->code == TSM_ESTOP || q->code == TSM_ECORRUPT ||
           q->r->rows_stream;
}

/* ---- what the writer asks ------------------------------------------------------------------------ */

static const struct tsm_statement *statement_of(const struct query *q, unsigned id)
{
    return id < q->ast.nstatements ? &q->ast.statements[id] : NULL;
}

static enum tsm_chunking chunking(void *ctx, unsigned id)
{
    const struct tsm_statement *st = statement_of(ctx, id);
    switch (st ? st->kind : TSM_STATEMENT_SELECT) {
    case TSM_STATEMENT_SELECT:
    case TSM_STATEMENT_SHOW_SERIES: /* influxd makes a SELECT of these */
    case TSM_STATEMENT_SHOW_FIELD_KEYS:
    case TSM_STATEMENT_SHOW_CARDINALITY:
        return TSM_CHUNK_ROWS;
    case TSM_STATEMENT_SHOW_TAG_KEYS:
    case TSM_STATEMENT_SHOW_TAG_VALUES:
        return TSM_CHUNK_SERIES;
    default:
        return TSM_CHUNK_WHOLE;
    }
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* The first bytes that the writer gives away: from here on the answer streams. */
static int begin_stream(struct query *q)
{
    struct tsm_request *r = q->r;
    bool gzip = tsm_request_takes_gzip(r);
    r->stream = tsm_stream_new(r, gzip);
    if (gzip)
        tsm_request_header(r, "Content-Encoding", TSM_STR("gzip"));
    r->status = MHD_HTTP_OK;
    q->answered = true;
    tsm_request_answer(r);
    return TSM_OK;
}

static int put(void *ctx, const void *p, size_t n, struct tsm_err *err)
{
    struct query *q = ctx;
    if (q->async)
        return TSM_OK;
    if (!q->r->stream)
        (void)begin_stream(q);
    return tsm_stream_put(q->r->stream, p, n, err);
}

static int64_t epoch_unit(struct tsm_str epoch)
{
    if (!epoch.n)
        return 0;
    if (epoch.n == 1 && (epoch.p[0] == 'u' || epoch.p[0] == 's' || epoch.p[0] == 'm' || epoch.p[0] == 'h'))
        return tsm_precision_unit(epoch);
    return tsm_str_eq(epoch, TSM_STR("ms")) ? TSM_MSEC : 1;
}

static struct tsm_str trim(struct tsm_str s)
{
    static const char space[] = " \t\n\v\f\r";
    while (s.n && memchr(space, s.p[s.n - 1], sizeof space - 1))
        s.n--;
    for (; s.n && memchr(space, s.p[0], sizeof space - 1); s.n--)
        s.p++;
    return s;
}

static struct tsm_sink *make_sink(struct query *q)
{
    struct tsm_request *r = q->r;
    const struct tsm_server_options *opt = &r->settings->opt;
    struct tsm_result_options ro = {
        .format = r->format,
        .epoch_unit = epoch_unit(trim(tsm_request_value(r, TSM_STR("epoch")))),
        .pretty = r->pretty,
        .row_limit = opt->max_row_limit,
        .document_max = (size_t)opt->query_memory,
        .chunking = chunking,
        .ctx = q,
    };
    tsm_output_init_put(&q->out, put, q);
    if (r->rows_stream) {
        r->type = TSM_ROWS_CONTENT_TYPE;
        return tsm_rows_writer_new(&q->out);
    }
    if (ro.format == TSM_FORMAT_HTTP_CSV && !ro.epoch_unit)
        ro.epoch_unit = 1; /* influxd's CSV has numbers in any case */
    q->chunked = tsm_str_eq(tsm_request_value(r, TSM_STR("chunked")), TSM_STR("true"));
    if (q->chunked) {
        int64_t n;
        ro.chunk_rows = CHUNK_ROWS;
        ro.row_limit = 0;
        if (tsm_parse_int(tsm_request_value(r, TSM_STR("chunk_size")), &n) && n > 0)
            ro.chunk_rows = (uint64_t)n;
    }
    return tsm_result_writer_new(&ro, &q->out);
}

static void finish_sink(struct query *q, struct tsm_sink *sink)
{
    int rc;
    if (q->r->rows_stream) {
        rc = tsm_rows_writer_finish(sink, q->code, q->rows, q->err.msg, &q->err);
    } else if (is_answer(q) || q->answered) {
        rc = tsm_result_writer_finish(sink, &q->err);
    } else { /* the writer itself could not go on */
        tsm_result_writer_free(sink);
        rc = q->code;
    }
    if (rc != TSM_OK)
        q->code = rc;
}

/* ---- running ------------------------------------------------------------------------------------- */

static void note_slow(struct query *q)
{
    struct tsm_request *r = q->r;
    const struct tsm_server_options *opt = &r->settings->opt;
    int64_t took = tsm_monotonic() - r->started;
    if (!opt->log_queries_after || took < opt->log_queries_after || !opt->log)
        return;
    char threshold[TSM_TIME_TEXT_MAX], elapsed[TSM_TIME_TEXT_MAX];
    struct tsm_buf b = {0};
    size_t nt = tsm_format_duration_go(threshold, opt->log_queries_after),
           ne = tsm_format_duration_go(elapsed, took);
    tsm_buf_puts(&b, "Detected slow query: ");
    tsm_sanitize(&b, q->text);
    tsm_buf_printf(&b, " (qid: %" PRIu64 ", database: %.*s, threshold: %.*s, took: %.*s)", q->task,
                   (int)q->database.n, q->database.p, (int)nt, threshold, (int)ne, elapsed);
    opt->log(opt->log_ctx, tsm_buf_cstr(&b));
    tsm_buf_release(&b);
}

/* influxd's answer when the query is not let in: an error of its first statement. */
static int refuse_all(struct tsm_sink *sink, const char *message)
{
    int rc = sink->statement_begin(sink, 0, NULL);
    if (rc == TSM_OK)
        rc = sink->statement_end(sink, message, NULL);
    return rc == TSM_OK ? TSM_EQUERY : rc;
}

static void execute(struct query *q, struct tsm_sink *sink)
{
    struct tsm_request *r = q->r;
    struct tsm_server *s = r->server;
    const struct tsm_server_options *opt = &r->settings->opt;
    struct tsm_query_options qo = {
        .fs = &tsm_fs_posix,
        .backend = s->service->backend,
        .database = q->database,
        .rp = tsm_request_value(r, TSM_STR("rp")),
        .now = tsm_now(),
        .jobs = opt->query_threads ? opt->query_threads : 1,
        .memory = (size_t)opt->query_memory,
        .control = &r->control,
        .tasks = s->service->tasks,
        .authenticate = opt->auth_enabled && !r->local,
        .user = r->user,
        .read_only = tsm_str_eq(r->method, TSM_STR("GET")),
        .bindings = &q->bindings,
        .chunked = q->chunked,
        .stats = s->service->stats,
        .stats_ctx = s->service->ctx,
    };
    r->control.deadline = opt->query_timeout ? tsm_monotonic() + opt->query_timeout : 0;
    r->control.max_points = opt->max_select_points;
    r->control.max_series = opt->max_select_series;
    r->control.max_buckets = opt->max_select_buckets;
    struct tsm_buf text = {0};
    for (size_t i = 0; i < q->ast.nstatements; i++) {
        if (i)
            tsm_buf_puts(&text, ";\n");
        tsm_statement_print(&text, &q->ast.statements[i]);
    }
    int rc = s->service->tasks ? tsm_tasks_add(s->service->tasks, tsm_buf_view(&text), q->database,
                                               &r->control, &q->task, &q->err)
                               : TSM_OK;
    tsm_buf_release(&text);
    if (rc != TSM_OK) {
        q->code = refuse_all(sink, q->err.msg);
        return;
    }
    qo.task = q->task;
    q->code = tsm_query_run(&qo, q->text, sink, &q->rows, &q->err);
    note_slow(q);
    if (s->service->tasks)
        tsm_tasks_remove(s->service->tasks, q->task);
}

static void watch(struct query *q)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(q->r->connection,
                                                                   MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info && !q->async)
        tsm_watch_add(q->r->server->watch, info->connect_fd, q->r);
}

static void run(struct query *q)
{
    struct tsm_request *r = q->r;
    struct tsm_sink *sink = make_sink(q);
    if (q->async) {
        r->status = MHD_HTTP_NO_CONTENT;
        q->answered = true;
        tsm_request_answer(r);
    }
    watch(q);
    execute(q, sink);
    finish_sink(q, sink);
    int rc = r->stream && is_answer(q) ? tsm_output_flush(&q->out, &q->err) : TSM_OK;
    tsm_watch_remove(r->server->watch, r);
    TSM_COUNT(r, query_bytes, q->out.written);
    if (r->stream) {
        tsm_stream_end(r->stream, rc != TSM_OK || !is_answer(q));
    } else if (q->async) {
        if (q->code != TSM_OK && r->settings->opt.log)
            r->settings->opt.log(r->settings->opt.log_ctx, q->err.msg);
    } else if (is_answer(q)) {
        tsm_request_status(r, MHD_HTTP_OK);
        tsm_buf_release(&r->text);
        r->text = q->out.buf;
        q->out.buf = (struct tsm_buf){0};
        TSM_COUNT(r, query_bytes, r->text.len);
    } else {
        tsm_request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s", q->err.msg);
    }
    tsm_output_release(&q->out);
}

/* ---- the request --------------------------------------------------------------------------------- */

/* The text of the query: q in URL or form, or a file of that name in a multipart body. */
static struct tsm_str query_text(const struct tsm_request *r)
{
    struct tsm_str text = trim(tsm_request_value(r, TSM_STR("q")));
    for (size_t i = 0; i < r->form.n && !text.n; i++)
        if (r->form.items[i].file && tsm_str_eq(r->form.items[i].name, TSM_STR("q")))
            return r->form.items[i].value;
    return text;
}

static bool is_allowed(struct query *q)
{
    struct tsm_request *r = q->r;
    struct tsm_err err = {0};
    if (!r->settings->opt.auth_enabled || r->local)
        return true;
    if (tsm_access_query(&r->meta->meta, r->user, &q->ast, q->database, &err) == TSM_OK)
        return true;
    tsm_request_error(r, MHD_HTTP_FORBIDDEN, "error authorizing query: %s", err.msg);
    return false;
}

/* Whether there is a query to run; else an answer has been set. */
static bool prepare(struct query *q)
{
    struct tsm_request *r = q->r;
    tsm_request_form(r);
    q->text = query_text(r);
    q->database = tsm_request_value(r, TSM_STR("db"));
    q->async = tsm_str_eq(tsm_request_value(r, TSM_STR("async")), TSM_STR("true"));
    if (!q->text.n) {
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "missing required parameter \"q\"");
        return false;
    }
    struct tsm_str params = tsm_request_value(r, TSM_STR("params"));
    if (params.n && tsm_bind_json(params, &q->bindings, &r->arena, &q->err) != TSM_OK) {
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", q->err.msg);
        return false;
    }
    if (tsm_parse_query_bound(q->text, &q->bindings, &q->ast, &q->err) != TSM_OK) {
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "error parsing query: %s", q->err.msg);
        return false;
    }
    return is_allowed(q);
}

static void work(struct tsm_request *r)
{
    struct query q = {.r = r};
    if (prepare(&q))
        run(&q);
    TSM_COUNT(r, query_nanoseconds, (unsigned long long)(tsm_monotonic() - r->started));
    tsm_ast_release(&q.ast);
    if (q.answered) {
        tsm_request_leave(r);
        tsm_request_unref(r);
    } else {
        tsm_request_done(r);
    }
}

void tsm_api_query(struct tsm_request *r)
{
    TSM_COUNT(r, query_requests, 1);
    tsm_tracker_count(r, false);
    if (tsm_pool_run(r->server->queries, r, work))
        return;
    tsm_request_busy(r, "request throttled, queue full");
    tsm_request_done(r);
}
