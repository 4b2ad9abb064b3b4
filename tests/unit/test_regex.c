/* tests/unit/test_regex.c: regular expressions match as Go's do; errors are in test_parser.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "query/regex.h"
#include "query/regex_states.h"
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

static struct tsm_regex_states *states_of(const char *pattern)
{
    struct tsm_buf b = {0};
    assert_int_equal(tsm_regex_rewrite(tsm_str_of(pattern), &b, NULL), TSM_OK);
    struct tsm_regex_states *m = tsm_regex_states_new(tsm_buf_view(&b));
    if (!m)
        fail_msg("/%s/ has no states", pattern);
    tsm_buf_release(&b);
    return m;
}

/* The same without PCRE2's steps. */
static void test_states_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tsm_regex_states *m = states_of(cases[i][0]);
        int want = 1;
        for (size_t k = 1; cases[i][k] || want; k++) {
            if (!cases[i][k]) {
                want = 0;
                continue;
            }
            struct tsm_buf clean = {0};
            tsm_utf8_clean(&clean, tsm_str_of(cases[i][k]));
            if (tsm_regex_states_match(m, tsm_buf_view(&clean)) != want)
                fail_msg("/%s/ on '%s': not %d", cases[i][0], cases[i][k], want);
            tsm_buf_release(&clean);
        }
        tsm_regex_states_free(m);
    }
}

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* Adds a random pattern of at most so many parts. */
static void random_pattern(struct tsm_buf *b, uint64_t *seed, int depth)
{
    static const char *const atoms[] = {"a",   "b",   ".",   "[ab]",  "[^a]",     "^",   "$",
                                        "\\b", "\\B", "\\w", "(?i)B", "\xc3\xa4", "\\n", "(?m)"};
    static const char *const repeats[] = {"", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}?", "{2,}", "*?"};
    for (unsigned n = next_random(seed) % 4 + 1; n; n--) {
        unsigned r = next_random(seed) % 16;
        if (r < 4 && depth) {
            tsm_buf_puts(b, r == 0 ? "(?s:" : "(");
            random_pattern(b, seed, depth - 1);
            if (r == 1) {
                tsm_buf_byte(b, '|');
                random_pattern(b, seed, depth - 1);
            }
            tsm_buf_byte(b, ')');
        } else {
            const char *atom = atoms[r % (sizeof atoms / sizeof *atoms)];
            tsm_buf_puts(b, atom);
            if (strcmp(atom, "(?m)") == 0)
                continue;
        }
        tsm_buf_puts(b, repeats[next_random(seed) % (sizeof repeats / sizeof *repeats)]);
    }
}

static void test_both_ways_agree(void **state)
{
    static const char *const parts[] = {"a", "b", "B", "\n", "\xc3\xa4", " ", "ab"};
    uint64_t seed = 1;
    size_t found = 0, all = 0;
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct tsm_buf b = {0};
        random_pattern(&b, &seed, 3);
        const char *pattern = tsm_buf_cstr(&b);
        struct tsm_regex *re = compile(pattern);
        struct tsm_regex_states *m = states_of(pattern);
        for (int k = 0; k < 20; k++) {
            struct tsm_buf text = {0};
            for (unsigned n = next_random(&seed) % 8; n; n--)
                tsm_buf_puts(&text, parts[next_random(&seed) % (sizeof parts / sizeof *parts)]);
            int one = tsm_regex_match(re, tsm_buf_view(&text), NULL);
            int other = tsm_regex_states_match(m, tsm_buf_view(&text));
            if (one != other)
                fail_msg("/%s/ on '%s': %d, %d", pattern, tsm_buf_cstr(&text), one, other);
            found += one == 1;
            all++;
            tsm_buf_release(&text);
        }
        tsm_regex_states_free(m);
        tsm_regex_free(re);
        tsm_buf_release(&b);
    }
    assert_in_range(found, all / 10, all - all / 10);
}

/* Patterns that backtracking takes for ever on, over long texts: there is an answer, and the right one. */
static void test_no_pattern_hangs(void **state)
{
    static const char *const none[] = {
        "^(a*)*(a*)*(a*)*$",
        "(a+)+$",
        "a.*[cd]",
        "a.*a.*a.*[cd]",
        "(a|aa)+[cd]",
        "(.*)(.*)(.*)(.*)(.*)[xy]",
        "([a-z]+)*[0-9]",
        "(x|a|b)*(x|a)*[cd]",
        "a{1,500}a{1,500}[cd]",
        "((a{0,30}){0,30})[cd]",
        "(?i)(A+A+)+[^AB]",
        "^((a?){100}){10}$",
        "(\\w+\\s?)+[[:punct:]]",
        "(a*?)*?(a|b)*?[^ab]",
    };
    enum { LENGTH = 65535 };
    static char text[LENGTH];
    struct tsm_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct tsm_regex *re = compile(none[i]);
        for (size_t n = 10; n <= LENGTH; n = n == 1000 ? LENGTH : 10 * n) {
            memset(text, 'a', n);
            text[n - 1] = 'b';
            if (tsm_regex_match(re, tsm_str(text, n), &err) != 0)
                fail_msg("/%s/ on %zu bytes: %s", none[i], n, err.msg);
            if (n == LENGTH)
                break;
        }
        tsm_regex_free(re);
    }
    struct tsm_regex *re = compile("^(a+)+b$");
    assert_int_equal(tsm_regex_match(re, tsm_str(text, LENGTH), &err), 1);
    tsm_regex_free(re);
}

static void test_work_is_limited(void **state)
{
    (void)state;
    struct tsm_err err = {0};
    struct tsm_regex *re = compile("(a?b?){1000}(a?b?){1000}[cd]");
    static char text[1 << 20];
    memset(text, 'a', sizeof text);
    int rc = tsm_regex_match(re, tsm_str(text, sizeof text), &err);
    assert_int_equal(rc, TSM_ELIMIT);
    assert_string_equal(
        err.msg,
        "regular expression /(a?b?){1000}(a?b?){1000}[cd]/ takes too long on a text of 1048576 bytes");
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
        cmocka_unit_test(test_states_match),
        cmocka_unit_test(test_both_ways_agree),
        cmocka_unit_test(test_no_pattern_hangs),
        cmocka_unit_test(test_work_is_limited),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_threads_share_a_regex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
