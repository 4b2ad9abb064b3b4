/* query/parser_select.c: SELECT, and the clauses that other statements share with it. */
#include "base/alloc.h"
#include "query/parser_impl.h"
#include "sys/zone_file.h"

#include "base/banned.h"

/* ---- sources ---------------------------------------------------------------------------------- */

static int parse_subquery(struct tsm_parser *p, struct tsm_source *source)
{
    TSM_TRY(tsm_parser_require(p, TSM_TOK_SELECT));
    TSM_TRY(tsm_parser_select(p, TSM_TARGET_OPTIONAL, &source->subquery));
    return tsm_parser_require(p, TSM_TOK_RPAREN);
}

int tsm_parser_source(struct tsm_parser *p, bool subqueries, struct tsm_source *source)
{
    struct tsm_str segments[3];
    size_t n;
    *source = (struct tsm_source){{"", 0}, {"", 0}, {"", 0}, NULL, NULL};
    TSM_TRY(tsm_parser_regex(p, &source->regex));
    if (source->regex)
        return TSM_OK;
    if (subqueries && tsm_parser_accept(p, TSM_TOK_LPAREN))
        return parse_subquery(p, source);
    TSM_TRY(tsm_parser_segments(p, segments, &n));
    if (n == 3) {
        source->database = segments[0];
        source->rp = segments[1];
        source->name = segments[2];
        return TSM_OK;
    }
    TSM_TRY(tsm_parser_regex(p, &source->regex));
    if (source->regex) {
        source->rp = segments[n - 1];
        if (n == 2)
            source->database = segments[0];
    } else {
        source->name = segments[n - 1];
        if (n == 2)
            source->rp = segments[0];
    }
    return TSM_OK;
}

int tsm_parser_sources(struct tsm_parser *p, bool subqueries, struct tsm_source **sources, size_t *n)
{
    struct tsm_source *list = NULL;
    size_t len = 0, cap = 0;
    int rc;
    do {
        TSM_GROW(list, len + 1, cap);
        rc = tsm_parser_source(p, subqueries, &list[len]);
        len++;
    } while (rc == TSM_OK && tsm_parser_accept(p, TSM_TOK_COMMA));
    if (rc == TSM_OK) {
        *sources = tsm_arena_alloc(p->arena, len * sizeof *list);
        memcpy(*sources, list, len * sizeof *list);
        *n = len;
    }
    tsm_free(list);
    return rc;
}

/* INTO db.rp.name, INTO db.rp.:MEASUREMENT */
static int parse_target(struct tsm_parser *p, enum tsm_target_rule rule, struct tsm_source **target)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_INTO) {
        if (rule == TSM_TARGET_REQUIRED)
            return tsm_parser_expected(p, l, "INTO");
        tsm_parser_back(p);
        return TSM_OK;
    }
    struct tsm_str segments[3];
    size_t n;
    TSM_TRY(tsm_parser_segments(p, segments, &n));
    if (n < 3 && tsm_lexer_peek(&p->lexer) == ':') {
        TSM_TRY(tsm_parser_require(p, TSM_TOK_COLON));
        TSM_TRY(tsm_parser_require(p, TSM_TOK_MEASUREMENT));
        segments[n++] = tsm_str("", 0);
    }
    struct tsm_source *t = tsm_arena_calloc(p->arena, sizeof *t);
    t->database = n == 3 ? segments[0] : tsm_str("", 0);
    t->rp = n >= 2 ? segments[n - 2] : tsm_str("", 0);
    t->name = segments[n - 1];
    *target = t;
    return TSM_OK;
}

/* ---- clauses ---------------------------------------------------------------------------------- */

int tsm_parser_condition(struct tsm_parser *p, struct tsm_expr **e)
{
    *e = NULL;
    return tsm_parser_accept(p, TSM_TOK_WHERE) ? tsm_parser_expr(p, e) : TSM_OK;
}

int tsm_parser_dimensions(struct tsm_parser *p, struct tsm_expr ***dimensions, size_t *n)
{
    struct tsm_expr **list = NULL;
    size_t len = 0, cap = 0;
    *n = 0;
    if (!tsm_parser_accept(p, TSM_TOK_GROUP))
        return TSM_OK;
    TSM_TRY(tsm_parser_require(p, TSM_TOK_BY));
    int rc;
    for (;;) {
        struct tsm_expr *e;
        rc = tsm_parser_regex(p, &e);
        if (rc == TSM_OK && !e) {
            rc = tsm_parser_expr(p, &e);
            if (rc == TSM_OK)
                tsm_parser_skip_space(p);
        }
        if (rc != TSM_OK)
            break;
        TSM_GROW(list, len + 1, cap);
        list[len++] = e;
        if (tsm_parser_scan(p).tok != TSM_TOK_COMMA) {
            tsm_parser_back(p);
            break;
        }
    }
    if (rc == TSM_OK) {
        *dimensions = tsm_arena_alloc(p->arena, len * sizeof *list);
        memcpy(*dimensions, list, len * sizeof *list);
        *n = len;
    }
    tsm_free(list);
    return rc;
}

/* True, with the name in *l, when the next token is an identifier that reads word in any case; nothing is
 * taken. */
static bool next_is_word(struct tsm_parser *p, const char *word)
{
    struct tsm_lexeme l = tsm_parser_next(p);
    tsm_parser_back(p);
    return l.tok == TSM_TOK_IDENT && l.lit.n == strlen(word) && strncasecmp(l.lit.p, word, l.lit.n) == 0;
}

static bool is_var(const struct tsm_expr *e, const char *name)
{
    return e->kind == TSM_EXPR_VAR && e->u.var.type == TSM_DATA_UNKNOWN &&
           tsm_str_eq(e->u.var.name, tsm_str_of(name));
}

static int parse_fill(struct tsm_parser *p, struct tsm_select *s)
{
    struct tsm_expr *e;
    if (!next_is_word(p, "fill"))
        return TSM_OK;
    TSM_TRY(tsm_parser_expr(p, &e));
    if (e->kind != TSM_EXPR_CALL)
        return tsm_parser_error(p, "fill must be a function call");
    if (e->u.call.nargs != 1)
        return tsm_parser_error(p, "fill requires an argument, e.g.: 0, null, none, previous, linear");
    e = e->u.call.args[0];
    s->fill_given = true;
    if (is_var(e, "null")) {
        s->fill = TSM_FILL_NULL;
    } else if (is_var(e, "none")) {
        s->fill = TSM_FILL_NONE;
    } else if (is_var(e, "previous")) {
        s->fill = TSM_FILL_PREVIOUS;
    } else if (is_var(e, "linear")) {
        s->fill = TSM_FILL_LINEAR;
    } else if (e->kind == TSM_EXPR_INTEGER || e->kind == TSM_EXPR_NUMBER) {
        s->fill = TSM_FILL_NUMBER;
        s->fill_value = e;
    } else {
        return tsm_parser_error(p, "expected number argument in fill()");
    }
    return TSM_OK;
}

static int parse_zone(struct tsm_parser *p, struct tsm_select *s)
{
    struct tsm_expr *e;
    if (!next_is_word(p, "tz"))
        return TSM_OK;
    TSM_TRY(tsm_parser_expr(p, &e));
    if (e->kind != TSM_EXPR_CALL)
        return tsm_parser_error(p, "tz must be a function call");
    if (e->u.call.nargs != 1)
        return tsm_parser_error(p, "tz requires exactly one argument");
    e = e->u.call.args[0];
    if (e->kind != TSM_EXPR_STRING)
        return tsm_parser_error(p, "expected string argument in tz()");
    struct tsm_zone *zone;
    if (tsm_zone_load(&tsm_fs_posix, e->u.string, &zone)) {
        struct tsm_buf text = {0};
        tsm_buf_puts(&text, "unable to find time zone ");
        tsm_buf_str(&text, e->u.string);
        int code = tsm_parser_error(p, "%s", tsm_buf_cstr(&text));
        tsm_buf_release(&text);
        return code;
    }
    s->zone = e->u.string.n ? e->u.string : TSM_STR("UTC");
    s->location = zone;
    if (zone) {
        TSM_GROW(p->ast->zones, p->ast->nzones + 1, p->ast->capzones);
        p->ast->zones[p->ast->nzones++] = zone;
    }
    return TSM_OK;
}

static int parse_sort_field(struct tsm_parser *p, bool *descending)
{
    struct tsm_str name;
    TSM_TRY(tsm_parser_ident(p, &name));
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok != TSM_TOK_ASC && l.tok != TSM_TOK_DESC)
        tsm_parser_back(p);
    *descending = l.tok == TSM_TOK_DESC;
    return TSM_OK;
}

int tsm_parser_order_by(struct tsm_parser *p, bool *ordered, bool *named, bool *descending)
{
    bool ignored;
    if (!tsm_parser_accept(p, TSM_TOK_ORDER))
        return TSM_OK;
    TSM_TRY(tsm_parser_require(p, TSM_TOK_BY));
    struct tsm_lexeme l = tsm_parser_next(p);
    if (l.tok == TSM_TOK_ASC || l.tok == TSM_TOK_DESC) {
        *descending = l.tok == TSM_TOK_DESC;
    } else if (l.tok == TSM_TOK_IDENT) {
        tsm_parser_back(p);
        TSM_TRY(parse_sort_field(p, descending));
        if (!tsm_str_eq(l.lit, TSM_STR("time")))
            return tsm_parser_error(p, "only ORDER BY time supported at this time");
        *named = true;
    } else {
        return tsm_parser_expected(p, l, "identifier, ASC, DESC");
    }
    *ordered = true;
    size_t more = 0;
    for (; tsm_parser_accept(p, TSM_TOK_COMMA); more++)
        TSM_TRY(parse_sort_field(p, &ignored));
    return more ? tsm_parser_error(p, "only ORDER BY time supported at this time") : TSM_OK;
}

/* ---- SELECT ----------------------------------------------------------------------------------- */

/* Remembers the last comparison or logical operator that is not below another one. */
static bool find_condition(void *ctx, const struct tsm_expr *e)
{
    enum tsm_token *bad = ctx;
    if (e->kind != TSM_EXPR_BINARY || e->u.binary.op < TSM_TOK_AND)
        return true;
    *bad = e->u.binary.op;
    return false;
}

static int parse_field(struct tsm_parser *p, struct tsm_select_field *f)
{
    *f = (struct tsm_select_field){NULL, {"", 0}};
    TSM_TRY(tsm_parser_regex(p, &f->expr));
    if (!f->expr) {
        struct tsm_pos pos = tsm_parser_next(p).pos;
        tsm_parser_back(p);
        TSM_TRY(tsm_parser_expr(p, &f->expr));
        enum tsm_token bad = TSM_TOK_ILLEGAL;
        tsm_expr_walk(f->expr, find_condition, &bad);
        if (bad != TSM_TOK_ILLEGAL)
            return tsm_parser_error(p,
                                    "invalid operator %s in SELECT clause at line %d, char %d; operator is "
                                    "intended for WHERE clause",
                                    tsm_token_text(bad), pos.line + 1, pos.chr + 1);
    }
    if (tsm_parser_accept(p, TSM_TOK_AS))
        TSM_TRY(tsm_parser_ident(p, &f->alias));
    tsm_parser_skip_space(p);
    return TSM_OK;
}

static int parse_fields(struct tsm_parser *p, struct tsm_select *s)
{
    struct tsm_select_field *list = NULL;
    size_t len = 0, cap = 0;
    int rc;
    for (;;) {
        TSM_GROW(list, len + 1, cap);
        rc = parse_field(p, &list[len]);
        len++;
        if (rc != TSM_OK)
            break;
        if (tsm_parser_scan(p).tok != TSM_TOK_COMMA) {
            tsm_parser_back(p);
            break;
        }
    }
    if (rc == TSM_OK) {
        s->fields = tsm_arena_alloc(p->arena, len * sizeof *list);
        memcpy(s->fields, list, len * sizeof *list);
        s->nfields = len;
    }
    tsm_free(list);
    return rc;
}

static bool find_call(void *ctx, const struct tsm_expr *e)
{
    if (e->kind == TSM_EXPR_CALL)
        *(bool *)ctx = true;
    return true;
}

static int parse_clauses(struct tsm_parser *p, enum tsm_target_rule rule, struct tsm_select *s)
{
    TSM_TRY(parse_fields(p, s));
    TSM_TRY(parse_target(p, rule, &s->target));
    TSM_TRY(tsm_parser_require(p, TSM_TOK_FROM));
    TSM_TRY(tsm_parser_sources(p, true, &s->sources, &s->nsources));
    TSM_TRY(tsm_parser_condition(p, &s->condition));
    TSM_TRY(tsm_parser_dimensions(p, &s->dimensions, &s->ndimensions));
    TSM_TRY(parse_fill(p, s));
    TSM_TRY(tsm_parser_order_by(p, &s->ordered, &s->order_named, &s->descending));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_LIMIT, &s->limit));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_OFFSET, &s->offset));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_SLIMIT, &s->slimit));
    TSM_TRY(tsm_parser_optional_number(p, TSM_TOK_SOFFSET, &s->soffset));
    return parse_zone(p, s);
}

int tsm_parser_select(struct tsm_parser *p, enum tsm_target_rule rule, struct tsm_select **out)
{
    if (++p->depth > TSM_PARSE_DEPTH)
        return tsm_parser_error(p, "subquery is nested too deeply");
    struct tsm_select *s = tsm_arena_calloc(p->arena, sizeof *s);
    s->zone = tsm_str("", 0);
    TSM_TRY(parse_clauses(p, rule, s));
    bool call = false;
    for (size_t i = 0; i < s->nfields; i++)
        tsm_expr_walk(s->fields[i].expr, find_call, &call);
    s->raw = !call;
    p->depth--;
    *out = s;
    return TSM_OK;
}
