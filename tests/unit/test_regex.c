/* tests/unit/test_regex.c: regular expressions match as Go's do; errors are in test_parser.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "query/regex.h"
#include "query/regex_syntax.h"

static struct tsm_regex *compile(const char *pattern)
{
    struct tsm_regex *re = NULL;
    struct tsm_err err = {0};
    if (tsm_regex_compile(tsm_str_of(pattern), &re, &err) != TSM_OK)
        fail_msg("/%s/: %s", pattern, err.msg);
    return re;
}

/* A pattern, texts that match, NULL, texts that do not, NULL. */
static const char *const cases[][14] = {
    {"a", "a", "cat", NULL, "", "A", NULL},
    {"", "", "x", NULL, NULL},
    {"^a", "ab", NULL, "ba", "\na", NULL},
    {"a$", "ba", NULL, "a\n", "ab", NULL},
    {"(?m)^a$", "a", "b\na", "a\n", "a\nb", NULL, "ba", NULL},
    {"a.b", "a-b",
     "a\xc3\xa4"
     "b",
     "a\xff"
     "b",
     NULL, "ab", "a\nb", NULL},
    {"(?s)a.b", "a\nb", NULL, "ab", NULL},
    {"(?i)straße", "STRAßE", "Straße", NULL, "strasse", NULL},
    {"a(?i)b", "ab", "aB", NULL, "AB", NULL},
    {"\\d+", "12", NULL, "x", "\xd9\xa3", NULL},
    {"\\s", " ", "\t", "\n", "\f", "\r", NULL, "\v", "\xc2\xa0", NULL},
    {"[\\S]", "\v", "x", NULL, " ", NULL},
    {"\\w", "a", "_", "9", NULL, "\xc3\xa4", "-", NULL},
    {"[^\\W\\d]", "a", "_", NULL, "9", "-", NULL},
    {"[[:alpha:]]", "a", NULL, "1", "\xc3\xa4", NULL},
    {"[[:^alpha:]]", "1", "\xc3\xa4", NULL, "a", NULL},
    {"\\pL", "a", "\xc3\xa4", "\xe6\x97\xa5", NULL, "1", NULL},
    {"\\p{Greek}", "\xce\xb1", NULL, "a", NULL},
    {"\\P{Greek}|\\p{^Greek}", "a", NULL, "\xce\xb1", NULL},
    {"[]a]", "]", "a", NULL, "b", NULL},
    {"[^]a]", "b", NULL, "]", "a", NULL},
    {"[a\\-c]", "-", "a", NULL, "b", NULL},
    {"[+--]", "+", ",", "-", NULL, ".", NULL},
    {"[[.a.]]", "[]", "a]", ".]", NULL, "a", NULL},
    {"\\x41\\x{e4}\\101",
     "A\xc3\xa4"
     "A",
     NULL, "AA", NULL},
    {"\\v", "\v", NULL, "\n", NULL},
    {"\\Qa.b*\\E+", "a.b*", "a.b**", NULL, "axb", NULL},
    {"a{2}", "aa", NULL, "a", NULL},
    {"^a{2,3}$", "aa", "aaa", NULL, "a", "aaaa", NULL},
    {"a{,2}", "a{,2}", NULL, "aa", NULL},
    {"a{x", "a{x", NULL, "a", NULL},
    {"^(a|b)*c$", "c", "abc", NULL, "ad", NULL},
    {"^(?P<x>a)(?P<x2>b)$", "ab", NULL, "a", NULL},
    {"a*?b", "b", "aab", NULL, "a", NULL},
    {"(?U)^a*$", "aaa", NULL, "ab", NULL},
    {"\\bfoo\\b", "a foo b", NULL, "food", NULL},
    {"^*", "", "x", NULL, NULL},
    {"[#x ]", "#", " ", NULL, "y", NULL},
    {"#", "#", NULL, "x", NULL},
    {"[\\D]+?[\\S]??\\D", "\xc3\x84\xe2\x82\xac", "\xce\xb1\xce\xb1", NULL, "1", NULL},
    {"\xef\xbf\xbd", "\xff", "\xef\xbf\xbd", NULL, "x", NULL},
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_regex *re = compile(cases[i][0]);
        size_t k = 1;
        for (; cases[i][k]; k++)
            if (tsm_regex_match(re, tsm_str_of(cases[i][k]), NULL) != 1)
                fail_msg("/%s/ does not match '%s'", cases[i][0], cases[i][k]);
        for (k++; cases[i][k]; k++)
            if (tsm_regex_match(re, tsm_str_of(cases[i][k]), NULL) != 0)
                fail_msg("/%s/ matches '%s'", cases[i][0], cases[i][k]);
        tsm_regex_free(re);
    }
}

static void test_steps_are_limited(void **state)
{
    struct tsm_regex *re = compile("^(a*)*(a*)*(a*)*$");
    struct tsm_err err = {0};
    char text[3001];
    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    int rc = tsm_regex_match(re, tsm_str(text, sizeof text), &err);
    assert_int_equal(rc, TSM_ELIMIT);
    assert_non_null(strstr(err.msg, "match limit exceeded"));
    tsm_regex_free(re);
    tsm_regex_free(NULL);
}

static void test_nesting_is_limited(void **state)
{
    struct tsm_regex *re = NULL;
    struct tsm_err err = {0};
    char pattern[20000];
    (void)state;
    memset(pattern, '(', sizeof pattern);
    assert_int_equal(tsm_regex_compile(tsm_str(pattern, sizeof pattern), &re, &err), TSM_EPARSE);
    assert_null(re);
}

static void *match_often(void *arg)
{
    size_t wrong = 0;
    for (int i = 0; i < 2000; i++)
        wrong += tsm_regex_match(arg, TSM_STR("server-12.example"), NULL) != 1;
    return (void *)wrong;
}

static void test_threads_share_a_regex(void **state)
{
    struct tsm_regex *re = compile("^server-[0-9]+\\.");
    pthread_t threads[4];
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, re), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    tsm_regex_free(re);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_steps_are_limited),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_threads_share_a_regex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
