/* tests/unit/test_schedule.c: when continuous queries run, and over which intervals: the tables of InfluxDB's own tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/time.h"
#include "query/parser.h"
#include "query/schedule.h"

#include "base/banned.h"

static struct tsm_ast ast;

static struct tsm_schedule schedule(const char *resample, const char *select)
{
    struct tsm_buf text = {0};
    struct tsm_schedule s;
    struct tsm_err err;
    tsm_ast_release(&ast);
    tsm_buf_printf(&text, "CREATE CONTINUOUS QUERY cq ON db %s BEGIN %s END", resample, select);
    if (tsm_parse_query(tsm_buf_view(&text), &ast, &err) != TSM_OK ||
        tsm_schedule_of(&ast.statements[0].u.continuous, &s, &err) != TSM_OK)
        fail_msg("%s: %s", tsm_buf_cstr(&text), err.msg);
    tsm_buf_release(&text);
    return s;
}

static struct tsm_schedule every(const char *resample, const char *time)
{
    char select[200];
    snprintf(select, sizeof select, "SELECT mean(value) INTO cpu_mean FROM cpu GROUP BY time(%s)", time);
    return schedule(resample, select);
}

static int64_t at(const char *text)
{
    int64_t t;
    if (!tsm_parse_time(tsm_str_of(text), &t))
        fail_msg("%s", text);
    return t;
}

static int release(void **state)
{
    (void)state;
    tsm_ast_release(&ast);
    return 0;
}

/* Runs at `now`, and checks what is computed; *last goes on. */
static void expect(const struct tsm_schedule *s, int64_t *last, int64_t now, int64_t start, int64_t end)
{
    struct tsm_schedule_run run = tsm_schedule_at(s, *last ? last : NULL, now);
    assert_true(run.due);
    assert_int_equal(run.start, start);
    assert_int_equal(run.end, end);
    *last = run.last;
}

static const int64_t T0 = 1577836800 * TSM_SEC; /* 2020-01-01T00:00:00Z */

static void resample_options(void **state)
{
    (void)state;
    struct tsm_schedule s = every("RESAMPLE EVERY 10s FOR 2m", "1m");
    int64_t last = 0;
    expect(&s, &last, T0, T0 - 2 * TSM_MINUTE, T0);
    expect(&s, &last, T0 + 10 * TSM_SEC, T0 - TSM_MINUTE, T0 + TSM_MINUTE);
    last = 0;
    expect(&s, &last, T0 + 5 * TSM_SEC, T0 - TSM_MINUTE, T0);
    expect(&s, &last, T0 + 10 * TSM_MINUTE, T0 - TSM_MINUTE, T0 + 10 * TSM_MINUTE);
}

static void every_above_interval(void **state)
{
    (void)state;
    struct tsm_schedule s = every("RESAMPLE EVERY 1m", "30s");
    int64_t last = 0;
    expect(&s, &last, T0, T0 - TSM_MINUTE, T0);
    assert_false(tsm_schedule_at(&s, &last, T0 + 30 * TSM_SEC).due);
    expect(&s, &last, T0 + TSM_MINUTE, T0, T0 + TSM_MINUTE);
}

static void group_offset(void **state)
{
    (void)state;
    struct tsm_schedule s = every("", "1m, 30s");
    int64_t last = 0, now = T0 + 30 * TSM_SEC;
    expect(&s, &last, now, now - TSM_MINUTE, now);
    assert_int_equal(every("", "1m, -150s").offset, -30 * TSM_SEC);
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *start, *end;
        int64_t d;
    } cases[] = {
        {"10s", "2000-01-01T00:00:00Z", "2000-01-01T00:00:10Z", 10 * TSM_SEC},
        {"1m", "2000-01-01T00:00:00Z", "2000-01-01T00:01:00Z", TSM_MINUTE},
        {"30m", "2000-01-01T00:00:00Z", "2000-01-01T00:30:00Z", 30 * TSM_MINUTE},
        {"2h", "2000-01-01T00:00:00Z", "2000-01-01T02:00:00Z", 2 * TSM_HOUR},
        {"1d", "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z", TSM_DAY},
        {"1w", "1999-12-30T00:00:00Z", "2000-01-06T00:00:00Z", TSM_WEEK},
    };
    int64_t now = at("2000-01-01T00:00:00Z");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_schedule s = every("", cases[i].text);
        struct tsm_schedule_run first = tsm_schedule_at(&s, NULL, now + 1);
        assert_true(first.due && first.end <= first.start);
        int64_t last = first.last;
        expect(&s, &last, now + cases[i].d, at(cases[i].start), at(cases[i].end));
    }
}

static void zones(void **state)
{
    (void)state;
    static const struct {
        const char *d, *initial;
        const char *times[3]; /* ends of intervals */
    } cases[] = {
        {"1d", "2000-04-02T00:00:00-05:00", {"2000-04-03T00:00:00-04:00"}},
        {"2h", "2000-04-02T00:00:00-05:00", {"2000-04-02T03:00:00-04:00", "2000-04-02T04:00:00-04:00"}},
        {"1d", "2000-10-29T00:00:00-04:00", {"2000-10-30T00:00:00-05:00"}},
        {"2h", "2000-10-29T00:00:00-04:00", {"2000-10-29T02:00:00-05:00", "2000-10-29T04:00:00-05:00"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char select[200];
        snprintf(select, sizeof select,
                 "SELECT mean(value) INTO m FROM cpu GROUP BY time(%s) TZ('America/New_York')", cases[i].d);
        struct tsm_schedule s = schedule("", select);
        int64_t start = at(cases[i].initial), last = tsm_schedule_at(&s, NULL, start + 1).last;
        for (size_t k = 0; cases[i].times[k]; k++) {
            expect(&s, &last, at(cases[i].times[k]), start, at(cases[i].times[k]));
            start = at(cases[i].times[k]);
        }
    }
}

/* Without a memory of its runs, a query computes the interval that has ended last. */
static void at_once(void **state)
{
    (void)state;
    struct tsm_schedule s = every("", "10m");
    int64_t now = T0 + 17 * TSM_MINUTE, last = tsm_schedule_before(&s, now);
    assert_int_equal(last, T0);
    expect(&s, &last, now, T0, T0 + 10 * TSM_MINUTE);
    assert_int_equal(last, T0 + 10 * TSM_MINUTE);
    assert_false(tsm_schedule_at(&s, &last, now + TSM_MINUTE).due);
    s = every("", "1h, 15m");
    last = tsm_schedule_before(&s, now);
    expect(&s, &last, now, T0 - 45 * TSM_MINUTE, T0 + 15 * TSM_MINUTE);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *query, *error;
    } cases[] = {
        {"SELECT v INTO y FROM x GROUP BY time(1m)", "continuous queries must be aggregate queries"},
        {"SELECT mean(v) INTO y FROM x GROUP BY time(1m, now())", "invalid time dimension offset: now()"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        struct tsm_schedule s;
        struct tsm_err err;
        tsm_ast_release(&ast);
        snprintf(text, sizeof text, "CREATE CONTINUOUS QUERY c ON d BEGIN %s END", cases[i].query);
        assert_int_equal(tsm_parse_query(tsm_str_of(text), &ast, &err), TSM_OK);
        assert_int_equal(tsm_schedule_of(&ast.statements[0].u.continuous, &s, &err), TSM_EQUERY);
        assert_string_equal(err.msg, cases[i].error);
    }
    assert_int_equal(schedule("", "SELECT v INTO y FROM x").interval, 0); /* never runs */
}

/* Nothing overflows into undefined behaviour. */
static void huge(void **state)
{
    (void)state;
    struct tsm_schedule s = every("RESAMPLE EVERY 15000w FOR 15000w", "15000w, 14999w");
    int64_t last = INT64_MAX - 1;
    (void)tsm_schedule_at(&s, &last, INT64_MAX);
    last = INT64_MIN;
    (void)tsm_schedule_at(&s, &last, INT64_MIN);
    (void)tsm_schedule_at(&s, NULL, INT64_MAX);
    (void)tsm_schedule_before(&s, INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resample_options),
        cmocka_unit_test(every_above_interval),
        cmocka_unit_test(group_offset),
        cmocka_unit_test(durations),
        cmocka_unit_test(zones),
        cmocka_unit_test(at_once),
        cmocka_unit_test(refused),
        cmocka_unit_test(huge),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
