/* cli/rejects.h: what becomes of rejected lines: told on stderr, and saved to a file that can be ingested. */
#ifndef TSM_CLI_REJECTS_H
#define TSM_CLI_REJECTS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sys/fs.h"

struct tsm_rejects {
    const struct tsm_fs *fs;
    const char *path; /* NULL: they are not saved */
    bool append;      /* to what the file has: the run goes on where another one ended */
    uint64_t show;    /* how many are told */
    uint64_t count;
    void (*before)(void *ctx); /* called before stderr is written to; may be NULL */
    void *ctx;
    /* inside */
    struct tsm_file file;
    bool open;
    struct tsm_buf header; /* the one that was written last */
};

/* Creates the file, if there is to be one. */
int tsm_rejects_open(struct tsm_rejects *r, struct tsm_err *err);
/* text p NULL: the line is gone. header: of a CSV file, or NULL. */
int tsm_rejects_add(struct tsm_rejects *r, const char *file, uint64_t line, struct tsm_str text,
                    const char *cause, const struct tsm_str *header, struct tsm_err *err);
/* Makes durable what has been saved. */
int tsm_rejects_sync(struct tsm_rejects *r, struct tsm_err *err);
/* Says how many were not told; makes the file durable. */
int tsm_rejects_close(struct tsm_rejects *r, struct tsm_err *err);

#endif
