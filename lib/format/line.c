/*
 * format/line.c: the fast parser of line protocol, in one pass over the text.
 *
 * It takes the lines that people write and gives up on any other before it has changed anything; the exact
 * parser (line_exact.c) then reads the line again and decides. So the invariant is: what is accepted here is
 * accepted there, with the same point.
 */
#include "format/line.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/num.h"
#include "base/power10.h"
#include "base/time.h"
#include "format/line_exact.h"
#include "format/scan_bytes.h"
#include "base/banned.h"

/* Where the separator, in front of the field name, stands in a TSM key: see the check of the key's length. */
enum { SEPARATOR_SIZE = 4 };

struct parser {
    const char *end;
    const struct tsm_line_options *opt;
    struct tsm_points *out;
    uint32_t line;         /* number of the line that is being read */
    bool one_line_strings; /* see slow_line() */
};

void tsm_points_reset(struct tsm_points *b)
{
    b->n = 0;
    b->nfields = 0;
    if (b->arena.head)
        tsm_arena_release(&b->arena);
}

void tsm_points_release(struct tsm_points *b)
{
    tsm_free(b->points);
    tsm_free(b->fields);
    tsm_arena_release(&b->arena);
    *b = (struct tsm_points){0};
}

/* The space that ends the key at p; NULL to give up. */
static inline const char *fast_key(const char *p, const char *end)
{
    for (;;) {
        p = tsm_find_any(p, end, ' ', '\\', '\n', '\n', '\n');
        if (end - p < 2 || *p == '\n')
            return NULL;
        if (*p == ' ')
            return p;
        if (p[1] == '\\' || p[1] == '\n')
            return NULL; /* the passes of the exact parser differ on these */
        p += 2;
    }
}

/* Removes the backslash before each comma, quote, space and equals sign. */
static struct tsm_str unescape_name(struct tsm_arena *a, const char *p, const char *end)
{
    char *s = tsm_arena_bytes(a, (size_t)(end - p)), *w = s;
    while (p < end) {
        if (*p == '\\')
            p++; /* fast_name() has seen that it stands before one of these */
        *w++ = *p++;
    }
    return tsm_str(s, (size_t)(w - s));
}

/* The equals sign after the field name at p; NULL to give up. */
static inline const char *fast_name(struct parser *ps, const char *p, struct tsm_field *f)
{
    const char *start = p, *end = ps->end;
    bool escaped = false;
    for (;;) {
        p = tsm_find_any(p, end, '=', ',', ' ', '\\', '\n');
        if (end - p < 2)
            return NULL;
        if (__builtin_expect(*p == '=', 1))
            break;
        if (*p != '\\' || !(p[1] == ' ' || p[1] == ',' || p[1] == '=' || p[1] == '"'))
            return NULL;
        escaped = true;
        p += 2;
    }
    if (p == start)
        return NULL;
    f->name = escaped ? unescape_name(&ps->out->arena, start, p) : tsm_str(start, (size_t)(p - start));
    return p;
}

static struct tsm_str unescape_string(struct tsm_arena *a, const char *p, const char *end)
{
    char *s = tsm_arena_bytes(a, (size_t)(end - p)), *w = s;
    while (p < end) {
        if (*p == '\\' && end - p > 1 && (p[1] == '"' || p[1] == '\\'))
            p++;
        *w++ = *p++;
    }
    return tsm_str(s, (size_t)(w - s));
}

/* p is after the opening quote; returns what is after the closing one. */
static const char *fast_string(struct parser *ps, const char *p, struct tsm_field *f, uint32_t *newlines)
{
    const char *start = p, *end = ps->end;
    bool escaped = false;
    for (;;) {
        p = tsm_find_any(p, end, '"', '\\', '\n', '\n', '\n');
        if (p == end)
            return NULL;
        if (*p == '"')
            break;
        if (*p == '\n') {
            ++*newlines;
            p++;
            continue;
        }
        if (end - p < 2)
            return NULL;
        escaped = true;
        *newlines += p[1] == '\n';
        p += 2;
    }
    f->type = TSM_STRING;
    f->value.s = escaped ? unescape_string(&ps->out->arena, start, p) : tsm_str(start, (size_t)(p - start));
    return p + 1;
}

/* A number that needs care: an exponent, many digits. start is its first byte. */
static const char *long_number(const char *start, const char *end, struct tsm_field *f)
{
    const char *p = start;
    while (p < end &&
           ((unsigned)(*p - '0') < 10 || *p == '.' || *p == '-' || *p == '+' || *p == 'e' || *p == 'E'))
        p++;
    struct tsm_str s = tsm_str(start, (size_t)(p - start));
    if (p < end && *p == 'i') {
        f->type = TSM_INTEGER;
        return tsm_parse_int(s, &f->value.i) ? p + 1 : NULL;
    }
    if (p < end && *p == 'u') {
        f->type = TSM_UNSIGNED;
        return tsm_parse_uint(s, &f->value.u) ? p + 1 : NULL;
    }
    f->type = TSM_FLOAT;
    return tsm_parse_float(s, &f->value.f) ? p : NULL;
}

/* p is at a digit, a point or a minus; returns what is after the number. */
static inline const char *fast_number(const char *p, const char *end, struct tsm_field *f)
{
    const char *start = p;
    bool negative = *p == '-';
    p += negative;
    const char *digits = p;
    uint64_t m = 0;
    while (p < end && (unsigned)(*p - '0') < 10)
        m = m * 10 + (unsigned)(*p++ - '0');
    size_t n = (size_t)(p - digits), decimals = 0;
    bool point = p < end && *p == '.';
    if (point) {
        const char *fraction = ++p;
        while (p < end && (unsigned)(*p - '0') < 10)
            m = m * 10 + (unsigned)(*p++ - '0');
        decimals = (size_t)(p - fraction);
        n += decimals;
    }
    if (n == 0)
        return NULL;
    char c = p < end ? *p : '\n';
    if (n > 18 || c == 'e' || c == 'E') /* 18 digits cannot have overflowed m */
        return long_number(start, end, f);
    if (c == 'i' && !point) {
        f->type = TSM_INTEGER;
        f->value.i = negative ? -(int64_t)m : (int64_t)m;
        return p + 1;
    }
    if (c == 'u' && !point && !negative) {
        f->type = TSM_UNSIGNED;
        f->value.u = m;
        return p + 1;
    }
    if (m > 1ull << 53)
        return long_number(start, end, f);
    double v = (double)m;
    if (decimals)
        v /= tsm_power10_double[decimals]; /* both are exact, so one division rounds correctly */
    f->type = TSM_FLOAT;
    f->value.f = negative ? -v : v;
    return p;
}

static inline const char *fast_boolean(const char *p, const char *end, struct tsm_field *f)
{
    static const struct {
        char text[8];
        uint8_t n;
    } words[] = {{"true", 4},  {"false", 5}, {"TRUE", 4}, {"FALSE", 5}, {"True", 4},
                 {"False", 5}, {"t", 1},     {"f", 1},    {"T", 1},     {"F", 1}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if ((size_t)(end - p) >= words[i].n && memcmp(p, words[i].text, words[i].n) == 0) {
            f->type = TSM_BOOLEAN;
            f->value.b = words[i].text[0] == 't' || words[i].text[0] == 'T';
            return p + words[i].n;
        }
    }
    return NULL;
}

/* The number that eight digits stand for; false when one of them is not a digit. */
static inline bool eight_digits(const char *p, uint64_t *v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t x;
    memcpy(&x, p, 8);
    uint64_t high = (x + 0x4646464646464646) | (x - 0x3030303030303030);
    if (high & 0x8080808080808080)
        return false;
    x -= 0x3030303030303030;
    x = x * 10 + (x >> 8); /* pairs, then fours, then all, each lane by one multiplication */
    *v = ((x & 0x000000ff000000ff) * 0x000f424000000064 +
          ((x >> 16) & 0x000000ff000000ff) * 0x0000271000000001) >>
         32;
    return true;
#else
    uint64_t x = 0;
    for (int i = 0; i < 8; i++) {
        if ((unsigned)(p[i] - '0') >= 10)
            return false;
        x = x * 10 + (unsigned)(p[i] - '0');
    }
    *v = x;
    return true;
#endif
}

/* p is after the space; returns the end of the line. */
static inline const char *fast_time(const char *p, const char *end, int64_t unit, int64_t *t)
{
    bool negative = p < end && *p == '-';
    p += negative;
    const char *digits = p;
    uint64_t m = 0, part;
    if (end - p >= 16 && eight_digits(p, &part)) {
        m = part;
        p += 8;
        if (eight_digits(p, &part)) {
            m = m * 100000000 + part;
            p += 8;
        }
    }
    while (p < end && (unsigned)(*p - '0') < 10)
        m = m * 10 + (unsigned)(*p++ - '0');
    size_t n = (size_t)(p - digits);
    if (n == 0 || n > 19 || m > INT64_MAX)
        return NULL;
    int64_t v = negative ? -(int64_t)m : (int64_t)m;
    if (unit != 1 && __builtin_mul_overflow(v, unit, &v))
        return NULL;
    if (v < TSM_TIME_MIN || v > TSM_TIME_MAX)
        return NULL;
    *t = v;
    return p;
}

/* Parses the line at p; returns the start of the next, or NULL to give up. */
static const char *fast_line(struct parser *ps, const char *p)
{
    struct tsm_points *out = ps->out;
    const char *end = ps->end, *start = p;
    if ((unsigned char)*p <= ' ' || *p == '#')
        return NULL;
    p = fast_key(p, end);
    if (!p)
        return NULL;
    struct tsm_str key = tsm_str(start, (size_t)(p - start));
    size_t first = out->nfields, nfields = first;
    uint32_t newlines = 0;
    p++;
    if (p < end && (unsigned char)*p <= ' ')
        return NULL;
    for (;;) {
        TSM_GROW(out->fields, nfields + 1, out->capfields);
        struct tsm_field *f = &out->fields[nfields++];
        const char *name = p;
        p = fast_name(ps, p, f);
        if (!p || key.n + SEPARATOR_SIZE + (size_t)(p - name) > TSM_KEY_MAX)
            return NULL;
        p++; /* fast_name() has left a byte after the equals sign */
        char c = *p;
        if ((unsigned)(c - '0') < 10 || c == '-' || c == '.')
            p = fast_number(p, end, f);
        else if (c == '"')
            p = fast_string(ps, p + 1, f, &newlines);
        else
            p = fast_boolean(p, end, f);
        if (!p)
            return NULL;
        if (p == end || *p != ',')
            break;
        p++;
    }
    int64_t t = ps->opt->now;
    if (p < end && *p == ' ') {
        p = fast_time(p + 1, end, ps->opt->unit, &t);
        if (!p)
            return NULL;
    }
    const char *line_end = p;
    if (p < end && *p == '\r')
        p++;
    if (p < end && *p != '\n')
        return NULL;

    TSM_GROW(out->points, out->n + 1, out->cap);
    out->points[out->n++] = (struct tsm_point){
        .raw_key = key,
        .hash = tsm_hash(key),
        .time = t,
        .first_field = (uint32_t)first,
        .nfields = (uint32_t)(nfields - first),
        .line = ps->line,
        .text = tsm_str(start, (size_t)(line_end - start)),
    };
    out->nfields = nfields;
    ps->line += newlines + 1;
    return p < end ? p + 1 : end;
}

static uint32_t count_newlines(const char *p, const char *end)
{
    uint32_t n = 0;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        n++;
        p++;
    }
    return n;
}

/* The line [p, end) without what may stand before and behind it; empty for a blank line and a comment. */
static struct tsm_str trim_line(const char *p, const char *end)
{
    if (end > p && end[-1] == '\n') /* escaped, and so part of the line, but not at its end */
        end--;
    while (end > p && end[-1] == '\r')
        end--;
    p = tsm_line_skip_blanks(p, end);
    return tsm_str(p, p >= end || *p == '#' ? 0 : (size_t)(end - p));
}

/* Parses the line at p by the exact rules; returns the start of the next. */
static const char *slow_line(struct parser *ps, const char *p, tsm_reject_fn *reject, void *ctx)
{
    bool open = false;
    const char *newline = memchr(p, '\n', (size_t)(ps->end - p)), *first_end = newline ? newline : ps->end;
    const char *end = ps->one_line_strings ? first_end : tsm_line_find_end(p, ps->end, &open);
    struct tsm_str line = trim_line(p, end);
    struct tsm_buf cause = {0};
    if (line.n > 0 && !tsm_line_exact(line, ps->line, ps->opt, ps->out, &cause)) {
        if (open) {
            /* A string that never ends would take all that follows with it: only its first line is wrong.
             * From here on a newline ends a line in any case, which also keeps the time linear. */
            ps->one_line_strings = true;
            end = first_end;
            line = trim_line(p, end);
        }
        struct tsm_buf message = {0};
        tsm_line_error(&message, line, tsm_buf_cstr(&cause));
        reject(ctx, ps->line, line, tsm_buf_cstr(&message));
        tsm_buf_release(&message);
    }
    tsm_buf_release(&cause);
    ps->line += count_newlines(p, end) + 1;
    return end < ps->end ? end + 1 : end;
}

void tsm_line_parse(struct tsm_str text, const struct tsm_line_options *opt, struct tsm_points *out,
                    tsm_reject_fn *reject, void *ctx)
{
    struct parser ps = {.end = text.p + text.n, .opt = opt, .out = out, .line = 1};
    const char *p = text.p;
    while (p < ps.end) {
        const char *next = ps.one_line_strings ? NULL : fast_line(&ps, p);
        p = next ? next : slow_line(&ps, p, reject, ctx);
    }
}

size_t tsm_line_records(struct tsm_str text)
{
    if (text.n == 0)
        return 0;
    const char *start = text.p, *end = start + text.n;
    const char *last = end;
    do /* a newline after a backslash may not end a line */
        last = memrchr(start, '\n', (size_t)(last - start));
    while (last && last > start && last[-1] == '\\');
    if (!last)
        return 0;
    size_t all = (size_t)(last + 1 - start);
    if (!memchr(start, '"', all))
        return all;

    size_t whole = 0;
    for (const char *p = start; p <= last;) {
        bool open;
        const char *newline = tsm_line_find_end(p, end, &open);
        if (open && (size_t)(end - p) > TSM_LINE_MAX)
            return all;
        if (open || newline > last)
            break;
        p = newline + 1;
        whole = (size_t)(p - start);
    }
    return whole;
}

void tsm_line_error(struct tsm_buf *out, struct tsm_str line, const char *cause)
{
    tsm_buf_puts(out, "unable to parse '");
    for (const char *zero;
         (zero = line.n ? memchr(line.p, '\0', line.n) : NULL);) { /* a message is a C string */
        tsm_buf_add(out, line.p, (size_t)(zero - line.p));
        tsm_buf_puts(out, "\\0");
        line = tsm_str(zero + 1, line.n - (size_t)(zero + 1 - line.p));
    }
    tsm_buf_str(out, line);
    tsm_buf_puts(out, "': ");
    tsm_buf_puts(out, cause);
}

void tsm_line_point(struct tsm_buf *out, const struct tsm_point *p, const struct tsm_field *fields)
{
    tsm_buf_str(out, p->raw_key);
    for (uint32_t i = 0; i < p->nfields; i++) {
        const struct tsm_field *f = &fields[p->first_field + i];
        tsm_buf_byte(out, i ? ',' : ' ');
        tsm_escape_field(out, f->name);
        tsm_buf_byte(out, '=');
        tsm_line_value(out, f->type, f->value);
    }
    tsm_buf_printf(out, " %" PRId64, p->time);
}

void tsm_line_value(struct tsm_buf *out, enum tsm_type type, union tsm_value v)
{
    char *p = (char *)tsm_buf_room(out, TSM_NUM_MAX);
    switch (type) {
    case TSM_FLOAT:
        out->len += tsm_format_float_plain(p, v.f);
        break;
    case TSM_INTEGER:
        out->len += tsm_format_int(p, v.i);
        tsm_buf_byte(out, 'i');
        break;
    case TSM_UNSIGNED:
        out->len += tsm_format_uint(p, v.u);
        tsm_buf_byte(out, 'u');
        break;
    case TSM_BOOLEAN:
        tsm_buf_puts(out, v.b ? "true" : "false");
        break;
    case TSM_STRING:
        tsm_buf_byte(out, '"');
        tsm_escape_string(out, v.s);
        tsm_buf_byte(out, '"');
        break;
    case TSM_TYPES:
        break;
    }
}
