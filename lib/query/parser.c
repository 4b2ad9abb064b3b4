/* query/parser.c: tokens, small pieces and expressions; parser_select.c and parser_statement.c hold the
 * statements. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/time.h"
#include "query/parser_impl.h"

#include "base/banned.h"

/* ---- tokens and errors ------------------------------------------------------------------------ */

/* A parameter that has a value is the token of that value. */
static struct tsm_lexeme substitute(struct tsm_parser *p, struct tsm_lexeme l)
{
    if (l.tok != TSM_TOK_BOUNDPARAM || l.lit.n < 2)
        return l;
    const struct tsm_binding *b = tsm_binding_find(p->bindings, tsm_str(l.lit.p + 1, l.lit.n - 1));
    if (b) {
        l.tok = b->tok;
        l.lit = b->value;
    }
    return l;
}

struct tsm_lexeme tsm_parser_scan(struct tsm_parser *p)
{
    return substitute(p, tsm_lexer_scan(&p->lexer));
}

struct tsm_lexeme tsm_parser_next(struct tsm_parser *p)
{
    struct tsm_lexeme l;
    do
        l = tsm_parser_scan(p);
    while (l.tok == TSM_TOK_WS || l.tok == TSM_TOK_COMMENT);
    return l;
}

void tsm_parser_back(struct tsm_parser *p)
{
    tsm_lexer_back(&p->lexer);
}

void tsm_parser_skip_space(struct tsm_parser *p)
{
    if (tsm_parser_scan(p).tok != TSM_TOK_WS)
        tsm_parser_back(p);
}

bool tsm_parser_accept(struct tsm_parser *p, enum tsm_token tok)
{
    if (tsm_parser_next(p).tok == tok)
        return true;
    tsm_parser_back(p);
    return false;
}

int tsm_parser_expected(struct tsm_parser *p, struct tsm_lexeme found, const char *expected)
{
    struct tsm_str text = found.lit.n ? found.lit : tsm_str_of(tsm_token_text(found.tok));
    return tsm_err_set(p->err, TSM_EPARSE, "found %.*s, expected %s at line %d, char %d",
                       text.n < 700 ? (int)text.n : 700, text.p, expected, found.pos.line + 1,
                       found.pos.chr + 1);
}

int tsm_parser_error_at(struct tsm_parser *p, struct tsm_pos pos, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return tsm_err_set(p->err, TSM_EPARSE, "%s at line %d, char %d", text, pos.line + 1, pos.chr + 1);
}

int tsm_parser_error(struct tsm_parser *p, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return tsm_err_set(p->err, TSM_EPARSE, "%s", text);
}

/* ---- pieces ----------------------------------------------------------------------------------- */

int tsm_parser_require(struct tsm_parser *p, enum tsm_token tok)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    return l.tok == tok ? TSM_OK : tsm_parser_expected(p, l, tsm_token_text(tok));
}

int tsm_parser_ident(struct tsm_parser *p, struct tsm_str *name)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_IDENT)
        return tsm_parser_expected(p, l, "identifier");
    *name = l.lit;
    return TSM_OK;
}

int tsm_parser_string(struct tsm_parser *p, struct tsm_str *text)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_STRING)
        return tsm_parser_expected(p, l, "string");
    *text = l.lit;
    return TSM_OK;
}

/* influxql quotes all segments but a plain last one; an empty one only at either end. */
static int too_many_segments(struct tsm_parser *p, const struct tsm_str *segments, size_t n)
{
    struct tsm_buf b = {0}, plain = {0};
    for (size_t i = 0; i < n; i++) {
        plain.len = 0;
        tsm_quote_ident(&plain, segments[i]);
        bool quoted = plain.data[0] == '"';
        if (i)
            tsm_buf_byte(&b, '.');
        if (segments[i].n == 0 && i > 0 && i < n - 1)
            continue;
        if (!quoted && i < n - 1)
            tsm_buf_byte(&b, '"');
        tsm_buf_add(&b, plain.data, plain.len);
        if (!quoted && i < n - 1)
            tsm_buf_byte(&b, '"');
    }
    int rc = tsm_parser_error_at(p, (struct tsm_pos){0, 0}, "too many segments in %s", tsm_buf_cstr(&b));
    tsm_buf_release(&plain);
    tsm_buf_release(&b);
    return rc;
}

/* "db"."rp".name, "db"..name; ends before a regex or a ':' that follows a full stop. */
int tsm_parser_segments(struct tsm_parser *p, struct tsm_str segments[3], size_t *n)
{
    struct tsm_str all[16]; /* for the message; more than this are cut */
    size_t count = 1;
    TSM_TRY(tsm_parser_ident(p, &all[0]));
    for (;;) {
        if (tsm_parser_scan(p).tok != TSM_TOK_DOT) {
            tsm_parser_back(p);
            break;
        }
        uint32_t c = tsm_lexer_peek(&p->lexer);
        if (c == '/' || c == ':')
            break;
        struct tsm_str name = {"", 0};
        if (c != '.')
            TSM_TRY(tsm_parser_ident(p, &name));
        if (count < 16)
            all[count++] = name;
    }
    if (count > 3)
        return too_many_segments(p, all, count);
    for (size_t i = 0; i < count; i++)
        segments[i] = all[i];
    *n = count;
    return TSM_OK;
}

/* influxql.ParseDuration(): the sum wraps around, and only a negative result is noticed. */
int tsm_parser_duration_text(struct tsm_str text, int64_t *d, char message[100])
{
    uint64_t sum = 0;
    struct tsm_str number = {0}, unit = {0};
    size_t i = 0;
    snprintf(message, 100, "invalid duration");
    if (text.n < 2)
        return TSM_EPARSE;
    while (i < text.n) {
        size_t from = i;
        while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9')
            i++;
        int64_t n;
        number = tsm_str(text.p + from, i - from);
        if (i == text.n || !tsm_parse_int(number, &n))
            return TSM_EPARSE;
        size_t left = text.n - i, len = 1;
        const char *u = text.p + i;
        if (left > 1 && (u[0] == 'm' || u[0] == 'n') && u[1] == 's')
            len = 2;
        else if (left > 1 && memcmp(u, "µ", 2) == 0)
            len = 2;
        unit = tsm_str(u, len);
        int64_t scale = len == 1 && u[0] == 'u'   ? TSM_USEC
                        : len == 1 && u[0] == 'd' ? TSM_DAY
                        : len == 1 && u[0] == 'w' ? TSM_WEEK
                        : len == 1 && u[0] == 'n' ? 0
                                                  : tsm_precision_unit(unit);
        if (scale == 0)
            return TSM_EPARSE;
        sum += (uint64_t)n * (uint64_t)scale;
        i += len;
    }
    *d = (int64_t)sum;
    if (*d >= 0)
        return TSM_OK;
    int64_t n = 0;
    tsm_parse_int(number, &n);
    snprintf(message, 100, "overflowed duration %lld%.*s: choose a smaller duration or INF", (long long)n,
             (int)unit.n, unit.p);
    return TSM_EPARSE;
}

int tsm_parser_duration(struct tsm_parser *p, int64_t *d)
{
    char message[100];
    struct tsm_lexeme l = tsm_parser_next(p);
    *d = 0;
    if (l.tok == TSM_TOK_INF)
        return TSM_OK;
    if (l.tok != TSM_TOK_DURATIONVAL)
        return tsm_parser_expected(p, l, "duration");
    if (tsm_parser_duration_text(l.lit, d, message) != TSM_OK)
        return tsm_parser_error_at(p, l.pos, "%s", message);
    return TSM_OK;
}

int tsm_parser_integer(struct tsm_parser *p, int64_t min, int64_t max, int64_t *n)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_INTEGER)
        return tsm_parser_expected(p, l, "integer");
    if (!tsm_parse_int(l.lit, n))
        return tsm_parser_error_at(p, l.pos, "strconv.Atoi: parsing \"%.*s\": value out of range",
                                   l.lit.n < 500 ? (int)l.lit.n : 500, l.lit.p);
    if (*n < min || *n > max)
        return tsm_parser_error_at(p, l.pos, "invalid value %lld: must be %lld <= n <= %lld", (long long)*n,
                                   (long long)min, (long long)max);
    return TSM_OK;
}

int tsm_parser_unsigned(struct tsm_parser *p, uint64_t *n)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_INTEGER)
        return tsm_parser_expected(p, l, "integer");
    if (!tsm_parse_uint(l.lit, n))
        return tsm_parser_error_at(p, l.pos, "strconv.ParseUint: parsing \"%.*s\": value out of range",
                                   l.lit.n < 500 ? (int)l.lit.n : 500, l.lit.p);
    return TSM_OK;
}

int tsm_parser_optional_number(struct tsm_parser *p, enum tsm_token clause, int64_t *n)
{
    *n = 0;
    if (!tsm_parser_accept(p, clause))
        return TSM_OK;
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_INTEGER)
        return tsm_parser_expected(p, l, "integer");
    if (!tsm_parse_int(l.lit, n))
        *n = INT64_MAX;
    return TSM_OK;
}

/* ---- expressions ------------------------------------------------------------------------------ */

static int compile_regex(struct tsm_parser *p, struct tsm_lexeme l, struct tsm_expr **e)
{
    struct tsm_regex *re;
    struct tsm_err cause;
    if (tsm_regex_compile(l.lit, &re, &cause) != TSM_OK)
        return tsm_parser_error_at(p, l.pos, "%s", cause.msg);
    TSM_GROW(p->ast->regexes, p->ast->nregexes + 1, p->ast->capregexes);
    p->ast->regexes[p->ast->nregexes++] = re;
    *e = tsm_expr_new(p->arena, TSM_EXPR_REGEX);
    (*e)->pos = l.pos;
    (*e)->u.regex.text = l.lit;
    (*e)->u.regex.re = re;
    return TSM_OK;
}

int tsm_parser_regex(struct tsm_parser *p, struct tsm_expr **e)
{
    *e = NULL;
    uint32_t c = tsm_lexer_peek(&p->lexer);
    if (c == ' ' || c == '\t' || c == '\n')
        tsm_parser_skip_space(p);
    c = tsm_lexer_peek(&p->lexer);
    if (c == '$') { /* it may stand for a regex */
        struct tsm_lexeme l = tsm_parser_scan(p);
        if (l.tok == TSM_TOK_REGEX)
            return compile_regex(p, l, e);
        tsm_parser_back(p);
        return TSM_OK;
    }
    if (c != '/')
        return TSM_OK;
    struct tsm_lexeme l = tsm_lexer_scan_regex(&p->lexer);
    if (l.tok == TSM_TOK_BADREGEX)
        return tsm_parser_error_at(p, l.pos, "bad regex: ");
    if (l.tok != TSM_TOK_REGEX)
        return tsm_parser_expected(p, l, "regex");
    return compile_regex(p, l, e);
}

static int require_regex(struct tsm_parser *p, struct tsm_expr **e)
{
    TSM_TRY(tsm_parser_regex(p, e));
    return *e ? TSM_OK : tsm_parser_expected(p, tsm_parser_next(p), "regex");
}

static int var_type(struct tsm_parser *p, enum tsm_data_type *type)
{
    struct tsm_lexeme l = tsm_parser_scan(p);
    static const enum tsm_data_type types[] = {TSM_DATA_FLOAT, TSM_DATA_INTEGER, TSM_DATA_UNSIGNED,
                                               TSM_DATA_STRING, TSM_DATA_BOOLEAN};
    switch (l.tok) {
    case TSM_TOK_FIELD:
        *type = TSM_DATA_ANY_FIELD;
        return TSM_OK;
    case TSM_TOK_TAG:
        *type = TSM_DATA_TAG;
        return TSM_OK;
    case TSM_TOK_IDENT:
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            const char *name = tsm_data_type_name(types[i]);
            if (strlen(name) == l.lit.n && strncasecmp(name, l.lit.p, l.lit.n) == 0) {
                *type = types[i];
                return TSM_OK;
            }
        }
        return tsm_parser_expected(p, l, "float, integer, unsigned, string, boolean, field, tag");
    default:
        return tsm_parser_expected(p, l, "float, integer, string, boolean, field, tag");
    }
}

static int parse_var(struct tsm_parser *p, struct tsm_expr *e)
{
    struct tsm_str segments[3];
    size_t n;
    TSM_TRY(tsm_parser_segments(p, segments, &n));
    if (tsm_parser_scan(p).tok == TSM_TOK_DOUBLECOLON)
        TSM_TRY(var_type(p, &e->u.var.type));
    else
        tsm_parser_back(p);
    e->kind = TSM_EXPR_VAR;
    size_t len = n - 1;
    for (size_t i = 0; i < n; i++)
        len += segments[i].n;
    char *name = tsm_arena_bytes(p->arena, len), *w = name;
    for (size_t i = 0; i < n; i++) {
        if (i)
            *w++ = '.';
        if (segments[i].n)
            memcpy(w, segments[i].p, segments[i].n);
        w += segments[i].n;
    }
    e->u.var.name = tsm_str(name, len);
    return TSM_OK;
}

/* After the name and "(". */
static int parse_call(struct tsm_parser *p, struct tsm_str name, struct tsm_expr *e)
{
    struct tsm_expr **args = NULL;
    size_t n = 0, cap = 0;
    e->kind = TSM_EXPR_CALL;
    char *lower = tsm_arena_bytes(p->arena, name.n);
    for (size_t i = 0; i < name.n; i++)
        lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    e->u.call.name = tsm_str(lower, name.n);
    int rc;
    do {
        struct tsm_expr *arg;
        rc = tsm_parser_regex(p, &arg);
        if (rc == TSM_OK && !arg) {
            if (n == 0) {
                if (tsm_parser_scan(p).tok == TSM_TOK_RPAREN)
                    return TSM_OK;
                tsm_parser_back(p);
            }
            rc = tsm_parser_expr(p, &arg);
        }
        if (rc != TSM_OK)
            break;
        TSM_GROW(args, n + 1, cap);
        args[n++] = arg;
    } while (tsm_parser_accept(p, TSM_TOK_COMMA));
    if (rc == TSM_OK) {
        e->u.call.args = tsm_arena_alloc(p->arena, n * sizeof *args);
        memcpy(e->u.call.args, args, n * sizeof *args);
        e->u.call.nargs = n;
        struct tsm_lexeme l = tsm_parser_scan(p);
        if (l.tok != TSM_TOK_RPAREN)
            rc = tsm_parser_expected(p, l, ")");
    }
    tsm_free(args);
    return rc;
}

/* After DISTINCT. */
static int parse_distinct(struct tsm_parser *p, struct tsm_expr *e)
{
    struct tsm_lexeme l = tsm_parser_scan(p);
    if (l.tok == TSM_TOK_LPAREN)
        return parse_call(p, TSM_STR("distinct"), e);
    if (l.tok != TSM_TOK_WS)
        return tsm_parser_expected(p, l, "(, identifier");
    e->kind = TSM_EXPR_DISTINCT;
    return tsm_parser_ident(p, &e->u.string);
}

static int parse_wildcard(struct tsm_parser *p, struct tsm_expr *e)
{
    e->kind = TSM_EXPR_WILDCARD;
    if (tsm_parser_scan(p).tok != TSM_TOK_DOUBLECOLON) {
        tsm_parser_back(p);
        return TSM_OK;
    }
    struct tsm_lexeme l = tsm_parser_scan(p);
    if (l.tok != TSM_TOK_FIELD && l.tok != TSM_TOK_TAG)
        return tsm_parser_expected(p, l, "field, tag");
    e->u.wildcard = l.tok == TSM_TOK_TAG ? TSM_DATA_TAG : TSM_DATA_ANY_FIELD;
    return TSM_OK;
}

static int parse_unary(struct tsm_parser *p, struct tsm_expr **out);

/* After a sign. */
static int parse_signed(struct tsm_parser *p, bool minus, struct tsm_expr **out)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_NUMBER && l.tok != TSM_TOK_INTEGER && l.tok != TSM_TOK_DURATIONVAL &&
        l.tok != TSM_TOK_LPAREN && l.tok != TSM_TOK_IDENT)
        return tsm_parser_expected(p, l, "identifier, number, duration, (");
    tsm_parser_back(p);
    struct tsm_expr *e;
    TSM_TRY(parse_unary(p, &e));
    switch (e->kind) {
    case TSM_EXPR_NUMBER:
        e->u.number = minus ? -e->u.number : e->u.number;
        break;
    case TSM_EXPR_INTEGER:
    case TSM_EXPR_DURATION:
        e->u.integer = minus ? -e->u.integer : e->u.integer;
        break;
    case TSM_EXPR_UNSIGNED:
        if (!minus)
            break;
        if (e->u.uinteger != (uint64_t)1 << 63)
            return tsm_parser_error(p, "constant -%llu underflows int64", (unsigned long long)e->u.uinteger);
        e->kind = TSM_EXPR_INTEGER;
        e->u.integer = INT64_MIN;
        break;
    default: {
        struct tsm_expr *factor = tsm_expr_new(p->arena, TSM_EXPR_INTEGER);
        factor->pos = e->pos;
        factor->u.integer = minus ? -1 : 1;
        e = tsm_expr_binary(p->arena, TSM_TOK_MUL, factor, e);
        break;
    }
    }
    *out = e;
    return TSM_OK;
}

static int parse_paren(struct tsm_parser *p, struct tsm_expr *e)
{
    e->kind = TSM_EXPR_PAREN;
    TSM_TRY(tsm_parser_expr(p, &e->u.paren));
    return tsm_parser_require(p, TSM_TOK_RPAREN);
}

static int parse_literal(struct tsm_parser *p, struct tsm_lexeme l, struct tsm_expr *e)
{
    char message[100];
    switch (l.tok) {
    case TSM_TOK_STRING:
        e->kind = TSM_EXPR_STRING;
        e->u.string = l.lit;
        return TSM_OK;
    case TSM_TOK_NUMBER:
        e->kind = TSM_EXPR_NUMBER;
        if (!tsm_parse_float(l.lit, &e->u.number))
            return tsm_parser_error_at(p, l.pos, "unable to parse number");
        return TSM_OK;
    case TSM_TOK_INTEGER:
        e->kind = TSM_EXPR_INTEGER;
        if (tsm_parse_int(l.lit, &e->u.integer))
            return TSM_OK;
        e->kind = TSM_EXPR_UNSIGNED;
        if (tsm_parse_uint(l.lit, &e->u.uinteger))
            return TSM_OK;
        return tsm_parser_error_at(p, l.pos, "unable to parse integer");
    case TSM_TOK_TRUE:
    case TSM_TOK_FALSE:
        e->kind = TSM_EXPR_BOOLEAN;
        e->u.boolean = l.tok == TSM_TOK_TRUE;
        return TSM_OK;
    case TSM_TOK_DURATIONVAL:
        e->kind = TSM_EXPR_DURATION;
        if (tsm_parser_duration_text(l.lit, &e->u.integer, message) != TSM_OK)
            return tsm_parser_error(p, "%s", message);
        return TSM_OK;
    case TSM_TOK_REGEX: { /* the value of a parameter */
        struct tsm_expr *re;
        TSM_TRY(compile_regex(p, l, &re));
        *e = *re;
        return TSM_OK;
    }
    case TSM_TOK_BOUNDPARAM: { /* without a value, or its value is an error: influxql says the same of both */
        struct tsm_str name = l.lit.n && l.lit.p[0] == '$' ? tsm_str(l.lit.p + 1, l.lit.n - 1) : l.lit;
        if (!name.n)
            return tsm_parser_error(p, "empty bound parameter");
        return tsm_parser_error(p, "missing parameter: %.*s", name.n < 500 ? (int)name.n : 500, name.p);
    }
    default:
        return tsm_parser_expected(p, l, "identifier, string, number, bool");
    }
}

static int parse_unary(struct tsm_parser *p, struct tsm_expr **out)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok == TSM_TOK_ADD || l.tok == TSM_TOK_SUB)
        return parse_signed(p, l.tok == TSM_TOK_SUB, out);
    struct tsm_expr *e = tsm_expr_new(p->arena, TSM_EXPR_NIL);
    e->pos = l.pos;
    *out = e;
    switch (l.tok) {
    case TSM_TOK_LPAREN:
        return parse_paren(p, e);
    case TSM_TOK_IDENT:
        if (tsm_parser_scan(p).tok == TSM_TOK_LPAREN)
            return parse_call(p, l.lit, e);
        tsm_parser_back(p);
        tsm_parser_back(p);
        return parse_var(p, e);
    case TSM_TOK_DISTINCT:
        return parse_distinct(p, e);
    case TSM_TOK_MUL:
        return parse_wildcard(p, e);
    default:
        return parse_literal(p, l, e);
    }
}

/* Puts op and rhs where their precedence wants them on the right edge of the tree; operators of one
 * precedence bind to the left. */
static void attach(struct tsm_parser *p, struct tsm_expr **root, enum tsm_token op, struct tsm_expr *rhs)
{
    int precedence = tsm_token_precedence(op);
    struct tsm_expr **at = root;
    while ((*at)->kind == TSM_EXPR_BINARY && tsm_token_precedence((*at)->u.binary.op) < precedence)
        at = &(*at)->u.binary.rhs;
    *at = tsm_expr_binary(p->arena, op, *at, rhs);
}

int tsm_parser_expr(struct tsm_parser *p, struct tsm_expr **out)
{
    if (++p->depth > TSM_PARSE_DEPTH)
        return tsm_parser_error(p, "expression is nested too deeply");
    struct tsm_expr *root;
    TSM_TRY(parse_unary(p, &root));
    for (unsigned operators = 0;; operators++) {
        enum tsm_token op = tsm_parser_next(p).tok;
        if (!tsm_token_is_operator(op)) {
            tsm_parser_back(p);
            break;
        }
        if (operators == TSM_PARSE_OPERATORS)
            return tsm_parser_error(p, "expression has too many operators");
        struct tsm_expr *rhs;
        TSM_TRY(op == TSM_TOK_EQREGEX || op == TSM_TOK_NEQREGEX ? require_regex(p, &rhs)
                                                                : parse_unary(p, &rhs));
        attach(p, &root, op, rhs);
    }
    p->depth--;
    *out = root;
    return TSM_OK;
}

/* ---- entry points ----------------------------------------------------------------------------- */

static void start(struct tsm_parser *p, struct tsm_str text, struct tsm_ast *ast, struct tsm_err *err)
{
    *ast = (struct tsm_ast){0};
    *p = (struct tsm_parser){.ast = ast, .arena = &ast->arena, .err = err};
    tsm_lexer_init(&p->lexer, text, p->arena);
}

int tsm_parse_query(struct tsm_str text, struct tsm_ast *ast, struct tsm_err *err)
{
    return tsm_parse_query_bound(text, NULL, ast, err);
}

int tsm_parse_query_bound(struct tsm_str text, const struct tsm_bindings *bindings, struct tsm_ast *ast,
                          struct tsm_err *err)
{
    struct tsm_parser p;
    struct tsm_statement *statements = NULL;
    size_t n = 0, cap = 0;
    bool semicolon = true;
    int rc = TSM_OK;
    start(&p, text, ast, err);
    p.bindings = bindings;
    for (;;) {
        struct tsm_lexeme l = tsm_parser_next(&p);
        if (l.tok == TSM_TOK_EOF)
            break;
        if (l.tok == TSM_TOK_SEMICOLON) {
            semicolon = true;
            continue;
        }
        if (!semicolon) {
            rc = tsm_parser_expected(&p, l, ";");
            break;
        }
        tsm_parser_back(&p);
        TSM_GROW(statements, n + 1, cap);
        statements[n] = (struct tsm_statement){.pos = l.pos};
        rc = tsm_parser_statement(&p, &statements[n]);
        if (rc != TSM_OK)
            break;
        n++;
        semicolon = false;
    }
    if (rc == TSM_OK && n) {
        ast->statements = tsm_arena_alloc(p.arena, n * sizeof *statements);
        memcpy(ast->statements, statements, n * sizeof *statements);
        ast->nstatements = n;
    }
    tsm_free(statements);
    return rc;
}

int tsm_parse_expr(struct tsm_str text, struct tsm_ast *ast, struct tsm_expr **e, struct tsm_err *err)
{
    struct tsm_parser p;
    start(&p, text, ast, err);
    TSM_TRY(tsm_parser_expr(&p, e));
    struct tsm_lexeme l = tsm_parser_next(&p);
    return l.tok == TSM_TOK_EOF ? TSM_OK : tsm_parser_expected(&p, l, "EOF");
}
