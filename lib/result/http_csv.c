/*
 * result/http_csv.c: CSV as influxd answers it over HTTP: the columns name and tags, then those of the result. A header comes before
 * each statement, and where the columns change; times are numbers, and statements without a series leave no trace, nor do errors.
 */
#include "base/alloc.h"
#include "base/utf8.h"
#include "result/impl.h"

#include "base/banned.h"

struct http_csv {
    struct tsm_result_writer w;
    bool any_statement; /* a header has been written */
    bool new_statement; /* since the last header */
    struct tsm_buf prefix;
    struct tsm_buf columns, last_columns; /* header lines without their beginning */
    uint64_t rows;
};

/* As Go's encoding/csv: also a field that begins with a space, or is \. */
static bool needs_quotes(struct tsm_str s)
{
    static const char *const spaces[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
                                         "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (s.n == 0)
        return false;
    if (tsm_str_eq(s, TSM_STR("\\.")))
        return true;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\r' || s.p[i] == '\n')
            return true;
    if (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))
        return true;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (tsm_str_starts(s, tsm_str_of(spaces[i])))
            return true;
    return s.n >= 3 && memcmp(s.p, "\xe2\x80", 2) == 0 && (uint8_t)s.p[2] >= 0x80 && (uint8_t)s.p[2] <= 0x8a;
}

static void put_field(struct tsm_buf *out, struct tsm_str s)
{
    if (!needs_quotes(s)) {
        tsm_buf_str(out, s);
        return;
    }
    tsm_buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            tsm_buf_byte(out, '"');
        tsm_buf_byte(out, (uint8_t)s.p[i]);
    }
    tsm_buf_byte(out, '"');
}

static int stop(struct tsm_err *err)
{
    return tsm_err_set(err, TSM_ESTOP, "the limit of rows is reached");
}

static bool is_full(const struct http_csv *c)
{
    return c->w.opt.row_limit && c->rows >= c->w.opt.row_limit;
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct http_csv *c = (struct http_csv *)s;
    (void)id;
    c->new_statement = true;
    return is_full(c) ? stop(err) : TSM_OK;
}

/* "name,k=v" as line protocol escapes it; a tag without a value is left out. */
static void make_prefix(struct http_csv *c, const struct tsm_series_head *head)
{
    struct tsm_buf tags = {0};
    for (size_t i = 0; i < head->ntags; i++) {
        if (!head->tags[i].value.n)
            continue;
        if (tags.len)
            tsm_buf_byte(&tags, ',');
        tsm_escape_tag(&tags, head->tags[i].key);
        tsm_buf_byte(&tags, '=');
        tsm_escape_tag(&tags, head->tags[i].value);
    }
    tsm_buf_reset(&c->prefix);
    put_field(&c->prefix, head->name);
    tsm_buf_byte(&c->prefix, ',');
    put_field(&c->prefix, tsm_buf_view(&tags));
    tsm_buf_release(&tags);
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct http_csv *c = (struct http_csv *)s;
    struct tsm_buf *out = &c->w.out->buf;
    if (is_full(c))
        return stop(err);
    tsm_buf_reset(&c->columns);
    for (size_t i = 0; i < head->ncolumns; i++) {
        tsm_buf_byte(&c->columns, ',');
        put_field(&c->columns, head->columns[i].name);
    }
    if (c->new_statement || !tsm_str_eq(tsm_buf_view(&c->columns), tsm_buf_view(&c->last_columns))) {
        if (c->any_statement)
            tsm_buf_byte(out, '\n');
        tsm_buf_puts(out, "name,tags");
        tsm_buf_str(out, tsm_buf_view(&c->columns));
        tsm_buf_byte(out, '\n');
        tsm_buf_reset(&c->last_columns);
        tsm_buf_str(&c->last_columns, tsm_buf_view(&c->columns));
    }
    c->any_statement = true;
    c->new_statement = false;
    make_prefix(c, head);
    c->w.head = head;
    return tsm_output_check(c->w.out, err);
}

static void put_cell(struct http_csv *c, struct tsm_buf *out, const struct tsm_cells *cells, size_t row)
{
    if (tsm_cell_is_null(cells, row))
        return;
    if (cells->type == TSM_CELL_STRING) {
        put_field(out, cells->v.s[row]);
        return;
    }
    char *p = (char *)tsm_buf_room(out, TSM_NUM_MAX);
    if (cells->type == TSM_CELL_FLOAT && isfinite(cells->v.f[row]))
        out->len += tsm_format_float_plain(p, cells->v.f[row]);
    else if (cells->type == TSM_CELL_FLOAT)
        tsm_buf_puts(out, isnan(cells->v.f[row]) ? "NaN" : cells->v.f[row] > 0 ? "+Inf" : "-Inf");
    else
        out->len += tsm_plain_text(&c->w.time, p, cells, row);
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct http_csv *c = (struct http_csv *)s;
    struct tsm_buf *out = &c->w.out->buf;
    for (size_t row = 0; row < rows->n; row++) {
        if (is_full(c))
            return stop(err);
        tsm_buf_str(out, tsm_buf_view(&c->prefix));
        for (size_t i = 0; i < c->w.head->ncolumns; i++) {
            tsm_buf_byte(out, ',');
            put_cell(c, out, &rows->columns[i], row);
        }
        tsm_buf_byte(out, '\n');
        c->rows++;
        /* The first rows of a stream at once. */
        int rc = c->w.opt.chunk_rows && c->rows == c->w.opt.chunk_rows ? tsm_output_flush(c->w.out, err)
                                                                       : tsm_output_check(c->w.out, err);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

static void release(struct tsm_result_writer *w)
{
    struct http_csv *c = (struct http_csv *)w;
    tsm_buf_release(&c->prefix);
    tsm_buf_release(&c->columns);
    tsm_buf_release(&c->last_columns);
}

static int finish(struct tsm_result_writer *w, struct tsm_err *err)
{
    return tsm_output_check(w->out, err);
}

struct tsm_result_writer *tsm_result_http_csv_new(const struct tsm_result_options *opt)
{
    struct http_csv *c = tsm_calloc(1, sizeof *c);
    (void)opt;
    c->w.sink.statement_begin = statement_begin;
    c->w.sink.series_begin = series_begin;
    c->w.sink.rows = write_rows;
    c->w.finish = finish;
    c->w.release = release;
    return &c->w;
}

void tsm_http_csv_error(struct tsm_buf *out, const char *message)
{
    tsm_buf_puts(out, "error\n");
    put_field(out, tsm_str_of(message));
    tsm_buf_byte(out, '\n');
}
