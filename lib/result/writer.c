/* result/writer.c: choosing a result writer by its format. */
#include "base/alloc.h"
#include "result/impl.h"

#include "base/banned.h"

static const struct {
    const char *name;
    struct tsm_result_writer *(*make)(const struct tsm_result_options *opt);
} formats[] = {
    [TSM_FORMAT_TABLE] = {"table", tsm_result_table_new},
    [TSM_FORMAT_CSV] = {"csv", tsm_result_csv_new},
    [TSM_FORMAT_TSV] = {"tsv", tsm_result_csv_new},
    [TSM_FORMAT_JSON] = {"json", tsm_result_json_new},
    [TSM_FORMAT_JSONL] = {"jsonl", tsm_result_jsonl_new},
    [TSM_FORMAT_LINE] = {"line", tsm_result_line_new},
    [TSM_FORMAT_HTTP_CSV] = {NULL, tsm_result_http_csv_new},
    [TSM_FORMAT_MSGPACK] = {NULL, tsm_result_msgpack_new},
};

bool tsm_format_by_name(struct tsm_str name, enum tsm_format *format)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].name && tsm_str_eq(name, tsm_str_of(formats[i].name))) {
            *format = (enum tsm_format)i;
            return true;
        }
    return false;
}

static int no_statement_begin(struct tsm_sink *s, unsigned id, struct tsm_err *err)
{
    (void)s;
    (void)id;
    (void)err;
    return TSM_OK;
}

static int no_series_end(struct tsm_sink *s, struct tsm_err *err)
{
    (void)s;
    (void)err;
    return TSM_OK;
}

/* Formats without room for an error leave it to the program. */
static int no_statement_end(struct tsm_sink *s, const char *error, struct tsm_err *err)
{
    (void)s;
    (void)error;
    (void)err;
    return TSM_OK;
}

struct tsm_sink *tsm_result_writer_new(const struct tsm_result_options *opt, struct tsm_output *out)
{
    struct tsm_result_writer *w = formats[opt->format].make(opt);
    w->opt = *opt;
    w->out = out;
    tsm_time_text_init(&w->time, opt->epoch_unit);
    if (!w->sink.statement_begin)
        w->sink.statement_begin = no_statement_begin;
    if (!w->sink.series_end)
        w->sink.series_end = no_series_end;
    if (!w->sink.statement_end)
        w->sink.statement_end = no_statement_end;
    return &w->sink;
}

int tsm_result_writer_finish(struct tsm_sink *s, struct tsm_err *err)
{
    struct tsm_result_writer *w = (struct tsm_result_writer *)s;
    int rc = w->finish ? w->finish(w, err) : TSM_OK;
    tsm_result_writer_free(s);
    return rc;
}

void tsm_result_writer_free(struct tsm_sink *s)
{
    struct tsm_result_writer *w = (struct tsm_result_writer *)s;
    if (!w)
        return;
    if (w->release)
        w->release(w);
    tsm_free(w);
}

void tsm_result_error(struct tsm_buf *out, enum tsm_format format, bool pretty, const char *message)
{
    if (format == TSM_FORMAT_MSGPACK)
        tsm_msgpack_error(out, message);
    else if (format == TSM_FORMAT_HTTP_CSV)
        tsm_http_csv_error(out, message);
    else
        tsm_json_error(out, message, pretty);
}
