/*
 * format/line_exact.c: the exact parser of one line. See line_exact.h.
 *
 * It works by offsets into one line, like the parser whose decisions it repeats: several rules look one or
 * two bytes back.
 */
#include "format/line_exact.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/num.h"
#include "base/time.h"
#include "format/scan_bytes.h"
#include "base/banned.h"

const char *tsm_line_find_end(const char *p, const char *end, bool *open)
{
    bool quoted = false, fields = false;
    size_t equals = 0, commas = 0;
    *open = false;
    const char *text = tsm_line_skip_blanks(p, end);
    if (text < end && *text == '#') {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        return newline ? newline : end;
    }
    for (;; p++) {
        if (quoted)
            p = tsm_find_any(p, end, '"', '\\', '\\', '\\', '\\');
        else if (fields)
            p = tsm_find_any(p, end, '=', ',', '"', '\\', '\n');
        else
            p = tsm_find_any(p, end, ' ', '\\', '\n', '\n', '\n');
        if (p == end)
            break;
        if (*p == '\\')
            p += end - p > 2; /* the byte after it stands for itself; not so at the very end */
        else if (*p == '\n')
            break;
        else if (*p == ' ')
            fields = true;
        else if (*p == '=')
            equals++;
        else if (*p == ',')
            commas++;
        else if (equals > commas)
            quoted = !quoted;
    }
    *open = quoted;
    return p;
}

const char *tsm_line_key_end(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && !(*p == ' ' && (p == start || p[-1] != '\\')))
        p++;
    return p;
}

/* The offset of the first stop byte at or after i that has no backslash before it; s.n when there is none. */
static size_t scan_to(struct tsm_str s, size_t i, char stop)
{
    while (i < s.n && !(s.p[i] == stop && (i == 0 || s.p[i - 1] != '\\')))
        i++;
    return i;
}

const char *tsm_line_key_fault(struct tsm_str key)
{
    const char *s = key.p;
    size_t n = key.n, i = 0;
    if (n == 0 || s[0] == ',')
        return "missing measurement";
    for (i = 1; i < n && !(s[i] == ',' && s[i - 1] != '\\'); i++) {
    }
    while (i < n) { /* at a comma */
        i++;
        if (i >= n || s[i] == ',' || s[i] == '=')
            return "missing tag key";
        for (i++; i < n && !(s[i] == '=' && s[i - 1] != '\\'); i++)
            if (s[i] == ',' && s[i - 1] != '\\')
                return "missing tag value";
        i++;
        if (i >= n || s[i] == ',')
            return "missing tag value";
        for (i++; i < n && !(s[i] == ',' && s[i - 1] != '\\'); i++)
            if (s[i] == '=' && s[i - 1] != '\\')
                return "invalid tag format";
    }
    return NULL;
}

/* ---- the pass that checks the fields ---- */

static bool is_numeric(char c)
{
    return (c >= '0' && c <= '9') || c == '.';
}

/* Checks the number at i; returns its end, or 0 with the cause in *fault or appended to cause. */
static size_t check_number(struct tsm_str line, size_t i, const char **fault, struct tsm_buf *cause)
{
    const char *s = line.p;
    size_t start = i;
    bool integer = false, is_unsigned = false, point = false, exponent = false;
    *fault = "invalid number";
    if (s[i] == '-' && ++i == line.n)
        return 0;
    for (; i < line.n && s[i] != ',' && s[i] != ' '; i++) {
        char c = s[i];
        if ((c == 'i' || c == 'u') && i > start && !integer && !is_unsigned) {
            integer = c == 'i';
            is_unsigned = c == 'u';
            continue;
        }
        if (c == '.') {
            if (point)
                return 0;
            point = true;
        }
        if (i > start && (c == 'e' || c == 'E')) {
            exponent = true;
            continue;
        }
        if ((c == '+' || c == '-') && (s[i - 1] == 'e' || s[i - 1] == 'E'))
            continue;
        if (!is_numeric(c))
            return 0;
    }
    if ((integer || is_unsigned) && (point || exponent))
        return 0;
    size_t digits = i - start - integer - point - (s[start] == '-');
    if (digits == 0)
        return 0;

    struct tsm_str text = tsm_str(s + start, i - start);
    union tsm_value v;
    if (integer || is_unsigned) {
        text.n--;
        if (s[i - 1] != (integer ? 'i' : 'u') || (is_unsigned && s[start] == '-'))
            return 0;
        if (integer ? tsm_parse_int(text, &v.i) : tsm_parse_uint(text, &v.u))
            return i;
        *fault = NULL;
        tsm_buf_puts(cause, integer ? "unable to parse integer " : "unable to parse unsigned ");
        tsm_buf_str(cause, text);
        tsm_buf_puts(cause, integer ? ": strconv.ParseInt: parsing \"" : ": strconv.ParseUint: parsing \"");
        tsm_buf_str(cause, text);
        tsm_buf_puts(cause, "\": value out of range");
        return 0;
    }
    *fault = "invalid float";
    return tsm_parse_float(text, &v.f) ? i : 0;
}

bool tsm_line_boolean(struct tsm_str s, bool *v)
{
    static const char *const words[] = {"f", "F", "false", "False", "FALSE",
                                        "t", "T", "true",  "True",  "TRUE"};
    for (size_t i = 0; i < 10; i++) {
        if (tsm_str_eq(s, tsm_str_of(words[i]))) {
            *v = i >= 5;
            return true;
        }
    }
    return false;
}

/* Checks the boolean at i; returns its end, or 0. */
static size_t check_boolean(struct tsm_str line, size_t i)
{
    size_t start = i;
    bool v;
    for (i++; i < line.n && line.p[i] != ',' && line.p[i] != ' '; i++) {
    }
    return tsm_line_boolean(tsm_str(line.p + start, i - start), &v) ? i : 0;
}

/* Finds the end of the fields that start at `start`. Returns false with the cause in *fault, or appended to
 * cause when that is NULL. */
static bool check_fields(struct tsm_str line, size_t start, size_t *end, const char **fault,
                         struct tsm_buf *cause)
{
    const char *s = line.p;
    size_t i = start, equals = 0, commas = 0;
    bool quoted = false;
    while (i < line.n) {
        char c = s[i];
        if (c == '\\' && i + 1 < line.n) {
            i += 2;
            continue;
        }
        if (c == '"' && equals > commas) {
            quoted = !quoted;
        } else if (!quoted && c == '=') {
            equals++;
            *fault = "missing field key"; /* start is at least 2: a key and a space are before it */
            if ((s[i - 1] == ' ' || s[i - 1] == ',') && s[i - 2] != '\\')
                return false;
            *fault = "missing field value";
            if (i + 1 >= line.n || s[i + 1] == ',' || s[i + 1] == ' ')
                return false;
            char v = s[i + 1];
            if (is_numeric(v) || v == '-' || v == 'N' || v == 'n') {
                i = check_number(line, i + 1, fault, cause);
                if (!i)
                    return false;
                continue;
            }
            if (v != '"') {
                *fault = "invalid boolean";
                i = check_boolean(line, i + 1);
                if (!i)
                    return false;
                continue;
            }
        } else if (!quoted && c == ',') {
            commas++;
        } else if (!quoted && c == ' ') {
            break;
        }
        i++;
    }
    *fault = quoted ? "unbalanced quotes" : "invalid field format";
    *end = i;
    return !quoted && equals > 0 && commas == equals - 1;
}

/* ---- the pass that splits the fields ---- */

/* The end of the field value at i. */
static size_t value_end(struct tsm_str s, size_t i)
{
    bool quoted = false;
    while (i < s.n) {
        if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\')) {
            i += 2;
            continue;
        }
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == ',' && !quoted)
            break;
        i++;
    }
    return i;
}

/* The value of a field from its text. False when it is none: possible only where the passes disagree. */
static bool field_value(struct tsm_str s, struct tsm_arena *a, struct tsm_field *f)
{
    if (s.n == 0)
        return false;
    char first = s.p[0], last = s.p[s.n - 1];
    if (first == '"') {
        f->type = TSM_STRING;
        f->value.s = s.n < 2 ? tsm_str(s.p, 0)
                             : tsm_unescape(tsm_str(s.p + 1, s.n - 2), TSM_STRING_SPECIALS, a);
        return s.n >= 2;
    }
    if (!strchr("0123456789-.nNiIu", first) || first == '\0') {
        f->type = TSM_BOOLEAN;
        return tsm_line_boolean(s, &f->value.b);
    }
    if (last == 'i') {
        f->type = TSM_INTEGER;
        return tsm_parse_int(tsm_str(s.p, s.n - 1), &f->value.i);
    }
    if (last == 'u') {
        f->type = TSM_UNSIGNED;
        return tsm_parse_uint(tsm_str(s.p, s.n - 1), &f->value.u);
    }
    f->type = TSM_FLOAT;
    return tsm_parse_float(s, &f->value.f);
}

/* Calls for every field of s in turn: its raw name and value. Returns false at the end. */
static bool next_field(struct tsm_str s, size_t *i, struct tsm_str *name, struct tsm_str *value)
{
    if (*i >= s.n)
        return false;
    struct tsm_str rest = tsm_str(s.p + *i, s.n - *i);
    size_t e = scan_to(rest, 0, '=');
    *name = tsm_str(rest.p, e);
    if (e + 2 > rest.n) { /* no value: no equals sign, or nothing after it */
        *value = tsm_str(NULL, 0);
        *i = s.n;
        return true;
    }
    size_t v = value_end(tsm_str(rest.p + e + 1, rest.n - e - 1), 0);
    *value = tsm_str(rest.p + e + 1, v);
    *i += e + 1 + v + 1;
    return true;
}

static bool check_lengths(size_t key_length, struct tsm_str fields, struct tsm_buf *cause)
{
    struct tsm_str name, value;
    size_t too_long = 0;
    for (size_t i = 0; !too_long && next_field(fields, &i, &name, &value);) {
        if (!value.p) {
            tsm_buf_puts(cause, "invalid value: field-key=");
            tsm_buf_str(cause, name);
            return false;
        }
        if (name.n == 0) { /* after a tab: InfluxDB stores a field without a name, which nobody can read */
            tsm_buf_puts(cause, "missing field key");
            return false;
        }
        size_t n = key_length + TSM_FIELD_SEPARATOR.n + name.n;
        too_long = n > TSM_KEY_MAX ? n : 0;
    }
    if (too_long)
        tsm_buf_printf(cause, "max key length exceeded: %zu > %d", too_long, TSM_KEY_MAX);
    return !too_long;
}

static bool split_fields(struct tsm_str fields, struct tsm_points *out, size_t *nfields,
                         struct tsm_buf *cause)
{
    struct tsm_str name, value;
    for (size_t i = 0; next_field(fields, &i, &name, &value);) {
        TSM_GROW(out->fields, *nfields + 1, out->capfields);
        struct tsm_field *f = &out->fields[(*nfields)++];
        f->name = tsm_unescape(name, TSM_FIELD_SPECIALS, &out->arena);
        if (!field_value(value, &out->arena, f)) {
            tsm_buf_puts(cause, "invalid value: field-key=");
            tsm_buf_str(cause, name);
            return false;
        }
    }
    return true;
}

/* ---- the timestamp ---- */

static bool parse_timestamp(struct tsm_str line, size_t i, const struct tsm_line_options *opt, int64_t *t,
                            struct tsm_buf *cause)
{
    const char *s = line.p;
    i = (size_t)(tsm_line_skip_blanks(s + i, s + line.n) - s);
    size_t start = i;
    for (; i < line.n && s[i] != ' ' && s[i] != '\n'; i++) {
        if ((s[i] < '0' || s[i] > '9') && !(s[i] == '-' && i == start)) {
            tsm_buf_puts(cause, "bad timestamp");
            return false;
        }
    }
    *t = opt->now;
    if (i == start)
        return true;
    struct tsm_str text = tsm_str(s + start, i - start);
    if (!tsm_parse_int(text, t)) {
        tsm_buf_puts(cause, "strconv.ParseInt: parsing \"");
        tsm_buf_str(cause, text);
        tsm_buf_puts(cause, text.n == 1 && *text.p == '-' ? "\": invalid syntax" : "\": value out of range");
        return false;
    }
    if (__builtin_mul_overflow(*t, opt->unit, t) || *t < TSM_TIME_MIN || *t > TSM_TIME_MAX) {
        tsm_buf_printf(cause, "time outside range %" PRId64 " - %" PRId64, (int64_t)TSM_TIME_MIN,
                       (int64_t)TSM_TIME_MAX);
        return false;
    }
    for (; i < line.n; i++) {
        if (s[i] != ' ') {
            tsm_buf_puts(cause, "point is invalid");
            return false;
        }
    }
    return true;
}

bool tsm_line_exact(struct tsm_str line, uint32_t number, const struct tsm_line_options *opt,
                    struct tsm_points *out, struct tsm_buf *cause)
{
    struct tsm_str key = tsm_str(line.p, (size_t)(tsm_line_key_end(line.p, line.p + line.n) - line.p));
    const char *fault = tsm_line_key_fault(key);
    if (!fault && key.n == line.n)
        fault = "missing fields";
    if (fault) {
        tsm_buf_puts(cause, fault);
        return false;
    }
    struct tsm_buf canonical = {0};
    struct tsm_err err;
    int rc = tsm_line_key(key, &canonical, &err);
    tsm_buf_release(&canonical);
    if (rc) {
        tsm_buf_puts(cause, err.msg);
        return false;
    }

    size_t start = (size_t)(tsm_line_skip_blanks(line.p + key.n, line.p + line.n) - line.p), end;
    if (!check_fields(line, start, &end, &fault, cause)) {
        if (fault)
            tsm_buf_puts(cause, fault);
        return false;
    }
    struct tsm_str fields = tsm_str(line.p + start, end - start);
    size_t nfields = out->nfields;
    int64_t t;
    if (!check_lengths(key.n, fields, cause) || !parse_timestamp(line, end, opt, &t, cause) ||
        !split_fields(fields, out, &nfields, cause))
        return false;

    TSM_GROW(out->points, out->n + 1, out->cap);
    out->points[out->n++] = (struct tsm_point){
        .raw_key = key,
        .hash = tsm_hash(key),
        .time = t,
        .first_field = (uint32_t)out->nfields,
        .nfields = (uint32_t)(nfields - out->nfields),
        .line = number,
        .text = line,
    };
    out->nfields = nfields;
    return true;
}
