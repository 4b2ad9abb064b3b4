/*
 * result/line.c: line protocol, to be ingested again.
 *
 * The tags of GROUP BY and columns that are tags become tags, the time column the timestamp in nanoseconds,
 * all others fields. A row without any field gives no line. An answer without a time column cannot be written
 * so.
 */
#include "base/alloc.h"
#include "result/impl.h"
#include "format/line.h"

#include "base/banned.h"

struct line {
    struct tsm_result_writer w;
    struct tsm_buf prefix; /* measurement and the tags of GROUP BY */
    struct tsm_buf names;  /* escaped, each with "=" */
    struct line_column {
        enum tsm_column_role role;
        size_t from, to; /* in names */
        bool repeated;   /* a tag that GROUP BY has already given */
    } * columns;
    size_t ncolumns, capcolumns;
    size_t time; /* which column */
};

static bool grouped_by(const struct tsm_series_head *head, struct tsm_str key)
{
    for (size_t i = 0; i < head->ntags; i++)
        if (tsm_str_eq(head->tags[i].key, key))
            return true;
    return false;
}

static void add_column(struct line *l, const struct tsm_series_head *head, size_t i)
{
    struct line_column *c = &l->columns[i];
    c->role = head->columns[i].role;
    c->repeated = c->role == TSM_ROLE_TAG && grouped_by(head, head->columns[i].name);
    c->from = l->names.len;
    if (c->role == TSM_ROLE_TAG)
        tsm_escape_tag(&l->names, head->columns[i].name);
    else
        tsm_escape_field(&l->names, head->columns[i].name);
    tsm_buf_byte(&l->names, '=');
    c->to = l->names.len;
    if (c->role == TSM_ROLE_TIME)
        l->time = i;
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct line *l = (struct line *)s;
    tsm_buf_reset(&l->prefix);
    tsm_buf_reset(&l->names);
    tsm_escape_measurement(&l->prefix, head->name);
    for (size_t i = 0; i < head->ntags; i++) {
        if (head->tags[i].value.n == 0)
            continue;
        tsm_buf_byte(&l->prefix, ',');
        tsm_escape_tag(&l->prefix, head->tags[i].key);
        tsm_buf_byte(&l->prefix, '=');
        tsm_escape_tag(&l->prefix, head->tags[i].value);
    }
    TSM_GROW(l->columns, head->ncolumns, l->capcolumns);
    l->ncolumns = head->ncolumns;
    l->time = SIZE_MAX;
    for (size_t i = 0; i < head->ncolumns; i++)
        add_column(l, head, i);
    if (l->time == SIZE_MAX || head->name.n == 0)
        return tsm_err_set(err, TSM_EUSAGE, "an answer without times cannot be written as line protocol");
    return TSM_OK;
}

static void put_tags(struct line *l, struct tsm_buf *out, const struct tsm_rows *rows, size_t row)
{
    for (size_t i = 0; i < l->ncolumns; i++) {
        const struct line_column *c = &l->columns[i];
        const struct tsm_cells *cells = &rows->columns[i];
        if (c->role != TSM_ROLE_TAG || c->repeated || cells->type != TSM_CELL_STRING ||
            tsm_cell_is_null(cells, row) || cells->v.s[row].n == 0)
            continue;
        tsm_buf_byte(out, ',');
        tsm_buf_add(out, l->names.data + c->from, c->to - c->from);
        tsm_escape_tag(out, cells->v.s[row]);
    }
}

static void put_value(struct line *l, struct tsm_buf *out, const struct tsm_cells *cells, size_t row)
{
    if (cells->type == TSM_CELL_STRING) {
        tsm_buf_byte(out, '"');
        tsm_escape_string(out, cells->v.s[row]);
        tsm_buf_byte(out, '"');
        return;
    }
    out->len += tsm_plain_text(&l->w.time, (char *)tsm_buf_room(out, TSM_NUM_MAX), cells, row);
    if (cells->type == TSM_CELL_INTEGER || cells->type == TSM_CELL_TIME)
        tsm_buf_byte(out, 'i');
    else if (cells->type == TSM_CELL_UNSIGNED)
        tsm_buf_byte(out, 'u');
}

/* False when the row has no field. */
static bool put_fields(struct line *l, struct tsm_buf *out, const struct tsm_rows *rows, size_t row)
{
    uint8_t before = ' ';
    for (size_t i = 0; i < l->ncolumns; i++) {
        const struct line_column *c = &l->columns[i];
        const struct tsm_cells *cells = &rows->columns[i];
        if (c->role == TSM_ROLE_TAG || c->role == TSM_ROLE_TIME || tsm_cell_is_null(cells, row) ||
            !tsm_cell_is_finite(cells, row)) /* infinity cannot be stored */
            continue;
        tsm_buf_byte(out, before);
        before = ',';
        tsm_buf_add(out, l->names.data + c->from, c->to - c->from);
        put_value(l, out, cells, row);
    }
    return before == ',';
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct line *l = (struct line *)s;
    struct tsm_buf *out = &l->w.out->buf;
    for (size_t row = 0; row < rows->n; row++) {
        size_t start = out->len;
        tsm_buf_add(out, l->prefix.data, l->prefix.len);
        put_tags(l, out, rows, row);
        if (!put_fields(l, out, rows, row)) {
            out->len = start;
            continue;
        }
        tsm_buf_byte(out, ' ');
        char *p = (char *)tsm_buf_room(out, TSM_NUM_MAX);
        out->len += tsm_format_int(p, rows->columns[l->time].v.i[row]);
        tsm_buf_byte(out, '\n');
    }
    return tsm_output_check(l->w.out, err);
}

static void release(struct tsm_result_writer *w)
{
    struct line *l = (struct line *)w;
    tsm_buf_release(&l->prefix);
    tsm_buf_release(&l->names);
    tsm_free(l->columns);
}

struct tsm_result_writer *tsm_result_line_new(const struct tsm_result_options *opt)
{
    struct line *l = tsm_calloc(1, sizeof *l);
    (void)opt;
    l->w.sink.series_begin = series_begin;
    l->w.sink.rows = write_rows;
    l->w.release = release;
    return &l->w;
}
