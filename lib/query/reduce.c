/* query/reduce.c: constant folding and time ranges. A fold that does not apply leaves the operation as it is.
 */
#include "query/reduce.h"

#include <ctype.h>
#include <math.h>

#include "base/time.h"
#include "query/math_call.h"
#include "base/banned.h"

static struct tsm_expr *make_bool(struct tsm_arena *a, bool v)
{
    struct tsm_expr *e = tsm_expr_new(a, TSM_EXPR_BOOLEAN);
    e->u.boolean = v;
    return e;
}

static struct tsm_expr *make_int(struct tsm_arena *a, enum tsm_expr_kind kind, int64_t v)
{
    struct tsm_expr *e = tsm_expr_new(a, kind);
    e->u.integer = v;
    return e;
}

static struct tsm_expr *make_unsigned(struct tsm_arena *a, uint64_t v)
{
    struct tsm_expr *e = tsm_expr_new(a, TSM_EXPR_UNSIGNED);
    e->u.uinteger = v;
    return e;
}

static struct tsm_expr *make_number(struct tsm_arena *a, double v)
{
    struct tsm_expr *e = tsm_expr_new(a, TSM_EXPR_NUMBER);
    e->u.number = v;
    return e;
}

bool tsm_expr_is_literal(const struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_REGEX:
    case TSM_EXPR_STRING:
    case TSM_EXPR_INTEGER:
    case TSM_EXPR_UNSIGNED:
    case TSM_EXPR_NUMBER:
    case TSM_EXPR_BOOLEAN:
    case TSM_EXPR_DURATION:
    case TSM_EXPR_TIME:
    case TSM_EXPR_NIL:
    case TSM_EXPR_LIST:
        return true;
    default:
        return false;
    }
}

bool tsm_looks_like_time(struct tsm_str s)
{
    static const char shape[] = "dddd-dd-dd";
    if (s.n < sizeof shape - 1)
        return false;
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (shape[i] == 'd' ? !isdigit((unsigned char)s.p[i]) : s.p[i] != shape[i])
            return false;
    return s.n == sizeof shape - 1 || s.p[sizeof shape - 1] != '\n';
}

/* What folding goes by. */
struct folder {
    struct tsm_arena *a;
    const int64_t *now;          /* NULL: now() stays a call */
    const struct tsm_zone *zone; /* of times in quotes */
};

static bool as_time(const struct folder *k, const struct tsm_expr *e, int64_t *t)
{
    return e->kind == TSM_EXPR_STRING && tsm_looks_like_time(e->u.string) &&
           tsm_parse_time_in(k->zone, e->u.string, t);
}

/* Additions wrap, as in Go. */
static int64_t wrap_add(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x + (uint64_t)y);
}

static int64_t wrap_sub(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x - (uint64_t)y);
}

static int64_t wrap_mul(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x * (uint64_t)y);
}

/* Comparison of two ordered values by their sign; NULL when op does not compare. */
static struct tsm_expr *compare(struct tsm_arena *a, enum tsm_token op, int sign)
{
    switch (op) {
    case TSM_TOK_EQ:
        return make_bool(a, sign == 0);
    case TSM_TOK_NEQ:
        return make_bool(a, sign != 0);
    case TSM_TOK_LT:
        return make_bool(a, sign < 0);
    case TSM_TOK_LTE:
        return make_bool(a, sign <= 0);
    case TSM_TOK_GT:
        return make_bool(a, sign > 0);
    case TSM_TOK_GTE:
        return make_bool(a, sign >= 0);
    default:
        return NULL;
    }
}

#define SIGN(x, y) (((x) > (y)) - ((x) < (y)))

static struct tsm_expr *fold_boolean(const struct folder *k, enum tsm_token op, bool l,
                                     const struct tsm_expr *r)
{
    if (r->kind == TSM_EXPR_NIL)
        return make_bool(k->a, false);
    if (r->kind != TSM_EXPR_BOOLEAN)
        return NULL;
    switch (op) {
    case TSM_TOK_EQ:
        return make_bool(k->a, l == r->u.boolean);
    case TSM_TOK_NEQ:
    case TSM_TOK_BITWISE_XOR:
        return make_bool(k->a, l != r->u.boolean);
    case TSM_TOK_AND:
    case TSM_TOK_BITWISE_AND:
        return make_bool(k->a, l && r->u.boolean);
    case TSM_TOK_OR:
    case TSM_TOK_BITWISE_OR:
        return make_bool(k->a, l || r->u.boolean);
    default:
        return NULL;
    }
}

static struct tsm_expr *fold_number(const struct folder *k, enum tsm_token op, double l, double r)
{
    switch (op) {
    case TSM_TOK_ADD:
        return make_number(k->a, l + r);
    case TSM_TOK_SUB:
        return make_number(k->a, l - r);
    case TSM_TOK_MUL:
        return make_number(k->a, l * r);
    case TSM_TOK_DIV:
        return make_number(k->a, r == 0 ? 0 : l / r);
    case TSM_TOK_MOD:
        return make_number(k->a, fmod(l, r));
    default:
        return compare(k->a, op, SIGN(l, r));
    }
}

static struct tsm_expr *fold_unsigned(const struct folder *k, enum tsm_token op, uint64_t l, uint64_t r)
{
    switch (op) {
    case TSM_TOK_ADD:
        return make_unsigned(k->a, l + r);
    case TSM_TOK_SUB:
        return make_unsigned(k->a, l - r);
    case TSM_TOK_MUL:
        return make_unsigned(k->a, l * r);
    case TSM_TOK_DIV:
        return make_unsigned(k->a, r == 0 ? 0 : l / r);
    case TSM_TOK_MOD:
        return make_unsigned(k->a, r == 0 ? 0 : l % r);
    default:
        return compare(k->a, op, SIGN(l, r));
    }
}

/* A negative integer beside an unsigned one: only the order is known. below: the negative one is on the left.
 */
static struct tsm_expr *fold_negative(const struct folder *k, enum tsm_token op, bool below)
{
    if (op == TSM_TOK_LT || op == TSM_TOK_LTE)
        return make_bool(k->a, below);
    if (op == TSM_TOK_GT || op == TSM_TOK_GTE)
        return make_bool(k->a, !below);
    return NULL;
}

static struct tsm_expr *fold_integers(const struct folder *k, enum tsm_token op, int64_t l, int64_t r)
{
    switch (op) {
    case TSM_TOK_ADD:
        return make_int(k->a, TSM_EXPR_INTEGER, wrap_add(l, r));
    case TSM_TOK_SUB:
        return make_int(k->a, TSM_EXPR_INTEGER, wrap_sub(l, r));
    case TSM_TOK_MUL:
        return make_int(k->a, TSM_EXPR_INTEGER, wrap_mul(l, r));
    case TSM_TOK_DIV:
        return make_number(k->a, r == 0 ? 0 : (double)l / (double)r);
    case TSM_TOK_MOD:
        return make_int(k->a, TSM_EXPR_INTEGER, r == 0 || r == -1 ? 0 : l % r);
    case TSM_TOK_BITWISE_AND:
        return make_int(k->a, TSM_EXPR_INTEGER, l & r);
    case TSM_TOK_BITWISE_OR:
        return make_int(k->a, TSM_EXPR_INTEGER, l | r);
    case TSM_TOK_BITWISE_XOR:
        return make_int(k->a, TSM_EXPR_INTEGER, l ^ r);
    default:
        return compare(k->a, op, SIGN(l, r));
    }
}

static struct tsm_expr *fold_duration(const struct folder *k, enum tsm_token op, int64_t l,
                                      const struct tsm_expr *r)
{
    int64_t t;
    switch (r->kind) {
    case TSM_EXPR_DURATION:
        if (op == TSM_TOK_ADD)
            return make_int(k->a, TSM_EXPR_DURATION, wrap_add(l, r->u.integer));
        if (op == TSM_TOK_SUB)
            return make_int(k->a, TSM_EXPR_DURATION, wrap_sub(l, r->u.integer));
        return compare(k->a, op, SIGN(l, r->u.integer));
    case TSM_EXPR_NUMBER:
    case TSM_EXPR_INTEGER:
        t = r->kind == TSM_EXPR_INTEGER ? r->u.integer
            : fabs(r->u.number) < 9e18  ? (int64_t)r->u.number
                                        : INT64_MIN;
        if (op == TSM_TOK_MUL)
            return make_int(k->a, TSM_EXPR_DURATION, wrap_mul(l, t));
        if (op == TSM_TOK_DIV)
            return make_int(k->a, TSM_EXPR_DURATION, t == 0 ? 0 : t == -1 ? wrap_sub(0, l) : l / t);
        return NULL;
    case TSM_EXPR_TIME:
        return op == TSM_TOK_ADD ? make_int(k->a, TSM_EXPR_TIME, wrap_add(l, r->u.integer)) : NULL;
    case TSM_EXPR_STRING:
        return as_time(k, r, &t) && op == TSM_TOK_ADD ? make_int(k->a, TSM_EXPR_TIME, wrap_add(l, t)) : NULL;
    case TSM_EXPR_NIL:
        return make_bool(k->a, false);
    default:
        return NULL;
    }
}

static struct tsm_expr *fold_time(const struct folder *k, enum tsm_token op, int64_t l,
                                  const struct tsm_expr *r)
{
    int64_t t;
    switch (r->kind) {
    case TSM_EXPR_DURATION:
    case TSM_EXPR_INTEGER:
        if (op == TSM_TOK_ADD)
            return make_int(k->a, TSM_EXPR_TIME, wrap_add(l, r->u.integer));
        if (op == TSM_TOK_SUB)
            return make_int(k->a, TSM_EXPR_TIME, wrap_sub(l, r->u.integer));
        return NULL;
    case TSM_EXPR_TIME:
        t = r->u.integer;
        break;
    case TSM_EXPR_STRING:
        if (!as_time(k, r, &t))
            return NULL;
        break;
    case TSM_EXPR_NIL:
        return make_bool(k->a, false);
    default:
        return NULL;
    }
    if (op == TSM_TOK_SUB)
        return make_int(k->a, TSM_EXPR_DURATION, wrap_sub(l, t));
    return compare(k->a, op, SIGN(l, t));
}

static struct tsm_expr *fold_integer(const struct folder *k, enum tsm_token op, int64_t l,
                                     const struct tsm_expr *r)
{
    int64_t t;
    switch (r->kind) {
    case TSM_EXPR_NUMBER:
        return fold_number(k, op, (double)l, r->u.number);
    case TSM_EXPR_INTEGER:
        return fold_integers(k, op, l, r->u.integer);
    case TSM_EXPR_UNSIGNED:
        if (l < 0) {
            struct tsm_expr *e = fold_negative(k, op, true);
            if (e)
                return e;
        }
        return fold_unsigned(k, op, (uint64_t)l, r->u.uinteger);
    case TSM_EXPR_DURATION: /* the integer is a timestamp */
        if (op == TSM_TOK_ADD)
            return make_int(k->a, TSM_EXPR_TIME, wrap_add(l, r->u.integer));
        if (op == TSM_TOK_SUB)
            return make_int(k->a, TSM_EXPR_TIME, wrap_sub(l, r->u.integer));
        return NULL;
    case TSM_EXPR_TIME:
        return fold_duration(k, op, l, r);
    case TSM_EXPR_STRING:
        return as_time(k, r, &t) ? fold_duration(k, op, l, r) : NULL;
    case TSM_EXPR_NIL:
        return make_bool(k->a, false);
    default:
        return NULL;
    }
}

static struct tsm_expr *fold_string(const struct folder *k, enum tsm_token op, const struct tsm_expr *l,
                                    const struct tsm_expr *r)
{
    int64_t lt, rt;
    switch (r->kind) {
    case TSM_EXPR_STRING:
        if (op == TSM_TOK_EQ || op == TSM_TOK_NEQ) {
            bool equal = tsm_str_eq(l->u.string, r->u.string);
            if (as_time(k, l, &lt) && as_time(k, r, &rt))
                equal = lt == rt;
            return make_bool(k->a, equal == (op == TSM_TOK_EQ));
        }
        if (op == TSM_TOK_ADD) {
            struct tsm_expr *e = tsm_expr_new(k->a, TSM_EXPR_STRING);
            size_t n = l->u.string.n + r->u.string.n;
            char *p = tsm_arena_bytes(k->a, n);
            if (l->u.string.n)
                memcpy(p, l->u.string.p, l->u.string.n);
            if (r->u.string.n)
                memcpy(p + l->u.string.n, r->u.string.p, r->u.string.n);
            e->u.string = tsm_str(p, n);
            return e;
        }
        return as_time(k, l, &lt) ? fold_time(k, op, lt, r) : NULL;
    case TSM_EXPR_DURATION:
    case TSM_EXPR_TIME:
    case TSM_EXPR_INTEGER:
        return as_time(k, l, &lt) ? fold_time(k, op, lt, r) : NULL;
    case TSM_EXPR_NIL:
        return op == TSM_TOK_EQ || op == TSM_TOK_NEQ ? make_bool(k->a, false) : NULL;
    default:
        return NULL;
    }
}

/* The value of l op r, or NULL when it is not constant. */
static struct tsm_expr *fold(const struct folder *k, enum tsm_token op, const struct tsm_expr *l,
                             const struct tsm_expr *r)
{
    struct tsm_expr *e;
    switch (l->kind) {
    case TSM_EXPR_BOOLEAN:
        return fold_boolean(k, op, l->u.boolean, r);
    case TSM_EXPR_DURATION:
        return fold_duration(k, op, l->u.integer, r);
    case TSM_EXPR_TIME:
        return fold_time(k, op, l->u.integer, r);
    case TSM_EXPR_INTEGER:
        return fold_integer(k, op, l->u.integer, r);
    case TSM_EXPR_UNSIGNED:
        if (r->kind == TSM_EXPR_NUMBER)
            return fold_number(k, op, (double)l->u.uinteger, r->u.number);
        if (r->kind == TSM_EXPR_UNSIGNED)
            return fold_unsigned(k, op, l->u.uinteger, r->u.uinteger);
        if (r->kind != TSM_EXPR_INTEGER)
            return NULL;
        e = r->u.integer < 0 ? fold_negative(k, op, false) : NULL;
        return e ? e : fold_unsigned(k, op, l->u.uinteger, (uint64_t)r->u.integer);
    case TSM_EXPR_NUMBER:
        if (r->kind == TSM_EXPR_NUMBER)
            return fold_number(k, op, l->u.number, r->u.number);
        if (r->kind == TSM_EXPR_INTEGER)
            return fold_number(k, op, l->u.number, (double)r->u.integer);
        if (r->kind == TSM_EXPR_UNSIGNED)
            return fold_number(k, op, l->u.number, (double)r->u.uinteger);
        return r->kind == TSM_EXPR_NIL ? make_bool(k->a, false) : NULL;
    case TSM_EXPR_STRING:
        return fold_string(k, op, l, r);
    case TSM_EXPR_NIL:
        return op == TSM_TOK_EQ || op == TSM_TOK_NEQ ? make_bool(k->a, false) : NULL;
    default:
        return NULL;
    }
}

static bool is_bool(const struct tsm_expr *e, bool value)
{
    return e->kind == TSM_EXPR_BOOLEAN && e->u.boolean == value;
}

/* l op r of reduced sides. */
static struct tsm_expr *reduce_binary(const struct folder *k, enum tsm_token op, struct tsm_expr *l,
                                      struct tsm_expr *r)
{
    if (op == TSM_TOK_AND) {
        if (is_bool(l, false) || is_bool(r, false))
            return make_bool(k->a, false);
        if (is_bool(l, true))
            return r;
        if (is_bool(r, true))
            return l;
    } else if (op == TSM_TOK_OR) {
        if (is_bool(l, true) || is_bool(r, true))
            return make_bool(k->a, true);
        if (is_bool(l, false))
            return r;
        if (is_bool(r, false))
            return l;
    }
    struct tsm_expr *e = fold(k, op, l, r);
    return e ? e : tsm_expr_binary(k->a, op, l, r);
}

static bool as_number(const struct tsm_expr *e, double *v)
{
    if (e->kind == TSM_EXPR_NUMBER)
        *v = e->u.number;
    else if (e->kind == TSM_EXPR_INTEGER)
        *v = (double)e->u.integer;
    else if (e->kind == TSM_EXPR_UNSIGNED)
        *v = (double)e->u.uinteger;
    else
        return false;
    return true;
}

/* A mathematical function of literals; NULL when it is something else. What is not a number has no value. */
static struct tsm_expr *fold_call(const struct folder *k, const struct tsm_expr *e)
{
    enum tsm_math fn = tsm_math_find(e->u.call.name);
    double args[2] = {0, 0}, result;
    if (fn == TSM_MATHS || e->u.call.nargs != tsm_math_args(fn))
        return NULL;
    bool numbers = true;
    for (size_t i = 0; i < e->u.call.nargs; i++) {
        if (!tsm_expr_is_literal(e->u.call.args[i]))
            return NULL;
        numbers &= as_number(e->u.call.args[i], &args[i]);
    }
    if (!numbers)
        return tsm_expr_new(k->a, TSM_EXPR_NIL);
    const struct tsm_expr *first = e->u.call.args[0];
    if (tsm_math_keeps_type(fn) && first->kind != TSM_EXPR_NUMBER) {
        bool negative = first->kind == TSM_EXPR_INTEGER && first->u.integer < 0;
        return fn == TSM_MATH_ABS && negative
                   ? make_int(k->a, TSM_EXPR_INTEGER, wrap_sub(0, first->u.integer))
                   : tsm_expr_copy(k->a, first);
    }
    tsm_math_apply(fn, &args[0], true, &args[1], true, 1, &result);
    return make_number(k->a, result);
}

/* As tsm_reduce(), but an operation keeps its parentheses. */
static struct tsm_expr *reduce(const struct folder *k, const struct tsm_expr *e)
{
    struct tsm_expr *out, *below;
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        out = reduce_binary(k, e->u.binary.op, reduce(k, e->u.binary.lhs), reduce(k, e->u.binary.rhs));
        break;
    case TSM_EXPR_PAREN:
        below = reduce(k, e->u.paren);
        if (below->kind != TSM_EXPR_BINARY)
            return below;
        out = tsm_expr_new(k->a, TSM_EXPR_PAREN);
        out->u.paren = below;
        break;
    case TSM_EXPR_CALL:
        if (k->now && e->u.call.nargs == 0 && tsm_str_eq(e->u.call.name, TSM_STR("now")))
            return make_int(k->a, TSM_EXPR_TIME, *k->now);
        out = tsm_expr_new(k->a, TSM_EXPR_CALL);
        out->u.call.name = e->u.call.name;
        out->u.call.nargs = e->u.call.nargs;
        out->u.call.args = tsm_arena_calloc(k->a, e->u.call.nargs * sizeof *out->u.call.args);
        for (size_t i = 0; i < e->u.call.nargs; i++)
            out->u.call.args[i] = reduce(k, e->u.call.args[i]);
        below = fold_call(k, out);
        if (below)
            out = below;
        break;
    default:
        return tsm_expr_copy(k->a, e);
    }
    out->pos = e->pos;
    return out;
}

static struct tsm_expr *reduce_whole(const struct folder *k, const struct tsm_expr *e)
{
    struct tsm_expr *out = reduce(k, e);
    return out->kind == TSM_EXPR_PAREN ? out->u.paren : out;
}

struct tsm_expr *tsm_reduce(struct tsm_arena *a, const struct tsm_expr *e, const int64_t *now)
{
    const struct folder k = {a, now, NULL};
    return reduce_whole(&k, e);
}

/* ---- conditions -------------------------------------------------------------------------------------------
 */

struct split {
    struct folder k;
    struct tsm_err *err;
};

static void intersect(struct tsm_time_range *r, struct tsm_time_range other)
{
    if (other.has_min && (!r->has_min || other.min > r->min)) {
        r->min = other.min;
        r->has_min = true;
    }
    if (other.has_max && (!r->has_max || other.max < r->max)) {
        r->max = other.max;
        r->has_max = true;
    }
}

const char *tsm_expr_go_type(const struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        return "*influxql.BinaryExpr";
    case TSM_EXPR_PAREN:
        return "*influxql.ParenExpr";
    case TSM_EXPR_CALL:
        return "*influxql.Call";
    case TSM_EXPR_VAR:
        return "*influxql.VarRef";
    case TSM_EXPR_WILDCARD:
        return "*influxql.Wildcard";
    case TSM_EXPR_REGEX:
        return "*influxql.RegexLiteral";
    case TSM_EXPR_DISTINCT:
        return "*influxql.Distinct";
    case TSM_EXPR_STRING:
        return "*influxql.StringLiteral";
    case TSM_EXPR_INTEGER:
        return "*influxql.IntegerLiteral";
    case TSM_EXPR_UNSIGNED:
        return "*influxql.UnsignedLiteral";
    case TSM_EXPR_NUMBER:
        return "*influxql.NumberLiteral";
    case TSM_EXPR_BOOLEAN:
        return "*influxql.BooleanLiteral";
    case TSM_EXPR_DURATION:
        return "*influxql.DurationLiteral";
    case TSM_EXPR_TIME:
        return "*influxql.TimeLiteral";
    case TSM_EXPR_LIST:
        return "*influxql.ListLiteral";
    case TSM_EXPR_NIL:
        break;
    }
    return "*influxql.NilLiteral";
}

/* A time in quotes. The smallest time that is stored cannot be written: influxd keeps it for itself. */
static int time_in_quotes(struct split *s, struct tsm_str text, int64_t *t)
{
    int64_t seconds, nanos;
    if (!tsm_parse_instant(s->k.zone, text, &seconds, &nanos))
        return tsm_err_set(s->err, TSM_EQUERY, "invalid timestamp string");
    bool fits = tsm_parse_time_in(s->k.zone, text, t);
    if (fits && *t > TSM_TIME_MIN && *t <= TSM_TIME_MAX)
        return TSM_OK;
    char shown[TSM_TIME_TEXT_MAX];
    int64_t from, to;
    int32_t offset = tsm_zone_lookup(s->k.zone, seconds, &from, &to);
    size_t n = tsm_format_rfc3339_seconds(shown, seconds + offset) - 1;
    n += tsm_format_offset(shown + n, offset);
    return tsm_err_set(s->err, TSM_EQUERY, "time %.*s %s time literal", (int)n, shown,
                       seconds < 0 ? "underflows" : "overflows");
}

/* time op value. */
static int time_range(struct split *s, enum tsm_token op, const struct tsm_expr *value,
                      struct tsm_time_range *range)
{
    int64_t t;
    if (value->kind == TSM_EXPR_STRING && tsm_looks_like_time(value->u.string)) {
        int code = time_in_quotes(s, value->u.string, &t);
        if (code)
            return code;
    } else {
        const struct tsm_expr *lit = reduce_whole(&s->k, value);
        if (lit->kind == TSM_EXPR_TIME || lit->kind == TSM_EXPR_DURATION || lit->kind == TSM_EXPR_INTEGER)
            t = lit->u.integer;
        else if (lit->kind == TSM_EXPR_NUMBER)
            t = lit->u.number >= -9223372036854775808.0 && lit->u.number < 9223372036854775808.0
                    ? (int64_t)lit->u.number
                    : INT64_MIN;
        else
            return tsm_err_set(s->err, TSM_EQUERY, "invalid operation: time and %s are not compatible",
                               tsm_expr_go_type(lit));
    }

    *range = (struct tsm_time_range){0};
    switch (op) {
    case TSM_TOK_GT:
    case TSM_TOK_GTE:
        range->has_min = true;
        range->min = op == TSM_TOK_GT && t < INT64_MAX ? t + 1 : t;
        return TSM_OK;
    case TSM_TOK_LT:
    case TSM_TOK_LTE:
        range->has_max = true;
        range->max = op == TSM_TOK_LT && t > INT64_MIN ? t - 1 : t;
        return TSM_OK;
    case TSM_TOK_EQ:
        *range = (struct tsm_time_range){t, t, true, true};
        return TSM_OK;
    default:
        return tsm_err_set(s->err, TSM_EQUERY, "invalid time comparison operator: %s", tsm_token_text(op));
    }
}

static bool is_time(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_VAR && e->u.var.name.n == 4 && strncasecmp(e->u.var.name.p, "time", 4) == 0;
}

static enum tsm_token mirrored(enum tsm_token op)
{
    switch (op) {
    case TSM_TOK_GT:
        return TSM_TOK_LT;
    case TSM_TOK_LT:
        return TSM_TOK_GT;
    case TSM_TOK_GTE:
        return TSM_TOK_LTE;
    case TSM_TOK_LTE:
        return TSM_TOK_GTE;
    default:
        return op;
    }
}

static int split(struct split *s, const struct tsm_expr *e, struct tsm_expr **rest,
                 struct tsm_time_range *range)
{
    *rest = NULL;
    *range = (struct tsm_time_range){0};
    if (e->kind == TSM_EXPR_BINARY) {
        enum tsm_token op = e->u.binary.op;
        if (op == TSM_TOK_AND || op == TSM_TOK_OR) {
            struct tsm_expr *l, *r;
            struct tsm_time_range right;
            int code = split(s, e->u.binary.lhs, &l, range);
            if (!code)
                code = split(s, e->u.binary.rhs, &r, &right);
            if (code)
                return code;
            intersect(range, right); /* also for OR: influxd knows no other */
            *rest = l && r ? reduce_binary(&s->k, op, l, r) : l ? l : r;
            return TSM_OK;
        }
        if (is_time(e->u.binary.lhs))
            return time_range(s, op, e->u.binary.rhs, range);
        if (is_time(e->u.binary.rhs))
            return time_range(s, mirrored(op), e->u.binary.lhs, range);
        *rest = reduce(&s->k, e);
        return TSM_OK;
    }
    if (e->kind == TSM_EXPR_PAREN) {
        struct tsm_expr *below;
        int code = split(s, e->u.paren, &below, range);
        if (code || !below)
            return code;
        if (below->kind == TSM_EXPR_BINARY) {
            *rest = tsm_expr_new(s->k.a, TSM_EXPR_PAREN);
            (*rest)->u.paren = below;
        } else {
            *rest = below;
        }
        return TSM_OK;
    }
    if (e->kind == TSM_EXPR_BOOLEAN) {
        *rest = tsm_expr_copy(s->k.a, e);
        return TSM_OK;
    }
    struct tsm_buf text = {0};
    tsm_expr_print(&text, e);
    int code = tsm_err_set(s->err, TSM_EQUERY, "invalid condition expression: %s", tsm_buf_cstr(&text));
    tsm_buf_release(&text);
    return code;
}

int tsm_condition_split(struct tsm_arena *a, const struct tsm_expr *condition, int64_t now,
                        const struct tsm_zone *zone, struct tsm_expr **rest, struct tsm_time_range *range,
                        struct tsm_err *err)
{
    *rest = NULL;
    *range = (struct tsm_time_range){0};
    if (!condition)
        return TSM_OK;
    struct split s = {{a, &now, zone}, err};
    int code = split(&s, condition, rest, range);
    if (code)
        return code;
    if (*rest && (*rest)->kind == TSM_EXPR_PAREN)
        *rest = (*rest)->u.paren;
    if (*rest && is_bool(*rest, true))
        *rest = NULL;
    return TSM_OK;
}
