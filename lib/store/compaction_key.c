/*
 * store/compaction_key.c: from the blocks of the inputs to those of the output.
 *
 * Invariant: what has been read of the key and is not in out is either one held block, still encoded, or the decoded
 * values behind m->from in m->pending, never both.
 */
#include "store/compaction_key.h"

#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/block.h"
#include "store/column.h"
#include "base/banned.h"

enum { SMALL = TSM_BLOCK_POINTS / 2, CRC_SIZE = 4 };

struct tsm_key_merger {
    const struct tsm_shard *inputs;
    struct tsm_scan *scan;
    struct tsm_fence_walk walk;
    size_t key, end;       /* the one that is read, and where to stop */
    bool inside;           /* the scan of key has begun */
    struct tsm_piece held; /* file NULL: none */
    size_t held_points;
    struct tsm_values pending, spare, decoded;
    size_t from; /* values of pending before it are in out */
    size_t text; /* bytes of the strings behind it */
    struct tsm_out_blocks *out;
};

/* ---- what comes out ---- */

void tsm_out_blocks_reset(struct tsm_out_blocks *o)
{
    o->n = o->nkeys = 0;
    tsm_buf_reset(&o->bytes);
    o->figures = (struct tsm_compaction_figures){0};
    o->in_blocks = o->in_points = 0;
}

void tsm_out_blocks_release(struct tsm_out_blocks *o)
{
    tsm_free(o->blocks);
    tsm_free(o->keys);
    tsm_buf_release(&o->bytes);
    *o = (struct tsm_out_blocks){0};
}

static size_t memory_of(const struct tsm_out_blocks *o)
{
    return o->n * sizeof *o->blocks + o->nkeys * sizeof *o->keys + o->bytes.len;
}

static struct tsm_out_block *add_block(struct tsm_out_blocks *o, size_t points)
{
    TSM_GROW(o->blocks, o->n + 1, o->cap);
    o->figures.points += points;
    return &o->blocks[o->n++];
}

/* Its CRC goes with it, and is checked when the output is. */
static void copy_block(struct tsm_key_merger *m, const struct tsm_piece *piece, size_t points)
{
    *add_block(m->out, points) = (struct tsm_out_block){
        .copied = piece->file->map.data + piece->entry.offset,
        .size = piece->entry.size,
        .tmin = piece->entry.tmin,
        .tmax = piece->entry.tmax,
    };
    m->out->figures.copied++;
    m->out->figures.copied_bytes += piece->entry.size;
}

/* Encodes the values [from, to) of pending. */
static int put_block(struct tsm_key_merger *m, size_t from, size_t to, struct tsm_err *err)
{
    struct tsm_buf *bytes = &m->out->bytes;
    size_t offset = bytes->len;
    tsm_buf_room(bytes, CRC_SIZE);
    bytes->len += CRC_SIZE;
    int rc = tsm_block_encode(bytes, &m->pending, from, to, err);
    if (rc != TSM_OK) {
        struct tsm_str key = tsm_shard_key(m->inputs, m->key);
        return tsm_err_wrap(err, rc, "block of '%.*s'", (int)(key.n < 200 ? key.n : 200), key.p);
    }
    uint8_t *p = bytes->data + offset;
    size_t size = bytes->len - offset;
    tsm_put_be32(p, (uint32_t)crc32_z(0, p + CRC_SIZE, size - CRC_SIZE));
    *add_block(m->out, to - from) = (struct tsm_out_block){
        .offset = offset,
        .size = size,
        .tmin = m->pending.t[from],
        .tmax = m->pending.t[to - 1],
    };
    return TSM_OK;
}

/* ---- decoded values ---- */

/* Where the block ends that starts with value `from`. */
static size_t block_end(const struct tsm_values *c, size_t from)
{
    size_t end = c->n - from < TSM_BLOCK_POINTS ? c->n : from + TSM_BLOCK_POINTS;
    if (c->type != TSM_STRING)
        return end;
    size_t text = c->v.s[from].n, i = from + 1;
    while (i < end && text + c->v.s[i].n <= TSM_BLOCK_TEXT)
        text += c->v.s[i++].n;
    return i;
}

/* Encodes what makes whole blocks whatever follows; or all, as nothing does. */
static int cut(struct tsm_key_merger *m, bool all, struct tsm_err *err)
{
    struct tsm_values *c = &m->pending;
    if (!all && c->n - m->from < 2 * TSM_BLOCK_POINTS && m->text <= TSM_BLOCK_TEXT)
        return TSM_OK;
    while (m->from < c->n) {
        size_t left = c->n - m->from, end = block_end(c, m->from);
        bool full = end - m->from == TSM_BLOCK_POINTS;
        if (!all && (end == c->n || (full && left < 2 * TSM_BLOCK_POINTS)))
            break;
        if (all && full && left > TSM_BLOCK_POINTS && left < TSM_BLOCK_POINTS + SMALL)
            end = m->from + (left + 1) / 2;
        int rc = put_block(m, m->from, end, err);
        if (rc != TSM_OK)
            return rc;
        for (size_t i = m->from; i < end && c->type == TSM_STRING; i++)
            m->text -= c->v.s[i].n;
        m->from = end;
    }
    if (m->from == 0)
        return TSM_OK;
    tsm_values_reset(&m->spare, c->type, 2 * TSM_BLOCK_POINTS);
    tsm_values_append(&m->spare, c, m->from, c->n);
    struct tsm_values swap = m->pending;
    m->pending = m->spare;
    m->spare = swap;
    m->from = 0;
    return TSM_OK;
}

static int add_values(struct tsm_key_merger *m, const struct tsm_values *v, size_t from, size_t to,
                      struct tsm_err *err)
{
    if (m->pending.n == 0)
        tsm_values_reset(&m->pending, v->type, 2 * TSM_BLOCK_POINTS);
    tsm_values_append(&m->pending, v, from, to);
    for (size_t i = from; i < to && v->type == TSM_STRING; i++)
        m->text += v->v.s[i].n;
    return cut(m, false, err);
}

/* Decodes a block that is joined with others. */
static int join_block(struct tsm_key_merger *m, const struct tsm_piece *piece, struct tsm_err *err)
{
    int rc = tsm_reader_decode(piece->file, piece->key, &piece->entry, &m->decoded, err);
    if (rc != TSM_OK)
        return rc;
    m->out->figures.joined++;
    m->out->figures.joined_bytes += piece->entry.size;
    return add_values(m, &m->decoded, 0, m->decoded.n, err);
}

/* Ends what is open: nothing more can be joined to it. */
static int flush(struct tsm_key_merger *m, struct tsm_err *err)
{
    if (m->held.file)
        copy_block(m, &m->held, m->held_points);
    m->held.file = NULL;
    return m->pending.n ? cut(m, true, err) : TSM_OK;
}

/* Whether something is open to which what starts at tmin may be joined: there is no fence in between. */
static bool can_join(struct tsm_key_merger *m, int64_t tmin)
{
    int64_t fence;
    if (!m->held.file && m->pending.n == 0)
        return false;
    int64_t tmax = m->held.file ? m->held.entry.tmax : m->pending.t[m->pending.n - 1];
    return !tsm_fence_next(&m->walk, tsm_shard_key(m->inputs, m->key), tmax, &fence) || fence > tmin;
}

/* Makes room for something decoded: joins the held block to it, or ends what is open. */
static int open_up(struct tsm_key_merger *m, bool join, struct tsm_err *err)
{
    if (!join)
        return flush(m, err);
    if (!m->held.file)
        return TSM_OK;
    struct tsm_piece held = m->held;
    m->held.file = NULL;
    return join_block(m, &held, err);
}

/* ---- what comes in ---- */

/* A whole block. */
static int take_block(struct tsm_key_merger *m, const struct tsm_piece *piece, struct tsm_err *err)
{
    size_t points;
    int rc = tsm_reader_count(piece->file, &piece->entry, &points, err);
    if (rc != TSM_OK)
        return rc;
    if (points >= SMALL || piece->entry.size >= TSM_BLOCK_TEXT / 2) {
        rc = flush(m, err);
        if (rc == TSM_OK)
            copy_block(m, piece, points);
        return rc;
    }
    bool join = can_join(m, piece->entry.tmin);
    rc = open_up(m, join, err);
    if (rc == TSM_OK && join)
        return join_block(m, piece, err);
    m->held = *piece;
    m->held_points = points;
    return rc;
}

/* Where the values end that can be in one block with value `from`: before the next fence. A stretch that was merged may reach
 * over some: the end of one block and the beginning of another that is far away. */
static size_t reach(struct tsm_key_merger *m, const struct tsm_values *v, size_t from)
{
    int64_t fence;
    if (!tsm_fence_next(&m->walk, tsm_shard_key(m->inputs, m->key), v->t[from], &fence) ||
        fence > v->t[v->n - 1])
        return v->n;
    return tsm_values_lower_bound(v, fence);
}

static int take_values(struct tsm_key_merger *m, const struct tsm_values *v, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t from = 0, to; from < v->n && rc == TSM_OK; from = to) {
        to = reach(m, v, from);
        rc = open_up(m, can_join(m, v->t[from]), err);
        if (rc == TSM_OK)
            rc = add_values(m, v, from, to, err);
    }
    return rc;
}

/* Counts what the inputs have of the key: independently of what the scan makes of it. */
static int count_inputs(struct tsm_key_merger *m, struct tsm_err *err)
{
    const struct tsm_shard *s = m->inputs;
    struct tsm_place single;
    size_t nplaces;
    const struct tsm_place *places = tsm_shard_places(s, m->key, &single, &nplaces);
    for (size_t i = 0; i < nplaces; i++) {
        const struct tsm_reader *r = s->files[places[i].file];
        size_t key = places[i].position, entries = tsm_reader_entries(r, key);
        for (size_t k = 0; k < entries; k++) {
            struct tsm_entry e = tsm_reader_entry(r, key, k);
            size_t points;
            int rc = tsm_reader_count(r, &e, &points, err);
            if (rc != TSM_OK)
                return rc;
            m->out->in_points += points;
        }
        m->out->in_blocks += entries;
    }
    return TSM_OK;
}

/* ---- the merger ---- */

struct tsm_key_merger *tsm_key_merger_new(const struct tsm_shard *inputs, const struct tsm_fences *fences)
{
    struct tsm_key_merger *m = tsm_calloc(1, sizeof *m);
    m->inputs = inputs;
    m->scan = tsm_scan_new();
    tsm_fence_walk_begin(&m->walk, fences);
    return m;
}

void tsm_key_merger_free(struct tsm_key_merger *m)
{
    if (!m)
        return;
    tsm_scan_free(m->scan);
    tsm_fence_walk_release(&m->walk);
    tsm_values_release(&m->pending);
    tsm_values_release(&m->spare);
    tsm_values_release(&m->decoded);
    tsm_free(m);
}

void tsm_key_merger_begin(struct tsm_key_merger *m, size_t from, size_t to)
{
    m->key = from;
    m->end = to;
    m->inside = false;
    m->held.file = NULL;
    m->pending.n = m->from = m->text = 0;
}

static int begin_key(struct tsm_key_merger *m, struct tsm_err *err)
{
    int rc = count_inputs(m, err);
    m->inside = true;
    return rc == TSM_OK ? tsm_scan_start_pieces(m->scan, m->inputs, m->key, err) : rc;
}

/* Everything of the key that is in out now ends there. */
static void mark_key(struct tsm_key_merger *m)
{
    struct tsm_out_blocks *o = m->out;
    size_t before = o->nkeys ? o->keys[o->nkeys - 1].end : 0;
    if (o->n == before)
        return;
    TSM_GROW(o->keys, o->nkeys + 1, o->capkeys);
    o->keys[o->nkeys++] = (struct tsm_out_key){m->key, o->n};
}

static int step(struct tsm_key_merger *m, struct tsm_err *err)
{
    struct tsm_piece piece;
    int rc = m->inside ? TSM_OK : begin_key(m, err);
    if (rc == TSM_OK)
        rc = tsm_scan_piece(m->scan, &piece, err);
    if (rc != TSM_OK)
        return rc;
    if (piece.file)
        return take_block(m, &piece, err);
    if (piece.values)
        return take_values(m, piece.values, err);
    rc = flush(m, err);
    mark_key(m);
    m->inside = false;
    m->key++;
    return rc;
}

int tsm_key_merger_run(struct tsm_key_merger *m, struct tsm_out_blocks *out, size_t limit, bool *done,
                       struct tsm_err *err)
{
    struct tsm_scan_figures before = *tsm_scan_figures(m->scan);
    int rc = TSM_OK;
    m->out = out;
    while (rc == TSM_OK && m->key < m->end && memory_of(out) < limit)
        rc = step(m, err);
    *done = m->key == m->end;
    if (!*done)
        mark_key(m);
    const struct tsm_scan_figures *now = tsm_scan_figures(m->scan);
    out->figures.overwritten += now->overwritten - before.overwritten;
    out->figures.deleted += now->deleted - before.deleted;
    out->figures.merged += now->merged - before.merged;
    out->figures.merged_bytes += now->merged_bytes - before.merged_bytes;
    return rc;
}
