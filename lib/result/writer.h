/*
 * result/writer.h: result writers: the forms in which a query's answer is printed.
 */
#ifndef TSM_RESULT_WRITER_H
#define TSM_RESULT_WRITER_H

#include "result/output.h"
#include "query/sink.h"

enum tsm_format {
    TSM_FORMAT_TABLE,
    TSM_FORMAT_CSV,
    TSM_FORMAT_TSV,
    TSM_FORMAT_JSON,
    TSM_FORMAT_JSONL,
    TSM_FORMAT_LINE,
    /* A server's, without a name: */
    TSM_FORMAT_HTTP_CSV, /* influxd's CSV: name, tags, columns */
    TSM_FORMAT_MSGPACK,  /* influxd's MessagePack; each document is held until it is complete */
};

/* How influxd cuts the answer of a statement into chunks. */
enum tsm_chunking {
    TSM_CHUNK_ROWS,   /* SELECT, and what it makes of one: so many rows of a series */
    TSM_CHUNK_SERIES, /* a series each */
    TSM_CHUNK_WHOLE,
};

struct tsm_result_options {
    enum tsm_format format;
    int64_t epoch_unit; /* nanoseconds per unit; 0: RFC 3339 */
    bool pretty;        /* JSON: influxd's pretty=true */
    bool header;        /* CSV and TSV */
    /* Of a server; JSON and MessagePack, in HTTP_CSV row_limit and chunk_rows: */
    uint64_t chunk_rows; /* influxd's chunked=true: a document per so many rows of a series; 0: one in all */
    uint64_t row_limit;  /* after so many rows the writer wants no more (TSM_ESTOP); 0: any number */
    size_t document_max; /* MessagePack: bytes of a document, beyond that TSM_ELIMIT; 0: any number */
    enum tsm_chunking (*chunking)(void *ctx, unsigned statement); /* NULL: rows */
    void *ctx;
};

bool tsm_format_by_name(struct tsm_str name, enum tsm_format *format);
/* The writer borrows out. */
struct tsm_sink *tsm_result_writer_new(const struct tsm_result_options *opt, struct tsm_output *out);
/* Ends the document ("]}" of JSON); then frees. */
int tsm_result_writer_finish(struct tsm_sink *s, struct tsm_err *err);
void tsm_result_writer_free(struct tsm_sink *s); /* for error paths, without ending the document */

/* What a server answers when it refuses a request, in the format of the request. */
void tsm_result_error(struct tsm_buf *out, enum tsm_format format, bool pretty, const char *message);

/* The document with which influxd refuses a query that it cannot parse: {"error":"…"} and a newline. */
void tsm_json_error(struct tsm_buf *out, const char *message, bool pretty);

#endif
