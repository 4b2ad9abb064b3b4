/*
 * test_show.c: SHOW, EXPLAIN and KILL against what influxd answered (cases/show.cases), and what no file can hold: statements
 * about the process, queries that are killed, limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/time.h"
#include "query_cases.h"

static char dir[64], many_dir[64];
static struct query_cases cases;

static struct tsm_query_options options(void)
{
    struct tsm_query_options o = {.fs = &tsm_fs_posix, .dir = dir, .database = TSM_STR("cases")};
    o.now = 1700000300 * TSM_SEC;
    o.jobs = 1;
    o.memory = 64 << 20;
    return o;
}

static char *ask(const char *query)
{
    struct tsm_query_options o = options();
    return query_answer(&o, tsm_str_of(query));
}

static void write_many(void)
{
    struct tsm_buf lines = {0};
    for (int i = 0; i < 30000; i++)
        tsm_buf_printf(&lines, "many,n=%d v=%d %lld\n", i % 5000, i, (long long)(1583020800 + i) * TSM_SEC);
    query_cases_write(many_dir, "many", "", tsm_buf_view(&lines));
    tsm_buf_release(&lines);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tsmkit-test-XXXXXX");
    snprintf(many_dir, sizeof many_dir, "/tmp/tsmkit-test-XXXXXX");
    if (!mkdtemp(dir) || !mkdtemp(many_dir))
        return -1;
    char *answer = ask(
        "CREATE DATABASE cases; CREATE RETENTION POLICY short ON cases DURATION INF REPLICATION 1 "
        "SHARD DURATION 1d; CREATE DATABASE empty");
    assert_null(strstr(answer, "error"));
    tsm_free(answer);
    query_cases_write(dir, "cases", "", query_cases_section(&cases, "data"));
    query_cases_write(dir, "cases", "short", query_cases_section(&cases, "short"));
    write_many();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int rc = tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
    return tsm_fs_remove_tree(&tsm_fs_posix, many_dir, NULL) | rc;
}

static void test_case(void **state)
{
    const struct query_case *c = *state;
    char *want = tsm_strndup(c->answer.p, c->answer.n);
    struct tsm_query_options o = options();
    char *got = query_answer(&o, c->query);
    assert_string_equal(got, want);
    tsm_free(got);
    tsm_free(want);
}

/* ---- about the process ------------------------------------------------------------------------- */

static void assert_has(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        fail_msg("%s is not in %s", part, answer);
}

static void test_process(void **state)
{
    (void)state;
    char *stats = ask("SHOW STATS"), *all = ask("SHOW DIAGNOSTICS"),
         *build = ask("SHOW DIAGNOSTICS FOR 'build'");
    assert_has(
        stats,
        "{\"name\":\"runtime\",\"columns\":[\"Alloc\",\"HeapAlloc\",\"HeapIdle\",\"HeapInUse\",\"HeapSys\","
        "\"NumGoroutine\",\"Sys\"],\"values\":[[");
    assert_has(all, "{\"name\":\"build\",\"columns\":[\"Branch\",\"Build Time\",\"Commit\",\"Version\"]");
    assert_has(all, "{\"name\":\"network\",\"columns\":[\"hostname\"]");
    assert_has(all, "{\"name\":\"runtime\",\"columns\":[\"GOARCH\",\"GOMAXPROCS\",\"GOOS\",\"version\"]");
    assert_has(all, "{\"name\":\"system\",\"columns\":[\"PID\",\"currentTime\",\"started\",\"uptime\"]");
    assert_string_equal(
        build,
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"build\",\"columns\":[\"Branch\","
        "\"Build Time\",\"Commit\",\"Version\"],\"values\":[[\"\",\"\",\"\",\"" TSM_VERSION_TEXT "\"]]}]}]}");
    tsm_free(stats);
    tsm_free(all);
    tsm_free(build);
}

static int own_stats(void *ctx, struct tsm_str module, bool diagnostics, struct tsm_sink *sink,
                     struct tsm_err *err)
{
    (void)sink;
    (void)err;
    ++*(int *)ctx;
    assert_true(tsm_str_eq(module, TSM_STR("httpd")));
    assert_true(diagnostics);
    return TSM_OK;
}

static void test_own_stats(void **state)
{
    (void)state;
    int calls = 0;
    struct tsm_query_options o = options();
    o.stats = own_stats;
    o.stats_ctx = &calls;
    char *answer = query_answer(&o, TSM_STR("SHOW DIAGNOSTICS FOR 'httpd'"));
    assert_string_equal(answer, "{\"results\":[{\"statement_id\":0}]}");
    assert_int_equal(calls, 1);
    tsm_free(answer);
}

static void test_analyze(void **state)
{
    (void)state;
    char *answer = ask("EXPLAIN ANALYZE SELECT mean(v), max(i) FROM cpu WHERE host = 'a' AND v > 0");
    static const char *const parts[] = {
        "\"columns\":[\"EXPLAIN ANALYZE\"],\"values\":[[\".\"],[\"└── select\"],[\"    ├── execution_time: ",
        "[\"    ├── planning_time: ",
        "[\"    ├── total_time: ",
        "[\"    ├── threads: 1\"],[\"    ├── series: 1\"],[\"    ├── rows: 1\"],[\"    └── build_cursor\"],",
        "statement: SELECT mean(v), max(i) FROM cpu WHERE host = 'a' AND v \\u003e 0\"]",
        "expr: mean(v::float)\"]",
        "expr: max(i::integer)\"]",
        "measurement: cpu\"],",
        "cursors_ref: 1\"],",
        "cursors_cond: 1\"],",
        "blocks: 2\"]", /* the field, and that of the condition */
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_has(answer, parts[i]);
    tsm_free(answer);
    answer = ask("EXPLAIN ANALYZE SELECT mean(v) FROM nosuch..cpu");
    assert_string_equal(answer,
                        "{\"results\":[{\"statement_id\":0,\"error\":\"database not found: nosuch\"}]}");
    tsm_free(answer);
}

/* ---- running queries --------------------------------------------------------------------------- */

static void test_queries(void **state)
{
    (void)state;
    struct tsm_query_options o = options();
    char *answer = query_answer(&o, TSM_STR("SHOW QUERIES"));
    assert_string_equal(
        answer, "{\"results\":[{\"statement_id\":0,\"series\":[{\"columns\":[\"qid\",\"query\",\"database\","
                "\"duration\",\"status\"]}]}]}");
    tsm_free(answer);
    struct tsm_query_control a = {0}, b = {0};
    struct tsm_err err = {0};
    o.tasks = tsm_tasks_new(0);
    o.control = &b;
    assert_int_equal(
        tsm_tasks_add(o.tasks, TSM_STR("SELECT v FROM cpu"), TSM_STR("cases"), &a, &o.task, &err), TSM_OK);
    assert_int_equal(tsm_tasks_add(o.tasks, TSM_STR("KILL QUERY 1"), TSM_STR(""), &b, &o.task, &err), TSM_OK);
    answer = query_answer(&o, TSM_STR("KILL QUERY 1; SHOW QUERIES; KILL QUERY 1"));
    assert_has(answer, "{\"statement_id\":0},{\"statement_id\":1,");
    assert_has(answer, "[1,\"SELECT v FROM cpu\",\"cases\",\"");
    assert_has(answer, "\",\"killed\"],[2,\"KILL QUERY 1\",\"\",\"");
    assert_has(answer, "\",\"running\"]]}]},{\"statement_id\":2,\"error\":\"already killed\"}]}");
    assert_int_equal(atomic_load(&a.end), TSM_END_KILLED);
    tsm_free(answer);
    tsm_tasks_free(o.tasks);
}

/* Every statement that reads ends when its query has been killed; none gives a part of its answer. */
static void test_killed(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "SELECT v FROM cpu",
        "SELECT mean(v) FROM cpu GROUP BY time(1h)",
        "SELECT v FROM cpu WHERE host = 'a' AND i > 0",
        "SHOW MEASUREMENTS",
        "SHOW SERIES",
        "SHOW SERIES WHERE time > 0",
        "SHOW TAG KEYS",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW FIELD KEYS",
        "SHOW SERIES CARDINALITY",
        "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = host",
        "SHOW DATABASES",
        "EXPLAIN SELECT v FROM cpu",
        "EXPLAIN ANALYZE SELECT v FROM cpu",
    };
    static const struct {
        enum tsm_query_end end;
        const char *text;
    } ends[] = {{TSM_END_KILLED, "query interrupted"},
                {TSM_END_TIMEOUT, "query-timeout limit exceeded"},
                {TSM_END_SHUTDOWN, "query engine shutdown"}};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            struct tsm_query_control c = {.end = ends[k].end};
            struct tsm_query_options o = options();
            char want[128];
            o.control = &c;
            snprintf(want, sizeof want, "{\"results\":[{\"statement_id\":0,\"error\":\"%s\"}]}",
                     ends[k].text);
            char *answer = query_answer(&o, tsm_str_of(queries[i]));
            assert_string_equal(answer, want);
            tsm_free(answer);
        }
    }
}

/* A sink that kills its own query at the first rows. */
struct killer {
    struct tsm_sink base;
    struct tsm_query_control *control;
    uint64_t rows;
    bool interrupted;
};

static int killer_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s;
    (void)id;
    (void)err;
    return TSM_OK;
}

static int killer_series(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    (void)s;
    (void)head;
    (void)err;
    return TSM_OK;
}

static int killer_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct killer *k = (struct killer *)s;
    (void)err;
    k->rows += rows->n;
    atomic_store(&k->control->end, TSM_END_KILLED);
    return TSM_OK;
}

static int killer_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s;
    (void)err;
    return TSM_OK;
}

static int killer_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)err;
    ((struct killer *)s)->interrupted = error && strcmp(error, "query interrupted") == 0;
    return TSM_OK;
}

static void test_kill_while_giving(void **state)
{
    (void)state;
    static const char *const queries[] = {"SELECT v FROM many", "SHOW SERIES", "SHOW TAG VALUES WITH KEY = n",
                                          "SELECT mean(v) FROM many WHERE time >= 0 GROUP BY time(1m)"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct tsm_query_control c = {0};
        struct killer k = {.base = {.statement_begin = killer_begin,
                                    .series_begin = killer_series,
                                    .rows = killer_rows,
                                    .series_end = killer_series_end,
                                    .statement_end = killer_end},
                           .control = &c};
        struct tsm_query_options o = options();
        struct tsm_err err = {0};
        o.dir = many_dir;
        o.database = TSM_STR("many");
        o.control = &c;
        assert_int_equal(tsm_query_run(&o, tsm_str_of(queries[i]), &k.base, NULL, &err), TSM_EQUERY);
        assert_true(k.interrupted);
        assert_in_range(k.rows, 1, 8192); /* a batch */
    }
}

/* ---- limits ------------------------------------------------------------------------------------ */

static void assert_error(struct tsm_query_control *c, const char *query, const char *error)
{
    struct tsm_query_options o = options();
    char want[192];
    o.dir = many_dir;
    o.database = TSM_STR("many");
    o.control = c;
    atomic_store(&c->points, 0);
    char *answer = query_answer(&o, tsm_str_of(query));
    if (error) {
        snprintf(want, sizeof want, "{\"results\":[{\"statement_id\":0,\"error\":\"%s\"}]}", error);
        assert_string_equal(answer, want);
    } else {
        assert_null(strstr(answer, "\"error\""));
    }
    tsm_free(answer);
}

static void test_limits(void **state)
{
    (void)state;
    struct tsm_query_control points = {.max_points = 10};
    assert_error(&points, "SELECT v FROM many WHERE n = '7'", NULL); /* 6 of them */
    assert_error(&points, "SELECT sum(v) FROM many WHERE n = '7' OR n = '8'",
                 "max-select-point limit exceeed: (12/10)");
    struct tsm_query_control series = {.max_series = 3};
    assert_error(&series, "SELECT v FROM many WHERE n =~ /^1[012]$/", NULL);
    assert_error(&series, "SELECT v FROM many WHERE n =~ /^1[0123]$/",
                 "max-select-series limit exceeded: (4/3)");
    assert_error(&series, "SELECT max(v) FROM many", "max-select-series limit exceeded: (4/3)");
    assert_error(&series, "SHOW TAG VALUES WITH KEY = n LIMIT 5", NULL);
    struct tsm_query_control buckets = {.max_buckets = 5};
    static const char within[] = "SELECT max(v) FROM many WHERE time >= '2020-03-01T00:00:00Z' AND "
                                 "time < '2020-03-01T00:05:00Z' GROUP BY time(1m)";
    static const char beyond[] = "SELECT max(v) FROM many WHERE time >= '2020-03-01T00:00:00Z' AND "
                                 "time <= '2020-03-01T00:05:01Z' GROUP BY time(1m)";
    assert_error(&buckets, within, NULL);
    assert_error(&buckets, beyond, "max-select-buckets limit exceeded: (6/5)");
    assert_error(&buckets, "SELECT max(v) FROM many WHERE time < '2020-03-01T00:09:00Z' GROUP BY time(1m)",
                 NULL);
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const queries[][2] = {
        {"SHOW SERIES", "the list of series"},
        {"SHOW TAG VALUES WITH KEY = n", "the list of tag values"},
        {"SHOW SERIES WHERE time > 0", "the list of series"},
        {"SHOW TAG VALUES EXACT CARDINALITY WITH KEY = n", "the "},
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct tsm_query_options o = options();
        o.dir = many_dir;
        o.database = TSM_STR("many");
        o.memory = 30000;
        char *answer = query_answer(&o, tsm_str_of(queries[i][0]));
        assert_has(answer, queries[i][1]);
        assert_has(answer, " needs more than the memory limit of 30000 bytes\"}");
        tsm_free(answer);
    }
}

int main(void)
{
    query_cases_load(&cases, "tests/unit/cases/show.cases");
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_process), cmocka_unit_test(test_own_stats),
        cmocka_unit_test(test_analyze), cmocka_unit_test(test_queries),
        cmocka_unit_test(test_killed),  cmocka_unit_test(test_kill_while_giving),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_memory),
    };
    size_t n = sizeof others / sizeof *others;
    struct CMUnitTest *tests = tsm_calloc(cases.n + n, sizeof *tests);
    for (size_t i = 0; i < cases.n; i++) {
        tests[i] = (struct CMUnitTest){.name = tsm_strndup(cases.items[i].query.p, cases.items[i].query.n)};
        tests[i].test_func = test_case;
        tests[i].initial_state = &cases.items[i];
    }
    memcpy(tests + cases.n, others, sizeof others);
    int failed = _cmocka_run_group_tests("show", tests, cases.n + n, setup, teardown);
    for (size_t i = 0; i < cases.n; i++)
        tsm_free((char *)(uintptr_t)tests[i].name);
    tsm_free(tests);
    query_cases_release(&cases);
    return failed;
}
