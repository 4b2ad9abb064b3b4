/* cli/list_json.c: lists as one JSON object. */
#include "cli/list_json.h"

#include "base/alloc.h"
#include "result/cell_text.h"
#include "base/banned.h"

struct list_json {
    struct tsm_sink sink; /* first: a sink is its writer */
    struct tsm_output *out;
    struct tsm_time_text time;
    const char *single;
    const struct tsm_series_head *head;
    bool array;       /* this list is one */
    bool written;     /* a list */
    bool row_written; /* a row of this list */
};

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct list_json *j = (struct list_json *)s;
    tsm_buf_puts(&j->out->buf, j->written ? ",\n" : "{\n");
    tsm_json_string(&j->out->buf, head->name);
    j->array = !j->single || !tsm_str_eq(head->name, tsm_str_of(j->single));
    tsm_buf_puts(&j->out->buf, j->array ? ":[" : ":");
    j->head = head;
    j->written = true;
    j->row_written = false;
    return tsm_output_check(j->out, err);
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct list_json *j = (struct list_json *)s;
    struct tsm_buf *out = &j->out->buf;
    for (size_t row = 0; row < rows->n; row++) {
        if (j->array)
            tsm_buf_puts(out, j->row_written ? ",\n " : "\n ");
        j->row_written = true;
        for (size_t i = 0; i < j->head->ncolumns; i++) {
            tsm_buf_byte(out, i ? ',' : '{');
            tsm_json_string(out, j->head->columns[i].name);
            tsm_buf_byte(out, ':');
            tsm_json_cell(&j->time, out, &rows->columns[i], row);
        }
        tsm_buf_byte(out, '}');
        int r = tsm_output_check(j->out, err);
        if (r != TSM_OK)
            return r;
    }
    return TSM_OK;
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct list_json *j = (struct list_json *)s;
    if (j->array)
        tsm_buf_byte(&j->out->buf, ']');
    else if (!j->row_written)
        tsm_buf_puts(&j->out->buf, "{}");
    return tsm_output_check(j->out, err);
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s, (void)id, (void)err;
    return TSM_OK;
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)s, (void)error, (void)err;
    return TSM_OK;
}

struct tsm_sink *tsm_list_json_new(struct tsm_output *out, const char *single)
{
    struct list_json *j = tsm_calloc(1, sizeof *j);
    j->sink.statement_begin = statement_begin;
    j->sink.series_begin = series_begin;
    j->sink.rows = write_rows;
    j->sink.series_end = series_end;
    j->sink.statement_end = statement_end;
    j->out = out;
    j->single = single;
    tsm_time_text_init(&j->time, 0);
    return &j->sink;
}

int tsm_list_json_finish(struct tsm_sink *s, struct tsm_err *err)
{
    struct list_json *j = (struct list_json *)s;
    tsm_buf_puts(&j->out->buf, j->written ? "}\n" : "{}\n");
    int r = tsm_output_check(j->out, err);
    tsm_list_json_free(s);
    return r;
}

void tsm_list_json_free(struct tsm_sink *s)
{
    tsm_free(s);
}
