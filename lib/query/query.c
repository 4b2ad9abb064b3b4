/* query/query.c: the statements of a query, one after the other. */
#include "query/query.h"

#include "query/access.h"
#include "query/change.h"
#include "query/complete.h"
#include "query/context.h"
#include "query/exec.h"
#include "query/into.h"
#include "query/explain.h"
#include "query/parser.h"
#include "query/show.h"

#include "base/banned.h"

/* Between the executors and the caller's sink: counts rows, and remembers an error of the sink, which ends
 * the query where an error of a statement is part of the answer. */
struct counter {
    struct tsm_sink base;
    struct tsm_sink *to;
    struct tsm_query_control *control;
    struct tsm_series_head head;
    uint64_t rows;
    bool several; /* of the statement */
    int failed;
};

static int note(struct counter *c, int rc)
{
    if (rc != TSM_OK)
        c->failed = rc;
    return rc;
}

static int on_statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    return note(c, c->to->statement_begin(c->to, id, err));
}

static int on_series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    c->head = *head;
    c->head.several = c->several;
    return note(c, c->to->series_begin(c->to, &c->head, err));
}

static int on_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    int rc = tsm_control_check(c->control, 0, err);
    if (rc != TSM_OK) /* not an error of the sink's */
        return rc;
    c->rows += rows->n;
    return note(c, c->to->rows(c->to, rows, err));
}

static int on_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    return note(c, c->to->series_end(c->to, err));
}

static int on_statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    return note(c, c->to->statement_end(c->to, error, err));
}

static int on_message(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    return c->to->message ? note(c, c->to->message(c->to, level, text, err)) : TSM_OK;
}

/* influxd keeps the names of its internal sources for itself. */
static int check_sources(const struct tsm_select *s, struct tsm_err *err)
{
    static const struct {
        const char *name, *command;
    } system[] = {
        {"_fieldKeys", "SHOW FIELD KEYS"},
        {"_measurements", "SHOW MEASUREMENTS"},
        {"_series", "SHOW SERIES"},
        {"_tagKeys", "SHOW TAG KEYS"},
        {"_tags", "SHOW TAG VALUES"},
        {"_name", NULL},
        {"_tagKey", NULL},
    };
    for (size_t i = 0; i < s->nsources; i++)
        for (size_t k = 0; k < sizeof system / sizeof *system; k++)
            if (tsm_str_eq(s->sources[i].name, tsm_str_of(system[k].name)))
                return tsm_err_set(err, TSM_EQUERY, "unable to use system source '%s': use %s instead",
                                   system[k].name,
                                   system[k].command ? system[k].command : "the appropriate meta command");
    return TSM_OK;
}

/* ---- changes ----------------------------------------------------------------------------------- */

/* What influxd says of a change that comes by GET. */
static int warn(struct tsm_sink *sink, struct tsm_str statement, struct tsm_err *err)
{
    struct tsm_buf text = {0};
    tsm_buf_printf(&text,
                   "deprecated use of '%.*s' in a read only context, please use a POST request instead",
                   (int)statement.n, statement.p);
    int rc = sink->message(sink, "warning", tsm_buf_cstr(&text), err);
    tsm_buf_release(&text);
    return rc;
}

static int warn_of_change(const struct tsm_statement *st, const struct tsm_change *c, struct tsm_sink *sink,
                          struct tsm_err *err)
{
    struct tsm_buf text = {0};
    if (st->kind == TSM_STATEMENT_DELETE)
        return TSM_OK;
    if (st->kind == TSM_STATEMENT_CREATE_CONTINUOUS_QUERY) /* with complete names */
        tsm_buf_str(&text, c->text);
    else
        tsm_statement_print(&text, st);
    int rc = warn(sink, tsm_buf_view(&text), err);
    tsm_buf_release(&text);
    return rc;
}

/* Over loose files nothing can be changed. meta.db is read where the change depends on it; the first user may be made in a
 * directory that is not there yet. */
static int run_change(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                      struct tsm_err *err)
{
    const struct tsm_query_options *opt = q->opt;
    struct tsm_change c;
    struct tsm_arena arena = {0};
    int rc = TSM_OK;
    if (q->loose)
        return tsm_err_set(err, TSM_EQUERY, "%s needs a data directory", st->title);
    if (st->kind == TSM_STATEMENT_CREATE_USER || st->kind == TSM_STATEMENT_SET_PASSWORD ||
        st->kind == TSM_STATEMENT_CREATE_CONTINUOUS_QUERY || st->kind == TSM_STATEMENT_DROP_SHARD)
        rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_ENOTFOUND && st->kind == TSM_STATEMENT_CREATE_USER)
        rc = TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_change_of(st, &q->meta, opt->database, opt->rp, opt->now, &arena, &c, err);
    if (rc == TSM_OK) {
        tsm_query_ctx_forget(q);
        rc = q->backend->change(q->backend->ctx, &c, err);
    }
    if (rc == TSM_OK && opt->read_only)
        rc = warn_of_change(st, &c, sink, err);
    tsm_arena_release(&arena);
    return rc;
}

/* ---- statements -------------------------------------------------------------------------------- */

/* With the text that has complete names, before the statement changes anything. */
static int warn_of_into(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                        struct tsm_err *err)
{
    struct tsm_arena arena = {0};
    struct tsm_select *complete;
    struct tsm_buf text = {0};
    int rc = tsm_query_ctx_meta(q, err);
    if (rc == TSM_OK)
        rc = tsm_select_complete(&q->meta, q->opt->database, q->opt->rp, &arena, s, &complete, err);
    if (rc == TSM_OK) {
        tsm_select_print(&text, complete);
        rc = warn(sink, tsm_buf_view(&text), err);
    }
    tsm_buf_release(&text);
    tsm_arena_release(&arena);
    return rc;
}

static int run_select(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                      struct tsm_err *err)
{
    int rc = check_sources(s, err);
    if (rc == TSM_OK)
        rc = s->target ? tsm_into_run(q, s, sink, err) : tsm_select_run(q, s, sink, err);
    if (s->target)
        tsm_query_ctx_forget(q); /* there are new points, perhaps new shards */
    if (rc == TSM_OK && s->target && q->opt->read_only)
        rc = warn_of_into(q, s, sink, err);
    return rc;
}

static int run_statement(struct tsm_query_ctx *q, const struct tsm_statement *st, struct tsm_sink *sink,
                         struct tsm_err *err)
{
    if (tsm_statement_changes(st))
        return run_change(q, st, sink, err);
    if (st->kind == TSM_STATEMENT_SELECT)
        return run_select(q, st->u.select, sink, err);
    if (st->kind == TSM_STATEMENT_EXPLAIN)
        return tsm_explain_run(q, st->u.select, st->analyze, sink, err);
    int rc = tsm_show_run(q, st, sink, err);
    if (rc == TSM_OK && st->kind == TSM_STATEMENT_KILL_QUERY && q->opt->read_only)
        rc = warn_of_change(st, NULL, sink, err);
    return rc;
}

/*
 * A statement that fails ends the query. influxd answers then: to the failing statement with its error when
 * it is the last one; else to it and all others but the last with "not executed", and to the last with
 * nothing. The error that this hides is in err; in chunks both are told.
 */
static int refuse_rest(struct counter *c, size_t failed, size_t n, bool chunked, const char *message)
{
    if (failed + 1 == n)
        return c->base.statement_end(&c->base, message, NULL);
    int rc = TSM_OK;
    if (chunked)
        rc = c->base.statement_end(&c->base, message, NULL);
    if (chunked && rc == TSM_OK)
        rc = c->base.statement_begin(&c->base, (unsigned)failed, NULL);
    if (rc == TSM_OK)
        rc = c->base.statement_end(&c->base, "not executed", NULL);
    for (size_t i = failed + 1; i + 1 < n && rc == TSM_OK; i++) {
        rc = c->base.statement_begin(&c->base, (unsigned)i, NULL);
        if (rc == TSM_OK)
            rc = c->base.statement_end(&c->base, "not executed", NULL);
    }
    return rc;
}

static int run_all(struct tsm_query_ctx *q, const struct tsm_ast *ast, struct counter *c, struct tsm_err *err)
{
    for (size_t i = 0; i < ast->nstatements; i++) {
        struct tsm_err cause = {0};
        const struct tsm_statement *st = &ast->statements[i];
        int rc = c->base.statement_begin(&c->base, (unsigned)i, err);
        if (rc != TSM_OK)
            return rc;
        c->several = tsm_statement_several(st);
        rc = tsm_control_check(c->control, 0, &cause);
        if (rc == TSM_OK)
            rc = run_statement(q, st, &c->base, &cause);
        if (rc == TSM_OK) {
            rc = c->base.statement_end(&c->base, NULL, err);
            if (rc != TSM_OK)
                return rc;
            continue;
        }
        if (err)
            *err = cause;
        if (!c->failed)
            (void)refuse_rest(c, i, ast->nstatements, q->opt->chunked, cause.msg);
        if (!c->failed && rc == TSM_ELIMIT) /* of the statement, not of what takes the answer */
            rc = TSM_EQUERY;
        return c->failed ? c->failed : rc;
    }
    return TSM_OK;
}

static int authorize(struct tsm_query_ctx *q, const struct tsm_ast *ast, struct tsm_err *err)
{
    if (!q->opt->authenticate)
        return TSM_OK;
    int rc = tsm_query_ctx_meta(q, err);
    if (rc != TSM_OK)
        return rc;
    rc = tsm_access_query(&q->meta, q->opt->user, ast, q->opt->database, err);
    return rc == TSM_OK ? TSM_OK : tsm_err_wrap(err, rc, "error authorizing query");
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

int tsm_query_run(const struct tsm_query_options *opt, struct tsm_str text, struct tsm_sink *sink,
                  uint64_t *rows, struct tsm_err *err)
{
    struct tsm_query_ctx q;
    struct tsm_ast ast;
    struct counter c = {
        .base = {on_statement_begin, on_series_begin, on_rows, on_series_end, on_statement_end, on_message},
        .to = sink,
        .control = opt->control,
    };
    int rc = tsm_parse_query_bound(trim(text), opt->bindings, &ast, err);
    if (rc != TSM_OK) {
        tsm_ast_release(&ast);
        return tsm_err_wrap(err, rc, "error parsing query");
    }
    tsm_query_ctx_init(&q, opt);
    rc = authorize(&q, &ast, err);
    if (rc == TSM_OK)
        rc = run_all(&q, &ast, &c, err);
    struct tsm_err last;
    int closed = tsm_query_ctx_release(&q, &last);
    if (rc == TSM_OK && closed != TSM_OK) {
        rc = closed;
        if (err)
            *err = last;
    }
    tsm_ast_release(&ast);
    if (rows)
        *rows = c.rows;
    return rc;
}
