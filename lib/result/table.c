/*
 * result/table.c: aligned columns for people. Rows are collected in windows of a bounded size; the widths
 * are those of the window, never less than those of the window before, so a long answer flows.
 */
#include "base/alloc.h"
#include "result/impl.h"

#include "base/banned.h"

enum { WINDOW_ROWS = 1000, WINDOW_BYTES = 1 << 20, WIDEST = 200 };

struct table {
    struct tsm_result_writer w;
    struct tsm_buf text; /* the cells of the window, one after the other */
    size_t *ends;        /* in text */
    size_t ncells, capcells;
    struct tsm_buf names; /* printable names of the columns, one after the other */
    struct table_column {
        size_t name_end; /* in names */
        size_t width;
        bool right; /* numbers */
    } * columns;
    size_t ncolumns, capcolumns;
    bool header_due; /* the header of the series is not printed yet */
    bool written;
};

/* Code points, near enough to columns on the screen. */
static size_t width_of(const uint8_t *p, size_t n)
{
    size_t width = 0;
    for (size_t i = 0; i < n; i++)
        width += (p[i] & 0xc0) != 0x80;
    return width;
}

/* A line end would break the table, and a terminal obeys what other control characters say. */
static void put_printable(struct tsm_buf *out, struct tsm_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '\n')
            tsm_buf_puts(out, "\\n");
        else if (c < ' ' || c == 0x7f)
            tsm_buf_printf(out, "\\x%02x", c);
        else
            tsm_buf_byte(out, c);
    }
}

static void spaces(struct tsm_buf *out, size_t n, int c)
{
    memset(tsm_buf_room(out, n), c, n);
    out->len += n;
}

static void put_aligned(struct table *t, size_t column, const uint8_t *p, size_t n)
{
    struct tsm_buf *out = &t->w.out->buf;
    const struct table_column *c = &t->columns[column];
    size_t width = width_of(p, n), pad = c->width > width ? c->width - width : 0;
    bool last = column + 1 == t->ncolumns;
    if (c->right)
        spaces(out, pad, ' ');
    tsm_buf_add(out, p, n);
    if (!c->right && !last)
        spaces(out, pad, ' ');
    if (!last) {
        spaces(out, 2, ' ');
        return;
    }
    while (out->len && out->data[out->len - 1] == ' ')
        out->len--;
    tsm_buf_byte(out, '\n');
}

/* The printable name of a column of the current series. */
static struct tsm_str name_of(const struct table *t, size_t column)
{
    size_t from = column ? t->columns[column - 1].name_end : 0;
    if (t->columns[column].name_end == from)
        return tsm_str("", 0);
    return tsm_str((const char *)t->names.data + from, t->columns[column].name_end - from);
}

static void put_header(struct table *t)
{
    const struct tsm_series_head *head = t->w.head;
    struct tsm_buf *out = &t->w.out->buf;
    if (t->written)
        tsm_buf_byte(out, '\n');
    t->written = true;
    t->header_due = false;
    if (head->name.n) {
        tsm_buf_puts(out, "name: ");
        put_printable(out, head->name);
        tsm_buf_byte(out, '\n');
    }
    for (size_t i = 0; i < head->ntags; i++) {
        tsm_buf_puts(out, i ? ", " : "tags: ");
        put_printable(out, head->tags[i].key);
        tsm_buf_byte(out, '=');
        put_printable(out, head->tags[i].value);
    }
    if (head->ntags)
        tsm_buf_byte(out, '\n');
    for (size_t i = 0; i < t->ncolumns; i++) {
        struct tsm_str name = name_of(t, i);
        put_aligned(t, i, (const uint8_t *)name.p, name.n);
    }
    for (size_t i = 0; i < t->ncolumns; i++) {
        uint8_t dashes[WIDEST];
        struct tsm_str name = name_of(t, i);
        size_t n = width_of((const uint8_t *)name.p, name.n);
        n = n < sizeof dashes ? n : sizeof dashes;
        memset(dashes, '-', n);
        put_aligned(t, i, dashes, n);
    }
}

static int flush_window(struct table *t, struct tsm_err *err)
{
    for (size_t i = 0; i < t->ncells; i++) {
        size_t from = i ? t->ends[i - 1] : 0, width = width_of(t->text.data + from, t->ends[i] - from);
        struct table_column *c = &t->columns[i % t->ncolumns];
        if (width > c->width)
            c->width = width < WIDEST ? width : WIDEST;
    }
    if (t->header_due)
        put_header(t);
    for (size_t i = 0; i < t->ncells; i++) {
        size_t from = i ? t->ends[i - 1] : 0;
        put_aligned(t, i % t->ncolumns, t->text.data + from, t->ends[i] - from);
    }
    tsm_buf_reset(&t->text);
    t->ncells = 0;
    return tsm_output_check(t->w.out, err);
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct table *t = (struct table *)s;
    (void)err;
    t->w.head = head;
    tsm_time_text_zone(&t->w.time, head->zone);
    t->header_due = true;
    t->ncolumns = head->ncolumns;
    TSM_GROW(t->columns, head->ncolumns, t->capcolumns);
    tsm_buf_reset(&t->names);
    for (size_t i = 0; i < head->ncolumns; i++) {
        put_printable(&t->names, head->columns[i].name);
        t->columns[i] = (struct table_column){.name_end = t->names.len};
        struct tsm_str name = name_of(t, i);
        t->columns[i].width = width_of((const uint8_t *)name.p, name.n);
    }
    return TSM_OK;
}

static void put_cell(struct table *t, const struct tsm_cells *c, size_t row)
{
    if (c->type == TSM_CELL_STRING && !tsm_cell_is_null(c, row))
        put_printable(&t->text, c->v.s[row]);
    else if (!tsm_cell_is_null(c, row))
        t->text.len += tsm_plain_text(&t->w.time, (char *)tsm_buf_room(&t->text, TSM_NUM_MAX), c, row);
    TSM_GROW(t->ends, t->ncells + 1, t->capcells);
    t->ends[t->ncells++] = t->text.len;
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct table *t = (struct table *)s;
    for (size_t i = 0; i < t->ncolumns; i++) {
        enum tsm_cell_type type = rows->columns[i].type;
        t->columns[i].right = type == TSM_CELL_FLOAT || type == TSM_CELL_INTEGER || type == TSM_CELL_UNSIGNED;
    }
    for (size_t row = 0; row < rows->n; row++) {
        for (size_t i = 0; i < t->ncolumns; i++)
            put_cell(t, &rows->columns[i], row);
        if (t->ncells >= WINDOW_ROWS * t->ncolumns || t->text.len >= WINDOW_BYTES) {
            int rc = flush_window(t, err);
            if (rc != TSM_OK)
                return rc;
        }
    }
    return TSM_OK;
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct table *t = (struct table *)s;
    int rc = t->ncells || t->header_due ? flush_window(t, err) : TSM_OK;
    t->w.head = NULL;
    return rc;
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct table *t = (struct table *)s;
    (void)error;
    if (t->w.head && t->ncells) /* the series ended early: what is there is shown */
        return series_end(s, err);
    t->w.head = NULL;
    return TSM_OK;
}

static void release(struct tsm_result_writer *w)
{
    struct table *t = (struct table *)w;
    tsm_buf_release(&t->text);
    tsm_buf_release(&t->names);
    tsm_free(t->ends);
    tsm_free(t->columns);
}

struct tsm_result_writer *tsm_result_table_new(const struct tsm_result_options *opt)
{
    struct table *t = tsm_calloc(1, sizeof *t);
    (void)opt;
    t->w.sink.series_begin = series_begin;
    t->w.sink.rows = write_rows;
    t->w.sink.series_end = series_end;
    t->w.sink.statement_end = statement_end;
    t->w.release = release;
    return &t->w;
}
