/*
 * result/csv.c: CSV (RFC 4180, "\n" ends a line) and TSV (\t, \n, \r and \\ escaped).
 *
 * Columns: name (the measurement) when the query can have several, the tags of GROUP BY, then those of the
 * result. A header line comes before the first row of a statement and wherever the columns change, after an
 * empty line when something was printed before. A null is an empty cell, an empty string is "" in CSV.
 *
 * csv_format() turns a batch into bytes and touches nothing but its arguments, so batches can be formatted by
 * several threads at once, each with a layout of its own.
 */
#include "base/alloc.h"
#include "result/impl.h"

#include "base/banned.h"

/* What a row is made of. */
struct csv_layout {
    bool tabs;
    struct tsm_str prefix; /* name and tags, with the separators after them */
    size_t ncolumns;
    struct tsm_time_text time;
    struct csv_column {
        struct tsm_str last; /* the last string looked at; tags repeat, and so do their pointers */
        bool plain;          /* it needs no quotes */
    } * columns;
};

struct csv {
    struct tsm_result_writer w;
    struct csv_layout layout;
    size_t capcolumns;
    struct tsm_buf prefix, header, last_header;
    bool written; /* anything, in this output */
};

/* ---- strings ---------------------------------------------------------------------------------- */

static bool is_plain(struct tsm_str s, bool tabs)
{
    if (tabs) {
        for (size_t i = 0; i < s.n; i++)
            if (s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\r' || s.p[i] == '\\')
                return false;
        return true;
    }
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\n' || s.p[i] == '\r')
            return false;
    return s.n > 0;
}

static uint8_t *quote(uint8_t *w, struct tsm_str s)
{
    *w++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            *w++ = '"';
        *w++ = (uint8_t)s.p[i];
    }
    *w++ = '"';
    return w;
}

static uint8_t *escape(uint8_t *w, struct tsm_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\t' || c == '\n' || c == '\r' || c == '\\') {
            *w++ = '\\';
            c = (char)(c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
        }
        *w++ = (uint8_t)c;
    }
    return w;
}

static void put_string(struct tsm_buf *out, struct tsm_str s, bool tabs, bool plain)
{
    if (plain) {
        tsm_buf_add(out, s.p, s.n);
        return;
    }
    uint8_t *from = tsm_buf_room(out, 2 * s.n + 2);
    out->len += (size_t)((tabs ? escape(from, s) : quote(from, s)) - from);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static void put_cell(struct csv_layout *l, struct tsm_buf *out, const struct tsm_rows *rows, size_t column,
                     size_t row)
{
    const struct tsm_cells *c = &rows->columns[column];
    if (tsm_cell_is_null(c, row))
        return;
    if (c->type == TSM_CELL_STRING) {
        struct tsm_str s = c->v.s[row];
        struct csv_column *k = &l->columns[column];
        if (s.p != k->last.p || s.n != k->last.n) {
            k->last = s;
            k->plain = is_plain(s, l->tabs);
        }
        put_string(out, s, l->tabs, k->plain);
        return;
    }
    out->len += tsm_plain_text(&l->time, (char *)tsm_buf_room(out, TSM_NUM_MAX), c, row);
}

static void csv_format(struct csv_layout *l, const struct tsm_rows *rows, struct tsm_buf *out)
{
    uint8_t separator = l->tabs ? '\t' : ',';
    for (size_t i = 0; i < l->ncolumns; i++)
        l->columns[i].last = tsm_str(NULL, SIZE_MAX); /* the memory may hold other bytes by now */
    for (size_t row = 0; row < rows->n; row++) {
        tsm_buf_str(out, l->prefix);
        for (size_t i = 0; i < l->ncolumns; i++) {
            put_cell(l, out, rows, i, row);
            tsm_buf_byte(out, i + 1 < l->ncolumns ? separator : '\n');
        }
    }
}

/* ---- the sink --------------------------------------------------------------------------------- */

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct csv *c = (struct csv *)s;
    (void)id;
    (void)err;
    tsm_buf_reset(&c->last_header);
    return TSM_OK;
}

static void add_text(struct csv *c, struct tsm_buf *out, struct tsm_str s)
{
    put_string(out, s, c->layout.tabs, is_plain(s, c->layout.tabs));
    tsm_buf_byte(out, c->layout.tabs ? '\t' : ',');
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct csv *c = (struct csv *)s;
    (void)err;
    tsm_buf_reset(&c->prefix);
    tsm_buf_reset(&c->header);
    if (head->several) {
        add_text(c, &c->header, TSM_STR("name"));
        add_text(c, &c->prefix, head->name);
    }
    for (size_t i = 0; i < head->ntags; i++) {
        add_text(c, &c->header, head->tags[i].key);
        if (head->tags[i].value.n) /* a series without the tag */
            add_text(c, &c->prefix, head->tags[i].value);
        else
            tsm_buf_byte(&c->prefix, c->layout.tabs ? '\t' : ',');
    }
    for (size_t i = 0; i < head->ncolumns; i++)
        add_text(c, &c->header, head->columns[i].name);
    c->header.data[c->header.len - 1] = '\n';
    c->layout.prefix = tsm_buf_view(&c->prefix);
    c->layout.ncolumns = head->ncolumns;
    TSM_GROW(c->layout.columns, head->ncolumns, c->capcolumns);
    tsm_time_text_zone(&c->w.time, head->zone);
    c->layout.time = c->w.time;
    return TSM_OK;
}

static void write_header(struct csv *c)
{
    if (tsm_str_eq(tsm_buf_view(&c->header), tsm_buf_view(&c->last_header)))
        return;
    if (c->w.opt.header) {
        if (c->written)
            tsm_buf_byte(&c->w.out->buf, '\n');
        tsm_buf_str(&c->w.out->buf, tsm_buf_view(&c->header));
        c->written = true;
    }
    tsm_buf_reset(&c->last_header);
    tsm_buf_str(&c->last_header, tsm_buf_view(&c->header));
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct csv *c = (struct csv *)s;
    write_header(c);
    csv_format(&c->layout, rows, &c->w.out->buf);
    return tsm_output_check(c->w.out, err);
}

static void release(struct tsm_result_writer *w)
{
    struct csv *c = (struct csv *)w;
    tsm_buf_release(&c->prefix);
    tsm_buf_release(&c->header);
    tsm_buf_release(&c->last_header);
    tsm_free(c->layout.columns);
}

struct tsm_result_writer *tsm_result_csv_new(const struct tsm_result_options *opt)
{
    struct csv *c = tsm_calloc(1, sizeof *c);
    c->w.sink.statement_begin = statement_begin;
    c->w.sink.series_begin = series_begin;
    c->w.sink.rows = write_rows;
    c->w.release = release;
    c->layout.tabs = opt->format == TSM_FORMAT_TSV;
    return &c->w;
}
