/*
 * format/input.h: a byte stream from a file or a pipe, decompressed when it starts with the magic of gzip
 * (several members in a row included) or an LZ4 frame (several frames included).
 */
#ifndef TSM_FORMAT_INPUT_H
#define TSM_FORMAT_INPUT_H

#include "base/err.h"
#include "base/buf.h"

struct tsm_input;

/* Takes over fd (closes it). name is used in messages. */
struct tsm_input *tsm_input_open(int fd, const char *name);
/* Appends at most max bytes to out; *eof is set at the end. TSM_ECORRUPT for a damaged or cut compressed
 * stream (what came before it has been delivered). It reads from the descriptor once at the
 * most, and not at all while it has something, so that of a pipe it gives what is there, which may be nothing. */
int tsm_input_read(struct tsm_input *in, struct tsm_buf *out, size_t max, bool *eof, struct tsm_err *err);
/* The same of what has been read from the input already, and never waits: nothing at all may come. */
int tsm_input_drain(struct tsm_input *in, struct tsm_buf *out, size_t max, struct tsm_err *err);
/* Passes over at most n bytes of the text; *skipped is less only at the end. Plain files are not read for it. */
int tsm_input_skip(struct tsm_input *in, uint64_t n, uint64_t *skipped, struct tsm_err *err);
void tsm_input_close(struct tsm_input *in);

#endif
