/* query/compile_call.c: the arguments of functions. What is checked, and in which order, is what influxd's
 * compiler does for each of them (query/compile.go). */
#include "query/compile_impl.h"

#include <inttypes.h>

#include "base/num.h"
#include "base/time.h"
#include "query/reduce.h"
#include "base/banned.h"

#define FAIL(k, ...) TSM_COMPILE_FAIL(k, __VA_ARGS__)

struct call { /* that is being compiled */
    struct tsm_expr *e;
    const struct tsm_function_row *row;
    const char *name;
    struct tsm_expr **args;
    size_t nargs;
};

static bool is_call(const struct tsm_expr *e, const char *name)
{
    return e->kind == TSM_EXPR_CALL && tsm_str_eq(e->u.call.name, tsm_str_of(name));
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

/* ---- how many, and of which kind ---------------------------------------------------------------- */

static int count_is(struct tsm_compiler *k, const struct call *c, size_t n)
{
    if (c->nargs == n)
        return TSM_OK;
    return FAIL(k, "invalid number of arguments for %s, expected %zu, got %zu", c->name, n, c->nargs);
}

static int count_between(struct tsm_compiler *k, const struct call *c, size_t min, size_t max)
{
    if (c->nargs >= min && c->nargs <= max)
        return TSM_OK;
    return FAIL(k, "invalid number of arguments for %s, expected at least %zu but no more than %zu, got %zu",
                c->name, min, max, c->nargs);
}

static int check_positive(struct tsm_compiler *k, const struct tsm_expr *duration)
{
    char text[TSM_NUM_MAX];
    if (duration->u.integer > 0)
        return TSM_OK;
    text[tsm_format_duration_influxql(text, duration->u.integer)] = '\0';
    return FAIL(k, "duration argument must be positive, got %s", text);
}

/* The argument of a function: a field, a wildcard or a regex. */
static int compile_symbol(struct tsm_compiler *k, const char *fn, const struct tsm_expr *arg)
{
    switch (arg->kind) {
    case TSM_EXPR_VAR:
        return TSM_OK;
    case TSM_EXPR_WILDCARD:
        if (!k->allow_wildcard)
            return FAIL(k, "unsupported expression with wildcard: %s()", fn);
        break;
    case TSM_EXPR_REGEX:
        if (!k->allow_wildcard)
            return FAIL(k, "unsupported expression with regex field: %s()", fn);
        break;
    default:
        return FAIL(k, "expected field argument in %s()", fn);
    }
    k->only_selectors = false;
    return TSM_OK;
}

static int compile_distinct(struct tsm_compiler *k, const struct tsm_expr *call, bool nested)
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

/* ---- aggregates and selectors ------------------------------------------------------------------- */

static int compile_field(struct tsm_compiler *k, const struct call *c)
{
    if (c->row->kind != TSM_KIND_SELECTOR)
        k->only_selectors = false;
    int code = count_is(k, c, 1);
    if (code)
        return code;
    if (c->row->args == TSM_ARGS_COUNT) {
        distinct_to_call(k->c->arena, c->args[0]);
        if (is_call(c->args[0], "distinct"))
            return compile_distinct(k, c->args[0], true);
    }
    return compile_symbol(k, c->name, c->args[0]);
}

static int compile_percentile(struct tsm_compiler *k, const struct call *c)
{
    int code = count_is(k, c, 2);
    if (code)
        return code;
    if (c->args[1]->kind != TSM_EXPR_INTEGER && c->args[1]->kind != TSM_EXPR_NUMBER)
        return FAIL(k, "expected float argument in percentile()");
    return compile_symbol(k, c->name, c->args[0]);
}

static int compile_sample(struct tsm_compiler *k, const struct call *c)
{
    int code = count_is(k, c, 2);
    if (code)
        return code;
    if (c->args[1]->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "expected integer argument in sample()");
    if (c->args[1]->u.integer <= 0)
        return FAIL(k, "sample window must be greater than 1, got %" PRId64, c->args[1]->u.integer);
    return compile_symbol(k, c->name, c->args[0]);
}

static int compile_top(struct tsm_compiler *k, const struct call *c)
{
    int64_t limit = k->c->stmt->limit;
    if (k->top_or_bottom)
        return FAIL(k, "selector function %s() cannot be combined with other functions", k->top_or_bottom);
    if (c->nargs < 2)
        return FAIL(k, "invalid number of arguments for %s, expected at least 2, got %zu", c->name, c->nargs);
    const struct tsm_expr *n = c->args[c->nargs - 1];
    if (n->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "expected integer as last argument in %s(), found %s", c->name,
                    tsm_compile_text(k, n));
    if (n->u.integer <= 0)
        return FAIL(k, "limit (%" PRId64 ") in %s function must be at least 1", n->u.integer, c->name);
    if (limit > 0 && n->u.integer > limit)
        return FAIL(k,
                    "limit (%" PRId64 ") in %s function can not be larger than the LIMIT (%" PRId64
                    ") in the select statement",
                    n->u.integer, c->name, limit);
    if (c->args[0]->kind != TSM_EXPR_VAR)
        return FAIL(k, "expected first argument to be a field in %s(), found %s", c->name,
                    tsm_compile_text(k, c->args[0]));
    for (size_t i = 1; i + 1 < c->nargs; i++) {
        if (c->args[i]->kind != TSM_EXPR_VAR)
            return FAIL(k, "only fields or tags are allowed in %s(), found %s", c->name,
                        tsm_compile_text(k, c->args[i]));
        if (!k->c->stmt->target)
            k->has_auxiliary = true;
    }
    k->top_or_bottom = c->row->name;
    return TSM_OK;
}

static int compile_integral(struct tsm_compiler *k, const struct call *c)
{
    int code = count_between(k, c, 1, 2);
    if (code)
        return code;
    if (c->nargs == 2 && c->args[1]->kind != TSM_EXPR_DURATION)
        return FAIL(k, "second argument must be a duration");
    if (c->nargs == 2)
        code = check_positive(k, c->args[1]);
    if (code)
        return code;
    k->only_selectors = false;
    return compile_symbol(k, c->name, c->args[0]);
}

/* ---- transforms --------------------------------------------------------------------------------- */

static int check_unit(struct tsm_compiler *k, const struct call *c)
{
    int code = count_between(k, c, 1, 2);
    if (code || c->nargs == 1)
        return code;
    if (c->args[1]->kind != TSM_EXPR_DURATION)
        return FAIL(k, "second argument to %s must be a duration, got %s", c->name,
                    tsm_expr_go_type(c->args[1]));
    return check_positive(k, c->args[1]);
}

static int check_one(struct tsm_compiler *k, const struct call *c)
{
    if (c->nargs == 1)
        return TSM_OK;
    return FAIL(k, "invalid number of arguments for %s, expected 1, got %zu", c->name, c->nargs);
}

static int check_points(struct tsm_compiler *k, const struct call *c)
{
    if (c->nargs != 2)
        return FAIL(k, "invalid number of arguments for %s, expected 2, got %zu", c->name, c->nargs);
    if (c->args[1]->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "second argument for %s must be an integer, got %s", c->name,
                    tsm_expr_go_type(c->args[1]));
    if (c->args[1]->u.integer <= 1)
        return FAIL(k, "%s window must be greater than 1, got %" PRId64, c->name, c->args[1]->u.integer);
    return TSM_OK;
}

static int check_hold(struct tsm_compiler *k, const struct call *c)
{
    if (c->nargs < 3)
        return TSM_OK;
    const struct tsm_expr *hold = c->args[2];
    if (hold->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "%s hold period must be an integer", c->name);
    if (hold->u.integer == 0 && c->row->needs_hold)
        return FAIL(k, "%s hold period must be greater than or equal to 1", c->name);
    if (hold->u.integer < -1)
        return FAIL(k, "%s hold period must be greater than or equal to %d", c->name,
                    c->row->needs_hold ? 1 : 0);
    return TSM_OK;
}

static int check_warmup(struct tsm_compiler *k, const struct call *c)
{
    if (c->nargs < 4)
        return TSM_OK;
    const struct tsm_expr *warmup = c->args[3];
    bool none = c->row->args == TSM_ARGS_STREAM_WARMUP_NONE;
    if (warmup->kind != TSM_EXPR_STRING)
        return FAIL(k, "%s warmup type must be a string", c->name);
    if (tsm_str_eq(warmup->u.string, TSM_STR("exponential")) ||
        tsm_str_eq(warmup->u.string, TSM_STR("simple")) ||
        (none && tsm_str_eq(warmup->u.string, TSM_STR("none"))))
        return TSM_OK;
    return FAIL(k, "%s warmup type must be one of: %s'exponential' 'simple'", c->name, none ? "'none' " : "");
}

static int check_period(struct tsm_compiler *k, const struct call *c)
{
    int code = count_between(k, c, 2, c->row->args == TSM_ARGS_STREAM_HOLD ? 3 : 4);
    if (code)
        return code;
    if (c->args[1]->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "%s period must be an integer", c->name);
    if (c->args[1]->u.integer < 1)
        return FAIL(k, "%s period must be greater than or equal to 1", c->name);
    code = check_hold(k, c);
    return code ? code : check_warmup(k, c);
}

static int check_stream(struct tsm_compiler *k, const struct call *c, int64_t *intervals)
{
    *intervals = 1;
    switch (c->row->args) {
    case TSM_ARGS_STREAM:
        return check_one(k, c);
    case TSM_ARGS_STREAM_UNIT:
        return check_unit(k, c);
    default:
        break;
    }
    int code = c->row->args == TSM_ARGS_STREAM_POINTS ? check_points(k, c) : check_period(k, c);
    if (!code)
        *intervals = c->args[1]->u.integer;
    return code;
}

/* The first argument of a transform: points as they are, or those of another call. */
static int compile_stream(struct tsm_compiler *k, const struct call *c)
{
    int64_t intervals;
    int code = check_stream(k, c, &intervals);
    if (code)
        return code;
    k->only_selectors = false;
    if (k->extra_intervals < intervals)
        k->extra_intervals = intervals;
    struct tsm_expr *arg = c->args[0];
    if (arg->kind != TSM_EXPR_CALL) {
        if (k->c->interval && !k->c->inherited_interval)
            return FAIL(k, "aggregate function required inside the call to %s", c->name);
        return compile_symbol(k, c->name, arg);
    }
    if (!k->c->interval)
        return FAIL(k, "%s aggregate requires a GROUP BY interval", c->name);
    bool technical = c->row->args == TSM_ARGS_STREAM_HOLD || c->row->args == TSM_ARGS_STREAM_WARMUP ||
                     c->row->args == TSM_ARGS_STREAM_WARMUP_NONE;
    if (is_call(arg, "distinct") && !technical)
        return compile_distinct(k, arg, true);
    return tsm_compile_expr(k, arg);
}

static int compile_season(struct tsm_compiler *k, const struct call *c)
{
    int code = count_is(k, c, 3);
    if (code)
        return code;
    if (c->args[1]->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "expected integer argument as second arg in %s", c->name);
    if (c->args[1]->u.integer <= 0)
        return FAIL(k, "second arg to %s must be greater than 0, got %" PRId64, c->name,
                    c->args[1]->u.integer);
    if (c->args[2]->kind != TSM_EXPR_INTEGER)
        return FAIL(k, "expected integer argument as third arg in %s", c->name);
    if (c->args[2]->u.integer < 0)
        return FAIL(k, "third arg to %s cannot be negative, got %" PRId64, c->name, c->args[2]->u.integer);
    k->only_selectors = false;
    if (c->args[0]->kind != TSM_EXPR_CALL)
        return FAIL(k, "must use aggregate function with %s", c->name);
    if (!k->c->interval)
        return FAIL(k, "%s aggregate requires a GROUP BY interval", c->name);
    if (is_call(c->args[0], "distinct"))
        return compile_distinct(k, c->args[0], true);
    return tsm_compile_expr(k, c->args[0]);
}

/* ---- mathematics -------------------------------------------------------------------------------- */

static int compile_math(struct tsm_compiler *k, const struct call *c)
{
    int code = count_is(k, c, c->row->args == TSM_ARGS_MATH_TWO ? 2 : 1);
    for (size_t i = 0; i < c->nargs && !code; i++)
        if (!tsm_expr_is_literal(c->args[i]))
            code = tsm_compile_expr(k, c->args[i]);
    return code;
}

int tsm_compile_condition(struct tsm_compiler *k, const struct tsm_expr *e)
{
    if (!e)
        return TSM_OK;
    if (e->kind == TSM_EXPR_BINARY) {
        int code = tsm_compile_condition(k, e->u.binary.lhs);
        return code ? code : tsm_compile_condition(k, e->u.binary.rhs);
    }
    if (e->kind != TSM_EXPR_CALL)
        return TSM_OK;
    if (!tsm_expr_is_math(e))
        return FAIL(k, "invalid function call in condition: %s", tsm_compile_text(k, e));
    enum tsm_function fn = tsm_function_find(e->u.call.name);
    size_t expected = fn == TSM_FN_ATAN2 || fn == TSM_FN_POW ? 2 : 1; /* of log(), too */
    if (e->u.call.nargs != expected)
        return FAIL(k, "invalid number of arguments for %s, expected %zu, got %zu", tsm_function_name(fn),
                    expected, e->u.call.nargs);
    int code = TSM_OK;
    for (size_t i = 0; i < e->u.call.nargs && !code; i++)
        code = tsm_compile_condition(k, e->u.call.args[i]);
    return code;
}

/* ---- any of them -------------------------------------------------------------------------------- */

int tsm_compile_call(struct tsm_compiler *k, struct tsm_expr *e)
{
    distinct_to_call(k->c->arena, e);
    struct tsm_str name = e->u.call.name;
    enum tsm_function fn = tsm_function_find(name);
    if (fn == TSM_FUNCTIONS) {
        k->c->ncalls++;
        return FAIL(k, "undefined function %.*s()", (int)name.n, name.p);
    }
    const struct tsm_function_row *row = tsm_function_row(fn);
    struct call c = {e, row, row->name, e->u.call.args, e->u.call.nargs};
    if (row->kind == TSM_KIND_MATH)
        return compile_math(k, &c);
    k->c->ncalls++;
    switch (row->args) {
    case TSM_ARGS_FIELD:
    case TSM_ARGS_COUNT:
        return compile_field(k, &c);
    case TSM_ARGS_DISTINCT:
        return compile_distinct(k, e, false);
    case TSM_ARGS_PERCENTILE:
        return compile_percentile(k, &c);
    case TSM_ARGS_SAMPLE:
        return compile_sample(k, &c);
    case TSM_ARGS_TOP:
        return compile_top(k, &c);
    case TSM_ARGS_INTEGRAL:
        return compile_integral(k, &c);
    case TSM_ARGS_SEASON:
        return compile_season(k, &c);
    default:
        return compile_stream(k, &c);
    }
}
