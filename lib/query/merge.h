/*
 * query/merge.h: the order in which influxd gives points of several series.
 *
 * influxd merges sorted inputs with a binary heap. Where the heap's comparison calls two points equal, the
 * order that comes out depends on how the heap is built and sifted; it is deterministic, and it can be seen:
 * in the order of rows, and in the last digit of a sum of floats. So the same heap is run here (Go's
 * container/heap; influxd v1.6 query/iterator.gen.go: sorted merge and merge iterators).
 */
#ifndef TSM_QUERY_MERGE_H
#define TSM_QUERY_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/control.h"

struct tsm_row_ref {
    uint32_t input, row;
};

struct tsm_merge_input {
    const int64_t *t; /* strictly ascending; read backwards for a descending merge */
    size_t n;
};

/* Whether x comes before y although their times are equal; influxd compares strings beside them. */
typedef bool tsm_tie_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y);

/* The order of all rows by time. less may be NULL. out has room for all rows. Here and below: when control's query is to end
 * (tsm_control_ended()), out is filled with rows that there are, in any order. */
void tsm_merge_rows(const struct tsm_merge_input *in, size_t n, bool descending, tsm_tie_less *less,
                    void *ctx, struct tsm_row_ref *out, struct tsm_query_control *control);

/* Where an input comes from. Inputs of one shard of one source stand together; the shards of a source follow each other in the
 * order of the answer, and their times do not overlap. */
struct tsm_merge_place {
    unsigned source;
    const void *shard;
};

/* The order of all rows when influxd merges the series of each shard, puts the shards behind each other, and then merges
 * the sources. The inputs in less's references are those of in. */
void tsm_merge_places(const struct tsm_merge_input *in, const struct tsm_merge_place *places, size_t n,
                      bool descending, tsm_tie_less *less, void *ctx, struct tsm_row_ref *out,
                      struct tsm_query_control *control);

/*
 * The same merge in slices of time: begin with the first rows of all inputs; then for each slice, of which in
 * has the rows of every input and the one after them (at least the one that is due, when less looks at rows),
 * tsm_merge_slice() gives the rows up to bound and leaves the others in the heap.
 */
struct tsm_merge_heap {
    struct tsm_merge_item *items;
    size_t n;
    bool descending;
};
void tsm_merge_begin(struct tsm_merge_heap *h, const struct tsm_merge_input *in, size_t n, bool descending,
                     tsm_tie_less *less, void *ctx);
/* Returns how many rows went to out. An input without rows in this slice keeps its place. */
size_t tsm_merge_slice(struct tsm_merge_heap *h, const struct tsm_merge_input *in, int64_t bound,
                       tsm_tie_less *less, void *ctx, struct tsm_row_ref *out,
                       struct tsm_query_control *control);
/* Item i of the heap: its input and the time of its row. */
int64_t tsm_merge_due(const struct tsm_merge_heap *h, size_t i, uint32_t *input);
void tsm_merge_end(struct tsm_merge_heap *h);

/* The order of rows of inputs that rank above each other at equal times: input 0 first (last when
 * descending). */
void tsm_merge_ranked(const struct tsm_merge_input *in, size_t n, bool descending, struct tsm_row_ref *out,
                      struct tsm_query_control *control);

/* The order by window of points that are one per input and window (t: the windows): influxd's merge iterator,
 * in which an input whose point was taken goes back when its next one is in a later window. */
void tsm_merge_windows(const struct tsm_merge_input *in, size_t n, bool descending, struct tsm_row_ref *out,
                       struct tsm_query_control *control);

#endif
