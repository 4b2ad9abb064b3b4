/* net/form.c: parameters: query strings, forms, multipart bodies. */
#include <strings.h>

#include "base/alloc.h"
#include "net/server_impl.h"

#include "base/banned.h"

enum { PARAMETERS_MAX = 1000 }; /* of a URL or a body; more are left out */

static void add(struct tsm_parameters *p, struct tsm_arena *a, struct tsm_str name, struct tsm_str value,
                bool file)
{
    if (p->n >= PARAMETERS_MAX)
        return;
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 8;
        struct tsm_parameter *items = tsm_arena_alloc(a, cap * sizeof *items);
        if (p->n)
            memcpy(items, p->items, p->n * sizeof *items);
        p->items = items;
        p->cap = cap;
    }
    p->items[p->n++] = (struct tsm_parameter){name, value, file};
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
        return (c | 0x20) - 'a' + 10;
    return -1;
}

bool tsm_url_decode(struct tsm_str text, bool plus, struct tsm_arena *a, struct tsm_str *out)
{
    size_t i = 0;
    while (i < text.n && text.p[i] != '%' && !(plus && text.p[i] == '+'))
        i++;
    if (i == text.n) {
        *out = text;
        return true;
    }
    char *w = tsm_arena_bytes(a, text.n);
    size_t n = i;
    memcpy(w, text.p, i);
    for (; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            if (text.n - i < 3 || hex(text.p[i + 1]) < 0 || hex(text.p[i + 2]) < 0)
                return false;
            c = (char)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2]));
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        w[n++] = c;
    }
    *out = tsm_str(w, n);
    return true;
}

void tsm_url_encode(struct tsm_buf *out, struct tsm_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
            c == '_' || c == '.' || c == '~') {
            tsm_buf_byte(out, c);
        } else if (c == ' ') {
            tsm_buf_byte(out, '+');
        } else {
            tsm_buf_byte(out, '%');
            tsm_buf_byte(out, (uint8_t)digits[c >> 4]);
            tsm_buf_byte(out, (uint8_t)digits[c & 15]);
        }
    }
}

/* The run before the first c; *rest is what comes after it. */
static struct tsm_str cut(struct tsm_str s, char c, struct tsm_str *rest)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    size_t n = at ? (size_t)(at - s.p) : s.n;
    *rest = at ? tsm_str(at + 1, s.n - n - 1) : tsm_str("", 0);
    return tsm_str(s.p, n);
}

void tsm_form_urlencoded(struct tsm_parameters *p, struct tsm_str text, struct tsm_arena *a)
{
    while (text.n) {
        struct tsm_str value, name, pair = cut(text, '&', &text);
        if (pair.n == 0)
            continue;
        name = cut(pair, '=', &value);
        if (tsm_url_decode(name, true, a, &name) && tsm_url_decode(value, true, a, &value))
            add(p, a, name, value, false);
    }
}

const struct tsm_parameter *tsm_parameter_find(const struct tsm_parameters *p, struct tsm_str name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->items[i].file && tsm_str_eq(p->items[i].name, name))
            return &p->items[i];
    return NULL;
}

struct tsm_str tsm_parameter(const struct tsm_parameters *p, struct tsm_str name)
{
    const struct tsm_parameter *found = tsm_parameter_find(p, name);
    return found ? found->value : tsm_str("", 0);
}

/* ---- multipart ----------------------------------------------------------------------------------- */

static struct tsm_str trim(struct tsm_str s)
{
    for (; s.n && (s.p[0] == ' ' || s.p[0] == '\t'); s.n--)
        s.p++;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

struct tsm_str tsm_media_type(struct tsm_str header, struct tsm_arena *a)
{
    struct tsm_str rest, type = trim(cut(header, ';', &rest));
    char *w = tsm_arena_bytes(a, type.n + 1);
    for (size_t i = 0; i < type.n; i++)
        w[i] = (char)(type.p[i] >= 'A' && type.p[i] <= 'Z' ? type.p[i] | 0x20 : type.p[i]);
    return tsm_str(w, type.n);
}

/* The parameter of a header: name=token or name="quoted". False: it has none. */
static bool header_parameter(struct tsm_str header, const char *name, struct tsm_arena *a,
                             struct tsm_str *value)
{
    size_t i = 0, len = strlen(name);
    char *w = NULL; /* one for all: there may be as many parameters as bytes */
    while (i < header.n && header.p[i] != ';')
        i++;
    while (i < header.n) {
        for (i++; i < header.n && (header.p[i] == ' ' || header.p[i] == '\t'); i++)
            ;
        size_t from = i;
        while (i < header.n && header.p[i] != '=' && header.p[i] != ';')
            i++;
        bool is = i - from == len && strncasecmp(header.p + from, name, len) == 0;
        if (i >= header.n || header.p[i] == ';')
            continue;
        if (!w)
            w = tsm_arena_bytes(a, header.n + 1);
        size_t n = 0;
        if (++i < header.n && header.p[i] == '"') {
            for (i++; i < header.n && header.p[i] != '"'; i++) {
                if (header.p[i] == '\\' && i + 1 < header.n)
                    i++;
                w[n++] = header.p[i];
            }
            while (i < header.n && header.p[i] != ';')
                i++;
        } else {
            while (i < header.n && header.p[i] != ';')
                w[n++] = header.p[i++];
            while (n && (w[n - 1] == ' ' || w[n - 1] == '\t'))
                n--;
        }
        if (is) {
            *value = tsm_str(w, n);
            return true;
        }
    }
    return false;
}

static const char *find(struct tsm_str in, struct tsm_str what)
{
    return in.n >= what.n ? memmem(in.p, in.n, what.p, what.n) : NULL;
}

/* Headers and content of a part. */
static void take_part(struct tsm_parameters *p, struct tsm_str part, struct tsm_arena *a)
{
    struct tsm_str name = {"", 0}, file, line;
    bool named = false, is_file = false;
    while (part.n) {
        line = trim(cut(part, '\n', &part));
        if (line.n == 0)
            break;
        if (line.n > 20 && strncasecmp(line.p, "content-disposition:", 20) == 0) {
            struct tsm_str value = tsm_str(line.p + 20, line.n - 20);
            named = header_parameter(value, "name", a, &name);
            is_file = header_parameter(value, "filename", a, &file);
        }
    }
    if (named)
        add(p, a, name, part, is_file);
}

bool tsm_form_multipart(struct tsm_parameters *p, struct tsm_str content_type, struct tsm_str body,
                        struct tsm_arena *a)
{
    struct tsm_str boundary;
    if (!header_parameter(content_type, "boundary", a, &boundary) || boundary.n == 0 || boundary.n > 200)
        return false;
    char *text = tsm_arena_bytes(a, boundary.n + 4);
    memcpy(text, "\r\n--", 4);
    memcpy(text + 4, boundary.p, boundary.n);
    const struct tsm_str between = tsm_str(text, boundary.n + 4), first = tsm_str(text + 2, boundary.n + 2);
    const char *at = tsm_str_starts(body, first) ? body.p : find(body, between);
    if (!at)
        return false;
    struct tsm_str rest = tsm_str(at, (size_t)(body.p + body.n - at));
    size_t skip = at == body.p ? first.n : between.n;
    for (;;) {
        rest = tsm_str(rest.p + skip, rest.n - skip);
        if (rest.n >= 2 && memcmp(rest.p, "--", 2) == 0)
            return true;
        (void)cut(rest, '\n', &rest);
        const char *end = find(rest, between);
        if (!end)
            return false;
        take_part(p, tsm_str(rest.p, (size_t)(end - rest.p)), a);
        rest = tsm_str(end, (size_t)(rest.p + rest.n - end));
        skip = between.n;
    }
}
