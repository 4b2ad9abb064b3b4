/*
 * result/json.c: the answer as influxd's /query gives it, byte for byte:
 *
 *   {"results":[{"statement_id":0,"series":[{"name":"m","tags":{"a":"b"},"columns":["time"],"values":[[0]]}]}]}
 *
 * With pretty, the same indented by four spaces a level. Members without content are left out, as in Go. With chunk_rows, a document
 * of this kind per chunk: "partial":true says that the series, or the statement, goes on in the next one.
 */
#include "base/alloc.h"
#include "base/time.h"
#include "result/impl.h"
#include "result/row_limit.h"

#include "base/banned.h"

#define TSM_CHUNK_PAUSE (20 * TSM_MSEC) /* between two chunks that are given away by themselves */

struct json {
    struct tsm_result_writer w;
    unsigned depth;
    bool any; /* something stands in the innermost open bracket */
    bool any_document, any_statement, any_series, any_row;
    bool open; /* a document is open (chunk_rows: a chunk) and in it, but for the end, a statement */
    enum tsm_chunking chunking; /* of the present statement */
    bool any_chunk;             /* of it */
    unsigned statement;         /* the present one */
    size_t
        from; /* where its document or its part of one begins in out->buf, when written has not changed since */
    uint64_t written;
    bool from_first;         /* of any at from */
    struct tsm_buf messages; /* of the statement: level NUL text NUL */
    size_t nmessages;
    struct tsm_row_limit limit;
    bool cut;            /* rows of the series are missing */
    bool partial;        /* of the statement, at the limit */
    uint64_t chunk_rows; /* in the open chunk */
    int64_t flushed;     /* when a chunk was last given away */
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

/* ---- documents and statements -------------------------------------------------------------------- */

static bool is_chunked(const struct json *j)
{
    return j->w.opt.chunk_rows != 0;
}

static void open_document(struct json *j)
{
    open_bracket(j, '{');
    member(j, TSM_STR("results"));
    open_bracket(j, '[');
    j->open = true;
    j->any_document = true;
}

static void close_document(struct json *j)
{
    close_bracket(j, ']');
    close_bracket(j, '}');
    tsm_buf_byte(&j->w.out->buf, '\n');
    j->open = false;
    j->any = false;
}

/* Remembers the place, to come back when the statement fails before anything of it was given away. */
static void mark(struct json *j)
{
    j->from = j->w.out->buf.len;
    j->written = j->w.out->written;
    j->from_first = j->any;
}

static void open_statement(struct json *j)
{
    char text[TSM_NUM_MAX];
    next_item(j);
    open_bracket(j, '{');
    member(j, TSM_STR("statement_id"));
    tsm_buf_add(&j->w.out->buf, text, tsm_format_uint(text, j->statement));
    j->any_series = false;
}

static void write_true(struct json *j, struct tsm_str name)
{
    member(j, name);
    tsm_buf_puts(&j->w.out->buf, "true");
}

static void write_messages(struct json *j)
{
    if (!j->nmessages)
        return;
    member(j, TSM_STR("messages"));
    open_bracket(j, '[');
    const char *p = (const char *)j->messages.data;
    for (size_t i = 0; i < j->nmessages; i++) {
        next_item(j);
        open_bracket(j, '{');
        member(j, TSM_STR("level"));
        tsm_json_string(&j->w.out->buf, tsm_str_of(p));
        p += strlen(p) + 1;
        member(j, TSM_STR("text"));
        tsm_json_string(&j->w.out->buf, tsm_str_of(p));
        p += strlen(p) + 1;
        close_bracket(j, '}');
    }
    close_bracket(j, ']');
}

static void close_statement(struct json *j, bool partial, const char *error)
{
    if (j->any_series)
        close_bracket(j, ']');
    if (!error && !partial)
        write_messages(j);
    if (partial)
        write_true(j, TSM_STR("partial"));
    if (error) {
        member(j, TSM_STR("error"));
        tsm_json_string(&j->w.out->buf, tsm_str_of(error));
    }
    close_bracket(j, '}');
}

static void close_series(struct json *j, bool partial)
{
    if (j->any_row)
        close_bracket(j, ']');
    if (partial)
        write_true(j, TSM_STR("partial"));
    close_bracket(j, '}');
}

/* ---- chunks -------------------------------------------------------------------------------------- */

/* The reader gets the first chunk at once, and later ones when they took their time. */
static int give_chunk(struct json *j, struct tsm_err *err)
{
    int64_t now = tsm_monotonic();
    if (j->flushed && now - j->flushed < TSM_CHUNK_PAUSE)
        return tsm_output_check(j->w.out, err);
    j->flushed = now;
    return tsm_output_flush(j->w.out, err);
}

static int close_chunk(struct json *j, bool more, struct tsm_err *err)
{
    close_statement(j, more, NULL);
    close_document(j);
    return give_chunk(j, err);
}

static void open_chunk(struct json *j)
{
    mark(j);
    open_document(j);
    open_statement(j);
    j->any_chunk = true;
    j->chunk_rows = 0;
}

/* ---- the sink ------------------------------------------------------------------------------------ */

static int stop(struct tsm_err *err)
{
    return tsm_err_set(err, TSM_ESTOP, "the limit of rows is reached");
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (tsm_limit_reached(&j->limit))
        return stop(err);
    j->statement = id;
    tsm_buf_reset(&j->messages);
    j->nmessages = 0;
    j->chunking = tsm_result_chunking(&j->w, id);
    j->any_chunk = false;
    tsm_limit_statement(&j->limit, j->chunking == TSM_CHUNK_ROWS);
    if (is_chunked(j))
        return TSM_OK;
    if (!j->any_document)
        open_document(j);
    j->any_statement = true;
    mark(j);
    open_statement(j);
    return TSM_OK;
}

static void write_head(struct json *j, const struct tsm_series_head *head)
{
    struct tsm_buf *out = &j->w.out->buf;
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
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    enum tsm_limit_says says = tsm_limit_series(&j->limit);
    if (says != TSM_LIMIT_WRITE) {
        j->partial = says == TSM_LIMIT_STOP_PARTIAL;
        return stop(err);
    }
    if (is_chunked(j) && !(j->chunking == TSM_CHUNK_WHOLE && j->open)) {
        int rc = j->open ? close_chunk(j, true, err) : TSM_OK;
        if (rc != TSM_OK)
            return rc;
        open_chunk(j);
    }
    tsm_time_text_zone(&j->w.time, head->zone);
    write_head(j, head);
    j->w.head = head;
    return tsm_output_check(j->w.out, err);
}

/* A list of strings, in the writer's own lines. */
static void write_list(struct json *j, struct tsm_str s)
{
    bool quoted = false;
    size_t from = 0;
    unsigned outside = j->depth; /* the text may come from elsewhere: it must not close more than it opened */
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
        } else if (!quoted && s.p[i] == ']' && j->depth > outside) {
            close_bracket(j, ']');
        }
    }
    while (j->depth > outside)
        close_bracket(j, ']');
}

static void write_cell(struct json *j, const struct tsm_cells *cells, size_t column, size_t row)
{
    if (j->w.head->columns[column].role == TSM_ROLE_JSON && cells->type == TSM_CELL_STRING &&
        !tsm_cell_is_null(cells, row))
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

/* Before a row: where a chunk is full. */
static int make_room(struct json *j, struct tsm_err *err)
{
    if (is_chunked(j) && j->chunking == TSM_CHUNK_ROWS && j->chunk_rows == j->w.opt.chunk_rows) {
        close_series(j, true);
        int rc = close_chunk(j, true, err);
        if (rc != TSM_OK)
            return rc;
        open_chunk(j);
        write_head(j, j->w.head);
    }
    if (!j->any_row) {
        member(j, TSM_STR("values"));
        open_bracket(j, '[');
        j->any_row = true;
    }
    return TSM_OK;
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    for (size_t row = 0; row < rows->n; row++) {
        enum tsm_limit_says says = tsm_limit_row(&j->limit);
        if (says != TSM_LIMIT_WRITE) {
            j->cut = true;
            j->partial = says == TSM_LIMIT_STOP_PARTIAL;
            if (says != TSM_LIMIT_SKIP)
                return stop(err);
            continue;
        }
        int rc = make_room(j, err);
        if (rc != TSM_OK)
            return rc;
        write_row(j, rows, row);
        j->chunk_rows++;
        rc = tsm_output_check(j->w.out, err);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    close_series(j, j->cut);
    j->w.head = NULL;
    j->cut = false;
    if (is_chunked(j) && j->chunking == TSM_CHUNK_SERIES)
        return close_chunk(j, false, err);
    return tsm_output_check(j->w.out, err);
}

/* Takes back what there is of a statement, or of its last chunk, when nothing of that has been given away: influxd answers with
 * the error alone. False when it is too late. */
static bool take_back(struct json *j)
{
    if (j->written != j->w.out->written || j->w.out->buf.len < j->from)
        return false;
    j->w.out->buf.len = j->from;
    j->any = j->from_first;
    j->w.head = NULL;
    return true;
}

static int end_chunked(struct json *j, const char *error, struct tsm_err *err)
{
    if (error && j->open && take_back(j)) {
        j->open = false;
        j->depth = 0;
    }
    if (j->open) {
        if (j->w.head)
            close_series(j, false);
        j->w.head = NULL;
        int rc = close_chunk(j, error != NULL, err);
        if (rc != TSM_OK || !error)
            return rc;
    } else if (!error && j->any_chunk) {
        return TSM_OK;
    }
    open_document(j);
    open_statement(j);
    close_statement(j, false, error);
    close_document(j);
    return give_chunk(j, err);
}

/* It stands behind the series: kept until the statement ends. */
static int message(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    (void)err;
    tsm_buf_add(&j->messages, level, strlen(level) + 1);
    tsm_buf_add(&j->messages, text, strlen(text) + 1);
    j->nmessages++;
    return TSM_OK;
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct json *j = (struct json *)s;
    if (is_chunked(j))
        return end_chunked(j, error, err);
    if (error && take_back(j)) {
        j->depth = 2;
        open_statement(j);
    }
    if (j->w.head) /* the series ended early */
        (void)series_end(s, NULL);
    close_statement(j, false, error);
    j->any_statement = false;
    return tsm_output_check(j->w.out, err);
}

static int finish(struct tsm_result_writer *w, struct tsm_err *err)
{
    struct json *j = (struct json *)w;
    if (is_chunked(j))
        return TSM_OK;
    if (j->any_statement) { /* the limit of rows was reached in it */
        if (j->w.head)
            close_series(j, j->cut);
        close_statement(j, j->partial, NULL);
    }
    if (j->open)
        close_document(j);
    else
        tsm_buf_puts(&w->out->buf, "{}\n");
    return tsm_output_check(w->out, err);
}

static void release(struct tsm_result_writer *w)
{
    tsm_buf_release(&((struct json *)w)->messages);
}

struct tsm_result_writer *tsm_result_json_new(const struct tsm_result_options *opt)
{
    struct json *j = tsm_calloc(1, sizeof *j);
    j->w.sink = (struct tsm_sink){statement_begin, series_begin,  write_rows,
                                  series_end,      statement_end, message};
    j->limit.limit = opt->chunk_rows ? 0 : opt->row_limit;
    j->w.finish = finish;
    j->w.release = release;
    return &j->w;
}

void tsm_json_error(struct tsm_buf *out, const char *message, bool pretty)
{
    tsm_buf_puts(out, pretty ? "{\n    \"error\": " : "{\"error\":");
    tsm_json_string(out, tsm_str_of(message));
    tsm_buf_puts(out, pretty ? "\n}\n" : "}\n");
}
