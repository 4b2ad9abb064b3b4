/*
 * query/continuous.c: running continuous queries.
 *
 * The statement that runs is made as text, for influxd makes its condition so: the query's own, in which everything about time is
 * replaced by true, then " AND time >= … AND time < …". OR in it binds as it does there.
 */
#include "query/continuous.h"

#include "base/alloc.h"
#include "base/protobuf.h"
#include "base/time.h"
#include "query/parser.h"
#include "query/schedule.h"
#include "store/data_dir.h"

#include "base/banned.h"

/* ---- last runs --------------------------------------------------------------------------------- */

struct last_run {
    char *names; /* database and query, one behind the other */
    struct tsm_str database, name;
    int64_t last;
    bool seen;
};

struct tsm_continuous_runs {
    struct last_run *runs;
    size_t n, cap;
};

struct tsm_continuous_runs *tsm_continuous_runs_new(void)
{
    return tsm_calloc(1, sizeof(struct tsm_continuous_runs));
}

void tsm_continuous_runs_free(struct tsm_continuous_runs *r)
{
    for (size_t i = 0; r && i < r->n; i++)
        tsm_free(r->runs[i].names);
    if (r)
        tsm_free(r->runs);
    tsm_free(r);
}

static struct last_run *find_run(const struct tsm_continuous_runs *r, struct tsm_str database,
                                 struct tsm_str name)
{
    for (size_t i = 0; i < r->n; i++)
        if (tsm_str_eq(r->runs[i].name, name) && tsm_str_eq(r->runs[i].database, database))
            return &r->runs[i];
    return NULL;
}

static void set_run(struct tsm_continuous_runs *r, struct tsm_str database, struct tsm_str name, int64_t last)
{
    struct last_run *run = find_run(r, database, name);
    if (!run) {
        TSM_GROW(r->runs, r->n + 1, r->cap);
        run = &r->runs[r->n++];
        *run = (struct last_run){.names = tsm_alloc(database.n + name.n + 1), .seen = true};
        if (database.n)
            memcpy(run->names, database.p, database.n);
        if (name.n)
            memcpy(run->names + database.n, name.p, name.n);
        run->database = tsm_str(run->names, database.n);
        run->name = tsm_str(run->names + database.n, name.n);
    }
    run->last = last;
}

static void forget_unseen(struct tsm_continuous_runs *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->runs[i].seen)
            r->runs[kept++] = r->runs[i];
        else
            tsm_free(r->runs[i].names);
    r->n = kept;
}

/* ---- in a file --------------------------------------------------------------------------------- */

enum { RUN = 1, RUN_DATABASE = 1, RUN_NAME = 2, RUN_LAST = 3, FILE_MAX = 16 << 20 };

static char *file_path(const char *dir)
{
    return tsm_path_join(dir, "continuous_runs");
}

static bool take_run(struct tsm_continuous_runs *r, struct tsm_str bytes)
{
    struct tsm_pb_reader reader = {(const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n};
    struct tsm_pb_field f;
    struct tsm_str database = {"", 0}, name = {"", 0};
    int64_t last = 0;
    int more;
    while ((more = tsm_pb_next(&reader, &f)) > 0) {
        if (f.number == RUN_DATABASE && f.wire == TSM_PB_BYTES)
            database = f.bytes;
        else if (f.number == RUN_NAME && f.wire == TSM_PB_BYTES)
            name = f.bytes;
        else if (f.number == RUN_LAST && f.wire == TSM_PB_VARINT)
            last = (int64_t)f.value;
    }
    if (more < 0 || !database.n)
        return false;
    set_run(r, database, name, last);
    return true;
}

int tsm_continuous_runs_load(const struct tsm_fs *fs, const char *dir, struct tsm_continuous_runs **r,
                             struct tsm_err *err)
{
    struct tsm_buf bytes = {0};
    struct tsm_pb_field f;
    char *path = file_path(dir);
    int rc = tsm_fs_read_file(fs, path, FILE_MAX, &bytes, err);
    *r = tsm_continuous_runs_new();
    struct tsm_pb_reader reader = {bytes.data, bytes.data + bytes.len};
    bool good = true;
    int more = 0;
    while (rc == TSM_OK && good && (more = tsm_pb_next(&reader, &f)) > 0)
        good = f.number == RUN && f.wire == TSM_PB_BYTES && take_run(*r, f.bytes);
    if (!good || more < 0) {
        tsm_continuous_runs_free(*r);
        *r = tsm_continuous_runs_new();
    }
    tsm_free(path);
    tsm_buf_release(&bytes);
    return rc == TSM_ENOTFOUND || rc == TSM_ELIMIT || rc == TSM_ECORRUPT ? TSM_OK : rc;
}

int tsm_continuous_runs_save(const struct tsm_fs *fs, const char *dir, const struct tsm_continuous_runs *r,
                             struct tsm_err *err)
{
    struct tsm_buf bytes = {0}, run = {0};
    for (size_t i = 0; i < r->n; i++) {
        tsm_buf_reset(&run);
        tsm_pb_put_bytes(&run, RUN_DATABASE, r->runs[i].database);
        tsm_pb_put_bytes(&run, RUN_NAME, r->runs[i].name);
        tsm_pb_put_varint(&run, RUN_LAST, (uint64_t)r->runs[i].last);
        tsm_pb_put_bytes(&bytes, RUN, tsm_buf_view(&run));
    }
    char *path = file_path(dir);
    int rc = tsm_fs_write_file(fs, path, tsm_buf_view(&bytes), err);
    tsm_free(path);
    tsm_buf_release(&run);
    tsm_buf_release(&bytes);
    return rc;
}

/* ---- the statement ----------------------------------------------------------------------------- */

static bool is_time(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_VAR && e->u.var.type == TSM_DATA_UNKNOWN &&
           tsm_str_eq(e->u.var.name, TSM_STR("time"));
}

/* Comparisons with time, and calls, become true. */
static void drop_time(struct tsm_expr *e)
{
    bool drop = e->kind == TSM_EXPR_CALL;
    if (e->kind == TSM_EXPR_PAREN) {
        drop_time(e->u.paren);
    } else if (e->kind == TSM_EXPR_BINARY) {
        drop_time(e->u.binary.lhs);
        drop_time(e->u.binary.rhs);
        drop = is_time(e->u.binary.lhs);
    }
    if (!drop)
        return;
    e->kind = TSM_EXPR_BOOLEAN;
    e->u.boolean = true;
}

/* The SELECT over [start, end). */
static int print_run(struct tsm_buf *out, struct tsm_arena *a, const struct tsm_select *s, int64_t start,
                     int64_t end, struct tsm_err *err)
{
    struct tsm_buf condition = {0};
    char from[TSM_TIME_TEXT_MAX], to[TSM_TIME_TEXT_MAX];
    struct tsm_select copy = *s;
    struct tsm_ast ast;
    if (s->condition) {
        struct tsm_expr *own = tsm_expr_copy(a, s->condition);
        drop_time(own);
        tsm_expr_print(&condition, own);
        tsm_buf_puts(&condition, " AND ");
    }
    int n = (int)tsm_format_rfc3339(from, start), m = (int)tsm_format_rfc3339(to, end);
    tsm_buf_printf(&condition, "time >= '%.*s' AND time < '%.*s'", n, from, m, to);
    int rc = tsm_parse_expr(tsm_buf_view(&condition), &ast, &copy.condition, err);
    if (rc == TSM_OK)
        tsm_select_print(out, &copy);
    else
        tsm_err_wrap(err, TSM_EQUERY, "unable to set time range");
    tsm_ast_release(&ast);
    tsm_buf_release(&condition);
    return rc == TSM_OK ? TSM_OK : TSM_EQUERY;
}

/* ---- its answer -------------------------------------------------------------------------------- */

struct counter {
    struct tsm_sink sink;
    int64_t written;
};

static int no_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s, (void)id, (void)err;
    return TSM_OK;
}

static int no_series(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    (void)s, (void)head, (void)err;
    return TSM_OK;
}

static int no_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s, (void)err;
    return TSM_OK;
}

static int no_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)s, (void)error, (void)err;
    return TSM_OK;
}

/* time, written */
static int take_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct counter *c = (struct counter *)s;
    (void)err;
    if (rows->n == 1 && rows->columns[1].type == TSM_CELL_INTEGER)
        c->written = rows->columns[1].v.i[0];
    return TSM_OK;
}

/* ---- running ----------------------------------------------------------------------------------- */

struct running {
    const struct tsm_continuous_options *opt;
    struct tsm_continuous_runs *runs;
    int64_t now;
    const struct tsm_database *db;
    const struct tsm_continuous *cq;
    struct tsm_arena arena; /* of one query */
};

static int run_select(struct running *r, const struct tsm_select *s, struct tsm_continuous_report *report,
                      struct tsm_err *err)
{
    struct tsm_query_options query = *r->opt->query;
    struct counter answer = {.sink = {no_begin, no_series, take_rows, no_series_end, no_end, NULL},
                             .written = -1};
    struct tsm_buf text = {0};
    struct tsm_select copy = *s;
    struct tsm_source target = *s->target;
    if (!target.rp.n) /* of the query's database, whichever is written to */
        target.rp = r->db->default_rp;
    copy.target = &target;
    int rc = print_run(&text, &r->arena, &copy, report->start, report->end, err);
    query.database = r->db->name;
    query.rp = tsm_str("", 0);
    query.now = r->now;
    query.authenticate = query.read_only = false;
    int64_t from = tsm_monotonic();
    if (rc == TSM_OK)
        rc = tsm_query_run(&query, tsm_buf_view(&text), &answer.sink, NULL, err);
    report->took = tsm_monotonic() - from;
    report->written = answer.written;
    tsm_buf_release(&text);
    return rc;
}

static int run_due(struct running *r, const struct tsm_continuous_clauses *c, const struct tsm_schedule *s,
                   struct tsm_continuous_report *report, struct tsm_err *err)
{
    const struct last_run *known = find_run(r->runs, r->db->name, r->cq->name);
    int64_t before = r->opt->at_once ? tsm_schedule_before(s, r->now) : 0;
    const int64_t *last = known ? &known->last : r->opt->at_once ? &before : NULL;
    struct tsm_schedule_run run = tsm_schedule_at(s, last, r->now);
    if (!run.due)
        return TSM_ESTOP;
    report->start = run.start;
    report->end = run.end;
    int rc = run.end > run.start ? run_select(r, c->select, report, err) : TSM_ESTOP;
    if (rc == TSM_OK || rc == TSM_ESTOP || rc == TSM_EQUERY)
        set_run(r->runs, r->db->name, r->cq->name, run.last);
    return rc;
}

/* TSM_ESTOP: there was nothing to do. */
static int run_continuous(struct running *r, struct tsm_continuous_report *report, struct tsm_err *err)
{
    struct tsm_ast ast;
    struct tsm_schedule schedule;
    int rc = tsm_parse_query(r->cq->query, &ast, err);
    const struct tsm_statement *st = rc == TSM_OK && ast.nstatements == 1 ? &ast.statements[0] : NULL;
    if (rc == TSM_OK && (!st || st->kind != TSM_STATEMENT_CREATE_CONTINUOUS_QUERY))
        rc = tsm_err_set(err, TSM_EQUERY, "query isn't a valid continuous query");
    if (rc == TSM_OK)
        rc = tsm_schedule_of(&st->u.continuous, &schedule, err);
    if (rc == TSM_OK && schedule.interval <= 0)
        rc = TSM_ESTOP;
    if (rc == TSM_OK)
        rc = run_due(r, &st->u.continuous, &schedule, report, err);
    tsm_ast_release(&ast);
    tsm_arena_release(&r->arena);
    return rc;
}

static int run_and_report(struct running *r, struct tsm_err *err)
{
    struct tsm_continuous_report report = {.database = r->db->name, .name = r->cq->name, .written = -1};
    int rc = run_continuous(r, &report, err);
    if (rc == TSM_ESTOP)
        return TSM_OK;
    report.error = rc == TSM_OK ? NULL : err->msg;
    if (r->opt->report)
        r->opt->report(r->opt->ctx, &report);
    return rc;
}

static int run_all(struct running *r, const struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_str only = r->opt->query->database;
    int first = TSM_OK;
    for (size_t i = 0; i < m->ndatabases; i++) {
        r->db = &m->databases[i];
        for (size_t k = 0; k < r->db->ncontinuous; k++) {
            struct tsm_err cause = {0};
            r->cq = &r->db->continuous[k];
            struct last_run *known = find_run(r->runs, r->db->name, r->cq->name);
            if (known)
                known->seen = true;
            if ((only.n && !tsm_str_eq(only, r->db->name)) || (r->opt->stop && r->opt->stop(r->opt->ctx)))
                continue;
            int rc = run_and_report(r, &cause);
            if (rc != TSM_OK && first == TSM_OK) {
                first = rc;
                if (err)
                    *err = cause;
            }
        }
    }
    return first;
}

int tsm_continuous_run(const struct tsm_continuous_options *opt, int64_t now, struct tsm_continuous_runs *r,
                       struct tsm_err *err)
{
    struct running running = {.opt = opt, .runs = r, .now = now};
    const struct tsm_backend *backend = opt->query->backend;
    struct tsm_meta m = {0};
    int rc = backend->meta(backend->ctx, &m, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < r->n; i++)
        r->runs[i].seen = false;
    rc = run_all(&running, &m, err);
    forget_unseen(r);
    tsm_meta_release(&m);
    return rc;
}
