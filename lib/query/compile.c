/* query/compile.c: the checks of a SELECT that need no data, in influxd's order, so that of several faults
 * the same one is reported. */
#include "query/compile.h"

#include "base/time.h"
#include "query/reduce.h"
#include "base/banned.h"

static const char *const function_names[TSM_FUNCTIONS] = {
    [TSM_FN_COUNT] = "count",       [TSM_FN_SUM] = "sum",       [TSM_FN_MEAN] = "mean",
    [TSM_FN_MIN] = "min",           [TSM_FN_MAX] = "max",       [TSM_FN_FIRST] = "first",
    [TSM_FN_LAST] = "last",         [TSM_FN_SPREAD] = "spread", [TSM_FN_STDDEV] = "stddev",
    [TSM_FN_MEDIAN] = "median",     [TSM_FN_MODE] = "mode",     [TSM_FN_PERCENTILE] = "percentile",
    [TSM_FN_DISTINCT] = "distinct",
};

enum tsm_function tsm_function_find(struct tsm_str name)
{
    for (int i = 0; i < TSM_FUNCTIONS; i++)
        if (tsm_str_eq(name, tsm_str_of(function_names[i])))
            return (enum tsm_function)i;
    return TSM_FUNCTIONS;
}

const char *tsm_function_name(enum tsm_function fn)
{
    return function_names[fn];
}

bool tsm_function_selects(enum tsm_function fn)
{
    return fn == TSM_FN_FIRST || fn == TSM_FN_LAST || fn == TSM_FN_MIN || fn == TSM_FN_MAX ||
           fn == TSM_FN_PERCENTILE;
}

/* Functions of influxd that tsmkit does not have yet. */
static bool is_later(struct tsm_str name)
{
    static const char *const names[] = {"derivative",
                                        "non_negative_derivative",
                                        "difference",
                                        "non_negative_difference",
                                        "moving_average",
                                        "exponential_moving_average",
                                        "double_exponential_moving_average",
                                        "triple_exponential_moving_average",
                                        "relative_strength_index",
                                        "triple_exponential_derivative",
                                        "kaufmans_efficiency_ratio",
                                        "kaufmans_adaptive_moving_average",
                                        "chande_momentum_oscillator",
                                        "elapsed",
                                        "cumulative_sum",
                                        "integral",
                                        "sample",
                                        "top",
                                        "bottom",
                                        "holt_winters",
                                        "holt_winters_with_fit",
                                        "abs",
                                        "sin",
                                        "cos",
                                        "tan",
                                        "asin",
                                        "acos",
                                        "atan",
                                        "atan2",
                                        "exp",
                                        "log",
                                        "ln",
                                        "log2",
                                        "log10",
                                        "sqrt",
                                        "pow",
                                        "floor",
                                        "ceil",
                                        "round"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tsm_str_eq(name, tsm_str_of(names[i])))
            return true;
    return false;
}

struct compiler {
    struct tsm_compiled *c;
    struct tsm_err *err;
    int64_t now;
    bool only_selectors, has_distinct, has_auxiliary;
    bool allow_wildcard; /* in the field that is being compiled */
};

#define FAIL(k, ...) tsm_err_set((k)->err, TSM_EQUERY, __VA_ARGS__)

static bool is_call(const struct tsm_expr *e, const char *name)
{
    return e->kind == TSM_EXPR_CALL && tsm_str_eq(e->u.call.name, tsm_str_of(name));
}

static int not_yet(struct compiler *k, struct tsm_str name)
{
    return FAIL(k, "%.*s() is not supported yet", (int)name.n, name.p);
}

/* ---- condition and dimensions ---------------------------------------------------------------------------
 */

static int check_condition(struct compiler *k, const struct tsm_expr *e)
{
    if (!e)
        return TSM_OK;
    if (e->kind == TSM_EXPR_BINARY) {
        int code = check_condition(k, e->u.binary.lhs);
        return code ? code : check_condition(k, e->u.binary.rhs);
    }
    if (e->kind != TSM_EXPR_CALL)
        return TSM_OK;
    if (is_later(e->u.call.name))
        return not_yet(k, e->u.call.name);
    struct tsm_buf text = {0};
    tsm_expr_print(&text, e);
    int code = FAIL(k, "invalid function call in condition: %s", tsm_buf_cstr(&text));
    tsm_buf_release(&text);
    return code;
}

/* The second argument of time(). */
static int compile_offset(struct compiler *k, const struct tsm_expr *e)
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
        if (!tsm_parse_time(e->u.string, &t))
            return FAIL(k, "invalid timestamp string");
        struct tsm_buf text = {0}; /* influxd takes it here and refuses it later */
        tsm_expr_print(&text, e);
        int code = FAIL(k, "invalid time dimension offset: %s", tsm_buf_cstr(&text));
        tsm_buf_release(&text);
        return code;
    } else {
        return FAIL(k, "time dimension offset must be duration or now()");
    }
    c->offset = c->interval > 0 ? t - tsm_time_truncate(t, c->interval) : 0;
    return TSM_OK;
}

static int compile_time(struct compiler *k, const struct tsm_expr *e)
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

static int compile_dimensions(struct compiler *k)
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

static int preprocess(struct compiler *k)
{
    struct tsm_compiled *c = k->c;
    struct tsm_time_range range;
    int code = tsm_condition_split(c->arena, c->stmt->condition, k->now, &c->condition, &range, k->err);
    if (!code)
        code = check_condition(k, c->condition);
    if (!code)
        code = compile_dimensions(k);
    if (code)
        return code;
    c->tmin = range.has_min ? range.min : TSM_TIME_MIN;
    /* An aggregate per interval ends at now() unless told otherwise. */
    c->tmax = range.has_max ? range.max : c->interval ? k->now : TSM_TIME_MAX;
    if (c->interval < 0)
        c->interval = 0;
    return TSM_OK;
}

/* ---- fields -----------------------------------------------------------------------------------------------
 */

static int compile_expr(struct compiler *k, struct tsm_expr *e);

/* The argument of a function: a field, a wildcard or a regex. */
static int compile_symbol(struct compiler *k, struct tsm_str fn, const struct tsm_expr *arg)
{
    switch (arg->kind) {
    case TSM_EXPR_VAR:
        return TSM_OK;
    case TSM_EXPR_WILDCARD:
        if (!k->allow_wildcard)
            return FAIL(k, "unsupported expression with wildcard: %.*s()", (int)fn.n, fn.p);
        break;
    case TSM_EXPR_REGEX:
        if (!k->allow_wildcard)
            return FAIL(k, "unsupported expression with regex field: %.*s()", (int)fn.n, fn.p);
        break;
    default:
        return FAIL(k, "expected field argument in %.*s()", (int)fn.n, fn.p);
    }
    k->only_selectors = false;
    return TSM_OK;
}

static int compile_distinct(struct compiler *k, const struct tsm_expr *call, bool nested)
{
    if (call->u.call.nargs == 0)
        return FAIL(k, "distinct function requires at least one argument");
    if (call->u.call.nargs != 1)
        return FAIL(k, "distinct function can only have one argument");
    if (call->u.call.args[0]->kind != TSM_EXPR_VAR)
        return FAIL(k, "expected field argument in distinct()");
    if (!nested)
        k->has_distinct = true;
    k->only_selectors = false;
    return TSM_OK;
}

/* DISTINCT x becomes distinct(x), in place. */
static void distinct_to_call(struct tsm_arena *a, struct tsm_expr *e)
{
    if (e->kind != TSM_EXPR_DISTINCT)
        return;
    struct tsm_expr *var = tsm_expr_new(a, TSM_EXPR_VAR);
    var->u.var.name = e->u.string;
    var->u.var.type = TSM_DATA_UNKNOWN;
    e->kind = TSM_EXPR_CALL;
    e->u.call.name = TSM_STR("distinct");
    e->u.call.nargs = 1;
    e->u.call.args = tsm_arena_calloc(a, sizeof *e->u.call.args);
    e->u.call.args[0] = var;
}

static int compile_call(struct compiler *k, struct tsm_expr *e)
{
    struct tsm_str name = e->u.call.name;
    if (is_later(name))
        return not_yet(k, name);
    k->c->ncalls++;
    enum tsm_function fn = tsm_function_find(name);
    struct tsm_expr **args = e->u.call.args;
    size_t nargs = e->u.call.nargs;

    if (fn == TSM_FN_PERCENTILE) {
        if (nargs != 2)
            return FAIL(k, "invalid number of arguments for percentile, expected 2, got %zu", nargs);
        if (args[1]->kind != TSM_EXPR_INTEGER && args[1]->kind != TSM_EXPR_NUMBER)
            return FAIL(k, "expected float argument in percentile()");
        return compile_symbol(k, name, args[0]);
    }
    if (fn == TSM_FN_DISTINCT)
        return compile_distinct(k, e, false);
    if (fn == TSM_FUNCTIONS)
        return FAIL(k, "undefined function %.*s()", (int)name.n, name.p);
    if (!tsm_function_selects(fn))
        k->only_selectors = false;
    if (nargs != 1)
        return FAIL(k, "invalid number of arguments for %.*s, expected 1, got %zu", (int)name.n, name.p,
                    nargs);
    if (fn == TSM_FN_COUNT) {
        distinct_to_call(k->c->arena, args[0]);
        if (is_call(args[0], "distinct"))
            return compile_distinct(k, args[0], true);
    }
    return compile_symbol(k, name, args[0]);
}

static int compile_binary(struct compiler *k, struct tsm_expr *e)
{
    k->allow_wildcard = false;
    bool left = !tsm_expr_is_literal(e->u.binary.lhs), right = !tsm_expr_is_literal(e->u.binary.rhs);
    if (!left && !right)
        return FAIL(k, "cannot perform a binary expression on two literals");
    int code = left ? compile_expr(k, e->u.binary.lhs) : TSM_OK;
    if (!code && right)
        code = compile_expr(k, e->u.binary.rhs);
    return code;
}

static int compile_expr(struct compiler *k, struct tsm_expr *e)
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
        distinct_to_call(k->c->arena, e);
        return compile_call(k, e);
    case TSM_EXPR_CALL:
        return compile_call(k, e);
    case TSM_EXPR_BINARY:
        return compile_binary(k, e);
    case TSM_EXPR_PAREN:
        return compile_expr(k, e->u.paren);
    default:
        return FAIL(k, "field must contain at least one variable");
    }
}

static int compile_fields(struct compiler *k)
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
        int code = compile_expr(k, e);
        if (code)
            return code;
    }
    return TSM_OK;
}

static int check_fields(struct compiler *k)
{
    struct tsm_compiled *c = k->c;
    if (c->nfields == 0)
        return FAIL(k, "at least 1 non-time field must be queried");
    if (c->ncalls == 0) {
        if (c->stmt->fill == TSM_FILL_NONE)
            return FAIL(k, "fill(none) must be used with a function");
        if (c->stmt->fill == TSM_FILL_LINEAR)
            return FAIL(k, "fill(linear) must be used with a function");
        if (c->interval)
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

int tsm_compile(struct tsm_arena *a, const struct tsm_select *s, int64_t now, struct tsm_compiled *c,
                struct tsm_err *err)
{
    *c = (struct tsm_compiled){.arena = a, .stmt = s, .descending = s->descending};
    struct compiler k = {.c = c, .err = err, .now = now, .only_selectors = true};
    int code = preprocess(&k);
    if (!code)
        code = compile_fields(&k);
    if (!code)
        code = check_fields(&k);
    if (code)
        return code;
    if (s->target)
        return FAIL(&k, "SELECT INTO is not supported yet");
    if (s->zone.n && !tsm_str_eq(s->zone, TSM_STR("UTC")))
        return FAIL(&k, "tz() is not supported yet");
    for (size_t i = 0; i < s->nsources; i++)
        if (s->sources[i].subquery)
            return FAIL(&k, "a subquery is not supported yet");
    return TSM_OK;
}
