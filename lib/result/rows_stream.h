/*
 * result/rows_stream.h: the calls of a sink as bytes, and back: how a daemon answers tsm-query, so that every format can be printed
 * at the other end exactly as over a directory. Nothing gets lost: types, nulls, roles of columns, errors, the result's code.
 *
 *   stream  = "TSMR" version(1) frame* end-frame
 *   frame   = type(1) length(4, little-endian) payload
 *   'Q' statement_begin   id
 *   'S' series_begin      flags (1: several, 2: a zone's name follows) [zone] name ntags (key value)* ncolumns (role(1) name)*
 *   'R' rows              n, per column: type(1) | 0x80 when there are nulls, nulls (a byte each), values: 8 bytes little-endian, a
 *                         byte (boolean), or n lengths of 4 bytes and the strings
 *   's' series_end
 *   'm' message           level text
 *   'q' statement_end     has error(1) error
 *   'E' end               code(1, negated) rows message
 *
 * Numbers without a width are varints, texts a length and the bytes.
 */
#ifndef TSM_RESULT_ROWS_STREAM_H
#define TSM_RESULT_ROWS_STREAM_H

#include "query/sink.h"
#include "result/output.h"

#define TSM_ROWS_CONTENT_TYPE "application/x-tsm-rows"

/* The writer borrows out. */
struct tsm_sink *tsm_rows_writer_new(struct tsm_output *out);
/* Ends the stream with what tsm_query_run() returned. */
int tsm_rows_writer_finish(struct tsm_sink *s, int code, uint64_t rows, const char *message,
                           struct tsm_err *err);
void tsm_rows_writer_free(struct tsm_sink *s); /* NULL is allowed */

struct tsm_rows_reader;

/* The reader borrows sink. */
struct tsm_rows_reader *tsm_rows_reader_new(struct tsm_sink *sink);
void tsm_rows_reader_free(struct tsm_rows_reader *r); /* NULL is allowed */
/* Takes the next bytes and calls the sink for every frame that is whole. TSM_ECORRUPT: they are no such stream; else what the sink
 * returned. */
int tsm_rows_reader_feed(struct tsm_rows_reader *r, const uint8_t *p, size_t n, struct tsm_err *err);
/* The bytes have ended: the code and message of the query at the other end. TSM_ECORRUPT when the stream is cut short. */
int tsm_rows_reader_end(struct tsm_rows_reader *r, uint64_t *rows, struct tsm_err *err);

#endif
