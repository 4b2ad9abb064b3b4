/* net/api_prometheus.c: /api/v1/prom/write and /read: Prometheus' messages (prometheus.h) as writes and as queries. */
#include "base/time.h"
#include "net/prometheus.h"
#include "net/server_impl.h"
#include "query/access.h"
#include "query/parser.h"

#include "base/banned.h"

enum { UNPACKED_MAX = 256 << 20 }; /* bytes, when bodies are not limited */

/* The body without snappy, in its place. False: an answer has been set. */
static bool unpack(struct tsm_request *r)
{
    uint64_t most = r->settings->opt.max_body ? r->settings->opt.max_body : UNPACKED_MAX;
    struct tsm_buf out = {0};
    struct tsm_err err;
    int rc = tsm_prometheus_unpack(r->body.data, r->body.len, (size_t)most, &out, &err);
    tsm_buf_release(&r->body);
    r->body = out;
    if (rc == TSM_ELIMIT)
        tsm_request_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
    else if (rc != TSM_OK)
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
    return rc == TSM_OK;
}

/* ---- write ------------------------------------------------------------------------------------- */

static bool read_points(struct tsm_request *r, struct tsm_points *points)
{
    struct tsm_prometheus_dropped dropped;
    struct tsm_err err;
    TSM_COUNT(r, write_bytes, r->body.len);
    if (!unpack(r))
        return false;
    if (tsm_prometheus_write(r->body.data, r->body.len, points, &dropped, &err) == TSM_OK)
        return true;
    tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
    return false;
}

void tsm_api_prometheus_write(struct tsm_request *r)
{
    struct tsm_str database = tsm_parameter(&r->url, TSM_STR("db"));
    struct tsm_points points = {0};
    tsm_write_begin(r);
    TSM_COUNT(r, prometheus_writes, 1);
    if (tsm_write_allowed(r, database) && read_points(r, &points)) {
        tsm_write_points(r, database, tsm_parameter(&r->url, TSM_STR("rp")), &points);
        return;
    }
    tsm_points_release(&points);
    tsm_write_finish(r);
}

/* ---- read -------------------------------------------------------------------------------------- */

static bool may_read(struct tsm_request *r, struct tsm_str text, struct tsm_str database)
{
    struct tsm_ast ast;
    struct tsm_err err = {0};
    int rc = tsm_parse_query(text, &ast, &err);
    if (rc != TSM_OK)
        tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
    else if (r->settings->opt.auth_enabled && !r->local &&
             (rc = tsm_access_query(&r->meta->meta, r->user, &ast, database, &err)) != TSM_OK)
        tsm_request_error(r, MHD_HTTP_FORBIDDEN, "error authorizing query: %s", err.msg);
    tsm_ast_release(&ast);
    return rc == TSM_OK;
}

static int run_query(struct tsm_request *r, struct tsm_str text, struct tsm_str database,
                     struct tsm_sink *sink, struct tsm_err *err)
{
    struct tsm_service *service = r->server->service;
    const struct tsm_server_options *opt = &r->settings->opt;
    struct tsm_query_options qo = {
        .fs = &tsm_fs_posix,
        .backend = service->backend,
        .database = database,
        .rp = tsm_parameter(&r->url, TSM_STR("rp")),
        .now = tsm_now(),
        .jobs = opt->query_threads ? opt->query_threads : 1,
        .memory = (size_t)opt->query_memory,
        .control = &r->control,
        .tasks = service->tasks,
        .authenticate = opt->auth_enabled && !r->local,
        .user = r->user,
        .read_only = true,
    };
    r->control.deadline = opt->query_timeout ? tsm_monotonic() + opt->query_timeout : 0;
    r->control.max_points = opt->max_select_points;
    r->control.max_series = opt->max_select_series;
    int rc = service->tasks ? tsm_tasks_add(service->tasks, text, database, &r->control, &qo.task, err)
                            : TSM_OK;
    if (rc != TSM_OK)
        return rc;
    rc = tsm_query_run(&qo, text, sink, NULL, err);
    if (service->tasks)
        tsm_tasks_remove(service->tasks, qo.task);
    return rc;
}

static void read_and_answer(struct tsm_request *r)
{
    struct tsm_str database = tsm_parameter(&r->url, TSM_STR("db"));
    struct tsm_prometheus_answer *a = tsm_prometheus_answer_new((size_t)r->settings->opt.query_memory);
    struct tsm_buf text = {0};
    struct tsm_err err = {0};
    if (unpack(r)) {
        if (tsm_prometheus_read(r->body.data, r->body.len, &text, &err) != TSM_OK) {
            tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
        } else if (may_read(r, tsm_buf_view(&text), database)) {
            if (run_query(r, tsm_buf_view(&text), database, tsm_prometheus_answer_sink(a), &err) != TSM_OK) {
                tsm_request_error(r, MHD_HTTP_BAD_REQUEST, "%s", err.msg);
            } else {
                tsm_request_status(r, MHD_HTTP_OK);
                r->type = "application/x-protobuf";
                tsm_request_header(r, "Content-Encoding", TSM_STR("snappy"));
                tsm_prometheus_answer_pack(a, &r->text);
            }
        }
    }
    tsm_prometheus_answer_free(a);
    tsm_buf_release(&text);
    TSM_COUNT(r, query_bytes, r->text.len);
    TSM_COUNT(r, query_nanoseconds, (unsigned long long)(tsm_monotonic() - r->started));
    tsm_request_done(r);
}

void tsm_api_prometheus_read(struct tsm_request *r)
{
    TSM_COUNT(r, query_requests, 1);
    TSM_COUNT(r, prometheus_reads, 1);
    if (tsm_pool_run(r->server->queries, r, read_and_answer))
        return;
    tsm_request_busy(r, "request throttled, queue full");
    tsm_request_done(r);
}
