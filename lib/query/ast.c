/* query/ast.c: making, copying and walking the nodes of the tree. */
#include "query/ast.h"

#include "base/alloc.h"
#include "base/banned.h"

void tsm_ast_release(struct tsm_ast *ast)
{
    for (size_t i = 0; i < ast->nregexes; i++)
        tsm_regex_free(ast->regexes[i]);
    tsm_free(ast->regexes);
    for (size_t i = 0; i < ast->nzones; i++)
        tsm_zone_free(ast->zones[i]);
    tsm_free(ast->zones);
    tsm_arena_release(&ast->arena);
    *ast = (struct tsm_ast){0};
}

const char *tsm_data_type_name(enum tsm_data_type t)
{
    static const char *const names[] = {
        [TSM_DATA_UNKNOWN] = "unknown",   [TSM_DATA_FLOAT] = "float",     [TSM_DATA_INTEGER] = "integer",
        [TSM_DATA_STRING] = "string",     [TSM_DATA_BOOLEAN] = "boolean", [TSM_DATA_TIME] = "time",
        [TSM_DATA_DURATION] = "duration", [TSM_DATA_TAG] = "tag",         [TSM_DATA_ANY_FIELD] = "field",
        [TSM_DATA_UNSIGNED] = "unsigned",
    };
    return (unsigned)t < sizeof names / sizeof *names ? names[t] : "unknown";
}

struct tsm_expr *tsm_expr_new(struct tsm_arena *a, enum tsm_expr_kind kind)
{
    struct tsm_expr *e = tsm_arena_calloc(a, sizeof *e);
    e->kind = kind;
    return e;
}

struct tsm_expr *tsm_expr_binary(struct tsm_arena *a, enum tsm_token op, struct tsm_expr *lhs,
                                 struct tsm_expr *rhs)
{
    struct tsm_expr *e = tsm_expr_new(a, TSM_EXPR_BINARY);
    e->pos = lhs->pos;
    e->u.binary.op = op;
    e->u.binary.lhs = lhs;
    e->u.binary.rhs = rhs;
    return e;
}

struct tsm_expr *tsm_expr_copy(struct tsm_arena *a, const struct tsm_expr *e)
{
    if (!e)
        return NULL;
    struct tsm_expr *c = tsm_arena_alloc(a, sizeof *c);
    *c = *e;
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        c->u.binary.lhs = tsm_expr_copy(a, e->u.binary.lhs);
        c->u.binary.rhs = tsm_expr_copy(a, e->u.binary.rhs);
        break;
    case TSM_EXPR_PAREN:
        c->u.paren = tsm_expr_copy(a, e->u.paren);
        break;
    case TSM_EXPR_CALL:
        c->u.call.args = tsm_arena_alloc(a, e->u.call.nargs * sizeof *c->u.call.args);
        for (size_t i = 0; i < e->u.call.nargs; i++)
            c->u.call.args[i] = tsm_expr_copy(a, e->u.call.args[i]);
        break;
    default:
        break;
    }
    return c;
}

const struct tsm_expr *tsm_expr_bare(const struct tsm_expr *e)
{
    while (e && e->kind == TSM_EXPR_PAREN)
        e = e->u.paren;
    return e;
}

void tsm_expr_walk(const struct tsm_expr *e, bool (*visit)(void *ctx, const struct tsm_expr *e), void *ctx)
{
    if (!e || !visit(ctx, e))
        return;
    switch (e->kind) {
    case TSM_EXPR_BINARY:
        tsm_expr_walk(e->u.binary.lhs, visit, ctx);
        tsm_expr_walk(e->u.binary.rhs, visit, ctx);
        break;
    case TSM_EXPR_PAREN:
        tsm_expr_walk(e->u.paren, visit, ctx);
        break;
    case TSM_EXPR_CALL:
        for (size_t i = 0; i < e->u.call.nargs; i++)
            tsm_expr_walk(e->u.call.args[i], visit, ctx);
        break;
    default:
        break;
    }
}

const char *tsm_privilege_name(int32_t privilege)
{
    static const char *const names[] = {"NO PRIVILEGES", "READ", "WRITE", "ALL PRIVILEGES"};
    return (uint32_t)privilege < sizeof names / sizeof *names ? names[privilege] : "";
}

const char *tsm_select_interval(const struct tsm_select *s, int64_t *interval)
{
    *interval = 0;
    for (size_t i = 0; i < s->ndimensions; i++) {
        const struct tsm_expr *d = s->dimensions[i];
        if (d->kind != TSM_EXPR_CALL || !tsm_str_eq(d->u.call.name, TSM_STR("time")))
            continue;
        if (d->u.call.nargs < 1 || d->u.call.nargs > 2)
            return "time dimension expected 1 or 2 arguments";
        if (d->u.call.args[0]->kind != TSM_EXPR_DURATION)
            return "time dimension must have duration argument";
        *interval = d->u.call.args[0]->u.integer;
        return NULL;
    }
    return NULL;
}

static bool several_sources(const struct tsm_source *sources, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sources[i].regex || (sources[i].subquery && several_sources(sources[i].subquery->sources,
                                                                        sources[i].subquery->nsources)))
            return true;
    return n != 1;
}

bool tsm_statement_several(const struct tsm_statement *st)
{
    switch (st->kind) {
    case TSM_STATEMENT_SELECT:
        return several_sources(st->u.select->sources, st->u.select->nsources);
    case TSM_STATEMENT_SHOW_TAG_KEYS:
    case TSM_STATEMENT_SHOW_TAG_VALUES:
    case TSM_STATEMENT_SHOW_FIELD_KEYS:
    case TSM_STATEMENT_SHOW_CARDINALITY:
        return several_sources(st->u.show.sources, st->u.show.nsources);
    case TSM_STATEMENT_SHOW_CONTINUOUS_QUERIES:
    case TSM_STATEMENT_SHOW_DIAGNOSTICS:
    case TSM_STATEMENT_SHOW_SHARDS:
    case TSM_STATEMENT_SHOW_STATS:
    case TSM_STATEMENT_SHOW_SUBSCRIPTIONS:
        return true;
    default:
        return false;
    }
}
