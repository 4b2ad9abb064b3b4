/*
 * query/lexer.c: the InfluxQL scanner. Its two windows (code points, tokens) and the moments at which
 * something is put back are those of influxql's scanner.go, because the positions in error messages follow
 * from them.
 */
#include "query/lexer.h"

#include <stdlib.h>
#include <strings.h>

#include "base/utf8.h"

#include "base/banned.h"

enum { NONE = 0, MICRO = 0xb5 };

static const char *const token_texts[] = {
#define X(name, text) [TSM_TOK_##name] = text,
    TSM_TOKEN_LIST(X)
#undef X
};

const char *tsm_token_text(enum tsm_token tok)
{
    return (unsigned)tok < TSM_TOKENS ? token_texts[tok] : "";
}

static int compare_keyword(const void *word, const void *entry)
{
    const struct tsm_str *w = word;
    const char *k = *(const char *const *)entry;
    int c = strncasecmp(w->p, k, w->n);
    return c ? c : -(int)(k[w->n] != 0);
}

enum tsm_token tsm_token_lookup(struct tsm_str word)
{
    static const enum tsm_token others[] = {TSM_TOK_AND, TSM_TOK_OR, TSM_TOK_TRUE, TSM_TOK_FALSE};
    if (word.n == 0 || memchr(word.p, 0, word.n))
        return TSM_TOK_IDENT;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (compare_keyword(&word, &token_texts[others[i]]) == 0)
            return others[i];
    const char *const *hit = bsearch(&word, token_texts + TSM_TOK_ALL, TSM_TOK_WRITE - TSM_TOK_ALL + 1,
                                     sizeof *token_texts, compare_keyword);
    return hit ? (enum tsm_token)(hit - token_texts) : TSM_TOK_IDENT;
}

int tsm_token_precedence(enum tsm_token tok)
{
    switch (tok) {
    case TSM_TOK_OR:
        return 1;
    case TSM_TOK_AND:
        return 2;
    case TSM_TOK_EQ:
    case TSM_TOK_NEQ:
    case TSM_TOK_EQREGEX:
    case TSM_TOK_NEQREGEX:
    case TSM_TOK_LT:
    case TSM_TOK_LTE:
    case TSM_TOK_GT:
    case TSM_TOK_GTE:
        return 3;
    case TSM_TOK_ADD:
    case TSM_TOK_SUB:
    case TSM_TOK_BITWISE_OR:
    case TSM_TOK_BITWISE_XOR:
        return 4;
    case TSM_TOK_MUL:
    case TSM_TOK_DIV:
    case TSM_TOK_MOD:
    case TSM_TOK_BITWISE_AND:
        return 5;
    default:
        return 0;
    }
}

/* ---- UTF-8 ------------------------------------------------------------------------------------ */

static uint32_t utf8_next(char **p)
{
    const uint8_t *s = (const uint8_t *)*p;
    if (s[0] < 0x80) {
        *p += 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *p += 2;
        return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    if (s[0] < 0xf0) {
        *p += 3;
        return (uint32_t)(s[0] & 0xf) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
    }
    *p += 4;
    return (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 0x3f) << 12 | (uint32_t)(s[2] & 0x3f) << 6 |
           (s[3] & 0x3f);
}

static char *utf8_put(char *w, uint32_t c)
{
    if (c < 0x80) {
        *w++ = (char)c;
    } else if (c < 0x800) {
        *w++ = (char)(0xc0 | c >> 6);
        *w++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *w++ = (char)(0xe0 | c >> 12);
        *w++ = (char)(0x80 | (c >> 6 & 0x3f));
        *w++ = (char)(0x80 | (c & 0x3f));
    } else {
        *w++ = (char)(0xf0 | c >> 18);
        *w++ = (char)(0x80 | (c >> 12 & 0x3f));
        *w++ = (char)(0x80 | (c >> 6 & 0x3f));
        *w++ = (char)(0x80 | (c & 0x3f));
    }
    return w;
}

void tsm_lexer_init(struct tsm_lexer *lx, struct tsm_str text, struct tsm_arena *arena)
{
    *lx = (struct tsm_lexer){0};
    struct tsm_buf clean = {0};
    tsm_utf8_clean(&clean, text);
    char *copy = tsm_arena_bytes(arena, clean.len + 1);
    if (clean.len)
        memcpy(copy, clean.data, clean.len);
    copy[clean.len] = 0;
    lx->p = copy;
    lx->end = copy + clean.len;
    tsm_buf_release(&clean);
    for (int i = 0; i < 3; i++)
        lx->chars[i].at = copy;
}

/* ---- the window of code points ---------------------------------------------------------------- */

static int char_index(const struct tsm_lexer *lx)
{
    return (lx->char_at - lx->char_back + 3) % 3;
}

static struct tsm_pos current_pos(const struct tsm_lexer *lx)
{
    return lx->chars[char_index(lx)].pos;
}

static char *current_at(const struct tsm_lexer *lx)
{
    return lx->chars[char_index(lx)].at;
}

static uint32_t read_char(struct tsm_lexer *lx)
{
    if (lx->char_back > 0) {
        lx->char_back--;
        return lx->chars[char_index(lx)].c;
    }
    char *at = lx->p;
    uint32_t c = NONE;
    if (lx->p < lx->end) {
        c = utf8_next(&lx->p);
        if (c == '\r') {
            if (lx->p < lx->end && *lx->p == '\n')
                lx->p++;
            c = '\n';
        }
    }
    lx->char_at = (lx->char_at + 1) % 3;
    lx->chars[lx->char_at].c = c;
    lx->chars[lx->char_at].pos = lx->pos;
    lx->chars[lx->char_at].at = at;
    if (c == '\n') {
        lx->pos.line++;
        lx->pos.chr = 0;
    } else if (!lx->eof) {
        lx->pos.chr++;
    }
    if (c == NONE)
        lx->eof = true;
    return c;
}

static void put_back(struct tsm_lexer *lx)
{
    lx->char_back++;
}

uint32_t tsm_lexer_peek(struct tsm_lexer *lx)
{
    uint32_t c = read_char(lx);
    if (c != NONE)
        put_back(lx);
    return c;
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static bool is_space(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_ident(uint32_t c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static struct tsm_lexeme lexeme(enum tsm_token tok, struct tsm_pos pos, const char *from, const char *to)
{
    return (struct tsm_lexeme){tok, pos, {from, (size_t)(to - from)}};
}

static struct tsm_lexeme scan_space(struct tsm_lexer *lx)
{
    struct tsm_pos pos = current_pos(lx);
    char *from = current_at(lx), *w = utf8_put(from, lx->chars[char_index(lx)].c);
    for (;;) {
        uint32_t c = read_char(lx);
        if (c == NONE)
            break;
        if (!is_space(c)) {
            put_back(lx);
            break;
        }
        w = utf8_put(w, c);
    }
    return lexeme(TSM_TOK_WS, pos, from, w);
}

/* After the opening quote was read and put back. from: where the literal goes. */
static struct tsm_lexeme scan_string(struct tsm_lexer *lx, char *from)
{
    put_back(lx);
    struct tsm_pos pos = current_pos(lx);
    uint32_t quote = read_char(lx);
    char *w = from;
    if (quote == NONE)
        return lexeme(TSM_TOK_BADSTRING, pos, from, w);
    for (;;) {
        uint32_t c = read_char(lx);
        if (c == quote)
            return lexeme(TSM_TOK_STRING, pos, from, w);
        if (c == NONE || c == '\n')
            return lexeme(TSM_TOK_BADSTRING, pos, from, w);
        if (c == '\\') {
            c = read_char(lx);
            if (c == 'n') {
                c = '\n';
            } else if (c != '\\' && c != '"' && c != '\'') {
                w = utf8_put(from, '\\');
                return lexeme(TSM_TOK_BADESCAPE, current_pos(lx), from, c ? utf8_put(w, c) : w);
            }
        }
        w = utf8_put(w, c);
    }
}

/* from: where the literal goes; something may be written there already, up to w. */
static struct tsm_lexeme scan_ident(struct tsm_lexer *lx, bool lookup, char *from, char *w)
{
    (void)read_char(lx);
    struct tsm_pos pos = current_pos(lx);
    put_back(lx);
    char *word = w;
    for (;;) {
        uint32_t c = read_char(lx);
        if (c == NONE)
            break;
        if (c == '"') {
            struct tsm_lexeme s = scan_string(lx, word);
            s.lit = tsm_str(from, (size_t)(word - from) + s.lit.n);
            if (s.tok != TSM_TOK_STRING)
                return s;
            s.tok = TSM_TOK_IDENT;
            s.pos = pos;
            return s;
        }
        if (!is_ident(c)) {
            put_back(lx);
            break;
        }
        w = utf8_put(w, c);
    }
    if (lookup) {
        enum tsm_token tok = tsm_token_lookup(tsm_str(word, (size_t)(w - word)));
        if (tok != TSM_TOK_IDENT)
            return lexeme(tok, pos, from, from);
    }
    return lexeme(TSM_TOK_IDENT, pos, from, w);
}

static char *scan_digits(struct tsm_lexer *lx, char *w)
{
    for (;;) {
        uint32_t c = read_char(lx);
        if (!is_digit(c)) {
            put_back(lx);
            return w;
        }
        w = utf8_put(w, c);
    }
}

/* After the first digit, or the full stop before a digit, was read. */
static struct tsm_lexeme scan_number(struct tsm_lexer *lx)
{
    struct tsm_pos pos = current_pos(lx);
    char *from = current_at(lx);
    put_back(lx);
    char *w = scan_digits(lx, from);
    uint32_t c = read_char(lx);
    if (c == '.') {
        c = read_char(lx);
        if (is_digit(c)) {
            w = utf8_put(utf8_put(w, '.'), c);
            w = scan_digits(lx, w);
        } else {
            put_back(lx);
        }
        return lexeme(TSM_TOK_NUMBER, pos, from, w);
    }
    if (!is_letter(c) && c != MICRO) {
        put_back(lx);
        return lexeme(TSM_TOK_INTEGER, pos, from, w);
    }
    while (is_letter(c) || c == MICRO || is_digit(c)) {
        w = utf8_put(w, c);
        c = read_char(lx);
    }
    put_back(lx);
    return lexeme(TSM_TOK_DURATIONVAL, pos, from, w);
}

static bool skip_comment(struct tsm_lexer *lx)
{
    for (uint32_t c = read_char(lx);;) {
        if (c == NONE)
            return false;
        if (c != '*') {
            c = read_char(lx);
            continue;
        }
        c = read_char(lx);
        if (c == '/')
            return true;
        if (c == NONE)
            return false;
    }
}

/* A token of one or two characters whose first is c. */
static struct tsm_lexeme scan_operator(struct tsm_lexer *lx, uint32_t c, struct tsm_pos pos, char *at)
{
    static const struct {
        char first, second;
        enum tsm_token tok;
    } pairs[] = {
        {'=', '~', TSM_TOK_EQREGEX},     {'!', '=', TSM_TOK_NEQ}, {'!', '~', TSM_TOK_NEQREGEX},
        {'>', '=', TSM_TOK_GTE},         {'<', '=', TSM_TOK_LTE}, {'<', '>', TSM_TOK_NEQ},
        {':', ':', TSM_TOK_DOUBLECOLON},
    };
    static const struct {
        char c;
        enum tsm_token tok;
    } singles[] = {
        {'+', TSM_TOK_ADD},         {'*', TSM_TOK_MUL},        {'%', TSM_TOK_MOD},
        {'&', TSM_TOK_BITWISE_AND}, {'|', TSM_TOK_BITWISE_OR}, {'=', TSM_TOK_EQ},
        {'^', TSM_TOK_BITWISE_XOR}, {'>', TSM_TOK_GT},         {'<', TSM_TOK_LT},
        {'(', TSM_TOK_LPAREN},      {')', TSM_TOK_RPAREN},     {',', TSM_TOK_COMMA},
        {';', TSM_TOK_SEMICOLON},   {':', TSM_TOK_COLON},
    };
    if (c == '=' || c == '!' || c == '<' || c == '>' || c == ':') {
        uint32_t c1 = read_char(lx);
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if ((uint32_t)pairs[i].first == c && (uint32_t)pairs[i].second == c1)
                return lexeme(pairs[i].tok, pos, at, at);
        put_back(lx);
    }
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        if ((uint32_t)singles[i].c == c)
            return lexeme(singles[i].tok, pos, at, at);
    return lexeme(TSM_TOK_ILLEGAL, pos, at, utf8_put(at, c));
}

static struct tsm_lexeme scan(struct tsm_lexer *lx)
{
    uint32_t c = read_char(lx), c1;
    struct tsm_pos pos = current_pos(lx);
    char *at = current_at(lx);
    if (is_space(c))
        return scan_space(lx);
    if (is_letter(c) || c == '_' || c == '"') {
        put_back(lx);
        return scan_ident(lx, true, at, at);
    }
    if (is_digit(c))
        return scan_number(lx);
    struct tsm_lexeme l;
    switch (c) {
    case NONE:
        return lexeme(TSM_TOK_EOF, pos, at, at);
    case '\'':
        return scan_string(lx, at);
    case '.':
        c1 = read_char(lx);
        put_back(lx);
        return is_digit(c1) ? scan_number(lx) : lexeme(TSM_TOK_DOT, pos, at, at);
    case '$':
        l = scan_ident(lx, false, at, utf8_put(at, '$'));
        if (l.tok == TSM_TOK_IDENT)
            l.tok = TSM_TOK_BOUNDPARAM;
        l.pos = pos;
        return l;
    case '-':
        c1 = read_char(lx);
        if (c1 == '-') {
            do
                c1 = read_char(lx);
            while (c1 != '\n' && c1 != NONE);
            return lexeme(TSM_TOK_COMMENT, pos, at, at);
        }
        put_back(lx);
        return lexeme(TSM_TOK_SUB, pos, at, at);
    case '/':
        c1 = read_char(lx);
        if (c1 == '*')
            return lexeme(skip_comment(lx) ? TSM_TOK_COMMENT : TSM_TOK_ILLEGAL, pos, at, at);
        put_back(lx);
        return lexeme(TSM_TOK_DIV, pos, at, at);
    default:
        return scan_operator(lx, c, pos, at);
    }
}

static struct tsm_lexeme scan_regex(struct tsm_lexer *lx)
{
    struct tsm_pos pos = current_pos(lx);
    uint32_t c = read_char(lx);
    char *from = current_at(lx), *w = from;
    if (c != '/')
        return lexeme(TSM_TOK_BADREGEX, pos, from, from);
    for (;;) {
        c = read_char(lx);
        if (c == '/')
            return lexeme(TSM_TOK_REGEX, pos, from, w);
        if (c == NONE || c == '\n')
            return lexeme(TSM_TOK_BADREGEX, pos, from, from);
        if (c == '\\') {
            uint32_t c1 = read_char(lx);
            if (c1 == NONE)
                return lexeme(TSM_TOK_BADREGEX, pos, from, from);
            if (c1 == '/')
                c = '/';
            else
                put_back(lx);
        }
        w = utf8_put(w, c);
    }
}

/* ---- the window of tokens --------------------------------------------------------------------- */

static struct tsm_lexeme scan_with(struct tsm_lexer *lx, struct tsm_lexeme (*fn)(struct tsm_lexer *))
{
    if (lx->token_back > 0) {
        lx->token_back--;
        return lx->tokens[(lx->token_at - lx->token_back + 3) % 3];
    }
    struct tsm_lexeme l = fn(lx);
    lx->token_at = (lx->token_at + 1) % 3;
    return lx->tokens[lx->token_at] = l;
}

struct tsm_lexeme tsm_lexer_scan(struct tsm_lexer *lx)
{
    return scan_with(lx, scan);
}

struct tsm_lexeme tsm_lexer_scan_regex(struct tsm_lexer *lx)
{
    return scan_with(lx, scan_regex);
}

void tsm_lexer_back(struct tsm_lexer *lx)
{
    lx->token_back++;
}
