/* query/tag_filter.c: conditions on measurements, tags and tag keys. */
#include "query/tag_filter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "query/plan_tags.h"

#include "base/banned.h"

static bool is_name(struct tsm_str s, const char *name)
{
    return tsm_str_eq(s, tsm_str_of(name));
}

static bool is_system_name(struct tsm_str s)
{
    static const char *const names[] = {"_fieldKeys", "_measurements", "_name", "_series",
                                        "_tagKey",    "_tagKeys",      "_tags"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_name(s, names[i]))
            return true;
    return false;
}

static bool is_equality(enum tsm_token op)
{
    return op == TSM_TOK_EQ || op == TSM_TOK_NEQ || op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX;
}

static bool is_regex_op(enum tsm_token op)
{
    return op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX;
}

static bool is_negated(enum tsm_token op)
{
    return op == TSM_TOK_NEQ || op == TSM_TOK_NEQREGEX;
}

/* Does text satisfy the right side of a comparison, negation aside? */
static int matches(const struct tsm_expr *value, struct tsm_str text, struct tsm_err *err)
{
    if (value->kind == TSM_EXPR_REGEX)
        return tsm_regex_match(value->u.regex.re, text, err);
    return tsm_str_eq(value->u.string, text);
}

/* influxd puts what it cannot use into its message as Go writes the node. */
static int unusable(const struct tsm_expr *e, struct tsm_err *err)
{
    char number[TSM_NUM_MAX];
    int n;
    switch (e->kind) {
    case TSM_EXPR_BOOLEAN:
        return tsm_err_set(err, TSM_EQUERY, "&influxql.BooleanLiteral{Val:%s}",
                           e->u.boolean ? "true" : "false");
    case TSM_EXPR_VAR:
        return tsm_err_set(err, TSM_EQUERY, "&influxql.VarRef{Val:\"%.*s\", Type:%d}", (int)e->u.var.name.n,
                           e->u.var.name.p, (int)e->u.var.type);
    case TSM_EXPR_STRING:
        return tsm_err_set(err, TSM_EQUERY, "&influxql.StringLiteral{Val:\"%.*s\"}", (int)e->u.string.n,
                           e->u.string.p);
    case TSM_EXPR_INTEGER:
        n = (int)tsm_format_int(number, e->u.integer);
        return tsm_err_set(err, TSM_EQUERY, "&influxql.IntegerLiteral{Val:%.*s}", n, number);
    case TSM_EXPR_NUMBER:
        n = (int)tsm_format_float_g(number, e->u.number);
        return tsm_err_set(err, TSM_EQUERY, "&influxql.NumberLiteral{Val:%.*s}", n, number);
    default:
        return tsm_err_set(err, TSM_EQUERY, "invalid tag comparison");
    }
}

/* The variable on the left and a fitting literal on the right. */
static int check_comparison(const struct tsm_expr *e, struct tsm_err *err)
{
    const char *op = tsm_token_text(e->u.binary.op);
    if (e->u.binary.lhs->kind != TSM_EXPR_VAR)
        return tsm_err_set(err, TSM_EQUERY, "left side of '%s' must be a tag key", op);
    if (is_regex_op(e->u.binary.op) && e->u.binary.rhs->kind != TSM_EXPR_REGEX)
        return tsm_err_set(err, TSM_EQUERY, "right side of '%s' must be a regular expression", op);
    if (!is_regex_op(e->u.binary.op) && e->u.binary.rhs->kind != TSM_EXPR_STRING)
        return tsm_err_set(err, TSM_EQUERY, "right side of '%s' must be a tag value string", op);
    return TSM_OK;
}

/* ---- measurements ----------------------------------------------------------------------------- */

/* A measurement without the tag is never meant, not even by !=. */
static int measurement_by_tag(const struct tsm_expr *e, const struct tsm_listed_measurement *m,
                              struct tsm_err *err)
{
    struct tsm_str key = e->u.binary.lhs->u.var.name, last = {0};
    struct tsm_tag_list tags = {0};
    struct tsm_arena a = {0};
    bool has_key = false;
    int rc = 0;
    for (size_t i = 0; i < m->nseries && rc == 0; i++) {
        rc = tsm_tag_list_parse(&tags, m->series[i], &a, err);
        for (size_t k = 0; k < tags.n && rc == 0; k++) {
            if (!tsm_str_eq(tags.items[k].key, key) || (has_key && tsm_str_eq(tags.items[k].value, last)))
                continue;
            has_key = true;
            last = tags.items[k].value;
            rc = matches(e->u.binary.rhs, last, err);
        }
    }
    tsm_tag_list_release(&tags);
    tsm_arena_release(&a);
    return rc < 0 ? rc : has_key && (rc > 0) != is_negated(e->u.binary.op);
}

static int measurement_by_comparison(const struct tsm_expr *e, const struct tsm_listed_measurement *m,
                                     struct tsm_err *err)
{
    int rc = check_comparison(e, err);
    if (rc != TSM_OK || !m)
        return rc;
    struct tsm_str key = e->u.binary.lhs->u.var.name;
    if (is_name(key, "_name")) {
        rc = matches(e->u.binary.rhs, m->name, err);
        return rc < 0 ? rc : (rc > 0) != is_negated(e->u.binary.op);
    }
    return is_system_name(key) ? 0 : measurement_by_tag(e, m, err);
}

int tsm_filter_measurement(const struct tsm_expr *e, const struct tsm_listed_measurement *m,
                           struct tsm_err *err)
{
    if (!e)
        return 1;
    if (e->kind == TSM_EXPR_PAREN)
        return tsm_filter_measurement(e->u.paren, m, err);
    if (e->kind != TSM_EXPR_BINARY)
        return unusable(e, err);
    enum tsm_token op = e->u.binary.op;
    if (is_equality(op))
        return measurement_by_comparison(e, m, err);
    if (op != TSM_TOK_AND && op != TSM_TOK_OR)
        return tsm_err_set(err, TSM_EQUERY, "invalid tag comparison operator");
    int lhs = tsm_filter_measurement(e->u.binary.lhs, m, err);
    if (lhs < 0)
        return lhs;
    int rhs = tsm_filter_measurement(e->u.binary.rhs, m, err);
    if (rhs < 0)
        return rhs;
    return op == TSM_TOK_AND ? lhs && rhs : lhs || rhs;
}

/* ---- series ----------------------------------------------------------------------------------- */

static struct tsm_str tag_value(const struct tsm_listed_series *s, struct tsm_str key)
{
    for (uint32_t i = 0; i < s->ntags; i++)
        if (tsm_str_eq(s->tags[i].key, key))
            return s->tags[i].value;
    return tsm_str("", 0);
}

/* What a condition is asked of. */
struct asked {
    struct tsm_str measurement;
    const struct tsm_listed_series *series;
    const struct tsm_filter_fields *fields; /* NULL: SHOW SERIES asks */
};

/* Names that are said to be fields, or known to be some; for SHOW also the parts of a series that are not tags. */
static bool is_field(const struct tsm_expr *var, const struct tsm_filter_fields *fields)
{
    struct tsm_str name = var->u.var.name;
    if (var->u.var.type != TSM_DATA_UNKNOWN)
        return var->u.var.type != TSM_DATA_TAG;
    if (fields)
        return fields->is_field(fields->ctx, name);
    return is_name(name, "_tagKey") || is_name(name, "_tagValue") || is_name(name, "_seriesKey");
}

/* The sides of a comparison that the tags of a series decide; false when only the values of rows can. */
static bool find_tag(const struct tsm_expr *e, const struct tsm_filter_fields *fields,
                     const struct tsm_expr **key, const struct tsm_expr **value)
{
    *key = e->u.binary.lhs;
    *value = e->u.binary.rhs;
    if ((*key)->kind == TSM_EXPR_BINARY || (*value)->kind == TSM_EXPR_BINARY)
        return false;
    if ((*key)->kind != TSM_EXPR_VAR) {
        *key = e->u.binary.rhs;
        *value = e->u.binary.lhs;
    }
    if ((*key)->kind != TSM_EXPR_VAR)
        return false;
    if (!is_name((*key)->u.var.name, "_name") && is_field(*key, fields))
        return false;
    if ((*value)->kind == TSM_EXPR_VAR)
        return is_name((*value)->u.var.name, "_name") || !is_field(*value, fields);
    return (*value)->kind == TSM_EXPR_STRING || (*value)->kind == TSM_EXPR_REGEX;
}

/* A comparison with a field, or one that only the values can decide, holds for every series. */
static int series_by_comparison(const struct tsm_expr *e, const struct asked *a, bool *rows,
                                struct tsm_err *err)
{
    const struct tsm_expr *key, *value;
    enum tsm_token op = e->u.binary.op;
    *rows = !find_tag(e, a->fields, &key, &value);
    if (*rows)
        return 1;
    struct tsm_str name = key->u.var.name;
    if (value->kind == TSM_EXPR_VAR) {
        bool first = tag_value(a->series, name).n > 0;
        bool second = tag_value(a->series, value->u.var.name).n > 0;
        return first && (op == TSM_TOK_EQ ? second : !second);
    }
    bool is_measurement = is_name(name, "_name");
    int rc = matches(value, is_measurement ? a->measurement : tag_value(a->series, name), err);
    if (rc < 0)
        return rc;
    if (!a->fields || is_equality(op))
        return (rc > 0) != is_negated(op);
    return rc == 0 && !is_measurement; /* influxd takes < and > for != */
}

static int ask_series(const struct tsm_expr *e, const struct asked *a, bool *rows, struct tsm_err *err)
{
    *rows = false;
    if (!e)
        return 1;
    if (e->kind == TSM_EXPR_PAREN)
        return ask_series(e->u.paren, a, rows, err);
    if (e->kind == TSM_EXPR_BOOLEAN)
        return e->u.boolean;
    if (e->kind != TSM_EXPR_BINARY)
        return 0;
    enum tsm_token op = e->u.binary.op;
    if (op != TSM_TOK_AND && op != TSM_TOK_OR)
        return series_by_comparison(e, a, rows, err);
    bool left, right;
    int lhs = ask_series(e->u.binary.lhs, a, &left, err);
    if (lhs < 0 || (op == TSM_TOK_AND && lhs == 0) || (op == TSM_TOK_OR && lhs > 0 && !left))
        return lhs;
    int rhs = ask_series(e->u.binary.rhs, a, &right, err);
    if (rhs < 0 || (op == TSM_TOK_AND && rhs == 0))
        return rhs;
    if (op == TSM_TOK_AND)
        *rows = left || right;
    else
        *rows = lhs && rhs ? left && right : lhs ? left : right;
    return lhs || rhs;
}

int tsm_filter_series(const struct tsm_expr *e, struct tsm_str measurement, const struct tsm_listed_series *s,
                      struct tsm_err *err)
{
    bool rows;
    struct asked a = {measurement, s, NULL};
    return ask_series(e, &a, &rows, err);
}

int tsm_filter_delete(const struct tsm_expr *e, struct tsm_str measurement, const struct tsm_listed_series *s,
                      const struct tsm_filter_fields *fields, bool *rows, struct tsm_err *err)
{
    struct asked a = {measurement, s, fields};
    return ask_series(e, &a, rows, err);
}

bool tsm_filter_asks_rows(const struct tsm_expr *e, const struct tsm_filter_fields *fields)
{
    const struct tsm_expr *key, *value;
    if (!e)
        return false;
    if (e->kind == TSM_EXPR_PAREN)
        return tsm_filter_asks_rows(e->u.paren, fields);
    if (e->kind != TSM_EXPR_BINARY)
        return false;
    if (e->u.binary.op == TSM_TOK_AND || e->u.binary.op == TSM_TOK_OR)
        return tsm_filter_asks_rows(e->u.binary.lhs, fields) || tsm_filter_asks_rows(e->u.binary.rhs, fields);
    return !find_tag(e, fields, &key, &value);
}

/* ---- tag keys --------------------------------------------------------------------------------- */

/* A condition that says nothing about tag keys is neutral in AND and OR alike. */
enum { NEUTRAL = 2 };

static int tag_keys_by_comparison(const struct tsm_expr *e, const struct tsm_listed_measurement *m,
                                  uint8_t *wanted, struct tsm_err *err)
{
    const struct tsm_expr *lhs = e->u.binary.lhs;
    if (lhs->kind == TSM_EXPR_VAR && !is_name(lhs->u.var.name, "_tagKey"))
        return NEUTRAL;
    int rc = check_comparison(e, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < m->ntag_keys; i++) {
        rc = matches(e->u.binary.rhs, m->tag_keys[i], err);
        if (rc < 0)
            return rc;
        wanted[i] = (rc > 0) != is_negated(e->u.binary.op);
    }
    return TSM_OK;
}

/* TSM_OK with wanted filled, NEUTRAL, or an error. */
static int tag_keys(const struct tsm_expr *e, const struct tsm_listed_measurement *m, uint8_t *wanted,
                    struct tsm_err *err)
{
    if (e->kind == TSM_EXPR_PAREN)
        return tag_keys(e->u.paren, m, wanted, err);
    if (e->kind != TSM_EXPR_BINARY)
        return unusable(e, err);
    enum tsm_token op = e->u.binary.op;
    if (is_equality(op))
        return tag_keys_by_comparison(e, m, wanted, err);
    if (op != TSM_TOK_AND && op != TSM_TOK_OR)
        return tsm_err_set(err, TSM_EQUERY, "invalid operator");
    int lhs = tag_keys(e->u.binary.lhs, m, wanted, err);
    if (lhs < 0)
        return lhs;
    uint8_t *other = tsm_calloc(m->ntag_keys, 1);
    int rhs = tag_keys(e->u.binary.rhs, m, other, err);
    for (size_t i = 0; i < m->ntag_keys && rhs == TSM_OK; i++)
        wanted[i] = lhs == NEUTRAL      ? other[i]
                    : op == TSM_TOK_AND ? wanted[i] & other[i]
                                        : wanted[i] | other[i];
    tsm_free(other);
    return rhs < 0 ? rhs : lhs == NEUTRAL ? rhs : TSM_OK;
}

int tsm_filter_tag_keys(const struct tsm_expr *e, const struct tsm_listed_measurement *m, uint8_t *wanted,
                        struct tsm_err *err)
{
    memset(wanted, e ? 0 : 1, m->ntag_keys);
    int rc = e ? tag_keys(e, m, wanted, err) : TSM_OK;
    if (rc == NEUTRAL)
        memset(wanted, 0, m->ntag_keys);
    return rc < 0 ? rc : TSM_OK;
}

/* ---- parts of a condition --------------------------------------------------------------------- */

static struct tsm_expr *keep(struct tsm_arena *a, const struct tsm_expr *e,
                             bool (*wanted)(const struct tsm_expr *lhs))
{
    if (!e)
        return NULL;
    struct tsm_expr *copy = tsm_arena_alloc(a, sizeof *copy);
    *copy = *e;
    if (e->kind == TSM_EXPR_PAREN) {
        copy->u.paren = keep(a, e->u.paren, wanted);
        return copy->u.paren ? copy : NULL;
    }
    if (e->kind != TSM_EXPR_BINARY)
        return copy;
    if (is_equality(e->u.binary.op))
        return wanted(e->u.binary.lhs) ? copy : NULL;
    copy->u.binary.lhs = keep(a, e->u.binary.lhs, wanted);
    copy->u.binary.rhs = keep(a, e->u.binary.rhs, wanted);
    if (copy->u.binary.lhs && copy->u.binary.rhs)
        return copy;
    return copy->u.binary.lhs ? copy->u.binary.lhs : copy->u.binary.rhs;
}

static bool wants_name(const struct tsm_expr *lhs)
{
    return lhs->kind == TSM_EXPR_VAR && is_name(lhs->u.var.name, "_name");
}

static bool wants_tag(const struct tsm_expr *lhs)
{
    return lhs->kind == TSM_EXPR_VAR && !is_system_name(lhs->u.var.name);
}

struct tsm_expr *tsm_filter_only_names(struct tsm_arena *a, const struct tsm_expr *e)
{
    return keep(a, e, wants_name);
}

struct tsm_expr *tsm_filter_only_tags(struct tsm_arena *a, const struct tsm_expr *e)
{
    return keep(a, e, wants_tag);
}

static bool find_other_operator(void *ctx, const struct tsm_expr *e)
{
    if (e->kind == TSM_EXPR_BINARY && !is_equality(e->u.binary.op) && e->u.binary.op != TSM_TOK_AND &&
        e->u.binary.op != TSM_TOK_OR)
        *(bool *)ctx = true;
    return true;
}

int tsm_filter_check_operators(const struct tsm_expr *e, struct tsm_err *err)
{
    bool found = false;
    tsm_expr_walk(e, find_other_operator, &found);
    return found ? tsm_err_set(err, TSM_EQUERY, "invalid tag comparison operator") : TSM_OK;
}
