/*
 * store/column_cut.h: the blocks of a column as they go to files: its late part merged in, in time order, cut
 * where the frontier is.
 */
#ifndef TSM_STORE_COLUMN_CUT_H
#define TSM_STORE_COLUMN_CUT_H

#include "store/column.h"

struct tsm_cut_block {
    int64_t tmin, tmax;
    const uint8_t *bytes; /* NULL: at `offset` in the output's buffer */
    size_t offset;
    uint32_t len;
    uint32_t n;
    bool late; /* not newer than the frontier */
};

struct tsm_cut_output {
    struct tsm_cut_block *blocks;
    size_t n, cap;
    struct tsm_buf bytes;
};

/* Reusable working memory. A zeroed struct is ready. */
struct tsm_cutter {
    struct tsm_values tail, late, block, merged, collected, rest;
    struct tsm_encoded **order;
    size_t caporder;
};

/* Appends the blocks of c. frontier INT64_MIN: nothing was written before. */
int tsm_column_cut(struct tsm_cutter *w, const struct tsm_column *c, int64_t frontier,
                   struct tsm_cut_output *out, struct tsm_err *err);
void tsm_cutter_release(struct tsm_cutter *w);
void tsm_cut_output_release(struct tsm_cut_output *out);

#endif
