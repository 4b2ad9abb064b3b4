/*
 * query/into.c: SELECT … INTO.
 *
 * A sink between the executor and the backend. It keeps copies of what it needs of the rows until there are enough points.
 */
#include "query/into.h"

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "format/line.h"
#include "query/exec.h"

#include "base/banned.h"

enum { BATCH_POINTS = 10000, BATCH_BYTES = 8 << 20 };

static const char EXPIRED[] = "points beyond retention policy";

struct into {
    struct tsm_sink sink;
    struct tsm_query_ctx *q;
    struct tsm_str database, rp;           /* of the target */
    struct tsm_str measurement;            /* empty: that of each row */
    struct tsm_str name;                   /* … which is this */
    bool found;                            /* the target's policy was looked for */
    const struct tsm_column_head *columns; /* of the series at hand; the first is time */
    size_t ncolumns, capnames;
    const struct tsm_tag *tags; /* likewise */
    size_t ntags;
    size_t tag_from,
        tag_to; /* columns that are tags: those that top() and bottom() name beside their field */
    struct tsm_tag *row_tags;
    size_t caprow_tags;
    struct tsm_buf key; /* of the series at hand */
    uint64_t hash;
    struct tsm_points points;
    /* Copies in points.arena, made anew when that has been emptied: */
    struct tsm_str *names; /* of named's columns */
    struct tsm_str series; /* the key; p NULL: there is none yet */
    const struct tsm_column_head *named;
    size_t bytes; /* in it */
    int64_t written;
    /* What the backend refused of a batch. */
    uint64_t refused, expired;
    char cause[900]; /* of the first that was refused */
};

/* ---- to the backend ---------------------------------------------------------------------------- */

static void on_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct into *w = ctx;
    (void)line;
    (void)text;
    if (strcmp(cause, EXPIRED) == 0) {
        w->expired++;
    } else if (w->refused++ == 0) {
        snprintf(w->cause, sizeof w->cause, "%s", cause);
    }
}

/* Whether there is such a policy is only asked when there is something to write, as in influxd. */
static int need_policy(struct into *w, struct tsm_err *err)
{
    if (w->found)
        return TSM_OK;
    const struct tsm_database *db = tsm_meta_database(&w->q->meta, w->database);
    w->found = db && w->rp.n && tsm_meta_rp(db, w->rp);
    return w->found ? TSM_OK
                    : tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s", (int)w->rp.n, w->rp.p);
}

static int flush(struct into *w, struct tsm_err *err)
{
    const struct tsm_backend *b = w->q->backend;
    if (w->points.n == 0)
        return TSM_OK;
    w->refused = w->expired = 0;
    int rc = need_policy(w, err);
    if (rc == TSM_OK)
        rc = b->write(b->ctx, w->database, w->rp, &w->points, on_reject, w, err);
    if (rc == TSM_OK && w->refused)
        rc = tsm_err_set(err, TSM_EQUERY, "partial write: %s dropped=%llu", w->cause,
                         (unsigned long long)w->refused);
    else if (rc == TSM_OK && w->expired)
        rc = tsm_err_set(err, TSM_EQUERY, "partial write: %s dropped=%llu", EXPIRED,
                         (unsigned long long)w->expired);
    tsm_points_reset(&w->points);
    w->named = NULL;
    w->series = (struct tsm_str){0};
    w->bytes = 0;
    return rc;
}

/* ---- from rows --------------------------------------------------------------------------------- */

static int on_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s;
    (void)id;
    (void)err;
    return TSM_OK;
}

static bool same_names(const struct into *w, const struct tsm_series_head *head)
{
    bool same = w->named == head->columns && w->ncolumns == head->ncolumns;
    for (size_t i = 1; same && i < head->ncolumns; i++)
        same = tsm_str_eq(w->names[i], head->columns[i].name);
    return same;
}

static int on_series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct into *w = (struct into *)s;
    struct tsm_series series = {
        .measurement = w->measurement.n ? w->measurement : head->name,
        .tags = (struct tsm_tag *)head->tags,
        .ntags = head->ntags,
    };
    (void)err;
    tsm_buf_reset(&w->key);
    tsm_series_make(&w->key, &series);
    w->hash = tsm_hash(tsm_buf_view(&w->key));
    w->series = (struct tsm_str){0};
    w->tags = head->tags;
    w->ntags = head->ntags;
    w->name = series.measurement;
    if (!same_names(w, head)) /* an address may have been used before */
        w->named = NULL;
    w->columns = head->columns;
    w->ncolumns = head->ncolumns;
    return TSM_OK;
}

static struct tsm_str keep(struct into *w, struct tsm_str s)
{
    w->bytes += s.n;
    return tsm_arena_str(&w->points.arena, s);
}

/* The series of a group differ in their keys, and have the same columns. */
static void keep_names(struct into *w)
{
    if (!w->series.p)
        w->series = keep(w, tsm_buf_view(&w->key));
    if (w->named == w->columns)
        return;
    TSM_GROW(w->names, w->ncolumns, w->capnames);
    for (size_t i = 1; i < w->ncolumns; i++)
        w->names[i] = keep(w, w->columns[i].name);
    w->named = w->columns;
}

static bool is_null(const struct tsm_cells *c, size_t row)
{
    return (c->nulls && c->nulls[row]) || (c->type == TSM_CELL_FLOAT && isnan(c->v.f[row]));
}

static union tsm_value value_of(struct into *w, const struct tsm_cells *c, size_t row)
{
    union tsm_value v = {0};
    switch (c->type) {
    case TSM_CELL_FLOAT:
        v.f = c->v.f[row];
        break;
    case TSM_CELL_UNSIGNED:
        v.u = c->v.u[row];
        break;
    case TSM_CELL_BOOLEAN:
        v.b = c->v.b[row] != 0;
        break;
    case TSM_CELL_STRING:
        v.s = keep(w, c->v.s[row]);
        break;
    default:
        v.i = c->v.i[row];
        break;
    }
    return v;
}

/* Whether a field can be stored: influxd makes no point of a row with one that cannot. */
static bool is_storable(const struct into *w, const struct tsm_field *f)
{
    return f->name.n && w->key.len + TSM_FIELD_SEPARATOR.n + f->name.n <= TSM_KEY_MAX &&
           (f->type != TSM_FLOAT || !isinf(f->value.f));
}

static int compare_tags(const void *a, const void *b)
{
    return tsm_str_cmp(((const struct tsm_tag *)a)->key, ((const struct tsm_tag *)b)->key);
}

static bool has_tag(const struct tsm_tag *tags, size_t n, struct tsm_str key)
{
    for (size_t i = 0; i < n; i++)
        if (tsm_str_eq(tags[i].key, key))
            return true;
    return false;
}

/* The key of a row some of whose columns are tags. A field that top() names is left out. */
static void enter_row(struct into *w, const struct tsm_rows *rows, size_t row)
{
    size_t n = w->ntags;
    TSM_GROW(w->row_tags, w->ntags + w->tag_to - w->tag_from, w->caprow_tags);
    if (n)
        memcpy(w->row_tags, w->tags, n * sizeof *w->row_tags);
    for (size_t i = w->tag_from; i < w->tag_to && i < w->ncolumns; i++) {
        const struct tsm_column_head *c = &w->columns[i];
        if (c->role == TSM_ROLE_TAG && rows->columns[i].type == TSM_CELL_STRING &&
            !is_null(&rows->columns[i], row) && !has_tag(w->row_tags, n, c->name))
            w->row_tags[n++] = (struct tsm_tag){c->name, rows->columns[i].v.s[row]};
    }
    tsm_sort(w->row_tags, n, sizeof *w->row_tags, compare_tags);
    struct tsm_series series = {.measurement = w->name, .tags = w->row_tags, .ntags = n};
    tsm_buf_reset(&w->key);
    tsm_series_make(&w->key, &series);
    w->hash = tsm_hash(tsm_buf_view(&w->key));
    w->series = (struct tsm_str){0};
}

static void add_row(struct into *w, const struct tsm_rows *rows, size_t row)
{
    struct tsm_points *p = &w->points;
    size_t first = p->nfields;
    bool good = true;
    if (w->tag_to > w->tag_from)
        enter_row(w, rows, row);
    keep_names(w);
    for (size_t i = 1; i < w->ncolumns; i++) {
        const struct tsm_cells *c = &rows->columns[i];
        if (is_null(c, row) || (i >= w->tag_from && i < w->tag_to))
            continue;
        TSM_GROW(p->fields, p->nfields + 1, p->capfields);
        struct tsm_field *f = &p->fields[p->nfields++];
        *f = (struct tsm_field){
            .name = w->names[i],
            .type = c->type == TSM_CELL_TIME ? TSM_INTEGER : (enum tsm_type)c->type,
            .value = value_of(w, c, row),
        };
        good = good && is_storable(w, f);
    }
    if (!good || p->nfields == first) {
        p->nfields = first;
        return;
    }
    TSM_GROW(p->points, p->n + 1, p->cap);
    p->points[p->n++] = (struct tsm_point){
        .raw_key = w->series,
        .hash = w->hash,
        .time = rows->columns[0].v.i[row],
        .first_field = (uint32_t)first,
        .nfields = (uint32_t)(p->nfields - first),
    };
    w->written++;
}

static int on_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct into *w = (struct into *)s;
    int rc = tsm_control_check(w->q->opt->control, 0, err);
    for (size_t i = 0; i < rows->n && rc == TSM_OK; i++) {
        add_row(w, rows, i);
        if (w->points.n >= BATCH_POINTS || w->bytes >= BATCH_BYTES)
            rc = flush(w, err);
    }
    return rc;
}

static int on_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s;
    (void)err;
    return TSM_OK;
}

static int on_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)s;
    (void)error;
    (void)err;
    return TSM_OK;
}

/* ---- the statement ----------------------------------------------------------------------------- */

/* Database and policy as NormalizeStatement() finds them. */
static int find_target(struct into *w, const struct tsm_source *target, struct tsm_err *err)
{
    int rc = tsm_query_ctx_database(w->q, target->database, &w->database, err);
    if (rc == TSM_OK)
        rc = tsm_query_ctx_meta(w->q, err);
    if (rc != TSM_OK)
        return rc;
    const struct tsm_database *db = tsm_meta_database(&w->q->meta, w->database);
    if (!db)
        return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)w->database.n, w->database.p);
    w->rp = target->rp.n ? target->rp : w->q->opt->rp.n ? w->q->opt->rp : db->default_rp;
    if (!w->rp.n)
        return tsm_err_set(err, TSM_EQUERY, "default retention policy not set for: %.*s", (int)w->database.n,
                           w->database.p);
    w->measurement = target->name;
    return TSM_OK;
}

/* What top() and bottom() name beside their field has columns of its own, unless there is a target; in the target they are tags. So
 * they run as if there were none. */
static const struct tsm_select *with_tag_columns(struct into *w, const struct tsm_select *s,
                                                 struct tsm_select *copy)
{
    *copy = *s;
    copy->target = NULL;
    for (size_t i = 0; i < s->nfields; i++) {
        const struct tsm_expr *e = tsm_expr_bare(s->fields[i].expr);
        if (e->kind != TSM_EXPR_CALL || e->u.call.nargs < 3 ||
            (!tsm_str_eq(e->u.call.name, TSM_STR("top")) && !tsm_str_eq(e->u.call.name, TSM_STR("bottom"))))
            continue;
        w->tag_from = i + 2; /* behind time and the call */
        w->tag_to = w->tag_from + e->u.call.nargs - 2;
        return copy;
    }
    return s;
}

static int tell(int64_t written, struct tsm_sink *sink, struct tsm_err *err)
{
    static const struct tsm_column_head columns[] = {{{"time", 4}, TSM_ROLE_TIME},
                                                     {{"written", 7}, TSM_ROLE_OTHER}};
    static const int64_t epoch = 0;
    struct tsm_series_head head = {.name = TSM_STR("result"), .columns = columns, .ncolumns = 2};
    struct tsm_cells cells[] = {{.type = TSM_CELL_TIME, .v.i = &epoch},
                                {.type = TSM_CELL_INTEGER, .v.i = &written}};
    struct tsm_rows rows = {1, cells};
    int rc = sink->series_begin(sink, &head, err);
    if (rc == TSM_OK)
        rc = sink->rows(sink, &rows, err);
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

int tsm_into_run(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                 struct tsm_err *err)
{
    struct into w = {
        .sink = {on_begin, on_series_begin, on_rows, on_series_end, on_end, NULL},
        .q = q,
    };
    if (q->loose)
        return tsm_err_set(err, TSM_EQUERY, "SELECT INTO needs a data directory");
    struct tsm_select copy;
    int rc = find_target(&w, s->target, err);
    if (rc == TSM_OK)
        rc = tsm_select_run(q, with_tag_columns(&w, s, &copy), &w.sink, err);
    if (rc == TSM_OK)
        rc = flush(&w, err);
    if (rc == TSM_OK)
        rc = tell(w.written, sink, err);
    tsm_points_release(&w.points);
    tsm_buf_release(&w.key);
    tsm_free(w.names);
    tsm_free(w.row_tags);
    return rc;
}
