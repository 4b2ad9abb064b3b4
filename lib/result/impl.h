/* result/impl.h: what the result writers share, for the files of this folder alone. */
#ifndef TSM_RESULT_IMPL_H
#define TSM_RESULT_IMPL_H

#include "result/cell_text.h"
#include "result/writer.h"

struct tsm_result_writer {
    struct tsm_sink sink; /* first: a sink is its writer */
    struct tsm_result_options opt;
    struct tsm_output *out;
    int (*finish)(struct tsm_result_writer *w, struct tsm_err *err);
    void (*release)(struct tsm_result_writer *w); /* what the format has of its own */
    struct tsm_time_text time;
    const struct tsm_series_head *head; /* the series that is being written, or NULL */
};

/* Each allocates its writer and sets the sink's calls, finish and release; NULL calls are filled by the
 * caller with ones that do nothing. */
struct tsm_result_writer *tsm_result_csv_new(const struct tsm_result_options *opt); /* also TSV */
struct tsm_result_writer *tsm_result_json_new(const struct tsm_result_options *opt);
struct tsm_result_writer *tsm_result_jsonl_new(const struct tsm_result_options *opt);
struct tsm_result_writer *tsm_result_line_new(const struct tsm_result_options *opt);
struct tsm_result_writer *tsm_result_table_new(const struct tsm_result_options *opt);
struct tsm_result_writer *tsm_result_http_csv_new(const struct tsm_result_options *opt);
struct tsm_result_writer *tsm_result_msgpack_new(const struct tsm_result_options *opt);

void tsm_http_csv_error(struct tsm_buf *out, const char *message);
void tsm_msgpack_error(struct tsm_buf *out, const char *message);

static inline enum tsm_chunking tsm_result_chunking(const struct tsm_result_writer *w, unsigned statement)
{
    return w->opt.chunking ? w->opt.chunking(w->opt.ctx, statement) : TSM_CHUNK_ROWS;
}

#endif
