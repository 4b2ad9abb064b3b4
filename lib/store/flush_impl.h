/* store/flush_impl.h: the inside of a flush, shared by flush*.c alone. */
#ifndef TSM_STORE_FLUSH_IMPL_H
#define TSM_STORE_FLUSH_IMPL_H

#include "store/column_cut.h"
#include "store/flush.h"
#include "store/flush_file.h"

/* Columns of one series that stand next to each other in the order of keys. */
struct tsm_run {
    const struct tsm_mem_series *series;
    uint64_t prefix; /* what follows the beginning that all series keys share, as a number */
    struct tsm_column *columns;
    uint32_t ncolumns;
    uint32_t first; /* number of its first column in the shard */
    uint32_t shard;
};

/* The flush of one shard. */
struct tsm_shard_flush {
    struct tsm_flush *f;
    struct tsm_flush_shard *shard;
    struct tsm_run *runs; /* ascending by key */
    size_t nruns;
    size_t ncolumns;
    int64_t *frontiers; /* by column; NULL: none was written before */
    /* Columns whose frontier is not in the shard's table. */
    uint64_t *unknown; /* a bit per column; NULL: all */
    size_t nunknown;
    const struct tsm_run *first_unknown, *last_unknown;
    int64_t oldest; /* time in any of them */

    size_t *tasks; /* first run of each task, and the end */
    size_t ntasks, captasks;
    struct tsm_cutter *cutters;
    struct tsm_flush_file ordered, late;
    struct tsm_buf key;
};

/* The TSM key of a column. */
static inline void tsm_run_key(struct tsm_buf *key, const struct tsm_mem_series *series,
                               const struct tsm_column *c)
{
    tsm_buf_reset(key);
    tsm_buf_str(key, tsm_mem_series_key(series));
    tsm_buf_str(key, TSM_FIELD_SEPARATOR);
    tsm_buf_str(key, c->field->name);
}

/* Fills s->frontiers, and raises those in the shard's table to what is about to be written. */
int tsm_flush_frontiers(struct tsm_shard_flush *s, struct tsm_err *err);

#endif
