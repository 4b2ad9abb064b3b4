/*
 * cli/output.h: stdout for data: large writes, checked to the end.
 */
#ifndef TSM_CLI_OUTPUT_H
#define TSM_CLI_OUTPUT_H

#include "base/buf.h"
#include "base/err.h"

struct tsm_output {
    int fd;
    struct tsm_buf buf;
    size_t limit;     /* flushed when buf holds more */
    uint64_t written; /* bytes given to fd */
};

/* limit is 64 KiB, on a terminal 0: there each check writes. */
void tsm_output_init(struct tsm_output *o, int fd);
/* Writes buf out when it is over the limit; call it after appending to o->buf. */
int tsm_output_check(struct tsm_output *o, struct tsm_err *err);
int tsm_output_flush(struct tsm_output *o, struct tsm_err *err);
/* Flushes, closes the descriptor and reports what close said. */
int tsm_output_close(struct tsm_output *o, struct tsm_err *err);
void tsm_output_release(struct tsm_output *o);

#endif
