/*
 * store/column_cut.c: the blocks of a column as they go to files.
 *
 * Encoded blocks are passed on as they are, unless late values fall among their times or the frontier
 * does. What has to be encoded anew is collected until it fills a block, and at most a few blocks' worth is
 * decoded at a time, however long the column.
 */
#include "store/column_cut.h"

#include "base/alloc.h"
#include "base/banned.h"

struct cut {
    struct tsm_cutter *w;
    int64_t frontier;
    struct tsm_cut_output *out;
    struct tsm_err *err;
};

static struct tsm_cut_block *add_block(struct tsm_cut_output *out)
{
    TSM_GROW(out->blocks, out->n + 1, out->cap);
    return &out->blocks[out->n++];
}

/* Encodes values [from, to) as one block, all on one side of the frontier. */
static int put_side(struct cut *cut, const struct tsm_values *v, size_t from, size_t to)
{
    if (from == to)
        return TSM_OK;
    size_t offset = cut->out->bytes.len;
    int rc = tsm_block_encode(&cut->out->bytes, v, from, to, cut->err);
    if (rc == TSM_OK)
        *add_block(cut->out) = (struct tsm_cut_block){
            .tmin = v->t[from],
            .tmax = v->t[to - 1],
            .offset = offset,
            .len = (uint32_t)(cut->out->bytes.len - offset),
            .n = (uint32_t)(to - from),
            .late = v->t[to - 1] <= cut->frontier,
        };
    return rc;
}

static int put_values(struct cut *cut, const struct tsm_values *v, size_t from, size_t to)
{
    size_t border = from;
    if (v->t[from] <= cut->frontier)
        while (border < to && v->t[border] <= cut->frontier)
            border++;
    int rc = put_side(cut, v, from, border);
    return rc == TSM_OK ? put_side(cut, v, border, to) : rc;
}

/* An encoded block that no late value touches. */
static int put_encoded(struct cut *cut, const struct tsm_encoded *b)
{
    if (b->tmin <= cut->frontier && b->tmax > cut->frontier) {
        struct tsm_values *v = &cut->w->block;
        int rc = tsm_block_decode(b->bytes, b->len, v, cut->err);
        return rc == TSM_OK ? put_values(cut, v, 0, v->n) : rc;
    }
    *add_block(cut->out) = (struct tsm_cut_block){
        .tmin = b->tmin,
        .tmax = b->tmax,
        .bytes = b->bytes,
        .len = b->len,
        .n = b->n,
        .late = b->tmax <= cut->frontier,
    };
    return TSM_OK;
}

/* Puts the full blocks of what was collected, or all of it. */
static int put_collected(struct cut *cut, bool all)
{
    struct tsm_values *c = &cut->w->collected;
    size_t from = 0;
    while (from < c->n) {
        size_t to = tsm_block_cut(c, from);
        if (!all && to == c->n && to - from < TSM_BLOCK_POINTS)
            break;
        int rc = put_values(cut, c, from, to);
        if (rc != TSM_OK)
            return rc;
        from = to;
    }
    if (from == 0)
        return TSM_OK;
    struct tsm_values *rest = &cut->w->rest;
    tsm_values_reset(rest, c->type, c->n - from);
    tsm_values_append(rest, c, from, c->n);
    struct tsm_values swap = *c;
    *c = *rest;
    *rest = swap;
    return TSM_OK;
}

/* A part of v that shares its arrays: not to be released or appended to. */
static struct tsm_values view(const struct tsm_values *v, size_t from, size_t to)
{
    return (struct tsm_values){
        .type = v->type,
        .n = to - from,
        .cap = to - from,
        .t = v->t + from,
        .v.p = (uint8_t *)v->v.p + from * tsm_value_size(v->type),
    };
}

/* Merges late values [from, to) over v and collects the result, a block's worth of late values at a time. */
static int merge(struct cut *cut, const struct tsm_values *v, size_t from, size_t to)
{
    struct tsm_cutter *w = cut->w;
    size_t done = 0;
    while (done < v->n || from < to) {
        size_t next = to - from > TSM_BLOCK_POINTS ? from + TSM_BLOCK_POINTS : to;
        size_t end = next == to ? v->n : tsm_values_lower_bound(v, w->late.t[next]);
        struct tsm_values older = view(v, done, end), newer = view(&w->late, from, next);
        tsm_values_merge(&w->merged, &older, &newer);
        tsm_values_append(&w->collected, &w->merged, 0, w->merged.n);
        done = end;
        from = next;
        int rc = put_collected(cut, false);
        if (rc != TSM_OK)
            return rc;
    }
    return TSM_OK;
}

/* The encoded blocks of c, oldest first. */
static size_t order_blocks(struct tsm_cutter *w, const struct tsm_column *c)
{
    size_t n = 0;
    for (struct tsm_encoded *b = c->blocks; b; b = b->older) {
        TSM_GROW(w->order, n + 1, w->caporder);
        w->order[n++] = b;
    }
    for (size_t i = 0; i < n / 2; i++) {
        struct tsm_encoded *b = w->order[i];
        w->order[i] = w->order[n - 1 - i];
        w->order[n - 1 - i] = b;
    }
    return n;
}

/* Blocks and tail with the late values among them. */
static int cut_with_late(struct cut *cut, size_t nblocks)
{
    struct tsm_cutter *w = cut->w;
    size_t at = 0; /* late values before it are done */
    int rc = TSM_OK;
    tsm_values_reset(&w->collected, w->late.type, 0);
    for (size_t i = 0; i < nblocks && rc == TSM_OK; i++) {
        const struct tsm_encoded *b = w->order[i];
        size_t to = w->late.n; /* late values up to the next block are merged with this one */
        if (i + 1 < nblocks)
            to = tsm_values_lower_bound(&w->late, w->order[i + 1]->tmin);
        else if (w->tail.n)
            to = tsm_values_lower_bound(&w->late, w->tail.t[0]);
        if (to == at) {
            rc = put_collected(cut, true);
            if (rc == TSM_OK)
                rc = put_encoded(cut, b);
            continue;
        }
        rc = tsm_block_decode(b->bytes, b->len, &w->block, cut->err);
        if (rc == TSM_OK)
            rc = merge(cut, &w->block, at, to);
        at = to;
    }
    if (rc == TSM_OK)
        rc = merge(cut, &w->tail, at, w->late.n);
    return rc == TSM_OK ? put_collected(cut, true) : rc;
}

int tsm_column_cut(struct tsm_cutter *w, const struct tsm_column *c, int64_t frontier,
                   struct tsm_cut_output *out, struct tsm_err *err)
{
    struct cut cut = {w, frontier, out, err};
    size_t nblocks = order_blocks(w, c);
    tsm_column_tail(c, &w->tail);
    tsm_column_late(c, &w->late);
    if (w->late.n)
        return cut_with_late(&cut, nblocks);
    int rc = TSM_OK;
    for (size_t i = 0; i < nblocks && rc == TSM_OK; i++)
        rc = put_encoded(&cut, w->order[i]);
    for (size_t from = 0; from < w->tail.n && rc == TSM_OK;) {
        size_t to = tsm_block_cut(&w->tail, from);
        rc = put_values(&cut, &w->tail, from, to);
        from = to;
    }
    return rc;
}

void tsm_cutter_release(struct tsm_cutter *w)
{
    tsm_values_release(&w->tail);
    tsm_values_release(&w->late);
    tsm_values_release(&w->block);
    tsm_values_release(&w->merged);
    tsm_values_release(&w->collected);
    tsm_values_release(&w->rest);
    tsm_free(w->order);
    *w = (struct tsm_cutter){0};
}

void tsm_cut_output_release(struct tsm_cut_output *out)
{
    tsm_free(out->blocks);
    tsm_buf_release(&out->bytes);
    *out = (struct tsm_cut_output){0};
}
