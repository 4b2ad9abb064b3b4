/*
 * store/compaction_merge.c: the inputs of a compaction written into one file.
 *
 * The keys are cut into tasks of about the same size, which are merged in parallel and written in order. When the result of a task
 * needs more than its share of memory, the rest of it is merged when its turn to be written has come. So memory is bounded even
 * when one key has nearly everything, and the output is the same whatever the tasks are.
 */
#include "store/compaction_merge.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/time.h"
#include "store/compaction_key.h"
#include "base/banned.h"

enum {
    AHEAD = 4,             /* tasks per thread that may be merged and not written yet */
    TASK_MIN = 64 << 10,   /* bytes of input */
    TASK_MAX = 2 << 20,    /* … */
    FORGET_KEYS = 1 << 16, /* so many keys, … */
    FORGET_TASKS = 16,     /* … or tasks, are gone through before their pages are given up */
    INDEX_SHARE = 8,       /* of the memory, for the index of the output */
    TASKS_SHARE = 4,       /* of the memory, for tasks that are not written yet */
    PAUSE = 50 * 1000000,  /* nanoseconds, at the most, between two looks at whether to stop */
};

struct writing {
    struct tsm_merge *m;
    struct tsm_writer *w;
    size_t *tasks; /* task i has the keys [tasks[i], tasks[i + 1]) */
    size_t ntasks, captasks;
    size_t limit;                    /* memory of a task's result */
    struct tsm_key_merger **mergers; /* per thread */
    uint64_t in_blocks;
    int64_t started;   /* monotonic */
    uint64_t written;  /* bytes since */
    size_t *at;        /* per input: keys whose blocks and index have been forgotten */
    size_t tasks_kept; /* written since */
};

/* The result of a task. */
struct result {
    struct tsm_out_blocks out;
    struct tsm_key_merger *rest; /* has more of it; NULL: that is all */
};

/* ---- tasks ---- */

static uint64_t bytes_of_key(const struct tsm_shard *s, size_t key)
{
    uint64_t bytes = 0;
    struct tsm_place single;
    size_t nplaces;
    const struct tsm_place *places = tsm_shard_places(s, key, &single, &nplaces);
    for (size_t i = 0; i < nplaces; i++) {
        const struct tsm_reader *r = s->files[places[i].file];
        size_t n = tsm_reader_entries(r, places[i].position);
        for (size_t k = 0; k < n; k++)
            bytes += tsm_reader_entry(r, places[i].position, k).size;
    }
    return bytes;
}

/* Everything in the inputs before a key of the shard has been gone through. */
static void forget(struct writing *w, size_t key, bool blocks)
{
    const struct tsm_shard *s = w->m->inputs;
    bool found;
    for (size_t i = 0; i < s->nfiles; i++) {
        const struct tsm_reader *r = s->files[i];
        size_t to = key < s->nkeys ? tsm_reader_seek(r, tsm_shard_key(s, key), &found) : r->nkeys;
        tsm_reader_forget(r, w->at[i], to, blocks);
        w->at[i] = to;
    }
}

static void plan_tasks(struct writing *w)
{
    const struct tsm_shard *s = w->m->inputs;
    unsigned jobs = w->m->run->jobs ? w->m->run->jobs : 1;
    size_t share = w->m->run->memory / TASKS_SHARE / (jobs * (AHEAD + 1)) / 2;
    size_t size = share < TASK_MIN ? TASK_MIN : share > TASK_MAX ? TASK_MAX : share;
    w->limit = 2 * size;
    uint64_t bytes = 0;
    for (size_t key = 0; key < s->nkeys; key++) {
        if (key % FORGET_KEYS == FORGET_KEYS - 1)
            forget(w, key, false);
        if (key == 0 || bytes >= size) {
            TSM_GROW(w->tasks, w->ntasks + 2, w->captasks);
            w->tasks[w->ntasks++] = key;
            bytes = 0;
        }
        bytes += bytes_of_key(s, key);
    }
    if (w->ntasks)
        w->tasks[w->ntasks] = s->nkeys;
    memset(w->at, 0, s->nfiles * sizeof *w->at);
}

static void free_result(void *ctx, void *slot)
{
    (void)ctx;
    struct result *r = slot;
    if (!r)
        return;
    tsm_key_merger_free(r->rest);
    tsm_out_blocks_release(&r->out);
    tsm_free(r);
}

static int work(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    struct writing *w = ctx;
    struct result *r = tsm_calloc(1, sizeof *r);
    *slot = r;
    if (!w->mergers[thread])
        w->mergers[thread] = tsm_key_merger_new(w->m->inputs, w->m->fences);
    struct tsm_key_merger *merger = w->mergers[thread];
    bool done;
    tsm_key_merger_begin(merger, w->tasks[task], w->tasks[task + 1]);
    int rc = tsm_key_merger_run(merger, &r->out, w->limit, &done, err);
    if (rc == TSM_OK && !done) {
        r->rest = merger;
        w->mergers[thread] = NULL;
    }
    return rc;
}

/* ---- writing ---- */

static int ask_to_stop(const struct tsm_compaction_run *run, struct tsm_err *err)
{
    if (run->stop && run->stop(run->ctx))
        return tsm_err_set(err, TSM_ESTOP, "%s: stopped", run->dir);
    return TSM_OK;
}

/* Waits until so many bytes may have been written. */
static int keep_pace(struct writing *w, struct tsm_err *err)
{
    const struct tsm_compaction_run *run = w->m->run;
    for (;;) {
        int rc = ask_to_stop(run, err);
        if (rc != TSM_OK || !run->io_limit)
            return rc;
        double due = (double)w->written / (double)run->io_limit * (double)TSM_SEC;
        double passed = (double)(tsm_monotonic() - w->started);
        if (passed >= due)
            return TSM_OK;
        double rest = due - passed < PAUSE ? due - passed : PAUSE;
        struct timespec pause = {.tv_nsec = (long)rest};
        nanosleep(&pause, NULL);
    }
}

static void note_block(struct tsm_merge *m, bool encoded)
{
    size_t n = m->nblocks++;
    if (n % 8 == 0) {
        TSM_GROW(m->encoded, n / 8 + 1, m->capencoded);
        m->encoded[n / 8] = 0;
    }
    m->encoded[n / 8] |= (uint8_t)(encoded << n % 8);
}

static int write_blocks(struct writing *w, const struct tsm_out_blocks *out, struct tsm_err *err)
{
    const struct tsm_shard *s = w->m->inputs;
    size_t i = 0;
    for (size_t k = 0; k < out->nkeys; k++) {
        struct tsm_str key = tsm_shard_key(s, out->keys[k].key);
        enum tsm_type type = tsm_shard_key_type(s, out->keys[k].key);
        for (; i < out->keys[k].end; i++) {
            const struct tsm_out_block *b = &out->blocks[i];
            const uint8_t *bytes = b->copied ? b->copied : out->bytes.data + b->offset;
            int rc = tsm_writer_copy(w->w, key, type, b->tmin, b->tmax, bytes, b->size, err);
            if (rc != TSM_OK)
                return rc;
            w->written += b->size;
            note_block(w->m, !b->copied);
        }
    }
    if (tsm_writer_size(w->w) > TSM_MAX_FILE_SIZE)
        return tsm_err_set(err, TSM_ELIMIT, "%s: the output would be larger than %llu bytes", w->m->run->dir,
                           TSM_MAX_FILE_SIZE);
    return keep_pace(w, err);
}

static void add_figures(struct writing *w, const struct tsm_out_blocks *out)
{
    struct tsm_compaction_figures *to = &w->m->figures;
    const struct tsm_compaction_figures *from = &out->figures;
    to->copied += from->copied;
    to->joined += from->joined;
    to->merged += from->merged;
    to->copied_bytes += from->copied_bytes;
    to->joined_bytes += from->joined_bytes;
    to->merged_bytes += from->merged_bytes;
    to->points += from->points;
    to->overwritten += from->overwritten;
    to->deleted += from->deleted;
    w->m->in_points += out->in_points;
    w->in_blocks += out->in_blocks;
}

static int emit(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct writing *w = ctx;
    struct result *r = slot;
    int rc = write_blocks(w, &r->out, err);
    add_figures(w, &r->out);
    for (bool done = !r->rest; rc == TSM_OK && !done;) {
        tsm_out_blocks_reset(&r->out);
        rc = tsm_key_merger_run(r->rest, &r->out, w->limit, &done, err);
        if (rc == TSM_OK)
            rc = write_blocks(w, &r->out, err);
        add_figures(w, &r->out);
    }
    free_result(NULL, r);
    if (++w->tasks_kept == FORGET_TASKS) {
        forget(w, w->tasks[task + 1], true);
        w->tasks_kept = 0;
    }
    return rc;
}

/* Keys of which tombstones leave nothing in a file: they are not in the shard any more. */
static int count_dead_keys(struct writing *w, const struct tsm_reader *r, struct tsm_err *err)
{
    for (size_t key = 0; key < r->nkeys; key++) {
        if (!tsm_reader_key_is_deleted(r, key))
            continue;
        size_t n = tsm_reader_entries(r, key), points;
        for (size_t i = 0; i < n; i++) {
            struct tsm_entry e = tsm_reader_entry(r, key, i);
            int rc = tsm_reader_count(r, &e, &points, err);
            if (rc != TSM_OK)
                return rc;
            w->m->in_points += points;
            w->m->figures.deleted += points;
        }
        w->in_blocks += n;
    }
    return TSM_OK;
}

static int merge_tasks(struct writing *w, struct tsm_err *err)
{
    unsigned jobs = w->m->run->jobs ? w->m->run->jobs : 1;
    w->mergers = tsm_calloc(jobs, sizeof(struct tsm_key_merger *));
    struct tsm_parallel p = {
        .jobs = jobs,
        .tasks = w->ntasks,
        .ahead = (size_t)jobs * AHEAD,
        .ctx = w,
        .work = work,
        .emit = emit,
        .drop = free_result,
    };
    int rc = tsm_parallel_run(&p, err);
    for (unsigned i = 0; i < jobs; i++)
        tsm_key_merger_free(w->mergers[i]);
    tsm_free(w->mergers);
    return rc;
}

/* Nothing of the inputs has been passed over. */
static int check_blocks(const struct writing *w, struct tsm_err *err)
{
    const struct tsm_shard *s = w->m->inputs;
    const struct tsm_compaction_figures *f = &w->m->figures;
    uint64_t blocks = 0;
    for (size_t i = 0; i < s->nfiles; i++) {
        for (size_t key = 0; key < s->files[i]->nkeys; key++)
            blocks += tsm_reader_entries(s->files[i], key);
        tsm_reader_forget(s->files[i], 0, s->files[i]->nkeys, false);
    }
    if (blocks != w->in_blocks)
        return tsm_err_set(err, TSM_EIO, "%s: %" PRIu64 " of %" PRIu64 " blocks of the inputs were read",
                           w->m->run->dir, w->in_blocks, blocks);
    if (f->points + f->overwritten + f->deleted != w->m->in_points)
        return tsm_err_set(err, TSM_EIO,
                           "%s: of %" PRIu64 " values of the inputs %" PRIu64 " were written, %" PRIu64
                           " overwritten and %" PRIu64 " deleted",
                           w->m->run->dir, w->m->in_points, f->points, f->overwritten, f->deleted);
    return TSM_OK;
}

void tsm_merge_release(struct tsm_merge *m)
{
    tsm_free(m->encoded);
    m->encoded = NULL;
    m->nblocks = m->capencoded = 0;
}

int tsm_merge_write(struct tsm_merge *m, struct tsm_writer *out, struct tsm_err *err)
{
    struct writing w = {.m = m, .w = out, .started = tsm_monotonic()};
    w.at = tsm_calloc(m->inputs->nfiles + 1, sizeof *w.at);
    int rc = TSM_OK;
    tsm_writer_limit_memory(out, m->run->memory / INDEX_SHARE);
    for (size_t i = 0; i < m->inputs->nfiles && rc == TSM_OK; i++)
        if (m->inputs->files[i]->tombstones.n)
            rc = count_dead_keys(&w, m->inputs->files[i], err);
    plan_tasks(&w);
    if (rc == TSM_OK)
        rc = merge_tasks(&w, err);
    if (rc == TSM_OK)
        rc = check_blocks(&w, err);
    tsm_free(w.tasks);
    tsm_free(w.at);
    return rc;
}
