/*
 * store/memtable.h: points in memory until they are flushed: series by their raw key, columns by shard and
 * field.
 *
 * A memtable is written by one thread. Once it is frozen nobody writes it and any thread may read it.
 *
 * Readers beside the writer (store/live.h) and the writer take turns, and it is the callers who see to that. A reader holds the
 * memtable, and takes copies of columns that stay what they are. Columns are numbered in the order of their making, so
 * that one can tell which were there at some moment. When a series that is being held gets a column that it did not have, its
 * others are kept as they were before: a row with that column is seen by nobody who does not know it. So they are before a delete,
 * for those who have files as they were then.
 */
#ifndef TSM_STORE_MEMTABLE_H
#define TSM_STORE_MEMTABLE_H

#include "format/line.h"
#include "store/column.h"
#include "store/series_index.h"
#include "store/turn.h"

/* What a memtable has to know about the shard that a point falls into. */
struct tsm_memtable_shard {
    struct tsm_field_types *types;
    uint32_t index; /* the caller's number for it: small */
};

/* The columns of a series in one shard. */
struct tsm_slice {
    struct tsm_column *columns;
    uint32_t ncolumns, capcolumns;
    uint32_t shard;
};

/* The slices of a series that has several, ascending by shard. */
struct tsm_slices {
    uint32_t n, class;
    struct tsm_slice items[];
};

/* A spelling of a series. One cache line. */
struct tsm_mem_series {
    struct tsm_series_name raw;  /* as written in a line */
    struct tsm_mem_series *same; /* the one that holds the columns: for the canonical spelling itself */
    struct tsm_slice slice;      /* of the shard that was written last */
    struct tsm_slices *all;      /* NULL: slice is the only one. Its copy of the current one may be old. */
    struct tsm_slice_before *before; /* what is kept for readers, the newest first */
};

/* The columns of a series in a shard before it got one more, or a delete. */
struct tsm_slice_before {
    struct tsm_slice_before *older;
    struct tsm_slice_before *next; /* of any series */
    struct tsm_mem_series *series;
    uint32_t number; /* that the next column was to get */
    uint32_t shard;
    uint32_t ncolumns;
    struct {
        struct tsm_column column;
        struct tsm_column_side side;
    } columns[];
};

/* The series key. */
static inline struct tsm_str tsm_mem_series_key(const struct tsm_mem_series *s)
{
    return tsm_str(s->same->raw.p, s->same->raw.n);
}

struct tsm_memtable;

struct tsm_memtable *tsm_memtable_new(void);
/* Gives it up; when nobody shares it any more it is freed. NULL is allowed. */
void tsm_memtable_free(struct tsm_memtable *m);
struct tsm_memtable *tsm_memtable_share(struct tsm_memtable *m);
bool tsm_memtable_is_shared(const struct tsm_memtable *m);

enum { TSM_MEMTABLE_GROUP = 32 }; /* points per call: looked up together, to wait for memory once */

struct tsm_memtable_counts {
    uint64_t points, rows;
    uint64_t new_series;     /* first seen by this memtable */
    uint64_t dropped_fields; /* named "time", which InfluxDB does not store either */
};

/* Called for each series that the memtable sees for the first time. */
typedef void tsm_new_series_fn(void *ctx, struct tsm_str key);

/*
 * Adds n (at most TSM_MEMTABLE_GROUP) points of batch; shards[i] is that of points[i], NULL to leave the
 * point out. A point is added as a whole or given to reject with InfluxDB's message. Bit i of the result: points[i]
 * was added.
 */
uint32_t tsm_memtable_write(struct tsm_memtable *m, const struct tsm_points *batch,
                            const struct tsm_point *points, const struct tsm_memtable_shard *const *shards,
                            size_t n, struct tsm_memtable_counts *counts, tsm_new_series_fn *new_series,
                            tsm_reject_fn *reject, void *ctx);

/* Adds values of one TSM key, from a log. TSM_ECONFLICT when the field has another type in the shard,
 * TSM_ECORRUPT when the key is none. */
int tsm_memtable_add(struct tsm_memtable *m, const struct tsm_memtable_shard *shard, struct tsm_str tsm_key,
                     const struct tsm_values *values, struct tsm_err *err);

/* Removes the values of one TSM key with tmin <= t <= tmax. Of a frozen memtable, which a writer's thread has no part in,
 * the shard's types are NULL here: they are that writer's. */
int tsm_memtable_remove(struct tsm_memtable *m, const struct tsm_memtable_shard *shard,
                        struct tsm_str tsm_key, int64_t tmin, int64_t tmax, struct tsm_err *err);

/* Removes the values with tmin <= t <= tmax of all series of the shard that are wanted; takes the turn for each series. */
int tsm_memtable_delete(struct tsm_memtable *m, const struct tsm_memtable_shard *shard,
                        bool (*wanted)(void *ctx, struct tsm_str series_key), void *ctx, int64_t tmin,
                        int64_t tmax, struct tsm_turn *turn, struct tsm_err *err);
/* Types have been forgotten: the columns of the shard that have values add theirs to `types`, and refer to that from now on; those
 * without are gone. */
void tsm_memtable_retype(struct tsm_memtable *m, uint32_t shard, struct tsm_field_types *types,
                         struct tsm_turn *turn);

bool tsm_memtable_empty(const struct tsm_memtable *m);
/* Memory held, and what a flush of it with so many threads takes in addition. */
size_t tsm_memtable_bytes(const struct tsm_memtable *m, unsigned jobs);

/* Calls each for every series (its canonical spelling), in no order. */
void tsm_memtable_each(const struct tsm_memtable *m, void (*each)(void *ctx, const struct tsm_mem_series *s),
                       void *ctx);

/* ---- reading beside the writer, in turn with it ---- */

/* From now on it is noted which series get columns, and the types of shards, which are made by tsm_field_types_new() then, are shared, so that
 * the names of fields stay as long as the memtable. To be called on an empty one. */
void tsm_memtable_watch(struct tsm_memtable *m);
/* A column that a series got in a shard. Both stay as long as the memtable. */
struct tsm_made_column {
    const struct tsm_mem_series *series;
    const struct tsm_field_def *field;
};
/* The columns that series got in the shard, in that order. After a delete there is another list without those that have no values
 * any more, with the next generation. */
const struct tsm_made_column *tsm_memtable_made(const struct tsm_memtable *m, uint32_t shard, size_t *n,
                                                uint64_t *generation);
/* The number that the next column gets. */
uint32_t tsm_memtable_columns(const struct tsm_memtable *m);
unsigned tsm_memtable_hold(struct tsm_memtable *m);
void tsm_memtable_unhold(struct tsm_memtable *m, unsigned epoch);
/* The series of that key, or NULL. */
const struct tsm_mem_series *tsm_memtable_find(const struct tsm_memtable *m, struct tsm_str series_key,
                                               uint64_t hash);
/* Its columns in a shard; ncolumns 0: none. */
struct tsm_slice tsm_memtable_slice(const struct tsm_mem_series *s, uint32_t shard);
/* What it had in the shard when the next column was to get this number, if it has got one since; NULL: as above, or, where columns have
 * this number or a larger one, nothing. */
const struct tsm_slice_before *tsm_memtable_before(const struct tsm_mem_series *s, uint32_t shard,
                                                   uint32_t number);

#endif
