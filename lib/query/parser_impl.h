/* query/parser_impl.h: what the files of the parser share; for them only. */
#ifndef TSM_QUERY_PARSER_IMPL_H
#define TSM_QUERY_PARSER_IMPL_H

#include "query/parser.h"

struct tsm_parser {
    struct tsm_lexer lexer;
    struct tsm_ast *ast;
    struct tsm_arena *arena; /* &ast->arena */
    struct tsm_err *err;
    unsigned depth;
    const struct tsm_bindings *bindings; /* values of $name, or NULL */
};

/* Tokens. next() passes over white space and comments; scan() does not. */
struct tsm_lexeme tsm_parser_next(struct tsm_parser *p);
struct tsm_lexeme tsm_parser_scan(struct tsm_parser *p);
void tsm_parser_back(struct tsm_parser *p);
void tsm_parser_skip_space(struct tsm_parser *p);                 /* one run of it */
bool tsm_parser_accept(struct tsm_parser *p, enum tsm_token tok); /* takes the next token when it is tok */

/* Errors: "found X, expected <expected> at line 1, char 1"; a message with and without a position. */
int tsm_parser_expected(struct tsm_parser *p, struct tsm_lexeme found, const char *expected);
int tsm_parser_error_at(struct tsm_parser *p, struct tsm_pos pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int tsm_parser_error(struct tsm_parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Pieces of the grammar. Each returns TSM_OK or TSM_EPARSE. */
int tsm_parser_require(struct tsm_parser *p, enum tsm_token tok);
int tsm_parser_ident(struct tsm_parser *p, struct tsm_str *name);
int tsm_parser_string(struct tsm_parser *p, struct tsm_str *text);
int tsm_parser_segments(struct tsm_parser *p, struct tsm_str segments[3], size_t *n);
int tsm_parser_duration(struct tsm_parser *p, int64_t *d); /* INF: 0 */
int tsm_parser_duration_text(struct tsm_str text, int64_t *d,
                             char message[100]); /* false: message is filled */
int tsm_parser_integer(struct tsm_parser *p, int64_t min, int64_t max, int64_t *n);
int tsm_parser_unsigned(struct tsm_parser *p, uint64_t *n);
int tsm_parser_optional_number(struct tsm_parser *p, enum tsm_token clause, int64_t *n);
int tsm_parser_expr(struct tsm_parser *p, struct tsm_expr **e);
int tsm_parser_regex(struct tsm_parser *p, struct tsm_expr **e); /* NULL when there is none */

/* parser_select.c */
enum tsm_target_rule { TSM_TARGET_REQUIRED, TSM_TARGET_OPTIONAL };
int tsm_parser_select(struct tsm_parser *p, enum tsm_target_rule rule,
                      struct tsm_select **s); /* after SELECT */
int tsm_parser_sources(struct tsm_parser *p, bool subqueries, struct tsm_source **sources, size_t *n);
int tsm_parser_source(struct tsm_parser *p, bool subqueries, struct tsm_source *source);
int tsm_parser_condition(struct tsm_parser *p, struct tsm_expr **e); /* the optional clauses */
int tsm_parser_dimensions(struct tsm_parser *p, struct tsm_expr ***dimensions, size_t *n);
int tsm_parser_order_by(struct tsm_parser *p, bool *ordered, bool *named, bool *descending);

/* parser_admin.c: what follows the leading keywords */
int tsm_parser_user_name(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_create_user(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_set_password(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_grant(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_revoke(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_kill_query(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_create_continuous(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_drop_continuous(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_create_subscription(struct tsm_parser *p, struct tsm_statement *st);
int tsm_parser_drop_subscription(struct tsm_parser *p, struct tsm_statement *st);

/* parser_statement.c */
int tsm_parser_statement(struct tsm_parser *p, struct tsm_statement *st);

#define TSM_TRY(call)         \
    do {                      \
        int try_rc = (call);  \
        if (try_rc != TSM_OK) \
            return try_rc;    \
    } while (0)

#endif
