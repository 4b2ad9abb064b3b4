/*
 * test_select.c: SELECT against what influxd answered (the files below, each a database): each case with one thread and
 * with three, and with memory for a few rows at a time, which must not change the answer.
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
#include "result/writer.h"
#include "format/line.h"
#include "query/query.h"
#include "store/engine.h"

static struct file {
    const char *path, *database;
    struct tsm_buf text;
} files[] = {
    {.path = "tests/unit/cases/select.cases", .database = "cases"},
    {.path = "tests/unit/cases/expression.cases", .database = "expression"},
    {.path = "tests/unit/cases/zone.cases", .database = "zone"},
    {.path = "tests/unit/cases/function.cases", .database = "function"},
    {.path = "tests/unit/cases/subquery.cases", .database = "subquery"},
};
#define FILES (sizeof files / sizeof *files)

static char dir[64];

struct a_case {
    const struct file *file;
    struct tsm_str query, answer;
};

static struct a_case *cases;
static size_t ncases, capcases;

/* The next line of *rest, without its end. */
static struct tsm_str take_line(struct tsm_str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct tsm_str line = tsm_str(rest->p, n);
    *rest = tsm_str(rest->p + n + (end != NULL), rest->n - n - (end != NULL));
    return line;
}

static void no_reject(void *ctx, uint32_t line, struct tsm_str point, const char *cause)
{
    (void)ctx;
    fail_msg("line %u: %.*s: %s", line, (int)point.n, point.p, cause);
}

static void write_points(const char *database, struct tsm_str lines)
{
    struct tsm_engine_options o = {
        .dir = dir, .database = tsm_str_of(database), .holder = "test", .memory = 1 << 24};
    o.jobs = 1;
    struct tsm_line_options lo = {.unit = 1};
    struct tsm_engine *e;
    struct tsm_points points = {0};
    struct tsm_err err = {0};
    assert_int_equal(tsm_engine_open(&tsm_fs_posix, &o, &e, &err), TSM_OK);
    tsm_line_parse(lines, &lo, &points, no_reject, NULL);
    assert_int_equal(tsm_engine_write(e, &points, no_reject, NULL, &err), TSM_OK);
    assert_int_equal(tsm_engine_sync(e, &err), TSM_OK);
    tsm_engine_close(e);
    tsm_points_release(&points);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tsmkit-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    for (size_t i = 0; i < FILES; i++) {
        struct tsm_str rest = tsm_buf_view(&files[i].text), line;
        while (rest.n && !tsm_str_eq(take_line(&rest), TSM_STR("%data")))
            ;
        const char *from = rest.p;
        do
            line = take_line(&rest);
        while (rest.n && !tsm_str_eq(line, TSM_STR("%cases")));
        write_points(files[i].database, tsm_str(from, (size_t)(line.p - from)));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tsm_fs_remove_tree(&tsm_fs_posix, dir, NULL);
}

/* The answer in JSON, to be freed. */
static char *answer(const char *database, struct tsm_str query, unsigned jobs, size_t memory)
{
    struct tsm_query_options o = {.fs = &tsm_fs_posix, .dir = dir, .database = tsm_str_of(database)};
    o.now = 1700000300 * TSM_SEC;
    o.jobs = jobs;
    o.memory = memory;
    struct tsm_result_options ro = {.format = TSM_FORMAT_JSON};
    struct tsm_output out;
    tsm_output_init(&out, 1);
    out.limit = SIZE_MAX; /* keeps everything */
    struct tsm_sink *sink = tsm_result_writer_new(&ro, &out);
    struct tsm_err err = {0};
    int code = tsm_query_run(&o, query, sink, NULL, &err);
    if (code == TSM_EPARSE) {
        tsm_result_writer_free(sink);
        tsm_buf_reset(&out.buf);
        tsm_json_error(&out.buf, err.msg, false);
    } else {
        assert_true(code == TSM_OK || code == TSM_EQUERY || code == TSM_ELIMIT);
        assert_int_equal(tsm_result_writer_finish(sink, &err), TSM_OK);
    }
    char *json = tsm_strndup((char *)out.buf.data, out.buf.len ? out.buf.len - 1 : 0);
    tsm_buf_reset(&out.buf);
    tsm_output_release(&out);
    return json;
}

static void test_case(void **state)
{
    const struct a_case *c = *state;
    char *want = tsm_strndup(c->answer.p, c->answer.n);
    static const struct {
        unsigned jobs;
        size_t memory;
    } runs[] = {{1, 64 << 20}, {3, 64 << 20}, {2, 300 << 10}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *got = answer(c->file->database, c->query, runs[i].jobs, runs[i].memory);
        assert_string_equal(got, want);
        tsm_free(got);
    }
    tsm_free(want);
}

static void test_limit(void **state)
{
    (void)state;
    struct tsm_query_options o = {.fs = &tsm_fs_posix, .dir = dir, .database = TSM_STR("cases")};
    o.jobs = 1;
    o.memory = 1000;
    struct tsm_result_options ro = {.format = TSM_FORMAT_JSON};
    struct tsm_output out;
    tsm_output_init(&out, 1);
    out.limit = SIZE_MAX;
    struct tsm_sink *sink = tsm_result_writer_new(&ro, &out);
    struct tsm_err err = {0};
    assert_int_equal(tsm_query_run(&o, TSM_STR("select median(v) from cpu"), sink, NULL, &err), TSM_EQUERY);
    assert_string_equal(err.msg, "the query needs more than its memory limit of 1000 bytes");
    tsm_result_writer_free(sink);
    tsm_buf_reset(&out.buf);
    tsm_output_release(&out);
}

/* Series that share many times, a few thousand rows: what is read in slices comes in the same order as at
 * once. */
static void test_slices(void **state)
{
    (void)state;
    struct tsm_buf lines = {0};
    uint64_t seed = 5;
    for (int s = 0; s < 40; s++) {
        for (int64_t t = 0, row = 0; row < 150; row++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            unsigned r = (unsigned)(seed >> 33);
            t += r % 7 ? 1 : 20;
            tsm_buf_printf(&lines, "sliced,a=%d,b=%d v=%u,i=%di", s % 5, s, r % 10, r % 3);
            if (r % 4)
                tsm_buf_printf(&lines, ",s=\"%c\"", 'x' + r % 3);
            tsm_buf_printf(&lines, " %lld\n", (long long)(1700000000 + t) * TSM_SEC);
        }
    }
    for (int row = 0; row < 8000; row++)
        tsm_buf_printf(&lines, "whole v=%d,i=%di %lld\n", row * 7919 % 1009, row % 13,
                       (long long)(1700000000 + row * 3 + row % 2) * TSM_SEC);
    write_points("cases", tsm_buf_view(&lines));
    tsm_buf_release(&lines);
    static const char *const queries[] = {
        "select moving_average(v, 3) from whole",
        "select derivative(v) * 2 from whole where i > 2",
        "select elapsed(i, 1s) from whole limit 2000 offset 5000",
        "select v from sliced",
        "select * from sliced",
        "select s, v from sliced where i > 0",
        "select a, v from sliced",
        "select v from sliced group by a",
        "select v from sliced limit 1200 offset 2500",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        for (int down = 0; down < 2; down++) {
            char query[128];
            const char *limit = strstr(queries[i], " limit");
            int n = limit ? (int)(limit - queries[i]) : (int)strlen(queries[i]);
            snprintf(query, sizeof query, "%.*s%s%s", n, queries[i], down ? " order by time desc" : "",
                     limit ? limit : "");
            char *want = answer("cases", tsm_str_of(query), 1, 64 << 20),
                 *got = answer("cases", tsm_str_of(query), 2, 150 << 10);
            assert_true(strlen(want) > 30000);
            assert_string_equal(got, want);
            tsm_free(want);
            tsm_free(got);
        }
    }
}

static void test_missing_sources(void **state)
{
    (void)state;
    static const char *const queries[][2] = {
        {"select v from nodb..cpu", "database not found: nodb"},
        {"select v from cases.norp.cpu", "retention policy not found: norp"},
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        char want[256], *got = answer("cases", tsm_str_of(queries[i][0]), 1, 64 << 20);
        snprintf(want, sizeof want, "{\"results\":[{\"statement_id\":0,\"error\":\"%s\"}]}", queries[i][1]);
        assert_string_equal(got, want);
        tsm_free(got);
    }
}

static void load_file(struct file *file)
{
    FILE *f = fopen(file->path, "r");
    if (!f) {
        perror(file->path);
        exit(1);
    }
    size_t n;
    do {
        n = fread(tsm_buf_room(&file->text, 65536), 1, 65536, f);
        file->text.len += n;
    } while (n);
    fclose(f);
    struct tsm_str rest = tsm_buf_view(&file->text);
    while (rest.n && !tsm_str_eq(take_line(&rest), TSM_STR("%cases")))
        ;
    while (rest.n) {
        struct a_case c = {.file = file};
        c.query = take_line(&rest);
        c.answer = take_line(&rest);
        take_line(&rest);
        if (c.query.n && c.query.p[0] == '#') /* by hand: see tests/interop/record.py */
            c.query = tsm_str(c.query.p + 1, c.query.n - 1);
        TSM_GROW(cases, ncases + 1, capcases);
        cases[ncases++] = c;
    }
}

int main(void)
{
    for (size_t i = 0; i < FILES; i++)
        load_file(&files[i]);
    struct CMUnitTest *tests = tsm_calloc(ncases + 3, sizeof *tests);
    for (size_t i = 0; i < ncases; i++) {
        tests[i] = (struct CMUnitTest){.name = tsm_strndup(cases[i].query.p, cases[i].query.n)};
        tests[i].test_func = test_case;
        tests[i].initial_state = &cases[i];
    }
    tests[ncases] = (struct CMUnitTest)cmocka_unit_test(test_limit);
    tests[ncases + 1] = (struct CMUnitTest)cmocka_unit_test(test_missing_sources);
    tests[ncases + 2] = (struct CMUnitTest)cmocka_unit_test(test_slices);
    int failed = _cmocka_run_group_tests("select", tests, ncases + 3, setup, teardown);
    for (size_t i = 0; i < ncases; i++)
        tsm_free((char *)(uintptr_t)tests[i].name);
    tsm_free(tests);
    tsm_free(cases);
    for (size_t i = 0; i < FILES; i++)
        tsm_buf_release(&files[i].text);
    return failed;
}
