/*
 * format/csv.c: CSV records into points.
 *
 * A record ends at a newline with an even number of quotes before it. A cell is quoted as a whole or not at
 * all. All that can be worked out from the header (roles of columns, order and escapes of tags) is done once.
 */
#include "format/csv.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/num.h"
#include "base/sort.h"
#include "base/time.h"
#include "format/line_exact.h"
#include "format/scan_bytes.h"
#include "base/banned.h"

enum role { SKIPPED, TAG, FIELD, TIME, MEASUREMENT };

struct column {
    struct tsm_str name;
    enum role role;
    bool typed; /* the options say the type */
    enum tsm_type type;
};

struct tag_column {
    struct tsm_str prefix; /* ",name=" with escapes */
    size_t column;
};

struct tsm_csv {
    struct column *columns;
    size_t ncolumns;
    struct tag_column *tags; /* in the order of a series key */
    size_t ntags;
    struct tsm_str measurement; /* escaped; p NULL: from a column */
    size_t measurement_column;
    char separator;
    struct tsm_line_options line;
    struct tsm_arena arena;
};

/* ---- records and cells ---- */

/* The newline that ends the record at p, or end; *open: end came inside quotes. Newlines inside are
 * counted. */
static const char *record_end(const char *p, const char *end, bool *open, uint32_t *newlines)
{
    bool quoted = false;
    *newlines = 0;
    for (;; p++) {
        p = tsm_find_any(p, end, '"', '\n', '\n', '\n', '\n');
        if (p == end || (*p == '\n' && !quoted))
            break;
        if (*p == '\n')
            ++*newlines;
        else
            quoted = !quoted;
    }
    *open = quoted;
    return p;
}

static struct tsm_str without_cr(const char *p, const char *end)
{
    return tsm_str(p, (size_t)(end - p) - (end > p && end[-1] == '\r'));
}

/* The cell at p, which is not after end. Returns what is after it (a separator, or end), or NULL when its
 * quotes are wrong. */
static const char *next_cell(const char *p, const char *end, char separator, struct tsm_arena *a,
                             struct tsm_str *cell)
{
    const char *start = p;
    if (p == end || *p != '"') {
        p = tsm_find_any(p, end, separator, '"', '"', '"', '"');
        *cell = tsm_str(start, (size_t)(p - start));
        return p < end && *p == '"' ? NULL : p;
    }
    bool doubled = false;
    for (start = ++p;; p += 2) {
        p = memchr(p, '"', (size_t)(end - p));
        if (!p)
            return NULL;
        if (p + 1 == end || p[1] != '"')
            break;
        doubled = true;
    }
    *cell = tsm_str(start, (size_t)(p - start));
    if (doubled) {
        char *w = tsm_arena_bytes(a, cell->n), *from = w;
        for (const char *r = start; r < p; r++) {
            *w++ = *r;
            r += *r == '"';
        }
        *cell = tsm_str(from, (size_t)(w - from));
    }
    p++;
    return p == end || *p == separator ? p : NULL;
}

/* Splits a record into at most max cells; returns how many there are (max + 1: more), or 0 when quotes are
 * wrong. */
static size_t split(struct tsm_str record, char separator, struct tsm_arena *a, struct tsm_str *cells,
                    size_t max)
{
    const char *p = record.p, *end = p + record.n;
    for (size_t n = 0;; p++) {
        struct tsm_str cell;
        p = next_cell(p, end, separator, a, &cell);
        if (!p)
            return 0;
        if (n < max)
            cells[n] = cell;
        if (++n > max || p == end)
            return n;
    }
}

/* ---- the header ---- */

/* Takes the next name from a comma-separated list. */
static bool next_name(struct tsm_str *list, struct tsm_str *name)
{
    if (list->n == 0)
        return false;
    const char *comma = memchr(list->p, ',', list->n);
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    *name = tsm_str(list->p, n);
    list->p += n + (comma != NULL);
    list->n -= n + (comma != NULL);
    return true;
}

static struct column *find_column(const struct tsm_csv *csv, struct tsm_str name)
{
    for (size_t i = 0; i < csv->ncolumns; i++)
        if (tsm_str_eq(csv->columns[i].name, name))
            return &csv->columns[i];
    return NULL;
}

/* Gives a column its role, which it has only once. */
static int assign(struct tsm_csv *csv, struct tsm_str name, enum role role, struct column **out,
                  struct tsm_err *err)
{
    struct column *c = find_column(csv, name);
    if (!c)
        return tsm_err_set(err, TSM_EUSAGE, "csv: no column '%.*s'", (int)name.n, name.p);
    if (c->role != SKIPPED)
        return tsm_err_set(err, TSM_EUSAGE, "csv: column '%.*s' is used twice", (int)name.n, name.p);
    c->role = role;
    if (out)
        *out = c;
    return TSM_OK;
}

/* Splits "temp:integer". */
static bool split_type(struct tsm_str *name, enum tsm_type *type)
{
    const char *colon = name->n ? memrchr(name->p, ':', name->n) : NULL;
    if (!colon)
        return false;
    struct tsm_str word = tsm_str(colon + 1, (size_t)(name->p + name->n - colon - 1));
    for (enum tsm_type t = TSM_FLOAT; t < TSM_TYPES; t++) {
        if (tsm_str_eq(word, tsm_str_of(tsm_type_name(t)))) {
            name->n = (size_t)(colon - name->p);
            *type = t;
            return true;
        }
    }
    return false;
}

static int assign_field(struct tsm_csv *csv, struct tsm_str name, struct tsm_err *err)
{
    struct column *c;
    if (find_column(csv, name)) /* a name with a colon in it */
        return assign(csv, name, FIELD, NULL, err);
    enum tsm_type type = TSM_FLOAT;
    bool typed = split_type(&name, &type);
    int rc = assign(csv, name, FIELD, &c, err);
    if (rc)
        return rc;
    c->typed = typed;
    c->type = type;
    return TSM_OK;
}

static int assign_roles(struct tsm_csv *csv, const struct tsm_csv_options *opt, struct tsm_err *err)
{
    struct tsm_str list, name, time = opt->time;
    int rc = TSM_OK;
    if (opt->measurement_column) {
        struct column *c = NULL;
        rc = assign(csv, opt->measurement, MEASUREMENT, &c, err);
        csv->measurement_column = rc ? 0 : (size_t)(c - csv->columns);
    } else if (opt->measurement.n == 0) {
        rc = tsm_err_set(err, TSM_EUSAGE, "csv: no measurement is given");
    }
    if (time.n == 0 && find_column(csv, TSM_STR("time")))
        time = TSM_STR("time");
    if (!rc && time.n > 0)
        rc = assign(csv, time, TIME, NULL, err);
    for (list = opt->tags; !rc && next_name(&list, &name);)
        rc = assign(csv, name, TAG, NULL, err);
    for (list = opt->fields; !rc && next_name(&list, &name);)
        rc = assign_field(csv, name, err);
    if (opt->fields.n == 0)
        for (size_t i = 0; i < csv->ncolumns; i++)
            if (csv->columns[i].role == SKIPPED)
                csv->columns[i].role = FIELD;
    return rc;
}

/* Whether a name or tag value can stand in a key: a backslash at its end would escape what follows. */
static bool fits_key(struct tsm_str s)
{
    return s.n > 0 && s.p[s.n - 1] != '\\' && !memchr(s.p, '\n', s.n);
}

static int check_columns(const struct tsm_csv *csv, struct tsm_err *err)
{
    for (size_t i = 0; i < csv->ncolumns; i++) {
        const struct column *c = &csv->columns[i];
        if (c->role == SKIPPED)
            continue;
        if (c->name.n == 0)
            return tsm_err_set(err, TSM_EUSAGE, "csv: column %zu has no name", i + 1);
        if (c->role == TAG && !fits_key(c->name))
            return tsm_err_set(err, TSM_EUSAGE, "csv: column '%.*s' cannot be a tag's name", (int)c->name.n,
                               c->name.p);
        for (size_t j = 0; j < i; j++)
            if (tsm_str_eq(c->name, csv->columns[j].name))
                return tsm_err_set(err, TSM_EUSAGE, "csv: two columns are named '%.*s'", (int)c->name.n,
                                   c->name.p);
    }
    return TSM_OK;
}

static int compare_prefixes(const void *a, const void *b)
{
    struct tsm_str x = ((const struct tag_column *)a)->prefix, y = ((const struct tag_column *)b)->prefix;
    x.n--; /* without the equals sign, which is no part of the name */
    y.n--;
    return tsm_str_cmp(x, y);
}

static void order_tags(struct tsm_csv *csv)
{
    csv->tags = tsm_arena_alloc(&csv->arena, csv->ncolumns * sizeof *csv->tags);
    struct tsm_buf b = {0};
    for (size_t i = 0; i < csv->ncolumns; i++) {
        if (csv->columns[i].role != TAG)
            continue;
        tsm_buf_reset(&b);
        tsm_buf_byte(&b, ',');
        tsm_escape_tag(&b, csv->columns[i].name);
        tsm_buf_byte(&b, '=');
        csv->tags[csv->ntags++] = (struct tag_column){tsm_arena_str(&csv->arena, tsm_buf_view(&b)), i};
    }
    tsm_sort(csv->tags, csv->ntags, sizeof *csv->tags, compare_prefixes);
    tsm_buf_release(&b);
}

/* As a line has it: tsm_line_key() takes away the backslash that stands before '=' and '"'. */
static void add_measurement(struct tsm_buf *out, struct tsm_str name)
{
    size_t from = out->len;
    tsm_escape_measurement(out, name);
    for (size_t i = out->len; i > from + 1; i--) {
        if (out->data[i - 2] == '\\' && (out->data[i - 1] == '=' || out->data[i - 1] == '"')) {
            tsm_buf_byte(out, 0);
            memmove(out->data + i, out->data + i - 1, out->len - i);
            out->data[i - 1] = '\\';
        }
    }
}

static int set_measurement(struct tsm_csv *csv, struct tsm_str name, struct tsm_err *err)
{
    if (!fits_key(name))
        return tsm_err_set(err, TSM_EUSAGE, "csv: '%.*s' cannot be a measurement's name", (int)name.n,
                           name.p);
    struct tsm_buf b = {0};
    add_measurement(&b, name);
    csv->measurement = tsm_arena_str(&csv->arena, tsm_buf_view(&b));
    tsm_buf_release(&b);
    return TSM_OK;
}

int tsm_csv_open(struct tsm_str header, const struct tsm_csv_options *opt, struct tsm_csv **out,
                 struct tsm_err *err)
{
    if (tsm_str_starts(header, TSM_STR("\xef\xbb\xbf"))) /* a byte order mark */
        header = tsm_str(header.p + 3, header.n - 3);
    header = without_cr(header.p, header.p + header.n);

    struct tsm_csv *csv = tsm_calloc(1, sizeof *csv);
    csv->separator = opt->separator;
    csv->line = opt->line;
    header = tsm_arena_str(&csv->arena, header);
    size_t most = header.n + 1;
    struct tsm_str *names = tsm_arena_alloc(&csv->arena, most * sizeof *names);
    csv->ncolumns = split(header, csv->separator, &csv->arena, names, most);
    csv->columns = tsm_arena_calloc(&csv->arena, (csv->ncolumns + 1) * sizeof *csv->columns);
    for (size_t i = 0; i < csv->ncolumns; i++)
        csv->columns[i].name = names[i];

    int rc = csv->ncolumns ? TSM_OK : tsm_err_set(err, TSM_EUSAGE, "csv: wrong quotes in the header line");
    if (!rc)
        rc = assign_roles(csv, opt, err);
    if (!rc)
        rc = check_columns(csv, err);
    if (!rc && !opt->measurement_column)
        rc = set_measurement(csv, opt->measurement, err);
    if (rc) {
        tsm_csv_close(csv);
        csv = NULL;
    } else {
        order_tags(csv);
    }
    *out = csv;
    return rc;
}

void tsm_csv_close(struct tsm_csv *csv)
{
    if (!csv)
        return;
    tsm_arena_release(&csv->arena);
    tsm_free(csv);
}

/* ---- one record ---- */

struct row {
    const struct tsm_csv *csv;
    struct tsm_points *out;
    struct tsm_str *cells; /* one per column */
    struct tsm_buf key;    /* scratch */
    struct tsm_buf cause;
    struct tsm_str last_key; /* of the row before, in the arena; rows often come series by series */
    uint64_t last_hash;
};

static bool fault(struct row *r, const char *what, struct tsm_str name)
{
    tsm_buf_puts(&r->cause, what);
    tsm_buf_str(&r->cause, name);
    return false;
}

static bool make_key(struct row *r)
{
    const struct tsm_csv *csv = r->csv;
    tsm_buf_reset(&r->key);
    if (csv->measurement.p) {
        tsm_buf_str(&r->key, csv->measurement);
    } else {
        struct tsm_str name = r->cells[csv->measurement_column];
        if (name.n == 0)
            return fault(r, "missing measurement", TSM_STR(""));
        if (!fits_key(name))
            return fault(r, "invalid measurement: ", name);
        add_measurement(&r->key, name);
    }
    for (size_t i = 0; i < csv->ntags; i++) {
        struct tsm_str value = r->cells[csv->tags[i].column];
        if (value.n == 0)
            continue;
        if (!fits_key(value))
            return fault(r, "invalid tag value: ", value);
        tsm_buf_str(&r->key, csv->tags[i].prefix);
        tsm_escape_tag(&r->key, value);
    }
    if (r->key.len > TSM_KEY_MAX) {
        tsm_buf_printf(&r->cause, "max key length exceeded: %zu > %d", r->key.len, TSM_KEY_MAX);
        return false;
    }
    if (!r->last_key.p || !tsm_str_eq(tsm_buf_view(&r->key), r->last_key)) {
        r->last_key = tsm_arena_str(&r->out->arena, tsm_buf_view(&r->key));
        r->last_hash = tsm_hash(r->last_key);
    }
    return true;
}

static bool read_time(struct row *r, struct tsm_str cell, int64_t *t)
{
    if (cell.n == 0)
        return true;
    if (tsm_parse_int(cell, t)) {
        if (!__builtin_mul_overflow(*t, r->csv->line.unit, t) && *t >= TSM_TIME_MIN && *t <= TSM_TIME_MAX)
            return true;
        return fault(r, "time outside range: ", cell);
    }
    return tsm_parse_time(cell, t) ? true : fault(r, "bad timestamp: ", cell);
}

/* The number before a suffix letter that may be there. */
static struct tsm_str strip(struct tsm_str s, char suffix)
{
    return tsm_str(s.p, s.n - (s.p[s.n - 1] == suffix));
}

static bool read_typed(struct tsm_str s, struct tsm_field *f)
{
    switch (f->type) {
    case TSM_FLOAT:
        return tsm_parse_float(s, &f->value.f);
    case TSM_INTEGER:
        return tsm_parse_int(strip(s, 'i'), &f->value.i);
    case TSM_UNSIGNED:
        return tsm_parse_uint(strip(s, 'u'), &f->value.u);
    case TSM_BOOLEAN:
        return tsm_line_boolean(s, &f->value.b);
    case TSM_STRING:
        f->value.s = s;
        return true;
    case TSM_TYPES:
        break;
    }
    return false;
}

static void read_untyped(struct tsm_str s, struct tsm_field *f)
{
    char first = s.p[0], last = s.p[s.n - 1];
    bool number = (first >= '0' && first <= '9') || first == '-' || first == '+' || first == '.';
    if (number && last == 'i' && tsm_parse_int(strip(s, 'i'), &f->value.i)) {
        f->type = TSM_INTEGER;
    } else if (number && last == 'u' && tsm_parse_uint(strip(s, 'u'), &f->value.u)) {
        f->type = TSM_UNSIGNED;
    } else if (number && tsm_parse_float(s, &f->value.f)) {
        f->type = TSM_FLOAT;
    } else if (!number && s.n > 1 && tsm_line_boolean(s, &f->value.b)) {
        f->type = TSM_BOOLEAN;
    } else {
        f->type = TSM_STRING;
        f->value.s = s;
    }
}

static bool read_field(struct row *r, const struct column *c, struct tsm_str cell, struct tsm_field *f)
{
    size_t n = r->key.len + TSM_FIELD_SEPARATOR.n + c->name.n;
    if (n > TSM_KEY_MAX) {
        tsm_buf_printf(&r->cause, "max key length exceeded: %zu > %d", n, TSM_KEY_MAX);
        return false;
    }
    f->name = c->name;
    f->type = c->type;
    if (!c->typed) {
        read_untyped(cell, f);
    } else if (!read_typed(cell, f)) {
        tsm_buf_printf(&r->cause, "invalid %s: ", tsm_type_name(c->type));
        return fault(r, "", cell);
    }
    return true;
}

/* The record's cells into a point. False: the cause is in r->cause. */
static bool read_row(struct row *r, struct tsm_str record, uint32_t line)
{
    const struct tsm_csv *csv = r->csv;
    struct tsm_points *out = r->out;
    size_t n = split(record, csv->separator, &out->arena, r->cells, csv->ncolumns);
    if (n == 0)
        return fault(r, "wrong quotes", TSM_STR(""));
    if (n != csv->ncolumns) {
        tsm_buf_printf(&r->cause, "%s columns than the header's %zu", n < csv->ncolumns ? "fewer" : "more",
                       csv->ncolumns);
        return false;
    }
    if (!make_key(r))
        return false;
    size_t nfields = out->nfields;
    int64_t t = csv->line.now;
    TSM_GROW(out->fields, nfields + csv->ncolumns, out->capfields);
    for (size_t i = 0; i < n; i++) {
        struct tsm_str cell = r->cells[i];
        if (csv->columns[i].role == TIME && !read_time(r, cell, &t))
            return false;
        if (csv->columns[i].role == FIELD && cell.n > 0 &&
            !read_field(r, &csv->columns[i], cell, &out->fields[nfields++]))
            return false;
    }
    if (nfields == out->nfields)
        return fault(r, "missing fields", TSM_STR(""));
    TSM_GROW(out->points, out->n + 1, out->cap);
    out->points[out->n++] = (struct tsm_point){
        .raw_key = r->last_key,
        .hash = r->last_hash,
        .time = t,
        .first_field = (uint32_t)out->nfields,
        .nfields = (uint32_t)(nfields - out->nfields),
        .line = line,
        .text = record,
    };
    out->nfields = nfields;
    return true;
}

void tsm_csv_parse(const struct tsm_csv *csv, struct tsm_str text, struct tsm_points *out,
                   tsm_reject_fn *reject, void *ctx)
{
    struct row r = {.csv = csv, .out = out};
    r.cells = tsm_alloc(csv->ncolumns * sizeof *r.cells);
    struct tsm_buf message = {0};
    const char *end = text.p + text.n;
    uint32_t line = 1, newlines;
    bool open, one_line_cells = false;
    for (const char *p = text.p, *next; p < end; p = next, line += newlines + 1) {
        const char *stop = record_end(p, end, &open, &newlines);
        if (open || one_line_cells) {
            /* A quote that is never closed costs its own line only, as in line.c. */
            one_line_cells = true;
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            stop = newline ? newline : end;
            newlines = 0;
        }
        next = stop < end ? stop + 1 : end;
        struct tsm_str record = without_cr(p, stop);
        if (record.n == 0 || read_row(&r, record, line))
            continue;
        tsm_buf_reset(&message);
        tsm_line_error(&message, record, tsm_buf_cstr(&r.cause));
        reject(ctx, line, record, tsm_buf_cstr(&message));
        tsm_buf_reset(&r.cause);
    }
    tsm_buf_release(&message);
    tsm_buf_release(&r.key);
    tsm_buf_release(&r.cause);
    tsm_free(r.cells);
}

size_t tsm_csv_records(struct tsm_str text)
{
    const char *last = text.n ? memrchr(text.p, '\n', text.n) : NULL;
    if (!last)
        return 0;
    size_t all = (size_t)(last + 1 - text.p), whole = 0;
    if (!memchr(text.p, '"', all))
        return all;
    const char *end = text.p + text.n;
    for (const char *p = text.p; p <= last;) {
        bool open;
        uint32_t newlines;
        const char *newline = record_end(p, end, &open, &newlines);
        if (open && (size_t)(end - p) > TSM_LINE_MAX)
            return all;
        if (newline > last)
            break;
        p = newline + 1;
        whole = (size_t)(p - text.p);
    }
    return whole;
}
