/*
 * result/jsonl.c: one JSON object a row:
 *
 *   {"name":"cpu","tags":{"host":"a"},"time":"2020-01-01T00:00:00Z","value":1}
 *
 * Tags are those of GROUP BY. A column that is itself called name or tags takes the place of that member.
 */
#include "base/alloc.h"
#include "result/impl.h"

#include "base/banned.h"

struct jsonl {
    struct tsm_result_writer w;
    struct tsm_buf prefix; /* of each row: name and tags */
    struct tsm_buf names;  /* ,"column": for each */
    size_t *ends;          /* in names */
    size_t capends;
};

static bool has_column(const struct tsm_series_head *head, struct tsm_str name)
{
    for (size_t i = 0; i < head->ncolumns; i++)
        if (tsm_str_eq(head->columns[i].name, name))
            return true;
    return false;
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct jsonl *j = (struct jsonl *)s;
    (void)err;
    j->w.head = head;
    tsm_time_text_zone(&j->w.time, head->zone);
    tsm_buf_reset(&j->prefix);
    tsm_buf_reset(&j->names);
    tsm_buf_byte(&j->prefix, '{');
    if (head->name.n && !has_column(head, TSM_STR("name"))) {
        tsm_buf_puts(&j->prefix, "\"name\":");
        tsm_json_string(&j->prefix, head->name);
    }
    if (head->ntags && !has_column(head, TSM_STR("tags"))) {
        tsm_buf_puts(&j->prefix, j->prefix.len > 1 ? ",\"tags\":{" : "\"tags\":{");
        for (size_t i = 0; i < head->ntags; i++) {
            if (i)
                tsm_buf_byte(&j->prefix, ',');
            tsm_json_string(&j->prefix, head->tags[i].key);
            tsm_buf_byte(&j->prefix, ':');
            tsm_json_string(&j->prefix, head->tags[i].value);
        }
        tsm_buf_byte(&j->prefix, '}');
    }
    TSM_GROW(j->ends, head->ncolumns, j->capends);
    for (size_t i = 0; i < head->ncolumns; i++) {
        if (i || j->prefix.len > 1)
            tsm_buf_byte(&j->names, ',');
        tsm_json_string(&j->names, head->columns[i].name);
        tsm_buf_byte(&j->names, ':');
        j->ends[i] = j->names.len;
    }
    return TSM_OK;
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct jsonl *j = (struct jsonl *)s;
    struct tsm_buf *out = &j->w.out->buf;
    for (size_t row = 0; row < rows->n; row++) {
        tsm_buf_add(out, j->prefix.data, j->prefix.len);
        for (size_t i = 0, from = 0; i < j->w.head->ncolumns; from = j->ends[i++]) {
            tsm_buf_add(out, j->names.data + from, j->ends[i] - from);
            if (j->w.head->columns[i].role == TSM_ROLE_JSON && !tsm_cell_is_null(&rows->columns[i], row))
                tsm_buf_str(out, rows->columns[i].v.s[row]);
            else
                tsm_json_cell(&j->w.time, out, &rows->columns[i], row);
        }
        tsm_buf_add(out, "}\n", 2);
        int rc = tsm_output_check(j->w.out, err);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

static void release(struct tsm_result_writer *w)
{
    struct jsonl *j = (struct jsonl *)w;
    tsm_buf_release(&j->prefix);
    tsm_buf_release(&j->names);
    tsm_free(j->ends);
}

struct tsm_result_writer *tsm_result_jsonl_new(const struct tsm_result_options *opt)
{
    struct jsonl *j = tsm_calloc(1, sizeof *j);
    (void)opt;
    j->w.sink.series_begin = series_begin;
    j->w.sink.rows = write_rows;
    j->w.release = release;
    return &j->w;
}
