/* result/cell_text.c: values to text. */
#include "result/cell_text.h"

#include "base/utf8.h"

#include "base/banned.h"

#define DAY_SECONDS 86400

/* ---- times ------------------------------------------------------------------------------------ */

static char *two_digits(char *p, unsigned v)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    memcpy(p, pairs + 2 * (size_t)v, 2);
    return p + 2;
}

/* The fraction of a second without trailing zeros; nothing for 0. */
static char *fraction(char *p, unsigned ns)
{
    if (ns == 0)
        return p;
    *p = '.';
    p = two_digits(p + 1, ns / 10000000);
    p = two_digits(p, ns / 100000 % 100);
    p = two_digits(p, ns / 1000 % 100);
    p = two_digits(p, ns / 10 % 100);
    *p++ = (char)('0' + ns % 10);
    while (p[-1] == '0')
        p--;
    return p;
}

static size_t time_text(struct tsm_time_text *t, char *p, int64_t ns)
{
    if (t->unit)
        return tsm_format_int(p, ns / t->unit);
    int64_t seconds = ns / TSM_SEC - (ns % TSM_SEC < 0);
    unsigned nanos = (unsigned)((uint64_t)ns - (uint64_t)seconds * (uint64_t)TSM_SEC);
    if (t->zone) {
        if (seconds < t->from || seconds >= t->to)
            t->offset = tsm_zone_lookup(t->zone, seconds, &t->from, &t->to);
        seconds += t->offset;
    }
    int64_t day = seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
    unsigned second = (unsigned)(seconds - day * DAY_SECONDS);
    if (day != t->day) {
        char text[TSM_TIME_TEXT_MAX];
        tsm_format_rfc3339_seconds(text, seconds);
        memcpy(t->date, text, sizeof t->date);
        t->day = day;
    }
    char *w = p;
    memcpy(w, t->date, sizeof t->date);
    w = two_digits(w + sizeof t->date, second / 3600);
    *w++ = ':';
    w = two_digits(w, second / 60 % 60);
    *w++ = ':';
    w = two_digits(w, second % 60);
    w = fraction(w, nanos);
    if (t->zone)
        return (size_t)(w - p) + tsm_format_offset(w, t->offset);
    *w++ = 'Z';
    return (size_t)(w - p);
}

size_t tsm_plain_text(struct tsm_time_text *t, char *p, const struct tsm_cells *c, size_t row)
{
    switch (c->type) {
    case TSM_CELL_FLOAT:
        return tsm_format_float_json(p, c->v.f[row]);
    case TSM_CELL_INTEGER:
        return tsm_format_int(p, c->v.i[row]);
    case TSM_CELL_UNSIGNED:
        return tsm_format_uint(p, c->v.u[row]);
    case TSM_CELL_TIME:
        return time_text(t, p, c->v.i[row]);
    case TSM_CELL_BOOLEAN:
        memcpy(p, c->v.b[row] ? "true" : "false", 5);
        return c->v.b[row] ? 4 : 5;
    default:
        return 0;
    }
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* One character that cannot stand as it is, or a longer UTF-8 sequence; returns its length in p. */
static size_t json_special(struct tsm_buf *out, const uint8_t *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t c = p[0];
    if (c == '"' || c == '\\') {
        tsm_buf_byte(out, '\\');
        tsm_buf_byte(out, c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        tsm_buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c < 0x80) {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        tsm_buf_add(out, text, sizeof text);
    } else {
        size_t len = tsm_utf8_length(p, n);
        if (len == 0) {
            tsm_buf_puts(out, "\\ufffd");
            return 1;
        }
        if (len == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
            tsm_buf_puts(out, p[2] == 0xa8 ? "\\u2028" : "\\u2029");
        else
            tsm_buf_add(out, p, len);
        return len;
    }
    return 1;
}

void tsm_json_string(struct tsm_buf *out, struct tsm_str s)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    tsm_buf_byte(out, '"');
    while (p < end) {
        const uint8_t *from = p;
        while (p < end && is_plain(*p))
            p++;
        tsm_buf_add(out, from, (size_t)(p - from));
        if (p < end)
            p += json_special(out, p, (size_t)(end - p));
    }
    tsm_buf_byte(out, '"');
}

void tsm_json_cell(struct tsm_time_text *t, struct tsm_buf *out, const struct tsm_cells *c, size_t row)
{
    if (tsm_cell_is_null(c, row) || !tsm_cell_is_finite(c, row)) { /* JSON has no infinity */
        tsm_buf_puts(out, "null");
    } else if (c->type == TSM_CELL_STRING) {
        tsm_json_string(out, c->v.s[row]);
    } else {
        char *p = (char *)tsm_buf_room(out, TSM_NUM_MAX + 2);
        bool quoted = c->type == TSM_CELL_TIME && t->unit == 0;
        size_t n = tsm_plain_text(t, p + quoted, c, row);
        if (quoted)
            p[0] = p[n + 1] = '"';
        out->len += n + 2 * (size_t)quoted;
    }
}
