/* store/engine_read.c: shards as they are now, for readers beside the writer. */
#include "store/engine_impl.h"

#include "base/alloc.h"
#include "base/sort.h"
#include "store/column_cut.h"
#include "store/data_dir.h"
#include "store/log_impl.h"
#include "base/banned.h"

struct reading {
    uint32_t shard;
    struct tsm_log_replay replay;
    struct tsm_cutter cutter;
    struct tsm_cut_output out;
    struct tsm_values v;
    struct tsm_buf key;
};

static void read_column(struct reading *r, const struct tsm_mem_series *series, const struct tsm_column *c)
{
    if (c->n == 0 && !c->blocks && !c->side)
        return;
    tsm_buf_reset(&r->key);
    tsm_buf_str(&r->key, tsm_mem_series_key(series));
    tsm_buf_str(&r->key, TSM_FIELD_SEPARATOR);
    tsm_buf_str(&r->key, c->field->name);
    r->out.n = 0;
    tsm_buf_reset(&r->out.bytes);
    if (tsm_column_cut(&r->cutter, c, INT64_MIN, &r->out, NULL) != TSM_OK || r->out.n == 0)
        return;
    uint32_t i = tsm_log_column(&r->replay, tsm_buf_view(&r->key), true);
    struct tsm_values *own = &r->replay.log->items[i].values;
    for (size_t b = 0; b < r->out.n; b++) {
        const struct tsm_cut_block *block = &r->out.blocks[b];
        if (tsm_block_decode(block->bytes ? block->bytes : r->out.bytes.data + block->offset, block->len,
                             &r->v, NULL) != TSM_OK)
            continue;
        if (own->n == 0)
            tsm_values_reset(own, r->v.type, r->v.n);
        if (own->type == r->v.type)
            tsm_values_append(own, &r->v, 0, r->v.n);
    }
}

static void read_slice(struct reading *r, const struct tsm_mem_series *series, const struct tsm_slice *sl)
{
    for (uint32_t i = 0; sl->shard == r->shard && i < sl->ncolumns; i++)
        read_column(r, series, &sl->columns[i]);
}

static void read_series(void *ctx, const struct tsm_mem_series *series)
{
    struct reading *r = ctx;
    read_slice(r, series, &series->slice);
    for (uint32_t i = 0; series->all && i < series->all->n; i++)
        if (series->all->items[i].shard != series->slice.shard)
            read_slice(r, series, &series->all->items[i]);
}

static int by_key(const void *a, const void *b)
{
    return tsm_str_cmp(((const struct tsm_logged *)a)->key, ((const struct tsm_logged *)b)->key);
}

/* What memory has of a shard; NULL when that is nothing. */
static struct tsm_log *read_memory(struct tsm_engine *e, uint64_t id)
{
    struct tsm_log *log = tsm_calloc(1, sizeof *log);
    struct reading r = {.replay.log = log};
    tsm_turn_take(&e->turn);
    const struct tsm_engine_shard *s = tsm_engine_known_shard(e, id);
    if (s) {
        r.shard = s->table.index;
        for (const struct tsm_engine_frozen *z = e->frozen; z; z = z->next)
            tsm_memtable_each(z->table, read_series, &r);
        tsm_memtable_each(e->active, read_series, &r);
    }
    for (size_t i = 0; i < log->n; i++)
        tsm_values_sort_dedup(&log->items[i].values);
    tsm_turn_give(&e->turn);
    tsm_sort(log->items, log->n, sizeof *log->items, by_key);
    tsm_map_release(&r.replay.map);
    tsm_cutter_release(&r.cutter);
    tsm_cut_output_release(&r.out);
    tsm_values_release(&r.v);
    tsm_buf_release(&r.key);
    if (log->n)
        return log;
    tsm_log_free(log);
    return NULL;
}

int tsm_engine_read_shard(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                          const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err)
{
    char *dir = tsm_path_shard(e->dir, db, rp, shard);
    int rc = tsm_shard_open_over(e->fs, dir, read_memory(e, shard), damage, s, err);
    tsm_free(dir);
    return rc;
}

void tsm_engine_release_shard(struct tsm_engine *e, struct tsm_shard *s)
{
    (void)e;
    tsm_shard_close(s);
}
