/*
 * store/load.h: from input files to an engine or a server: read, cut into whole lines, parse in parallel, write
 * in order.
 */
#ifndef TSM_STORE_LOAD_H
#define TSM_STORE_LOAD_H

#include <stdatomic.h>

#include "format/csv.h"
#include "store/checkpoint.h"
#include "store/engine.h"

struct tsm_load_reject {
    const char *file;
    uint64_t line;       /* from 1 */
    struct tsm_str text; /* as written, without the end of the line; p NULL when it was too long to keep */
    const char *cause;   /* influxd's message */
    const struct tsm_str *header; /* CSV: the header of the file, else NULL */
};

struct tsm_load_progress {
    uint64_t bytes;       /* of text, decompressed */
    uint64_t input_bytes; /* of the input files, as they are */
    uint64_t input_total; /* of all of them; 0 when some are not regular files */
    struct tsm_engine_stats engine;
    uint64_t rejected;
};

/* Where the points go. mark, durable: as tsm_engine_mark() and tsm_engine_durable(). */
struct tsm_load_target {
    void *ctx;
    /* As tsm_engine_write(); an empty batch gives occasion for what is due by the clock. */
    int (*write)(void *ctx, const struct tsm_points *batch, tsm_reject_fn *reject, void *reject_ctx,
                 struct tsm_err *err);
    uint64_t (*mark)(void *ctx);
    uint64_t (*durable)(void *ctx);
    void (*stats)(void *ctx, struct tsm_engine_stats *st);
};
struct tsm_load_target tsm_load_into_engine(struct tsm_engine *e);

struct tsm_load_options {
    char *const *paths; /* "-" is stdin */
    size_t npaths;      /* 0: stdin */
    bool csv;
    struct tsm_csv_options csv_options; /* its line options are not used */
    int64_t unit; /* of timestamps: tsm_precision_unit(). Lines without one get the time of their arrival. */
    unsigned jobs;
    size_t memory; /* for text and points on their way */
    const atomic_bool
        *stop; /* when it becomes true: no more is read, what was read is written. May be NULL. */
    struct tsm_checkpoint
        *checkpoint; /* says where to begin, and learns how far the input is durable; may be NULL */
    /* Before the checkpoint is saved: makes durable what reject() got so far. May be NULL. */
    int (*sync_rejects)(void *ctx, struct tsm_err *err);
    /* Something the user should know. May be NULL; called by any thread. */
    void (*warn)(void *ctx, const char *message);
    /* Called in the order of the input, by any thread, one at a time. */
    int (*reject)(void *ctx, const struct tsm_load_reject *r, struct tsm_err *err);
    void (*progress)(void *ctx, const struct tsm_load_progress *p); /* may be NULL */
    void *ctx;
};

struct tsm_load_result {
    uint64_t bytes;    /* of text */
    uint64_t rejected; /* lines */
    bool stopped;
    bool no_room; /* stopped while it waited for room on the disk: the rest was not taken in */
    char *file;   /* the input that was written last (tsm_free), and how many of its lines */
    uint64_t lines;
};

/* Writes everything; the caller then syncs. *result is filled also on failure. */
int tsm_load_run(const struct tsm_fs *fs, const struct tsm_load_target *target,
                 const struct tsm_load_options *opt, struct tsm_load_result *result, struct tsm_err *err);
void tsm_load_result_release(struct tsm_load_result *r);

#endif
