/* query/system_select.c: the series that a statement about series, tags and fields means. */
#include "query/system_select.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"
#include "query/rows.h"

#include "base/banned.h"

static bool is_name(struct tsm_str s, const char *name)
{
    return tsm_str_eq(s, tsm_str_of(name));
}

/* influxd leaves comparisons with _tagKey to the field of that name, and takes them for true elsewhere. */
static bool is_about_tag_key(const struct tsm_expr *e)
{
    const struct tsm_expr *lhs = e->u.binary.lhs, *rhs = e->u.binary.rhs;
    return (lhs->kind == TSM_EXPR_VAR && is_name(lhs->u.var.name, "_tagKey")) ||
           (rhs->kind == TSM_EXPR_VAR && is_name(rhs->u.var.name, "_tagKey"));
}

static void pass_tag_keys(struct tsm_expr *e)
{
    if (e->kind == TSM_EXPR_PAREN) {
        pass_tag_keys(e->u.paren);
    } else if (e->kind == TSM_EXPR_BINARY && is_about_tag_key(e)) {
        e->kind = TSM_EXPR_BOOLEAN;
        e->u.boolean = true;
    } else if (e->kind == TSM_EXPR_BINARY) {
        pass_tag_keys(e->u.binary.lhs);
        pass_tag_keys(e->u.binary.rhs);
    }
}

static bool is_string_field(struct tsm_str name)
{
    return is_name(name, "_name") || is_name(name, "_tagKey") || is_name(name, "_tagValue") ||
           is_name(name, "_seriesKey");
}

static bool set_type(void *ctx, const struct tsm_expr *e)
{
    const struct tsm_plan *p = ctx;
    if (e->kind != TSM_EXPR_VAR || (e->u.var.type != TSM_DATA_UNKNOWN && e->u.var.type != TSM_DATA_ANY_FIELD))
        return true;
    struct tsm_expr *var = (struct tsm_expr *)e; /* of the caller's copy */
    if (is_string_field(e->u.var.name)) {
        var->u.var.type = TSM_DATA_STRING;
        return true;
    }
    enum tsm_data_type t = tsm_plan_type(p, e->u.var.name);
    if (t != TSM_DATA_TAG || e->u.var.type != TSM_DATA_ANY_FIELD)
        var->u.var.type = t;
    return true;
}

/* ---- dimensions -------------------------------------------------------------------------------- */

struct names {
    struct tsm_map map;
    struct tsm_str *items;
    size_t n, cap;
};

static void add_name(struct names *l, struct tsm_str name)
{
    uint64_t hash = tsm_hash(name);
    if (tsm_map_get(&l->map, name, hash) != TSM_MAP_NONE)
        return;
    TSM_GROW(l->items, l->n + 1, l->cap);
    l->items[l->n] = name;
    tsm_map_put(&l->map, name, hash, (uint32_t)l->n++);
}

/* re NULL: all tags. */
static int add_tags(struct names *l, const struct tsm_plan *p, const struct tsm_regex *re,
                    struct tsm_err *err)
{
    for (size_t u = 0; u < p->nunits; u++) {
        for (size_t t = 0; t < p->units[u].ntags; t++) {
            int m = re ? tsm_regex_match(re, p->units[u].tags[t], err) : 1;
            if (m < 0)
                return m;
            if (m)
                add_name(l, p->units[u].tags[t]);
        }
    }
    return TSM_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct tsm_str *x = a, *y = b;
    return tsm_str_cmp(*x, *y);
}

static int find_dimensions(struct tsm_system_select *x, struct tsm_err *err)
{
    struct names l = {0};
    struct tsm_plan *p = &x->plan;
    int rc = TSM_OK;
    for (size_t i = 0; i < x->compiled.ndimensions && rc == TSM_OK; i++) {
        const struct tsm_expr *e = tsm_expr_bare(x->compiled.dimensions[i]);
        if (e->kind == TSM_EXPR_VAR)
            add_name(&l, e->u.var.name);
        else
            rc = add_tags(&l, p, e->kind == TSM_EXPR_REGEX ? e->u.regex.re : NULL, err);
    }
    tsm_sort(l.items, l.n, sizeof *l.items, compare_names);
    p->dimensions = tsm_arena_alloc(&p->arena, l.n * sizeof *p->dimensions);
    if (l.n)
        memcpy(p->dimensions, l.items, l.n * sizeof *p->dimensions);
    p->ndimensions = l.n;
    tsm_free(l.items);
    tsm_map_release(&l.map);
    return rc;
}

/* ---- the statement ----------------------------------------------------------------------------- */

static struct tsm_expr *call(struct tsm_arena *a, const char *name, struct tsm_expr *arg)
{
    struct tsm_expr *e = tsm_expr_new(a, TSM_EXPR_CALL);
    e->u.call.name = tsm_str_of(name);
    e->u.call.args = tsm_arena_alloc(a, sizeof *e->u.call.args);
    e->u.call.args[0] = arg;
    e->u.call.nargs = 1;
    return e;
}

/* The sources with the database that ON names; without any, all measurements. */
static int make_sources(struct tsm_system_select *x, const struct tsm_show *show, struct tsm_err *err)
{
    size_t n = show->nsources ? show->nsources : 1;
    struct tsm_source *sources = tsm_arena_calloc(&x->arena, n * sizeof *sources);
    if (show->nsources) {
        memcpy(sources, show->sources, n * sizeof *sources);
    } else {
        int rc = tsm_regex_compile(TSM_STR(".+"), &x->all, err);
        if (rc != TSM_OK)
            return rc;
        sources[0].regex = tsm_expr_new(&x->arena, TSM_EXPR_REGEX);
        sources[0].regex->u.regex.text = TSM_STR(".+");
        sources[0].regex->u.regex.re = x->all;
    }
    for (size_t i = 0; i < n; i++) {
        const struct tsm_database *db;
        const struct tsm_rp *rp;
        if (sources[i].database.n == 0)
            sources[i].database = show->database;
        struct tsm_str name;
        int rc = tsm_query_ctx_database(x->q, sources[i].database, &name, err);
        if (rc == TSM_OK)
            rc = tsm_query_ctx_rp(x->q, name, sources[i].rp, &db, &rp, err);
        if (rc != TSM_OK)
            return rc;
    }
    x->select.sources = sources;
    x->select.nsources = n;
    return TSM_OK;
}

static void make_select(struct tsm_system_select *x, const struct tsm_show *show,
                        const struct tsm_expr *condition, bool aggregate)
{
    struct tsm_select_field *field = tsm_arena_calloc(&x->arena, sizeof *field);
    field->expr = tsm_expr_new(&x->arena, TSM_EXPR_VAR);
    field->expr->u.var.name = TSM_STR("_seriesKey");
    if (aggregate)
        field->expr = call(&x->arena, "count", call(&x->arena, "distinct", field->expr));
    x->select.fields = field;
    x->select.nfields = 1;
    x->select.raw = !aggregate;
    x->select.condition = condition ? tsm_expr_copy(&x->arena, condition) : NULL;
    x->select.dimensions = show->dimensions;
    x->select.ndimensions = show->ndimensions;
    x->select.ordered = show->ordered;
    x->select.descending = show->descending;
}

/* Cursors and windows look at the time range from the side on which they begin. */
static bool sees_zero(const struct tsm_system_select *x, bool aggregate)
{
    const struct tsm_compiled *c = &x->compiled;
    return (c->tmax >= 0 || (!aggregate && c->descending)) &&
           (c->tmin <= 0 || (!aggregate && !c->descending));
}

static int list(struct tsm_system_select *x, struct tsm_err *err)
{
    struct tsm_plan *p = &x->plan;
    struct tsm_expr *condition = x->compiled.condition;
    if (condition) {
        condition = tsm_expr_copy(&p->arena, condition);
        pass_tag_keys(condition);
        tsm_expr_walk(condition, set_type, p);
    }
    int rc = find_dimensions(x, err);
    if (rc == TSM_OK)
        rc = tsm_plan_series(p, condition, 0, 0, err);
    if (rc == TSM_OK && tsm_plan_bytes(p) > x->q->opt->memory)
        rc = tsm_err_set(err, TSM_ELIMIT, "the list of series needs more than the memory limit of %zu bytes",
                         x->q->opt->memory);
    return rc;
}

int tsm_system_select_open(struct tsm_system_select *x, struct tsm_query_ctx *q, const struct tsm_show *show,
                           const struct tsm_expr *condition, bool aggregate, struct tsm_err *err)
{
    *x = (struct tsm_system_select){.q = q};
    make_select(x, show, condition, aggregate);
    tsm_cursor_init(&x->cursor);
    int rc = make_sources(x, show, err);
    if (rc == TSM_OK)
        rc = tsm_compile(&x->arena, &x->select, q->opt->now, &x->compiled, err);
    if (rc == TSM_OK)
        rc = tsm_plan_open(&x->plan, q, &x->compiled, err);
    x->visible = rc == TSM_OK && sees_zero(x, aggregate);
    if (!x->visible)
        return rc;
    rc = list(x, err);
    if (rc == TSM_OK && x->plan.nfilters > 1) {
        size_t n = x->plan.nfields + x->plan.ntags;
        x->filters = tsm_filter_programs(&x->plan);
        x->space = tsm_program_space_new();
        x->inputs = tsm_arena_calloc(&x->arena, (n + 1) * sizeof *x->inputs);
        x->values = tsm_arena_calloc(&x->arena, (n + 1) * sizeof *x->values);
    }
    return rc;
}

void tsm_system_select_release(struct tsm_system_select *x)
{
    tsm_program_space_free(x->space);
    tsm_cursor_release(&x->cursor);
    tsm_plan_release(&x->plan);
    tsm_regex_free(x->all);
    tsm_arena_release(&x->arena);
    *x = (struct tsm_system_select){0};
}

/* ---- what is left of a condition --------------------------------------------------------------- */

static const uint8_t missing = 1;

/* The value of a field at the time 0. */
static int read_field(struct tsm_system_select *x, const struct tsm_unit *u, uint32_t key,
                      enum tsm_data_type type, struct tsm_vec *in, union tsm_system_value *value,
                      struct tsm_err *err)
{
    *in = (struct tsm_vec){.type = tsm_vec_type_of(type), .constant = true, .v.p = value, .nulls = &missing};
    if (key == TSM_NO_KEY)
        return TSM_OK;
    int rc = tsm_cursor_start(&x->cursor, u->shard, key, in->type, 0, 0, err);
    if (rc != TSM_OK || x->cursor.n == 0)
        return rc;
    memcpy(value, x->cursor.v.p, tsm_vec_size(in->type));
    if (in->type == TSM_VEC_STRING)
        value->s = tsm_arena_str(&x->plan.arena, value->s);
    in->nulls = NULL;
    return TSM_OK;
}

int tsm_system_select_passes(struct tsm_system_select *x, const struct tsm_unit *u, size_t s,
                             struct tsm_err *err)
{
    const struct tsm_plan *p = &x->plan;
    int rc = tsm_control_round(x->q->opt->control, &x->rounds, err);
    if (rc != TSM_OK)
        return rc;
    if (u->series[s].filter == TSM_NO_FILTER)
        return 1;
    for (size_t f = 0; f < p->nfields; f++) {
        if (is_name(p->fields[f].name, "_seriesKey")) {
            x->values[f].s = tsm_plan_series_key(u, &u->series[s]);
            x->inputs[f] = (struct tsm_vec){.type = TSM_VEC_STRING, .constant = true, .v.p = &x->values[f]};
            continue;
        }
        rc = read_field(x, u, u->keys[s * p->nfields + f], p->fields[f].type, &x->inputs[f], &x->values[f],
                        err);
        if (rc != TSM_OK)
            return rc;
    }
    for (size_t t = 0; t < p->ntags; t++) {
        struct tsm_vec *in = &x->inputs[p->nfields + t];
        const struct tsm_str *value = &u->values[s * p->ntags + t];
        *in = (struct tsm_vec){.type = TSM_VEC_STRING, .constant = true, .v.s = value};
        if (value->n == 0)
            in->nulls = &missing;
    }
    uint8_t mask;
    size_t count;
    rc = tsm_program_filter(x->filters[u->series[s].filter], x->space, x->inputs, 1, &mask, &count, err);
    return rc != TSM_OK ? rc : count > 0;
}
