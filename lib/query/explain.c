/* query/explain.c: what a SELECT reads, as lines or as a tree. */
#include "query/explain.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/time.h"
#include "query/run.h"
#include "store/scan.h"

#include "base/banned.h"

/* ---- a tree ------------------------------------------------------------------------------------ */

struct branch {
    struct tsm_str text;
    struct branch *first, *last, *next;
};

static struct branch *grow(struct tsm_arena *a, struct branch *parent, const char *text)
{
    struct branch *b = tsm_arena_calloc(a, sizeof *b);
    b->text = tsm_str_of(text);
    if (parent->last)
        parent->last->next = b;
    else
        parent->first = b;
    return parent->last = b;
}

static void draw(struct tsm_buf *out, struct tsm_buf *indent, const struct branch *b)
{
    for (const struct branch *c = b->first; c; c = c->next) {
        size_t len = indent->len;
        tsm_buf_byte(out, '\n');
        tsm_buf_add(out, indent->data, indent->len);
        tsm_buf_puts(out, c->next ? "├── " : "└── ");
        tsm_buf_str(out, c->text);
        tsm_buf_puts(indent, c->next ? "│   " : "    ");
        draw(out, indent, c);
        indent->len = len;
    }
}

/* ---- what is read ------------------------------------------------------------------------------ */

struct explainer {
    struct tsm_query_ctx *q;
    struct tsm_arena arena;
    struct tsm_err *err;
    struct tsm_buf out;  /* EXPLAIN */
    struct branch *tree; /* EXPLAIN ANALYZE */
};

struct cost {
    uint64_t shards, series, cursors, aux_cursors, condition_cursors;
    struct tsm_key_cost keys;
};

struct node { /* a call of a source, or its raw fields */
    const struct tsm_plan *plan;
    const struct tsm_shape *shape;
    const struct tsm_call *call; /* NULL: raw */
    bool aux;                    /* the fields beside it are read */
    int64_t tmin, tmax;
};

static void add_key(const struct node *n, const struct tsm_unit *u, size_t s, size_t field, uint64_t *cursors,
                    struct cost *cost)
{
    uint32_t key = u->keys[s * n->plan->nfields + field];
    if (key == TSM_NO_KEY)
        return;
    ++*cursors;
    tsm_key_cost(u->shard, key, n->tmin, n->tmax, &cost->keys);
}

struct in_filter {
    const struct node *node;
    const struct tsm_unit *unit;
    size_t series;
    struct cost *cost;
};

static bool add_filter_field(void *ctx, const struct tsm_expr *e)
{
    const struct in_filter *f = ctx;
    for (size_t i = 0; e->kind == TSM_EXPR_VAR && i < f->node->plan->nfields; i++)
        if (f->node->plan->fields[i].type == e->u.var.type &&
            tsm_str_eq(f->node->plan->fields[i].name, e->u.var.name))
            add_key(f->node, f->unit, f->series, i, &f->cost->condition_cursors, f->cost);
    return true;
}

/* Adds one unit. */
static int add_unit(struct explainer *x, const struct node *n, const struct tsm_unit *u, struct cost *cost)
{
    const struct tsm_shape *shape = n->shape;
    unsigned rounds = 0;
    cost->shards++;
    cost->series += u->nseries;
    for (size_t s = 0; s < u->nseries; s++) {
        int rc = tsm_control_round(x->q->opt->control, &rounds, x->err);
        if (rc != TSM_OK)
            return rc;
        if (n->call && n->call->index != SIZE_MAX)
            add_key(n, u, s, n->call->index, &cost->cursors, cost);
        for (size_t i = 0; n->aux && i < shape->naux; i++)
            if (shape->aux[i].type != TSM_DATA_TAG && shape->aux[i].index != SIZE_MAX)
                add_key(n, u, s, shape->aux[i].index, &cost->aux_cursors, cost);
        if (u->series[s].filter != TSM_NO_FILTER) {
            struct in_filter f = {n, u, s, cost};
            tsm_expr_walk(n->plan->filters[u->series[s].filter], add_filter_field, &f);
        }
    }
    return TSM_OK;
}

static void print_typed(struct tsm_buf *out, struct tsm_str name, enum tsm_data_type type)
{
    tsm_quote_ident(out, name);
    if (type != TSM_DATA_UNKNOWN)
        tsm_buf_printf(out, "::%s", tsm_data_type_name(type));
}

/* The expression that influxd hands to its shards: what only sees all points together is not in it. */
static void print_expression(struct tsm_buf *out, const struct node *n)
{
    const char *name = NULL;
    if (!n->call) {
        tsm_buf_puts(out, "<nil>");
        return;
    }
    switch (n->call->fn) {
    case TSM_FN_COUNT:
    case TSM_FN_SUM:
    case TSM_FN_MEAN:
    case TSM_FN_MIN:
    case TSM_FN_MAX:
    case TSM_FN_FIRST:
    case TSM_FN_LAST:
        name = n->call->count_distinct ? NULL : tsm_function_name(n->call->fn);
        break;
    case TSM_FN_TOP:
    case TSM_FN_BOTTOM:
        if (n->call->ntags)
            name = n->call->fn == TSM_FN_TOP ? "max" : "min";
        break;
    default:
        break;
    }
    if (name)
        tsm_buf_printf(out, "%s(", name);
    print_typed(out, n->call->field, n->call->arg);
    if (name)
        tsm_buf_byte(out, ')');
}

static bool is_aux(const struct node *n, struct tsm_str tag)
{
    for (size_t i = 0; n->aux && i < n->shape->naux; i++)
        if (tsm_str_eq(n->shape->aux[i].name, tag))
            return true;
    return false;
}

static void print_aux(struct tsm_buf *out, const struct node *n)
{
    size_t count = 0;
    for (size_t i = 0; n->aux && i < n->shape->naux; i++) {
        if (count++)
            tsm_buf_puts(out, ", ");
        print_typed(out, n->shape->aux[i].name, n->shape->aux[i].type);
    }
    for (size_t i = 0; n->call && i < n->call->ntags; i++) {
        if (is_aux(n, n->call->tags[i]))
            continue;
        if (count++)
            tsm_buf_puts(out, ", ");
        print_typed(out, n->call->tags[i], TSM_DATA_TAG);
    }
}

static void print_node(struct tsm_buf *out, const struct node *n, const struct cost *c)
{
    struct tsm_buf aux = {0};
    if (out->len)
        tsm_buf_byte(out, '\n');
    tsm_buf_puts(out, "EXPRESSION: ");
    print_expression(out, n);
    print_aux(&aux, n);
    if (aux.len)
        tsm_buf_printf(out, "\nAUXILIARY FIELDS: %s", tsm_buf_cstr(&aux));
    tsm_buf_release(&aux);
    tsm_buf_printf(out,
                   "\nNUMBER OF SHARDS: %" PRIu64 "\nNUMBER OF SERIES: %" PRIu64 "\nCACHED VALUES: %" PRIu64
                   "\nNUMBER OF FILES: %" PRIu64 "\nNUMBER OF BLOCKS: %" PRIu64 "\nSIZE OF BLOCKS: %" PRIu64
                   "\n",
                   c->shards, c->series, c->keys.cached, c->keys.files, c->keys.blocks, c->keys.bytes);
}

/* ---- EXPLAIN ----------------------------------------------------------------------------------- */

static int explain_node(struct explainer *x, const struct node *n, unsigned source)
{
    struct cost cost = {0};
    int rc = TSM_OK;
    for (size_t u = 0; u < n->plan->nunits && rc == TSM_OK; u++)
        if (n->plan->units[u].source == source)
            rc = add_unit(x, n, &n->plan->units[u], &cost);
    if (rc == TSM_OK)
        print_node(&x->out, n, &cost);
    return rc;
}

static int grow_unit(struct explainer *x, struct branch *parent, const struct node *n,
                     const struct tsm_unit *u)
{
    struct tsm_arena *a = &x->arena;
    struct cost c = {0};
    int rc = add_unit(x, n, u, &c);
    struct branch *b = grow(a, parent, "create_iterator"), *labels = grow(a, b, "labels");
    grow(a, labels, tsm_arena_printf(a, "measurement: %.*s", (int)u->name.n, u->name.p));
    grow(a, labels, tsm_arena_printf(a, "shard_id: %" PRIu64, u->shard->id));
    grow(a, b, tsm_arena_printf(a, "series: %" PRIu64, c.series));
    grow(a, b, tsm_arena_printf(a, "cursors_ref: %" PRIu64, c.cursors));
    grow(a, b, tsm_arena_printf(a, "cursors_aux: %" PRIu64, c.aux_cursors));
    grow(a, b, tsm_arena_printf(a, "cursors_cond: %" PRIu64, c.condition_cursors));
    grow(a, b, tsm_arena_printf(a, "cached_values: %" PRIu64, c.keys.cached));
    grow(a, b, tsm_arena_printf(a, "files: %" PRIu64, c.keys.files));
    grow(a, b, tsm_arena_printf(a, "blocks: %" PRIu64, c.keys.blocks));
    grow(a, b, tsm_arena_printf(a, "blocks_size_bytes: %" PRIu64, c.keys.bytes));
    return rc;
}

static int analyze_node(struct explainer *x, const struct node *n)
{
    struct tsm_buf text = {0};
    struct branch *scanner = grow(&x->arena, x->tree, "iterator_scanner");
    tsm_buf_puts(&text, n->call ? "expr: " : "auxiliary_fields: ");
    if (n->call)
        print_expression(&text, n);
    else
        print_aux(&text, n);
    grow(&x->arena, grow(&x->arena, scanner, "labels"),
         tsm_arena_printf(&x->arena, "%s", tsm_buf_cstr(&text)));
    tsm_buf_release(&text);
    int rc = TSM_OK;
    for (size_t u = 0; u < n->plan->nunits && rc == TSM_OK; u++)
        rc = grow_unit(x, scanner, n, &n->plan->units[u]);
    return rc;
}

/* All calls, or the raw fields, of the measurements among the sources. */
static int explain_plan(struct explainer *x, const struct tsm_compiled *c, const struct tsm_plan *p,
                        const struct tsm_shape *shape)
{
    struct node n = {.plan = p, .shape = shape, .tmin = c->tmin, .tmax = c->tmax};
    size_t calls = shape->ncalls ? shape->ncalls : 1;
    bool any = shape->ncalls > 0;
    for (size_t i = 0; i < shape->naux && !any; i++)
        any = shape->aux[i].index != SIZE_MAX;
    n.aux = shape->ncalls == 0 || shape->selector;
    int rc = TSM_OK;
    for (size_t i = 0; any && i < calls; i++) {
        n.call = shape->ncalls ? &shape->calls[i] : NULL;
        if (x->tree)
            rc = analyze_node(x, &n);
        for (size_t s = 0; !x->tree && s < c->stmt->nsources && rc == TSM_OK; s++)
            if (!c->stmt->sources[s].subquery)
                rc = explain_node(x, &n, (unsigned)s);
        if (rc != TSM_OK)
            break;
    }
    return rc;
}

/* Of a query with subqueries influxd explains what those read. */
static int explain_compiled(struct explainer *x, const struct tsm_compiled *c)
{
    bool measurements = false;
    int rc = TSM_OK;
    for (size_t i = 0; i < c->stmt->nsources && rc == TSM_OK; i++) {
        if (c->stmt->sources[i].subquery)
            rc = explain_compiled(x, c->subqueries[i]);
        else
            measurements = true;
    }
    if (rc != TSM_OK || !measurements)
        return rc;
    struct tsm_plan plan = {0};
    struct tsm_shape shape = {0};
    rc = tsm_plan_open(&plan, x->q, c, x->err);
    if (rc == TSM_OK)
        rc = tsm_shape_make(&shape, &plan, c, false, x->err);
    if (rc == TSM_OK)
        rc = tsm_plan_series(&plan, shape.condition, c->stmt->slimit, c->stmt->soffset, x->err);
    if (rc == TSM_OK)
        rc = explain_plan(x, c, &plan, &shape);
    tsm_plan_release(&plan);
    return rc;
}

/* The text, line by line, as rows of one column. */
static int give_lines(struct tsm_sink *sink, const char *column, struct tsm_str text, struct tsm_err *err)
{
    struct tsm_column_head head = {tsm_str_of(column), TSM_ROLE_OTHER};
    struct tsm_series_head series = {.columns = &head, .ncolumns = 1};
    int rc = sink->series_begin(sink, &series, err);
    for (bool more = true; more && rc == TSM_OK;) {
        const char *end = text.n ? memchr(text.p, '\n', text.n) : NULL;
        struct tsm_str line = tsm_str(text.p ? text.p : "", end ? (size_t)(end - text.p) : text.n);
        struct tsm_cells cell = {.type = TSM_CELL_STRING, .v.s = &line};
        rc = sink->rows(sink, &(struct tsm_rows){1, &cell}, err);
        more = end != NULL;
        if (more)
            text = tsm_str(end + 1, text.n - line.n - 1);
    }
    return rc == TSM_OK ? sink->series_end(sink, err) : rc;
}

static int explain(struct explainer *x, const struct tsm_select *s)
{
    struct tsm_compiled c;
    int rc = tsm_select_check_sources(x->q, s, x->err);
    if (rc == TSM_OK)
        rc = tsm_compile(&x->arena, s, x->q->opt->now, &c, x->err);
    return rc == TSM_OK ? explain_compiled(x, &c) : rc;
}

/* ---- EXPLAIN ANALYZE --------------------------------------------------------------------------- */

struct silence { /* takes an answer and counts it */
    struct tsm_sink base;
    uint64_t series, rows;
};

static int count_series(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    (void)head;
    (void)err;
    ((struct silence *)s)->series++;
    return TSM_OK;
}

static int count_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    (void)err;
    ((struct silence *)s)->rows += rows->n;
    return TSM_OK;
}

static int end_series(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s;
    (void)err;
    return TSM_OK;
}

static const char *duration(struct tsm_arena *a, const char *name, int64_t d)
{
    char text[TSM_TIME_TEXT_MAX];
    size_t n = tsm_format_duration_go(text, d < 0 ? 0 : d);
    return tsm_arena_printf(a, "%s: %.*s", name, (int)n, text);
}

static int analyze(struct explainer *x, const struct tsm_select *stmt)
{
    struct tsm_arena *a = &x->arena;
    struct tsm_select s = *stmt;
    struct silence quiet = {
        .base = {.series_begin = count_series, .rows = count_rows, .series_end = end_series}};
    struct tsm_buf text = {0}, indent = {0};
    s.target = NULL; /* nothing is written */
    int64_t start = tsm_monotonic();
    x->q->planned = 0;
    int rc = tsm_select_run(x->q, &s, &quiet.base, x->err);
    int64_t end = tsm_monotonic(), planned = x->q->planned ? x->q->planned : end;
    if (rc != TSM_OK)
        return rc;

    struct branch root = {0}, *select = grow(a, &root, "select");
    grow(a, select, duration(a, "execution_time", end - planned));
    grow(a, select, duration(a, "planning_time", planned - start));
    grow(a, select, duration(a, "total_time", end - start));
    grow(a, select, tsm_arena_printf(a, "threads: %u", x->q->opt->jobs ? x->q->opt->jobs : 1));
    grow(a, select, tsm_arena_printf(a, "series: %" PRIu64, quiet.series));
    grow(a, select, tsm_arena_printf(a, "rows: %" PRIu64, quiet.rows));
    x->tree = grow(a, select, "build_cursor");
    tsm_select_print(&text, &s);
    grow(a, grow(a, x->tree, "labels"), tsm_arena_printf(a, "statement: %s", tsm_buf_cstr(&text)));
    rc = explain(x, &s);
    tsm_buf_puts(&x->out, ".");
    draw(&x->out, &indent, &root);
    tsm_buf_byte(&x->out, '\n');
    tsm_buf_release(&indent);
    tsm_buf_release(&text);
    return rc;
}

int tsm_explain_run(struct tsm_query_ctx *q, const struct tsm_select *s, bool analyzed, struct tsm_sink *sink,
                    struct tsm_err *err)
{
    struct explainer x = {.q = q, .err = err};
    int rc = analyzed ? analyze(&x, s) : explain(&x, s);
    struct tsm_str text = tsm_buf_view(&x.out);
    while (!analyzed && text.n && text.p[text.n - 1] == '\n')
        text.n--;
    if (rc == TSM_OK)
        rc = give_lines(sink, analyzed ? "EXPLAIN ANALYZE" : "QUERY PLAN", text, err);
    tsm_buf_release(&x.out);
    tsm_arena_release(&x.arena);
    return rc;
}
