/* store/compaction_verify.c: the output of a compaction, read again from the disk before it takes the place of the inputs. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "codec/block.h"
#include "store/compaction_merge.h"
#include "base/banned.h"

enum { TASK_BYTES = 2 << 20 };

struct verification {
    const struct tsm_merge *m;
    const struct tsm_reader *r;
    struct task {
        size_t key, block; /* the first ones */
    } * tasks;
    size_t ntasks, captasks;
    struct tsm_fence_walk *walks; /* per thread */
    struct tsm_values *times;
    uint64_t points;
};

/* The blocks of a task. */
struct part {
    struct verification *v;
    struct tsm_fence_walk *walk;
    struct tsm_values *times;
    uint64_t points;
};

static int wrong(const struct tsm_reader *r, const struct tsm_entry *e, struct tsm_err *err,
                 const char *cause)
{
    return tsm_err_set(err, TSM_EIO, "%s: offset %" PRIu64 ": the block that was written %s", r->path,
                       e->offset, cause);
}

/* A block's checksum is wrong: that of an input may have been so before. */
static int find_damage(const struct verification *v, struct tsm_str key, const struct tsm_entry *e,
                       struct tsm_err *err)
{
    const struct tsm_shard *s = v->m->inputs;
    for (size_t i = 0; i < s->nfiles; i++) {
        const struct tsm_reader *r = s->files[i];
        bool found;
        size_t k = tsm_reader_seek(r, key, &found);
        for (size_t n = 0; found && n < tsm_reader_entries(r, k); n++) {
            struct tsm_entry in = tsm_reader_entry(r, k, n);
            const uint8_t *p;
            size_t len;
            int rc = tsm_reader_block(r, &in, &p, &len, err);
            if (rc != TSM_OK)
                return rc;
        }
    }
    return wrong(v->r, e, err, "reads back differently");
}

/* The times of a block that was encoded. */
static int check_times(const struct tsm_reader *r, const struct tsm_entry *e, const uint8_t *p, size_t len,
                       size_t n, struct tsm_values *times, struct tsm_err *err)
{
    if (tsm_block_decode_times(p, len, times, NULL) != TSM_OK || n != times->n)
        return wrong(r, e, err, "cannot be decoded");
    if (times->t[0] != e->tmin || times->t[n - 1] != e->tmax)
        return wrong(r, e, err, "begins or ends at another time");
    for (size_t i = 1; i < n; i++)
        if (times->t[i] <= times->t[i - 1])
            return wrong(r, e, err, "has times that are out of order");
    return TSM_OK;
}

/* The block that was written is what it was meant to be. */
static int check_block(struct part *part, size_t key, size_t block, const struct tsm_entry *e,
                       struct tsm_err *err)
{
    const struct verification *v = part->v;
    const uint8_t *p;
    size_t len, n;
    if (tsm_reader_block(v->r, e, &p, &len, NULL) != TSM_OK)
        return find_damage(v, tsm_reader_key(v->r, key), e, err);
    if (p[0] != (uint8_t)tsm_reader_type(v->r, key))
        return wrong(v->r, e, err, "is of another type");
    if (tsm_block_count(p, len, &n, NULL) != TSM_OK || n == 0)
        return wrong(v->r, e, err, "cannot be decoded");
    part->points += n;
    bool encoded = v->m->encoded[block / 8] >> block % 8 & 1;
    return encoded ? check_times(v->r, e, p, len, n, part->times, err) : TSM_OK;
}

/* Some block of the inputs had times of the key in [tmin, tmax]. */
static bool inputs_had(const struct tsm_shard *s, struct tsm_str key, int64_t tmin, int64_t tmax)
{
    for (size_t i = 0; i < s->nfiles; i++) {
        const struct tsm_reader *r = s->files[i];
        bool found;
        size_t k = tsm_reader_seek(r, key, &found);
        if (!found)
            continue;
        size_t n = tsm_reader_entry_at(r, k, 0, tmin);
        if (n < tsm_reader_entries(r, k) && tsm_reader_entry(r, k, n).tmin <= tmax)
            return true;
    }
    return false;
}

/* No block of the ordered set that is no input overlaps this one, unless it overlapped an input. */
static int check_overlap(const struct verification *v, size_t key, const struct tsm_entry *e,
                         struct tsm_fence_walk *walk, struct tsm_err *err)
{
    struct tsm_entry fence;
    struct tsm_str name = tsm_reader_key(v->r, key);
    const struct tsm_reader *f = tsm_fence_find(walk, name, e->tmin, e->tmax, &fence);
    if (!f || inputs_had(v->m->inputs, name, fence.tmin, fence.tmax))
        return TSM_OK;
    return tsm_err_set(err, TSM_EIO,
                       "%s: offset %" PRIu64
                       ": the block that was written overlaps one of %s at offset %" PRIu64,
                       v->r->path, e->offset, f->path, fence.offset);
}

static int work(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    struct verification *v = ctx;
    struct part *part = tsm_calloc(1, sizeof *part);
    *part = (struct part){.v = v, .walk = &v->walks[thread], .times = &v->times[thread]};
    *slot = part;
    size_t block = v->tasks[task].block;
    for (size_t key = v->tasks[task].key; key < v->tasks[task + 1].key; key++) {
        size_t n = tsm_reader_entries(v->r, key);
        for (size_t i = 0; i < n; i++, block++) {
            struct tsm_entry e = tsm_reader_entry(v->r, key, i);
            int rc = check_block(part, key, block, &e, err);
            if (rc == TSM_OK && v->m->ordered)
                rc = check_overlap(v, key, &e, part->walk, err);
            if (rc != TSM_OK)
                return rc;
        }
    }
    return TSM_OK;
}

static int emit(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct verification *v = ctx;
    const struct tsm_compaction_run *run = v->m->run;
    struct part *part = slot;
    tsm_reader_forget(v->r, v->tasks[task].key, v->tasks[task + 1].key, true);
    v->points += part->points;
    tsm_free(part);
    return run->stop && run->stop(run->ctx) ? tsm_err_set(err, TSM_ESTOP, "%s: stopped", run->dir) : TSM_OK;
}

static void drop(void *ctx, void *slot)
{
    (void)ctx;
    tsm_free(slot);
}

/* Cuts the keys into tasks of about TASK_BYTES; the number of blocks of the file. */
static size_t plan_tasks(struct verification *v)
{
    const struct tsm_reader *r = v->r;
    uint64_t bytes = TASK_BYTES;
    size_t blocks = 0;
    for (size_t key = 0; key < r->nkeys; key++) {
        TSM_GROW(v->tasks, v->ntasks + 2, v->captasks);
        if (bytes >= TASK_BYTES) {
            v->tasks[v->ntasks++] = (struct task){key, blocks};
            bytes = 0;
        }
        size_t n = tsm_reader_entries(r, key);
        struct tsm_entry last = tsm_reader_entry(r, key, n - 1);
        bytes += last.offset + last.size - tsm_reader_entry(r, key, 0).offset;
        blocks += n;
    }
    v->tasks[v->ntasks] = (struct task){r->nkeys, blocks};
    return blocks;
}

static int check_file(struct verification *v, struct tsm_err *err)
{
    unsigned jobs = v->m->run->jobs ? v->m->run->jobs : 1;
    if (plan_tasks(v) != v->m->nblocks)
        return tsm_err_set(err, TSM_EIO, "%s: not all blocks are in the index that was written", v->r->path);
    v->walks = tsm_calloc(jobs, sizeof *v->walks);
    v->times = tsm_calloc(jobs, sizeof *v->times);
    for (unsigned i = 0; i < jobs; i++)
        tsm_fence_walk_begin(&v->walks[i], v->m->fences);
    struct tsm_parallel p = {
        .jobs = jobs,
        .tasks = v->ntasks,
        .ctx = v,
        .work = work,
        .emit = emit,
        .drop = drop,
    };
    int rc = tsm_parallel_run(&p, err);
    for (unsigned i = 0; i < jobs; i++) {
        tsm_fence_walk_release(&v->walks[i]);
        tsm_values_release(&v->times[i]);
    }
    tsm_free(v->walks);
    tsm_free(v->times);
    return rc;
}

int tsm_merge_verify(struct tsm_merge *m, const char *path, struct tsm_err *err)
{
    struct verification v = {.m = m};
    struct tsm_reader *r;
    int rc = tsm_reader_open_bare(m->run->fs, path, &r, err);
    if (rc != TSM_OK)
        return tsm_err_wrap(err, TSM_EIO, "what was written does not check");
    v.r = r;
    rc = check_file(&v, err);
    uint64_t due = m->in_points - m->figures.overwritten - m->figures.deleted;
    if (rc == TSM_OK && v.points != due)
        rc = tsm_err_set(err, TSM_EIO, "%s: %" PRIu64 " values were written, %" PRIu64 " were due", path,
                         v.points, due);
    tsm_free(v.tasks);
    tsm_reader_close(r);
    return rc;
}
