/* query/compile.c: the checks of a SELECT that need no data, in influxd's order, so that of several faults
 * the same one is reported. */
#include "query/compile_impl.h"

#include "base/time.h"
#include "query/reduce.h"
#include "base/banned.h"

#define FAIL(k, ...) TSM_COMPILE_FAIL(k, __VA_ARGS__)

static bool is_call(const struct tsm_expr *e, const char *name)
{
    return e->kind == TSM_EXPR_CALL && tsm_str_eq(e->u.call.name, tsm_str_of(name));
}

const char *tsm_compile_text(struct tsm_compiler *k, const struct tsm_expr *e)
{
    struct tsm_buf text = {0};
    tsm_expr_print(&text, e);
    const char *out = tsm_arena_printf(k->c->arena, "%s", tsm_buf_cstr(&text));
    tsm_buf_release(&text);
    return out;
}

/* ---- condition and dimensions ---------------------------------------------------------------------------
 */

/* The second argument of time(). */
static int compile_offset(struct tsm_compiler *k, const struct tsm_expr *e)
{
    struct tsm_compiled *c = k->c;
    int64_t t;
    if (e->kind == TSM_EXPR_DURATION) {
        c->offset = c->interval ? e->u.integer % c->interval : 0;
        return TSM_OK;
    }
    if (e->kind == TSM_EXPR_CALL) {
        if (!is_call(e, "now"))
            return FAIL(k, "time dimension offset function must be now()");
        if (e->u.call.nargs)
            return FAIL(k, "time dimension offset now() function requires no arguments");
        t = k->now;
    } else if (e->kind == TSM_EXPR_TIME) {
        t = e->u.integer;
    } else if (e->kind == TSM_EXPR_STRING && tsm_looks_like_time(e->u.string)) {
        if (!tsm_parse_time_in(c->stmt->location, e->u.string, &t))
            return FAIL(k, "invalid timestamp string");
        /* influxd takes it here and refuses it later */
        return FAIL(k, "invalid time dimension offset: %s", tsm_compile_text(k, e));
    } else {
        return FAIL(k, "time dimension offset must be duration or now()");
    }
    c->offset = c->interval > 0 ? t - tsm_time_truncate(t, c->interval) : 0;
    return TSM_OK;
}

static int compile_time(struct tsm_compiler *k, const struct tsm_expr *e)
{
    struct tsm_compiled *c = k->c;
    if (!is_call(e, "time"))
        return FAIL(k, "only time() calls allowed in dimensions");
    if (e->u.call.nargs < 1 || e->u.call.nargs > 2)
        return FAIL(k, "time dimension expected 1 or 2 arguments");
    if (e->u.call.args[0]->kind != TSM_EXPR_DURATION)
        return FAIL(k, "time dimension must have duration argument");
    if (c->interval)
        return FAIL(k, "multiple time dimensions not allowed");
    c->interval = e->u.call.args[0]->u.integer;
    return e->u.call.nargs == 2 ? compile_offset(k, e->u.call.args[1]) : TSM_OK;
}

static int compile_dimensions(struct tsm_compiler *k)
{
    struct tsm_compiled *c = k->c;
    c->dimensions = tsm_arena_calloc(c->arena, c->stmt->ndimensions * sizeof *c->dimensions);
    for (size_t i = 0; i < c->stmt->ndimensions; i++) {
        struct tsm_expr *e = tsm_reduce(c->arena, c->stmt->dimensions[i], NULL);
        int code;
        switch (e->kind) {
        case TSM_EXPR_VAR:
            if (e->u.var.name.n == 4 && strncasecmp(e->u.var.name.p, "time", 4) == 0)
                return FAIL(k, "time() is a function and expects at least one argument");
            break;
        case TSM_EXPR_CALL:
            code = compile_time(k, e);
            if (code)
                return code;
            continue;
        case TSM_EXPR_WILDCARD:
        case TSM_EXPR_REGEX:
            break;
        default:
            return FAIL(k, "only time and tag dimensions allowed");
        }
        c->dimensions[c->ndimensions++] = e;
    }
    return TSM_OK;
}

/* What can be said without looking at the fields. */
static int preprocess(struct tsm_compiler *k)
{
    struct tsm_compiled *c = k->c;
    struct tsm_time_range range;
    int code = tsm_condition_split(c->arena, c->stmt->condition, k->now, c->stmt->location, &c->condition,
                                   &range, k->err);
    if (!code)
        code = tsm_compile_condition(k, c->condition);
    if (!code)
        code = compile_dimensions(k);
    if (code)
        return code;
    c->fill = c->stmt->fill;
    c->tmin = range.has_min ? range.min : TSM_TIME_MIN;
    /* An aggregate per interval ends at now() unless told otherwise. */
    c->tmax = range.has_max ? range.max : c->interval ? k->now : TSM_TIME_MAX;
    if (c->interval < 0)
        c->interval = 0;
    return TSM_OK;
}

/* ---- fields -----------------------------------------------------------------------------------------------
 */

static int compile_binary(struct tsm_compiler *k, struct tsm_expr *e)
{
    k->allow_wildcard = false;
    bool left = !tsm_expr_is_literal(e->u.binary.lhs), right = !tsm_expr_is_literal(e->u.binary.rhs);
    if (!left && !right)
        return FAIL(k, "cannot perform a binary expression on two literals");
    int code = left ? tsm_compile_expr(k, e->u.binary.lhs) : TSM_OK;
    if (!code && right)
        code = tsm_compile_expr(k, e->u.binary.rhs);
    return code;
}

int tsm_compile_expr(struct tsm_compiler *k, struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_VAR:
        k->has_auxiliary = true;
        return TSM_OK;
    case TSM_EXPR_WILDCARD:
        k->has_auxiliary = true;
        return k->allow_wildcard ? TSM_OK : FAIL(k, "unable to use wildcard in a binary expression");
    case TSM_EXPR_REGEX:
        if (!k->allow_wildcard)
            return FAIL(k, "unable to use regex in a binary expression");
        k->has_auxiliary = true;
        return TSM_OK;
    case TSM_EXPR_DISTINCT:
    case TSM_EXPR_CALL:
        return tsm_compile_call(k, e);
    case TSM_EXPR_BINARY:
        return compile_binary(k, e);
    case TSM_EXPR_PAREN:
        return tsm_compile_expr(k, e->u.paren);
    default:
        return FAIL(k, "field must contain at least one variable");
    }
}

static int compile_fields(struct tsm_compiler *k)
{
    struct tsm_compiled *c = k->c;
    c->fields = tsm_arena_calloc(c->arena, c->stmt->nfields * sizeof *c->fields);
    c->time_name = TSM_STR("time");
    for (size_t i = 0; i < c->stmt->nfields; i++) {
        const struct tsm_select_field *f = &c->stmt->fields[i];
        if (f->expr->kind == TSM_EXPR_VAR && tsm_str_eq(f->expr->u.var.name, TSM_STR("time"))) {
            if (f->alias.n)
                c->time_name = f->alias;
            continue;
        }
        struct tsm_expr *e = tsm_reduce(c->arena, f->expr, NULL);
        c->fields[c->nfields++] = (struct tsm_select_field){e, f->alias};
        k->allow_wildcard = true;
        int code = tsm_compile_expr(k, e);
        if (code)
            return code;
    }
    return TSM_OK;
}

static int check_fields(struct tsm_compiler *k)
{
    struct tsm_compiled *c = k->c;
    if (c->nfields == 0)
        return FAIL(k, "at least 1 non-time field must be queried");
    if (c->ncalls > 1 && k->top_or_bottom)
        return FAIL(k, "selector function %s() cannot be combined with other functions", k->top_or_bottom);
    if (c->ncalls == 0) {
        if (c->fill == TSM_FILL_NONE)
            return FAIL(k, "fill(none) must be used with a function");
        if (c->fill == TSM_FILL_LINEAR)
            return FAIL(k, "fill(linear) must be used with a function");
        if (c->interval && !c->inherited_interval)
            return FAIL(k, "GROUP BY requires at least one aggregate function");
    }
    if (k->has_distinct && (c->ncalls != 1 || k->has_auxiliary))
        return FAIL(k, "aggregate function distinct() cannot be combined with other functions or fields");
    if (k->has_auxiliary) {
        if (!k->only_selectors)
            return FAIL(k, "mixing aggregate and non-aggregate queries is not supported");
        if (c->ncalls > 1)
            return FAIL(k, "mixing multiple selector functions with tags or fields is not supported");
    }
    return TSM_OK;
}

/* ---- the statement ----------------------------------------------------------------------------- */

/* The range of the shards: transforms look back by some intervals. */
static void extend_range(struct tsm_compiler *k)
{
    struct tsm_compiled *c = k->c;
    __int128 extra = (__int128)c->interval * k->extra_intervals;
    __int128 lo = c->tmin - extra, hi = c->tmax + extra;
    c->shard_tmin = c->tmin;
    c->shard_tmax = c->tmax;
    if (!c->descending)
        c->shard_tmin = lo < TSM_TIME_MIN ? TSM_TIME_MIN : (int64_t)lo;
    else
        c->shard_tmax = hi > TSM_TIME_MAX ? TSM_TIME_MAX : (int64_t)hi;
}

static int compile_subquery(struct tsm_compiler *outer, const struct tsm_select *s, struct tsm_compiled *c);

static int compile_rest(struct tsm_compiler *k)
{
    const struct tsm_select *s = k->c->stmt;
    int code = compile_fields(k);
    if (!code)
        code = check_fields(k);
    extend_range(k);
    k->c->subqueries = tsm_arena_calloc(k->c->arena, s->nsources * sizeof *k->c->subqueries);
    for (size_t i = 0; i < s->nsources && !code; i++) {
        if (!s->sources[i].subquery)
            continue;
        k->c->subqueries[i] = tsm_arena_calloc(k->c->arena, sizeof *k->c->subqueries[i]);
        code = compile_subquery(k, s->sources[i].subquery, k->c->subqueries[i]);
    }
    return code;
}

/* A subquery takes over what it does not say itself, and its times lie in those of the query around it. */
static int compile_subquery(struct tsm_compiler *outer, const struct tsm_select *s, struct tsm_compiled *c)
{
    const struct tsm_compiled *o = outer->c;
    *c = (struct tsm_compiled){.arena = o->arena, .stmt = s};
    struct tsm_compiler k = {.c = c, .err = outer->err, .now = outer->now, .only_selectors = true};
    int code = preprocess(&k);
    if (code)
        return code;
    if (s->ordered && s->descending != o->descending)
        return FAIL(outer, "subqueries must be ordered in the same direction as the query itself");
    c->descending = o->descending;
    c->tmin = c->tmin < o->tmin ? o->tmin : c->tmin;
    c->tmax = c->tmax > o->tmax ? o->tmax : c->tmax;
    if (c->interval && c->fill == TSM_FILL_NULL)
        c->fill = TSM_FILL_NONE;
    if (o->interval && !c->interval) {
        c->interval = o->interval;
        c->offset = o->offset;
        c->inherited_interval = true;
    }
    return compile_rest(&k);
}

int tsm_compile(struct tsm_arena *a, const struct tsm_select *s, int64_t now, struct tsm_compiled *c,
                struct tsm_err *err)
{
    *c = (struct tsm_compiled){.arena = a, .stmt = s, .descending = s->descending};
    struct tsm_compiler k = {.c = c, .err = err, .now = now, .only_selectors = true};
    int code = preprocess(&k);
    if (!code)
        code = compile_rest(&k);
    if (code)
        return code;
    if (s->target && c->fill == TSM_FILL_NULL)
        c->fill = TSM_FILL_NONE; /* there is nothing to write for them */
    return TSM_OK;
}
