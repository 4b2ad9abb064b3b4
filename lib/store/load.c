/*
 * store/load.c: from input files to where they go.
 *
 * Pieces of text are read one after the other by whichever thread is free, parsed by several threads at a
 * time, and written in the order in which they were read.
 */
#include "store/load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "base/time.h"
#include "store/load_reader.h"
#include "base/banned.h"

enum {
    LARGEST_PIECE = 256 << 10, /* with its points it fits a second-level cache */
    SMALLEST_PIECE = 16 << 10,
    POINT_BYTES_PER_TEXT = 24, /* the shortest lines take so much more as points than as text */
};

#define SAVE_INTERVAL TSM_SEC /* of the checkpoint */

struct reject {
    uint32_t line; /* in the piece */
    struct tsm_str text;
    size_t cause; /* offset in causes */
};

struct batch {
    struct tsm_load_piece piece;
    struct tsm_points points;
    struct reject *rejects;
    size_t nrejects, caprejects;
    struct tsm_buf causes; /* each terminated */
    struct batch *next;    /* free ones */
};

struct load {
    const struct tsm_load_options *opt;
    const struct tsm_load_target *target;
    struct tsm_load_result *result;
    struct tsm_load_reader reader;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    size_t turn; /* the task that may read */
    bool ended;  /* there is nothing more to read */
    struct batch *free;
    /* of the emitting side */
    struct tsm_load_file *file;
    uint64_t lines; /* of file, before the present piece */
    int64_t saved;  /* when the checkpoint was: monotonic */
};

/* ---- reading and parsing ---- */

static void add_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct batch *b = ctx;
    TSM_GROW(b->rejects, b->nrejects + 1, b->caprejects);
    b->rejects[b->nrejects++] = (struct reject){line, text, b->causes.len};
    tsm_buf_add(&b->causes, cause, strlen(cause) + 1);
}

/* Waits for this task's turn and reads its piece. */
static struct batch *read_piece(struct load *l, size_t task)
{
    pthread_mutex_lock(&l->lock);
    while (l->turn != task)
        pthread_cond_wait(&l->turned, &l->lock);
    struct batch *b = l->free;
    if (b)
        l->free = b->next;
    bool ended = l->ended;
    pthread_mutex_unlock(&l->lock);

    if (!b)
        b = tsm_calloc(1, sizeof *b);
    b->piece.end = ended;
    b->piece.code = TSM_OK;
    if (!ended)
        tsm_load_reader_next(&l->reader, &b->piece);

    pthread_mutex_lock(&l->lock);
    l->ended |= b->piece.end || b->piece.code != TSM_OK;
    l->turn++;
    pthread_cond_broadcast(&l->turned);
    pthread_mutex_unlock(&l->lock);
    return b;
}

static int work(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    struct load *l = ctx;
    (void)thread;
    (void)err;
    struct batch *b = read_piece(l, task);
    *slot = b;
    if (b->piece.text.len == 0)
        return TSM_OK;
    struct tsm_str text = tsm_buf_view(&b->piece.text);
    struct tsm_line_options line = {l->opt->unit, b->piece.now - b->piece.now % l->opt->unit};
    if (b->piece.file->csv)
        tsm_csv_parse(b->piece.file->csv, text, &b->points, add_reject, b);
    else
        tsm_line_parse(text, &line, &b->points, add_reject, b);
    return TSM_OK;
}

/* ---- writing ---- */

/* Empties a batch and keeps it for reuse, unless one long line has made it large. */
static void give_back(struct load *l, struct batch *b)
{
    bool large = b->piece.text.cap > 2 * l->reader.piece + (64 << 10);
    if (large)
        tsm_buf_release(&b->piece.text);
    if (large || b->points.nfields > l->reader.piece)
        tsm_points_release(&b->points);
    tsm_points_reset(&b->points);
    tsm_buf_reset(&b->piece.text);
    tsm_buf_reset(&b->causes);
    b->nrejects = 0;
    b->piece = (struct tsm_load_piece){.text = b->piece.text};
    pthread_mutex_lock(&l->lock);
    b->next = l->free;
    l->free = b;
    pthread_mutex_unlock(&l->lock);
}

static void free_batch(void *ctx, void *slot)
{
    struct batch *b = slot;
    (void)ctx;
    if (!b)
        return;
    tsm_buf_release(&b->piece.text);
    tsm_points_release(&b->points);
    tsm_buf_release(&b->causes);
    tsm_free(b->rejects);
    tsm_free(b);
}

/* How many lines the piece has. The parser has numbered them, so only the last ones have to be counted. */
static uint64_t count_lines(const struct batch *b)
{
    if (b->piece.too_long)
        return 1;
    const char *p = (const char *)b->piece.text.data, *end = p + b->piece.text.len;
    uint64_t lines = 0;
    if (b->points.n) {
        const struct tsm_point *last = &b->points.points[b->points.n - 1];
        p = last->text.p;
        lines = last->line - 1;
    }
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        lines++;
        p++;
    }
    return lines;
}

static int compare_rejects(const void *a, const void *b)
{
    const struct reject *x = a, *y = b;
    return (x->line > y->line) - (x->line < y->line);
}

static int report_rejects(struct load *l, struct batch *b, struct tsm_err *err)
{
    int rc = TSM_OK;
    /* the parser's come before the target's */
    tsm_sort(b->rejects, b->nrejects, sizeof *b->rejects, compare_rejects);
    for (size_t i = 0; i < b->nrejects && rc == TSM_OK; i++) {
        struct tsm_load_reject r = {
            .file = b->piece.file->name,
            .line = l->lines + b->rejects[i].line,
            .text = b->rejects[i].text,
            .cause = (const char *)b->causes.data + b->rejects[i].cause,
            .header = b->piece.file->csv ? &b->piece.file->header : NULL,
        };
        rc = l->opt->reject(l->opt->ctx, &r, err);
    }
    l->result->rejected += b->nrejects;
    return rc;
}

static void report_progress(struct load *l, const struct batch *b)
{
    if (!l->opt->progress)
        return;
    struct tsm_load_progress p = {
        .bytes = l->result->bytes,
        .input_bytes = b->piece.input_bytes,
        .input_total = l->reader.input_total,
        .rejected = l->result->rejected,
    };
    l->target->stats(l->target->ctx, &p.engine);
    l->opt->progress(l->opt->ctx, &p);
}

/* Notes how far the input is written, and saves how far it is durable, now and then. When saving fails, it is done at the
 * end, or fails there. */
static int keep_checkpoint(struct load *l, const struct batch *b, struct tsm_err *err)
{
    struct tsm_checkpoint *c = l->opt->checkpoint;
    if (b->piece.text.len && !b->piece.too_long) {
        struct tsm_checkpoint_place place = b->piece.place;
        place.lines = l->lines;
        tsm_checkpoint_note(c, b->piece.file->path, &place, l->target->mark(l->target->ctx));
    }
    if (!tsm_checkpoint_advance(c, l->target->durable(l->target->ctx)) ||
        tsm_monotonic() - l->saved < SAVE_INTERVAL)
        return TSM_OK;
    int rc = l->opt->sync_rejects ? l->opt->sync_rejects(l->opt->ctx, err) : TSM_OK;
    if (rc == TSM_OK)
        tsm_checkpoint_save(c, NULL);
    l->saved = tsm_monotonic();
    return rc;
}

static int write_batch(struct load *l, struct batch *b, struct tsm_err *err)
{
    if (b->piece.first && b->piece.file) {
        l->file = b->piece.file;
        l->lines = b->piece.file->lines;
    }
    if (b->piece.too_long) {
        char cause[80];
        snprintf(cause, sizeof cause, "line is longer than %zu bytes", l->reader.longest);
        add_reject(b, 1, (struct tsm_str){0}, cause);
    }
    int rc = l->target->write(l->target->ctx, &b->points, add_reject, b, err);
    if (rc == TSM_ENOSPC && l->opt->stop && atomic_load(l->opt->stop)) {
        l->result->no_room = true;
        return TSM_ESTOP;
    }
    if (rc == TSM_OK)
        rc = report_rejects(l, b, err);
    l->lines += count_lines(b);
    if (rc == TSM_OK && l->opt->checkpoint)
        rc = keep_checkpoint(l, b, err);
    l->result->bytes += b->piece.text.len;
    report_progress(l, b);
    return rc;
}

static int emit(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct load *l = ctx;
    struct batch *b = slot;
    (void)task;
    bool end = b->piece.end;
    int rc = end ? TSM_OK : write_batch(l, b, err);
    if (rc == TSM_OK && b->piece.code != TSM_OK) {
        rc = b->piece.code;
        *err = b->piece.err;
    }
    if (rc != TSM_OK)
        atomic_store(&l->reader.quit, true);
    give_back(l, b);
    return rc == TSM_OK && end ? TSM_ESTOP : rc;
}

/* ---- an engine ---- */

static int engine_write(void *ctx, const struct tsm_points *batch, tsm_reject_fn *reject, void *reject_ctx,
                        struct tsm_err *err)
{
    return tsm_engine_write(ctx, batch, reject, reject_ctx, err);
}

static uint64_t engine_mark(void *ctx)
{
    return tsm_engine_mark(ctx);
}

static uint64_t engine_durable(void *ctx)
{
    return tsm_engine_durable(ctx);
}

static void engine_stats(void *ctx, struct tsm_engine_stats *st)
{
    tsm_engine_stats(ctx, st);
}

struct tsm_load_target tsm_load_into_engine(struct tsm_engine *e)
{
    return (struct tsm_load_target){e, engine_write, engine_mark, engine_durable, engine_stats};
}

/* ---- the whole ---- */

int tsm_load_run(const struct tsm_fs *fs, const struct tsm_load_target *target,
                 const struct tsm_load_options *opt, struct tsm_load_result *result, struct tsm_err *err)
{
    *result = (struct tsm_load_result){0};
    struct load l = {.opt = opt, .target = target, .result = result};
    unsigned jobs = opt->jobs ? opt->jobs : 1;
    size_t ahead = jobs > 1 ? 2 * (size_t)jobs + 2 : 1;
    size_t piece = opt->memory / (ahead * POINT_BYTES_PER_TEXT);
    piece = piece > LARGEST_PIECE ? LARGEST_PIECE : piece < SMALLEST_PIECE ? SMALLEST_PIECE : piece;
    int rc = tsm_load_reader_init(&l.reader, fs, opt, piece, err);
    if (rc == TSM_OK) {
        pthread_mutex_init(&l.lock, NULL);
        pthread_cond_init(&l.turned, NULL);
        struct tsm_parallel p = {.jobs = jobs,
                                 .tasks = SIZE_MAX,
                                 .ahead = ahead,
                                 .ctx = &l,
                                 .work = work,
                                 .emit = emit,
                                 .drop = free_batch};
        struct tsm_err cause = {0};
        rc = tsm_parallel_run(&p, &cause);
        if (rc == TSM_ESTOP)
            rc = TSM_OK;
        else if (err)
            *err = cause;
        pthread_cond_destroy(&l.turned);
        pthread_mutex_destroy(&l.lock);
    }
    result->stopped = l.reader.stopped || result->no_room;
    result->file = l.file ? tsm_strdup(l.file->name) : NULL;
    result->lines = l.lines;
    while (l.free) {
        struct batch *b = l.free;
        l.free = b->next;
        free_batch(NULL, b);
    }
    tsm_load_reader_release(&l.reader);
    return rc;
}

void tsm_load_result_release(struct tsm_load_result *r)
{
    tsm_free(r->file);
    *r = (struct tsm_load_result){0};
}
