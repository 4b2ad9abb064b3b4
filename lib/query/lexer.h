/*
 * query/lexer.h: InfluxQL text to tokens.
 *
 * The scanner reads code points through a window that can be put back, as influxql's does: where a statement
 * is wrong, line and character of the error are the ones that influxd gives. A NUL ends the text; "\r" and
 * "\r\n" count as "\n"; a byte that is not UTF-8 counts as U+FFFD.
 */
#ifndef TSM_QUERY_LEXER_H
#define TSM_QUERY_LEXER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* clang-format off */
/* X(name, text as in error messages). The keywords, from ALL to WRITE, are in ascending order of their text. */
#define TSM_TOKEN_LIST(X)                                                                                    \
    X(ILLEGAL, "ILLEGAL") X(EOF, "EOF") X(WS, "WS") X(COMMENT, "")                                           \
    X(IDENT, "IDENT") X(BOUNDPARAM, "") X(NUMBER, "NUMBER") X(INTEGER, "")                                   \
    X(DURATIONVAL, "DURATIONVAL") X(STRING, "STRING") X(BADSTRING, "BADSTRING") X(BADESCAPE, "BADESCAPE")    \
    X(TRUE, "TRUE") X(FALSE, "FALSE") X(REGEX, "REGEX") X(BADREGEX, "")                                      \
    X(ADD, "+") X(SUB, "-") X(MUL, "*") X(DIV, "/") X(MOD, "%")                                              \
    X(BITWISE_AND, "&") X(BITWISE_OR, "|") X(BITWISE_XOR, "^")                                               \
    X(AND, "AND") X(OR, "OR")                                                                                \
    X(EQ, "=") X(NEQ, "!=") X(EQREGEX, "=~") X(NEQREGEX, "!~") X(LT, "<") X(LTE, "<=") X(GT, ">") X(GTE, ">=") \
    X(LPAREN, "(") X(RPAREN, ")") X(COMMA, ",") X(COLON, ":") X(DOUBLECOLON, "::") X(SEMICOLON, ";") X(DOT, ".") \
    X(ALL, "ALL") X(ALTER, "ALTER") X(ANALYZE, "ANALYZE") X(ANY, "ANY") X(AS, "AS") X(ASC, "ASC")            \
    X(BEGIN, "BEGIN") X(BY, "BY") X(CARDINALITY, "CARDINALITY") X(CONTINUOUS, "CONTINUOUS")                  \
    X(CREATE, "CREATE") X(DATABASE, "DATABASE") X(DATABASES, "DATABASES") X(DEFAULT, "DEFAULT")              \
    X(DELETE, "DELETE") X(DESC, "DESC") X(DESTINATIONS, "DESTINATIONS") X(DIAGNOSTICS, "DIAGNOSTICS")        \
    X(DISTINCT, "DISTINCT") X(DROP, "DROP") X(DURATION, "DURATION") X(END, "END") X(EVERY, "EVERY")          \
    X(EXACT, "EXACT") X(EXPLAIN, "EXPLAIN") X(FIELD, "FIELD") X(FOR, "FOR") X(FROM, "FROM")                  \
    X(GRANT, "GRANT") X(GRANTS, "GRANTS") X(GROUP, "GROUP") X(GROUPS, "GROUPS") X(IN, "IN") X(INF, "INF")    \
    X(INSERT, "INSERT") X(INTO, "INTO") X(KEY, "KEY") X(KEYS, "KEYS") X(KILL, "KILL") X(LIMIT, "LIMIT")      \
    X(MEASUREMENT, "MEASUREMENT") X(MEASUREMENTS, "MEASUREMENTS") X(NAME, "NAME") X(OFFSET, "OFFSET")        \
    X(ON, "ON") X(ORDER, "ORDER") X(PASSWORD, "PASSWORD") X(POLICIES, "POLICIES") X(POLICY, "POLICY")        \
    X(PRIVILEGES, "PRIVILEGES") X(QUERIES, "QUERIES") X(QUERY, "QUERY") X(READ, "READ")                      \
    X(REPLICATION, "REPLICATION") X(RESAMPLE, "RESAMPLE") X(RETENTION, "RETENTION") X(REVOKE, "REVOKE")      \
    X(SELECT, "SELECT") X(SERIES, "SERIES") X(SET, "SET") X(SHARD, "SHARD") X(SHARDS, "SHARDS")              \
    X(SHOW, "SHOW") X(SLIMIT, "SLIMIT") X(SOFFSET, "SOFFSET") X(STATS, "STATS")                              \
    X(SUBSCRIPTION, "SUBSCRIPTION") X(SUBSCRIPTIONS, "SUBSCRIPTIONS") X(TAG, "TAG") X(TO, "TO")              \
    X(USER, "USER") X(USERS, "USERS") X(VALUES, "VALUES") X(WHERE, "WHERE") X(WITH, "WITH") X(WRITE, "WRITE")
/* clang-format on */

enum tsm_token {
#define X(name, text) TSM_TOK_##name,
    TSM_TOKEN_LIST(X)
#undef X
        TSM_TOKENS
};

struct tsm_pos {
    int line, chr; /* both from 0; characters are code points */
};

struct tsm_lexeme {
    enum tsm_token tok;
    struct tsm_pos pos;
    struct tsm_str
        lit; /* unescaped content of an identifier or string, text of a number; else empty. In the arena. */
};

/* Literals are written over the text that they come from, which the lexer therefore copies first. */
struct tsm_lexer {
    char *p, *end; /* what has not been read yet; valid UTF-8 */
    struct {
        uint32_t c;
        struct tsm_pos pos;
        char *at;
    } chars[3]; /* the last code points, for putting back */
    int char_at, char_back;
    struct tsm_pos pos;
    bool eof;
    struct tsm_lexeme tokens[3]; /* the last tokens, likewise */
    int token_at, token_back;
};

/* The arena lives as long as the lexer and its lexemes. */
void tsm_lexer_init(struct tsm_lexer *lx, struct tsm_str text, struct tsm_arena *arena);
struct tsm_lexeme tsm_lexer_scan(struct tsm_lexer *lx);       /* white space and comments included */
struct tsm_lexeme tsm_lexer_scan_regex(struct tsm_lexer *lx); /* when the next code point is '/' */
void tsm_lexer_back(struct tsm_lexer *lx);     /* puts the last token back; at most 3 in a row */
uint32_t tsm_lexer_peek(struct tsm_lexer *lx); /* the next code point after all scanned tokens; 0: end */

const char *tsm_token_text(enum tsm_token tok);
enum tsm_token
tsm_token_lookup(struct tsm_str word);        /* a keyword in any case, AND, OR, TRUE, FALSE; else IDENT */
int tsm_token_precedence(enum tsm_token tok); /* 1 (OR) to 5 (* / % &); 0: not an operator */
static inline bool tsm_token_is_operator(enum tsm_token tok)
{
    return tok >= TSM_TOK_ADD && tok <= TSM_TOK_GTE;
}

#endif
