/* net/remote_writer.c: batches to a server, one at a time, in order. */
#include "net/remote_writer.h"

#include <time.h>

#include "base/alloc.h"
#include "base/time.h"
#include "query/ast.h"
#include "base/banned.h"

enum {
    SHORTEST_WAIT_MS = 100,
    LONGEST_WAIT_MS = 5000,
};

struct tsm_remote_writer {
    struct tsm_client *client;
    struct tsm_str database, rp;
    struct tsm_buf body, text;
    struct tsm_engine_stats stats;
    uint64_t mark;
    bool made_database, made_policy; /* only once: a server that still says no means something else */
};

struct tsm_remote_writer *tsm_remote_writer_new(struct tsm_client *c, struct tsm_str database,
                                                struct tsm_str rp)
{
    struct tsm_remote_writer *w = tsm_calloc(1, sizeof *w);
    w->client = c;
    w->database = database;
    w->rp = rp;
    return w;
}

void tsm_remote_writer_free(struct tsm_remote_writer *w)
{
    if (!w)
        return;
    tsm_buf_release(&w->body);
    tsm_buf_release(&w->text);
    tsm_free(w);
}

static int answer(const struct tsm_remote_writer *w, int code, struct tsm_err *err)
{
    return tsm_err_set(err, code, "%.*s", (int)w->text.len, (const char *)w->text.data);
}

static bool says(const struct tsm_remote_writer *w, const char *beginning)
{
    return tsm_str_starts(tsm_buf_view(&w->text), tsm_str_of(beginning));
}

/* ---- database and policy ----------------------------------------------------------------------- */

static int run_statement(struct tsm_remote_writer *w, const struct tsm_buf *statement, struct tsm_err *err)
{
    struct tsm_client_parameter q = {"q", tsm_buf_view(statement)};
    struct tsm_client_request r = {.path = "/query", .parameters = &q, .nparameters = 1, .form = true};
    long status;
    int rc = tsm_client_do(w->client, &r, &status, &w->text, err);
    if (rc == TSM_OK && status / 100 != 2)
        rc = answer(w, status == 401 || status == 403 ? TSM_EACCESS : TSM_EQUERY, err);
    return rc;
}

static int make_database(struct tsm_remote_writer *w, struct tsm_err *err)
{
    struct tsm_buf s = {0};
    tsm_buf_puts(&s, "CREATE DATABASE ");
    tsm_quote_ident(&s, w->database);
    int rc = run_statement(w, &s, err);
    tsm_buf_release(&s);
    w->made_database = true;
    return rc;
}

static int make_policy(struct tsm_remote_writer *w, struct tsm_err *err)
{
    struct tsm_buf s = {0};
    tsm_buf_puts(&s, "CREATE RETENTION POLICY ");
    tsm_quote_ident(&s, w->rp);
    tsm_buf_puts(&s, " ON ");
    tsm_quote_ident(&s, w->database);
    tsm_buf_puts(&s, " DURATION INF REPLICATION 1");
    int rc = run_statement(w, &s, err);
    tsm_buf_release(&s);
    w->made_policy = true;
    return rc;
}

/* ---- sending ----------------------------------------------------------------------------------- */

static bool stopped(const struct tsm_remote_writer *w)
{
    const atomic_bool *stop = tsm_client_settings(w->client)->stop;
    return stop && atomic_load(stop);
}

/* A signal ends the sleep. */
static void wait_a_moment(const struct tsm_remote_writer *w, unsigned ms)
{
    for (unsigned done = 0; done < ms && !stopped(w); done += SHORTEST_WAIT_MS)
        nanosleep(&(struct timespec){.tv_nsec = SHORTEST_WAIT_MS * 1000000l}, NULL);
}

/* Sends the body until somebody answers who is not busy: a status of 2xx, 400 or 413, or an error. */
static int post(struct tsm_remote_writer *w, long *status, struct tsm_err *err)
{
    const struct tsm_client_options *opt = tsm_client_settings(w->client);
    struct tsm_client_parameter parameters[] = {
        {"db", w->database}, {"rp", w->rp}, {"precision", TSM_STR("ns")}};
    struct tsm_client_request r = {
        .path = "/write", .parameters = parameters, .nparameters = 3, .body = tsm_buf_view(&w->body)};
    int64_t end = tsm_monotonic() + opt->patience;
    bool told = false;
    for (unsigned ms = SHORTEST_WAIT_MS;; ms = ms < LONGEST_WAIT_MS / 2 ? 2 * ms : LONGEST_WAIT_MS) {
        int rc = tsm_client_do(w->client, &r, status, &w->text, err);
        if (rc != TSM_OK && rc != TSM_EAGAIN)
            return rc;
        if (rc == TSM_OK) {
            if (*status / 100 == 2 || *status == 400 || *status == 413)
                return TSM_OK;
            if (says(w, "database not found") && !w->made_database) {
                if ((rc = make_database(w, err)) != TSM_OK)
                    return rc;
                continue;
            }
            if (says(w, "retention policy not found") && !w->made_policy && w->rp.n) {
                if ((rc = make_policy(w, err)) != TSM_OK)
                    return rc;
                continue;
            }
            if (*status == 401 || *status == 403)
                return answer(w, TSM_EACCESS, err);
            if (*status / 100 != 5 && *status != 429)
                return answer(w, TSM_EQUERY, err);
            answer(w, TSM_EAGAIN, err);
        }
        if (stopped(w) || tsm_monotonic() >= end)
            return TSM_EAGAIN;
        if (!told && opt->warn && err)
            opt->warn(opt->warn_ctx, err->msg);
        told = true;
        unsigned asked = tsm_client_retry_after(w->client) * 1000;
        wait_a_moment(w, asked > ms ? asked : ms);
    }
}

struct sending {
    struct tsm_remote_writer *w;
    const struct tsm_points *batch;
    tsm_reject_fn *reject;
    void *ctx;
};

/* Sends points [from, to). */
static int post_points(const struct sending *s, size_t from, size_t to, long *status, struct tsm_err *err)
{
    struct tsm_remote_writer *w = s->w;
    *status = 204;
    if (!w->client)
        return TSM_OK;
    tsm_buf_reset(&w->body);
    for (size_t i = from; i < to; i++) {
        tsm_line_point(&w->body, &s->batch->points[i], s->batch->fields);
        tsm_buf_byte(&w->body, '\n');
    }
    return post(w, status, err);
}

/* The cause alone, as a directory gives it: without "partial write: " before it and " dropped=1" behind. */
static const char *bare_cause(struct tsm_buf *text)
{
    static const char head[] = "partial write: ", tail[] = " dropped=1";
    char *p = tsm_buf_cstr(text);
    size_t n = text->len;
    if (n > sizeof tail - 1 && strcmp(p + n - (sizeof tail - 1), tail) == 0)
        p[n - (sizeof tail - 1)] = 0;
    return strncmp(p, head, sizeof head - 1) == 0 ? p + sizeof head - 1 : p;
}

static int send_points(const struct sending *s, size_t from, size_t to, struct tsm_err *err)
{
    struct tsm_remote_writer *w = s->w;
    long status;
    int rc = post_points(s, from, to, &status, err);
    if (rc != TSM_OK)
        return rc;
    if (status / 100 == 2) {
        for (size_t i = from; i < to; i++)
            w->stats.points += s->batch->points[i].nfields;
        w->stats.rows += to - from;
        w->stats.durable_rows = w->stats.rows;
        return TSM_OK;
    }
    if (to - from > 1) {
        rc = send_points(s, from, from + (to - from) / 2, err);
        return rc == TSM_OK ? send_points(s, from + (to - from) / 2, to, err) : rc;
    }
    const struct tsm_point *p = &s->batch->points[from];
    s->reject(s->ctx, p->line, p->text, bare_cause(&w->text));
    w->stats.rejected++;
    return TSM_OK;
}

/* ---- as a target ------------------------------------------------------------------------------- */

static int write_batch(void *ctx, const struct tsm_points *batch, tsm_reject_fn *reject, void *reject_ctx,
                       struct tsm_err *err)
{
    struct tsm_remote_writer *w = ctx;
    struct sending s = {w, batch, reject, reject_ctx};
    int rc = batch->n ? send_points(&s, 0, batch->n, err) : TSM_OK;
    w->mark += rc == TSM_OK;
    return rc;
}

static uint64_t writer_mark(void *ctx)
{
    return ((const struct tsm_remote_writer *)ctx)->mark;
}

static void writer_stats(void *ctx, struct tsm_engine_stats *st)
{
    *st = ((const struct tsm_remote_writer *)ctx)->stats;
}

struct tsm_load_target tsm_load_into_server(struct tsm_remote_writer *w)
{
    return (struct tsm_load_target){w, write_batch, writer_mark, writer_mark, writer_stats};
}
