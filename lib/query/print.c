/* query/print.c: the tree as InfluxQL text, as influxql's String() methods write it. */
#include "base/num.h"
#include "base/time.h"
#include "query/ast.h"

#include "base/banned.h"

static void quote(struct tsm_buf *out, struct tsm_str s, char mark)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\n')
            tsm_buf_puts(out, "\\n");
        else if (c == '\\' || c == mark)
            tsm_buf_printf(out, "\\%c", c);
        else
            tsm_buf_byte(out, (uint8_t)c);
    }
}

void tsm_quote_string(struct tsm_buf *out, struct tsm_str s)
{
    tsm_buf_byte(out, '\'');
    quote(out, s, '\'');
    tsm_buf_byte(out, '\'');
}

static bool is_ident(struct tsm_str s)
{
    if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9') || tsm_token_lookup(s) != TSM_TOK_IDENT)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], lower = (char)(c | 0x20);
        if (c != '_' && !(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

void tsm_quote_ident(struct tsm_buf *out, struct tsm_str s)
{
    bool plain = is_ident(s);
    if (!plain)
        tsm_buf_byte(out, '"');
    quote(out, s, '"');
    if (!plain)
        tsm_buf_byte(out, '"');
}

static void print_regex(struct tsm_buf *out, struct tsm_str s)
{
    tsm_buf_byte(out, '/');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/')
            tsm_buf_byte(out, '\\');
        tsm_buf_byte(out, (uint8_t)s.p[i]);
    }
    tsm_buf_byte(out, '/');
}

static void print_list(struct tsm_buf *out, const struct tsm_expr *e)
{
    tsm_buf_byte(out, '(');
    for (size_t i = 0; i < e->u.list.n; i++) {
        if (i)
            tsm_buf_puts(out, ", ");
        tsm_quote_ident(out, e->u.list.items[i]);
    }
    tsm_buf_byte(out, ')');
}

static void print_call(struct tsm_buf *out, const struct tsm_expr *e)
{
    tsm_buf_str(out, e->u.call.name);
    tsm_buf_byte(out, '(');
    for (size_t i = 0; i < e->u.call.nargs; i++) {
        if (i)
            tsm_buf_puts(out, ", ");
        tsm_expr_print(out, e->u.call.args[i]);
    }
    tsm_buf_byte(out, ')');
}

static void print_literal(struct tsm_buf *out, const struct tsm_expr *e)
{
    char text[TSM_NUM_MAX];
    switch (e->kind) {
    case TSM_EXPR_STRING:
        tsm_quote_string(out, e->u.string);
        break;
    case TSM_EXPR_INTEGER:
        tsm_buf_add(out, text, tsm_format_int(text, e->u.integer));
        break;
    case TSM_EXPR_UNSIGNED:
        tsm_buf_add(out, text, tsm_format_uint(text, e->u.uinteger));
        break;
    case TSM_EXPR_NUMBER:
        tsm_buf_printf(out, "%.3f", e->u.number);
        break;
    case TSM_EXPR_BOOLEAN:
        tsm_buf_puts(out, e->u.boolean ? "true" : "false");
        break;
    case TSM_EXPR_DURATION:
        tsm_buf_add(out, text, tsm_format_duration_influxql(text, e->u.integer));
        break;
    case TSM_EXPR_TIME:
        tsm_buf_byte(out, '\'');
        tsm_buf_add(out, text, tsm_format_rfc3339(text, e->u.integer));
        tsm_buf_byte(out, '\'');
        break;
    default:
        tsm_buf_puts(out, "nil");
        break;
    }
}

void tsm_expr_print(struct tsm_buf *out, const struct tsm_expr *e)
{
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        tsm_expr_print(out, e->u.binary.lhs);
        tsm_buf_printf(out, " %s ", tsm_token_text(e->u.binary.op));
        tsm_expr_print(out, e->u.binary.rhs);
        break;
    case TSM_EXPR_PAREN:
        tsm_buf_byte(out, '(');
        tsm_expr_print(out, e->u.paren);
        tsm_buf_byte(out, ')');
        break;
    case TSM_EXPR_CALL:
        print_call(out, e);
        break;
    case TSM_EXPR_VAR:
        tsm_quote_ident(out, e->u.var.name);
        if (e->u.var.type != TSM_DATA_UNKNOWN)
            tsm_buf_printf(out, "::%s", tsm_data_type_name(e->u.var.type));
        break;
    case TSM_EXPR_WILDCARD:
        tsm_buf_byte(out, '*');
        if (e->u.wildcard != TSM_DATA_UNKNOWN)
            tsm_buf_printf(out, "::%s", tsm_data_type_name(e->u.wildcard));
        break;
    case TSM_EXPR_REGEX:
        print_regex(out, e->u.regex.text);
        break;
    case TSM_EXPR_DISTINCT:
        tsm_buf_puts(out, "DISTINCT ");
        tsm_buf_str(out, e->u.string);
        break;
    case TSM_EXPR_LIST:
        print_list(out, e);
        break;
    default:
        print_literal(out, e);
        break;
    }
}

void tsm_source_print(struct tsm_buf *out, const struct tsm_source *s)
{
    if (s->subquery) {
        tsm_buf_byte(out, '(');
        tsm_select_print(out, s->subquery);
        tsm_buf_byte(out, ')');
        return;
    }
    if (s->database.n) {
        tsm_quote_ident(out, s->database);
        tsm_buf_byte(out, '.');
    }
    if (s->rp.n)
        tsm_quote_ident(out, s->rp);
    if (s->database.n || s->rp.n)
        tsm_buf_byte(out, '.');
    if (s->name.n)
        tsm_quote_ident(out, s->name);
    else if (s->regex)
        tsm_expr_print(out, s->regex);
}

static void print_fill(struct tsm_buf *out, const struct tsm_select *s)
{
    char text[TSM_NUM_MAX];
    switch (s->fill) {
    case TSM_FILL_NULL:
        break;
    case TSM_FILL_NONE:
        tsm_buf_puts(out, " fill(none)");
        break;
    case TSM_FILL_PREVIOUS:
        tsm_buf_puts(out, " fill(previous)");
        break;
    case TSM_FILL_LINEAR:
        tsm_buf_puts(out, " fill(linear)");
        break;
    case TSM_FILL_NUMBER:
        tsm_buf_puts(out, " fill(");
        if (s->fill_value->kind == TSM_EXPR_NUMBER)
            tsm_buf_add(out, text, tsm_format_float_g(text, s->fill_value->u.number));
        else
            tsm_buf_add(out, text, tsm_format_int(text, s->fill_value->u.integer));
        tsm_buf_byte(out, ')');
        break;
    }
}

static void print_number(struct tsm_buf *out, const char *clause, int64_t n)
{
    if (n > 0)
        tsm_buf_printf(out, " %s %lld", clause, (long long)n);
}

static void print_fields(struct tsm_buf *out, const struct tsm_select *s)
{
    for (size_t i = 0; i < s->nfields; i++) {
        if (i)
            tsm_buf_puts(out, ", ");
        tsm_expr_print(out, s->fields[i].expr);
        if (s->fields[i].alias.n) {
            tsm_buf_puts(out, " AS ");
            tsm_quote_ident(out, s->fields[i].alias);
        }
    }
}

void tsm_select_print(struct tsm_buf *out, const struct tsm_select *s)
{
    tsm_buf_puts(out, "SELECT ");
    print_fields(out, s);
    if (s->target) {
        tsm_buf_puts(out, " INTO ");
        tsm_source_print(out, s->target);
        if (s->target->name.n == 0)
            tsm_buf_puts(out, ":MEASUREMENT");
    }
    for (size_t i = 0; i < s->nsources; i++) {
        tsm_buf_puts(out, i ? ", " : " FROM ");
        tsm_source_print(out, &s->sources[i]);
    }
    if (s->condition) {
        tsm_buf_puts(out, " WHERE ");
        tsm_expr_print(out, s->condition);
    }
    for (size_t i = 0; i < s->ndimensions; i++) {
        tsm_buf_puts(out, i ? ", " : " GROUP BY ");
        tsm_expr_print(out, s->dimensions[i]);
    }
    print_fill(out, s);
    if (s->ordered)
        tsm_buf_printf(out, " ORDER BY %s%s", s->order_named ? "time " : "", s->descending ? "DESC" : "ASC");
    print_number(out, "LIMIT", s->limit);
    print_number(out, "OFFSET", s->offset);
    print_number(out, "SLIMIT", s->slimit);
    print_number(out, "SOFFSET", s->soffset);
    if (s->zone.n) {
        tsm_buf_puts(out, " TZ('");
        tsm_buf_str(out, s->zone);
        tsm_buf_puts(out, "')");
    }
}

/* ---- names of columns ------------------------------------------------------------------------- */

static bool add_name(void *ctx, const struct tsm_expr *e)
{
    struct tsm_buf *out = ctx;
    bool call = e->kind == TSM_EXPR_CALL;
    if (!call && e->kind != TSM_EXPR_VAR)
        return true;
    if (out->len)
        tsm_buf_byte(out, '_');
    tsm_buf_str(out, call ? e->u.call.name : e->u.var.name);
    return false;
}

struct tsm_str tsm_field_name(struct tsm_arena *a, const struct tsm_select_field *f)
{
    if (f->alias.n)
        return f->alias;
    const struct tsm_expr *e = tsm_expr_bare(f->expr);
    if (e->kind == TSM_EXPR_CALL)
        return e->u.call.name;
    if (e->kind == TSM_EXPR_VAR)
        return e->u.var.name;
    if (e->kind != TSM_EXPR_BINARY)
        return tsm_str("", 0);
    struct tsm_buf out = {0};
    tsm_expr_walk(e, add_name, &out);
    struct tsm_str name = tsm_arena_str(a, tsm_buf_view(&out));
    tsm_buf_release(&out);
    return name;
}
