/*
 * query/raw_load.h: rows of many series in memory, for one range of time: loaded by several threads, ordered
 * as influxd orders them. Private to select_raw.c.
 */
#ifndef TSM_QUERY_RAW_LOAD_H
#define TSM_QUERY_RAW_LOAD_H

#include "query/merge.h"
#include "query/run.h"

struct tsm_raw_column {
    void *values;
    uint8_t *nulls; /* NULL: none so far */
};

struct tsm_raw_store { /* rows that one task loaded */
    int64_t *t;
    struct tsm_raw_column *columns; /* per field of the plan that is wanted */
    size_t n, cap;
    struct tsm_arena text; /* strings */
};

/*
 * A merge of series that goes on from slice to slice. For its order to be influxd's, each slice also holds
 * the row of each series that comes next after it.
 */
struct tsm_raw_merge {
    struct tsm_merge_heap heap;
    bool begun;
    int64_t *due; /* per input: the time of its row in the heap */
    bool *over;   /* per input: it has no more rows */
};

struct tsm_raw_input { /* the rows of one series */
    const struct tsm_unit *unit;
    uint32_t series; /* in the unit */
    const struct tsm_raw_store *store;
    size_t first, n; /* in the store */
};

/* The series of one group, of one unit unless several sources name the measurement, in one range of time. */
struct tsm_raw_segment {
    uint32_t group;
    bool first_of_unit; /* no earlier segment has rows of this unit */
    int64_t tmin, tmax;
    struct tsm_raw_merge *merge;  /* of the slices of a large set; or NULL */
    struct tsm_raw_input *inputs; /* in influxd's order of series */
    size_t ninputs;
    size_t total;              /* rows */
    struct tsm_row_ref *order; /* NULL: one input, in its own order */
};

struct tsm_raw_loader { /* kept over all loads of a query */
    struct tsm_run *r;
    bool *wanted;                    /* per field of the plan */
    struct tsm_row_reader **readers; /* per thread */
    size_t row_bytes;
    bool compares_fields; /* influxd's merge looks at string fields */
    size_t most; /* rows of each series and shard, the first ones in the order of the answer; 0: all */
};

void tsm_raw_loader_init(struct tsm_raw_loader *l, struct tsm_run *r);
void tsm_raw_loader_release(struct tsm_raw_loader *l);

struct tsm_raw_load { /* a result */
    struct tsm_raw_store *stores;
    size_t nstores;
    size_t nfields;
};

/* Loads and orders all segments. More rows than most: TSM_ESTOP, and nothing is loaded. */
int tsm_raw_load(struct tsm_raw_loader *l, struct tsm_raw_segment *segments, size_t n, size_t most,
                 struct tsm_raw_load *load, struct tsm_err *err);
/* The first and last time of a series' fields by the index, within the query's range; tmin > tmax: none. */
void tsm_raw_range(const struct tsm_raw_loader *l, const struct tsm_raw_input *in, int64_t *tmin,
                   int64_t *tmax);
/* Whether the order of these series at equal times depends on the heap of a merge. */
bool tsm_raw_needs_merge(const struct tsm_run *r, const struct tsm_raw_segment *seg);
void tsm_raw_merge_init(struct tsm_raw_merge *m, size_t ninputs);
void tsm_raw_merge_release(struct tsm_raw_merge *m);
void tsm_raw_load_release(struct tsm_raw_load *load, struct tsm_raw_segment *segments, size_t n);

#endif
