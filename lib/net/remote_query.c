/* net/remote_query.c: one POST of /query, whose answer is read as it comes. */
#include "net/remote_query.h"

#include <strings.h>

#include "base/alloc.h"
#include "base/map.h"
#include "net/answer_msgpack.h"
#include "query/parser.h"
#include "result/rows_stream.h"
#include "base/banned.h"

#define MSGPACK_TYPE "application/x-msgpack"

struct remote_query {
    struct tsm_answer_msgpack *answer;
    struct tsm_ast ast; /* of our own parser, which may know less than the server */
    bool parsed;
    struct tsm_map tags; /* "measurement NUL tag key" */
    struct tsm_arena texts;
    struct tsm_buf key; /* scratch */
};

/* ---- which columns are tags -------------------------------------------------------------------- */

static struct tsm_str tag_name(struct tsm_buf *out, struct tsm_str measurement, struct tsm_str column)
{
    tsm_buf_reset(out);
    tsm_buf_str(out, measurement);
    tsm_buf_byte(out, 0);
    tsm_buf_str(out, column);
    return tsm_buf_view(out);
}

static bool is_tag(void *ctx, struct tsm_str measurement, struct tsm_str column)
{
    struct remote_query *q = ctx;
    struct tsm_str name = tag_name(&q->key, measurement, column);
    return tsm_map_get(&q->tags, name, tsm_hash(name)) != TSM_MAP_NONE;
}

/* A sink for the answer of SHOW TAG KEYS. */
struct tag_sink {
    struct tsm_sink sink;
    struct remote_query *q;
    struct tsm_str measurement;
};

static int tags_statement(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s, (void)id, (void)err;
    return TSM_OK;
}

static int tags_series(struct tsm_sink *s, const struct tsm_series_head *head, struct tsm_err *err)
{
    (void)err;
    ((struct tag_sink *)s)->measurement = head->name;
    return TSM_OK;
}

static int tags_rows(struct tsm_sink *s, const struct tsm_rows *rows, struct tsm_err *err)
{
    struct tag_sink *t = (struct tag_sink *)s;
    struct remote_query *q = t->q;
    (void)err;
    for (size_t i = 0; i < rows->n && rows->columns[0].type == TSM_CELL_STRING; i++) {
        struct tsm_str name = tag_name(&q->key, t->measurement, rows->columns[0].v.s[i]);
        uint64_t hash = tsm_hash(name);
        if (tsm_map_get(&q->tags, name, hash) == TSM_MAP_NONE)
            tsm_map_put(&q->tags, tsm_arena_str(&q->texts, name), hash, 1);
    }
    return TSM_OK;
}

static int tags_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s, (void)err;
    return TSM_OK;
}

static int tags_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)s, (void)error, (void)err; /* the query itself will say what is wrong */
    return TSM_OK;
}

/* ---- asking ------------------------------------------------------------------------------------ */

static int take_msgpack(void *ctx, const char *content_type, const uint8_t *p, size_t n, struct tsm_err *err)
{
    struct remote_query *q = ctx;
    if (strncasecmp(content_type, MSGPACK_TYPE, strlen(MSGPACK_TYPE)) != 0)
        return tsm_err_set(err, TSM_ECORRUPT, "the server answers in '%s', not in MessagePack", content_type);
    return tsm_answer_msgpack_feed(q->answer, p, n, err);
}

static int take_rows(void *ctx, const char *content_type, const uint8_t *p, size_t n, struct tsm_err *err)
{
    if (strcasecmp(content_type, TSM_ROWS_CONTENT_TYPE) != 0)
        return tsm_err_set(err, TSM_ECORRUPT, "the server answers in '%s', not in rows", content_type);
    return tsm_rows_reader_feed(ctx, p, n, err);
}

static int refused(long status, const struct tsm_buf *text, struct tsm_err *err)
{
    int code = status == 401 || status == 403   ? TSM_EACCESS
               : status == 400                  ? TSM_EPARSE
               : status == 429 || status == 503 ? TSM_EAGAIN
                                                : TSM_EQUERY;
    return tsm_err_set(err, code, "%.*s", (int)text->len, (const char *)text->data);
}

static int ask(struct tsm_client *c, const struct tsm_remote_query *what, struct tsm_client_request *r,
               struct tsm_err *err)
{
    struct tsm_client_parameter parameters[] = {
        {"q", what->text},
        {"db", what->database},
        {"rp", what->rp},
        {"chunked", TSM_STR("true")},
        {"chunk_size", TSM_STR("10000")},
    };
    struct tsm_buf text = {0};
    long status;
    r->path = "/query";
    r->parameters = parameters;
    r->nparameters = sizeof parameters / sizeof *parameters;
    r->form = true;
    int rc = tsm_client_do(c, r, &status, &text, err);
    if (rc == TSM_OK && status / 100 != 2)
        rc = refused(status, &text, err);
    tsm_buf_release(&text);
    return rc;
}

static int ask_msgpack(struct tsm_client *c, struct remote_query *q, const struct tsm_remote_query *what,
                       const struct tsm_answer_options *opt, uint64_t *rows, struct tsm_err *err)
{
    struct tsm_client_request r = {.accept = MSGPACK_TYPE, .take = take_msgpack, .ctx = q};
    q->answer = tsm_answer_msgpack_new(opt);
    int rc = ask(c, what, &r, err);
    if (rc == TSM_OK)
        rc = tsm_answer_msgpack_end(q->answer, rows, err);
    tsm_answer_msgpack_free(q->answer);
    q->answer = NULL;
    return rc;
}

static int ask_rows(struct tsm_client *c, const struct tsm_remote_query *what, struct tsm_sink *sink,
                    uint64_t *rows, struct tsm_err *err)
{
    struct tsm_rows_reader *reader = tsm_rows_reader_new(sink);
    struct tsm_client_request r = {.accept = TSM_ROWS_CONTENT_TYPE, .take = take_rows, .ctx = reader};
    int rc = ask(c, what, &r, err);
    if (rc == TSM_OK)
        rc = tsm_rows_reader_end(reader, rows, err);
    tsm_rows_reader_free(reader);
    return rc;
}

static int learn_tags(struct tsm_client *c, struct remote_query *q, const struct tsm_remote_query *what,
                      struct tsm_err *err)
{
    struct tag_sink sink = {
        .sink = {tags_statement, tags_series, tags_rows, tags_series_end, tags_end},
        .q = q,
    };
    struct tsm_answer_options opt = {.sink = &sink.sink};
    struct tsm_remote_query show = {.text = TSM_STR("SHOW TAG KEYS"), .database = what->database};
    uint64_t rows;
    int rc = ask_msgpack(c, q, &show, &opt, &rows, err);
    return rc == TSM_EQUERY ? TSM_OK : rc;
}

static bool several(void *ctx, unsigned statement)
{
    const struct remote_query *q = ctx;
    return q->parsed && statement < q->ast.nstatements &&
           tsm_statement_several(&q->ast.statements[statement]);
}

/* Asks an InfluxDB that is none of ours. */
static int ask_foreign(struct tsm_client *c, const struct tsm_remote_query *what, struct tsm_sink *sink,
                       uint64_t *rows, struct tsm_err *err)
{
    struct remote_query q = {0};
    q.parsed = tsm_parse_query(what->text, &q.ast, NULL) == TSM_OK;
    int rc = what->needs_tags ? learn_tags(c, &q, what, err) : TSM_OK;
    struct tsm_answer_options opt = {.sink = sink, .several = several, .ctx = &q};
    if (what->needs_tags)
        opt.is_tag = is_tag;
    if (rc == TSM_OK)
        rc = ask_msgpack(c, &q, what, &opt, rows, err);
    tsm_ast_release(&q.ast);
    tsm_map_release(&q.tags);
    tsm_arena_release(&q.texts);
    tsm_buf_release(&q.key);
    return rc;
}

int tsm_remote_query_run(struct tsm_client *c, const struct tsm_remote_query *what, struct tsm_sink *sink,
                         uint64_t *rows, struct tsm_err *err)
{
    uint64_t none;
    bool ours;
    int rc = tsm_client_is_tsmkit(c, &ours, err);
    if (rc != TSM_OK)
        return rc;
    return ours ? ask_rows(c, what, sink, rows ? rows : &none, err)
                : ask_foreign(c, what, sink, rows ? rows : &none, err);
}
