/* net/api_debug.c: the figures of the server: /metrics (Prometheus), /debug/vars, /debug/requests. */
#include <inttypes.h>
#include <malloc.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "net/server_impl.h"
#include "result/cell_text.h"

#include "base/banned.h"

static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec / 1e9 : 0;
}

static void metric(struct tsm_buf *out, const char *name, const char *type, const char *help, double value)
{
    char text[TSM_NUM_MAX];
    tsm_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
    tsm_buf_add(out, text, tsm_format_float_g(text, value));
    tsm_buf_byte(out, '\n');
}

static uint64_t load(atomic_ullong *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void tsm_api_metrics(struct tsm_request *r)
{
    struct tsm_server *s = r->server;
    struct tsm_counters *c = &s->count;
    struct tsm_buf *out = &r->text;
    tsm_request_status(r, MHD_HTTP_OK);
    r->type = "text/plain; version=0.0.4; charset=utf-8";
    const struct {
        const char *name, *help;
        double value;
        bool gauge;
    } figures[] = {
        {"tsm_http_requests_total", "Requests.", (double)load(&c->requests), false},
        {"tsm_http_query_requests_total", "Requests for /query.", (double)load(&c->query_requests), false},
        {"tsm_http_write_requests_total", "Requests for /write.", (double)load(&c->write_requests), false},
        {"tsm_http_ping_requests_total", "Requests for /ping.", (double)load(&c->ping_requests), false},
        {"tsm_http_prometheus_write_requests_total", "Requests for remote write.",
         (double)load(&c->prometheus_writes), false},
        {"tsm_http_prometheus_read_requests_total", "Requests for remote read.",
         (double)load(&c->prometheus_reads), false},
        {"tsm_http_write_bytes_total", "Bytes of line protocol, unpacked.", (double)load(&c->write_bytes),
         false},
        {"tsm_http_query_response_bytes_total", "Bytes of answers, before packing.",
         (double)load(&c->query_bytes), false},
        {"tsm_http_points_written_total", "Points that were stored.", (double)load(&c->points_written),
         false},
        {"tsm_http_points_dropped_total", "Points of a partial write that were not stored.",
         (double)load(&c->points_dropped), false},
        {"tsm_http_points_failed_total", "Points of writes that failed.", (double)load(&c->points_failed),
         false},
        {"tsm_http_auth_failures_total", "Requests with wrong credentials.", (double)load(&c->auth_failures),
         false},
        {"tsm_http_client_errors_total", "Answers with status 4xx.", (double)load(&c->client_errors), false},
        {"tsm_http_server_errors_total", "Answers with status 5xx.", (double)load(&c->server_errors), false},
        {"tsm_http_busy_total", "Requests that were asked to come again.", (double)load(&c->refused_busy),
         false},
        {"tsm_http_request_seconds_total", "Time spent on requests.",
         (double)load(&c->request_nanoseconds) / 1e9, false},
        {"tsm_http_query_seconds_total", "Time spent on queries.", (double)load(&c->query_nanoseconds) / 1e9,
         false},
        {"tsm_http_write_seconds_total", "Time spent on writes.", (double)load(&c->write_nanoseconds) / 1e9,
         false},
        {"tsm_http_requests_active", "Requests under way.", (double)load(&c->requests_active), true},
        {"tsm_http_writes_active", "Writes under way.", (double)load(&c->writes_active), true},
        {"tsm_http_body_bytes", "Memory of bodies that are being received.", (double)load(&s->held), true},
        {"tsm_queries_active", "Queries that run.",
         s->service->tasks ? (double)tsm_tasks_count(s->service->tasks) : 0, true},
        {"process_resident_memory_bytes", "Resident memory.", (double)resident_bytes(), true},
        {"process_cpu_seconds_total", "CPU time, user and system.", cpu_seconds(), false},
        {"process_start_time_seconds", "Start of the server, since 1970.", (double)s->started / 1e9, true},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        metric(out, figures[i].name, figures[i].gauge ? "gauge" : "counter", figures[i].help,
               figures[i].value);
    if (s->service->metrics)
        s->service->metrics(s->service->ctx, out);
}

void tsm_api_vars(struct tsm_request *r)
{
    struct tsm_server *s = r->server;
    struct tsm_buf *out = &r->text;
    char now[TSM_TIME_TEXT_MAX], started[TSM_TIME_TEXT_MAX];
    int64_t t = tsm_now();
    struct mallinfo2 m = mallinfo2();
    size_t nnow = tsm_format_rfc3339(now, t), nstarted = tsm_format_rfc3339(started, s->started);
    tsm_request_status(r, MHD_HTTP_OK);
    r->type = "application/json; charset=utf-8";
    tsm_buf_printf(out,
                   "{\n\"system\": {\"currentTime\":\"%.*s\",\"started\":\"%.*s\",\"uptime\":%" PRId64 "},\n",
                   (int)nnow, now, (int)nstarted, started, (int64_t)((t - s->started) / TSM_SEC));
    tsm_buf_printf(out, "\"cmdline\": [\"tsm-raftd\"],\n");
    tsm_buf_printf(out,
                   "\"memstats\": {\"Alloc\":%zu,\"Sys\":%" PRIu64 ",\"HeapAlloc\":%zu,\"HeapSys\":%zu},\n",
                   m.uordblks + m.hblkhd, resident_bytes(), m.uordblks + m.hblkhd, m.arena + m.hblkhd);
    tsm_buf_printf(out, "\"httpd::%u\": {\"name\":\"httpd\",\"tags\":{\"bind\":\":%u\"},\"values\":{",
                   s->port, s->port);
    const char *separator = "";
#define X(name, text)                                                                \
    tsm_buf_printf(out, "%s\"%s\":%" PRIu64, separator, text, load(&s->count.name)); \
    separator = ",";
    TSM_COUNTERS(X)
#undef X
    tsm_buf_puts(out, "}}");
    if (s->service->vars) {
        size_t at = out->len;
        tsm_buf_puts(out, ",\n");
        size_t from = out->len;
        s->service->vars(s->service->ctx, out);
        if (out->len == from)
            out->len = at;
    }
    tsm_buf_puts(out, "\n}\n");
}
