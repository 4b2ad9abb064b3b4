/* test_num.c: numbers to and from text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/num.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void integers_are_parsed_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"+7", true, 7},
        {"0000000000000000000000000000012", true, 12},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+", false, 0},
        {"--1", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
        {"1:", false, 0},
        {"1/", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t v = 4711;
        if (tsm_parse_int(tsm_str_of(cases[i].text), &v) != cases[i].ok ||
            v != (cases[i].ok ? cases[i].v : 4711))
            fail_msg("'%s' gave %lld", cases[i].text, (long long)v);
    }
    uint64_t u;
    assert_true(tsm_parse_uint(TSM_STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(tsm_parse_uint(TSM_STR("00018446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(tsm_parse_uint(TSM_STR("18446744073709551616"), &u));
    assert_false(tsm_parse_uint(TSM_STR("118446744073709551615"), &u));
    assert_false(tsm_parse_uint(TSM_STR("+1"), &u));
    assert_false(tsm_parse_uint(TSM_STR("-1"), &u));
    assert_false(tsm_parse_uint(TSM_STR(""), &u));
}

static void integers_round_trip(void **state)
{
    (void)state;
    char text[TSM_NUM_MAX + 1], want[32];
    for (int i = 0; i < 100000; i++) {
        uint64_t u = i < 64   ? (UINT64_C(1) << i) - 1
                     : i < 84 ? (uint64_t)pow(10, i - 64)
                              : random_bits() >> (i % 64);
        int64_t v = (int64_t)u, back;
        text[tsm_format_int(text, v)] = 0;
        snprintf(want, sizeof want, "%lld", (long long)v);
        assert_string_equal(text, want);
        assert_true(tsm_parse_int(tsm_str_of(text), &back) && back == v);
        text[tsm_format_uint(text, u)] = 0;
        snprintf(want, sizeof want, "%llu", (unsigned long long)u);
        assert_string_equal(text, want);
    }
    text[tsm_format_int(text, INT64_MIN)] = 0;
    assert_string_equal(text, "-9223372036854775808");
}

static void sizes_have_binary_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t v; /* 0: an error */
    } cases[] = {
        {"64", 64},
        {"64b", 64},
        {"64k", 64 << 10},
        {"512M", 512 << 20},
        {"2g", 2ull << 30},
        {"512MB", 512 << 20},
        {"1GiB", 1 << 30},
        {"1gib", 1 << 30},
        {"3T", 3ull << 40},
        {"", 0},
        {"M", 0},
        {"1x", 0},
        {"1ki", 0},
        {"1kib2", 0},
        {"1bb", 0},
        {"-1", 0},
        {"1.5g", 0},
        {"1 g", 0},
        {"16777215T", 16777215ull << 40},
        {"16777216T", 0},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551616", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t v = 0;
        if (tsm_parse_size(tsm_str_of(cases[i].text), &v) != (cases[i].v != 0) || v != cases[i].v)
            fail_msg("'%s' gave %llu", cases[i].text, (unsigned long long)v);
    }
}

static void floats_have_go_syntax(void **state)
{
    (void)state;
    static const char *const good[] = {"1",
                                       "-1.5",
                                       "+.5",
                                       "5.",
                                       "1e3",
                                       "1E+3",
                                       "1.e-3",
                                       "-0",
                                       "1e-400",
                                       "0e999999999999",
                                       "1e308",
                                       "179769313486231570000e288",
                                       "0.000000000000000000000000000000001"};
    static const char *const bad[] = {"",
                                      ".",
                                      "-",
                                      "e5",
                                      "1e",
                                      "1e+",
                                      "1.5.2",
                                      "0x1p3",
                                      "inf",
                                      "Inf",
                                      "nan",
                                      "NaN",
                                      "1_0",
                                      "1 ",
                                      " 1",
                                      "1e5 ",
                                      "1,5",
                                      "--1",
                                      "1e1.5",
                                      "1f",
                                      "1e309",
                                      "-1e309",
                                      "1.7976931348623159e308",
                                      "infinity",
                                      "."};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double v;
        if (!tsm_parse_float(tsm_str_of(good[i]), &v) || v != strtod(good[i], NULL))
            fail_msg("'%s' gave %.17g", good[i], v);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double v = 4711;
        if (tsm_parse_float(tsm_str_of(bad[i]), &v) || v != 4711)
            fail_msg("'%s' gave %.17g", bad[i], v);
    }
    double v;
    assert_true(tsm_parse_float(TSM_STR("-0"), &v) && v == 0 && signbit(v));
}

/* Against libc, in the locale of the test, which is C. */
static void floats_are_read_as_libc_reads_them(void **state)
{
    (void)state;
    static const char *const hard[] = {"9007199254740993",
                                       "9007199254740993.0000000000000000000000000001",
                                       "9007199254740992.999999999999999999999",
                                       "2.2250738585072011e-308",
                                       "2.2250738585072014e-308",
                                       "4.9406564584124654e-324",
                                       "2.4703282292062328e-324",
                                       "2.4703282292062327e-324",
                                       "1.7976931348623158e308",
                                       "8.5e-320",
                                       "0.1e-6",
                                       "6.2244412424e-314",
                                       "12345678901234567890123456789012345678901234567890e-30",
                                       "0.000000000000000000000000000012345678901234567890123",
                                       "100000000000000016777215",
                                       "100000000000000016777216",
                                       "7.2057594037927933e16",
                                       "1e23",
                                       "8.41e21",
                                       "9.5e-17",
                                       "1090544144181609348835077142190",
                                       "2.00000000000000011102230246251565404236316680908203125",
                                       "2.00000000000000011102230246251565404236316680908203124",
                                       "2.00000000000000011102230246251565404236316680908203126"};
    char text[128];
    for (int i = 0; i < 400000; i++) {
        size_t n = sizeof hard / sizeof *hard;
        unsigned long long a = random_bits() >> random_bits() % 64, b = random_bits() >> random_bits() % 64;
        if ((size_t)i < n)
            snprintf(text, sizeof text, "%s", hard[i]);
        else if (i % 4 == 0)
            snprintf(text, sizeof text, "%llu.%llu", a, b);
        else if (i % 4 == 1)
            snprintf(text, sizeof text, "-%llu%llue%d", a, b, (int)(random_bits() % 700) - 380);
        else if (i % 4 == 2)
            snprintf(text, sizeof text, "%llu.%04llu", a % 1000, b % 10000);
        else
            snprintf(text, sizeof text, "%.*e", (int)(random_bits() % 30),
                     ldexp((double)a, (int)(random_bits() % 2040) - 1074));
        double v = 4711, want = strtod(text, NULL);
        bool ok = tsm_parse_float(tsm_str_of(text), &v);
        if (ok != isfinite(want) || (ok && memcmp(&v, &want, sizeof v) != 0))
            fail_msg("'%s' gave %.17g instead of %.17g", text, v, want);
    }
}

/* Digits and exponents of any length, which may make up for each other. */
static void long_floats_are_read(void **state)
{
    (void)state;
    static const struct {
        size_t zeros;
        const char *exponent;
        bool ok;
        double v;
    } cases[] = {
        {1000, "e1001", true, 1},      {123456, "e123457", true, 1}, {123456, "e1234567", false, 0},
        {400, "e-99999", true, 0},     {2000, "e1990", true, 1e-11}, {3, "e99999999999999999999", false, 0},
        {2000, "e+2309", true, 1e308}, {2000, "e+2310", false, 0},
    };
    static char text[200000];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "0.%0*d%s", (int)cases[i].zeros + 1, 1,
                                    cases[i].exponent);
        double v = 4711;
        assert_int_equal(tsm_parse_float(tsm_str(text, n), &v), cases[i].ok);
        assert_true(v == (cases[i].ok ? cases[i].v : 4711));
    }
    size_t n = (size_t)snprintf(text, sizeof text, "1%01000de-1000", 0);
    double v;
    assert_true(tsm_parse_float(tsm_str(text, n), &v) && v == 1);
    assert_false(tsm_parse_float(tsm_str(NULL, 0), &v));
}

static void floats_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof comma / sizeof *comma && !setlocale(LC_ALL, comma[i]); i++)
        ; /* when the machine has none of them, this tests the C locale once more */
    double v;
    assert_true(tsm_parse_float(TSM_STR("0.1"), &v) && v == 0.1);
    /* one that goes the slow way */
    assert_true(tsm_parse_float(TSM_STR("4.9406564584124654e-324"), &v) && v == 5e-324);
    assert_false(tsm_parse_float(TSM_STR("0,1"), &v));
    char text[TSM_NUM_MAX + 1];
    text[tsm_format_float_plain(text, 0.1)] = 0;
    assert_string_equal(text, "0.1");
    setlocale(LC_ALL, "C");
}

static void floats_have_go_formats(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *plain, *json, *g;
    } cases[] = {
        {0, "0", "0", "0"},
        {-0.0, "-0", "-0", "-0"},
        {1, "1", "1", "1"},
        {-7.5, "-7.5", "-7.5", "-7.5"},
        {63.1234, "63.1234", "63.1234", "63.1234"},
        {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004", "0.30000000000000004"},
        {100000, "100000", "100000", "100000"},
        {1e6, "1000000", "1000000", "1e+06"},
        {1234567.5, "1234567.5", "1234567.5", "1.2345675e+06"},
        {0.0001, "0.0001", "0.0001", "0.0001"},
        {0.00001234, "0.00001234", "0.00001234", "1.234e-05"},
        {1e-6, "0.000001", "0.000001", "1e-06"},
        {9.999e-7, "0.0000009999", "9.999e-7", "9.999e-07"},
        {1.5e-10, "0.00000000015", "1.5e-10", "1.5e-10"},
        {9007199254740993, "9007199254740992", "9007199254740992", "9.007199254740992e+15"},
        {123456789012345678, "123456789012345680", "123456789012345680", "1.2345678901234568e+17"},
        {1e20, "100000000000000000000", "100000000000000000000", "1e+20"},
        {999999999999999900000.0, "999999999999999900000", "999999999999999900000", "9.999999999999999e+20"},
        {1e21, "1000000000000000000000", "1e+21", "1e+21"},
        {1.5e300, NULL, "1.5e+300", "1.5e+300"},
        {5e-324, NULL, "5e-324", "5e-324"},
        {1.7976931348623157e308, NULL, "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {INFINITY, "+Inf", "+Inf", "+Inf"},
        {-INFINITY, "-Inf", "-Inf", "-Inf"},
        {NAN, "NaN", "NaN", "NaN"},
    };
    char text[TSM_NUM_MAX + 1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text[tsm_format_float_plain(text, cases[i].v)] = 0;
        if (cases[i].plain)
            assert_string_equal(text, cases[i].plain);
        text[tsm_format_float_json(text, cases[i].v)] = 0;
        assert_string_equal(text, cases[i].json);
        text[tsm_format_float_g(text, cases[i].v)] = 0;
        assert_string_equal(text, cases[i].g);
    }
    assert_true(tsm_format_float_plain(text, -2.2250738585072014e-308) <= TSM_NUM_MAX);
    assert_true(tsm_format_float_plain(text, -4.9406564584124654e-324) <= TSM_NUM_MAX);
    assert_true(tsm_format_float_plain(text, -1.7976931348623157e308) <= TSM_NUM_MAX);
}

/* The number of digits that printf needs; it rounds correctly, so this is the shortest but for powers of two.
 */
static int shortest_by_printf(double v, char digits[40])
{
    char text[40];
    int precision = 1;
    for (; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, v);
        if (strtod(text, NULL) == v)
            break;
    }
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    int n = 0;
    for (const char *p = text; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    digits[n] = 0;
    return n;
}

static void assert_shortest(double v)
{
    struct tsm_decimal d = tsm_decimal_shortest(v);
    char text[64], digits[40], want[40];
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)d.digits, d.exponent);
    if (strtod(text, NULL) != v)
        fail_msg("%.17g became %s", v, text);
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)d.digits);
    int best = shortest_by_printf(v, want);
    int exponent;
    bool power_of_two = frexp(v, &exponent) == 0.5;
    if (n > best || (n < best && !power_of_two) || (n == best && strcmp(digits, want) != 0))
        fail_msg("%.17g became %s", v, text);
    double back;
    char plain[TSM_NUM_MAX];
    if (!tsm_parse_float(tsm_str(plain, tsm_format_float_plain(plain, v)), &back) || back != v)
        fail_msg("%.17g is not read back", v);
}

static void floats_get_the_shortest_digits(void **state)
{
    (void)state;
    for (int i = 0; i < 60000; i++) {
        uint64_t bits = random_bits() & INT64_MAX;
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v))
            assert_shortest(v);
        assert_shortest((double)(1 + random_bits() % 100000000) / pow(10, (double)(random_bits() % 12)));
        assert_shortest((double)(random_bits() >> (random_bits() % 64) | 1));
        assert_shortest((double)(1 + random_bits() % 1000000000) / (double)(1 + random_bits() % 1000));
    }
    for (int e = -1074; e < 1024; e++) {
        double v = ldexp(1, e);
        assert_shortest(v);
        assert_shortest(nextafter(v, INFINITY));
        if (e > -1074)
            assert_shortest(nextafter(v, 0));
    }
    for (int e = -323; e <= 308; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        double v = strtod(text, NULL);
        assert_shortest(v);
        assert_shortest(nextafter(v, INFINITY));
    }
    assert_shortest(1.7976931348623157e308);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_parsed_whole),
        cmocka_unit_test(integers_round_trip),
        cmocka_unit_test(sizes_have_binary_units),
        cmocka_unit_test(floats_have_go_syntax),
        cmocka_unit_test(floats_are_read_as_libc_reads_them),
        cmocka_unit_test(long_floats_are_read),
        cmocka_unit_test(floats_do_not_depend_on_the_locale),
        cmocka_unit_test(floats_have_go_formats),
        cmocka_unit_test(floats_get_the_shortest_digits),
    };
    return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
