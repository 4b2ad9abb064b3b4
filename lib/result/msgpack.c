/*
 * result/msgpack.c: the answer in MessagePack, byte for byte as influxd's encoder (tinylib/msgp) writes it: integers that are not
 * negative in the shortest signed form, floats always in 64 bits, times as extension 5 of seconds and nanoseconds.
 *
 * A map or an array says first how much is in it, so each level is collected until it is complete, and a document is given away
 * as a whole: one in all, or with chunk_rows one per chunk.
 */
#include <jansson.h>
#include <msgpack.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/time.h"
#include "result/impl.h"
#include "result/row_limit.h"

#include "base/banned.h"

enum { EXT_TIME = 5, EXT_TIME_BYTES = 12 };

struct msgpack_writer {
    struct tsm_result_writer w;
    struct tsm_buf results, series, values; /* what has been collected of each level */
    uint32_t nresults, nseries, nvalues;
    unsigned statement;
    enum tsm_chunking chunking; /* of the statement */
    bool any_chunk, in_statement;
    struct tsm_buf messages; /* of the statement */
    uint32_t nmessages;
    struct tsm_buf head; /* of the series: name, tags and columns; begins behind the number of members */
    uint32_t head_members;
    struct tsm_row_limit limit;
    bool cut, partial; /* as in json.c */
    bool given;
};

static int append(void *data, const char *p, size_t n)
{
    tsm_buf_add(data, p, n);
    return 0;
}

static msgpack_packer packer(struct tsm_buf *out)
{
    msgpack_packer p;
    msgpack_packer_init(&p, out, append);
    return p;
}

static void put_text(struct tsm_buf *out, struct tsm_str s)
{
    msgpack_packer p = packer(out);
    msgpack_pack_str(&p, s.n);
    msgpack_pack_str_body(&p, s.p, s.n);
}

static void put_map(struct tsm_buf *out, size_t n)
{
    msgpack_packer p = packer(out);
    msgpack_pack_map(&p, n);
}

static void put_array(struct tsm_buf *out, size_t n)
{
    msgpack_packer p = packer(out);
    msgpack_pack_array(&p, n);
}

static void put_true(struct tsm_buf *out, const char *name)
{
    msgpack_packer p = packer(out);
    put_text(out, tsm_str_of(name));
    msgpack_pack_true(&p);
}

static void put_integer(msgpack_packer *p, int64_t v)
{
    if (v < 0 || v <= INT8_MAX)
        msgpack_pack_int64(p, v);
    else if (v <= INT16_MAX)
        msgpack_pack_fix_int16(p, (int16_t)v);
    else if (v <= INT32_MAX)
        msgpack_pack_fix_int32(p, (int32_t)v);
    else
        msgpack_pack_fix_int64(p, v);
}

static void put_time(const struct msgpack_writer *m, msgpack_packer *p, int64_t t)
{
    if (m->w.opt.epoch_unit) {
        put_integer(p, t / m->w.opt.epoch_unit);
        return;
    }
    uint8_t bytes[EXT_TIME_BYTES];
    int64_t seconds = t / TSM_SEC - (t % TSM_SEC < 0);
    tsm_put_be64(bytes, (uint64_t)seconds);
    tsm_put_be32(bytes + 8, (uint32_t)(t - seconds * TSM_SEC));
    msgpack_pack_ext(p, sizeof bytes, EXT_TIME);
    msgpack_pack_ext_body(p, bytes, sizeof bytes);
}

/* A string that is a list of strings in JSON (TSM_ROLE_JSON), as an array. */
static void put_list(struct tsm_buf *out, struct tsm_str s)
{
    json_t *list = json_loadb(s.p, s.n, 0, NULL);
    put_array(out, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        put_text(out, tsm_str(json_is_string(item) ? json_string_value(item) : "", json_string_length(item)));
    }
    json_decref(list);
}

static void put_cell(const struct msgpack_writer *m, struct tsm_buf *out, const struct tsm_cells *c,
                     size_t row)
{
    msgpack_packer p = packer(out);
    if (tsm_cell_is_null(c, row)) {
        msgpack_pack_nil(&p);
        return;
    }
    switch (c->type) {
    case TSM_CELL_FLOAT:
        msgpack_pack_double(&p, c->v.f[row]);
        break;
    case TSM_CELL_INTEGER:
        put_integer(&p, c->v.i[row]);
        break;
    case TSM_CELL_UNSIGNED:
        msgpack_pack_uint64(&p, c->v.u[row]);
        break;
    case TSM_CELL_BOOLEAN:
        c->v.b[row] ? msgpack_pack_true(&p) : msgpack_pack_false(&p);
        break;
    case TSM_CELL_STRING:
        put_text(out, c->v.s[row]);
        break;
    case TSM_CELL_TIME:
        put_time(m, &p, c->v.i[row]);
        break;
    }
}

/* ---- levels -------------------------------------------------------------------------------------- */

/* Gives the document away that consists of the results so far. */
static int give_document(struct msgpack_writer *m, struct tsm_err *err)
{
    struct tsm_buf *out = &m->w.out->buf;
    put_map(out, 1);
    put_text(out, TSM_STR("results"));
    put_array(out, m->nresults);
    tsm_buf_str(out, tsm_buf_view(&m->results));
    tsm_buf_reset(&m->results);
    m->nresults = 0;
    if (!m->given && m->w.opt.chunk_rows) {
        m->given = true;
        return tsm_output_flush(m->w.out, err);
    }
    return tsm_output_check(m->w.out, err);
}

static void close_series(struct msgpack_writer *m, bool partial)
{
    put_map(&m->series, m->head_members + 1 + partial);
    tsm_buf_str(&m->series, tsm_buf_view(&m->head));
    put_text(&m->series, TSM_STR("values"));
    put_array(&m->series, m->nvalues);
    tsm_buf_str(&m->series, tsm_buf_view(&m->values));
    if (partial)
        put_true(&m->series, "partial");
    tsm_buf_reset(&m->values);
    m->nvalues = 0;
    m->nseries++;
}

static void close_result(struct msgpack_writer *m, bool partial)
{
    struct tsm_buf *out = &m->results;
    bool messages = m->nmessages && !partial;
    msgpack_packer p = packer(out);
    put_map(out, 2u + messages + partial);
    put_text(out, TSM_STR("statement_id"));
    put_integer(&p, m->statement);
    if (messages) {
        put_text(out, TSM_STR("messages"));
        put_array(out, m->nmessages);
        tsm_buf_str(out, tsm_buf_view(&m->messages));
    }
    put_text(out, TSM_STR("series"));
    put_array(out, m->nseries);
    tsm_buf_str(out, tsm_buf_view(&m->series));
    if (partial)
        put_true(out, "partial");
    tsm_buf_reset(&m->series);
    m->nseries = 0;
    m->nresults++;
}

static int close_chunk(struct msgpack_writer *m, bool more, struct tsm_err *err)
{
    m->any_chunk = true;
    close_result(m, more);
    return give_document(m, err);
}

/* ---- the sink ------------------------------------------------------------------------------------ */

static int stop(struct tsm_err *err)
{
    return tsm_err_set(err, TSM_ESTOP, "the limit of rows is reached");
}

static int statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    if (tsm_limit_reached(&m->limit))
        return stop(err);
    m->statement = id;
    m->chunking = tsm_result_chunking(&m->w, id);
    m->any_chunk = false;
    tsm_limit_statement(&m->limit, m->chunking == TSM_CHUNK_ROWS);
    m->in_statement = true;
    tsm_buf_reset(&m->messages);
    m->nmessages = 0;
    return TSM_OK;
}

static int series_begin(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    enum tsm_limit_says says = tsm_limit_series(&m->limit);
    if (says != TSM_LIMIT_WRITE) {
        m->partial = says == TSM_LIMIT_STOP_PARTIAL;
        return stop(err);
    }
    if (m->w.opt.chunk_rows && m->chunking == TSM_CHUNK_ROWS && m->nseries) {
        int rc = close_chunk(m, true, err);
        if (rc != TSM_OK)
            return rc;
    }
    tsm_buf_reset(&m->head);
    m->head_members = 1;
    if (head->name.n) {
        put_text(&m->head, TSM_STR("name"));
        put_text(&m->head, head->name);
        m->head_members++;
    }
    if (head->ntags) {
        put_text(&m->head, TSM_STR("tags"));
        put_map(&m->head, head->ntags);
        for (size_t i = 0; i < head->ntags; i++) {
            put_text(&m->head, head->tags[i].key);
            put_text(&m->head, head->tags[i].value);
        }
        m->head_members++;
    }
    put_text(&m->head, TSM_STR("columns"));
    put_array(&m->head, head->ncolumns);
    for (size_t i = 0; i < head->ncolumns; i++)
        put_text(&m->head, head->columns[i].name);
    m->w.head = head;
    return TSM_OK;
}

static int check_size(const struct msgpack_writer *m, struct tsm_err *err)
{
    size_t limit = m->w.opt.document_max;
    if (limit && m->values.len + m->series.len + m->results.len > limit)
        return tsm_err_set(err, TSM_ELIMIT,
                           "the answer is too large for one document of MessagePack: ask for chunks");
    return TSM_OK;
}

static int write_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    for (size_t row = 0; row < rows->n; row++) {
        enum tsm_limit_says says = tsm_limit_row(&m->limit);
        if (says != TSM_LIMIT_WRITE) {
            m->cut = true;
            m->partial = says == TSM_LIMIT_STOP_PARTIAL;
            if (says != TSM_LIMIT_SKIP)
                return stop(err);
            continue;
        }
        if (m->w.opt.chunk_rows && m->chunking == TSM_CHUNK_ROWS && m->nvalues == m->w.opt.chunk_rows) {
            close_series(m, true);
            int rc = close_chunk(m, true, err);
            if (rc != TSM_OK)
                return rc;
        }
        put_array(&m->values, m->w.head->ncolumns);
        for (size_t i = 0; i < m->w.head->ncolumns; i++) {
            const struct tsm_cells *c = &rows->columns[i];
            if (m->w.head->columns[i].role == TSM_ROLE_JSON && c->type == TSM_CELL_STRING &&
                !tsm_cell_is_null(c, row))
                put_list(&m->values, c->v.s[row]);
            else
                put_cell(m, &m->values, c, row);
        }
        m->nvalues++;
    }
    return check_size(m, err);
}

static int series_end(struct tsm_sink *s, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    close_series(m, m->cut);
    m->w.head = NULL;
    m->cut = false;
    if (m->w.opt.chunk_rows && m->chunking == TSM_CHUNK_SERIES)
        return close_chunk(m, false, err);
    return check_size(m, err);
}

static int message(struct tsm_sink *s, const char *level, const char *text, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    (void)err;
    put_map(&m->messages, 2);
    put_text(&m->messages, TSM_STR("level"));
    put_text(&m->messages, tsm_str_of(level));
    put_text(&m->messages, TSM_STR("text"));
    put_text(&m->messages, tsm_str_of(text));
    m->nmessages++;
    return TSM_OK;
}

static int statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)s;
    m->in_statement = false;
    m->w.head = NULL;
    if (error) { /* influxd answers with it alone */
        tsm_buf_reset(&m->values);
        tsm_buf_reset(&m->series);
        m->nvalues = m->nseries = 0;
        put_map(&m->results, 1);
        put_text(&m->results, TSM_STR("error"));
        put_text(&m->results, tsm_str_of(error));
        m->nresults++;
    } else if (m->w.opt.chunk_rows && m->chunking == TSM_CHUNK_SERIES && m->any_chunk) {
        return TSM_OK;
    } else {
        close_result(m, false);
    }
    return m->w.opt.chunk_rows ? give_document(m, err) : check_size(m, err);
}

static int finish(struct tsm_result_writer *w, struct tsm_err *err)
{
    struct msgpack_writer *m = (struct msgpack_writer *)w;
    if (m->w.opt.chunk_rows)
        return TSM_OK;
    if (m->in_statement) { /* the limit of rows was reached in it */
        if (m->w.head)
            close_series(m, m->cut);
        close_result(m, m->partial);
    }
    return give_document(m, err);
}

static void release(struct tsm_result_writer *w)
{
    struct msgpack_writer *m = (struct msgpack_writer *)w;
    tsm_buf_release(&m->results);
    tsm_buf_release(&m->series);
    tsm_buf_release(&m->values);
    tsm_buf_release(&m->head);
    tsm_buf_release(&m->messages);
}

struct tsm_result_writer *tsm_result_msgpack_new(const struct tsm_result_options *opt)
{
    struct msgpack_writer *m = tsm_calloc(1, sizeof *m);
    m->w.sink = (struct tsm_sink){statement_begin, series_begin,  write_rows,
                                  series_end,      statement_end, message};
    m->limit.limit = opt->chunk_rows ? 0 : opt->row_limit;
    m->w.finish = finish;
    m->w.release = release;
    return &m->w;
}

void tsm_msgpack_error(struct tsm_buf *out, const char *message)
{
    put_map(out, 1);
    put_text(out, TSM_STR("error"));
    put_text(out, tsm_str_of(message));
}
