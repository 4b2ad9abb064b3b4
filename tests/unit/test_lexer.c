/* tests/unit/test_lexer.c: tokens, their texts and positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "query/lexer.h"

struct expected {
    enum tsm_token tok;
    const char *lit;
    int line, chr;
};

static void check_bytes(struct tsm_str text, const struct expected *expected, size_t n)
{
    struct tsm_arena arena = {0};
    struct tsm_lexer lx;
    tsm_lexer_init(&lx, text, &arena);
    for (size_t i = 0; i < n; i++) {
        struct tsm_lexeme l = tsm_lexer_scan(&lx);
        if (l.tok != expected[i].tok)
            fail_msg("token %zu of %.*s: %s, not %s", i, (int)text.n, text.p, tsm_token_text(l.tok),
                     tsm_token_text(expected[i].tok));
        assert_int_equal(l.lit.n, strlen(expected[i].lit));
        assert_memory_equal(l.lit.p, expected[i].lit, l.lit.n);
        assert_int_equal(l.pos.line, expected[i].line);
        assert_int_equal(l.pos.chr, expected[i].chr);
    }
    tsm_arena_release(&arena);
}

#define CHECK(text, ...)                                              \
    do {                                                              \
        const struct expected list[] = {__VA_ARGS__};                 \
        check_bytes(TSM_STR(text), list, sizeof list / sizeof *list); \
    } while (0)

static void test_words(void **state)
{
    (void)state;
    CHECK("SELECT select SeLeCt", {TSM_TOK_SELECT, "", 0, 0}, {TSM_TOK_WS, " ", 0, 6},
          {TSM_TOK_SELECT, "", 0, 7}, {TSM_TOK_WS, " ", 0, 13}, {TSM_TOK_SELECT, "", 0, 14},
          {TSM_TOK_EOF, "", 0, 21} /* a word has looked at the end once already */);
    CHECK("selected _x a1_", {TSM_TOK_IDENT, "selected", 0, 0}, {TSM_TOK_WS, " ", 0, 8},
          {TSM_TOK_IDENT, "_x", 0, 9}, {TSM_TOK_WS, " ", 0, 11}, {TSM_TOK_IDENT, "a1_", 0, 12});
    CHECK("\"select\"", {TSM_TOK_IDENT, "select", 0, 0});
    CHECK("\"a\\\"b\\n\\\\\"", {TSM_TOK_IDENT, "a\"b\n\\", 0, 0});
    CHECK("\"\"", {TSM_TOK_IDENT, "", 0, 0});
    CHECK("\"abc", {TSM_TOK_BADSTRING, "abc", 0, 0});
    CHECK("true FALSE and Or", {TSM_TOK_TRUE, "", 0, 0}, {TSM_TOK_WS, " ", 0, 4}, {TSM_TOK_FALSE, "", 0, 5},
          {TSM_TOK_WS, " ", 0, 10}, {TSM_TOK_AND, "", 0, 11}, {TSM_TOK_WS, " ", 0, 14},
          {TSM_TOK_OR, "", 0, 15});
}

static void test_every_keyword(void **state)
{
    (void)state;
    for (int t = TSM_TOK_ALL; t <= TSM_TOK_WRITE; t++) {
        const char *text = tsm_token_text((enum tsm_token)t);
        assert_int_equal(tsm_token_lookup(tsm_str_of(text)), t);
        assert_int_equal(tsm_token_lookup(tsm_str(text, strlen(text) - 1)) == (enum tsm_token)t, 0);
        if (t > TSM_TOK_ALL)
            assert_true(strcmp(tsm_token_text((enum tsm_token)(t - 1)), text) < 0);
    }
    assert_int_equal(tsm_token_lookup(TSM_STR("time")), TSM_TOK_IDENT);
    assert_int_equal(tsm_token_lookup(TSM_STR("")), TSM_TOK_IDENT);
    assert_int_equal(tsm_token_lookup(TSM_STR("all\0x")), TSM_TOK_IDENT);
}

static void test_strings(void **state)
{
    (void)state;
    CHECK("'it\\'s'", {TSM_TOK_STRING, "it's", 0, 0}, {TSM_TOK_EOF, "", 0, 7});
    CHECK("'a\\nb\\\\\\\"'", {TSM_TOK_STRING, "a\nb\\\"", 0, 0});
    CHECK("'äöü€𝄞'x", {TSM_TOK_STRING, "äöü€𝄞", 0, 0}, {TSM_TOK_IDENT, "x", 0, 7});
    CHECK("'abc", {TSM_TOK_BADSTRING, "abc", 0, 0});
    CHECK("'ab\nc'", {TSM_TOK_BADSTRING, "ab", 0, 0});
    CHECK("'a\\qb'", {TSM_TOK_BADESCAPE, "\\q", 0, 3});
}

static void test_numbers(void **state)
{
    (void)state;
    CHECK("100 1.5 .5 1.", {TSM_TOK_INTEGER, "100", 0, 0}, {TSM_TOK_WS, " ", 0, 3},
          {TSM_TOK_NUMBER, "1.5", 0, 4}, {TSM_TOK_WS, " ", 0, 7}, {TSM_TOK_NUMBER, ".5", 0, 8},
          {TSM_TOK_WS, " ", 0, 10}, {TSM_TOK_NUMBER, "1", 0, 11});
    CHECK("1h30m 10µs 5u 3ns", {TSM_TOK_DURATIONVAL, "1h30m", 0, 0}, {TSM_TOK_WS, " ", 0, 5},
          {TSM_TOK_DURATIONVAL, "10µs", 0, 6}, {TSM_TOK_WS, " ", 0, 10}, {TSM_TOK_DURATIONVAL, "5u", 0, 11},
          {TSM_TOK_WS, " ", 0, 13}, {TSM_TOK_DURATIONVAL, "3ns", 0, 14});
    CHECK("1..2", {TSM_TOK_NUMBER, "1", 0, 0}, {TSM_TOK_NUMBER, ".2", 0, 2});
}

static void test_operators(void **state)
{
    (void)state;
    CHECK("+-*/%&|^", {TSM_TOK_ADD, "", 0, 0}, {TSM_TOK_SUB, "", 0, 1}, {TSM_TOK_MUL, "", 0, 2},
          {TSM_TOK_DIV, "", 0, 3}, {TSM_TOK_MOD, "", 0, 4}, {TSM_TOK_BITWISE_AND, "", 0, 5},
          {TSM_TOK_BITWISE_OR, "", 0, 6}, {TSM_TOK_BITWISE_XOR, "", 0, 7}, {TSM_TOK_EOF, "", 0, 8});
    CHECK("==~!=!~<><=>=<>", {TSM_TOK_EQ, "", 0, 0}, {TSM_TOK_EQREGEX, "", 0, 1}, {TSM_TOK_NEQ, "", 0, 3},
          {TSM_TOK_NEQREGEX, "", 0, 5}, {TSM_TOK_NEQ, "", 0, 7}, {TSM_TOK_LTE, "", 0, 9},
          {TSM_TOK_GTE, "", 0, 11}, {TSM_TOK_NEQ, "", 0, 13});
    CHECK("(),;.:::", {TSM_TOK_LPAREN, "", 0, 0}, {TSM_TOK_RPAREN, "", 0, 1}, {TSM_TOK_COMMA, "", 0, 2},
          {TSM_TOK_SEMICOLON, "", 0, 3}, {TSM_TOK_DOT, "", 0, 4}, {TSM_TOK_DOUBLECOLON, "", 0, 5},
          {TSM_TOK_COLON, "", 0, 7});
    CHECK("#é!", {TSM_TOK_ILLEGAL, "#", 0, 0}, {TSM_TOK_ILLEGAL, "é", 0, 1}, {TSM_TOK_ILLEGAL, "!", 0, 2});
    CHECK("$a $\"b c\" $", {TSM_TOK_BOUNDPARAM, "$a", 0, 0}, {TSM_TOK_WS, " ", 0, 2},
          {TSM_TOK_BOUNDPARAM, "$b c", 0, 3}, {TSM_TOK_WS, " ", 0, 9}, {TSM_TOK_BOUNDPARAM, "$", 0, 10});
}

static void test_lines_and_comments(void **state)
{
    (void)state;
    CHECK("a\nb\r\nc\rd", {TSM_TOK_IDENT, "a", 0, 0}, {TSM_TOK_WS, "\n", 0, 1}, {TSM_TOK_IDENT, "b", 1, 0},
          {TSM_TOK_WS, "\n", 1, 1}, {TSM_TOK_IDENT, "c", 2, 0}, {TSM_TOK_WS, "\n", 2, 1},
          {TSM_TOK_IDENT, "d", 3, 0});
    CHECK("--x\ny", {TSM_TOK_COMMENT, "", 0, 0}, {TSM_TOK_IDENT, "y", 1, 0});
    CHECK("/* ** / \n*/y", {TSM_TOK_COMMENT, "", 0, 0}, {TSM_TOK_IDENT, "y", 1, 2});
    CHECK("/* x", {TSM_TOK_ILLEGAL, "", 0, 0});
}

static void test_regex(void **state)
{
    (void)state;
    struct tsm_arena arena = {0};
    struct tsm_lexer lx;
    tsm_lexer_init(&lx, TSM_STR("/a\\/b\\.c/ x"), &arena);
    assert_int_equal(tsm_lexer_peek(&lx), '/');
    struct tsm_lexeme l = tsm_lexer_scan_regex(&lx);
    assert_int_equal(l.tok, TSM_TOK_REGEX);
    assert_int_equal(l.lit.n, 6);
    assert_memory_equal(l.lit.p, "a/b\\.c", 6);
    assert_int_equal(tsm_lexer_scan(&lx).tok, TSM_TOK_WS);
    tsm_lexer_back(&lx);
    tsm_lexer_back(&lx);
    assert_int_equal(tsm_lexer_scan(&lx).tok, TSM_TOK_REGEX);
    assert_int_equal(tsm_lexer_scan(&lx).tok, TSM_TOK_WS);
    assert_int_equal(tsm_lexer_scan(&lx).tok, TSM_TOK_IDENT);
    tsm_lexer_init(&lx, TSM_STR("/a\nb/"), &arena);
    assert_int_equal(tsm_lexer_scan_regex(&lx).tok, TSM_TOK_BADREGEX);
    tsm_lexer_init(&lx, TSM_STR("/a\\"), &arena);
    assert_int_equal(tsm_lexer_scan_regex(&lx).tok, TSM_TOK_BADREGEX);
    tsm_arena_release(&arena);
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    CHECK("'a\xff\xc3"
          "b'",
          {TSM_TOK_STRING,
           "a\xef\xbf\xbd\xef\xbf\xbd"
           "b",
           0, 0},
          {TSM_TOK_EOF, "", 0, 6});
    CHECK("\xed\xa0\x80", {TSM_TOK_ILLEGAL, "\xef\xbf\xbd", 0, 0}, {TSM_TOK_ILLEGAL, "\xef\xbf\xbd", 0, 1},
          {TSM_TOK_ILLEGAL, "\xef\xbf\xbd", 0, 2}, {TSM_TOK_EOF, "", 0, 3});
    CHECK("a\0b", {TSM_TOK_IDENT, "a", 0, 0}, {TSM_TOK_IDENT, "b", 0, 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),     cmocka_unit_test(test_every_keyword),
        cmocka_unit_test(test_strings),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_operators), cmocka_unit_test(test_lines_and_comments),
        cmocka_unit_test(test_regex),     cmocka_unit_test(test_bytes_that_are_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
