/* test_zone.c: time zones: against the C library, which reads the same files, and files that are no zone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/time.h"
#include "sys/zone_file.h"

static struct tsm_zone *load(const char *name)
{
    struct tsm_zone *z = NULL;
    assert_int_equal(tsm_zone_load(&tsm_fs_posix, tsm_str_of(name), &z), TSM_OK);
    return z;
}

static int32_t offset(const struct tsm_zone *z, int64_t seconds)
{
    int64_t start, end;
    int32_t o = tsm_zone_lookup(z, seconds, &start, &end);
    assert_true(start <= seconds && seconds < end);
    int64_t a, b;
    assert_int_equal(tsm_zone_lookup(z, end - 1, &a, &b), o);
    if (start != INT64_MIN)
        assert_int_equal(tsm_zone_lookup(z, start, &a, &b), o);
    return o;
}

static void test_library(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Europe/Berlin",    "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
        "America/St_Johns", "Etc/GMT+5",        "America/Santiago",    "Europe/Dublin",
        "Antarctica/Troll", "Asia/Gaza",        "Pacific/Apia",        "Africa/Casablanca",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tsm_zone *z = load(names[i]);
        assert_non_null(z);
        assert_true(tsm_str_eq(tsm_zone_name(z), tsm_str_of(names[i])));
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t t = -2900000000; t < 9000000000; t += 111111) { /* 1878 to 2255 */
            time_t seconds = (time_t)t;
            struct tm tm;
            localtime_r(&seconds, &tm);
            if (offset(z, t) != tm.tm_gmtoff)
                fail_msg("%s at %lld: %d, not %ld", names[i], (long long)t, offset(z, t), tm.tm_gmtoff);
        }
        tsm_zone_free(z);
    }
    unsetenv("TZ");
}

static void test_moments(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *text;
        int64_t t;
    } moments[] = {
        {"Europe/Berlin", "2020-03-29 01:59:59", 1585443599},
        {"Europe/Berlin", "2020-03-29 02:30:00", 1585445400}, /* there is no such time; as influxd takes it */
        {"Europe/Berlin", "2020-03-29 03:00:00", 1585443600},
        {"Europe/Berlin", "2020-10-25 02:30:00", 1603589400}, /* there are two */
        {"Europe/Berlin", "2020-10-25 03:00:00", 1603591200},
        {"Europe/Berlin", "2020-10-25T02:30:00Z", 1603593000},
        {"Europe/Berlin", "2020-10-25T02:30:00-05:00", 1603611000},
        {"America/New_York", "2020-07-01", 1593576000},
        {"Asia/Kolkata", "1970-01-01 05:30:00.5", 0},
        {"America/New_York", "2150-07-01 00:00:00", 5695934400},
        {"Europe/London", "2020-12-24", 1608768000},
    };
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        struct tsm_zone *z = load(moments[i].zone);
        int64_t t, nanos;
        assert_true(tsm_parse_instant(z, tsm_str_of(moments[i].text), &t, &nanos));
        if (t != moments[i].t)
            fail_msg("%s in %s: %lld", moments[i].text, moments[i].zone, (long long)t);
        tsm_zone_free(z);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const none[] = {"Nowhere",         "Europe",        "zone.tab",     "/etc/localtime",
                                       "../zoneinfo/UTC", "\\Europe",      "europe/../..", "..",
                                       "Europe/Berlin/",  "Europe\nBerlin"};
    struct tsm_zone *z;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(tsm_zone_load(&tsm_fs_posix, tsm_str_of(none[i]), &z), TSM_ENOTFOUND);
    assert_int_equal(tsm_zone_load(&tsm_fs_posix, tsm_str("Europe/Berlin\0x", 15), &z), TSM_ENOTFOUND);
    char *name = tsm_alloc(5000);
    memset(name, 'x', 5000);
    assert_int_equal(tsm_zone_load(&tsm_fs_posix, tsm_str(name, 5000), &z), TSM_ENOTFOUND);
    tsm_free(name);
    assert_null(load(""));
    assert_null(load("UTC"));
    assert_true(tsm_str_eq(tsm_zone_name(NULL), TSM_STR("UTC")));
    assert_true(tsm_zone_offset(NULL, 5) == 0);
    setenv("TZ", ":Asia/Kolkata", 1);
    z = load("Local");
    assert_int_equal(offset(z, 0), 19800);
    tsm_zone_free(z);
    unsetenv("TZ");
}

static void test_footers(void **state)
{
    (void)state;
    static const struct {
        const char *tz;
        int64_t t;
        int32_t offset;
    } footers[] = {
        {"XXX3", 0, -10800},
        {"<+0530>-5:30", 0, 19800},
        {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1585443600, -7200}, /* Godthab: the evening before */
        {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1585443599, -10800},
        {"EST5EDT", 1593576000, -14400},
        {"EST5EDT", 1604214000, -18000},
        {"AAA0BBB,J60/0,J61/0", 1583020800, 3600}, /* March 1st, also in leap years */
        {"AAA0BBB,59/0,60/0", 1582934400, 3600},   /* February 29th */
        {"NZST-12NZDT,M9.5.0,M4.1.0/3", 1577836800, 46800},
        {"EET-2EEST,M3.5.0/0,M10.5.0/0", 1577836800, 7200},
        {"AAA1:02:03", 0, -3723},
        {"A1", 0, 7}, /* no rule: what is before the footer */
        {"AAA", 0, 7},
        {"AAA300", 0, 7},
        {"AAA3BBB,M13.1.0,M4.1.0", 0, 7},
        {"AAA3BBB,M3.1.0", 0, 7},
        {"AAA3BBB,M3.1.0,M4.1.0x", 0, 7},
        {"<AAA3", 0, 7},
    };
    for (size_t i = 0; i < sizeof footers / sizeof *footers; i++) {
        struct tsm_buf b = {0};
        static const uint8_t counts[24] = {[19] = 1, [23] = 4}; /* one kind of time, 4 characters */
        static const uint8_t head[20] = {'T', 'Z', 'i', 'f', '2'};
        static const uint8_t kind[10] = {0, 0, 0, 7, 0, 0, 'A', 'A', 'A', 0};
        for (int twice = 0; twice < 2; twice++) {
            tsm_buf_add(&b, head, sizeof head);
            tsm_buf_add(&b, counts, sizeof counts);
            tsm_buf_add(&b, kind, sizeof kind);
        }
        tsm_buf_printf(&b, "\n%s\n", footers[i].tz);
        struct tsm_zone *z = tsm_zone_parse(TSM_STR("x"), tsm_buf_view(&b));
        assert_non_null(z);
        if (offset(z, footers[i].t) != footers[i].offset)
            fail_msg("%s: %d", footers[i].tz, offset(z, footers[i].t));
        tsm_zone_free(z);
        tsm_buf_release(&b);
    }
}

/* Cut short anywhere, and with any byte changed, a file is refused or read, but never read past. */
static void test_damage(void **state)
{
    (void)state;
    struct tsm_buf b = {0};
    assert_int_equal(tsm_fs_read_file(&tsm_fs_posix, "/usr/share/zoneinfo/Europe/Berlin", 1 << 20, &b, NULL),
                     TSM_OK);
    for (size_t n = 0; n < b.len; n++) {
        char *exact = tsm_alloc(n + 1); /* so that a sanitizer sees the end */
        exact = tsm_realloc(exact, n ? n : 1);
        memcpy(exact, b.data, n);
        tsm_zone_free(tsm_zone_parse(TSM_STR("x"), tsm_str(exact, n)));
        tsm_free(exact);
    }
    for (size_t i = 0; i < b.len; i++) {
        static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
        uint8_t was = b.data[i];
        for (size_t v = 0; v < sizeof values; v++) {
            b.data[i] = values[v];
            struct tsm_zone *z = tsm_zone_parse(TSM_STR("x"), tsm_buf_view(&b));
            int64_t start, end;
            for (int64_t t = -4000000000; z && t < 9000000000; t += 999999999)
                tsm_zone_lookup(z, t, &start, &end);
            tsm_zone_free(z);
        }
        b.data[i] = was;
    }
    tsm_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library), cmocka_unit_test(test_moments), cmocka_unit_test(test_names),
        cmocka_unit_test(test_footers), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
