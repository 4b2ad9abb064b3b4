/* query/shape_types.c: the types of the select list, as influxql's TypeValuerEval finds them. */
#include "query/shape_impl.h"
#include "base/banned.h"

void tsm_shape_set_types(struct tsm_shaper *k, struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        tsm_shape_set_types(k, e->u.binary.lhs);
        tsm_shape_set_types(k, e->u.binary.rhs);
        break;
    case TSM_EXPR_PAREN:
        tsm_shape_set_types(k, e->u.paren);
        break;
    case TSM_EXPR_CALL:
        for (size_t i = 0; i < e->u.call.nargs; i++)
            tsm_shape_set_types(k, e->u.call.args[i]);
        break;
    case TSM_EXPR_VAR:
        if (e->u.var.type == TSM_DATA_UNKNOWN || e->u.var.type == TSM_DATA_ANY_FIELD) {
            enum tsm_data_type t = tsm_plan_type(k->p, e->u.var.name);
            if (t != TSM_DATA_TAG || e->u.var.type != TSM_DATA_ANY_FIELD)
                e->u.var.type = t;
        }
        break;
    default:
        break;
    }
}

static bool is_number(enum tsm_data_type t)
{
    return t == TSM_DATA_FLOAT || t == TSM_DATA_INTEGER || t == TSM_DATA_UNSIGNED;
}

bool tsm_shape_is_field(enum tsm_data_type t)
{
    return is_number(t) || t == TSM_DATA_STRING || t == TSM_DATA_BOOLEAN;
}

/* The type of x op y by influxql's evaluator; unknown when there is no result. */
static enum tsm_data_type result_type(enum tsm_token op, enum tsm_data_type x, enum tsm_data_type y)
{
    bool bits = op == TSM_TOK_BITWISE_AND || op == TSM_TOK_BITWISE_OR || op == TSM_TOK_BITWISE_XOR;
    bool compares = op == TSM_TOK_EQ || op == TSM_TOK_NEQ || op == TSM_TOK_LT || op == TSM_TOK_LTE ||
                    op == TSM_TOK_GT || op == TSM_TOK_GTE;
    if (compares)
        return TSM_DATA_BOOLEAN;
    if (x == TSM_DATA_BOOLEAN && y == TSM_DATA_BOOLEAN)
        return bits || op == TSM_TOK_AND || op == TSM_TOK_OR ? TSM_DATA_BOOLEAN : TSM_DATA_UNKNOWN;
    if (!is_number(x) || !is_number(y) || op < TSM_TOK_ADD || op > TSM_TOK_BITWISE_XOR)
        return TSM_DATA_UNKNOWN;
    if (x == TSM_DATA_FLOAT || y == TSM_DATA_FLOAT)
        return bits ? TSM_DATA_UNKNOWN : TSM_DATA_FLOAT;
    return x == y ? x : TSM_DATA_UNSIGNED;
}

static int type_error(struct tsm_shaper *k, const struct tsm_expr *e, const char *fmt, const char *x,
                      const char *y)
{
    struct tsm_buf text = {0}, why = {0};
    tsm_expr_print(&text, e);
    tsm_buf_printf(&why, fmt, x, y);
    int code = tsm_err_set(k->err, TSM_EQUERY, "type error: %s: %s", tsm_buf_cstr(&text), tsm_buf_cstr(&why));
    tsm_buf_release(&text);
    tsm_buf_release(&why);
    return code;
}

static bool is_literal_number(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_INTEGER || e->kind == TSM_EXPR_UNSIGNED;
}

/*
 * influxd asks its aggregates first, which say of any function that they do not know that it gives what its first argument
 * is: only where that is not known, mathematical functions are looked at.
 */
static int find_type(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type);

static int check_call(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    enum tsm_data_type first = TSM_DATA_UNKNOWN, second = TSM_DATA_UNKNOWN, t;
    for (size_t i = 0; i < e->u.call.nargs; i++) {
        int code = find_type(k, e->u.call.args[i], &t);
        if (code)
            return code;
        first = i == 0 ? t : first;
        second = i == 1 ? t : second;
    }
    enum tsm_function fn = tsm_function_find(e->u.call.name);
    const struct tsm_function_row *row = fn == TSM_FUNCTIONS ? NULL : tsm_function_row(fn);
    *type = first;
    if (!row)
        return TSM_OK;
    if (row->result != TSM_RESULT_SAME)
        *type = row->result == TSM_RESULT_FLOAT ? TSM_DATA_FLOAT : TSM_DATA_INTEGER;
    if (row->kind != TSM_KIND_MATH || first != TSM_DATA_UNKNOWN)
        return TSM_OK;
    if (fn == TSM_FN_ABS || fn == TSM_FN_FLOOR || fn == TSM_FN_CEIL || fn == TSM_FN_ROUND)
        return TSM_OK;
    if ((fn == TSM_FN_ATAN2 || fn == TSM_FN_POW) && !is_number(second) && second != TSM_DATA_UNKNOWN)
        return tsm_err_set(k->err, TSM_EQUERY, "invalid argument type for the second argument in %s(): %s",
                           row->name, tsm_data_type_name(second));
    *type = TSM_DATA_FLOAT;
    return TSM_OK;
}

static int check_binary(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    enum tsm_data_type x, y;
    int code = find_type(k, e->u.binary.lhs, &x);
    if (!code)
        code = find_type(k, e->u.binary.rhs, &y);
    if (code)
        return code;
    const char *op = tsm_token_text(e->u.binary.op);
    if ((x == TSM_DATA_UNSIGNED && y == TSM_DATA_INTEGER) ||
        (x == TSM_DATA_INTEGER && y == TSM_DATA_UNSIGNED)) {
        const struct tsm_expr *u = x == TSM_DATA_UNSIGNED ? e->u.binary.lhs : e->u.binary.rhs;
        const struct tsm_expr *i = x == TSM_DATA_UNSIGNED ? e->u.binary.rhs : e->u.binary.lhs;
        if (is_literal_number(u))
            return type_error(k, e, "cannot use %s with an integer and unsigned literal%s", op, "");
        if (!is_literal_number(i))
            return type_error(k, e,
                              "cannot use %s between an integer and unsigned, an explicit cast is required%s",
                              op, "");
    }
    if (x == TSM_DATA_UNKNOWN || y == TSM_DATA_UNKNOWN) {
        *type = x == TSM_DATA_UNKNOWN ? y : x;
        return TSM_OK;
    }
    *type = result_type(e->u.binary.op, x, y);
    if (*type == TSM_DATA_UNKNOWN)
        return type_error(k, e, "incompatible types: %s and %s", tsm_data_type_name(x),
                          tsm_data_type_name(y));
    return TSM_OK;
}

static int find_type(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    switch (e->kind) {
    case TSM_EXPR_VAR:
        *type = e->u.var.type == TSM_DATA_ANY_FIELD ? TSM_DATA_UNKNOWN : e->u.var.type;
        return TSM_OK;
    case TSM_EXPR_CALL:
        return check_call(k, e, type);
    case TSM_EXPR_BINARY:
        return check_binary(k, e, type);
    case TSM_EXPR_PAREN:
        return find_type(k, e->u.paren, type);
    case TSM_EXPR_NUMBER:
        *type = TSM_DATA_FLOAT;
        return TSM_OK;
    case TSM_EXPR_INTEGER:
        *type = TSM_DATA_INTEGER;
        return TSM_OK;
    case TSM_EXPR_UNSIGNED:
        *type = TSM_DATA_UNSIGNED;
        return TSM_OK;
    case TSM_EXPR_STRING:
        *type = TSM_DATA_STRING;
        return TSM_OK;
    case TSM_EXPR_BOOLEAN:
        *type = TSM_DATA_BOOLEAN;
        return TSM_OK;
    default:
        *type = TSM_DATA_UNKNOWN;
        return TSM_OK;
    }
}

int tsm_shape_check_type(struct tsm_shaper *k, const struct tsm_expr *e, enum tsm_data_type *type)
{
    int code = find_type(k, e, type);
    if (code && k->inner) {
        *type = TSM_DATA_UNKNOWN;
        code = TSM_OK;
    }
    return code;
}
