/*
 * result/output.h: where data goes: a descriptor (standard output), or a function that takes it. Large pieces, checked to the
 * end.
 */
#ifndef TSM_RESULT_OUTPUT_H
#define TSM_RESULT_OUTPUT_H

#include "base/buf.h"
#include "base/err.h"

/* Takes n bytes. TSM_EPIPE when whoever reads has gone. */
typedef int tsm_put_fn(void *ctx, const void *p, size_t n, struct tsm_err *err);

struct tsm_output {
    int fd;          /* -1 with put */
    tsm_put_fn *put; /* or NULL */
    void *ctx;
    struct tsm_buf buf;
    size_t limit;     /* flushed when buf holds more */
    uint64_t written; /* bytes given away */
};

/* limit is 64 KiB, on a terminal 0: there each check writes. */
void tsm_output_init(struct tsm_output *o, int fd);
void tsm_output_init_put(struct tsm_output *o, tsm_put_fn *put, void *ctx);
/* Writes buf out when it is over the limit; call it after appending to o->buf. */
int tsm_output_check(struct tsm_output *o, struct tsm_err *err);
int tsm_output_flush(struct tsm_output *o, struct tsm_err *err);
/* Flushes, closes the descriptor and reports what close said. */
int tsm_output_close(struct tsm_output *o, struct tsm_err *err);
void tsm_output_release(struct tsm_output *o);

#endif
