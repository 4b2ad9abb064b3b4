/*
 * tests/unit/test_parser.c: InfluxQL: trees, texts and errors. The errors are what influxd 1.6.7 answered to
 * the same queries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "query/parser.h"

static const struct {
    const char *query, *error;
} errors[] = {
    {"FOO", "found FOO, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, "
            "KILL at line 1, char 1"},
    {"SELECT", "found EOF, expected identifier, string, number, bool at line 1, char 8"},
    {"SELECT value", "found EOF, expected FROM at line 1, char 14"},
    {"SELECT value FROM", "found EOF, expected identifier at line 1, char 19"},
    {"SELECT value FROM cpu WHERE",
     "found EOF, expected identifier, string, number, bool at line 1, char 29"},
    {"SELECT value FROM cpu WHERE value >",
     "found EOF, expected identifier, string, number, bool at line 1, char 36"},
    {"SELECT value FROM cpu GROUP", "found EOF, expected BY at line 1, char 29"},
    {"SELECT value FROM cpu GROUP BY",
     "found EOF, expected identifier, string, number, bool at line 1, char 32"},
    {"SELECT value FROM cpu ORDER", "found EOF, expected BY at line 1, char 29"},
    {"SELECT value FROM cpu ORDER BY", "found EOF, expected identifier, ASC, DESC at line 1, char 32"},
    {"SELECT value FROM cpu ORDER BY value", "only ORDER BY time supported at this time"},
    {"SELECT value FROM cpu ORDER BY time, value", "only ORDER BY time supported at this time"},
    {"SELECT value FROM cpu ORDER BY time DESC, time", "only ORDER BY time supported at this time"},
    {"SELECT value FROM cpu LIMIT", "found EOF, expected integer at line 1, char 29"},
    {"SELECT value FROM cpu LIMIT x", "found x, expected integer at line 1, char 29"},
    {"SELECT value FROM cpu LIMIT -1", "found -, expected integer at line 1, char 29"},
    {"SELECT value FROM cpu LIMIT 1.5", "found 1.5, expected integer at line 1, char 29"},
    {"SELECT value FROM cpu fill", "fill must be a function call"},
    {"SELECT value FROM cpu fill(1, 2)", "fill requires an argument, e.g.: 0, null, none, previous, linear"},
    {"SELECT value FROM cpu fill(foo)", "expected number argument in fill()"},
    {"SELECT value FROM cpu tz", "tz must be a function call"},
    {"SELECT value FROM cpu tz('a', 'b')", "tz requires exactly one argument"},
    {"SELECT value FROM cpu tz(1)", "expected string argument in tz()"},
    {"SELECT value AS FROM cpu", "found FROM, expected identifier at line 1, char 17"},
    {"SELECT value = 1 FROM cpu",
     "invalid operator = in SELECT clause at line 1, char 8; operator is intended for WHERE clause"},
    {"SELECT (value AND x) FROM cpu",
     "invalid operator AND in SELECT clause at line 1, char 8; operator is intended for WHERE clause"},
    {"SELECT max(a > b), x FROM cpu",
     "invalid operator > in SELECT clause at line 1, char 8; operator is intended for WHERE clause"},
    {"SELECT value FROM a.b.c.d", "too many segments in \"a\".\"b\".\"c\".d at line 1, char 1"},
    {"SELECT \"a b\".x.\"\".y FROM m", "too many segments in \"a b\".\"x\"..y at line 1, char 1"},
    {"SELECT count( FROM cpu", "found FROM, expected identifier, string, number, bool at line 1, char 15"},
    {"SELECT count(value FROM cpu", "found FROM, expected ) at line 1, char 20"},
    {"SELECT distinct FROM cpu", "found FROM, expected identifier at line 1, char 17"},
    {"SELECT distinct(a FROM cpu", "found FROM, expected ) at line 1, char 19"},
    {"SELECT distinct 1 FROM cpu", "found 1, expected identifier at line 1, char 17"},
    {"SELECT *::foo FROM cpu", "found foo, expected field, tag at line 1, char 11"},
    {"SELECT a::foo FROM cpu",
     "found foo, expected float, integer, unsigned, string, boolean, field, tag at line 1, char 11"},
    {"SELECT a::1 FROM cpu",
     "found 1, expected float, integer, string, boolean, field, tag at line 1, char 11"},
    {"SELECT a b FROM cpu", "found b, expected FROM at line 1, char 10"},
    {"SELECT value FROM cpu WHERE host =~ 'x'", "found x, expected regex at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /x", "bad regex:  at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /[a/",
     "error parsing regexp: missing closing ]: `[a` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(a/",
     "error parsing regexp: missing closing ): `(a` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /a)/",
     "error parsing regexp: unexpected ): `a)` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /a**/",
     "error parsing regexp: invalid nested repetition operator: `**` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /*a/",
     "error parsing regexp: missing argument to repetition operator: `*` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(?=a)/",
     "error parsing regexp: invalid or unsupported Perl syntax: `(?=` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(?P<n)/",
     "error parsing regexp: invalid named capture: `(?P<n)` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /\\y/",
     "error parsing regexp: invalid escape sequence: `\\y` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /\\1/",
     "error parsing regexp: invalid escape sequence: `\\1` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /a{1001}/",
     "error parsing regexp: invalid repeat count: `{1001}` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /a{3,2}/",
     "error parsing regexp: invalid repeat count: `{3,2}` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /[b-a]/",
     "error parsing regexp: invalid character class range: `b-a` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /[[:foo:]]/",
     "error parsing regexp: invalid character class range: `[:foo:]` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /\\pX/",
     "error parsing regexp: invalid character class range: `\\pX` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /\\p{Foo}/",
     "error parsing regexp: invalid character class range: `\\p{Foo}` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /a++/",
     "error parsing regexp: invalid nested repetition operator: `++` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /x\\/", "bad regex:  at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(?z)/",
     "error parsing regexp: invalid or unsupported Perl syntax: `(?z` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(?i/",
     "error parsing regexp: invalid or unsupported Perl syntax: `(?i` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(?-)/",
     "error parsing regexp: invalid or unsupported Perl syntax: `(?-)` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE host =~ /(|a)*?+/",
     "error parsing regexp: invalid nested repetition operator: `*?+` at line 1, char 36"},
    {"SELECT value FROM cpu WHERE x = $p", "missing parameter: p"},
    {"SELECT value FROM cpu WHERE x = $", "empty bound parameter"},
    {"SELECT value FROM cpu WHERE x = 99999999999999999999", "unable to parse integer at line 1, char 33"},
    {"SELECT value FROM cpu WHERE x = -9223372036854775809",
     "constant -9223372036854775809 underflows int64"},
    {"SELECT value FROM cpu WHERE x = 1y", "invalid duration"},
    {"SELECT value FROM cpu WHERE x = 9999999w",
     "overflowed duration 9999999w: choose a smaller duration or INF"},
    {"SELECT value FROM cpu WHERE x = 'abc",
     "found abc, expected identifier, string, number, bool at line 1, char 32"},
    {"SELECT value FROM cpu WHERE x = 'a\\qb'",
     "found \\q, expected identifier, string, number, bool at line 1, char 36"},
    {"SELECT value FROM cpu WHERE x = \"abc",
     "found abc, expected identifier, string, number, bool at line 1, char 32"},
    {"SELECT value FROM cpu WHERE x = - 'a'",
     "found a, expected identifier, number, duration, ( at line 1, char 34"},
    {"SELECT value FROM cpu WHERE (x = 1", "found EOF, expected ) at line 1, char 35"},
    {"SELECT value FROM cpu WHERE x = 1)", "found ), expected ; at line 1, char 34"},
    {"SELECT value FROM cpu,/mem/", "found ,, expected regex at line 1, char 22"},
    {"SELECT value FROM cpu;; FOO", "found FOO, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, "
                                    "REVOKE, ALTER, SET, KILL at line 1, char 25"},
    {"SELECT value FROM (SELECT value FROM cpu", "found EOF, expected ) at line 1, char 42"},
    {"SELECT value FROM (SHOW DATABASES)", "found SHOW, expected SELECT at line 1, char 20"},
    {"SELECT value INTO FROM cpu", "found FROM, expected identifier at line 1, char 19"},
    {"SELECT value # FROM cpu", "found #, expected FROM at line 1, char 14"},
    {"SELECT value ! FROM cpu", "found !, expected FROM at line 1, char 14"},
    {"SELECT value /* FROM cpu", "found ILLEGAL, expected FROM at line 1, char 14"},
    {"SHOW",
     "found EOF, expected CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, GRANTS, MEASUREMENT, MEASUREMENTS, "
     "QUERIES, RETENTION, SERIES, SHARD, SHARDS, STATS, SUBSCRIPTIONS, TAG, USERS at line 1, char 6"},
    {"SHOW FOO",
     "found FOO, expected CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, GRANTS, MEASUREMENT, MEASUREMENTS, "
     "QUERIES, RETENTION, SERIES, SHARD, SHARDS, STATS, SUBSCRIPTIONS, TAG, USERS at line 1, char 6"},
    {"SHOW RETENTION", "found EOF, expected POLICIES at line 1, char 16"},
    {"SHOW RETENTION POLICIES ON", "found EOF, expected identifier at line 1, char 28"},
    {"SHOW TAG", "found EOF, expected KEY, KEYS, VALUES at line 1, char 10"},
    {"SHOW TAG KEY", "found EOF, expected EXACT, CARDINALITY at line 1, char 14"},
    {"SHOW TAG KEY EXACT", "found EOF, expected CARDINALITY at line 1, char 20"},
    {"SHOW TAG VALUES", "found EOF, expected WITH at line 1, char 17"},
    {"SHOW TAG VALUES WITH", "found EOF, expected KEY at line 1, char 22"},
    {"SHOW TAG VALUES WITH KEY", "found EOF, expected IN, =, =~ at line 1, char 26"},
    {"SHOW TAG VALUES WITH KEY >", "found >, expected IN, =, =~ at line 1, char 26"},
    {"SHOW TAG VALUES WITH KEY IN host", "found host, expected ( at line 1, char 29"},
    {"SHOW TAG VALUES WITH KEY IN (host", "found EOF, expected ) at line 1, char 35"},
    {"SHOW TAG VALUES WITH KEY = 'host'", "found host, expected identifier at line 1, char 27"},
    {"SHOW TAG VALUES WITH KEY =~ host", "found host, expected regex at line 1, char 29"},
    {"SHOW MEASUREMENT", "found EOF, expected EXACT, CARDINALITY at line 1, char 18"},
    {"SHOW MEASUREMENTS WITH", "found EOF, expected MEASUREMENT at line 1, char 24"},
    {"SHOW MEASUREMENTS WITH MEASUREMENT", "found EOF, expected =, =~ at line 1, char 36"},
    {"SHOW MEASUREMENTS WITH MEASUREMENT != x", "found !=, expected =, =~ at line 1, char 36"},
    {"SHOW SERIES EXACT x", "found x, expected ; at line 1, char 19"},
    {"SHOW FIELD", "found EOF, expected KEY, KEYS at line 1, char 12"},
    {"SHOW FIELD KEYS WHERE a = 'b'", "found WHERE, expected ; at line 1, char 17"},
    {"SHOW DATABASES LIMIT 1", "found LIMIT, expected ; at line 1, char 16"},
    {"SHOW GRANTS", "found EOF, expected FOR at line 1, char 13"},
    {"SHOW GRANTS FOR", "found EOF, expected identifier at line 1, char 17"},
    {"SHOW SHARD", "found EOF, expected GROUPS at line 1, char 12"},
    {"SHOW CONTINUOUS", "found EOF, expected QUERIES at line 1, char 17"},
    {"SHOW STATS FOR x", "found x, expected string at line 1, char 16"},
    {"CREATE", "found EOF, expected CONTINUOUS, DATABASE, USER, RETENTION, SUBSCRIPTION at line 1, char 8"},
    {"CREATE FOO",
     "found FOO, expected CONTINUOUS, DATABASE, USER, RETENTION, SUBSCRIPTION at line 1, char 8"},
    {"CREATE DATABASE", "found EOF, expected identifier at line 1, char 17"},
    {"CREATE DATABASE 'x'", "found x, expected identifier at line 1, char 16"},
    {"CREATE DATABASE x WITH", "found EOF, expected DURATION, NAME, REPLICATION, SHARD at line 1, char 24"},
    {"CREATE DATABASE x WITH FOO",
     "found FOO, expected DURATION, NAME, REPLICATION, SHARD at line 1, char 24"},
    {"CREATE DATABASE x WITH DURATION", "found EOF, expected duration at line 1, char 33"},
    {"CREATE DATABASE x WITH DURATION 1", "found 1, expected duration at line 1, char 33"},
    {"CREATE DATABASE x WITH REPLICATION 0",
     "invalid value 0: must be 1 <= n <= 2147483647 at line 1, char 36"},
    {"CREATE DATABASE x WITH REPLICATION 1.5", "found 1.5, expected integer at line 1, char 36"},
    {"CREATE DATABASE x WITH SHARD 1h", "found 1h, expected DURATION at line 1, char 30"},
    {"CREATE DATABASE x WITH NAME", "found EOF, expected identifier at line 1, char 29"},
    {"CREATE RETENTION POLICY p", "found EOF, expected ON at line 1, char 27"},
    {"CREATE RETENTION POLICY p ON d", "found EOF, expected DURATION at line 1, char 32"},
    {"CREATE RETENTION POLICY p ON d DURATION 1h", "found EOF, expected REPLICATION at line 1, char 43"},
    {"CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 99999999999",
     "invalid value 99999999999: must be 1 <= n <= 2147483647 at line 1, char 56"},
    {"CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 99999999999999999999",
     "strconv.Atoi: parsing \"99999999999999999999\": value out of range at line 1, char 56"},
    {"CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 1 SHARD DURATION INF",
     "invalid duration INF for shard duration at line 1, char 73"},
    {"CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 1 SHARD x",
     "found x, expected DURATION at line 1, char 64"},
    {"CREATE USER u", "found EOF, expected WITH at line 1, char 15"},
    {"CREATE USER u WITH PASSWORD x", "found x, expected string at line 1, char 29"},
    {"CREATE USER u WITH PASSWORD 'x' WITH ALL", "found EOF, expected PRIVILEGES at line 1, char 42"},
    {"CREATE CONTINUOUS QUERY q ON d BEGIN SELECT mean(v) FROM m GROUP BY time(1h) END",
     "found FROM, expected INTO at line 1, char 53"},
    {"CREATE CONTINUOUS QUERY q ON d BEGIN SELECT mean(v) INTO x FROM m END",
     "found m, expected GROUP BY time(...) at line 1, char 65"},
    {"CREATE CONTINUOUS QUERY q ON d BEGIN SELECT mean(v) INTO x FROM m GROUP BY time() END",
     "found ), expected GROUP BY time(...), time dimension expected 1 or 2 arguments at line 1, char 81"},
    {"CREATE CONTINUOUS QUERY q ON d RESAMPLE BEGIN SELECT v INTO x FROM m END",
     "found BEGIN, expected EVERY, FOR at line 1, char 41"},
    {"CREATE CONTINUOUS QUERY q ON d RESAMPLE FOR 1s BEGIN SELECT mean(v) INTO x FROM m GROUP BY time(1h) "
     "END",
     "FOR duration must be >= GROUP BY time duration: must be a minimum of 1h, got 1s"},
    {"CREATE CONTINUOUS QUERY q ON d BEGIN SELECT v INTO x FROM m",
     "found EOF, expected END at line 1, char 61"},
    {"CREATE SUBSCRIPTION s ON d DESTINATIONS ALL 'x'", "found  , expected . at line 1, char 27"},
    {"CREATE SUBSCRIPTION s ON d.r DESTINATIONS SOME 'x'",
     "found SOME, expected ALL, ANY at line 1, char 43"},
    {"CREATE SUBSCRIPTION s ON d.r DESTINATIONS ANY x", "found x, expected string at line 1, char 47"},
    {"ALTER", "found EOF, expected RETENTION at line 1, char 7"},
    {"ALTER RETENTION POLICY 1 ON d", "found 1, expected identifier at line 1, char 24"},
    {"ALTER RETENTION POLICY p ON d",
     "found EOF, expected DURATION, REPLICATION, SHARD, DEFAULT at line 1, char 31"},
    {"ALTER RETENTION POLICY p ON d DURATION 1h DURATION 2h",
     "found duplicate DURATION option at line 1, char 43"},
    {"ALTER RETENTION POLICY p ON d DEFAULT DEFAULT", "found duplicate DEFAULT option at line 1, char 39"},
    {"ALTER RETENTION POLICY p ON d SHARD DURATION INF",
     "invalid duration INF for shard duration at line 1, char 46"},
    {"DROP", "found EOF, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, SUBSCRIPTION, "
             "USER at line 1, char 6"},
    {"DROP FOO", "found FOO, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, "
                 "SUBSCRIPTION, USER at line 1, char 6"},
    {"DROP DATABASE", "found EOF, expected identifier at line 1, char 15"},
    {"DROP RETENTION POLICY p", "found EOF, expected ON at line 1, char 25"},
    {"DROP SERIES", "found EOF, expected FROM, WHERE at line 1, char 13"},
    {"DROP SERIES FROM d.r.m", "retention policy not supported at line 1, char 1"},
    {"DROP SERIES FROM r.m", "retention policy not supported at line 1, char 1"},
    {"DROP SHARD x", "found x, expected integer at line 1, char 12"},
    {"DROP SHARD 99999999999999999999",
     "strconv.ParseUint: parsing \"99999999999999999999\": value out of range at line 1, char 12"},
    {"DELETE", "found EOF, expected FROM, WHERE at line 1, char 8"},
    {"DELETE FROM d..m", "database not supported at line 1, char 1"},
    {"GRANT", "found EOF, expected READ, WRITE, ALL [PRIVILEGES] at line 1, char 7"},
    {"GRANT ALL", "found EOF, expected ON, TO at line 1, char 11"},
    {"GRANT READ TO u", "found TO, expected ON at line 1, char 12"},
    {"GRANT READ ON d", "found EOF, expected TO at line 1, char 17"},
    {"REVOKE ALL", "found EOF, expected ON, FROM at line 1, char 12"},
    {"REVOKE WRITE FROM u", "found FROM, expected ON at line 1, char 14"},
    {"REVOKE FOO", "found FOO, expected READ, WRITE, ALL [PRIVILEGES] at line 1, char 8"},
    {"SET PASSWORD u", "found u, expected FOR at line 1, char 14"},
    {"SET PASSWORD FOR u", "found EOF, expected = at line 1, char 20"},
    {"SET PASSWORD FOR u = x", "found x, expected string at line 1, char 22"},
    {"KILL QUERY x", "found x, expected integer at line 1, char 12"},
    {"KILL", "found EOF, expected QUERY at line 1, char 6"},
    {"EXPLAIN", "found EOF, expected SELECT at line 1, char 9"},
    {"EXPLAIN SHOW DATABASES", "found SHOW, expected SELECT at line 1, char 9"},
    {"SELECT a\n  FROM b\n  WHERE ?", "found ?, expected identifier, string, number, bool at line 3, char 9"},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct tsm_ast ast;
        struct tsm_err err = {0};
        int rc = tsm_parse_query(tsm_str_of(errors[i].query), &ast, &err);
        if (rc != TSM_EPARSE)
            fail_msg("accepted: %s", errors[i].query);
        assert_string_equal(err.msg, errors[i].error);
        tsm_ast_release(&ast);
    }
}

/* Parsing and printing gives the text; printed text parses to itself. text NULL: the query as it is. */
static const struct {
    const char *query, *text;
} selects[] = {
    {"SELECT value FROM cpu", NULL},
    {"select value from cpu", "SELECT value FROM cpu"},
    {"SELECT * FROM cpu", NULL},
    {"SELECT *::field, *::tag FROM cpu", NULL},
    {"SELECT a::float, b::integer, c::unsigned, d::string, e::boolean, f::tag, g::field FROM m", NULL},
    {"SELECT a::FLOAT FROM m", "SELECT a::float FROM m"},
    {"SELECT /a.*/ FROM m", NULL},
    {"SELECT /a\\/b/ FROM m", NULL},
    {"SELECT mean(value) AS \"a b\" FROM cpu", NULL},
    {"SELECT \"MAX\"(v) FROM m", "SELECT max(v) FROM m"},
    {"SELECT MAX(v) AS x, MIN( v ) FROM m", "SELECT max(v) AS x, min(v) FROM m"},
    {"SELECT count(distinct(v)) FROM m", NULL},
    {"SELECT DISTINCT v FROM m", NULL},
    {"SELECT percentile(v, 99.9) FROM m", "SELECT percentile(v, 99.900) FROM m"},
    {"SELECT top(v, host, 3) FROM m", NULL},
    {"SELECT mean(/x/) FROM m", NULL},
    {"SELECT a + b * c FROM m", NULL},
    {"SELECT (a + b) * c FROM m", NULL},
    {"SELECT -a FROM m", "SELECT -1 * a FROM m"},
    {"SELECT +a FROM m", "SELECT 1 * a FROM m"},
    {"SELECT -(a) FROM m", "SELECT -1 * (a) FROM m"},
    {"SELECT -5, -1.5, -10s FROM m", "SELECT -5, -1.500, -10s FROM m"},
    {"SELECT a % 3 & 7 | 8 ^ b / 2 FROM m", NULL},
    {"SELECT v FROM db.rp.m", NULL},
    {"SELECT v FROM db..m", "SELECT v FROM db..m"},
    {"SELECT v FROM rp.m", "SELECT v FROM rp.m"},
    {"SELECT v FROM rp./x/, db.rp./y/, /z/", "SELECT v FROM rp./x/, db.rp./y/, /z/"},
    {"SELECT v FROM \"select\", \"a b\", \"1x\", \"q\\\"\"", NULL},
    {"SELECT a.b.c FROM m", "SELECT \"a.b.c\" FROM m"},
    {"SELECT v INTO x FROM m", NULL},
    {"SELECT v INTO db.rp.:MEASUREMENT FROM m", "SELECT v INTO db.rp.:MEASUREMENT FROM m"},
    {"SELECT v FROM (SELECT max(v) AS v FROM m GROUP BY host)", NULL},
    {"SELECT v FROM m WHERE host = 'a' AND v > 1 OR v <= 2", NULL},
    {"SELECT v FROM m WHERE host = 'it\\'s' AND path = 'c:\\\\x\\n'", NULL},
    {"SELECT v FROM m WHERE host =~ /a/ AND host !~ /b/ AND v != 1 AND w <> 2",
     "SELECT v FROM m WHERE host =~ /a/ AND host !~ /b/ AND v != 1 AND w != 2"},
    {"SELECT v FROM m WHERE a = true AND b = FALSE", "SELECT v FROM m WHERE a = true AND b = false"},
    {"SELECT v FROM m WHERE time > now() - 1h AND time < '2020-01-01T00:00:00Z'", NULL},
    {"SELECT v FROM m WHERE time > 1500000001s", NULL},
    {"SELECT v FROM m WHERE a = 18446744073709551615 AND b = -9223372036854775808", NULL},
    {"SELECT v FROM m WHERE time > 1w2d3h4m5s6ms7u8ns", "SELECT v FROM m WHERE time > 788645006007008ns"},
    {"SELECT v FROM m WHERE time > 90m AND time < 10µ", "SELECT v FROM m WHERE time > 90m AND time < 10u"},
    {"SELECT v FROM m GROUP BY host, *, /x/, time(1m), time(1h, 5m)", NULL},
    {"SELECT mean(v) FROM m GROUP BY time(1m) fill(none)", NULL},
    {"SELECT mean(v) FROM m GROUP BY time(1m) fill(null)", "SELECT mean(v) FROM m GROUP BY time(1m)"},
    {"SELECT mean(v) FROM m GROUP BY time(1m) FILL(previous)",
     "SELECT mean(v) FROM m GROUP BY time(1m) fill(previous)"},
    {"SELECT mean(v) FROM m GROUP BY time(1m) fill(linear)", NULL},
    {"SELECT mean(v) FROM m GROUP BY time(1m) fill(100)", NULL},
    {"SELECT mean(v) FROM m GROUP BY time(1m) fill(-1.5)", NULL},
    {"SELECT v FROM m ORDER BY time DESC", NULL},
    {"SELECT v FROM m ORDER BY time", "SELECT v FROM m ORDER BY time ASC"},
    {"SELECT v FROM m ORDER BY DESC", NULL},
    {"SELECT v FROM m LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4", NULL},
    {"SELECT v FROM m LIMIT 99999999999999999999", "SELECT v FROM m LIMIT 9223372036854775807"},
    {"SELECT v FROM m LIMIT 0", "SELECT v FROM m"},
    {"SELECT v FROM m tz('Europe/Berlin')", "SELECT v FROM m TZ('Europe/Berlin')"},
    {"SELECT v -- comment\nFROM m/* an * other */;", "SELECT v FROM m"},
    {"  SELECT\r\n\tv\rFROM m", "SELECT v FROM m"},
};

static char *print_query(const char *query)
{
    struct tsm_ast ast;
    struct tsm_err err = {0};
    struct tsm_buf b = {0};
    if (tsm_parse_query(tsm_str_of(query), &ast, &err) != TSM_OK)
        fail_msg("%s: %s", query, err.msg);
    assert_int_equal(ast.nstatements, 1);
    assert_int_equal(ast.statements[0].kind, TSM_STATEMENT_SELECT);
    tsm_select_print(&b, ast.statements[0].u.select);
    tsm_ast_release(&ast);
    return tsm_buf_detach(&b, NULL);
}

static void test_selects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof selects / sizeof *selects; i++) {
        char *once = print_query(selects[i].query), *twice = print_query(once);
        assert_string_equal(once, selects[i].text ? selects[i].text : selects[i].query);
        assert_string_equal(twice, once);
        tsm_free(once);
        tsm_free(twice);
    }
}

/* ---- trees ------------------------------------------------------------------------------------ */

/* The tree with all parentheses that are not in the text. */
static void print_tree(struct tsm_buf *b, const struct tsm_expr *e)
{
    if (e->kind != TSM_EXPR_BINARY) {
        tsm_expr_print(b, e);
        return;
    }
    tsm_buf_byte(b, '[');
    print_tree(b, e->u.binary.lhs);
    tsm_buf_printf(b, " %s ", tsm_token_text(e->u.binary.op));
    print_tree(b, e->u.binary.rhs);
    tsm_buf_byte(b, ']');
}

static void test_precedence(void **state)
{
    static const char *const cases[][2] = {
        {"a + b + c", "[[a + b] + c]"},
        {"a + b * c - d", "[[a + [b * c]] - d]"},
        {"a * b + c", "[[a * b] + c]"},
        {"a | b & c ^ d", "[[a | [b & c]] ^ d]"},
        {"a = 1 AND b = 2 OR c = 3 AND d = 4", "[[[a = 1] AND [b = 2]] OR [[c = 3] AND [d = 4]]]"},
        {"a + 1 > b * 2 AND c", "[[[a + 1] > [b * 2]] AND c]"},
        {"a OR b AND c = d + e % f", "[a OR [b AND [c = [d + [e % f]]]]]"},
        {"-a * b", "[[-1 * a] * b]"},
        {"a - -b * c", "[a - [[-1 * b] * c]]"},
        {"a =~ /x/ OR b !~ /y/", "[[a =~ /x/] OR [b !~ /y/]]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_ast ast;
        struct tsm_expr *e;
        struct tsm_err err = {0};
        struct tsm_buf b = {0};
        assert_int_equal(tsm_parse_expr(tsm_str_of(cases[i][0]), &ast, &e, &err), TSM_OK);
        print_tree(&b, e);
        assert_string_equal(tsm_buf_cstr(&b), cases[i][1]);
        tsm_buf_release(&b);
        tsm_ast_release(&ast);
    }
}

static void parse(const char *query, struct tsm_ast *ast)
{
    struct tsm_err err = {0};
    if (tsm_parse_query(tsm_str_of(query), ast, &err) != TSM_OK)
        fail_msg("%s: %s", query, err.msg);
}

static void assert_str(struct tsm_str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    assert_memory_equal(s.p ? s.p : "", expected, s.n);
}

static void test_select_tree(void **state)
{
    struct tsm_ast ast;
    (void)state;
    parse(
        "SELECT mean(v) AS m, host::tag INTO d.r.t FROM d.r.cpu, /x/ WHERE time > 0 GROUP BY time(1m), host "
        "fill(7) ORDER BY time DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 tz('UTC')",
        &ast);
    const struct tsm_select *s = ast.statements[0].u.select;
    assert_int_equal(s->nfields, 2);
    assert_str(s->fields[0].alias, "m");
    assert_int_equal(s->fields[0].expr->kind, TSM_EXPR_CALL);
    assert_str(s->fields[0].expr->u.call.name, "mean");
    assert_int_equal(s->fields[0].expr->u.call.nargs, 1);
    assert_int_equal(s->fields[1].expr->u.var.type, TSM_DATA_TAG);
    assert_int_equal(s->fields[1].expr->pos.chr, 21);
    assert_str(s->target->database, "d");
    assert_str(s->target->name, "t");
    assert_int_equal(s->nsources, 2);
    assert_str(s->sources[0].rp, "r");
    assert_str(s->sources[0].name, "cpu");
    assert_non_null(s->sources[1].regex);
    assert_non_null(s->condition);
    assert_int_equal(s->ndimensions, 2);
    assert_int_equal(s->fill, TSM_FILL_NUMBER);
    assert_int_equal(s->fill_value->u.integer, 7);
    assert_true(s->ordered && s->descending);
    assert_int_equal(s->limit, 1);
    assert_int_equal(s->offset, 2);
    assert_int_equal(s->slimit, 3);
    assert_int_equal(s->soffset, 4);
    assert_str(s->zone, "UTC");
    assert_false(s->raw);
    tsm_ast_release(&ast);
}

static void test_statements(void **state)
{
    static const struct {
        const char *query;
        enum tsm_statement_kind kind;
        const char *title;
    } cases[] = {
        {"SHOW DATABASES", TSM_STATEMENT_SHOW_DATABASES, "SHOW DATABASES"},
        {"SHOW RETENTION POLICIES ON d", TSM_STATEMENT_SHOW_RETENTION_POLICIES, "SHOW RETENTION POLICIES"},
        {"SHOW MEASUREMENTS", TSM_STATEMENT_SHOW_MEASUREMENTS, "SHOW MEASUREMENTS"},
        {"SHOW SERIES", TSM_STATEMENT_SHOW_SERIES, "SHOW SERIES"},
        {"SHOW SERIES CARDINALITY", TSM_STATEMENT_SHOW_CARDINALITY, "SHOW SERIES CARDINALITY"},
        {"SHOW SERIES EXACT CARDINALITY", TSM_STATEMENT_SHOW_CARDINALITY, "SHOW SERIES EXACT CARDINALITY"},
        {"SHOW MEASUREMENT EXACT CARDINALITY", TSM_STATEMENT_SHOW_CARDINALITY,
         "SHOW MEASUREMENT EXACT CARDINALITY"},
        {"SHOW FIELD KEY CARDINALITY", TSM_STATEMENT_SHOW_CARDINALITY, "SHOW FIELD KEY CARDINALITY"},
        {"SHOW TAG KEYS", TSM_STATEMENT_SHOW_TAG_KEYS, "SHOW TAG KEYS"},
        {"SHOW TAG VALUES WITH KEY = a", TSM_STATEMENT_SHOW_TAG_VALUES, "SHOW TAG VALUES"},
        {"SHOW FIELD KEYS", TSM_STATEMENT_SHOW_FIELD_KEYS, "SHOW FIELD KEYS"},
        {"CREATE DATABASE d", TSM_STATEMENT_CREATE_DATABASE, "CREATE DATABASE"},
        {"DROP DATABASE d", TSM_STATEMENT_DROP_DATABASE, "DROP DATABASE"},
        {"CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 1", TSM_STATEMENT_CREATE_RETENTION_POLICY,
         "CREATE RETENTION POLICY"},
        {"ALTER RETENTION POLICY p ON d DEFAULT", TSM_STATEMENT_ALTER_RETENTION_POLICY,
         "ALTER RETENTION POLICY"},
        {"DROP RETENTION POLICY p ON d", TSM_STATEMENT_DROP_RETENTION_POLICY, "DROP RETENTION POLICY"},
        {"EXPLAIN ANALYZE SELECT v FROM m", TSM_STATEMENT_EXPLAIN, "EXPLAIN"},
        {"DELETE FROM m WHERE time < 0", TSM_STATEMENT_DELETE, "DELETE"},
        {"DROP SERIES FROM m", TSM_STATEMENT_DROP_SERIES, "DROP SERIES"},
        {"DROP MEASUREMENT m", TSM_STATEMENT_DROP_MEASUREMENT, "DROP MEASUREMENT"},
        {"SHOW USERS", TSM_STATEMENT_SHOW_USERS, "SHOW USERS"},
        {"GRANT ALL TO u", TSM_STATEMENT_GRANT, "GRANT"},
        {"KILL QUERY 1", TSM_STATEMENT_KILL_QUERY, "KILL QUERY"},
        {"CREATE CONTINUOUS QUERY q ON d RESAMPLE EVERY 10s FOR 1h BEGIN SELECT mean(v) INTO x FROM m GROUP "
         "BY "
         "time(5m) END",
         TSM_STATEMENT_CREATE_CONTINUOUS_QUERY, "CREATE CONTINUOUS QUERY"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_ast ast;
        parse(cases[i].query, &ast);
        assert_int_equal(ast.nstatements, 1);
        assert_int_equal(ast.statements[0].kind, cases[i].kind);
        assert_string_equal(ast.statements[0].title, cases[i].title);
        tsm_ast_release(&ast);
    }
}

static void test_show_clauses(void **state)
{
    struct tsm_ast ast;
    (void)state;
    parse("SHOW TAG VALUES ON d FROM a, /b/ WITH KEY IN (x, \"y z\", w) WHERE h = 'q' ORDER BY time DESC "
          "LIMIT 5 OFFSET 6",
          &ast);
    const struct tsm_show *s = &ast.statements[0].u.show;
    assert_str(s->database, "d");
    assert_int_equal(s->nsources, 2);
    assert_int_equal(s->key_op, TSM_TOK_IN);
    assert_int_equal(s->key->u.list.n, 3);
    assert_str(s->key->u.list.items[0], "x");
    assert_str(s->key->u.list.items[1], "y z");
    assert_str(s->key->u.list.items[2], "w");
    assert_non_null(s->condition);
    assert_true(s->descending);
    assert_int_equal(s->limit, 5);
    assert_int_equal(s->offset, 6);
    tsm_ast_release(&ast);
}

static void test_ddl_clauses(void **state)
{
    struct tsm_ast ast;
    (void)state;
    parse("CREATE DATABASE d WITH DURATION 3d REPLICATION 2 SHARD DURATION 1h NAME p; CREATE DATABASE e WITH "
          "NAME q;"
          "ALTER RETENTION POLICY p ON d SHARD DURATION 2h DURATION INF",
          &ast);
    assert_int_equal(ast.nstatements, 3);
    const struct tsm_ddl *d = &ast.statements[0].u.ddl;
    assert_str(d->database, "d");
    assert_str(d->name, "p");
    assert_true(d->with_policy && d->has_duration && d->has_replication && d->has_shard_duration);
    assert_int_equal(d->duration, 3 * 86400 * 1000000000LL);
    assert_int_equal(d->replication, 2);
    assert_int_equal(d->shard_duration, 3600 * 1000000000LL);
    d = &ast.statements[1].u.ddl;
    assert_true(d->with_policy && !d->has_duration && !d->has_replication && !d->has_shard_duration);
    d = &ast.statements[2].u.ddl;
    assert_true(d->has_duration && d->has_shard_duration && !d->has_replication && !d->make_default);
    assert_int_equal(d->duration, 0);
    tsm_ast_release(&ast);
}

static void test_field_names(void **state)
{
    static const char *const cases[][2] = {
        {"v", "v"},       {"mean(v)", "mean"}, {"v AS x", "x"},
        {"a + b", "a_b"}, {"(a)", "a"},        {"mean(a) / max(b)", "mean_max"},
        {"1", ""},        {"a * 2", "a"},      {"-(a + b)", "a_b"},
        {"'x'", ""},      {"a.b", "a.b"},      {"(mean(v))", "mean"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_ast ast;
        char query[100];
        snprintf(query, sizeof query, "SELECT %s FROM m", cases[i][0]);
        parse(query, &ast);
        assert_str(tsm_field_name(&ast.arena, &ast.statements[0].u.select->fields[0]), cases[i][1]);
        tsm_ast_release(&ast);
    }
}

/* ---- limits ----------------------------------------------------------------------------------- */

static int parse_repeated(const char *before, const char *piece, size_t n, const char *after,
                          struct tsm_err *err)
{
    struct tsm_buf b = {0};
    struct tsm_ast ast;
    tsm_buf_puts(&b, before);
    for (size_t i = 0; i < n; i++)
        tsm_buf_puts(&b, piece);
    tsm_buf_puts(&b, after);
    int rc = tsm_parse_query(tsm_buf_view(&b), &ast, err);
    tsm_ast_release(&ast);
    tsm_buf_release(&b);
    return rc;
}

static void test_limits(void **state)
{
    struct tsm_err err = {0};
    (void)state;
    assert_int_equal(parse_repeated("SELECT ", "(", 100000, "", &err), TSM_EPARSE);
    assert_string_equal(err.msg, "expression is nested too deeply");
    assert_int_equal(parse_repeated("SELECT ", "f(", 100000, "", &err), TSM_EPARSE);
    assert_int_equal(parse_repeated("SELECT v FROM ", "(SELECT v FROM ", 100000, "", &err), TSM_EPARSE);
    assert_non_null(strstr(err.msg, "is nested too deeply"));
    assert_int_equal(parse_repeated("SELECT v FROM m WHERE a = 1", " OR a = 1", 1000000, "", &err),
                     TSM_EPARSE);
    assert_string_equal(err.msg, "expression has too many operators");
    assert_int_equal(parse_repeated("SELECT v FROM m WHERE a = 1", " OR a = 1", 9000, "", &err), TSM_OK);
    assert_int_equal(parse_repeated("SELECT v FROM m WHERE ", "(", 1, "a = 1)", &err), TSM_OK);
    assert_int_equal(parse_repeated("SELECT a", ", a", 100000, " FROM m", &err), TSM_OK);
    assert_int_equal(parse_repeated("", "SHOW DATABASES;", 100000, "", &err), TSM_OK);
}

static void test_empty(void **state)
{
    static const char *const queries[] = {"", " ", ";", ";;", "-- comment", "/* */ ;"};
    (void)state;
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct tsm_ast ast;
        parse(queries[i], &ast);
        assert_int_equal(ast.nstatements, 0);
        tsm_ast_release(&ast);
    }
}

static void test_copy(void **state)
{
    struct tsm_ast ast;
    struct tsm_expr *e;
    struct tsm_err err = {0};
    struct tsm_arena arena = {0};
    struct tsm_buf a = {0}, b = {0};
    (void)state;
    assert_int_equal(tsm_parse_expr(TSM_STR("f(a, (b + 1)) = 'x' AND c =~ /r/ OR d > 1h"), &ast, &e, &err),
                     TSM_OK);
    struct tsm_expr *copy = tsm_expr_copy(&arena, e);
    tsm_expr_print(&a, e);
    memset(e, 0xa5, sizeof *e);
    tsm_expr_print(&b, copy);
    assert_string_equal(tsm_buf_cstr(&a), tsm_buf_cstr(&b));
    tsm_buf_release(&a);
    tsm_buf_release(&b);
    tsm_ast_release(&ast);
    tsm_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_selects),
        cmocka_unit_test(test_precedence),  cmocka_unit_test(test_select_tree),
        cmocka_unit_test(test_statements),  cmocka_unit_test(test_show_clauses),
        cmocka_unit_test(test_ddl_clauses), cmocka_unit_test(test_field_names),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_empty),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
