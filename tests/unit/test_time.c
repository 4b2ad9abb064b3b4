/* tests/unit/test_time.c: instants and durations, to and from text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "base/time.h"

static void check_rfc3339(int64_t t, const char *want)
{
    char text[TSM_TIME_TEXT_MAX + 1];
    size_t n = tsm_format_rfc3339(text, t);
    assert_true(n <= TSM_TIME_TEXT_MAX);
    text[n] = 0;
    assert_string_equal(text, want);
    int64_t back = 1;
    assert_true(tsm_parse_time(tsm_str_of(text), &back));
    assert_true(back == t);
}

static void rfc3339(void **state)
{
    (void)state;
    check_rfc3339(0, "1970-01-01T00:00:00Z");
    check_rfc3339(1, "1970-01-01T00:00:00.000000001Z");
    check_rfc3339(-1, "1969-12-31T23:59:59.999999999Z");
    check_rfc3339(1500000000, "1970-01-01T00:00:01.5Z");
    check_rfc3339(1456704000LL * TSM_SEC, "2016-02-29T00:00:00Z");
    check_rfc3339(951782400LL * TSM_SEC + 120, "2000-02-29T00:00:00.00000012Z");
    check_rfc3339(-2208988800LL * TSM_SEC, "1900-01-01T00:00:00Z");
    check_rfc3339(-2203891200LL * TSM_SEC, "1900-03-01T00:00:00Z");
    check_rfc3339(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
    check_rfc3339(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
    check_rfc3339(TSM_TIME_MIN, "1677-09-21T00:12:43.145224194Z");
}

/* Every day of the range against the C library. */
static void calendar(void **state)
{
    (void)state;
    for (int64_t day = -106751; day <= 106751; day++) {
        char want[TSM_TIME_TEXT_MAX + 1];
        time_t seconds = (time_t)(day * 86400 + (day * 7919) % 86400);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        if (seconds <= -9223372036 || seconds >= 9223372036)
            continue;
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        check_rfc3339((int64_t)seconds * TSM_SEC, want);
    }
}

static void parse_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t t;
    } good[] = {
        {"1970-01-02", TSM_DAY},
        {"1970-01-01 00:00:01", TSM_SEC},
        {"1970-01-01   00:00:01", TSM_SEC},
        {"1970-01-01 7:00:01", 7 * TSM_HOUR + TSM_SEC},
        {"1970-01-01 00:00:01.5", 1500 * TSM_MSEC},
        {"1970-01-01 00:00:01,5", 1500 * TSM_MSEC},
        {"1970-01-01 00:00:00.123456789", 123456789},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000001Z", 1000},
        {"1970-01-01T02:00:00+02:00", 0},
        {"1969-12-31T19:00:00.25-05:00", 250 * TSM_MSEC},
        {"1677-09-21T00:12:43.145224192Z", INT64_MIN},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
    };
    static const char *const bad[] = {
        "",
        "1970",
        "1970-1-1",
        "1970-01-01 ",
        "1970-01-01T",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-01-01 00:00",
        "1970-01-01 00:00:0",
        "1970-01-01 24:00:00",
        "1970-01-01 00:60:00",
        "1970-01-01 00:00:60",
        "1970-01-01 00:00:00.",
        "1970-01-01 00:00:00.1234567890",
        "1970-13-01",
        "1970-00-01",
        "1970-01-00",
        "1970-04-31",
        "1900-02-29",
        "1970-01-01x",
        "x1970-01-01",
        "1970-01-01T00:00:00+2:00",
        "1970-01-01T00:00:00+0200",
        "1970-01-01T00:00:00ZZ",
        "1970-01-01T 00:00:00Z",
        "1677-09-21T00:12:43.145224191Z",
        "2262-04-11T23:47:16.854775808Z",
        "0000-01-01",
        "9999-12-31",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t t = -77;
        if (!tsm_parse_time(tsm_str_of(good[i].text), &t) || t != good[i].t)
            fail_msg("%s gives %lld", good[i].text, (long long)t);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t t;
        if (tsm_parse_time(tsm_str_of(bad[i]), &t))
            fail_msg("'%s' was accepted", bad[i]);
    }
    /* Nothing behind the end is looked at. */
    int64_t t;
    assert_true(tsm_parse_time(tsm_str("1970-01-02 00:00:00", 10), &t));
    assert_false(tsm_parse_time(tsm_str("1970-01-02 00:00:00", 18), &t));
}

static void parse_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t d;
    } good[] = {
        {"0s", 0},
        {"1ns", 1},
        {"1u", 1000},
        {"1us", 1000},
        {"1µ", 1000},
        {"1ms", TSM_MSEC},
        {"90s", 90 * TSM_SEC},
        {"1m", TSM_MINUTE},
        {"1h30m", 90 * TSM_MINUTE},
        {"1m1ms", TSM_MINUTE + TSM_MSEC},
        {"1d", TSM_DAY},
        {"2w", 2 * TSM_WEEK},
        {"-1h", -TSM_HOUR},
        {"9223372036854775807ns", INT64_MAX},
        {"15250w", 15250 * TSM_WEEK},
    };
    static const char *const bad[] = {
        "",
        "-",
        "1",
        "s",
        "1n",
        "1x",
        "1h30",
        "h1",
        "1.5h",
        "INF",
        "1 h",
        "1h ",
        "1\xc2",
        "9223372036854775808ns",
        "15251w",
        "9223372036854775807ns1ns",
        "99999999999999999999s",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t d = -77;
        if (!tsm_parse_duration(tsm_str_of(good[i].text), &d) || d != good[i].d)
            fail_msg("%s gives %lld", good[i].text, (long long)d);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t d;
        if (tsm_parse_duration(tsm_str_of(bad[i]), &d))
            fail_msg("'%s' was accepted", bad[i]);
    }
}

static void format_duration(void **state)
{
    (void)state;
    static const struct {
        int64_t d;
        const char *influxql, *go;
    } cases[] = {
        {0, "0s", "0s"},
        {1, "1ns", "1ns"},
        {-1, "-1ns", "-1ns"},
        {1500, "1500ns", "1.5µs"},
        {2000, "2u", "2µs"},
        {1500000, "1500u", "1.5ms"},
        {1234567, "1234567ns", "1.234567ms"},
        {999 * TSM_MSEC, "999ms", "999ms"},
        {TSM_SEC, "1s", "1s"},
        {TSM_SEC + 1, "1000000001ns", "1.000000001s"},
        {90 * TSM_SEC, "90s", "1m30s"},
        {TSM_HOUR, "1h", "1h0m0s"},
        {36 * TSM_HOUR, "36h", "36h0m0s"},
        {TSM_DAY, "1d", "24h0m0s"},
        {TSM_WEEK, "1w", "168h0m0s"},
        {-TSM_WEEK, "-1w", "-168h0m0s"},
        {INT64_MAX, "9223372036854775807ns", "2562047h47m16.854775807s"},
        {INT64_MIN, "-9223372036854775808ns", "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TSM_TIME_TEXT_MAX + 1];
        text[tsm_format_duration_influxql(text, cases[i].d)] = 0;
        assert_string_equal(text, cases[i].influxql);
        text[tsm_format_duration_go(text, cases[i].d)] = 0;
        assert_string_equal(text, cases[i].go);
    }
}

static void align(void **state)
{
    (void)state;
    /* 1970-01-01 was a Thursday; weeks begin on Mondays. */
    assert_true(tsm_time_truncate(0, TSM_WEEK) == -3 * TSM_DAY);
    assert_true(tsm_time_truncate(4 * TSM_DAY, TSM_WEEK) == 4 * TSM_DAY);
    assert_true(tsm_time_truncate(4 * TSM_DAY - 1, TSM_WEEK) == -3 * TSM_DAY);
    assert_true(tsm_time_truncate(1600000000 * TSM_SEC, TSM_DAY) == 1599955200 * TSM_SEC);
    assert_true(tsm_time_truncate(-1, TSM_HOUR) == -TSM_HOUR);
    assert_true(tsm_time_truncate(7, 1) == 7);
    assert_true(tsm_time_truncate(INT64_MIN, TSM_WEEK) == INT64_MIN);
    assert_true(tsm_time_truncate(INT64_MAX, TSM_SEC) == 9223372036 * TSM_SEC);
}

static void precision(void **state)
{
    (void)state;
    assert_true(tsm_precision_unit(TSM_STR("n")) == 1);
    assert_true(tsm_precision_unit(TSM_STR("ns")) == 1);
    assert_true(tsm_precision_unit(TSM_STR("u")) == 1000);
    assert_true(tsm_precision_unit(TSM_STR("µ")) == 1000);
    assert_true(tsm_precision_unit(TSM_STR("ms")) == TSM_MSEC);
    assert_true(tsm_precision_unit(TSM_STR("s")) == TSM_SEC);
    assert_true(tsm_precision_unit(TSM_STR("m")) == TSM_MINUTE);
    assert_true(tsm_precision_unit(TSM_STR("h")) == TSM_HOUR);
    assert_true(tsm_precision_unit(TSM_STR("")) == 0);
    assert_true(tsm_precision_unit(TSM_STR("d")) == 0);
    assert_true(tsm_now() > 1600000000 * TSM_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339),        cmocka_unit_test(calendar),        cmocka_unit_test(parse_time),
        cmocka_unit_test(parse_duration), cmocka_unit_test(format_duration), cmocka_unit_test(align),
        cmocka_unit_test(precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
