/*
 * result/json.c: the answer as influxd's /query gives it, byte for byte:
 *
 *   {"results":[{"statement_id":0,"series":[{"name":"m","tags":{"a":"b"},"columns":["time"],"values":[[0]]}]}]}
 *
 * With pretty, the same indented by four spaces a level. Members without content are left out, as in Go.
 */
#include "base/alloc.h"
#include "result/impl.h"

#include "base/banned.h"

struct json {
    struct tsm_result_writer w;
    unsigned depth;
    bool any; /* something stands in the innermost open bracket */
    bool any_statement, any_series, any_row, any_message;
};

static void new_line(struct json *j)
{
    if (!j->w.opt.pretty)
        return;
    tsm_buf_byte(&j->w.out->buf, '\n');
    size_t n = 4 * (size_t)j->depth;
    memset(tsm_buf_room(&j->w.out->buf, n), ' ', n);
    j->w.out->buf.len += n;
}

static void next_item(struct json *j)
{
    if (j->any)
        tsm_buf_byte(&j->w.out->buf, ',');
    new_line(j);
    j->any = true;
}

static void open_bracket(struct json *j, char bracket)
{
    tsm_buf_byte(&j->w.out->buf, (uint8_t)bracket);
    j->depth++;
    j->any = false;
}

/* Nothing is ever closed empty. */
static void close_bracket(struct json *j, char bracket)
{
    j->depth--;
    new_line(j);
    tsm_buf_byte(&j->w.out->buf, (uint8_t)bracket);
    j->any = true;
}

static void member(struct json *j, struct tsm_str name)
{
    next_item(j);
    tsm_json_string(&j->w.out->buf, name);
    tsm_buf_puts(&j->w.out->buf, j->w.opt.pretty ? ": " : ":");
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    char text[TSM_NUM_MAX];
    (void)err;
    if (!j->any_statement) {
        open_bracket(j, '{');
        member(j, TSM_STR("results"));
        open_bracket(j, '[');
    }
    j->any_statement = true;
    j->any_series = j->any_message = false;
    next_item(j);
    open_bracket(j, '{');
    member(j, TSM_STR("statement_id"));
    tsm_buf_add(&j->w.out->buf, text, tsm_format_uint(text, id));
    return TSM_OK;
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    struct tsm_buf *out = &j->w.out->buf;
    tsm_time_text_zone(&j->w.time, head->zone);
    if (!j->any_series) {
        member(j, TSM_STR("series"));
        open_bracket(j, '[');
    }
    j->any_series = true;
    j->any_row = false;
    next_item(j);
    open_bracket(j, '{');
    if (head->name.n) {
        member(j, TSM_STR("name"));
        tsm_json_string(out, head->name);
    }
    if (head->ntags) {
        member(j, TSM_STR("tags"));
        open_bracket(j, '{');
        for (size_t i = 0; i < head->ntags; i++) {
            member(j, head->tags[i].key);
            tsm_json_string(out, head->tags[i].value);
        }
        close_bracket(j, '}');
    }
    member(j, TSM_STR("columns"));
    open_bracket(j, '[');
    for (size_t i = 0; i < head->ncolumns; i++) {
        next_item(j);
        tsm_json_string(out, head->columns[i].name);
    }
    close_bracket(j, ']');
    j->w.head = head;
    return tsm_output_check(j->w.out, err);
}

/* A list of strings, in the writer's own lines. */
static void write_list(struct json *j, struct tsm_str s)
{
    bool quoted = false;
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '"') {
            quoted = !quoted;
            if (quoted) {
                next_item(j);
                from = i;
            } else {
                tsm_buf_add(&j->w.out->buf, s.p + from, i + 1 - from);
            }
        } else if (!quoted && s.p[i] == '[') {
            open_bracket(j, '[');
        } else if (!quoted && s.p[i] == ']') {
            close_bracket(j, ']');
        }
    }
}

static void write_cell(struct json *j, const struct tsm_cells *cells, size_t column, size_t row)
{
    if (j->w.head->columns[column].role == TSM_ROLE_JSON && !tsm_cell_is_null(cells, row))
        write_list(j, cells->v.s[row]);
    else
        tsm_json_cell(&j->w.time, &j->w.out->buf, cells, row);
}

static void write_row(struct json *j, const struct tsm_rows *rows, size_t row)
{
    struct tsm_buf *out = &j->w.out->buf;
    size_t n = j->w.head->ncolumns;
    next_item(j);
    if (j->w.opt.pretty) {
        open_bracket(j, '[');
        for (size_t i = 0; i < n; i++) {
            next_item(j);
            write_cell(j, &rows->columns[i], i, row);
        }
        close_bracket(j, ']');
        return;
    }
    for (size_t i = 0; i < n; i++) {
        tsm_buf_byte(out, i ? ',' : '[');
        write_cell(j, &rows->columns[i], i, row);
    }
    tsm_buf_byte(out, ']');
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (rows->n && !j->any_row) {
        member(j, TSM_STR("values"));
        open_bracket(j, '[');
        j->any_row = true;
    }
    for (size_t row = 0; row < rows->n; row++) {
        write_row(j, rows, row);
        int rc = tsm_output_check(j->w.out, err);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (j->any_row)
        close_bracket(j, ']');
    close_bracket(j, '}');
    j->w.head = NULL;
    return tsm_output_check(j->w.out, err);
}

static int message(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (!j->any_message) {
        if (j->any_series)
            close_bracket(j, ']');
        member(j, TSM_STR("messages"));
        open_bracket(j, '[');
    }
    j->any_message = true;
    next_item(j);
    open_bracket(j, '{');
    member(j, TSM_STR("level"));
    tsm_json_string(&j->w.out->buf, tsm_str_of(level));
    member(j, TSM_STR("text"));
    tsm_json_string(&j->w.out->buf, tsm_str_of(text));
    close_bracket(j, '}');
    return tsm_output_check(j->w.out, err);
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (j->w.head) /* the series ended early */
        (void)series_end(s, NULL);
    if (j->any_series || j->any_message)
        close_bracket(j, ']');
    if (error) {
        member(j, TSM_STR("error"));
        tsm_json_string(&j->w.out->buf, tsm_str_of(error));
    }
    close_bracket(j, '}');
    return tsm_output_check(j->w.out, err);
}

static int finish(struct tsm_result_writer *w, struct tsm_err *err)
{
    struct json *j = (struct json *)w;
    if (j->any_statement) {
        close_bracket(j, ']');
        close_bracket(j, '}');
    } else {
        tsm_buf_puts(&w->out->buf, "{}");
    }
    tsm_buf_byte(&w->out->buf, '\n');
    return tsm_output_check(w->out, err);
}

struct tsm_result_writer *tsm_result_json_new(const struct tsm_result_options *opt)
{
    struct json *j = tsm_calloc(1, sizeof *j);
    (void)opt;
    j->w.sink = (struct tsm_sink){statement_begin, series_begin,  write_rows,
                                  series_end,      statement_end, message};
    j->w.finish = finish;
    return &j->w;
}

void tsm_json_error(struct tsm_buf *out, const char *message, bool pretty)
{
    tsm_buf_puts(out, pretty ? "{\n    \"error\": " : "{\"error\":");
    tsm_json_string(out, tsm_str_of(message));
    tsm_buf_puts(out, pretty ? "\n}\n" : "}\n");
}
