/*
 * tests/fuzz/fuzz_influxql.c: any text as a query: parsed, printed, parsed again, its regular expressions
 * tried. A text that was printed and is accepted again prints the same (but for what influxql itself prints
 * without quotes). What stands in a log of changes parses again, and says the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "query/change.h"
#include "query/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool try_node(void *ctx, const struct tsm_expr *e)
{
    bool *unquoted = ctx;
    if (e->kind == TSM_EXPR_REGEX &&
        tsm_regex_match(e->u.regex.re, TSM_STR("server-1.example/\xff\xc3\xa4"), NULL) > 1)
        abort();
    if (e->kind == TSM_EXPR_DISTINCT || e->kind == TSM_EXPR_NUMBER || e->kind == TSM_EXPR_CALL)
        *unquoted = true;
    return true;
}

static void try_select(const struct tsm_select *s, bool *unquoted)
{
    for (size_t i = 0; i < s->nfields; i++)
        tsm_expr_walk(s->fields[i].expr, try_node, unquoted);
    for (size_t i = 0; i < s->ndimensions; i++)
        tsm_expr_walk(s->dimensions[i], try_node, unquoted);
    tsm_expr_walk(s->condition, try_node, unquoted);
    for (size_t i = 0; i < s->nsources; i++) {
        if (s->sources[i].subquery)
            try_select(s->sources[i].subquery, unquoted);
        else if (s->sources[i].regex)
            tsm_expr_walk(s->sources[i].regex, try_node, unquoted);
    }
    if (s->fill == TSM_FILL_NUMBER || s->zone.n || s->target)
        *unquoted = true;
}

static void print_again(const struct tsm_select *s)
{
    bool unquoted = false;
    struct tsm_buf once = {0}, twice = {0};
    struct tsm_ast ast;
    try_select(s, &unquoted);
    tsm_select_print(&once, s);
    if (tsm_parse_query(tsm_buf_view(&once), &ast, NULL) == TSM_OK && ast.nstatements == 1 &&
        ast.statements[0].kind == TSM_STATEMENT_SELECT && !unquoted) {
        tsm_select_print(&twice, ast.statements[0].u.select);
        if (!tsm_str_eq(tsm_buf_view(&once), tsm_buf_view(&twice)))
            abort();
    }
    tsm_ast_release(&ast);
    tsm_buf_release(&once);
    tsm_buf_release(&twice);
}

static void change_again(const struct tsm_statement *st)
{
    bool unquoted = false,
         deletes = st->kind == TSM_STATEMENT_DELETE || st->kind == TSM_STATEMENT_DROP_SERIES;
    struct tsm_buf once = {0}, twice = {0};
    struct tsm_ast ast;
    if (deletes)
        tsm_expr_walk(st->u.show.condition, try_node, &unquoted);
    if (st->kind == TSM_STATEMENT_CREATE_CONTINUOUS_QUERY)
        try_select(st->u.continuous.select, &unquoted);
    tsm_statement_print_again(&once, st);
    bool good = tsm_parse_query(tsm_buf_view(&once), &ast, NULL) == TSM_OK && ast.nstatements == 1 &&
                ast.statements[0].kind == st->kind;
    if (good)
        tsm_statement_print_again(&twice, &ast.statements[0]);
    if (!unquoted && (!good || !tsm_str_eq(tsm_buf_view(&once), tsm_buf_view(&twice))))
        abort();
    tsm_ast_release(&ast);
    tsm_buf_release(&once);
    tsm_buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tsm_ast ast;
    struct tsm_err err = {0};
    if (tsm_parse_query(tsm_str((const char *)data, size), &ast, &err) == TSM_OK)
        for (size_t i = 0; i < ast.nstatements; i++)
            if (ast.statements[i].kind == TSM_STATEMENT_SELECT)
                print_again(ast.statements[i].u.select);
            else if (tsm_statement_changes(&ast.statements[i]))
                change_again(&ast.statements[i]);
    tsm_ast_release(&ast);
    return 0;
}
