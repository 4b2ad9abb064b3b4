/*
 * query/ast.h: InfluxQL as a tree. All nodes and texts are in the arena of their struct tsm_ast; regular
 * expressions are owned by it as well. The tree is immutable after parsing: who rewrites, copies
 * (tsm_expr_copy()).
 */
#ifndef TSM_QUERY_AST_H
#define TSM_QUERY_AST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/zone.h"
#include "query/lexer.h"
#include "query/regex.h"

enum tsm_expr_kind {
    TSM_EXPR_BINARY, /* also AND and OR */
    TSM_EXPR_PAREN,
    TSM_EXPR_CALL,     /* time(1m) and now() too */
    TSM_EXPR_VAR,      /* a field, a tag or time */
    TSM_EXPR_WILDCARD, /* *, *::field, *::tag */
    TSM_EXPR_REGEX,
    TSM_EXPR_DISTINCT, /* DISTINCT name (distinct(name) is a call) */
    TSM_EXPR_STRING,
    TSM_EXPR_INTEGER,
    TSM_EXPR_UNSIGNED, /* only numbers above INT64_MAX */
    TSM_EXPR_NUMBER,
    TSM_EXPR_BOOLEAN,
    TSM_EXPR_DURATION,
    TSM_EXPR_TIME, /* not parsed: made when a condition is evaluated */
    TSM_EXPR_NIL,  /* likewise */
    TSM_EXPR_LIST, /* WITH KEY IN (…) */
};

/* What a variable is said or found to be: name::integer. */
enum tsm_data_type {
    TSM_DATA_UNKNOWN,
    TSM_DATA_FLOAT,
    TSM_DATA_INTEGER,
    TSM_DATA_STRING,
    TSM_DATA_BOOLEAN,
    TSM_DATA_TIME,
    TSM_DATA_DURATION,
    TSM_DATA_TAG,
    TSM_DATA_ANY_FIELD, /* ::field */
    TSM_DATA_UNSIGNED,
};
const char *tsm_data_type_name(enum tsm_data_type t); /* "float", "tag", "field" …; "unknown" */

struct tsm_expr {
    enum tsm_expr_kind kind;
    struct tsm_pos pos; /* of the first token */
    union {
        struct {
            enum tsm_token op; /* TSM_TOK_ADD … TSM_TOK_GTE */
            struct tsm_expr *lhs, *rhs;
        } binary;
        struct tsm_expr *paren;
        struct {
            struct tsm_str name; /* lower case */
            struct tsm_expr **args;
            size_t nargs;
        } call;
        struct {
            struct tsm_str name; /* segments joined by '.' */
            enum tsm_data_type type;
        } var;
        enum tsm_data_type wildcard; /* TSM_DATA_UNKNOWN: both; TSM_DATA_TAG, TSM_DATA_ANY_FIELD */
        struct {
            struct tsm_str text; /* without the slashes, \/ unescaped */
            struct tsm_regex *re;
        } regex;
        struct tsm_str string; /* also the name in DISTINCT */
        int64_t integer;       /* also duration and time, nanoseconds */
        uint64_t uinteger;
        double number;
        bool boolean;
        struct {
            struct tsm_str *items;
            size_t n;
        } list;
    } u;
};

struct tsm_select;

struct tsm_source {
    struct tsm_str database, rp, name; /* empty when not given */
    struct tsm_expr *regex;            /* instead of a name, or NULL */
    struct tsm_select *subquery;       /* instead of all others, or NULL */
};

enum tsm_fill { TSM_FILL_NULL, TSM_FILL_NONE, TSM_FILL_NUMBER, TSM_FILL_PREVIOUS, TSM_FILL_LINEAR };

struct tsm_select_field {
    struct tsm_expr *expr; /* a regex literal selects fields and tags by name */
    struct tsm_str alias;  /* empty: none */
};

struct tsm_select {
    struct tsm_select_field *fields;
    size_t nfields;
    struct tsm_source *target; /* INTO, or NULL */
    struct tsm_source *sources;
    size_t nsources;
    struct tsm_expr *condition;   /* WHERE, or NULL */
    struct tsm_expr **dimensions; /* GROUP BY: variables, wildcards, regexes, calls of time() */
    size_t ndimensions;
    enum tsm_fill fill;
    bool fill_given;                        /* there was a fill() */
    struct tsm_expr *fill_value;            /* TSM_FILL_NUMBER: an integer or a number; else NULL */
    bool ordered, descending;               /* ORDER BY time [DESC] */
    bool order_named;                       /* "time" was written */
    int64_t limit, offset, slimit, soffset; /* 0: not given */
    struct tsm_str zone;                    /* tz('…'), empty: not given */
    const struct tsm_zone *location;        /* NULL: UTC */
    bool raw;                               /* no call in any field */
};

/* Statements, and the member of struct tsm_statement that each uses. */
enum tsm_statement_kind {
    TSM_STATEMENT_SELECT,
    TSM_STATEMENT_EXPLAIN, /* select; analyze */
    TSM_STATEMENT_DELETE,  /* show: sources, condition */
    TSM_STATEMENT_DROP_SERIES,
    TSM_STATEMENT_DROP_MEASUREMENT, /* ddl.name */
    TSM_STATEMENT_DROP_SHARD,       /* ddl.shard */
    TSM_STATEMENT_SHOW_DATABASES,
    TSM_STATEMENT_SHOW_RETENTION_POLICIES,
    TSM_STATEMENT_SHOW_MEASUREMENTS,
    TSM_STATEMENT_SHOW_SERIES,
    TSM_STATEMENT_SHOW_TAG_KEYS,
    TSM_STATEMENT_SHOW_TAG_VALUES,
    TSM_STATEMENT_SHOW_FIELD_KEYS,
    TSM_STATEMENT_SHOW_CARDINALITY, /* show.subject, show.exact */
    TSM_STATEMENT_SHOW_CONTINUOUS_QUERIES,
    TSM_STATEMENT_SHOW_DIAGNOSTICS, /* module */
    TSM_STATEMENT_SHOW_GRANTS,      /* user.name */
    TSM_STATEMENT_SHOW_QUERIES,
    TSM_STATEMENT_SHOW_SHARD_GROUPS,
    TSM_STATEMENT_SHOW_SHARDS,
    TSM_STATEMENT_SHOW_STATS, /* module */
    TSM_STATEMENT_SHOW_SUBSCRIPTIONS,
    TSM_STATEMENT_SHOW_USERS,
    TSM_STATEMENT_KILL_QUERY,      /* kill */
    TSM_STATEMENT_CREATE_DATABASE, /* ddl, also the next four */
    TSM_STATEMENT_DROP_DATABASE,
    TSM_STATEMENT_CREATE_RETENTION_POLICY,
    TSM_STATEMENT_ALTER_RETENTION_POLICY,
    TSM_STATEMENT_DROP_RETENTION_POLICY,
    TSM_STATEMENT_CREATE_USER,  /* user: name, password, admin */
    TSM_STATEMENT_DROP_USER,    /* user.name */
    TSM_STATEMENT_SET_PASSWORD, /* user: name, password */
    TSM_STATEMENT_GRANT,        /* user: privilege on database, or admin; also REVOKE */
    TSM_STATEMENT_REVOKE,
    TSM_STATEMENT_CREATE_CONTINUOUS_QUERY, /* continuous */
    TSM_STATEMENT_DROP_CONTINUOUS_QUERY,   /* continuous: name, database */
    TSM_STATEMENT_CREATE_SUBSCRIPTION,     /* subscription */
    TSM_STATEMENT_DROP_SUBSCRIPTION,       /* subscription: name, database, rp */
};

enum tsm_cardinality_of { /* what a SHOW … CARDINALITY counts */
                          TSM_CARDINALITY_SERIES,
                          TSM_CARDINALITY_MEASUREMENT,
                          TSM_CARDINALITY_TAG_KEY,
                          TSM_CARDINALITY_TAG_VALUES,
                          TSM_CARDINALITY_FIELD_KEY,
};

/* The clauses of all SHOW statements, DELETE and DROP SERIES; each uses its own. */
struct tsm_show {
    struct tsm_str database; /* ON, empty: the query's */
    struct tsm_source *sources;
    size_t nsources;       /* FROM, or the one of WITH MEASUREMENT */
    enum tsm_token key_op; /* SHOW TAG VALUES WITH KEY: IN, EQ, NEQ, EQREGEX, NEQREGEX */
    struct tsm_expr *key;  /* a list, a string or a regex */
    struct tsm_expr *condition;
    struct tsm_expr **dimensions; /* SHOW … CARDINALITY */
    size_t ndimensions;
    bool ordered, order_named, descending;  /* as in struct tsm_select */
    int64_t limit, offset, slimit, soffset; /* 0: not given */
    enum tsm_cardinality_of subject;
    bool exact;
};

struct tsm_ddl {
    struct tsm_str database; /* the database, created, dropped or of the policy */
    struct tsm_str name;     /* of the retention policy or the measurement */
    bool with_policy;        /* CREATE DATABASE … WITH */
    bool has_duration, has_shard_duration, has_replication;
    int64_t duration, shard_duration; /* nanoseconds; 0: INF */
    int32_t replication;
    bool make_default;
    uint64_t shard;
};

/* influxql's numbers, which are also those in meta.db. */
enum tsm_privilege_kind {
    TSM_PRIVILEGE_NONE,
    TSM_PRIVILEGE_READ,
    TSM_PRIVILEGE_WRITE,
    TSM_PRIVILEGE_ALL,
};
const char *tsm_privilege_name(int32_t privilege); /* "NO PRIVILEGES", "READ", "WRITE", "ALL PRIVILEGES" */

struct tsm_user_clauses {
    struct tsm_str name, password;
    struct tsm_str database; /* GRANT and REVOKE … ON */
    enum tsm_privilege_kind privilege;
    bool admin; /* WITH ALL PRIVILEGES; GRANT and REVOKE without ON */
};

struct tsm_continuous_clauses {
    struct tsm_str name, database;
    int64_t every, range;      /* RESAMPLE EVERY and FOR, nanoseconds; 0: not given */
    struct tsm_select *select; /* has a target; groups by time, unless it calls no function */
};

struct tsm_subscription_clauses {
    struct tsm_str name, database, rp;
    bool any; /* DESTINATIONS ANY, else ALL */
    struct tsm_str *destinations;
    size_t ndestinations;
};

struct tsm_kill_clauses {
    uint64_t id;
    struct tsm_str host; /* ON, or empty */
};

struct tsm_statement {
    enum tsm_statement_kind kind;
    struct tsm_pos pos;
    const char *title; /* "SHOW SERIES": the leading keywords */
    bool analyze;
    union {
        struct tsm_select *select;
        struct tsm_show show;
        struct tsm_ddl ddl;
        struct tsm_user_clauses user;
        struct tsm_continuous_clauses continuous;
        struct tsm_subscription_clauses subscription;
        struct tsm_kill_clauses kill;
        struct tsm_str module; /* SHOW STATS and DIAGNOSTICS FOR, or empty */
    } u;
};

struct tsm_ast {
    struct tsm_arena arena;
    struct tsm_statement *statements;
    size_t nstatements;
    struct tsm_regex **regexes; /* all that the tree refers to */
    size_t nregexes, capregexes;
    struct tsm_zone **zones; /* likewise */
    size_t nzones, capzones;
};

void tsm_ast_release(struct tsm_ast *ast);

/* The interval of a SELECT's GROUP BY time(), 0: none; or influxql's message for one that is malformed. */
const char *tsm_select_interval(const struct tsm_select *s, int64_t *interval);

/* Whether the statement's text allows series of different measurements in its answer. */
bool tsm_statement_several(const struct tsm_statement *st);

/* print.c: text as influxql's String() gives it. */
void tsm_expr_print(struct tsm_buf *out, const struct tsm_expr *e);
void tsm_source_print(struct tsm_buf *out, const struct tsm_source *s);
void tsm_select_print(struct tsm_buf *out, const struct tsm_select *s);
/* print_statement.c: any statement. Passwords are [REDACTED]; durations of CREATE DATABASE are written as Go does. */
void tsm_statement_print(struct tsm_buf *out, const struct tsm_statement *st);
/* The same as text that parses to the same statement, with the password '[REDACTED]'. */
void tsm_statement_print_again(struct tsm_buf *out, const struct tsm_statement *st);
/* influxql.QuoteIdent() of one segment, and QuoteString(). */
void tsm_quote_ident(struct tsm_buf *out, struct tsm_str s);
void tsm_quote_string(struct tsm_buf *out, struct tsm_str s);

/* The name of a result column without an alias (influxql's Field.Name()): a variable's or call's name, names
 * joined by '_' for an expression, empty for a literal. In the arena. */
struct tsm_str tsm_field_name(struct tsm_arena *a, const struct tsm_select_field *f);

/* New nodes for rewriting. */
struct tsm_expr *tsm_expr_new(struct tsm_arena *a, enum tsm_expr_kind kind);
struct tsm_expr *tsm_expr_binary(struct tsm_arena *a, enum tsm_token op, struct tsm_expr *lhs,
                                 struct tsm_expr *rhs);
struct tsm_expr *tsm_expr_copy(struct tsm_arena *a,
                               const struct tsm_expr *e); /* deep; regexes and texts are shared */
/* e without enclosing parentheses. */
const struct tsm_expr *tsm_expr_bare(const struct tsm_expr *e);
/* Calls visit for e and everything below it, parents first; false skips what is below. NULL is allowed for e.
 */
void tsm_expr_walk(const struct tsm_expr *e, bool (*visit)(void *ctx, const struct tsm_expr *e), void *ctx);

#endif
