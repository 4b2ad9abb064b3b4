/*
 * query/parser.h: InfluxQL text to ast.h. The grammar, with its oddities, and the error texts are influxql's
 * (github.com/influxdata/influxql v1.1, parser.go): what influxd takes is taken, what it refuses is refused
 * in its words.
 */
#ifndef TSM_QUERY_PARSER_H
#define TSM_QUERY_PARSER_H

#include "base/err.h"
#include "query/ast.h"
#include "query/binding.h"

/* Nesting of parentheses, calls and subqueries, and operators in one expression; more are refused. */
enum { TSM_PARSE_DEPTH = 200, TSM_PARSE_OPERATORS = 20000 };

/* Parses all statements of text (separated by ';'; none is fine). TSM_EPARSE with influxql's message, without
 * "error parsing query: " before it. ast is to be released in either case. */
int tsm_parse_query(struct tsm_str text, struct tsm_ast *ast, struct tsm_err *err);
/* With values for $name; their texts outlive the tree. */
int tsm_parse_query_bound(struct tsm_str text, const struct tsm_bindings *bindings, struct tsm_ast *ast,
                          struct tsm_err *err);
/* One expression and nothing after it: for tests and options. */
int tsm_parse_expr(struct tsm_str text, struct tsm_ast *ast, struct tsm_expr **e, struct tsm_err *err);

#endif
