/*
 * query/regex_syntax.c: from Go's regular expressions to PCRE2's. Literals and classes are spelled out in
 * code points, so that nothing means more to PCRE2 than it does to Go.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/regex_syntax.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>

#include "base/banned.h"

enum { REPEAT_MAX = 1000, NESTING_MAX = 200, RUNE_MAX = 0x10ffff };

struct rewrite {
    const char *start, *p, *end;
    struct tsm_buf *out;
    struct tsm_err *err;
    unsigned depth;
    bool operand[NESTING_MAX + 1]; /* per open group: is there something that can be repeated */
    const char *repeat;            /* where the repetition that was just read began; NULL: none */
};

static int fail(struct rewrite *r, const char *what, const char *from, const char *to)
{
    size_t n = (size_t)(to - from);
    return tsm_err_set(r->err, TSM_EPARSE, "error parsing regexp: %s: `%.*s`", what, n < 700 ? (int)n : 700,
                       from);
}

static uint32_t next_rune(struct rewrite *r)
{
    const uint8_t *s = (const uint8_t *)r->p;
    size_t left = (size_t)(r->end - r->p);
    if (s[0] < 0xc0 || left < 2) {
        r->p++;
        return s[0];
    }
    size_t len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t c = s[0] & (0x7fU >> len);
    if (len > left)
        len = left;
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3f);
    r->p += len;
    return c;
}

static void put_rune(struct rewrite *r, uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        tsm_buf_byte(r->out, (uint8_t)c);
    else
        tsm_buf_printf(r->out, "\\x{%x}", c);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts(const struct rewrite *r, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0;
}

/* ---- escapes ---------------------------------------------------------------------------------- */

static int hex_digit(uint32_t c)
{
    return c >= '0' && c <= '9'                     ? (int)(c - '0')
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (int)((c | 0x20) - 'a' + 10)
                                                    : -1;
}

/* After \x. */
static bool hex_escape(struct rewrite *r, uint32_t *c)
{
    if (r->p == r->end)
        return false;
    uint32_t first = next_rune(r);
    if (first != '{') {
        if (r->p == r->end)
            return false;
        int hi = hex_digit(first), lo = hex_digit(next_rune(r));
        *c = (uint32_t)(hi * 16 + lo);
        return hi >= 0 && lo >= 0;
    }
    *c = 0;
    for (unsigned digits = 0;; digits++) {
        if (r->p == r->end)
            return false;
        uint32_t d = next_rune(r);
        if (d == '}')
            return digits > 0;
        int v = hex_digit(d);
        if (v < 0)
            return false;
        *c = *c * 16 + (uint32_t)v;
        if (*c > RUNE_MAX)
            return false;
    }
}

static bool octal_escape(struct rewrite *r, uint32_t *c)
{
    /* One digit other than 0 would be a back reference. */
    if (*c != '0' && (r->p == r->end || *r->p < '0' || *r->p > '7'))
        return false;
    *c -= '0';
    for (int i = 1; i < 3 && r->p < r->end && *r->p >= '0' && *r->p <= '7'; i++)
        *c = *c * 8 + (uint32_t)(*r->p++ - '0');
    return true;
}

/* An escape that stands for one character, at its backslash. */
static int escape(struct rewrite *r, uint32_t *c)
{
    const char *from = r->p++;
    bool ok;
    if (r->p == r->end)
        return fail(r, "trailing backslash at end of expression", r->end, r->end);
    *c = next_rune(r);
    switch (*c) {
    case '0' ... '7':
        ok = octal_escape(r, c);
        break;
    case 'x':
        ok = hex_escape(r, c);
        break;
    case 'a':
        *c = 7;
        return TSM_OK;
    case 'f':
        *c = '\f';
        return TSM_OK;
    case 'n':
        *c = '\n';
        return TSM_OK;
    case 'r':
        *c = '\r';
        return TSM_OK;
    case 't':
        *c = '\t';
        return TSM_OK;
    case 'v':
        *c = '\v';
        return TSM_OK;
    default:
        ok = *c < 0x80 && !((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') && !is_digit((char)*c);
        break;
    }
    return ok ? TSM_OK : fail(r, "invalid escape sequence", from, r->p);
}

/* \d, \s, \w and their opposites, in or outside of a class. False when there is none here. */
static bool perl_class(struct rewrite *r, bool inside)
{
    static const struct {
        char c;
        const char *in, *out;
    } classes[] = {
        {'d', "0-9", "[0-9]"},
        {'D', "\\D", "\\D"},
        {'s', "\\t\\n\\f\\r\\x20", "[\\t\\n\\f\\r\\x20]"},
        {'S', "\\S\\x0b", "[^\\t\\n\\f\\r\\x20]"},
        {'w', "0-9A-Za-z_", "[0-9A-Za-z_]"},
        {'W', "\\W", "[^0-9A-Za-z_]"},
    };
    if (r->end - r->p < 2 || r->p[0] != '\\')
        return false;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].c == r->p[1]) {
            tsm_buf_puts(r->out, inside ? classes[i].in : classes[i].out);
            r->p += 2;
            return true;
        }
    return false;
}

/* PCRE2 knows the categories and scripts of Unicode under the same names. */
static bool is_property(const char *name, size_t n)
{
    char text[64];
    int code;
    PCRE2_SIZE offset;
    if (n > 40)
        return false;
    int len = snprintf(text, sizeof text, "\\p{%.*s}", (int)n, name);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)text, (PCRE2_SIZE)len, PCRE2_UTF, &code, &offset, NULL);
    pcre2_code_free(re);
    return re != NULL;
}

/* \pL, \p{Greek}, \P…, \p{^…}. *done: there was one. */
static int unicode_class(struct rewrite *r, bool *done)
{
    *done = false;
    if (r->end - r->p < 2 || r->p[0] != '\\' || (r->p[1] != 'p' && r->p[1] != 'P'))
        return TSM_OK;
    const char *from = r->p;
    bool negative = r->p[1] == 'P';
    r->p += 2;
    if (r->p == r->end)
        return fail(r, "invalid character class range", from, r->p);
    const char *name = r->p, *to;
    if (*name == '{') {
        name++;
        to = memchr(name, '}', (size_t)(r->end - name));
        if (!to)
            return fail(r, "invalid character class range", from, r->end);
        r->p = to + 1;
        if (name < to && *name == '^') {
            negative = !negative;
            name++;
        }
    } else {
        (void)next_rune(r);
        to = r->p;
    }
    for (const char *q = name; q < to; q++)
        if (!(((*q | 0x20) >= 'a' && (*q | 0x20) <= 'z') || *q == '_'))
            return fail(r, "invalid character class range", from, r->p);
    if (name == to || !is_property(name, (size_t)(to - name)))
        return fail(r, "invalid character class range", from, r->p);
    tsm_buf_printf(r->out, "\\%c{%.*s}", negative ? 'P' : 'p', (int)(to - name), name);
    *done = true;
    return TSM_OK;
}

/* ---- classes ---------------------------------------------------------------------------------- */

static int class_rune(struct rewrite *r, const char *class, uint32_t *c)
{
    if (r->p == r->end)
        return fail(r, "missing closing ]", class, r->end);
    if (*r->p == '\\')
        return escape(r, c);
    *c = next_rune(r);
    return TSM_OK;
}

static int posix_class(struct rewrite *r, bool *done)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph",
                                        "lower", "print", "punct", "space", "upper", "word",  "xdigit"};
    *done = false;
    if (!starts(r, "[:"))
        return TSM_OK;
    const char *to = memmem(r->p + 2, (size_t)(r->end - r->p - 2), ":]", 2);
    if (!to)
        return TSM_OK;
    const char *name = r->p + 2;
    if (name < to && *name == '^')
        name++;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == (size_t)(to - name) && memcmp(names[i], name, (size_t)(to - name)) == 0) {
            tsm_buf_add(r->out, r->p, (size_t)(to + 2 - r->p));
            r->p = to + 2;
            *done = true;
            return TSM_OK;
        }
    return fail(r, "invalid character class range", r->p, to + 2);
}

static int class_item(struct rewrite *r, const char *class)
{
    bool done;
    int rc = posix_class(r, &done);
    if (rc != TSM_OK || done)
        return rc;
    rc = unicode_class(r, &done);
    if (rc != TSM_OK || done || perl_class(r, true))
        return rc;
    const char *from = r->p;
    uint32_t lo, hi;
    rc = class_rune(r, class, &lo);
    if (rc != TSM_OK)
        return rc;
    hi = lo;
    if (r->end - r->p >= 2 && r->p[0] == '-' && r->p[1] != ']') {
        r->p++;
        rc = class_rune(r, class, &hi);
        if (rc != TSM_OK)
            return rc;
        if (hi < lo)
            return fail(r, "invalid character class range", from, r->p);
    }
    put_rune(r, lo);
    if (hi != lo) {
        tsm_buf_byte(r->out, '-');
        put_rune(r, hi);
    }
    return TSM_OK;
}

static int class(struct rewrite *r)
{
    const char *from = r->p++;
    tsm_buf_byte(r->out, '[');
    if (r->p < r->end && *r->p == '^') {
        tsm_buf_byte(r->out, '^');
        r->p++;
    }
    for (bool first = true; first || r->p == r->end || *r->p != ']'; first = false) {
        if (r->p == r->end)
            return fail(r, "missing closing ]", from, r->end);
        int rc = class_item(r, from);
        if (rc != TSM_OK)
            return rc;
    }
    r->p++;
    tsm_buf_byte(r->out, ']');
    return TSM_OK;
}

/* ---- groups ----------------------------------------------------------------------------------- */

static int open_group(struct rewrite *r, const char *text)
{
    if (r->depth == NESTING_MAX)
        return fail(r, "expression nests too deeply", r->start, r->end);
    r->operand[++r->depth] = false;
    tsm_buf_puts(r->out, text);
    return TSM_OK;
}

/* (?P<name> */
static int named_group(struct rewrite *r)
{
    const char *from = r->p, *name = r->p + 4;
    const char *to = memchr(name, '>', (size_t)(r->end - name));
    if (!to)
        return fail(r, "invalid named capture", from, r->end);
    bool ok = to > name;
    for (const char *q = name; q < to; q++)
        ok = ok && (((*q | 0x20) >= 'a' && (*q | 0x20) <= 'z') || is_digit(*q) || *q == '_');
    if (!ok)
        return fail(r, "invalid named capture", from, to + 1);
    r->p = to + 1;
    return open_group(r, "(?:");
}

/* (?i), (?i-s:…): the flags i, m, s and U mean the same in both. */
static int flags(struct rewrite *r)
{
    const char *from = r->p;
    bool negative = false, seen = false;
    for (r->p += 2; r->p < r->end;) {
        uint32_t c = next_rune(r);
        if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
            seen = true;
        } else if (c == '-' && !negative) {
            negative = true;
            seen = false;
        } else if ((c == ':' || c == ')') && (!negative || seen)) {
            if (c == ':') {
                tsm_buf_add(r->out, from, (size_t)(r->p - from) - 1);
                return open_group(r, ":");
            }
            tsm_buf_add(r->out, from, (size_t)(r->p - from));
            return TSM_OK;
        } else {
            return fail(r, "invalid or unsupported Perl syntax", from, r->p);
        }
    }
    return fail(r, "invalid or unsupported Perl syntax", from, r->end);
}

static int group(struct rewrite *r)
{
    if (starts(r, "(?P<"))
        return named_group(r);
    if (starts(r, "(?"))
        return flags(r);
    r->p++;
    return open_group(r, "(?:");
}

/* ---- repetition ------------------------------------------------------------------------------- */

/* A number of {n,m} without leading zeros; -1: too large. False when there is none. */
static bool repeat_number(struct rewrite *r, int *n)
{
    const char *from = r->p;
    if (r->p == r->end || !is_digit(*r->p) || (*r->p == '0' && r->end - r->p > 1 && is_digit(r->p[1])))
        return false;
    for (*n = 0; r->p < r->end && is_digit(*r->p); r->p++)
        *n = r->p - from >= 8 ? -1 : *n * 10 + (*r->p - '0');
    return true;
}

/* At "{": 1 when a repetition was read, 0 when the brace is a literal. */
static int counted(struct rewrite *r, int *min, int *max)
{
    const char *from = r->p++;
    bool ok = repeat_number(r, min);
    *max = *min;
    if (ok && r->p < r->end && *r->p == ',') {
        r->p++;
        *max = INT32_MAX; /* no limit */
        if (r->p < r->end && *r->p != '}')
            ok = repeat_number(r, max);
    }
    if (ok && r->p < r->end && *r->p == '}') {
        r->p++;
        return 1;
    }
    r->p = from;
    return 0;
}

/* After a repetition operator that began at from: the question mark, and the checks. */
static int repeat(struct rewrite *r, const char *from)
{
    if (r->p < r->end && *r->p == '?')
        r->p++;
    if (r->repeat)
        return fail(r, "invalid nested repetition operator", r->repeat, r->p);
    if (!r->operand[r->depth])
        return fail(r, "missing argument to repetition operator", from, r->p);
    tsm_buf_add(r->out, from, (size_t)(r->p - from));
    r->repeat = from;
    return TSM_OK;
}

static int braces(struct rewrite *r)
{
    const char *from = r->p;
    int min = 0, max = 0;
    if (!counted(r, &min, &max)) {
        r->p++;
        tsm_buf_puts(r->out, "\\{");
        r->operand[r->depth] = true;
        r->repeat = NULL;
        return TSM_OK;
    }
    if (min < 0 || min > REPEAT_MAX || max < 0 || (max != INT32_MAX && (max > REPEAT_MAX || min > max)))
        return fail(r, "invalid repeat count", from, r->p);
    return repeat(r, from);
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* \Q…\E */
static void quoted(struct rewrite *r)
{
    r->p += 2;
    while (r->p < r->end && !starts(r, "\\E"))
        put_rune(r, next_rune(r));
    if (r->p < r->end)
        r->p += 2;
}

static int backslash(struct rewrite *r)
{
    bool done;
    uint32_t c;
    char k = r->end - r->p >= 2 ? r->p[1] : 0;
    if (k == 'A' || k == 'b' || k == 'B' || k == 'z') {
        tsm_buf_printf(r->out, "(?:\\%c)", k);
        r->p += 2;
        return TSM_OK;
    }
    if (k == 'Q') {
        quoted(r);
        return TSM_OK;
    }
    int rc = unicode_class(r, &done);
    if (rc != TSM_OK || done || perl_class(r, false))
        return rc;
    rc = escape(r, &c);
    if (rc == TSM_OK)
        put_rune(r, c);
    return rc;
}

/* An assertion is wrapped when it is repeated, which PCRE2 does not take otherwise. */
static void assertion(struct rewrite *r, char c)
{
    bool wrap = r->p < r->end && strchr("*+?{", *r->p);
    tsm_buf_printf(r->out, wrap ? "(?:%c)" : "%c", c);
}

static int atom(struct rewrite *r)
{
    char c = *r->p;
    switch (c) {
    case '[':
        return class(r);
    case '\\':
        return backslash(r);
    case '^':
    case '$':
        r->p++;
        assertion(r, c);
        return TSM_OK;
    case '.':
        r->p++;
        tsm_buf_byte(r->out, '.');
        return TSM_OK;
    default:
        put_rune(r, next_rune(r));
        return TSM_OK;
    }
}

static int step(struct rewrite *r)
{
    const char *from = r->p;
    int rc = TSM_OK;
    switch (*r->p) {
    case '(':
        rc = group(r);
        break;
    case '|':
        r->p++;
        tsm_buf_byte(r->out, '|');
        r->operand[r->depth] = false;
        break;
    case ')':
        if (r->depth == 0)
            return fail(r, "unexpected )", r->start, r->end);
        r->p++;
        tsm_buf_byte(r->out, ')');
        r->operand[--r->depth] = true;
        break;
    case '*':
    case '+':
    case '?':
        r->p++;
        return repeat(r, from);
    case '{':
        return braces(r);
    default:
        rc = atom(r);
        r->operand[r->depth] = true;
        break;
    }
    r->repeat = NULL;
    return rc;
}

int tsm_regex_rewrite(struct tsm_str pattern, struct tsm_buf *out, struct tsm_err *err)
{
    struct rewrite r = {
        .start = pattern.p, .p = pattern.p, .end = pattern.p + pattern.n, .out = out, .err = err};
    while (r.p < r.end) {
        int rc = step(&r);
        if (rc != TSM_OK)
            return rc;
    }
    return r.depth ? fail(&r, "missing closing )", r.start, r.end) : TSM_OK;
}
